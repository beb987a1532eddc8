//! Every fault of `venue-sim` from outside: what the caller sees on the wire, and whether the venue
//! has the effect, by its own record.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::daemon::{program, resting as resting_order, run_bounded};
use super::simulator::{Simulator, trading_at_a_simulator};
use super::trader::{Feed, Outcome, Trader, finish, now_ms, resting, signer};
use super::until::until;

/// Longer than any test: what waits so long ends because the plan is replaced.
const FOR_EVER_MS: u64 = 600_000;

/// A simulator and an account there.
struct Bench {
    simulator: Simulator,
    trader: Trader,
}

impl Bench {
    fn start(more: &[&str]) -> Self {
        let simulator = Simulator::start(&signer(), more);
        let trader = Trader::at(&simulator);
        Self { simulator, trader }
    }

    /// Puts a plan of one rule: `fields` are those of the rule beside `calls` and `fault`.
    fn fault(&self, call: &str, word: &str, fields: Value) {
        let mut rule = json!({ "calls": [call], "fault": word });
        let fields = fields.as_object().cloned().unwrap_or_default();
        rule.as_object_mut().unwrap().extend(fields);
        self.simulator.plan(&json!({ "seed": 1, "rules": [rule] }));
    }

    fn has(&self, id: &str) -> bool {
        !self.simulator.order(id).is_null()
    }

    fn status(&self, id: &str) -> Value {
        self.simulator.order(id)["status"].clone()
    }

    /// Waits until the venue has an order.
    fn until_it_has(&self, id: &str) -> Value {
        until(&format!("the venue has {id}"), || {
            match self.simulator.order(id) {
                Value::Null => Err("it has not".to_owned()),
                order => Ok(order),
            }
        })
    }

    /// Waits until so many orders were asked for.
    fn until_places(&self, wanted: u64) {
        self.until_counted("/calls/orders.place/asked", wanted);
    }

    /// Waits until a number in the simulator's counts is this one.
    fn until_counted(&self, pointer: &str, wanted: u64) {
        until(&format!("{pointer} is {wanted}"), || {
            let counts = self.simulator.read("/sim/calls");
            match counts.pointer(pointer) {
                Some(seen) if *seen == wanted => Ok(()),
                _ => Err(counts.to_string()),
            }
        });
    }

    fn open(&self) -> Vec<String> {
        self.simulator.record().open()
    }
}

