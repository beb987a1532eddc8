//! The end of a halt: two people, bound to the epoch.

use serde_json::{Value, json};

use super::daemon::{Daemon, filling};
use super::http::Reply;

/// Halts; the epoch.
fn halted(daemon: &Daemon) -> Value {
    daemon.caller("admin").emergency_stop("test")["epoch"].clone()
}

fn lift(daemon: &Daemon, key: &str, epoch: &Value) -> Reply {
    let body = json!({"epoch": epoch, "reason": "checked"});
    daemon.caller(key).post("/admin/emergency/lift", &body)
}

/// It is halted, and an order says so.
#[track_caller]
fn assert_halted(daemon: &Daemon) {
    assert_eq!(
        daemon.caller("admin").status()["status"],
        "emergency_shutdown"
    );
    daemon
        .caller("system")
        .order(&filling("no"))
        .expect_error(503, "TRADING_HALTED");
}

#[test]
fn two_people_end_a_halt_and_it_trades_again() {
    let mut daemon = Daemon::spawn();
    let epoch = halted(&daemon);
    assert!(daemon.data().join("halt").exists());
    let waiting = lift(&daemon, "admin", &epoch).expect(202);
    assert!(
        waiting.to_string().contains("lift"),
        "it says how the second person agrees: {waiting}"
    );
    assert_halted(&daemon);
    lift(&daemon, "admin2", &epoch).expect(200);
    assert_eq!(daemon.caller("admin").status()["status"], "active");
    daemon
        .caller("system")
        .order(&filling("again-1"))
        .expect(201);
    assert!(daemon.data().join("halt.armed").exists() && !daemon.data().join("halt").exists());

    daemon.kill_and_restart();
    assert_eq!(daemon.caller("admin").status()["status"], "active");
    daemon
        .caller("system")
        .order(&filling("again-2"))
        .expect(201);
}

#[test]
fn one_person_alone_never_ends_a_halt_not_with_two_keys_either() {
    let daemon = Daemon::spawn();
    let epoch = halted(&daemon);
    lift(&daemon, "admin", &epoch).expect(202);
    lift(&daemon, "admin", &epoch).expect(202);
    let made = daemon.cli([
        "apikeys", "create", "--role", "admin", "--owner", "ann", "--json",
    ]);
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    let second_key = text
        .split('"')
        .find(|word| word.starts_with("fg_"))
        .unwrap_or_else(|| panic!("{made:?}"));
    let ann = daemon.caller("admin").bearing(second_key);
    ann.post(
        "/admin/emergency/lift",
        &json!({"epoch": epoch, "reason": "again"}),
    )
    .expect(202);
    assert_halted(&daemon);
    lift(&daemon, "admin2", &epoch).expect(200);
}

#[test]
fn an_agreement_to_another_epoch_counts_for_nothing() {
    let daemon = Daemon::spawn();
    let first = halted(&daemon);
    lift(&daemon, "admin", &first).expect(202);
    lift(&daemon, "admin2", &first).expect(200);
    let second = halted(&daemon);
    assert_eq!(second.as_u64().unwrap(), first.as_u64().unwrap() + 1);
    for key in ["admin", "admin2"] {
        let reply = lift(&daemon, key, &first);
        assert!((400..500).contains(&reply.status), "{reply:?}");
    }
    assert_halted(&daemon);
}

#[test]
fn a_new_halt_takes_back_the_agreements_given_so_far() {
    let daemon = Daemon::spawn();
    let epoch = halted(&daemon);
    lift(&daemon, "admin", &epoch).expect(202);
    assert_eq!(halted(&daemon), epoch);
    lift(&daemon, "admin2", &epoch).expect(202);
    assert_halted(&daemon);
    lift(&daemon, "admin", &epoch).expect(200);
    assert_eq!(daemon.caller("admin").status()["status"], "active");
}

#[test]
fn who_does_not_hold_the_permission_cannot_agree() {
    let daemon = Daemon::spawn();
    let epoch = halted(&daemon);
    lift(&daemon, "admin", &epoch).expect(202);
    for key in ["system", "readonly"] {
        assert_eq!(lift(&daemon, key, &epoch).status, 403, "{key}");
    }
    assert_halted(&daemon);
}

#[test]
fn a_sentinel_removed_by_hand_ends_nothing() {
    let mut daemon = Daemon::spawn();
    halted(&daemon);
    std::fs::remove_file(daemon.data().join("halt")).unwrap();
    assert_halted(&daemon);
    daemon.kill_and_restart();
    assert_halted(&daemon);
    assert!(
        daemon.data().join("halt").exists(),
        "the start made it again"
    );
}

#[test]
fn without_a_halt_there_is_nothing_to_lift() {
    let daemon = Daemon::spawn();
    let epoch = daemon.caller("admin").status()["epoch"].clone();
    let reply = lift(&daemon, "admin", &epoch);
    assert!((400..500).contains(&reply.status), "{reply:?}");
    assert_eq!(daemon.caller("admin").status()["status"], "active");
}
