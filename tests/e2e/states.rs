//! What each role can do in each state of trading: the whole table, as measured.

use std::fmt::Write;

use serde_json::{Value, json};

use super::daemon::{Daemon, filling, resting};
use super::until::until;

const ROLES: [&str; 3] = ["admin", "readonly", "system"];

/// The states, the least restrictive first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    ReduceOnly,
    Paused,
    PausedAndReduceOnly,
    Halted,
}

use State::{Active, Halted, Paused, PausedAndReduceOnly, ReduceOnly};

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Grow,
    Reduce,
    CancelOne,
    CancelAll,
    Read,
    Pause,
    ReduceOnly,
    Resume,
    Stop,
    Lift,
}

const ACTIONS: [Action; 10] = [
    Action::Grow,
    Action::Reduce,
    Action::CancelOne,
    Action::CancelAll,
    Action::Read,
    Action::Pause,
    Action::ReduceOnly,
    Action::Resume,
    Action::Stop,
    Action::Lift,
];

/// Status, code of the error, and the state that was seen afterwards where it is another one.
const EXPECTED: &str = "\
Active: Grow: 403, 403, 201
Active: Reduce: 403, 403, 201
Active: CancelOne: 200, 403, 200
Active: CancelAll: 200, 403, 200
Active: Read: 200, 200, 200
Active: Pause: 200 paused, 403, 403
Active: ReduceOnly: 200 reduce_only, 403, 403
Active: Resume: 200, 403, 403
Active: Stop: 200 emergency_shutdown, 403, 200 emergency_shutdown
Active: Lift: 409 NOT_HALTED, 403, 403
ReduceOnly: Grow: 403, 403, 422 REDUCE_ONLY
ReduceOnly: Reduce: 403, 403, 201
ReduceOnly: CancelOne: 200, 403, 200
ReduceOnly: CancelAll: 200, 403, 200
ReduceOnly: Read: 200, 200, 200
ReduceOnly: Pause: 200 paused, 403, 403
ReduceOnly: ReduceOnly: 200, 403, 403
ReduceOnly: Resume: 200 active, 403, 403
ReduceOnly: Stop: 200 emergency_shutdown, 403, 200 emergency_shutdown
ReduceOnly: Lift: 409 NOT_HALTED, 403, 403
Paused: Grow: 403, 403, 503 TRADING_PAUSED
Paused: Reduce: 403, 403, 503 TRADING_PAUSED
Paused: CancelOne: 200, 403, 200
Paused: CancelAll: 200, 403, 200
Paused: Read: 200, 200, 200
Paused: Pause: 200, 403, 403
Paused: ReduceOnly: 200, 403, 403
Paused: Resume: 200 active, 403, 403
Paused: Stop: 200 emergency_shutdown, 403, 200 emergency_shutdown
Paused: Lift: 409 NOT_HALTED, 403, 403
PausedAndReduceOnly: Grow: 403, 403, 503 TRADING_PAUSED
PausedAndReduceOnly: Reduce: 403, 403, 503 TRADING_PAUSED
PausedAndReduceOnly: CancelOne: 200, 403, 200
PausedAndReduceOnly: CancelAll: 200, 403, 200
PausedAndReduceOnly: Read: 200, 200, 200
PausedAndReduceOnly: Pause: 200, 403, 403
PausedAndReduceOnly: ReduceOnly: 200, 403, 403
PausedAndReduceOnly: Resume: 200 active, 403, 403
PausedAndReduceOnly: Stop: 200 emergency_shutdown, 403, 200 emergency_shutdown
PausedAndReduceOnly: Lift: 409 NOT_HALTED, 403, 403
Halted: Grow: 403, 403, 503 TRADING_HALTED
Halted: Reduce: 403, 403, 503 TRADING_HALTED
Halted: CancelOne: 200, 403, 200
Halted: CancelAll: 200, 403, 200
Halted: Read: 200, 200, 200
Halted: Pause: 200, 403, 403
Halted: ReduceOnly: 200, 403, 403
Halted: Resume: 409 HALTED, 403, 403
Halted: Stop: 200, 403, 200
Halted: Lift: 202, 403, 403
";

struct Bench {
    daemon: Daemon,
    orders: u32,
}

impl Bench {
    fn id(&mut self) -> String {
        self.orders += 1;
        format!("o-{:04}", self.orders)
    }

    /// Brings trading into `state`, from whatever it is in, with one order that rests (but for a
    /// halt, which cancels it); its id.
    fn enter(&mut self, state: State) -> String {
        let admin = self.daemon.caller("admin");
        let now = admin.status();
        if now["status"] == "emergency_shutdown" {
            let body = json!({"epoch": now["epoch"], "reason": "next case"});
            admin.post("/admin/emergency/lift", &body);
            let second = self.daemon.caller("admin2");
            second.post("/admin/emergency/lift", &body).expect(200);
        }
        let reason = json!({"reason": "next case"});
        admin.post("/admin/resume", &reason).expect(200);
        assert_eq!(admin.status()["status"], "active", "{}", admin.status());
        let order = resting(&self.id());
        let placed = self.daemon.caller("system").order(&order).expect(201);
        if matches!(state, ReduceOnly | PausedAndReduceOnly) {
            admin.post("/admin/reduce-only", &reason).expect(200);
        }
        if matches!(state, Paused | PausedAndReduceOnly) {
            admin.post("/admin/pause", &reason).expect(200);
        }
        if state == Halted {
            let report = admin.emergency_stop("next case");
            assert_eq!(report["orders_unconfirmed"], 0, "{report}");
        }
        placed["order_id"].as_str().unwrap().to_owned()
    }