/// A kind of fault, and what shows that it does what it says.
type Case = (&'static str, fn(&Bench));

/// Every kind of fault with its case. That none is missing is seen in the simulator's own counts.
const CASES: [Case; 20] = [
    ("latency", latency),
    ("throttle", throttle),
    ("status", status),
    ("status_after", status_after),
    ("drop_before", drop_before),
    ("drop_after", drop_after),
    ("reset_mid_answer", reset_mid_answer),
    ("hold", hold),
    ("hang", hang),
    ("late", late),
    ("partial_cancel", partial_cancel),
    ("cancel_ignored", cancel_ignored),
    ("garbage", garbage),
    ("empty_object", empty_object),
    ("down", down),
    ("feed.gap", feed_gap),
    ("feed.duplicate", feed_duplicate),
    ("feed.reorder", feed_reorder),
    ("feed.stall", feed_stall),
    ("feed.cut", feed_cut),
];

fn every_fault_does_what_it_says(more: &[&str]) {
    let bench = Bench::start(more);
    for (word, case) in CASES {
        eprintln!("{word}");
        case(&bench);
        bench.simulator.no_faults();
        // It is over: the venue is itself again.
        let id = format!("after-{word}");
        bench.trader.place(&id).expect(201);
        assert_eq!(bench.status(&id), "open");
        bench.trader.call("DELETE", "/orders", "").expect(200);
        assert_eq!(bench.open(), Vec::<String>::new());
    }
    let counts = bench.simulator.read("/sim/calls");
    let counts = counts["faults"].as_object().unwrap();
    let known = counts.keys().map(String::as_str).collect::<BTreeSet<_>>();
    let tried = CASES.map(|(word, _)| word).into_iter().collect();
    assert_eq!(known, tried, "a kind of fault without a case");
    for (word, count) in counts {
        assert_ne!(*count, 0, "{word} was never done");
    }
}

#[test]
fn every_fault_does_what_it_says_over_plain_http() {
    every_fault_does_what_it_says(&[]);
}

#[test]
fn every_fault_does_what_it_says_over_tls() {
    every_fault_does_what_it_says(&["--tls"]);
}

fn latency(bench: &Bench) {
    let before = bench.simulator.asked("orders.place");
    bench.fault("orders.place", "latency", json!({ "ms": FOR_EVER_MS }));
    let gone = bench.trader.begin_place("latency-gone");
    bench.until_places(before + 1);
    let patient = bench.trader.begin_place("latency");
    bench.until_places(before + 2);
    assert!(!bench.has("latency-gone") && !bench.has("latency"));
    bench.until_counted("/under_way", 2);
    // One caller goes away; its order is on its way all the same.
    drop(gone);
    bench.simulator.no_faults();
    finish(patient).expect(201);
    bench.until_counted("/under_way", 0);
    assert_eq!(bench.status("latency-gone"), "open");
    assert_eq!(bench.status("latency"), "open");
}

fn throttle(bench: &Bench) {
    let fields = json!({ "retry_after_s": 7, "times": 1 });
    bench.fault("orders.place", "throttle", fields);
    let outcome = bench.trader.place("throttled");
    outcome.expect(429);
    let Outcome::Answered(reply) = outcome else {
        unreachable!()
    };
    assert_eq!(reply.header("retry-after"), Some("7"));
    assert!(!bench.has("throttled"));
    // `times` is used up: the retry is taken.
    bench.trader.place("throttled").expect(201);
}

fn status(bench: &Bench) {
    bench.fault("orders.place", "status", json!({ "code": 502 }));
    let answer = bench.trader.place("failed").expect(502);
    assert_eq!(answer["error"]["code"], "INJECTED");
    assert!(!bench.has("failed"));
    // Another call is not struck.
    bench.trader.call("GET", "/account", "").expect(200);
}

fn status_after(bench: &Bench) {
    bench.fault("orders.place", "status_after", json!({ "code": 504 }));
    bench.trader.place("done-504").expect(504);
    assert_eq!(bench.status("done-504"), "open");
}

fn drop_before(bench: &Bench) {
    bench.fault("*", "drop_before", json!({}));
    bench.trader.place("dropped-before").expect_closed();
    bench.trader.call("GET", "/positions", "").expect_closed();
    assert!(!bench.has("dropped-before"));
}

fn drop_after(bench: &Bench) {
    bench.fault("*", "drop_after", json!({}));
    bench.trader.place("dropped-after").expect_closed();
    assert_eq!(bench.status("dropped-after"), "open");
    bench.trader.call("DELETE", "/orders", "").expect_closed();
    assert_eq!(bench.status("dropped-after"), "cancelled");
}

fn reset_mid_answer(bench: &Bench) {
    bench.fault("orders.place", "reset_mid_answer", json!({}));
    let outcome = bench.trader.place("torn");
    let Outcome::Reset(seen) = &outcome else {
        panic!("{outcome:?}")
    };
    let seen = String::from_utf8_lossy(seen);
    assert!(seen.starts_with("HTTP/1.1 201 Created\r\n"), "{seen:?}");
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    let (_, length) = head.split_once("content-length: ").unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    assert_eq!(body.len(), length / 2, "{seen}");
    assert_eq!(bench.status("torn"), "open");
}

fn hold(bench: &Bench) {
    bench.fault("orders.place", "hold", json!({ "ms": FOR_EVER_MS }));
    let stream = bench.trader.begin_place("held");
    // The effect is there while the answer is not.
    bench.until_it_has("held");
    bench.simulator.no_faults();
    assert_eq!(finish(stream).expect(201)["status"], "open");
}

fn hang(bench: &Bench) {
    let before = bench.simulator.asked("orders.place");
    bench.fault("orders.place", "hang", json!({}));
    let gone = bench.trader.begin_place("hung-gone");
    let patient = bench.trader.begin_place("hung");
    bench.until_places(before + 2);
    // Who hangs up is let go, and only who waits is held.
    bench.until_counted("/connections/open", 2);
    drop(gone);
    bench.until_counted("/connections/open", 1);
    bench.simulator.no_faults();
    finish(patient).expect_closed();
    assert!(!bench.has("hung") && !bench.has("hung-gone"));
}

fn late(bench: &Bench) {
    const LATE_MS: u64 = 200;
    bench.fault("orders.place", "late", json!({ "ms": LATE_MS }));
    let sent_ms = now_ms();
    bench.trader.place("late").expect_closed();
    // A change of the plan does not take back what is on its way.
    bench.simulator.no_faults();
    let order = bench.until_it_has("late");
    let accepted_at_ms = order["accepted_at_ms"].as_u64().unwrap();
    assert!(accepted_at_ms >= sent_ms + LATE_MS, "{order}");

    bench.fault("orders.place", "late", json!({ "ms": LATE_MS }));
    let expires_at_ms = now_ms() + LATE_MS / 2;
    let expired = resting("too-late", expires_at_ms);
    bench
        .trader
        .call("POST", "/orders", &expired)
        .expect_closed();
    bench.until_counted("/under_way", 0);
    let order = bench.simulator.order("too-late");
    assert_eq!(order["status"], "rejected", "{order}");
    assert!(order["reason"].as_str().unwrap().starts_with("EXPIRED"));
    let accepted = bench.simulator.record().accepted();
    assert!(!accepted.contains(&"too-late".to_owned()));
}

fn three_rest(bench: &Bench, of: &str) -> [String; 3] {
    let ids = [1, 2, 3].map(|n| format!("{of}-{n}"));
    for id in &ids {
        bench.trader.place(id).expect(201);
    }
    ids
}

fn partial_cancel(bench: &Bench) {
    let ids = three_rest(bench, "partial");
    let fields = json!({ "fraction_pct": 50 });
    bench.fault("orders.cancel_all", "partial_cancel", fields);
    let answer = bench.trader.call("DELETE", "/orders", "").expect(200);
    assert_eq!(answer["cancelled"].as_array().unwrap().len(), 3);
    // Half of three, rounded down: the oldest.
    assert_eq!(bench.open(), ids[1..]);
    assert_eq!(bench.status(&ids[0]), "cancelled");
}

fn cancel_ignored(bench: &Bench) {
    let ids = three_rest(bench, "ignored");
    bench.fault("orders.cancel", "cancel_ignored", json!({}));
    let number = bench.simulator.order(&ids[0])["order_id"].clone();
    let target = format!("/orders/{}", number.as_str().unwrap());
    let answer = bench.trader.call("DELETE", &target, "").expect(200);
    assert_eq!(answer["status"], "cancelled");
    assert_eq!(bench.open(), ids);
    bench.fault("orders.cancel_all", "cancel_ignored", json!({}));
    let answer = bench.trader.call("DELETE", "/orders", "").expect(200);
    assert_eq!(answer["cancelled"].as_array().unwrap().len(), 3);
    assert_eq!(bench.open(), ids);
}

fn garbage(bench: &Bench) {
    bench.fault("orders.place", "garbage", json!({}));
    let outcome = bench.trader.place("garbled");
    let Outcome::Answered(reply) = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(reply.status, 200);
    assert!(reply.body.starts_with("<html>"), "{reply:?}");
    assert_eq!(bench.status("garbled"), "open");
}

fn empty_object(bench: &Bench) {
    bench.fault("*", "empty_object", json!({}));
    let answer = bench.trader.place("emptied").expect(200);
    assert_eq!(answer, json!({}));
    assert_eq!(bench.status("emptied"), "open");
    let answer = bench.trader.call("GET", "/orders?status=open", "");
    assert_eq!(answer.expect(200), json!({}));
}

fn down(bench: &Bench) {
    let idle = bench.trader.begin_idle();
    bench.until_counted("/connections/open", 1);
    bench.fault("*", "down", json!({}));
    finish(idle).expect_closed();
    bench.until_counted("/connections/open", 0);
    for id in ["down-1", "down-2"] {
        match bench.trader.place(id) {
            Outcome::Closed(0) => {}
            Outcome::Reset(seen) if seen.is_empty() => {}
            other => panic!("{other:?}"),
        }
        assert!(!bench.has(id));
    }
    bench.until_counted("/connections/faults/down", 2);
}

/// A feed that told the best prices already, and a fault that strikes its next trade.
fn feed(bench: &Bench, word: &str, mut fields: Value) -> Feed {
    let mut feed = bench.trader.feed();
    assert_eq!(numbers_of(&mut feed), [("book", 1), ("book", 2)]);
    fields["times"] = 1.into();
    bench.fault("feed.trade", word, fields);
    bench.trader.fill(&format!("filled-{word}")).expect(201);
    feed
}

fn numbers_of<const N: usize>(feed: &mut Feed) -> [(&'static str, u64); N] {
    feed.numbers().map(|(kind, seq)| {
        let known = ["book", "trade", "fill"];
        let kind = known.into_iter().find(|known| *known == kind);
        (kind.unwrap(), seq)
    })
}

fn feed_gap(bench: &Bench) {
    let mut feed = feed(bench, "feed.gap", json!({}));
    assert_eq!(numbers_of(&mut feed), [("fill", 4)]);
    // The effect is had: only the message is missing.
    assert_eq!(bench.status("filled-feed.gap"), "filled");
}

fn feed_duplicate(bench: &Bench) {
    let mut feed = feed(bench, "feed.duplicate", json!({}));
    let expected = [("trade", 3), ("trade", 3), ("fill", 4)];
    assert_eq!(numbers_of(&mut feed), expected);
}

fn feed_reorder(bench: &Bench) {
    let mut feed = feed(bench, "feed.reorder", json!({}));
    assert_eq!(numbers_of(&mut feed), [("fill", 4), ("trade", 3)]);
}

fn feed_stall(bench: &Bench) {
    let mut feed = feed(bench, "feed.stall", json!({ "ms": FOR_EVER_MS }));
    feed.expect_silence();
    bench.simulator.no_faults();
    assert_eq!(numbers_of(&mut feed), [("trade", 3), ("fill", 4)]);
}

fn feed_cut(bench: &Bench) {
    let mut feed = feed(bench, "feed.cut", json!({}));
    feed.expect_cut();
}

#[test]
fn the_feed_tells_best_prices_trades_and_fills_as_the_routes_do() {
    let bench = Bench::start(&[]);
    let mut feed = bench.trader.feed();
    for (seq, symbol, bid, ask) in [
        (1, "SEI/USDC", "0.2499", "0.2501"),
        (2, "ETH/USDC", "2499.5", "2500.5"),
    ] {
        let book = feed.message().unwrap();
        let expected = json!({
            "seq": seq, "type": "book", "symbol": symbol, "bid": bid, "ask": ask, "ts": book["ts"],
        });
        assert_eq!(book, expected);
    }
    bench.trader.fill("told").expect(201);
    let trade = feed.message().unwrap();
    let expected = json!({
        "seq": 3, "type": "trade", "symbol": "SEI/USDC", "side": "buy", "price": "0.2501",
        "quantity": "100", "ts": trade["ts"],
    });
    assert_eq!(trade, expected);
    let mut fill = feed.message().unwrap();
    let fields = fill.as_object_mut().unwrap();
    assert_eq!(fields.remove("seq"), Some(json!(4)));
    assert_eq!(fields.remove("type"), Some(json!("fill")));
    let fills = bench.trader.call("GET", "/fills?since=0", "").expect(200);
    assert_eq!(fills["fills"], json!([fill]));
    assert_eq!(fills["next"], fill["fill_id"]);

    feed.send(9, b"are you there?");
    let pong = std::iter::from_fn(|| feed.frame().ok()).find(|frame| frame.kind != 9);
    assert_eq!(
        pong.map(|pong| (pong.kind, pong.payload)),
        Some((10, b"are you there?".to_vec()))
    );
    feed.send(1, b"hello");
    let close = std::iter::from_fn(|| feed.frame().ok()).find(|frame| frame.kind != 9);
    let close = close.map(|close| (close.kind, close.payload[..2].to_vec()));
    assert_eq!(close, Some((8, 1008_u16.to_be_bytes().to_vec())));
}

#[test]
fn the_feed_is_opened_only_to_who_signs_and_asks_for_an_upgrade() {
    let bench = Bench::start(&[]);
    bench.trader.call("GET", "/ws", "").expect(400);
    bench.trader.call("POST", "/ws", "").expect(404);
    let mut stranger = Trader::at(&bench.simulator);
    stranger.forget_secret();
    stranger.call("GET", "/ws", "").expect(401);
}

#[test]
fn a_feed_whose_queue_is_full_is_cut_and_the_venue_goes_on() {
    /// More than wait for one subscriber; each order is a trade and a fill.
    const ORDERS: usize = 600;
    let bench = Bench::start(&[]);
    let mut slow = feed(&bench, "feed.stall", json!({ "ms": FOR_EVER_MS }));
    let mut quick = bench.trader.feed();
    assert_eq!(numbers_of(&mut quick), [("book", 1), ("book", 2)]);
    for n in 0..ORDERS {
        bench.trader.fill(&format!("many-{n}")).expect(201);
    }
    slow.expect_cut();
    for n in 0..ORDERS {
        let seq = 3 + 2 * u64::try_from(n).unwrap();
        assert_eq!(numbers_of(&mut quick), [("trade", seq), ("fill", seq + 1)]);
    }
}

#[test]
fn the_same_plan_and_calls_give_the_same_faults_in_another_simulator() {
    let plan = json!({ "seed": 77, "rules": [
        { "calls": ["orders.place"], "fault": "drop_before", "probability": 0.5 },
        { "calls": ["account"], "fault": "status", "code": 500, "probability": 0.25 },
    ]});
    let run = |order_first: bool| {
        let bench = Bench::start(&[]);
        bench.simulator.plan(&plan);
        let mut places = Vec::new();
        for n in 0..24 {
            // The calls of the other rule come before or after: it makes no difference.
            if !order_first {
                bench.trader.call("GET", "/account", "");
            }
            let outcome = bench.trader.place(&format!("same-{n}"));
            places.push(matches!(outcome, Outcome::Answered(_)));
            if order_first {
                bench.trader.call("GET", "/account", "");
            }
        }
        let rules = bench.simulator.read("/sim/calls")["rules"].clone();
        (places, rules)
    };
    let (first, rules) = run(true);
    assert!(first.contains(&true) && first.contains(&false), "{first:?}");
    assert_eq!(rules[0]["met"], 24);
    assert_eq!(run(false), (first, rules));
}

#[test]
fn the_record_tells_what_was_accepted_with_its_terms_and_times() {
    let bench = Bench::start(&[]);
    let before_ms = now_ms();
    let expires_at_ms = before_ms + 60_000;
    let body = resting("first", expires_at_ms);
    let placed = bench.trader.call("POST", "/orders", &body).expect(201);
    bench.trader.place("second").expect(201);

    let page = bench.simulator.read("/sim/accepted?limit=1");
    let line = &page["accepted"][0];
    let at_ms = line["accepted_at_ms"].as_u64().unwrap();
    assert!((before_ms..=now_ms()).contains(&at_ms));
    let expected = json!({
        "seq": 1, "order_id": placed["order_id"], "client_order_id": "first", "account": "paper",
        "signer": signer().to_lowercase(), "market_id": "SEI/USDC", "side": "buy", "price": "0.24",
        "quantity": "100", "accepted_at_ms": at_ms, "expires_at_ms": expires_at_ms,
    });
    assert_eq!(*line, expected);
    let rest = bench
        .simulator
        .read(&format!("/sim/accepted?after={}", page["next"]));
    assert_eq!(rest["accepted"].as_array().unwrap().len(), 1);
    assert_eq!(rest["accepted"][0]["client_order_id"], "second");
    let end = bench.simulator.read("/sim/accepted?after=2");
    assert_eq!(end, json!({ "accepted": [], "next": 2 }));
    let order = bench.simulator.order("first");
    assert_eq!(
        (&order["status"], &order["filled"], &order["account"]),
        (&json!("open"), &json!("0"), &json!("paper"))
    );
    assert_eq!(
        bench.simulator.read("/sim/fills"),
        json!({ "fills": [], "next": 0 })
    );
}

#[test]
fn a_wrong_plan_is_refused_whole_and_the_one_at_work_stays() {
    let bench = Bench::start(&[]);
    bench.fault("orders.place", "drop_before", json!({}));
    let before = bench.simulator.read("/sim/faults");
    let wrong = r#"{"seed":1,"rules":[{"calls":["fills"],"fault":"hold","ms":0},{"calls":[],"fault":"lag"}]}"#;
    let reply = bench.simulator.control("PUT", "/sim/faults", Some(wrong));
    let error = reply.expect_error(400, "BAD_PLAN");
    let fields = error["details"].as_array().unwrap().iter();
    let fields = fields.map(|mistake| (mistake["rule"].as_u64(), mistake["field"].as_str()));
    let expected = [
        (Some(0), Some("ms")),
        (Some(1), Some("fault")),
        (Some(1), Some("calls")),
    ];
    assert_eq!(fields.collect::<Vec<_>>(), expected);
    assert_eq!(bench.simulator.read("/sim/faults"), before);
    bench.trader.place("still").expect_closed();
    for (method, target, status) in [
        ("POST", "/sim/faults", 405),
        ("GET", "/sim/nothing", 404),
        ("GET", "/orders", 404),
        ("GET", "/sim/orders?since=1", 400),
    ] {
        let reply = bench.simulator.control(method, target, None);
        assert_eq!(reply.status, status, "{method} {target}");
    }
    // The venue's own listener has no control routes.
    bench.trader.call("GET", "/sim/faults", "").expect(404);
}

/// The plan that the documentation shows.
fn documented_plan() -> Value {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/venue-sim.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```json\n").unwrap();
    serde_json::from_str(rest.split_once("```").unwrap().0).unwrap()
}

#[test]
fn the_documented_plan_is_read_from_a_file_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("faults.json");
    std::fs::write(&file, documented_plan().to_string()).unwrap();
    let bench = Bench::start(&["--faults", file.to_str().unwrap()]);
    assert_eq!(bench.simulator.read("/sim/faults"), documented_plan());
}

#[test]
fn a_start_with_a_wrong_plan_or_an_open_control_address_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("faults.json");
    let mistakes =
        r#"{"rules":[{"calls":["fills"],"fault":"hold","ms":0},{"calls":["x"],"fault":"hang"}]}"#;
    std::fs::write(&file, mistakes).unwrap();
    let refused = |arguments: &[&str]| {
        let mut command = program();
        command.arg("--data-dir").arg(directory.path());
        let output = run_bounded(command.arg("venue-sim").args(arguments));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refused(&["--faults", file.to_str().unwrap()]);
    assert!(said.contains("2 mistakes in the fault plan"), "{said}");
    assert!(said.contains("rules[0].ms: 0 is not allowed"), "{said}");
    assert!(
        said.contains("rules[1].calls: \"x\" is not known"),
        "{said}"
    );
    let said = refused(&["--faults", "/nowhere/faults.json"]);
    assert!(said.contains("--faults /nowhere/faults.json"), "{said}");
    let said = refused(&["--control", "0.0.0.0:0"]);
    assert!(said.contains("--control"), "{said}");
    assert!(said.contains("not a loopback address"), "{said}");
}

#[test]
fn the_service_is_in_doubt_when_the_answer_to_an_order_is_dropped_after_its_effect() {
    let (simulator, daemon) = trading_at_a_simulator(&[]);
    simulator.plan(&json!({ "seed": 1, "rules": [
        { "calls": ["orders.place"], "fault": "drop_after", "times": 1 },
    ]}));
    let answer = daemon
        .caller("system")
        .order(&resting_order("doubt-1"))
        .expect(202);
    let order = simulator.order(answer["order_id"].as_str().unwrap());
    assert_eq!(order["status"], "open", "{order}");
    assert_eq!(
        simulator.read("/sim/calls")["calls"]["orders.place"],
        json!({ "asked": 1, "faults": { "drop_after": 1 } })
    );
}
