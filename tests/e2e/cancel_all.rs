//! Cancel-all against everything that can go wrong with cancels and listings: never confirmed while
//! an order rests, by the simulator's own record, and confirmed once nothing is in its way.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::daemon::{Daemon, json_of, resting};
use super::in_doubt::lift;
use super::simulator::{Simulator, trading_with};
use super::trader::{self, Trader};
use super::until::until;

/// A venue that is given up on after 300 ms, and a halt that is answered at once.
const SETTINGS: [(&str, &str); 2] = [
    ("VENUE__TIMEOUT_MS", "300"),
    ("EMERGENCY__ANSWER_WAIT_MS", "300"),
];

/// Looks at report and venue while the faults are at work.
const LOOKS: usize = 25;

struct Bench {
    simulator: Simulator,
    daemon: Daemon,
    stranger: Trader,
}

impl Bench {
    fn start() -> Self {
        let (simulator, daemon) = trading_with(&SETTINGS, &["--signer", &trader::signer()]);
        let stranger = Trader::at(&simulator);
        let this = Self {
            simulator,
            daemon,
            stranger,
        };
        this.until_active();
        this
    }

    fn until_active(&self) {
        let admin = self.daemon.caller("admin");
        until("trading is open", || {
            let status = admin.status();
            match status["status"] == "active" {
                true => Ok(()),
                false => Err(status.to_string()),
            }
        });
    }

    /// Three orders of ours and one that this process does not know.
    fn rest(&self, case: &str) {
        for n in 0..3 {
            let order = resting(&format!("{case}-{n}"));
            self.daemon.caller("system").order(&order).expect(201);
        }
        self.stranger.place(&format!("{case}-stranger")).expect(201);
    }

    fn report(&self) -> Value {
        self.daemon
            .caller("admin")
            .get("/admin/emergency")
            .expect(200)
    }

    /// One look at the report, then at the venue: what is confirmed must be true there.
    fn look(&self, case: &str) -> bool {
        let report = self.report();
        let resting = self.simulator.record().open();
        let confirmed = report["confirmed"] == true;
        assert!(
            !confirmed || resting.is_empty(),
            "{case}: confirmed, and {resting:?} rest: {report}"
        );
        if confirmed {
            assert_eq!(report["orders_unconfirmed"], 0, "{case}: {report}");
        }
        confirmed
    }

    fn until_confirmed(&self, case: &str) -> Value {
        until(&format!("{case}: confirmed"), || match self.look(case) {
            true => Ok(self.report()),
            false => Err(self.report().to_string()),
        })
    }

    /// Waits until nothing may have its effect any more although nobody waits for it.
    fn until_quiet(&self) {
        until("nothing is under way at the venue", || {
            let counts = self.simulator.read("/sim/calls");
            match counts["under_way"] == 0 {
                true => Ok(()),
                false => Err(counts.to_string()),
            }
        });
    }
}

