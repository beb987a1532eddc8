use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::domain::identity::Client;
use flashguard_actors::domain::market::Lots;
use flashguard_actors::domain::order::{ClientOrderId, OrderStatus, Side};
use flashguard_actors::journal::Journal;
use flashguard_actors::journal::record::Entry;
use flashguard_actors::journal::views::ScanViews;
use rust_decimal::Decimal;

use super::*;
use crate::stores::sqlite::follower::Follower;
use crate::stores::sqlite::journal::SqliteReaders;
use crate::stores::sqlite::testing::{LONG, START, intent, note, open, order_id, outcome};

fn fill(number: u64, part: u64, side: Side, price: i64, status: OrderStatus) -> Entry {
    let fact = Fact::Fill {
        fill_id: format!("f-{number}-{part}"),
        cursor: Some(format!("{number}")),
        order_id: order_id(number),
        venue_order_id: None,
        symbol: Symbol::parse(if number.is_multiple_of(2) {
            "SEI/USDC"
        } else {
            "ETH/USDC"
        })
        .unwrap(),
        side,
        price: Decimal::new(price, 2),
        size: Decimal::from(2),
        lots: Lots(2),
        fee: Decimal::new(1, 3),
        filled_at_us: UnixMicros(START.0 + number),
        order_status: Some(status),
    };
    Entry::of("positions", fact).about(order_id(number).to_string())
}

/// A day with orders of every kind of fate.
fn live(journal: &Journal) {
    for number in 0..60 {
        let client = if number % 3 == 0 { "maker" } else { "taker" };
        let (entry, identity) = intent(client, number);
        journal.append_intent(entry, identity);
        let put = |entry| {
            journal.append(entry);
        };
        let side = if number % 4 < 2 {
            Side::Buy
        } else {
            Side::Sell
        };
        match number % 6 {
            0 => put(outcome(number, OrderStatus::Open)),
            1 => {
                put(fill(number, 1, side, 25, OrderStatus::PartiallyFilled));
                put(outcome(number, OrderStatus::Open));
                put(fill(number, 2, side, 27, OrderStatus::Filled));
            }
            2 => put(outcome(number, OrderStatus::Rejected)),
            3 => {
                let why = "timeout".to_owned();
                let fact = Fact::OrderInDoubt {
                    order_id: order_id(number),
                    signature: None,
                    why,
                };
                put(Entry::of("trading", fact).about("req-x"));
            }
            4 => {
                put(outcome(number, OrderStatus::Open));
                let fact = Fact::OrderCancelled {
                    order_id: order_id(number),
                };
                put(Entry::of("emergency", fact));
                put(fill(number, 1, side, 26, OrderStatus::Cancelled));
            }
            _ => {}
        }
        if number % 7 == 0 {
            put(note(number));
        }
    }
    journal.append(note(60)).wait(LONG).unwrap().unwrap();
}

struct Both {
    _folder: tempfile::TempDir,
    journal: Journal,
    _follower: Follower,
    kept: SqliteViews,
    scanned: ScanViews,
}

fn both() -> Both {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(&folder.path().join("journal.db"));
    live(&journal);
    let readers = Arc::new(SqliteReaders::new(folder.path().join("journal.db")));
    let path = folder.path().join("views.db");
    let (follower, kept) =
        Follower::start(&path, readers.clone(), journal.clone(), Vec::new()).unwrap();
    let size = journal.head().size;
    assert_eq!(kept.wait_for(size, LONG).unwrap(), size);
    Both {
        _folder: folder,
        journal,
        _follower: follower,
        kept,
        scanned: ScanViews::new(readers),
    }
}

/// Reads a list to its end, page by page.
fn whole<T>(mut page: impl FnMut(Option<u64>) -> Page<T>) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None);
    for _ in 0..1_000 {
        let next = page(after);
        all.extend(next.items);
        match next.next {
            Some(place) => after = Some(place),
            None => return all,
        }
    }
    panic!("a list without an end");
}

