//! The rules from both sides of each boundary, and the race for the last room.

use std::sync::Arc;

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{Exposure, Gate, Holder, Limits};
use crate::domain::clock::{ManualClock, UnixMicros};
use crate::domain::identity::Client;
use crate::domain::market::{Market, Symbol};
use crate::domain::order::{OrderId, OrderRequest, OrderType, Side};
use crate::ports::venue::Quote;

fn d(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn sei() -> Symbol {
    Symbol::parse("SEI/USDC").unwrap()
}

fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

fn bot() -> Client {
    Client::try_from("bot".to_owned()).unwrap()
}

fn gate(change: impl FnOnce(&mut Limits)) -> (Arc<Gate>, Arc<ManualClock>) {
    let mut limits = Limits {
        order_rate_burst: 1_000_000,
        ..Limits::default()
    };
    change(&mut limits);
    let clock = ManualClock::at(UnixMicros(1));
    let gate = Gate::new(limits, Exposure::default(), clock.clone());
    let market = |symbol: &str, tick: &str, lot: &str| Market {
        symbol: Symbol::parse(symbol).unwrap(),
        tick: d(tick),
        lot: d(lot),
        least_notional: d("1"),
    };
    gate.publish_markets(vec![
        market("SEI/USDC", "0.0001", "1"),
        market("ETH/USDC", "0.01", "0.001"),
        market("BTC/USDC", "0.01", "0.001"),
    ]);
    gate.publish_quote(
        &sei(),
        Some(Quote {
            bid: d("0.2499"),
            ask: d("0.2501"),
        }),
    );
    let eth = Symbol::parse("ETH/USDC").unwrap();
    gate.publish_quote(
        &eth,
        Some(Quote {
            bid: d("2499.5"),
            ask: d("2500.5"),
        }),
    );
    (gate, clock)
}

fn request(side: Side, price: &str, size: &str) -> OrderRequest {
    OrderRequest {
        symbol: "SEI/USDC".into(),
        side,
        price: d(price),
        size: d(size),
        order_type: OrderType::Limit,
        client_order_id: None,
    }
}

/// The codes that an order is denied with; empty when it is admitted (and given back at once).
fn codes(gate: &Arc<Gate>, request: &OrderRequest) -> Vec<&'static str> {
    match gate.admit(request, &bot(), id(u128::MAX), 0) {
        Ok(_) => vec![],
        Err(denials) => denials.0.iter().map(|denial| denial.code()).collect(),
    }
}

/// Admits and keeps the exposure, as a durable intent does.
fn keep(gate: &Arc<Gate>, request: &OrderRequest, n: u128) -> Result<(), Vec<&'static str>> {
    match gate.admit(request, &bot(), id(n), 0) {
        Ok(admitted) => {
            drop(admitted.recorded(crate::journal::Committed::for_tests(n as u64)));
            Ok(())
        }
        Err(denials) => Err(denials.0.iter().map(|denial| denial.code()).collect()),
    }
}

#[test]
fn a_plain_order_is_admitted_and_gives_its_exposure_back_when_dropped() {
    let (gate, _) = gate(|_| {});
    assert_eq!(codes(&gate, &request(Side::Buy, "0.25", "100")), [""; 0]);
    assert_eq!(
        gate.with_exposure(|e| (e.open_orders(), e.market(&sei()).open_buys)),
        (0, d("0"))
    );
}