/// One case: its name, its faults, and whether they are in the way for as long as they last.
type Case = (&'static str, Value, bool);

/// Every fault that concerns cancels and listings, on every call that cancel-all makes.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let general = [
        ("throttle", json!({ "retry_after_s": 1 })),
        ("status", json!({ "code": 503 })),
        ("status_after", json!({ "code": 500 })),
        ("drop_before", json!({})),
        ("drop_after", json!({})),
        ("reset_mid_answer", json!({})),
        ("garbage", json!({})),
        ("empty_object", json!({})),
        ("hang", json!({})),
        ("hold", json!({ "ms": 600_000 })),
        ("latency", json!({ "ms": 500 })),
    ];
    for (fault, fields) in &general {
        let on = |calls: &[&str]| {
            let mut rule = json!({ "calls": calls, "fault": fault });
            rule.as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            json!([rule])
        };
        cases.push((*fault, on(&["orders.cancel_all"]), false));
        cases.push((*fault, on(&["orders.open"]), true));
        let no_effect = ["throttle", "status", "drop_before", "hang"].contains(fault);
        cases.push((
            *fault,
            on(&["orders.cancel", "orders.cancel_all"]),
            no_effect,
        ));
        cases.push((*fault, on(&["fills", "orders.by_client_id"]), false));
    }
    let both = json!(["orders.cancel", "orders.cancel_all"]);
    cases.push((
        "cancel_ignored",
        json!([{ "calls": ["orders.cancel_all"], "fault": "cancel_ignored" }]),
        false,
    ));
    cases.push((
        "cancel_ignored",
        json!([{ "calls": both, "fault": "cancel_ignored" }]),
        true,
    ));
    for pct in [0, 50, 99] {
        let partial = json!([{ "calls": ["orders.cancel_all"], "fault": "partial_cancel", "fraction_pct": pct }]);
        cases.push(("partial_cancel", partial, false));
    }
    let mixed = json!([
        { "calls": ["orders.open"], "fault": "garbage", "probability": 0.4 },
        { "calls": ["orders.cancel_all"], "fault": "partial_cancel", "fraction_pct": 50 },
        { "calls": both, "fault": "cancel_ignored", "probability": 0.4 },
        { "calls": ["*"], "fault": "status", "code": 502, "probability": 0.2 },
    ]);
    cases.push(("mixed", mixed, false));
    cases.push(("down", json!([{ "calls": ["*"], "fault": "down" }]), true));
    cases
}

/// Part `part` of the cases, so that they run side by side.
fn no_fault_of_the_venue_makes_a_halt_say_confirmed_while_an_order_rests(part: usize) {
    let bench = Bench::start();
    let cases = cases().into_iter().enumerate();
    let mut confirmed_under_faults = 0;
    for (n, (word, rules, in_the_way)) in cases.filter(|(n, _)| n % 4 == part) {
        let case = format!("{n} {word} {rules}");
        eprintln!("{case}");
        bench.rest(&format!("case-{n}"));
        bench.simulator.rules(&rules);
        let report = bench.daemon.caller("admin").emergency_stop(&case);
        assert!(
            !(report["confirmed"] == true && in_the_way),
            "{case}: {report}"
        );
        for _ in 0..LOOKS {
            let confirmed = bench.look(&case);
            assert!(!(confirmed && in_the_way), "{case}");
            thread::sleep(Duration::from_millis(10));
        }
        if !in_the_way {
            bench.until_confirmed(&case);
            confirmed_under_faults += 1;
        }
        bench.simulator.no_faults();
        let report = bench.until_confirmed(&case);
        // The stranger's is counted if it was seen resting before it was cancelled.
        let cancelled = report["orders_cancelled"].as_u64().unwrap();
        assert!((3..=4).contains(&cancelled), "{case}: {report}");
        bench.until_quiet();
        lift(&bench.daemon);
    }
    assert_ne!(confirmed_under_faults, 0);
}

#[test]
fn no_fault_makes_a_halt_say_confirmed_while_an_order_rests_part_1() {
    no_fault_of_the_venue_makes_a_halt_say_confirmed_while_an_order_rests(0);
}

#[test]
fn no_fault_makes_a_halt_say_confirmed_while_an_order_rests_part_2() {
    no_fault_of_the_venue_makes_a_halt_say_confirmed_while_an_order_rests(1);
}

#[test]
fn no_fault_makes_a_halt_say_confirmed_while_an_order_rests_part_3() {
    no_fault_of_the_venue_makes_a_halt_say_confirmed_while_an_order_rests(2);
}

#[test]
fn no_fault_makes_a_halt_say_confirmed_while_an_order_rests_part_4() {
    no_fault_of_the_venue_makes_a_halt_say_confirmed_while_an_order_rests(3);
}

#[test]
fn an_order_that_appears_after_the_cancel_all_is_cancelled_too_and_was_not_confirmed_before() {
    let bench = Bench::start();
    bench.simulator.rules(&json!([
        { "calls": ["orders.place"], "fault": "late", "ms": 2_500, "times": 1 },
    ]));
    let bot = bench.daemon.caller("system");
    let late = bot.order(&resting("late")).expect(202);
    let id = late["order_id"].as_str().unwrap();
    let report = bench.daemon.caller("admin").emergency_stop("late");
    assert_eq!(
        (&report["confirmed"], &report["orders_unconfirmed"]),
        (&json!(false), &json!(1)),
        "{report}"
    );
    assert_eq!(
        bench.simulator.order(id),
        Value::Null,
        "it is still on its way"
    );
    let report = bench.until_confirmed("late");
    assert_eq!(bench.simulator.order(id)["status"], "cancelled");
    assert_eq!(report["orders_cancelled"], 1, "{report}");
}

