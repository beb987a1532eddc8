use super::*;

fn exchange(depth_per_level: u64) -> Exchange {
    let behaviour = Behaviour {
        volatility_bps_per_s: 0,
        depth_per_level,
        seed: 1,
    };
    Exchange::restore(Remembered::default(), behaviour, 0).0
}

fn account() -> Arc<str> {
    "a".into()
}

fn terms(id: u64, side: Side, kind: OrderType, price: &str, quantity: &str) -> NewOrder {
    NewOrder {
        market: "SEI/USDC".to_owned(),
        side,
        kind,
        price: price.to_owned(),
        quantity: quantity.to_owned(),
        client_order_id: format!("c{id}"),
        expires_at_ms: 5_000,
        signer: [0; 20],
        signature: String::new(),
        digest: [0; 32],
    }
}

fn place(exchange: &mut Exchange, terms: NewOrder) -> Order {
    exchange.place(&account(), terms, 1_000).0
}

fn limit(exchange: &mut Exchange, side: Side, price: &str, quantity: &str) -> Order {
    place(exchange, terms(1, side, OrderType::Limit, price, quantity))
}

fn refused(exchange: &mut Exchange, terms: NewOrder) -> String {
    let order = place(exchange, terms);
    assert_eq!(order.status, Status::Rejected);
    order.reason.unwrap().split(':').next().unwrap().to_owned()
}

#[test]
fn a_crossing_limit_order_is_filled_at_the_quote_with_the_taker_fee() {
    let mut exchange = exchange(0);
    let (order, changes) = exchange.place(
        &account(),
        terms(1, Side::Buy, OrderType::Limit, "0.251", "100"),
        1_000,
    );
    assert_eq!((order.status, order.filled_lots), (Status::Filled, 100));
    let fills = changes.iter().filter_map(|change| match change {
        Change::Fill(fill) => Some((
            fill.id,
            fill.ticks,
            fill.lots,
            fill.fee_units,
            fill.liquidity,
        )),
        _ => None,
    });
    assert_eq!(
        fills.collect::<Vec<_>>(),
        [(1, 2501, 100, 1_250_500, Liquidity::Taker)]
    );
    let held = Position {
        lots: 100,
        cash_units: -250_100,
        fee_units: 1_250_500,
    };
    assert_eq!(exchange.positions("a").get(&0), Some(&held));
}

#[test]
fn a_resting_order_is_live_until_it_is_cancelled_and_only_by_its_account() {
    let mut exchange = exchange(0);
    let order = limit(&mut exchange, Side::Buy, "0.24", "100");
    assert_eq!(order.status, Status::Open);
    assert!(exchange.cancel("b", order.number, 2_000).is_none());
    let (cancelled, _) = exchange.cancel("a", order.number, 2_000).unwrap();
    assert_eq!(
        (cancelled.status, cancelled.closed_at_ms),
        (Status::Cancelled, Some(2_000))
    );
    assert!(exchange.cancel("a", order.number, 2_000).is_none());
    assert_eq!(exchange.live_orders("a").count(), 0);
}

#[test]
fn a_partly_filled_order_rests_and_an_ioc_does_not() {
    let mut exchange = exchange(60);
    let rests = limit(&mut exchange, Side::Buy, "0.2501", "100");
    assert_eq!(
        (rests.status, rests.filled_lots),
        (Status::PartiallyFilled, 60)
    );
    let ioc = place(
        &mut exchange,
        terms(2, Side::Sell, OrderType::Ioc, "0.2499", "200"),
    );
    // 40 from the resting buy at 0.2501, then 60 from the reference at 0.2499.
    assert!(
        ioc.reason.unwrap().starts_with("SELF_TRADE"),
        "one account never trades with itself"
    );
    exchange.cancel_all("a", 2_000);
    let ioc = place(
        &mut exchange,
        terms(3, Side::Sell, OrderType::Ioc, "0.2499", "200"),
    );
    assert_eq!(
        (ioc.status, ioc.filled_lots, ioc.reason),
        (Status::Cancelled, 60, None)
    );
}

#[test]
fn two_accounts_trade_with_each_other_at_the_resting_price() {
    let mut exchange = exchange(0);
    limit(&mut exchange, Side::Sell, "0.25", "30");
    let other: Arc<str> = "b".into();
    let buy = terms(1, Side::Buy, OrderType::Limit, "0.2505", "10");
    let (order, changes) = exchange.place(&other, buy, 1_000);
    assert_eq!(order.status, Status::Filled);
    let sides = changes.iter().filter_map(|change| match change {
        Change::Fill(fill) => Some((fill.account.to_string(), fill.ticks, fill.liquidity)),
        _ => None,
    });
    let expected = [
        ("b".to_owned(), 2500, Liquidity::Taker),
        ("a".to_owned(), 2500, Liquidity::Maker),
    ];
    assert_eq!(sides.collect::<Vec<_>>(), expected);
    let rest = exchange.live_orders("a").next().unwrap();
    assert_eq!(
        (rest.status, rest.filled_lots),
        (Status::PartiallyFilled, 10)
    );
}

