//! Orders without an answer: for each id that a client sent there is one true state in the end, the
//! same for the client, in the journal and at the venue, whatever was lost or died in between.
//!
//! What the venue has is read from the simulator's own record.

use std::collections::BTreeSet;
use std::io::Write;
use std::thread;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::daemon::{Caller, Daemon, resting};
use super::http;
use super::proxy::Proxy;
use super::simulator::{Simulator, ready_to_trade, signer, trading_with};
use super::trader::{self, Trader};
use super::until::until;

/// Longer than any test: what waits so long ends because the plan is replaced.
const FOR_EVER_MS: u64 = 600_000;

/// A venue that is given up on after 400 ms.
const IMPATIENT: (&str, &str) = ("VENUE__TIMEOUT_MS", "400");

/// An order that may be accepted for half a second: its absence is proof 6 s later.
const SHORT_LIVED: (&str, &str) = ("VENUE__ORDER_SEND_TTL_MS", "500");

fn id_of(answer: &Value) -> String {
    answer["order_id"].as_str().unwrap().to_owned()
}

fn shown(bot: &Caller, id: &str) -> Value {
    bot.get(&format!("/trading/orders/{id}")).expect(200)
}

/// Waits until an order is in doubt no longer; its status, and all that it had on the way.
fn resolved(bot: &Caller, id: &str) -> (String, BTreeSet<String>) {
    let mut seen = BTreeSet::new();
    let status = until(&format!("{id} is resolved"), || {
        let status = shown(bot, id)["status"].as_str().unwrap().to_owned();
        seen.insert(status.clone());
        match status.as_str() {
            "in_doubt" | "pending" => Err(status),
            _ => Ok(status),
        }
    });
    (status, seen)
}

/// The kinds of the journal's records about an order, oldest first.
fn journaled(daemon: &Daemon, id: &str) -> Vec<String> {
    let events = daemon
        .caller("admin")
        .get(&format!("/audit/events?correlation={id}&limit=100"))
        .expect(200);
    let events = events["events"].as_array().unwrap().iter().rev();
    events
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .collect()
}

/// The three sides agree on an order: client, journal, venue; and a retry makes no second order.
#[track_caller]
fn agree(simulator: &Simulator, daemon: &Daemon, order: &Value, id: &str, status: &str) {
    let at_venue = simulator.order(id)["status"].clone();
    let of_venue = match status {
        "not_placed" | "discarded" => Value::Null,
        other => json!(other),
    };
    assert_eq!(at_venue, of_venue, "{id} is {status} here");
    let asked = simulator.asked("orders.place");
    let again = daemon.caller("system").order(order).expect(200);
    assert_eq!(
        (&again["replayed"], &again["order_id"], &again["status"]),
        (&json!(true), &json!(id), &json!(status)),
        "{again}"
    );
    assert_eq!(
        simulator.asked("orders.place"),
        asked,
        "a retry sent something"
    );
    let kinds = journaled(daemon, id);
    assert_eq!(kinds[0], "order.intent", "{kinds:?}");
    for kind in ["order.intent", "order.resolved"] {
        let count = kinds.iter().filter(|found| *found == kind).count();
        assert_eq!(count, 1, "{kind} in {kinds:?}");
    }
    assert!(simulator.accepted(id) <= 1);
}

#[test]
fn an_answer_that_is_lost_after_the_effect_is_doubt_and_then_the_venues_truth() {
    let (simulator, daemon) = trading_with(&[IMPATIENT], &[]);
    let bot = daemon.caller("system");
    let faults = [
        json!({ "fault": "drop_after" }),
        json!({ "fault": "status_after", "code": 502 }),
        json!({ "fault": "reset_mid_answer" }),
        json!({ "fault": "garbage" }),
        json!({ "fault": "empty_object" }),
        json!({ "fault": "hold", "ms": FOR_EVER_MS }),
        json!({ "fault": "latency", "ms": 900 }),
    ];
    for (n, fault) in faults.iter().enumerate() {
        eprintln!("{fault}");
        let mut rule = json!({ "calls": ["orders.place"], "times": 1 });
        rule.as_object_mut()
            .unwrap()
            .extend(fault.as_object().unwrap().clone());
        simulator.rules(&json!([rule]));
        let order = resting(&format!("lost-{n}"));
        let answer = bot.order(&order).expect(202);
        assert_eq!(answer["status"], "in_doubt", "{answer}");
        assert!(answer.get("venue_order_id").is_none(), "{answer}");
        let id = id_of(&answer);
        let (status, _) = resolved(&bot, &id);
        assert_eq!(status, "open", "{fault}");
        simulator.no_faults();
        assert_eq!(simulator.accepted(&id), 1, "{fault}");
        agree(&simulator, &daemon, &order, &id, "open");
        bot.delete(&format!("/trading/orders/{id}"));
    }
}

