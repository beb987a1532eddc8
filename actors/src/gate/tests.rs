//! The rules with each other, and the race for the last room. Each boundary alone: `boundary_tests`.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::testing::{BEGIN_BOOT_MS, Desk, buy, d, eth, id, market, of_type, request, sei, sell};
use super::{Exposure, Finding, Gate, Holder, Limits, Mode, RULES};
use crate::domain::denial::Denial;
use crate::domain::identity::Client;
use crate::domain::market::Ticks;
use crate::domain::order::{OrderRequest, OrderType, Side, Terms};
use crate::ports::venue::Quote;

#[test]
fn a_plain_order_is_admitted_and_gives_its_exposure_back_when_dropped() {
    let desk = Desk::plain();
    assert_eq!(desk.codes(&buy("0.25", "100")), [""; 0]);
    assert_eq!(
        desk.gate
            .with_exposure(|e| (e.open_orders(), e.market(&sei()).open_buys)),
        (0, d("0"))
    );
}

#[test]
fn every_violation_is_reported_at_once() {
    let desk = Desk::new(|limits| limits.open_orders_max = 0);
    assert_eq!(
        desk.codes(&buy("900000.00001", "900000.5")),
        [
            "TICK",
            "LOT",
            "PRICE_COLLAR",
            "ORDER_NOTIONAL",
            "POSITION_LIMIT",
            "GROSS_EXPOSURE",
            "OPEN_ORDERS"
        ]
    );
}

#[test]
fn price_and_size_have_bounds() {
    let desk = Desk::plain();
    for (price, size, code) in [
        ("0", "1", "PRICE_RANGE"),
        ("-0.25", "1", "PRICE_RANGE"),
        ("1000000.0001", "1", "PRICE_RANGE"),
        ("0.25", "0", "SIZE_RANGE"),
        ("0.25", "-1", "SIZE_RANGE"),
        ("0.25", "1000001", "SIZE_RANGE"),
    ] {
        assert_eq!(
            desk.codes(&buy(price, size)).first(),
            Some(&code),
            "{price}"
        );
    }
}

#[test]
fn an_unknown_market_and_one_not_named_in_the_settings_are_denied_alike() {
    let desk = Desk::plain();
    for symbol in ["DOGE/USDC", "BTC/USDC", "nonsense", ""] {
        let order = OrderRequest {
            symbol: symbol.into(),
            ..buy("0.25", "100")
        };
        assert_eq!(desk.codes(&order), ["UNKNOWN_SYMBOL"], "{symbol:?}");
    }
}

#[test]
fn the_collar_is_inclusive_on_both_sides() {
    let desk = Desk::plain();
    for (price, denied) in [
        ("0.2625", false),
        ("0.2626", true),
        ("0.2375", false),
        ("0.2374", true),
    ] {
        let denials = desk.codes(&sell(price, "100"));
        assert_eq!(denials == ["PRICE_COLLAR"], denied, "{price}: {denials:?}");
    }
}

#[test]
fn an_order_is_valued_at_the_worse_of_its_price_and_the_reference() {
    let desk = Desk::plain();
    // 4,000 at the reference of 0.25 are exactly 1,000 USDC, however low the sell is priced.
    assert_eq!(desk.codes(&sell("0.2400", "4000")), [""; 0]);
    assert_eq!(desk.codes(&sell("0.2400", "4001")), ["ORDER_NOTIONAL"]);
    assert_eq!(desk.codes(&buy("0.2600", "3846")), [""; 0]);
    assert_eq!(desk.codes(&buy("0.2600", "3847")), ["ORDER_NOTIONAL"]);
}

#[test]
fn an_order_that_lands_exactly_on_the_position_limit_is_admitted() {
    let desk = Desk::roomy();
    assert!(desk.keep(&buy("0.25", "7996"), 1).is_ok());
    assert_eq!(desk.codes(&buy("0.25", "4")), [""; 0]);
    assert_eq!(desk.codes(&buy("0.25", "5")), ["POSITION_LIMIT"]);
    assert_eq!(desk.codes(&sell("0.2501", "7996")), [""; 0]);
}

#[test]
fn a_position_counts_for_its_own_side_and_makes_room_on_the_other() {
    let desk = Desk::roomy();
    desk.position(&sei(), "8000");
    assert_eq!(desk.codes(&buy("0.25", "4")), ["POSITION_LIMIT"]);
    assert_eq!(desk.codes(&sell("0.25", "8000")), [""; 0]);
}