    /// Tries one thing as `role`; what came of it, as the table writes it.
    fn tries(&mut self, state: State, action: Action, role: &str) -> String {
        let resting_id = self.enter(state);
        let (before, caller) = (self.state(), self.daemon.caller(role));
        let reason = json!({"reason": "a case"});
        let epoch = self.daemon.caller("admin").status()["epoch"].clone();
        let reply = match action {
            Action::Grow => caller.order(&filling(&self.id())),
            Action::Reduce => caller.order(&json!({
                "symbol": "SEI/USDC", "side": "sell", "price": "0.2490", "size": "10",
                "client_order_id": self.id(),
            })),
            Action::CancelOne => caller.delete(&format!("/trading/orders/{resting_id}")),
            Action::CancelAll => caller.delete("/trading/orders"),
            Action::Read => caller.get("/trading/orders"),
            Action::Pause => caller.post("/admin/pause", &reason),
            Action::ReduceOnly => caller.post("/admin/reduce-only", &reason),
            Action::Resume => caller.post("/admin/resume", &reason),
            Action::Stop => caller.post(
                "/admin/emergency-stop",
                &json!({"confirmation": "EMERGENCY_STOP_CONFIRMED", "reason": "a case"}),
            ),
            Action::Lift => caller.post(
                "/admin/emergency/lift",
                &json!({"epoch": epoch, "reason": "a case"}),
            ),
        };
        let mut said = reply.status.to_string();
        if reply.status >= 400 && reply.status != 403 {
            write!(said, " {}", reply.code()).unwrap();
        }
        let after = self.state();
        if after != before {
            write!(said, " {after}").unwrap();
        }
        said
    }

    fn state(&self) -> String {
        let status: Value = self.daemon.caller("admin").status();
        status["status"].as_str().unwrap().to_owned()
    }
}

#[test]
fn each_role_can_do_in_each_state_exactly_what_the_table_says() {
    let daemon = Daemon::spawn();
    let bought = daemon.caller("system").order(&filling("position"));
    assert_eq!(bought.expect(201)["status"], "filled");
    until("the position is there", || {
        let positions = daemon.caller("admin").get("/trading/positions").expect(200);
        let there = positions["positions"][0]["size"] == "100";
        there.then_some(()).ok_or_else(|| positions.to_string())
    });
    let mut bench = Bench { daemon, orders: 0 };
    let mut measured = String::new();
    for state in [Active, ReduceOnly, Paused, PausedAndReduceOnly, Halted] {
        for action in ACTIONS {
            let row = ROLES.map(|role| bench.tries(state, action, role));
            writeln!(measured, "{state:?}: {action:?}: {}", row.join(", ")).unwrap();
        }
    }
    eprintln!("state: action: {}\n{measured}", ROLES.join(", "));
    for (measured, expected) in measured.lines().zip(EXPECTED.lines()) {
        assert_eq!(measured, expected);
    }
    assert_eq!(measured.lines().count(), EXPECTED.lines().count());
}

#[test]
fn reduce_only_is_remembered_over_a_kill_and_left_by_a_resume() {
    let mut daemon = Daemon::spawn();
    let reason = json!({"reason": "the venue is odd"});
    let held = daemon.caller("admin").post("/admin/reduce-only", &reason);
    assert_eq!(
        held.expect(200),
        json!({"status": "reduce_only", "held_by": ["reduce_only:operator"]})
    );
    daemon.kill_and_restart();
    let status = daemon.caller("admin").status();
    assert_eq!(status["status"], "reduce_only");
    assert_eq!(status["reason"], "the venue is odd");
    daemon
        .caller("system")
        .order(&filling("grow"))
        .expect_error(422, "REDUCE_ONLY");
    let resumed = daemon.caller("admin").post("/admin/resume", &reason);
    assert_eq!(
        resumed.expect(200),
        json!({"status": "active", "held_by": []})
    );
    daemon.caller("system").order(&filling("grow")).expect(201);
}

#[test]
fn a_lift_to_reduce_only_admits_exits_alone_also_after_a_kill_until_a_resume() {
    let mut daemon = Daemon::spawn();
    let bought = daemon.caller("system").order(&filling("position"));
    assert_eq!(bought.expect(201)["status"], "filled");
    let epoch = daemon.caller("admin").emergency_stop("test")["epoch"].clone();
    let lift = json!({"epoch": epoch, "reason": "exits only", "to": "reduce_only"});
    for (key, status) in [("admin", 202), ("admin2", 200)] {
        let reply = daemon.caller(key).post("/admin/emergency/lift", &lift);
        reply.expect(status);
    }
    for killed in [false, true] {
        if killed {
            daemon.kill_and_restart();
        }
        let system = daemon.caller("system");
        let status = system.status();
        assert_eq!(status["status"], "reduce_only");
        assert_eq!(status["held_by"], json!(["reduce_only:lift"]));
        let grow = system.order(&filling(&format!("grow-{killed}")));
        grow.expect_error(422, "REDUCE_ONLY");
        let exit = json!({
            "symbol": "SEI/USDC", "side": "sell", "price": "0.2490", "size": "50",
            "client_order_id": format!("exit-{killed}"),
        });
        assert_eq!(system.order(&exit).expect(201)["status"], "filled");
    }
    let reason = json!({"reason": "checked"});
    daemon
        .caller("admin")
        .post("/admin/resume", &reason)
        .expect(200);
    daemon.caller("system").order(&filling("grow")).expect(201);
}