#[test]
fn an_order_that_never_arrived_holds_its_exposure_until_its_absence_is_proof() {
    let (simulator, daemon) = trading_with(&[IMPATIENT, SHORT_LIVED], &[]);
    let bot = daemon.caller("system");
    let faults = [
        json!({ "fault": "throttle", "retry_after_s": 1 }),
        json!({ "fault": "status", "code": 503 }),
        json!({ "fault": "drop_before" }),
    ];
    let mut doubtful = Vec::new();
    for (n, fault) in faults.iter().enumerate() {
        let mut rule = json!({ "calls": ["orders.place"], "times": 1 });
        rule.as_object_mut()
            .unwrap()
            .extend(fault.as_object().unwrap().clone());
        simulator.rules(&json!([rule]));
        let order = resting(&format!("never-{n}"));
        let answer = bot.order(&order).expect(202);
        doubtful.push((order, id_of(&answer)));
    }
    simulator.no_faults();
    let buys = || {
        let positions = bot.get("/trading/positions").expect(200);
        positions["positions"][0]["open_buys_usdc"].clone()
    };
    assert_eq!(buys(), "72", "three of 24 USDC each");
    for (order, id) in &doubtful {
        let (status, _) = resolved(&bot, id);
        assert_eq!(status, "not_placed");
        let expires_at_ms = shown(&bot, id)["expires_at_ms"].as_u64().unwrap();
        let proof_ms = expires_at_ms + 5_000 + 1_000;
        assert!(
            trader::now_ms() > proof_ms,
            "given up before its absence was proof"
        );
        agree(&simulator, &daemon, order, id, "not_placed");
    }
    assert_eq!(buys(), "0");
    assert_eq!(simulator.record().accepted().len(), 0);
}

#[test]
fn a_late_order_is_never_declared_absent_while_it_can_be_accepted() {
    let (simulator, daemon) = trading_with(&[IMPATIENT], &[]);
    let bot = daemon.caller("system");
    simulator.rules(&json!([
        { "calls": ["orders.place"], "fault": "late", "ms": 3_500, "times": 1 },
    ]));
    let order = resting("late-1");
    let answer = bot.order(&order).expect(202);
    let id = id_of(&answer);
    until("it was looked for and not found", || {
        match simulator.asked("orders.by_client_id") {
            enough if enough >= 3 => Ok(()),
            few => Err(few.to_string()),
        }
    });
    assert_eq!(simulator.order(&id), Value::Null, "it is still on its way");
    let (status, seen) = resolved(&bot, &id);
    assert_eq!((status.as_str(), seen.len()), ("open", 2), "{seen:?}");
    agree(&simulator, &daemon, &order, &id, "open");
}

#[test]
fn an_order_that_arrives_too_late_to_be_accepted_is_what_the_venue_says() {
    let (simulator, daemon) = trading_with(&[IMPATIENT, SHORT_LIVED], &[]);
    let bot = daemon.caller("system");
    simulator.rules(&json!([
        { "calls": ["orders.place"], "fault": "late", "ms": 1_500, "times": 1 },
    ]));
    let order = resting("too-late");
    let id = id_of(&bot.order(&order).expect(202));
    let (status, _) = resolved(&bot, &id);
    assert_eq!(status, "rejected");
    assert_eq!(simulator.accepted(&id), 0);
    agree(&simulator, &daemon, &order, &id, "rejected");
}

#[test]
fn questions_that_fail_keep_no_order_in_doubt_for_ever() {
    let (simulator, daemon) = trading_with(&[IMPATIENT], &[]);
    let bot = daemon.caller("system");
    simulator.rules(&json!([
        { "calls": ["orders.place"], "fault": "drop_after", "times": 3 },
        { "calls": ["orders.by_client_id"], "fault": "garbage", "times": 2 },
        { "calls": ["orders.by_client_id"], "fault": "throttle", "retry_after_s": 1, "skip": 2, "times": 1 },
        { "calls": ["orders.by_client_id"], "fault": "status", "code": 500, "probability": 0.5 },
        { "calls": ["orders.open"], "fault": "drop_before", "probability": 0.3 },
    ]));
    let placed: Vec<_> = (0..3)
        .map(|n| {
            let order = resting(&format!("asked-{n}"));
            let id = id_of(&bot.order(&order).expect(202));
            (order, id)
        })
        .collect();
    for (_, id) in &placed {
        assert_eq!(resolved(&bot, id).0, "open");
    }
    simulator.no_faults();
    for (order, id) in &placed {
        agree(&simulator, &daemon, order, id, "open");
    }
}