#[test]
fn gross_exposure_adds_all_markets_and_sides() {
    let desk = Desk::roomy();
    desk.position(&eth(), "-0.8");
    assert!(desk.keep(&buy("0.25", "4000"), 1).is_ok());
    assert_eq!(desk.codes(&sell("0.2501", "3998")), [""; 0]);
    assert_eq!(desk.codes(&sell("0.2501", "3999")), ["GROSS_EXPOSURE"]);
}

#[test]
fn without_a_usable_reference_nothing_is_admitted_and_the_denial_says_why() {
    let desk = Desk::plain();
    desk.clock.advance_millis(1);
    for (bid, ask) in [("0.26", "0.25"), ("0", "0.25"), ("0.25", "0"), ("0", "0")] {
        desk.quote(&sei(), bid, ask);
        let denied = desk.admit(&buy("0.25", "100"), 1).map(|_| ()).unwrap_err();
        let (symbol, bid, ask) = (sei(), d(bid), d(ask));
        assert_eq!(
            denied.broken,
            [Denial::ReferenceCrossed { symbol, bid, ask }]
        );
    }
    desk.quote(&sei(), "0.2499", "0.2501");
    assert_eq!(desk.codes(&buy("0.25", "100")), [""; 0]);
    desk.clock.advance_millis(2_500);
    let denied = desk.admit(&buy("0.25", "100"), 1).map(|_| ()).unwrap_err();
    let (symbol, age_ms, limit_ms) = (sei(), 2_500, 2_000);
    assert_eq!(
        denied.broken,
        [Denial::ReferenceStale {
            symbol,
            age_ms,
            limit_ms
        }]
    );
    let none = Gate::new(Limits::default(), Exposure::default(), desk.clock.clone());
    none.publish_markets(desk.gate.markets().values().cloned().collect());
    let without = Desk { gate: none, ..desk };
    assert_eq!(without.codes(&buy("0.25", "100")), ["REFERENCE_MISSING"]);
}

#[test]
fn a_reference_is_as_old_as_its_question_and_an_earlier_question_never_wins() {
    let desk = Desk::plain();
    let quote = |bid, ask| Quote {
        bid: d(bid),
        ask: d(ask),
    };
    desk.clock.advance_millis(1_500);
    // The answer comes now; it was asked for a second ago.
    let asked = BEGIN_BOOT_MS + 500;
    desk.gate
        .publish_quote(&sei(), quote("0.2599", "0.2601"), asked);
    desk.gate
        .publish_quote(&sei(), quote("0.2399", "0.2401"), asked - 1);
    let middle = desk.gate.references()[&sei()].middle();
    assert_eq!(middle, Some(d("0.26")));
    desk.clock.advance_millis(1_000);
    assert_eq!(desk.codes(&buy("0.26", "100")), [""; 0]);
    desk.clock.advance_millis(1);
    assert_eq!(desk.codes(&buy("0.26", "100")), ["REFERENCE_STALE"]);
}

#[test]
fn a_position_elsewhere_needs_a_fresh_reference_unless_the_order_only_reduces() {
    let desk = Desk::plain();
    desk.position(&eth(), "0.1");
    desk.position(&sei(), "100");
    desk.clock.advance_millis(2_001);
    desk.quote(&sei(), "0.2499", "0.2501");
    assert_eq!(desk.codes(&buy("0.25", "100")), ["REFERENCE_STALE"]);
    assert_eq!(desk.codes(&sell("0.25", "100")), [""; 0]);
    assert_eq!(desk.codes(&sell("0.25", "101")), ["REFERENCE_STALE"]);
    desk.position(&eth(), "0");
    assert_eq!(desk.codes(&buy("0.25", "100")), [""; 0]);
}

#[test]
fn an_order_off_the_soft_collar_is_admitted_marked_and_counted() {
    let desk = Desk::plain();
    let marks = |order: &OrderRequest| desk.admit(order, 1).map(|a| a.judged().marks.clone());
    assert_eq!(marks(&buy("0.2550", "100")).unwrap(), [""; 0]);
    assert_eq!(desk.gate.marked(), 0);
    for price in ["0.2551", "0.2449"] {
        assert_eq!(marks(&buy(price, "100")).unwrap(), ["PRICE_COLLAR_SOFT"]);
    }
    assert_eq!(desk.gate.marked(), 2);
    assert!(marks(&buy("0.2626", "100")).is_err());
    assert_eq!(desk.gate.marked(), 2, "one that is denied is not counted");
    assert_eq!(marks(&market(Side::Buy, "100")).unwrap(), [""; 0]);
}

