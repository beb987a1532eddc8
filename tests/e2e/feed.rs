//! The feed of a venue that tells wrong, late or nothing: fills are counted once, positions are the
//! venue's, and a reference that nobody vouches for denies.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::daemon::{Daemon, filling};
use super::simulator::{self, Simulator, trade_at, trading_at_a_simulator};
use super::trader::{Trader, signer};
use super::until::until;

/// A service that trades at a simulator. The venue fails on purpose, and its health is not what is
/// tested.
fn patient() -> (Simulator, Daemon) {
    let daemon = Daemon::initialised(&[("VENUE__HEALTH_CALLS_MIN", "1000000")]);
    let simulator = Simulator::start(&simulator::signer(&daemon), &[]);
    trade_at(simulator, daemon)
}

/// Longer than any test.
const FOR_EVER_MS: u64 = 600_000;

fn decimal(value: &Value) -> Decimal {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no amount"));
    Decimal::from_str_exact(text).unwrap()
}

fn feed(daemon: &Daemon) -> Value {
    daemon.caller("admin").status()["feed"].clone()
}

#[track_caller]
fn until_live(daemon: &Daemon) -> Value {
    until("the feed is live", || match feed(daemon) {
        feed if feed["state"] == "live" => Ok(feed),
        other => Err(other.to_string()),
    })
}

/// An order that is filled at once, on either side.
fn taking(id: &str, buys: bool, size: u64) -> Value {
    let (side, price) = if buys {
        ("buy", "0.2501")
    } else {
        ("sell", "0.2499")
    };
    json!({
        "client_order_id": id, "symbol": "SEI/USDC", "side": side, "price": price,
        "size": size.to_string(), "order_type": "ioc",
    })
}

/// Size, fees and number of fills by market.
type Sums = BTreeMap<String, (Decimal, Decimal, usize)>;

fn add(sums: &mut Sums, fill: &Value, size: &str) {
    let of = sums
        .entry(fill["symbol"].as_str().unwrap().to_owned())
        .or_default();
    let size = decimal(&fill[size]);
    of.0 += if fill["side"] == "buy" { size } else { -size };
    of.1 += decimal(&fill["fee"]);
    of.2 += 1;
}

/// By the simulator's own record.
fn at_the_venue(simulator: &Simulator) -> Sums {
    let mut sums = Sums::new();
    let mut after = json!(0);
    loop {
        let page = simulator.read(&format!("/sim/fills?after={after}"));
        let fills = page["fills"].as_array().unwrap();
        if fills.is_empty() {
            return sums;
        }
        fills
            .iter()
            .for_each(|fill| add(&mut sums, fill, "quantity"));
        after = page["next"].clone();
    }
}