#[test]
fn kept_views_answer_as_reading_the_whole_journal_would() {
    let b = both();
    for number in 0..61 {
        let kept = b.kept.order(order_id(number)).unwrap();
        assert_eq!(kept, b.scanned.order(order_id(number)).unwrap());
        assert_eq!(kept.is_some(), number < 60);
    }
    let named = |id: &str| ClientOrderId::try_from(id.to_owned()).ok();
    let filters = [
        OrderFilter::default(),
        OrderFilter {
            status: Some(OrderStatus::Open),
            ..OrderFilter::default()
        },
        OrderFilter {
            status: Some(OrderStatus::InDoubt),
            ..OrderFilter::default()
        },
        OrderFilter {
            client: Client::try_from("maker".to_owned()).ok(),
            ..OrderFilter::default()
        },
        OrderFilter {
            client_order_id: named("o-00000012"),
            ..OrderFilter::default()
        },
        OrderFilter {
            client_order_id: named("nobody"),
            ..OrderFilter::default()
        },
    ];
    for filter in filters {
        for limit in [1, 7, 1_000] {
            let ask = |views: &dyn Views| {
                whole(|after| {
                    views
                        .orders(&OrderFilter {
                            after,
                            limit,
                            ..filter.clone()
                        })
                        .unwrap()
                })
            };
            let kept = ask(&b.kept);
            assert_eq!(kept, ask(&b.scanned), "{filter:?}");
            assert!(
                kept.windows(2)
                    .all(|two| two[0].journal_seq > two[1].journal_seq)
            );
        }
    }
    let symbol = Symbol::parse("ETH/USDC").ok();
    for filter in [
        FillFilter::default(),
        FillFilter {
            symbol,
            ..FillFilter::default()
        },
        FillFilter {
            since: Some(UnixMicros(START.0 + 30)),
            ..FillFilter::default()
        },
    ] {
        let ask = |views: &dyn Views| {
            whole(|after| {
                views
                    .fills(&FillFilter {
                        after,
                        limit: 4,
                        ..filter.clone()
                    })
                    .unwrap()
            })
        };
        assert_eq!(ask(&b.kept), ask(&b.scanned), "{filter:?}");
        assert!(!ask(&b.kept).is_empty());
    }
}

#[test]
fn events_are_found_by_place_as_by_reading_everything() {
    let b = both();
    let some = |text: &str| Some(text.to_owned());
    let by_kind = |kind: &str| EventFilter {
        kind: some(kind),
        ..EventFilter::default()
    };
    let of = |correlation: &str| EventFilter {
        correlation: some(correlation),
        ..EventFilter::default()
    };
    let filters = [
        (EventFilter::default(), true),
        (by_kind("halt.reason_added"), true),
        (by_kind("halt."), true),
        (by_kind("order."), true),
        (by_kind("order.intent"), true),
        (by_kind("order.in_doubt"), true),
        (by_kind("nothing."), false),
        (of(&order_id(4).to_string()), true),
        (of(&order_id(3).to_string()), true),
        (of("req-x"), true),
        (of("req-14"), true),
        (
            EventFilter {
                principal: some("local:7"),
                ..EventFilter::default()
            },
            true,
        ),
        (
            EventFilter {
                text: some("BECAUSE OF 21"),
                ..EventFilter::default()
            },
            true,
        ),
        (
            EventFilter {
                since: Some(UnixMicros(START.0 + 20)),
                until: Some(UnixMicros(START.0 + 40)),
                ..EventFilter::default()
            },
            true,
        ),
        (
            EventFilter {
                since: Some(UnixMicros(START.0 + 90)),
                ..by_kind("halt.reason_added")
            },
            true,
        ),
        (
            EventFilter {
                until: Some(START),
                ..EventFilter::default()
            },
            false,
        ),
    ];
    for (filter, some) in filters {
        let ask = |views: &dyn Views| {
            whole(|after| {
                views
                    .events(&EventFilter {
                        after,
                        limit: 5,
                        ..filter.clone()
                    })
                    .unwrap()
            })
        };
        let kept = ask(&b.kept);
        assert_eq!(kept, ask(&b.scanned), "{filter:?}");
        assert_eq!(!kept.is_empty(), some, "{filter:?}");
    }
}

#[test]
fn an_order_has_everything_that_an_answer_about_it_needs() {
    let b = both();
    let filled = b.kept.order(order_id(1)).unwrap().unwrap();
    assert_eq!(
        (filled.status, filled.filled),
        (OrderStatus::Filled, Decimal::from(4))
    );
    assert!(filled.signature.is_some() && filled.digest.is_some() && filled.signer.is_some());
    assert!(filled.venue_order_id.is_some() && filled.signed_at_us.is_some());
    let cancelled = b.kept.order(order_id(4)).unwrap().unwrap();
    assert_eq!(
        (cancelled.status, cancelled.filled),
        (OrderStatus::Cancelled, Decimal::from(2))
    );
    let doubt = b.kept.order(order_id(3)).unwrap().unwrap();
    assert_eq!(
        (doubt.status, doubt.why.as_deref()),
        (OrderStatus::InDoubt, Some("timeout"))
    );
    let pending = b.kept.order(order_id(5)).unwrap().unwrap();
    assert_eq!(
        (pending.status, pending.signature),
        (OrderStatus::Pending, None)
    );
}

#[test]
fn a_later_record_is_seen_by_who_waits_for_it() {
    let b = both();
    let committed = b
        .journal
        .append(outcome(5, OrderStatus::Open))
        .wait(LONG)
        .unwrap()
        .unwrap();
    let size = committed.seq() + 1;
    assert_eq!(b.kept.wait_for(size, LONG).unwrap(), size);
    assert_eq!(
        b.kept.order(order_id(5)).unwrap().unwrap().status,
        OrderStatus::Open
    );
}