#[test]
fn a_market_order_is_an_ioc_at_the_hard_collar_rounded_inward() {
    let desk = Desk::plain();
    let admitted = |side| desk.admit(&market(side, "100"), 1).unwrap();
    let up = admitted(Side::Buy);
    assert_eq!(
        (up.order().price, up.order().order_type),
        (d("0.2625"), OrderType::Ioc)
    );
    assert_eq!(up.reserved_usdc(), d("26.25"), "valued at that price");
    assert!(up.judged().at_market);
    drop(up);
    assert_eq!(admitted(Side::Sell).order().price, d("0.2375"));
    // 0.25005 ± 5 % = 0.2625525 and 0.2375475: nothing beyond the collar is signed.
    desk.clock.advance_millis(1);
    desk.quote(&sei(), "0.2500", "0.2501");
    let prices = [Side::Buy, Side::Sell].map(|side| admitted(side).order().price);
    assert_eq!(prices, [d("0.2625"), d("0.2376")]);
    assert_eq!(
        desk.codes(&market(Side::Buy, "3809")),
        [""; 0],
        "999.8625 USDC"
    );
    assert_eq!(desk.codes(&market(Side::Buy, "3810")), ["ORDER_NOTIONAL"]);
    desk.clock.advance_millis(2_001);
    assert_eq!(desk.codes(&market(Side::Buy, "100")), ["REFERENCE_STALE"]);
}

#[test]
fn an_order_that_would_meet_an_own_one_is_denied_and_told_which() {
    let desk = Desk::plain();
    desk.keep(&buy("0.2490", "10"), 1).unwrap();
    desk.keep(&buy("0.2480", "10"), 2).unwrap();
    desk.keep(&sell("0.2510", "10"), 3).unwrap();
    let denied = |order: &OrderRequest| desk.admit(order, 9).map(|_| ()).unwrap_err().broken;
    let expected = |price, n, own| {
        [Denial::SelfTrade {
            price: d(price),
            own_order_id: id(n).to_string(),
            own_price: d(own),
        }]
    };
    assert_eq!(
        denied(&sell("0.2490", "10")),
        expected("0.2490", 1, "0.2490")
    );
    assert_eq!(
        denied(&buy("0.2511", "10")),
        expected("0.2511", 3, "0.2510")
    );
    for kind in [OrderType::PostOnly, OrderType::Ioc] {
        let order = of_type(kind, sell("0.2485", "10"));
        assert_eq!(desk.codes(&order), ["SELF_TRADE"], "{kind:?}");
    }
    assert_eq!(desk.codes(&market(Side::Buy, "10")), ["SELF_TRADE"]);
    assert_eq!(desk.codes(&sell("0.2491", "10")), [""; 0]);
    assert_eq!(desk.codes(&buy("0.2509", "10")), [""; 0]);
    let one = Holder::Ours(id(1));
    desk.gate.with_exposure(|exposure| exposure.doubt(&one));
    assert_eq!(
        desk.codes(&sell("0.2490", "10")),
        ["SELF_TRADE"],
        "in doubt"
    );
    desk.gate.with_exposure(|exposure| exposure.ended(&one));
    assert_eq!(
        denied(&sell("0.2480", "10")),
        expected("0.2480", 2, "0.2480")
    );
    assert_eq!(desk.codes(&sell("0.2490", "10")), [""; 0], "it ended");
}

#[test]
fn an_order_that_rests_there_and_is_not_ours_is_not_met_either() {
    let desk = Desk::plain();
    let foreign = Holder::Foreign("v-1".to_owned().try_into().unwrap());
    desk.gate
        .with_exposure(|exposure| exposure.hold(foreign, &sei(), Side::Sell, d("0.2510"), d("10")));
    let denied = desk.admit(&buy("0.2510", "10"), 1).map(|_| ()).unwrap_err();
    assert!(
        matches!(&denied.broken[..], [Denial::SelfTrade { own_order_id, .. }] if own_order_id == "v-1"),
        "{denied:?}"
    );
}

