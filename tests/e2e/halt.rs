//! A halt, by each of its triggers: nothing leaves afterwards, what rests is cancelled, and it lasts.
//!
//! "Afterwards" is not read from clocks: an order was sent after the halt when its request began after
//! the halt was known, and what left is counted at the venue's own record.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::daemon::{Daemon, filling, resting};
use super::http::Reply;
use super::until::until;

/// Longer than the beat allows (5 s).
const STANDSTILL: Duration = Duration::from_secs(6);

/// Senders that post orders for as long as a test needs them.
#[derive(Default)]
struct Load {
    halt_is_known: AtomicBool,
    over: AtomicBool,
    answered: AtomicUsize,
}

/// One order that a sender posted.
struct Sent {
    began_after_the_halt: bool,
    reply: Reply,
}

impl Load {
    /// Most orders of one sender, so that a test that hangs elsewhere ends.
    const ORDERS_MAX: usize = 20_000;

    fn send(&self, daemon: &Daemon, sender: usize) -> Vec<Sent> {
        let bot = daemon.caller("system");
        let mut sent = Vec::new();
        while !self.over.load(Ordering::SeqCst) && sent.len() < Self::ORDERS_MAX {
            let began_after_the_halt = self.halt_is_known.load(Ordering::SeqCst);
            let reply = bot.order(&filling(&format!("load-{sender}-{}", sent.len())));
            sent.push(Sent {
                began_after_the_halt,
                reply,
            });
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
        sent
    }

    fn until_more_are_answered(&self) {
        let from = self.answered.load(Ordering::SeqCst);
        until("more orders are answered", || {
            let answered = self.answered.load(Ordering::SeqCst) - from;
            if answered >= 24 {
                Ok(())
            } else {
                Err(format!("{answered} answered"))
            }
        });
    }
}

fn order_ids<'a>(replies: impl Iterator<Item = &'a Reply>) -> HashSet<String> {
    replies
        .map(|reply| reply.json()["order_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Halts a service under load by `trigger`, and demands everything that a halt promises.
#[track_caller]
fn stops_everything(trigger: impl FnOnce(&Daemon)) {
    let mut daemon = Daemon::spawn();
    let bot = daemon.caller("system");
    let rested: Vec<_> = (0..3)
        .map(|n| bot.order(&resting(&format!("rest-{n}"))))
        .collect();
    let rested = order_ids(
        rested
            .iter()
            .inspect(|reply| assert_eq!(reply.status, 201, "{reply:?}")),
    );
    assert_eq!(daemon.venue().open().len(), 3);

    let load = Load::default();
    let sent: Vec<Sent> = thread::scope(|scope| {
        let (load, daemon) = (&load, &daemon);
        let senders: Vec<_> = (0..4)
            .map(|n| scope.spawn(move || load.send(daemon, n)))
            .collect();
        load.until_more_are_answered();
        trigger(daemon);
        daemon.until_halted();
        load.halt_is_known.store(true, Ordering::SeqCst);
        load.until_more_are_answered();
        load.over.store(true, Ordering::SeqCst);
        senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect()
    });

    // No order whose request began after the halt got further than the door.
    let (after, before): (Vec<_>, Vec<_>) = sent.iter().partition(|sent| sent.began_after_the_halt);
    assert!(!after.is_empty() && !before.is_empty());
    for sent in after {
        sent.reply.expect_error(503, "TRADING_HALTED");
        assert!(!sent.reply.body.contains("signature"), "{:?}", sent.reply);
    }
    // What the venue has was answered as placed or in doubt, and what was answered as placed it has.
    let answered = |status| {
        order_ids(
            before
                .iter()
                .map(|sent| &sent.reply)
                .filter(move |reply| reply.status == status),
        )
    };
    let (placed, in_doubt) = (answered(201), answered(202));
    let accepted = daemon.venue().accepted();
    let once: HashSet<_> = accepted.iter().cloned().collect();
    assert_eq!(once.len(), accepted.len(), "an order was accepted twice");
    for id in &once {
        assert!(
            placed.contains(id) || in_doubt.contains(id) || rested.contains(id),
            "{id} left unanswered"
        );
    }
    assert!(placed.is_subset(&once));

    // Open orders are cancelled, at the venue, and the report says so.
    until("nothing rests at the venue", || {
        match daemon.venue().open() {
            open if open.is_empty() => Ok(()),
            open => Err(format!("{open:?}")),
        }
    });
    let report = until("the cancels are confirmed", || {
        let report = daemon.caller("admin").get("/admin/emergency").expect(200);
        if report["orders_unconfirmed"] == 0 {
            Ok(report)
        } else {
            Err(report.to_string())
        }
    });
    for step in report["steps"].as_array().unwrap() {
        assert!(
            step["name"].is_string() && step["outcome"].is_string(),
            "{report}"
        );
    }

    // It lasts.
    let epoch = daemon.until_halted()["epoch"].clone();
    daemon.verify();
    daemon.kill_and_restart();
    let status = daemon.until_halted();
    assert_eq!(status["epoch"], epoch, "{status}");
    daemon
        .caller("system")
        .order(&filling("later-1"))
        .expect_error(503, "TRADING_HALTED");
    assert_eq!(daemon.venue().accepted(), accepted);
}

#[test]
fn the_route_stops_everything() {
    stops_everything(|daemon| {
        let report = daemon.login("admin").emergency_stop("test");
        assert_eq!(report["status"], "emergency_stopped", "{report}");
        assert_eq!(report["durable"], true, "{report}");
        assert_eq!(report["orders_unconfirmed"], 0, "{report}");
    });
}

#[test]
fn the_control_listener_stops_everything() {
    stops_everything(|daemon| {
        let control = daemon.caller("system").at(daemon.addresses().control);
        control.emergency_stop("test");
    });
}

#[test]
fn the_command_stops_everything_without_a_credential() {
    stops_everything(|daemon| {
        let output = daemon.cli(["halt", "--reason", "test"]);
        assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    });
}

#[test]
fn the_control_socket_stops_everything() {
    stops_everything(|daemon| {
        let report = daemon.control(&json!({"request": "halt", "reason": "test"}));
        assert_eq!(report["done"]["status"], "emergency_stopped", "{report}");
    });
}

#[test]
fn a_file_named_halt_stops_everything() {
    stops_everything(|daemon| std::fs::write(daemon.data().join("halt"), "").unwrap());
}

#[test]
fn the_sentinel_renamed_stops_everything() {
    stops_everything(|daemon| {
        std::fs::rename(daemon.data().join("halt.armed"), daemon.data().join("halt")).unwrap();
    });
}

#[test]
fn sigusr1_stops_everything() {
    stops_everything(|daemon| daemon.signal(Signal::USR1));
}

#[test]
fn a_hundred_halts_at_once_raise_one_epoch() {
    let daemon = Daemon::spawn();
    let before = daemon.caller("admin").status()["epoch"].as_u64().unwrap();
    let reports: Vec<Value> = thread::scope(|scope| {
        let daemon = &daemon;
        let others = [
            scope.spawn(|| drop(daemon.cli(["halt", "--reason", "command"]))),
            scope.spawn(|| daemon.signal(Signal::USR1)),
            scope.spawn(|| std::fs::write(daemon.data().join("halt"), "").unwrap()),
        ];
        let callers: Vec<_> = (0..97)
            .map(|n| {
                let caller = daemon.caller(if n % 2 == 0 { "admin" } else { "system" });
                scope.spawn(move || caller.emergency_stop(&format!("caller {n}")))
            })
            .collect();
        let reports = callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect();
        others.into_iter().for_each(|other| other.join().unwrap());
        reports
    });
    let of_each = |name: &str| {
        reports
            .iter()
            .map(|r| r[name].to_string())
            .collect::<HashSet<_>>()
    };
    assert_eq!(of_each("epoch"), HashSet::from([(before + 1).to_string()]));
    assert_eq!(of_each("incident_id").len(), 1);
    assert_eq!(daemon.until_halted()["epoch"], before + 1);
}

#[test]
fn a_halt_that_nobody_may_ask_for_or_that_is_not_confirmed_does_not_happen() {
    let daemon = Daemon::spawn();
    let body = |word: &str| json!({"confirmation": word, "reason": "test"});
    let stop = |key: &str, word: &str| {
        daemon
            .caller(key)
            .post("/admin/emergency-stop", &body(word))
    };
    assert_eq!(stop("readonly", "EMERGENCY_STOP_CONFIRMED").status, 403);
    assert_eq!(stop("admin", "yes").status, 400);
    assert_eq!(daemon.caller("admin").status()["status"], "active");
    daemon
        .caller("system")
        .order(&filling("goes-on"))
        .expect(201);
}

#[test]
fn cancels_and_reads_go_on_while_halted_and_a_resume_changes_nothing() {
    let daemon = Daemon::spawn();
    let (bot, admin) = (daemon.caller("system"), daemon.caller("admin"));
    let placed = bot.order(&filling("before-1")).expect(201);
    admin.emergency_stop("test");
    admin
        .post("/admin/resume", &json!({"reason": "no"}))
        .expect_error(409, "HALTED");
    let replay = bot.order(&filling("before-1")).expect(200);
    assert_eq!(replay["order_id"], placed["order_id"]);
    assert!(
        replay["signature"].is_null(),
        "a signature in a halted answer: {replay}"
    );
    assert!(bot.delete("/trading/orders?symbol=SEI%2FUSDC").status < 300);
    assert_eq!(bot.get("/health").status, 200);
    assert_eq!(admin.status()["status"], "emergency_shutdown");
}

#[test]
fn a_halt_without_a_running_service_is_found_at_the_start() {
    let mut daemon = Daemon::initialised(&[]);
    let output = daemon.cli(["halt", "--reason", "test"]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    daemon.start();
    daemon.until_halted();
    daemon
        .caller("system")
        .order(&filling("no"))
        .expect_error(503, "TRADING_HALTED");
    assert!(daemon.venue().accepted().is_empty());
}

/// K13: a process that stood still must not go on as if nothing had happened.
#[test]
fn a_process_that_stood_still_wakes_up_halted_and_sends_nothing() {
    let daemon = Daemon::spawn();
    let bot = daemon.caller("system");
    bot.order(&resting("before")).expect(201);
    daemon.signal(Signal::STOP);
    thread::sleep(STANDSTILL);
    daemon.signal(Signal::CONT);
    daemon.until_halted();
    let refused = bot.order(&resting("after"));
    refused.expect_error(503, "TRADING_HALTED");
    assert_eq!(daemon.venue().accepted().len(), 1);
}