#[test]
fn an_order_placed_after_the_lift_survives_whatever_the_halt_still_had_to_do() {
    let bench = Bench::start();
    bench.rest("before");
    // Accepted and not done: the halt cannot be confirmed before this ends.
    bench.simulator.rules(&json!([
        { "calls": ["orders.cancel", "orders.cancel_all"], "fault": "cancel_ignored", "times": 8 },
    ]));
    bench.daemon.caller("admin").emergency_stop("test");
    bench.until_confirmed("before");
    bench.simulator.no_faults();
    lift(&bench.daemon);
    let bot = bench.daemon.caller("system");
    let placed = bot.order(&resting("after-the-lift")).expect(201);
    let id = placed["order_id"].as_str().unwrap();
    until_listed(&bench, 8);
    assert_eq!(bench.simulator.order(id)["status"], "open");
    assert_eq!(bench.simulator.record().open(), [id]);
}

/// Waits until the service read the open orders so many times more.
fn until_listed(bench: &Bench, times: u64) {
    let before = bench.simulator.asked("orders.open");
    until("the open orders were read again", || {
        match bench.simulator.asked("orders.open") {
            enough if enough >= before + times => Ok(()),
            few => Err(format!("{}", few - before)),
        }
    });
}

#[test]
fn the_command_says_that_a_halt_is_not_confirmed_and_later_that_it_is() {
    let bench = Bench::start();
    bench.rest("cli");
    bench
        .simulator
        .rules(&json!([{ "calls": ["orders.open"], "fault": "hang" }]));
    let halt = ["halt", "--reason", "test", "--json"];
    let output = bench.daemon.cli(halt);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["confirmed"], false, "{report}");
    bench.simulator.no_faults();
    bench.until_confirmed("cli");
    let again = json_of(&bench.daemon.cli(halt));
    assert_eq!(
        (&again["confirmed"], &again["orders_unconfirmed"]),
        (&json!(true), &json!(0))
    );
}

#[test]
fn a_venue_that_is_down_when_trading_halts_is_cancelled_at_when_it_is_back() {
    let long = std::env::var_os("FLASHGUARD_FULL").is_some_and(|value| value == "1");
    let down = Duration::from_secs(if long { 60 } else { 5 });
    let bench = Bench::start();
    bench.rest("down");
    bench
        .simulator
        .rules(&json!([{ "calls": ["*"], "fault": "down" }]));
    let report = bench.daemon.caller("admin").emergency_stop("down");
    assert_eq!(report["confirmed"], false, "{report}");
    assert_eq!(report["orders_cancelled"], 0, "{report}");
    let looks = down.as_millis() / 250;
    for _ in 0..looks {
        thread::sleep(Duration::from_millis(250));
        assert!(!bench.look("down"));
        assert!(bench.report()["orders_unconfirmed"].as_u64().unwrap() >= 3);
    }
    bench.simulator.no_faults();
    let report = bench.until_confirmed("down");
    assert_eq!(report["orders_cancelled"], 4, "{report}");
    assert!(bench.simulator.record().open().is_empty());
}

#[test]
fn a_killed_service_goes_on_cancelling_after_its_restart() {
    let mut bench = Bench::start();
    bench.rest("killed");
    bench.simulator.rules(&json!([
        { "calls": ["orders.cancel", "orders.cancel_all"], "fault": "cancel_ignored" },
    ]));
    let report = bench.daemon.caller("admin").emergency_stop("test");
    assert_eq!(report["confirmed"], false);
    bench.daemon.kill_and_restart();
    assert!(!bench.look("killed"));
    bench.simulator.no_faults();
    bench.until_confirmed("killed");
    assert!(bench.simulator.record().open().is_empty());
}