#[test]
fn every_violation_is_reported_at_once() {
    let (gate, _) = gate(|limits| limits.open_orders_max = 0);
    assert_eq!(
        codes(&gate, &request(Side::Buy, "900000.00001", "900000.5")),
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
    let (gate, _) = gate(|_| {});
    for (price, size, code) in [
        ("0", "1", "PRICE_RANGE"),
        ("-0.25", "1", "PRICE_RANGE"),
        ("1000000.0001", "1", "PRICE_RANGE"),
        ("0.25", "0", "SIZE_RANGE"),
        ("0.25", "-1", "SIZE_RANGE"),
        ("0.25", "1000001", "SIZE_RANGE"),
    ] {
        assert_eq!(
            codes(&gate, &request(Side::Buy, price, size)).first(),
            Some(&code),
            "{price}"
        );
    }
}

#[test]
fn an_unknown_market_and_one_not_named_in_the_settings_are_denied_alike() {
    let (gate, _) = gate(|_| {});
    for symbol in ["DOGE/USDC", "BTC/USDC", "nonsense", ""] {
        let order = OrderRequest {
            symbol: symbol.into(),
            ..request(Side::Buy, "0.25", "100")
        };
        assert_eq!(codes(&gate, &order), ["UNKNOWN_SYMBOL"], "{symbol:?}");
    }
}

#[test]
fn the_collar_is_inclusive_on_both_sides() {
    let (gate, _) = gate(|_| {});
    for (price, denied) in [
        ("0.2625", false),
        ("0.2626", true),
        ("0.2375", false),
        ("0.2374", true),
    ] {
        let denials = codes(&gate, &request(Side::Sell, price, "100"));
        assert_eq!(denials == ["PRICE_COLLAR"], denied, "{price}: {denials:?}");
    }
}

#[test]
fn an_order_is_valued_at_the_worse_of_its_price_and_the_reference() {
    let (gate, _) = gate(|_| {});
    // 4,000 at the reference of 0.25 are exactly 1,000 USDC, however low the sell is priced.
    assert_eq!(
        codes(&gate, &request(Side::Sell, "0.2400", "4000")),
        [""; 0]
    );
    assert_eq!(
        codes(&gate, &request(Side::Sell, "0.2400", "4001")),
        ["ORDER_NOTIONAL"]
    );
    assert_eq!(codes(&gate, &request(Side::Buy, "0.2600", "3846")), [""; 0]);
    assert_eq!(
        codes(&gate, &request(Side::Buy, "0.2600", "3847")),
        ["ORDER_NOTIONAL"]
    );
}

#[test]
fn an_order_that_lands_exactly_on_the_position_limit_is_admitted() {
    let (gate, _) = gate(|limits| limits.order_notional_max_usdc = d("100000"));
    assert!(keep(&gate, &request(Side::Buy, "0.25", "7996"), 1).is_ok());
    assert_eq!(codes(&gate, &request(Side::Buy, "0.25", "4")), [""; 0]);
    assert_eq!(
        codes(&gate, &request(Side::Buy, "0.25", "5")),
        ["POSITION_LIMIT"]
    );
    assert_eq!(codes(&gate, &request(Side::Sell, "0.25", "7996")), [""; 0]);
}

#[test]
fn a_position_counts_for_its_own_side_and_makes_room_on_the_other() {
    let (gate, _) = gate(|limits| limits.order_notional_max_usdc = d("100000"));
    gate.with_exposure(|e| e.set_position(&sei(), d("8000")));
    assert_eq!(
        codes(&gate, &request(Side::Buy, "0.25", "4")),
        ["POSITION_LIMIT"]
    );
    assert_eq!(codes(&gate, &request(Side::Sell, "0.25", "8000")), [""; 0]);
}

#[test]
fn gross_exposure_adds_all_markets_and_sides() {
    let (gate, _) = gate(|limits| limits.order_notional_max_usdc = d("100000"));
    let eth = Symbol::parse("ETH/USDC").unwrap();
    gate.with_exposure(|e| e.set_position(&eth, d("-0.8")));
    assert!(keep(&gate, &request(Side::Buy, "0.25", "4000"), 1).is_ok());
    assert_eq!(codes(&gate, &request(Side::Sell, "0.25", "4000")), [""; 0]);
    assert_eq!(
        codes(&gate, &request(Side::Sell, "0.25", "4001")),
        ["GROSS_EXPOSURE"]
    );
}

#[test]
fn without_a_reference_nothing_is_admitted() {
    let (gate, _) = gate(|_| {});
    gate.publish_quote(&sei(), None);
    assert_eq!(
        codes(&gate, &request(Side::Buy, "0.25", "100")),
        ["REFERENCE_MISSING"]
    );
    gate.publish_quote(
        &sei(),
        Some(Quote {
            bid: d("0.26"),
            ask: d("0.25"),
        }),
    );
    assert_eq!(
        codes(&gate, &request(Side::Buy, "0.25", "100")),
        ["REFERENCE_MISSING"]
    );
}

#[test]
fn an_order_below_the_venues_least_is_denied() {
    let (gate, _) = gate(|_| {});
    assert_eq!(codes(&gate, &request(Side::Buy, "0.25", "4")), [""; 0]);
    assert_eq!(
        codes(&gate, &request(Side::Buy, "0.25", "3")),
        ["NOTIONAL_MIN"]
    );
}

#[test]
fn a_client_that_sends_too_fast_is_told_when_to_come_back() {
    let (gate, clock) = gate(|limits| (limits.order_rate_per_s, limits.order_rate_burst) = (10, 2));
    let order = request(Side::Buy, "0.25", "100");
    assert_eq!(codes(&gate, &order), [""; 0]);
    assert_eq!(codes(&gate, &order), [""; 0]);
    assert_eq!(codes(&gate, &order), ["ORDER_RATE"]);
    let other = Client::try_from("other".to_owned()).unwrap();
    assert!(
        gate.admit(&order, &other, id(2), 0).is_ok(),
        "each client has its own bucket"
    );
    clock.advance_millis(100);
    assert_eq!(codes(&gate, &order), [""; 0]);
}

/// Invariant: however many threads race, exactly as many orders pass as there is room for.
#[test]
fn of_200_concurrent_orders_of_a_hundredth_of_the_limit_exactly_100_pass() {
    let (gate, _) = gate(|_| {});
    let passed = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for thread in 0..8_u128 {
            let (gate, passed) = (&gate, &passed);
            threads.spawn(move || {
                for n in 0..25_u128 {
                    let order = request(Side::Buy, "0.25", "80"); // 20 USDC of 2,000
                    if keep(gate, &order, thread * 100 + n + 1).is_ok() {
                        passed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 100);
    assert_eq!(
        gate.with_exposure(|e| e.market(&sei()).open_buys),
        d("2000")
    );
}

/// What the exposure must add up to, computed from scratch.
#[derive(Default)]
struct Model {
    position: Decimal,
    open: std::collections::BTreeMap<u128, (Side, Decimal, Decimal)>,
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(u128, bool, u32, u32),
    Release(u128),
    Fill(u128, u32),
    ForeignFill(bool, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0_u128..6;
    prop::collection::vec(
        prop_oneof![
            (id.clone(), any::<bool>(), 1_u32..9, 1_u32..50)
                .prop_map(|(id, buy, p, s)| Step::Reserve(id, buy, p, s)),
            id.clone().prop_map(Step::Release),
            (id, 1_u32..60).prop_map(|(id, s)| Step::Fill(id, s)),
            (any::<bool>(), 1_u32..9).prop_map(|(buy, s)| Step::ForeignFill(buy, s)),
        ],
        0..60,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Invariant: sums kept step by step equal the sums over what is open, after any steps.
    #[test]
    fn exposure_always_adds_up(steps in steps()) {
        let mut exposure = Exposure::default();
        let mut model = Model::default();
        let side = |buy| if buy { Side::Buy } else { Side::Sell };
        for step in steps {
            match step {
                Step::Reserve(n, buy, price, size) => {
                    let (price, size) = (Decimal::from(price), Decimal::from(size));
                    exposure.hold(Holder::Ours(id(n)), &sei(), side(buy), price, size);
                    model.open.entry(n).or_insert((side(buy), price, size));
                }
                Step::Release(n) => {
                    exposure.release(&Holder::Ours(id(n)));
                    model.open.remove(&n);
                }
                Step::Fill(n, size) => {
                    let Some((side, _, left)) = model.open.get_mut(&n) else { continue };
                    let size = Decimal::from(size).min(*left);
                    exposure.fill(Some(&Holder::Ours(id(n))), &sei(), *side, size);
                    model.position += if *side == Side::Buy { size } else { -size };
                    *left -= size;
                    if left.is_zero() { model.open.remove(&n); }
                }
                Step::ForeignFill(buy, size) => {
                    exposure.fill(None, &sei(), side(buy), Decimal::from(size));
                    model.position += Decimal::from(size) * if buy { d("1") } else { d("-1") };
                }
            }
            let sum = |wanted| model.open.values().filter(|(side, ..)| *side == wanted)
                .map(|(_, price, left)| price * left).sum::<Decimal>();
            let market = exposure.market(&sei());
            prop_assert_eq!(market.position, model.position);
            prop_assert_eq!(market.open_buys, sum(Side::Buy));
            prop_assert_eq!(market.open_sells, sum(Side::Sell));
            prop_assert_eq!(exposure.open_orders(), model.open.len());
            let stored = serde_json::to_vec(&exposure).unwrap();
            prop_assert_eq!(&serde_json::from_slice::<Exposure>(&stored).unwrap(), &exposure);
        }
    }

    /// Invariant: no request, however odd its numbers, panics or passes with a broken rule.
    #[test]
    fn any_numbers_are_judged_without_a_panic(
        price in any::<i128>().prop_map(|n| Decimal::from_i128_with_scale(n >> 34, 8)),
        size in any::<i128>().prop_map(|n| Decimal::from_i128_with_scale(n >> 34, 20)),
        buy in any::<bool>(),
    ) {
        let (gate, _) = gate(|_| {});
        let side = if buy { Side::Buy } else { Side::Sell };
        let order = OrderRequest { price, size, ..request(side, "1", "1") };
        if let Ok(admitted) = gate.admit(&order, &bot(), id(1), 0) {
            prop_assert!(admitted.reserved_usdc() <= d("1000"));
            prop_assert!(admitted.order().price == price && admitted.order().size == size);
        }
    }
}