#[test]
fn reduce_only_admits_what_with_all_open_on_its_side_is_at_most_the_position() {
    let mut desk = Desk::roomy();
    desk.mode = Mode::ReduceOnly;
    assert_eq!(
        desk.codes(&sell("0.25", "10")),
        ["REDUCE_ONLY"],
        "no position"
    );
    desk.position(&sei(), "100");
    assert_eq!(
        desk.codes(&buy("0.25", "10")),
        ["REDUCE_ONLY"],
        "it would grow"
    );
    desk.keep(&sell("0.2510", "60"), 1).unwrap();
    let foreign = Holder::Foreign("v-1".to_owned().try_into().unwrap());
    desk.gate
        .with_exposure(|exposure| exposure.hold(foreign, &sei(), Side::Sell, d("0.2520"), d("10")));
    assert_eq!(desk.codes(&sell("0.25", "30")), [""; 0]);
    let denied = desk.admit(&sell("0.25", "31"), 2).map(|_| ()).unwrap_err();
    assert_eq!(
        denied.broken,
        [Denial::ReduceOnly {
            symbol: sei(),
            size: d("31"),
            open_size: d("70"),
            reducible: d("100"),
        }]
    );
    // What filled is off the position and off the side alike.
    let one = Holder::Ours(id(1));
    desk.gate
        .with_exposure(|e| e.fill(Some(&one), &sei(), Side::Sell, d("60")));
    assert_eq!(desk.codes(&sell("0.25", "30")), [""; 0]);
    assert_eq!(desk.codes(&sell("0.25", "31")), ["REDUCE_ONLY"]);
    desk.position(&sei(), "-100");
    assert_eq!(
        desk.codes(&buy("0.25", "100")),
        [""; 0],
        "a short is bought back"
    );
    assert_eq!(desk.codes(&buy("0.25", "101")), ["REDUCE_ONLY"]);
}

#[test]
fn bounds_on_growth_never_stand_in_the_way_of_an_exit() {
    let over = |limits: &mut Limits| {
        limits.position_limit_usdc = d("10");
        limits.gross_exposure_max_usdc = d("10");
        limits.open_orders_max = 1;
        limits.orders_in_doubt_max = 0;
    };
    let mut desk = Desk::new(over);
    desk.position(&sei(), "1000"); // 250 USDC: over every limit
    desk.position(&eth(), "-1");
    desk.keep(&sell("0.2500", "600"), 1).unwrap();
    desk.gate
        .with_exposure(|exposure| exposure.doubt(&Holder::Ours(id(1))));
    for mode in [Mode::Active, Mode::ReduceOnly] {
        desk.mode = mode;
        assert_eq!(desk.codes(&sell("0.2500", "400")), [""; 0], "{mode:?}");
        let more = desk.codes(&sell("0.2500", "401"));
        assert_eq!(more.contains(&"REDUCE_ONLY"), mode == Mode::ReduceOnly);
        for code in ["GROSS_EXPOSURE", "OPEN_ORDERS", "ORDERS_IN_DOUBT"] {
            assert!(more.contains(&code), "{mode:?}: {more:?}");
        }
        assert!(desk.codes(&buy("0.2400", "10")).contains(&"POSITION_LIMIT"));
    }
    let told = desk.check(&sell("0.2500", "400")).findings;
    let exits = told.iter().filter(|(_, f)| matches!(f, Finding::Exit(_)));
    let exits: Vec<_> = exits.map(|(code, _)| *code).collect();
    let lets_pass = RULES.iter().filter(|rule| rule.lets_exits_pass);
    let lets_pass: Vec<_> = lets_pass.map(|rule| rule.code).collect();
    assert_eq!(
        lets_pass,
        [
            "POSITION_LIMIT",
            "GROSS_EXPOSURE",
            "OPEN_ORDERS",
            "ORDERS_IN_DOUBT"
        ]
    );
    assert_eq!(
        exits,
        lets_pass[1..],
        "a sell of a long is within the position limit anyway"
    );
}

#[test]
fn orders_that_can_only_reduce_add_nothing_to_the_gross_exposure() {
    let desk = Desk::roomy();
    desk.position(&sei(), "8000"); // 2,000 USDC
    desk.position(&eth(), "0.8"); // 2,000 USDC: both together are at the limit
    desk.keep(&sell("0.2600", "5000"), 1).unwrap();
    assert_eq!(desk.keep(&sell("0.2600", "3000"), 2), Ok(()));
    // One lot more could turn the position over; then the whole side counts in its place.
    assert_eq!(desk.codes(&sell("0.2600", "4")), ["GROSS_EXPOSURE"]);
}