#[test]
fn each_rule_refuses_with_its_code() {
    let mut exchange = exchange(0);
    let base = || terms(1, Side::Buy, OrderType::Limit, "0.24", "100");
    let cases: [(&str, NewOrder); 7] = [
        (
            "UNKNOWN_MARKET",
            NewOrder {
                market: "BTC/USDC".into(),
                ..base()
            },
        ),
        (
            "TICK_SIZE",
            NewOrder {
                price: "0.24001".into(),
                ..base()
            },
        ),
        (
            "LOT_SIZE",
            NewOrder {
                quantity: "100.5".into(),
                ..base()
            },
        ),
        (
            "AMOUNT_OUT_OF_RANGE",
            NewOrder {
                quantity: "0".into(),
                ..base()
            },
        ),
        (
            "AMOUNT_OUT_OF_RANGE",
            NewOrder {
                price: "1000000001".into(),
                ..base()
            },
        ),
        (
            "EXPIRED",
            NewOrder {
                expires_at_ms: 999,
                ..base()
            },
        ),
        (
            "POST_ONLY_WOULD_TAKE",
            NewOrder {
                kind: OrderType::PostOnly,
                price: "0.2501".into(),
                ..base()
            },
        ),
    ];
    for (code, terms) in cases {
        assert_eq!(refused(&mut exchange, terms), code);
    }
    assert_eq!(exchange.live_orders("a").count(), 0);
}

#[test]
fn each_bound_is_taken_from_its_inner_side() {
    let mut exchange = exchange(0);
    let base = || terms(1, Side::Buy, OrderType::Limit, "0.05", "2");
    assert_eq!(
        place(&mut exchange, base()).status,
        Status::Open,
        "0.1 USDC is the least notional"
    );
    let short = NewOrder {
        price: "0.0999".into(),
        quantity: "1".into(),
        ..base()
    };
    assert_eq!(refused(&mut exchange, short), "LEAST_NOTIONAL");
    let in_time = NewOrder {
        expires_at_ms: 1_000,
        ..base()
    };
    assert_eq!(place(&mut exchange, in_time).status, Status::Open);
    let post_only = NewOrder {
        kind: OrderType::PostOnly,
        price: "0.25".into(),
        ..base()
    };
    assert_eq!(place(&mut exchange, post_only).status, Status::Open);
}

#[test]
fn the_count_of_live_orders_is_bounded_and_a_cancel_makes_room() {
    let mut exchange = exchange(0);
    for _ in 0..LIVE_ORDERS_PER_ACCOUNT_MAX {
        assert_eq!(
            limit(&mut exchange, Side::Buy, "0.2", "1").status,
            Status::Open
        );
    }
    let more = || terms(1, Side::Buy, OrderType::Limit, "0.2", "1");
    assert_eq!(refused(&mut exchange, more()), "TOO_MANY_OPEN_ORDERS");
    assert!(exchange.cancel("a", 1, 2_000).is_some());
    assert_eq!(place(&mut exchange, more()).status, Status::Open);
}