/// By the list of fills, with the profit that they made real.
fn listed(daemon: &Daemon) -> (Sums, Decimal) {
    let caller = daemon.caller("admin");
    let (mut sums, mut realised, mut ids) = (Sums::new(), Decimal::ZERO, Vec::new());
    let mut after = String::new();
    loop {
        let page = caller
            .get(&format!("/trading/fills?limit=500{after}"))
            .expect(200);
        for fill in page["fills"].as_array().unwrap() {
            add(&mut sums, fill, "size");
            realised += decimal(&fill["realised_profit"]);
            ids.push(fill["fill_id"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let listed = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), listed, "a fill was counted twice");
    (sums, realised)
}

/// By the positions, with profit and cost.
fn held(daemon: &Daemon) -> BTreeMap<String, (Decimal, Decimal, Decimal, Decimal)> {
    let positions = daemon.caller("admin").get("/trading/positions").expect(200);
    let all = positions["positions"].as_array().unwrap().iter();
    all.map(|held| {
        let of = |name: &str| decimal(&held[name]);
        let symbol = held["symbol"].as_str().unwrap().to_owned();
        (
            symbol,
            (of("size"), of("fees"), of("realised_profit"), of("cost")),
        )
    })
    .collect()
}

/// Positions, fills and fees here are those of the venue's own record, to the last digit.
#[track_caller]
fn until_the_same(simulator: &Simulator, daemon: &Daemon) {
    let there = at_the_venue(simulator);
    let (here, realised) = until("every fill is counted and listed", || {
        let (here, (fills, realised)) = (held(daemon), listed(daemon));
        let same = there.iter().all(|(symbol, (size, fees, _))| {
            here.get(symbol)
                .is_some_and(|held| (held.0, held.1) == (*size, *fees))
        });
        if same && fills == there {
            Ok((here, realised))
        } else {
            Err(format!("there {there:?}\nhere {here:?}\nlisted {fills:?}"))
        }
    });
    assert_eq!(here.values().map(|held| held.2).sum::<Decimal>(), realised);
}

#[test]
fn fills_come_from_the_feed_alone_while_the_venue_answers_no_question_about_them() {
    let (simulator, daemon) = patient();
    let opened = until_live(&daemon);
    simulator.plan(&json!({ "seed": 1, "rules": [
        { "calls": ["fills"], "fault": "status", "code": 503 },
    ]}));
    let bot = daemon.caller("system");
    for n in 0..5 {
        bot.order(&filling(&format!("told-{n}"))).expect(201);
    }
    until_the_same(&simulator, &daemon);
    assert_eq!(feed(&daemon)["connections"], opened["connections"]);
    // And once it answers again nothing is counted twice.
    simulator.no_faults();
    let before = simulator.asked("fills");
    until("fills were read again", || match simulator.asked("fills") {
        now if now > before + 2 => Ok(()),
        few => Err(few.to_string()),
    });
    until_the_same(&simulator, &daemon);
}

#[test]
fn whatever_the_feed_leaves_out_doubles_swaps_or_cuts_off_positions_are_the_venues() {
    let (simulator, mut daemon) = patient();
    until_live(&daemon);
    let rule = |calls: Value, fault: &str, probability: f64| json!({ "calls": calls, "fault": fault, "probability": probability });
    let feeds = json!(["feed.book", "feed.trade", "feed.fill"]);
    let mut rules = vec![
        rule(json!(["feed.fill"]), "feed.cut", 0.08),
        json!({ "calls": ["feed.fill"], "fault": "feed.stall", "ms": 300, "probability": 0.05 }),
        rule(json!(["fills"]), "drop_after", 0.02),
    ];
    for fault in ["feed.gap", "feed.duplicate", "feed.reorder"] {
        rules.push(rule(feeds.clone(), fault, 0.15));
    }
    simulator.plan(&json!({ "seed": 7, "rules": rules }));
    let bot = daemon.caller("system");
    let mut placed = 0_u64;
    let mut place = || {
        // Sizes that no average divides evenly.
        let order = taking(
            &format!("torn-{placed}"),
            placed % 3 != 1,
            7 + placed * 13 % 41,
        );
        bot.order(&order).expect(201);
        placed += 1;
    };
    (0..100).for_each(|_| place());
    until("every fault was done", || {
        place();
        let done = simulator.read("/sim/calls")["faults"].clone();
        let words = ["gap", "duplicate", "reorder", "cut", "stall"];
        match words.iter().all(|word| done[format!("feed.{word}")] != 0) {
            true => Ok(()),
            false => Err(done.to_string()),
        }
    });
    until_the_same(&simulator, &daemon);
    let seen = feed(&daemon);
    assert!(seen["gaps"].as_u64() > Some(0), "{seen}");
    assert!(seen["connections"].as_u64() > Some(1), "{seen}");
    simulator.no_faults();
    until_live(&daemon);

    daemon.kill_and_restart();
    until_the_same(&simulator, &daemon);
    until_live(&daemon);
    // Flat again: what was made is exactly what was received less what was paid.
    let size = held(&daemon)["SEI/USDC"].0;
    let size = u64::try_from(size).unwrap();
    daemon
        .caller("system")
        .order(&taking("flat", false, size))
        .expect(201);
    until_the_same(&simulator, &daemon);
    let (size, _, realised, cost) = held(&daemon)["SEI/USDC"];
    assert_eq!((size, cost), (Decimal::ZERO, Decimal::ZERO));
    assert_eq!(realised, received(&simulator));
}

/// What was received less what was paid, before fees.
fn received(simulator: &Simulator) -> Decimal {
    let fills = simulator.read("/sim/fills");
    let fills = fills["fills"].as_array().unwrap().iter();
    fills
        .map(|fill| {
            let worth = decimal(&fill["price"]) * decimal(&fill["quantity"]);
            if fill["side"] == "sell" {
                worth
            } else {
                -worth
            }
        })
        .sum()
}

#[test]
fn a_feed_that_stands_still_without_a_word_is_given_up_and_opened_again() {
    let (simulator, daemon) = trading_at_a_simulator(&[]);
    let opened = until_live(&daemon)["connections"].as_u64().unwrap();
    simulator.plan(&json!({ "seed": 1, "rules": [
        { "calls": ["feed.trade", "feed.fill"], "fault": "feed.stall", "ms": FOR_EVER_MS, "times": 1 },
    ]}));
    daemon
        .caller("system")
        .order(&filling("stalled"))
        .expect(201);
    // The re-read knows of it, and the feed never told: that is a gap too.
    until_the_same(&simulator, &daemon);
    until("it is opened again", || {
        let now = feed(&daemon);
        let again = now["connections"].as_u64().unwrap() > opened && now["state"] == "live";
        if again { Ok(()) } else { Err(now.to_string()) }
    });
    until_the_same(&simulator, &daemon);
}

#[test]
fn with_a_feed_that_stands_still_and_a_venue_that_shows_no_book_orders_are_denied_until_one_is_back()
 {
    let (simulator, daemon) = patient();
    until_live(&daemon);
    let bot = daemon.caller("system");
    simulator.plan(&json!({ "seed": 1, "rules": [
        { "calls": ["feed.book", "feed.trade", "feed.fill"], "fault": "feed.stall", "ms": FOR_EVER_MS },
        { "calls": ["book"], "fault": "status", "code": 503 },
    ]}));
    let mut tries = 0;
    let mut place = || {
        tries += 1;
        bot.order(&filling(&format!("try-{tries}")))
    };
    until("the reference is not believed any more", || {
        let reply = place();
        match reply.status {
            422 if reply.code().starts_with("REFERENCE_") => Ok(()),
            201 => Err(reply.json().to_string()),
            _ => panic!("{}", reply.json()),
        }
    });
    simulator.no_faults();
    until("orders are admitted again", || match place() {
        reply if reply.status == 201 => Ok(()),
        reply => Err(reply.json().to_string()),
    });
    until_live(&daemon);
    until_the_same(&simulator, &daemon);
}

#[test]
fn a_fill_of_somebody_elses_order_is_counted_once_as_one_also_while_halted() {
    let (simulator, mut daemon) = trading_at_a_simulator(&["--signer", &signer()]);
    until_live(&daemon);
    let other = Trader::at(&simulator);
    other.fill("theirs-1").expect(201);
    until_the_same(&simulator, &daemon);
    daemon
        .caller("admin")
        .emergency_stop("fills go on being counted");
    other.fill("theirs-2").expect(201);
    until_the_same(&simulator, &daemon);
    daemon.kill_and_restart();
    until_the_same(&simulator, &daemon);
    let events = daemon
        .caller("admin")
        .get("/audit/events?kind=position.reconciled")
        .expect(200)
        .to_string();
    for said in [r#""from":"0""#, r#""to":"200""#, r#""fill_id":"2""#] {
        assert!(events.contains(said), "{said} in {events}");
    }
}
