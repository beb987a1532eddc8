use super::*;

/// A venue that stands still, and one account that is told.
struct Bench {
    exchange: Exchange,
    feeds: Feeds,
}

fn fill(account: &str, side: Side, liquidity: Liquidity) -> Fill {
    Fill {
        id: 7,
        account: account.into(),
        order_number: 3,
        client_order_id: "c".into(),
        market: 0,
        side,
        ticks: 2_501,
        lots: 100,
        fee_units: 0,
        liquidity,
        at_ms: 9,
    }
}

impl Bench {
    fn new() -> Self {
        let behaviour = super::super::exchange::Behaviour {
            volatility_bps_per_s: 0,
            depth_per_level: 0,
            seed: 1,
        };
        let (exchange, _) = Exchange::restore(Default::default(), behaviour, 1);
        Self {
            exchange,
            feeds: Feeds::default(),
        }
    }

    fn subscribe(&mut self, account: &str) -> Option<Subscription> {
        let (subscriber, subscription) = subscription(account.into());
        let joined = self.feeds.join(subscriber);
        self.feeds.publish(&self.exchange, 5);
        joined.then_some(subscription)
    }

    fn note(&mut self, fills: &[Fill], cause: Cause) {
        let changes = fills.iter().cloned().map(Change::Fill);
        self.feeds.note(&changes.collect::<Vec<_>>(), cause);
        self.feeds.publish(&self.exchange, 6);
    }
}

fn told(subscription: &mut Subscription) -> Vec<Value> {
    let messages = std::iter::from_fn(|| subscription.messages.try_recv().ok());
    messages.map(|m| m.to_json(1).unwrap()).collect()
}

fn types(told: &[Value]) -> Vec<&str> {
    told.iter().map(|m| m["type"].as_str().unwrap()).collect()
}

#[test]
fn who_joins_is_told_every_best_price_and_then_only_what_changes() {
    let mut bench = Bench::new();
    let mut first = bench.subscribe("a").unwrap();
    let book = json!({
        "seq": 1, "type": "book", "symbol": "SEI/USDC", "bid": "0.2499", "ask": "0.2501", "ts": 5,
    });
    let books = told(&mut first);
    assert_eq!(types(&books), ["book", "book"]);
    assert_eq!(books[0], book);
    let mut second = bench.subscribe("a").unwrap();
    assert_eq!(types(&told(&mut second)), ["book", "book"]);
    assert_eq!(told(&mut first), Vec::<Value>::new());
}

#[test]
fn a_trade_is_told_once_to_all_and_a_fill_to_its_account() {
    let mut bench = Bench::new();
    let mut ours = bench.subscribe("a").unwrap();
    let mut others = bench.subscribe("b").unwrap();
    told(&mut ours);
    told(&mut others);
    let taken = fill("a", Side::Buy, Liquidity::Taker);
    let made = fill("b", Side::Sell, Liquidity::Maker);
    bench.note(&[taken, made], Cause::Order);
    let ours = told(&mut ours);
    assert_eq!(types(&ours), ["trade", "fill"]);
    let trade = json!({
        "seq": 1, "type": "trade", "symbol": "SEI/USDC", "side": "buy", "price": "0.2501",
        "quantity": "100", "ts": 9,
    });
    assert_eq!(ours[0], trade);
    assert_eq!(
        (&ours[1]["fill_id"], &ours[1]["seq"]),
        (&json!("7"), &json!(1))
    );
    let others = told(&mut others);
    assert_eq!(types(&others), ["trade", "fill"]);
    assert_eq!(others[1]["liquidity"], "maker");
}

#[test]
fn the_reference_is_the_taker_of_what_it_crosses() {
    let mut bench = Bench::new();
    let mut ours = bench.subscribe("a").unwrap();
    told(&mut ours);
    bench.note(&[fill("a", Side::Buy, Liquidity::Maker)], Cause::Reference);
    let ours = told(&mut ours);
    assert_eq!(types(&ours), ["trade", "fill"]);
    assert_eq!(ours[0]["side"], "sell");
}

#[test]
fn who_does_not_keep_up_is_dismissed_and_others_are_told_all() {
    let mut bench = Bench::new();
    let mut slow = bench.subscribe("a").unwrap();
    let mut quick = bench.subscribe("b").unwrap();
    let mut heard = told(&mut quick).len();
    // Two best prices wait already; each fill of b is a trade for both and a fill for b alone.
    for n in 1..=WAITING_MESSAGES_MAX {
        assert_eq!(
            slow.dismissed
                .try_recv()
                .is_err_and(|e| e == oneshot::error::TryRecvError::Closed),
            n > WAITING_MESSAGES_MAX - 1,
        );
        bench.note(&[fill("b", Side::Buy, Liquidity::Taker)], Cause::Order);
        heard += told(&mut quick).len();
    }
    assert_eq!(heard, 2 + 2 * WAITING_MESSAGES_MAX);
    assert_eq!(bench.feeds.subscribers.len(), 1);
}

#[test]
fn there_is_room_for_so_many_and_again_when_one_has_gone() {
    let mut bench = Bench::new();
    let mut all = Vec::new();
    for _ in 0..SUBSCRIBERS_MAX {
        all.push(bench.subscribe("a").unwrap());
    }
    assert!(bench.subscribe("a").is_none());
    all.pop();
    assert!(bench.subscribe("a").is_some());
}