#[test]
fn a_dry_run_finds_the_same_and_keeps_nothing() {
    let desk = Desk::new(|limits| limits.order_rate_burst = 1);
    for _ in 0..10 {
        let checked = desk.check(&buy("0.2501", "100"));
        assert!(checked.is_admitted(), "{checked:?}");
        assert_eq!(checked.order.unwrap().price_ticks, Ticks(2_501));
        assert_eq!(checked.findings.len(), RULES.len() - 1);
    }
    assert_eq!(desk.gate.with_exposure(|e| e.open_orders()), 0);
    assert_eq!(desk.codes(&buy("0.2501", "100")), [""; 0]);
    assert!(!desk.check(&buy("0.2501", "100")).is_admitted(), "its rate");
}

#[test]
fn changed_limits_hold_for_the_next_order_under_their_own_version() {
    let desk = Desk::plain();
    let judged = |order: &OrderRequest| desk.admit(order, 1).map(|a| a.judged().limits_v);
    assert_eq!(judged(&buy("0.25", "100")), Ok(1));
    desk.gate.change_limits(Limits {
        version: 2,
        order_notional_max_usdc: d("24"),
        ..Limits::default()
    });
    let denied = judged(&buy("0.25", "100")).unwrap_err();
    assert_eq!(denied.limits_v, 2);
    assert_eq!(judged(&buy("0.25", "96")), Ok(2));
}

#[test]
fn an_order_below_the_venues_least_is_denied() {
    let desk = Desk::plain();
    assert_eq!(desk.codes(&buy("0.25", "4")), [""; 0]);
    assert_eq!(desk.codes(&buy("0.25", "3")), ["NOTIONAL_MIN"]);
}

#[test]
fn a_client_that_sends_too_fast_is_told_when_to_come_back() {
    let desk = Desk::new(|limits| (limits.order_rate_per_s, limits.order_rate_burst) = (10, 2));
    let order = buy("0.25", "100");
    assert_eq!(desk.codes(&order), [""; 0]);
    assert_eq!(desk.codes(&order), [""; 0]);
    assert_eq!(desk.codes(&order), ["ORDER_RATE"]);
    let other = Client::try_from("other".to_owned()).unwrap();
    assert!(
        desk.admit_for(&other, &order).is_ok(),
        "each client has its own bucket"
    );
    desk.clock.advance_millis(100);
    assert_eq!(desk.codes(&order), [""; 0]);
}

/// Invariant: however many threads race, exactly as many orders pass as there is room for.
#[test]
fn of_200_concurrent_orders_of_a_hundredth_of_the_limit_exactly_100_pass() {
    let desk = Desk::plain();
    let passed = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for thread in 0..8_u128 {
            let (desk, passed) = (&desk, &passed);
            threads.spawn(move || {
                for n in 0..25_u128 {
                    let order = buy("0.25", "80"); // 20 USDC of 2,000
                    if desk.keep(&order, thread * 100 + n + 1).is_ok() {
                        passed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 100);
    assert_eq!(
        desk.gate.with_exposure(|e| e.market(&sei()).open_buys),
        d("2000")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Invariant: no request, however odd its numbers, panics or passes with a broken rule; one that
    /// is denied is denied by a rule.
    #[test]
    fn any_numbers_are_judged_without_a_panic(
        price in any::<i128>().prop_map(|n| Decimal::from_i128_with_scale(n >> 34, 8)),
        size in any::<i128>().prop_map(|n| Decimal::from_i128_with_scale(n >> 34, 20)),
        buy in any::<bool>(),
        at_market in any::<bool>(),
    ) {
        let desk = Desk::plain();
        let side = if buy { Side::Buy } else { Side::Sell };
        let terms = if at_market { Terms::Market } else { Terms::limit(price) };
        let order = OrderRequest { terms, size, ..request(side, "1", "1") };
        match desk.admit(&order, 1) {
            Ok(admitted) => {
                prop_assert!(admitted.reserved_usdc() <= d("1000"));
                prop_assert!(at_market || admitted.order().price == price);
                prop_assert!(admitted.order().size == size);
            }
            Err(denials) => prop_assert!(!denials.broken.is_empty()),
        }
    }
}