#[test]
fn a_cancel_of_an_order_in_doubt_is_carried_out_when_it_arrives() {
    let (simulator, daemon) = trading_with(&[IMPATIENT], &[]);
    let bot = daemon.caller("system");
    simulator.rules(&json!([
        { "calls": ["orders.place"], "fault": "late", "ms": 2_000, "times": 1 },
    ]));
    let id = id_of(&bot.order(&resting("late-cancel")).expect(202));
    let answer = bot.delete(&format!("/trading/orders/{id}")).expect(202);
    assert_eq!(answer["status"], "in_doubt", "{answer}");
    until("it arrived and was cancelled", || {
        match (
            simulator.order(&id)["status"].as_str(),
            shown(&bot, &id)["status"].as_str(),
        ) {
            (Some("cancelled"), Some("cancelled")) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// Orders that are on their way when the service is killed, each sent by a thread of its own.
fn send_and_forget(daemon: &Daemon, orders: &[Value]) {
    for order in orders {
        let (bot, order) = (daemon.caller("system"), order.clone());
        thread::spawn(move || bot.try_order(&order));
    }
}

fn until_active(daemon: &Daemon) {
    let admin = daemon.caller("admin");
    until("trading is open", || {
        let status = admin.status();
        match status["status"] == "active" {
            true => Ok(()),
            false => Err(status.to_string()),
        }
    });
}

fn by_client_id(bot: &Caller, client_order_id: &str) -> Value {
    let path = format!("/trading/orders?client_order_id={client_order_id}");
    bot.get(&path).expect(200)["orders"][0].clone()
}

#[test]
fn orders_in_flight_at_a_kill_count_while_the_venue_is_away_and_are_resolved_before_trading_opens()
{
    let (simulator, mut daemon) = trading_with(&[], &[]);
    simulator.rules(&json!([
        { "calls": ["orders.place"], "fault": "hold", "ms": FOR_EVER_MS },
    ]));
    let orders: Vec<_> = (0..3).map(|n| resting(&format!("flight-{n}"))).collect();
    send_and_forget(&daemon, &orders);
    until("the venue has them", || {
        match simulator.record().open().len() {
            3 => Ok(()),
            few => Err(few.to_string()),
        }
    });
    daemon.kill();
    // The venue is away at the next start.
    simulator.rules(&json!([{ "calls": ["*"], "fault": "down" }]));
    daemon.start();
    let bot = daemon.caller("system");
    let positions =
        || bot.get("/trading/positions").expect(200)["positions"][0]["open_buys_usdc"].clone();
    for _ in 0..5 {
        assert_eq!(bot.status()["status"], "paused");
        assert_eq!(positions(), "72", "the exposure is held");
        bot.order(&resting("not-yet"))
            .expect_error(503, "TRADING_PAUSED");
        for order in &orders {
            let again = bot.order(order).expect(200);
            assert_eq!(
                (&again["status"], &again["replayed"]),
                (&json!("in_doubt"), &json!(true))
            );
        }
    }
    // It is back, and answers about single orders fail for a while: trading stays closed.
    simulator.rules(&json!([{ "calls": ["orders.by_client_id"], "fault": "status", "code": 503 }]));
    let asked = simulator.asked("orders.by_client_id");
    until("it was asked about them", || {
        match simulator.asked("orders.by_client_id") {
            enough if enough > asked + 3 => Ok(()),
            few => Err(few.to_string()),
        }
    });
    assert_eq!(bot.status()["status"], "paused");
    assert_eq!(positions(), "72");
    simulator.no_faults();
    until_active(&daemon);
    assert_eq!(positions(), "72");
    for order in &orders {
        let client_order_id = order["client_order_id"].as_str().unwrap();
        let id = id_of(&by_client_id(&bot, client_order_id));
        agree(&simulator, &daemon, order, &id, "open");
    }
    assert_eq!(simulator.record().accepted().len(), 3);
    bot.order(&resting("not-yet")).expect(201);
}

#[test]
fn a_crash_before_the_intent_is_durable_leaves_nothing_and_a_retry_is_new() {
    let (simulator, mut daemon) = trading_with(&[], &[]);
    let order = resting("before-intent");
    // Somebody else holds the journal's file: the commit waits.
    let held = Connection::open(daemon.data().join("journal.db")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    send_and_forget(&daemon, std::slice::from_ref(&order));
    // And one whose body has not arrived.
    let address = daemon.addresses().listen;
    let mut half = http::connect(address).unwrap();
    let head = format!(
        "POST /api/v1/trading/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{{\"symbol\":",
        daemon.key("system")
    );
    half.write_all(head.as_bytes()).unwrap();
    // The reservation shows that it is past the gate.
    let bot = daemon.caller("admin");
    until("the order is past the gate", || {
        let positions = bot.get("/trading/positions").expect(200);
        match positions["positions"][0]["open_buys_usdc"] == "24" {
            true => Ok(()),
            false => Err(positions.to_string()),
        }
    });
    daemon.kill();
    held.execute_batch("ROLLBACK").unwrap();
    drop(held);
    daemon.start();
    until_active(&daemon);
    let bot = daemon.caller("system");
    assert_eq!(by_client_id(&bot, "before-intent"), Value::Null);
    assert_eq!(simulator.asked("orders.place"), 0);
    let answer = bot.order(&order).expect(201);
    assert!(answer["replayed"].is_null(), "{answer}");
    assert_eq!(simulator.accepted(&id_of(&answer)), 1);
}

#[test]
fn a_crash_between_the_intent_and_the_write_is_an_order_that_was_not_placed() {
    let (simulator, mut daemon) = ready_to_trade(&[SHORT_LIVED], &["--tls"]);
    let proxy = Proxy::before(simulator.address());
    daemon.set("VENUE__URL", &format!("https://{}", proxy.address()));
    daemon.start();
    until_active(&daemon);
    // The handshake of the order's connection never ends: nothing of the order can leave.
    proxy.stall(true);
    let order = resting("before-write");
    send_and_forget(&daemon, std::slice::from_ref(&order));
    let bot = daemon.caller("system");
    let id = until("the intent is durable", || {
        match by_client_id(&bot, "before-write") {
            Value::Null => Err("it is not".to_owned()),
            found => Ok(id_of(&found)),
        }
    });
    until("its connection is waited for", || match proxy.silent() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    });
    daemon.kill();
    proxy.stall(false);
    daemon.start();
    let bot = daemon.caller("system");
    assert_eq!(bot.order(&order).expect(200)["status"], "in_doubt");
    bot.order(&resting("meanwhile"))
        .expect_error(503, "TRADING_PAUSED");
    assert_eq!(resolved(&bot, &id).0, "not_placed");
    agree(&simulator, &daemon, &order, &id, "not_placed");
    until_active(&daemon);
    assert_eq!(simulator.asked("orders.place"), 0);
}

/// Most orders that are placed until one is killed between its answer and its outcome's record.
const KILLS_MAX: usize = 20;

#[test]
fn a_crash_between_the_answer_and_the_outcomes_record_is_resolved_to_what_was_answered() {
    let (simulator, mut daemon) = trading_with(&[], &[]);
    for n in 0..KILLS_MAX {
        until_active(&daemon);
        let order = resting(&format!("after-answer-{n}"));
        let answer = daemon.caller("system").order(&order).expect(201);
        daemon.kill();
        daemon.start();
        until_active(&daemon);
        let id = id_of(&answer);
        let bot = daemon.caller("system");
        assert_eq!(resolved(&bot, &id).0, "open");
        assert_eq!(shown(&bot, &id)["venue_order_id"], answer["venue_order_id"]);
        assert_eq!(simulator.accepted(&id), 1);
        if journaled(&daemon, &id).contains(&"order.in_doubt".to_owned()) {
            return agree(&simulator, &daemon, &order, &id, "open");
        }
    }
    panic!("{KILLS_MAX} outcomes were journaled before the kill");
}

#[test]
fn an_order_with_our_signature_that_the_journal_lacks_halts_running_and_at_a_start() {
    let mut daemon = Daemon::initialised(&[]);
    // The same key signs somewhere else, too.
    let key = daemon.data().with_file_name("sei-key");
    std::fs::write(&key, "07".repeat(32)).unwrap();
    let imported = daemon.cli(["keys", "import", "sei", "--file", key.to_str().unwrap()]);
    assert!(imported.status.success(), "{imported:?}");
    assert_eq!(
        signer(&daemon).to_lowercase(),
        trader::signer().to_lowercase()
    );
    let simulator = Simulator::start(&trader::signer(), &[]);
    daemon.set("VENUE__ADAPTER", "http");
    daemon.set("VENUE__URL", simulator.url());
    let credential = simulator.credential_file();
    let imported = daemon.cli([
        "keys",
        "import",
        "venue",
        "--file",
        credential.to_str().unwrap(),
    ]);
    assert!(imported.status.success(), "{imported:?}");
    daemon.start();
    until_active(&daemon);
    let elsewhere = Trader::at(&simulator);
    let placed = elsewhere
        .place("01935f5e-0000-7000-8000-000000000001")
        .expect(201);
    let number = placed["order_id"].as_str().unwrap();
    let status = daemon.until_halted();
    assert!(
        status["reason"].as_str().unwrap().contains(number),
        "{status}"
    );
    // The halt cancels it, although nobody here knows it.
    until("it was cancelled", || match simulator.record().open() {
        open if open.is_empty() => Ok(()),
        open => Err(format!("{open:?}")),
    });
    lift(&daemon);
    daemon.stop();
    let placed = elsewhere.place("not-even-an-id-of-ours").expect(201);
    let number = placed["order_id"].as_str().unwrap();
    daemon.start();
    let status = daemon.until_halted();
    assert!(
        status["reason"].as_str().unwrap().contains(number),
        "{status}"
    );
}

/// Two people end the halt, as soon as its checklist is through.
pub fn lift(daemon: &Daemon) {
    let epoch = daemon.caller("admin").status()["epoch"].clone();
    let body = json!({ "epoch": epoch, "reason": "test" });
    daemon
        .caller("admin")
        .post("/admin/emergency/lift", &body)
        .expect(202);
    until("the halt is lifted", || {
        let reply = daemon.caller("admin2").post("/admin/emergency/lift", &body);
        match reply.status {
            200 => Ok(()),
            _ => Err(format!("{reply:?}")),
        }
    });
}

#[test]
fn a_strangers_order_of_the_same_account_counts_and_halts_nothing() {
    let stranger = trader::signer();
    let (simulator, daemon) = trading_with(&[], &["--signer", &stranger]);
    until_active(&daemon);
    let placed = Trader::at(&simulator).place("01935f5e-0000-7000-8000-000000000002");
    placed.expect(201);
    let bot = daemon.caller("system");
    until("the stranger's order counts", || {
        let positions = bot.get("/trading/positions").expect(200);
        match positions["positions"][0]["open_buys_usdc"] == "24" {
            true => Ok(()),
            false => Err(positions.to_string()),
        }
    });
    assert_eq!(bot.status()["status"], "active");
    bot.order(&resting("beside-it")).expect(201);
}

#[test]
fn a_person_cannot_say_what_the_venue_itself_says() {
    let (simulator, daemon) = trading_with(&[IMPATIENT], &[]);
    let bot = daemon.caller("system");
    simulator.rules(&json!([
        { "calls": ["orders.place"], "fault": "drop_before", "times": 1 },
    ]));
    let id = id_of(&bot.order(&resting("mine")).expect(202));
    let arguments = [
        "orders",
        "resolve",
        &id,
        "--status",
        "not_placed",
        "--reason",
        "asked them",
        "--json",
    ];
    let refused = daemon.cli_as("admin", arguments);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
    assert!(said.contains("VENUE_PROVES"), "{said}");
    assert_eq!(shown(&bot, &id)["status"], "in_doubt");
    assert!(!journaled(&daemon, &id).contains(&"order.resolved".to_owned()));

    let admin = daemon.caller("admin");
    let word = json!({ "status": "not_placed", "reason": "asked them" });
    let path = format!("/trading/orders/{id}/resolve");
    let error = admin.post(&path, &word).expect_error(409, "VENUE_PROVES");
    assert!(error["details"]["provable_at"].is_string(), "{error}");
    bot.post(&path, &word).expect_error(403, "FORBIDDEN");
    daemon
        .caller("readonly")
        .post(&path, &word)
        .expect_error(403, "FORBIDDEN");
    let unknown = "/trading/orders/01935f5e-0000-7000-8000-000000000001/resolve";
    admin.post(unknown, &word).expect_error(404, "NOT_FOUND");
    for wrong in [
        json!({"status": "filled", "reason": "x"}),
        json!({"status": "not_placed"}),
    ] {
        admin
            .post(&path, &wrong)
            .expect_error(400, "INVALID_REQUEST");
    }
    let placed = id_of(&bot.order(&resting("placed")).expect(201));
    let path = format!("/trading/orders/{placed}/resolve");
    let error = admin.post(&path, &word).expect_error(409, "NOT_IN_DOUBT");
    assert_eq!(error["details"]["status"], "open");
}