#[test]
fn a_moving_reference_fills_what_it_crosses() {
    let behaviour = Behaviour {
        volatility_bps_per_s: 500,
        depth_per_level: 0,
        seed: 3,
    };
    let (mut exchange, _) = Exchange::restore(Remembered::default(), behaviour, 0);
    let order = limit(&mut exchange, Side::Buy, "0.248", "100");
    assert_eq!(order.status, Status::Open);
    let mut changes = Vec::new();
    for now_ms in (1_000..600_000).step_by(1_000) {
        changes.extend(exchange.advance(now_ms));
    }
    let filled = changes.iter().any(|change| match change {
        Change::Fill(fill) => (fill.ticks, fill.liquidity) == (2480, Liquidity::Maker),
        _ => false,
    });
    assert!(
        filled,
        "ten minutes at 5 % a second pass every price nearby"
    );
    assert_eq!(exchange.live_orders("a").count(), 0);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Place {
            who: bool,
            buy: bool,
            kind: u8,
            ticks: u64,
            lots: u64,
        },
        Cancel {
            who: bool,
            number: u64,
        },
        Advance,
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (any::<bool>(), any::<bool>(), 0_u8..3, 2_450_u64..2_550, 1_u64..200).prop_map(
                |(who, buy, kind, ticks, lots)| Step::Place { who, buy, kind, ticks, lots }
            ),
            2 => (any::<bool>(), 1_u64..60).prop_map(|(who, number)| Step::Cancel { who, number }),
            3 => Just(Step::Advance),
            1 => Just(Step::Restart),
        ]
    }

    /// What a store would hold after the changes.
    #[derive(Default)]
    struct Ledger {
        orders: BTreeMap<u64, Order>,
        fills: Vec<Fill>,
        positions: BTreeMap<(Arc<str>, usize), Position>,
    }

    impl Ledger {
        fn write(&mut self, changes: Vec<Change>) {
            for change in changes {
                match change {
                    Change::Order(order) => drop(self.orders.insert(order.number, order)),
                    Change::Accepted(order) => assert!(self.orders.contains_key(&order.number)),
                    Change::Fill(fill) => self.fills.push(fill),
                    Change::Position {
                        account,
                        market,
                        position,
                    } => {
                        self.positions.insert((account, market), position);
                    }
                }
            }
        }

        fn remembered(&self, exchange: &Exchange) -> Remembered {
            Remembered {
                live: self
                    .orders
                    .values()
                    .filter(|order| order.closed_at_ms.is_none())
                    .cloned()
                    .collect(),
                positions: self
                    .positions
                    .iter()
                    .map(|((a, m), p)| (a.clone(), *m, p.clone()))
                    .collect(),
                last_order: self.orders.keys().last().copied().unwrap_or_default(),
                last_fill: self.fills.last().map_or(0, |fill| fill.id),
                references: exchange.references().collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn fills_make_positions_and_no_fill_is_worse_than_its_limit(
            depth_per_level in 0_u64..50, steps in prop::collection::vec(step(), 1..80),
        ) {
            let behaviour = Behaviour { volatility_bps_per_s: 100, depth_per_level, seed: 9 };
            let (mut exchange, _) = Exchange::restore(Remembered::default(), behaviour, 0);
            let (mut ledger, mut now_ms) = (Ledger::default(), 0);
            let name = |who: bool| -> Arc<str> { if who { "a".into() } else { "b".into() } };
            for step in steps {
                match step {
                    Step::Place { who, buy, kind, ticks, lots } => {
                        let side = if buy { Side::Buy } else { Side::Sell };
                        let kind = [OrderType::Limit, OrderType::PostOnly, OrderType::Ioc][usize::from(kind)];
                        let price = crate::venues::paper::market::units_text(i128::from(ticks), 4);
                        let mut terms = terms(1, side, kind, &price, &lots.to_string());
                        terms.expires_at_ms = u64::MAX;
                        ledger.write(exchange.place(&name(who), terms, now_ms).1);
                    }
                    Step::Cancel { who, number } => {
                        if let Some((_, changes)) = exchange.cancel(&name(who), number, now_ms) {
                            ledger.write(changes);
                        }
                    }
                    Step::Advance => {
                        now_ms += 500;
                        ledger.write(exchange.advance(now_ms));
                    }
                    Step::Restart => {
                        let (again, changes) =
                            Exchange::restore(ledger.remembered(&exchange), behaviour, now_ms);
                        exchange = again;
                        ledger.write(changes);
                    }
                }
            }
            for (id, fill) in (1_u64..).zip(&ledger.fills) {
                prop_assert_eq!(fill.id, id, "ids grow by one");
                let order = &ledger.orders[&fill.order_number];
                let limit = MARKETS[0].ticks(&order.terms.price).unwrap();
                let within = if fill.side == Side::Buy { fill.ticks <= limit } else { fill.ticks >= limit };
                prop_assert!(within, "a fill at {} against a limit of {}", fill.ticks, limit);
            }
            for ((account, market), held) in &ledger.positions {
                let mut sum = Position::default();
                let own = ledger.fills.iter().filter(|f| f.account == *account && f.market == *market);
                own.for_each(|fill| sum.add(fill));
                prop_assert_eq!(&sum, held);
                let now = exchange.positions(account);
                prop_assert_eq!(now.get(market), Some(held));
            }
            for order in ledger.orders.values() {
                let own = ledger.fills.iter().filter(|fill| fill.order_number == order.number);
                let filled = own.map(|fill| fill.lots).sum::<u64>();
                let whole = MARKETS[0].lots(&order.terms.quantity).unwrap();
                prop_assert_eq!(filled, order.filled_lots);
                prop_assert!(filled <= whole);
                prop_assert_eq!(order.status == Status::Filled, filled == whole);
                let live = exchange.live_orders(&order.account).find(|o| o.number == order.number);
                prop_assert_eq!(order.closed_at_ms.is_none(), live.is_some());
                if let Some(live) = live { prop_assert_eq!(live, order); }
            }
        }
    }
}
