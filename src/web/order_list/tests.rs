//! A list is what is true now, whatever the views have of it.

use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::domain::identity::Client;
use flashguard_actors::domain::market::{Lots, Symbol, Ticks};
use flashguard_actors::domain::order::{
    ClientOrderId, Order, OrderId, OrderStatus, OrderType, Side,
};
use flashguard_actors::journal::record::{Fact, Record};
use flashguard_actors::journal::views::order_after;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;

fn id(n: u8) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n.into()))
}

fn intent(n: u8) -> Fact {
    Fact::OrderIntent {
        order: Order {
            order_id: id(n),
            symbol: Symbol::parse("SEI/USDC").unwrap(),
            side: Side::Buy,
            order_type: OrderType::Limit,
            price_ticks: Ticks(2_500),
            price: Decimal::new(25, 2),
            size_lots: Lots(10),
            size: Decimal::TEN,
            expires_at_ms: 5_000,
        },
        client: Client::try_from("bot".to_owned()).unwrap(),
        client_order_id: ClientOrderId::try_from(format!("c{n}")).unwrap(),
        content_hash: String::new(),
        reserved_usdc: Decimal::ONE,
        limits_v: 1,
        reference: Decimal::ONE,
        marks: vec![],
        at_market: false,
        epoch: 1,
        key_id: "sei/1".into(),
        credential_generation: 1,
    }
}

fn outcome(n: u8, status: OrderStatus) -> Fact {
    Fact::OrderOutcome {
        order_id: id(n),
        status,
        venue_order_id: None,
        signature: None,
        why: None,
    }
}

/// A journal of facts: the orders at hand know all of them, the views those before `seen`.
struct Desk {
    at_hand: Orders,
    views: Vec<OrderView>,
    seen: u64,
}

impl Desk {
    fn after(facts: &[Fact], seen: usize) -> Self {
        let (mut at_hand, mut views) = (Orders::default(), BTreeMap::<OrderId, OrderView>::new());
        for (seq, fact) in (0_u64..).zip(facts) {
            at_hand.apply(fact, seq, UnixMicros(seq), None);
            let (Fact::OrderIntent { .. } | Fact::OrderOutcome { .. }) = fact else {
                panic!("{fact:?}")
            };
            if seq < seen as u64 {
                let order_id = match fact {
                    Fact::OrderIntent { order, .. } => order.order_id,
                    Fact::OrderOutcome { order_id, .. } => *order_id,
                    _ => unreachable!(),
                };
                let record = Record {
                    seq,
                    time: UnixMicros(seq),
                    fact: fact.clone(),
                    private: None,
                    actor: "orders".into(),
                    principal: None,
                    correlation: None,
                };
                if let Some(view) = order_after(views.remove(&order_id), &record) {
                    views.insert(order_id, view);
                }
            }
        }
        let mut views: Vec<_> = views.into_values().collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.journal_seq));
        Self {
            at_hand,
            views,
            seen: seen as u64,
        }
    }

    /// A page as the views alone would answer it.
    fn viewed(&self, filter: &OrderFilter) -> Page<OrderView> {
        let fitting = self.views.iter().filter(|view| {
            filter.status.is_none_or(|status| view.status == status)
                && filter.after.is_none_or(|after| view.journal_seq < after)
        });
        let mut fitting = fitting.cloned();
        let items: Vec<_> = fitting.by_ref().take(filter.limit).collect();
        let more = fitting.next().is_some();
        Page {
            next: items.last().map(|v| v.journal_seq).filter(|_| more),
            items,
            as_of: self.seen,
        }
    }

    fn page(&self, filter: &OrderFilter) -> Page<Listed> {
        merged(|f| Ok(self.viewed(f)), || &self.at_hand, filter).unwrap()
    }

    /// Every page from the first to the last: ids and states.
    fn pages(&self, status: Option<OrderStatus>, limit: usize) -> Vec<(OrderId, OrderStatus)> {
        let mut listed = Vec::new();
        let mut filter = OrderFilter {
            status,
            limit,
            ..OrderFilter::default()
        };
        for _ in 0..1_000 {
            let page = self.page(&filter);
            assert!(page.items.len() <= limit);
            listed.extend(page.items.iter().map(|item| match item {
                Listed::Viewed(view, present) => {
                    let status = present.as_ref().map_or(view.status, |now| now.status);
                    (view.order.order_id, status)
                }
                Listed::Present(state) => (state.order.order_id, state.status),
            }));
            match page.next {
                Some(next) => filter.after = Some(next),
                None => return listed,
            }
        }
        panic!("the pages do not end")
    }
}

