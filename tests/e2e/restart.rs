//! What a stop and a crash leave, and what the next start makes of it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use super::daemon::{Daemon, filling, resting};
use super::until::until;

/// Orders that are answered before the service is killed.
const ANSWERED_BEFORE_THE_KILL: usize = 60;

/// Most orders of one sender.
const ORDERS_MAX: usize = 20_000;

#[test]
fn after_a_kill_under_load_every_answered_order_is_known_here_and_at_the_venue() {
    let mut daemon = Daemon::spawn();
    let answered = AtomicUsize::new(0);
    let placed: Vec<(String, Value)> = thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (bot, answered) = (daemon.caller("system"), &answered);
                scope.spawn(move || {
                    let mut placed = Vec::new();
                    for n in 0..ORDERS_MAX {
                        let id = format!("kill-{sender}-{n}");
                        let Ok(reply) = bot.try_order(&filling(&id)) else {
                            break;
                        };
                        placed.push((id, reply.expect(201)));
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    placed
                })
            })
            .collect();
        until("enough orders are answered", || {
            match answered.load(Ordering::SeqCst) {
                enough if enough >= ANSWERED_BEFORE_THE_KILL => Ok(()),
                few => Err(format!("{few} answered")),
            }
        });
        daemon.kill();
        senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect()
    });

    daemon.verify();
    daemon.start();
    daemon.verify();
    let bot = daemon.caller("system");
    let at_venue: Vec<_> = daemon.venue().accepted();
    let once: HashSet<_> = at_venue.iter().cloned().collect();
    assert_eq!(once.len(), at_venue.len(), "an order was accepted twice");
    for (client_order_id, answer) in &placed {
        let id = answer["order_id"].as_str().unwrap();
        assert!(
            once.contains(id),
            "{id} was answered and the venue does not have it"
        );
        let again = bot.order(&filling(client_order_id)).expect(200);
        assert_eq!(
            again["order_id"], answer["order_id"],
            "{client_order_id} was forgotten"
        );
    }
    // Nothing stands at the venue that was not recorded here first, and nothing stays in doubt.
    for id in &once {
        until("the order is resolved", || {
            let order = bot.get(&format!("/trading/orders/{id}")).expect(200);
            if order["status"] == "filled" {
                Ok(())
            } else {
                Err(order.to_string())
            }
        });
    }
    // The repeats above sent nothing; a fill counts once.
    assert_eq!(daemon.venue().accepted().len(), at_venue.len());
    let expected = (100 * at_venue.len()).to_string();
    until("the position is what the venue filled", || {
        let positions = bot.get("/trading/positions").expect(200).to_string();
        if positions.contains(&format!("\"{expected}\"")) {
            Ok(())
        } else {
            Err(positions)
        }
    });
}

#[test]
fn a_second_service_on_the_same_directory_is_refused_and_told_which_runs() {
    let daemon = Daemon::spawn();
    let output = daemon.serve_refused();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains(&daemon.pid().to_string()), "{told}");
    daemon
        .caller("system")
        .order(&filling("goes-on"))
        .expect(201);
}

#[test]
fn a_stop_cancels_what_rests_and_the_next_start_trades() {
    let mut daemon = Daemon::spawn();
    daemon
        .caller("system")
        .order(&resting("rest-1"))
        .expect(201);
    assert_eq!(daemon.venue().open().len(), 1);
    assert_eq!(daemon.stop().code(), Some(0));
    assert!(daemon.venue().open().is_empty());
    daemon.verify();
    daemon.start();
    assert_eq!(daemon.caller("admin").status()["status"], "active");
    daemon
        .caller("system")
        .order(&filling("next-1"))
        .expect(201);
}

#[test]
fn a_stop_that_leaves_orders_finds_them_again() {
    let mut daemon = Daemon::spawn_with(&[("SERVER__ON_STOP", "leave")]);
    let answer = daemon
        .caller("system")
        .order(&resting("rest-1"))
        .expect(201);
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(daemon.venue().open().len(), 1);
    daemon.start();
    let id = answer["order_id"].as_str().unwrap();
    let order = daemon
        .caller("system")
        .get(&format!("/trading/orders/{id}"))
        .expect(200);
    assert_eq!(order["status"], "open", "{order}");
}

#[test]
fn a_pause_lasts_over_a_kill() {
    let mut daemon = Daemon::spawn();
    let pause = serde_json::json!({"reason": "test"});
    daemon
        .caller("admin")
        .post("/admin/pause", &pause)
        .expect(200);
    daemon.kill_and_restart();
    assert_eq!(daemon.caller("admin").status()["status"], "paused");
    daemon
        .caller("system")
        .order(&filling("no"))
        .expect_error(503, "TRADING_PAUSED");
}