const LIMIT: usize = 10;

#[test]
fn an_order_whose_outcome_the_views_have_not_seen_is_listed_as_it_is() {
    let facts = [intent(1), intent(2), outcome(1, OrderStatus::Open)];
    let desk = Desk::after(&facts, 2);
    let open = Some(OrderStatus::Open);
    assert_eq!(desk.pages(open, LIMIT), [(id(1), OrderStatus::Open)]);
    let pending = Some(OrderStatus::Pending);
    assert_eq!(desk.pages(pending, LIMIT), [(id(2), OrderStatus::Pending)]);
}

#[test]
fn an_order_that_the_views_have_not_seen_at_all_is_listed_too() {
    let desk = Desk::after(&[intent(1), outcome(1, OrderStatus::Open)], 0);
    for status in [None, Some(OrderStatus::Open)] {
        assert_eq!(desk.pages(status, LIMIT), [(id(1), OrderStatus::Open)]);
    }
}

#[test]
fn an_order_that_ended_long_ago_is_listed_as_the_views_have_it() {
    let facts = [intent(1), outcome(1, OrderStatus::Rejected)];
    let mut desk = Desk::after(&facts, 2);
    desk.at_hand = Orders::default();
    let listed = [(id(1), OrderStatus::Rejected)];
    assert_eq!(desk.pages(None, LIMIT), listed);
    assert_eq!(desk.pages(Some(OrderStatus::Rejected), LIMIT), listed);
    assert_eq!(desk.pages(Some(OrderStatus::Open), LIMIT), []);
}

#[test]
fn a_page_of_orders_that_ended_meanwhile_is_followed_by_the_next_one() {
    let intents = (0..9).map(intent);
    let open = (0..9).map(|n| outcome(n, OrderStatus::Open));
    let ended = (3..9).map(|n| outcome(n, OrderStatus::Rejected));
    let facts: Vec<_> = intents.chain(open).chain(ended).collect();
    let desk = Desk::after(&facts, 18);
    let filter = OrderFilter {
        status: Some(OrderStatus::Open),
        limit: 2,
        ..OrderFilter::default()
    };
    let page = desk.page(&filter);
    let seqs: Vec<_> = page.items.iter().map(Listed::seq).collect();
    assert_eq!((seqs, page.next), (vec![2, 1], Some(1)));
}

mod properties {
    use super::*;

    const STATUSES: [OrderStatus; 5] = [
        OrderStatus::Open,
        OrderStatus::PartiallyFilled,
        OrderStatus::Cancelled,
        OrderStatus::Rejected,
        OrderStatus::InDoubt,
    ];

    proptest! {
        /// However far the views are behind: all pages together are the orders that fit now, each
        /// once, newest first.
        #[test]
        fn pages_hold_what_is_true_now_each_once_and_newest_first(
            steps in prop::collection::vec((0_u8..24, 0_usize..STATUSES.len()), 1..80),
            seen in 0_usize..80,
            limit in 1_usize..8,
        ) {
            let mut known = [false; 24];
            let facts: Vec<Fact> = steps.iter().map(|(n, status)| {
                if std::mem::replace(&mut known[usize::from(*n)], true) {
                    outcome(*n, STATUSES[*status])
                } else {
                    intent(*n)
                }
            }).collect();
            let desk = Desk::after(&facts, seen.min(facts.len()));
            let now = desk.at_hand.newest(usize::MAX, |_| true);
            for status in std::iter::once(None).chain(STATUSES.map(Some)) {
                let expected: Vec<_> = now.iter()
                    .filter(|state| status.is_none_or(|wanted| state.status == wanted))
                    .map(|state| (state.order.order_id, state.status))
                    .collect();
                prop_assert_eq!(desk.pages(status, limit), expected);
            }
        }
    }
}
