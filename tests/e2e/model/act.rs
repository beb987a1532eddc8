//! What each step does, and what must hold right after it.

use std::collections::BTreeSet;
use std::io;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::super::http::Reply;
use super::super::until::until;
use super::answers::{Doors, is_terminal};
use super::compare::Halted;
use super::run::Run;
use super::steps::{Meanwhile, Step, Trigger, Wish};
use super::truth::{self, is_open};

impl Run {
    /// Takes one step.
    pub fn take(&mut self, step: &Step) {
        match step {
            Step::Place(wish) => self.send(std::slice::from_ref(wish), Meanwhile::Nothing, 0),
            Step::Burst(wishes, meanwhile, after_ms) => self.send(wishes, *meanwhile, *after_ms),
            Step::Cancel(place) => self.cancel(*place),
            Step::CancelAll(symbol) => self.cancel_all(*symbol),
            Step::Pause => self.pause(),
            Step::Resume => self.resume(),
            Step::Halt(trigger) => self.halt(*trigger),
            Step::Lift { accept } => self.lift(*accept),
            Step::Kill { wait } => {
                self.restart();
                if *wait && !self.faulty && self.doors().open {
                    self.until_open();
                }
            }
            Step::Faults(plan) => {
                self.simulator.plan(plan);
                self.faulty = true;
            }
            Step::NoFaults => {
                self.simulator.no_faults();
                self.faulty = false;
            }
            Step::Wait(ms) => thread::sleep(Duration::from_millis(*ms)),
        }
    }

    /// Sends orders at once, each from a caller of its own, and does something else meanwhile.
    fn send(&mut self, wishes: &[Wish], meanwhile: Meanwhile, after_ms: u64) {
        for wish in wishes {
            let key = (wish.client, wish.id.clone());
            if !self.ids.contains_key(&key) {
                self.sent.push(key.clone());
            }
            let known = self.ids.entry(key).or_default();
            if !known.sent.contains(wish) {
                known.sent.push(wish.clone());
            }
        }
        let before = self.doors();
        let replies: Vec<io::Result<Reply>> = thread::scope(|scope| {
            let callers: Vec<_> = wishes
                .iter()
                .map(|wish| {
                    let bot = self.bot(wish.client);
                    scope.spawn(move || bot.try_order(&wish.body()))
                })
                .collect();
            if meanwhile != Meanwhile::Nothing {
                thread::sleep(Duration::from_millis(after_ms));
            }
            self.do_meanwhile(meanwhile);
            callers
                .into_iter()
                .map(|caller| caller.join().unwrap())
                .collect()
        });
        let doors = before.or(self.doors());
        self.take_in(wishes, replies, doors, meanwhile == Meanwhile::Kill);
        if meanwhile == Meanwhile::Kill {
            self.start_again();
        }
    }

    fn do_meanwhile(&mut self, meanwhile: Meanwhile) {
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Kill => self.daemon.kill(),
            Meanwhile::Halt(trigger) => self.halt(trigger),
            Meanwhile::CancelAll => self.cancel_all(None),
            Meanwhile::Pause => self.pause(),
        }
    }

    fn take_in(
        &mut self,
        wishes: &[Wish],
        replies: Vec<io::Result<Reply>>,
        doors: Doors,
        killed: bool,
    ) {
        let mut answered = Vec::new();
        for (wish, reply) in wishes.iter().zip(replies) {
            match reply {
                Ok(reply) => answered.push((wish, reply)),
                Err(error) if killed => self.note(format!("  {} unanswered: {error}", wish.id)),
                Err(error) => panic!("no answer to {wish:?}: {error}"),
            }
        }
        // Of several under one id, those that bound nothing came first, and repeats last.
        answered.sort_by_key(|(_, reply)| match reply.status {
            200 | 409 => 2,
            _ if reply.body.contains("\"order_id\"") => 1,
            _ => 0,
        });
        let mut placed = Vec::new();
        for (wish, reply) in answered {
            let what = format!("  {} {} {}", wish.id, reply.status, reply.code());
            let known = self.ids.get_mut(&(wish.client, wish.id.clone())).unwrap();
            let taken = known.take(wish, &reply, doors);
            taken.unwrap_or_else(|why| panic!("{why}: {wish:?}: {reply:?}\n{doors:?} {known:?}"));
            if reply.status == 201 {
                placed.extend(known.order_id.clone());
            }
            self.note(what);
        }
        let there = truth::accepted(&self.simulator);
        for order_id in placed {
            let times = there.iter().filter(|(id, _)| *id == order_id).count();
            assert_eq!(times, 1, "{order_id} was answered 201: times accepted");
        }
    }

    /// The order of an id: as the client was told, or as the list has it.
    fn order_of(&self, key: &(usize, String)) -> Option<String> {
        if let Some(order_id) = &self.ids[key].order_id {
            return Some(order_id.clone());
        }
        let admin = self.daemon.caller("admin");
        let listed = admin
            .get(&format!("/trading/orders?client_order_id={}", key.1))
            .expect(200);
        let mut orders = listed["orders"].as_array().unwrap().iter();
        let ours = orders.find(|order| order["client"] == self.name(key.0))?;
        Some(ours["order_id"].as_str().unwrap().to_owned())
    }

    fn cancel(&mut self, place: usize) {
        let key = self.sent[place].clone();
        let Some(order_id) = self.order_of(&key) else {
            return;
        };
        let reply = self
            .bot(key.0)
            .delete(&format!("/trading/orders/{order_id}"));
        self.note(format!(
            "  cancel of {order_id}: {} {}",
            reply.status,
            reply.code()
        ));
        match reply.status {
            200 => {
                let told = reply.json();
                let status = told["status"].as_str().unwrap();
                assert!(is_terminal(status), "a confirmed cancel: {reply:?}");
                let there = truth::orders(&self.simulator);
                let rests = there.get(&order_id).is_some_and(is_open);
                assert!(!rests, "the cancel was confirmed, and it rests: {reply:?}");
                let known = self.ids.get_mut(&key).unwrap();
                let follows = known.now(status);
                follows.unwrap_or_else(|why| panic!("{why}: {reply:?} {known:?}"));
            }
            202 => {}
            503 if self.faulty || self.opening => {}
            _ => panic!("a cancel: {reply:?}"),
        }
    }

    fn cancel_all(&mut self, symbol: Option<&str>) {
        let before = truth::accepted(&self.simulator);
        let query = symbol.map_or_else(String::new, |symbol| {
            format!("?symbol={}", symbol.replace('/', "%2F"))
        });
        let reply = self.bot(0).delete(&format!("/trading/orders{query}"));
        self.note(format!("  cancel of all: {} {}", reply.status, reply.body));
        match reply.status {
            200 => {
                assert_eq!(reply.json()["unconfirmed"], 0, "{reply:?}");
                self.nothing_rests(&before, symbol, "all cancels were confirmed");
            }
            202 => assert_ne!(reply.json()["unconfirmed"], 0, "{reply:?}"),
            503 if self.faulty || self.opening => {}
            _ => panic!("a cancel of all: {reply:?}"),
        }
    }

    /// Nothing that was accepted by then rests.
    fn nothing_rests(&self, accepted: &[(String, u64)], symbol: Option<&str>, why: &str) {
        let orders = truth::orders(&self.simulator);
        for (order_id, _) in accepted {
            let order = &orders[order_id];
            let meant = symbol.is_none_or(|symbol| order["market_id"] == symbol);
            assert!(!(meant && is_open(order)), "{why}, and it rests: {order}");
        }
    }

    fn pause(&mut self) {
        let reply = self
            .daemon
            .caller("admin")
            .post("/admin/pause", &json!({"reason": "model"}));
        reply.expect(200);
        self.paused = true;
    }

    fn resume(&mut self) {
        let admin = self.daemon.caller("admin");
        let reply = admin.post("/admin/resume", &json!({"reason": "model"}));
        if self.halted.is_some() {
            reply.expect_error(409, "HALTED");
        } else {
            reply.expect(200);
            self.paused = false;
        }
    }

    /// Halts. The halt is known when the trigger has answered, or, for one that does not answer, when
    /// the status says so.
    fn halt(&mut self, trigger: Trigger) {
        let admin = self.daemon.caller("admin");
        let accepted = truth::accepted(&self.simulator);
        let stop = json!({"confirmation": "EMERGENCY_STOP_CONFIRMED", "reason": "model"});
        let report = match trigger {
            Trigger::Http => admin.emergency_stop("model"),
            Trigger::HttpAtOnce => admin
                .post("/admin/emergency-stop?wait=false", &stop)
                .expect(200),
            Trigger::ControlListener => admin
                .at(self.daemon.addresses().control)
                .emergency_stop("model"),
            Trigger::ControlSocket => {
                let request = json!({"request": "halt", "reason": "model"});
                self.daemon.control(&request)["done"].clone()
            }
            Trigger::Sentinel => {
                std::fs::write(self.daemon.data().join("halt"), "").unwrap();
                Value::Null
            }
            Trigger::SentinelRenamed => {
                // Halted already: it has that name.
                let [armed, raised] =
                    ["halt.armed", "halt"].map(|name| self.daemon.data().join(name));
                if let Err(error) = std::fs::rename(armed, raised) {
                    assert!(self.halted.is_some(), "no armed sentinel: {error}");
                }
                Value::Null
            }
            Trigger::Signal => {
                self.daemon.signal(Signal::USR1);
                Value::Null
            }
        };
        let status = until("the halt is told with its time", || {
            let status = self.daemon.until_halted();
            match status["since"].is_string() {
                true => Ok(status),
                false => Err(status.to_string()),
            }
        });
        let from = truth::accepted(&self.simulator).len();
        if !report.is_null() {
            assert_eq!(report["epoch"], status["epoch"], "{report}");
            assert_eq!(report["durable"], true, "{report}");
            if report["confirmed"] == true && self.halted.is_none() {
                self.nothing_rests(&accepted, None, "a halt's cancels were confirmed");
            }
        }
        self.note(format!("  halted: {status} {report}"));
        if self.halted.is_none() {
            let emergency = admin.get("/admin/emergency").expect(200);
            let reported = emergency["orders_in_doubt"].as_array().unwrap();
            self.halted = Some(Halted {
                epoch: status["epoch"].as_u64().unwrap(),
                reported: reported
                    .iter()
                    .map(|id| id.as_str().unwrap().to_owned())
                    .collect(),
                from,
                to: usize::MAX,
            });
        }
    }

    /// Two owners end the halt, as soon as the checklist lets them.
    fn lift(&mut self, accept: bool) {
        let Some(epoch) = self.halted.as_ref().map(|halted| halted.epoch) else {
            let body = json!({"epoch": 1, "reason": "model"});
            let admin = self.daemon.caller("admin");
            admin
                .post("/admin/emergency/lift", &body)
                .expect_error(409, "NOT_HALTED");
            return;
        };
        let mut accepted = BTreeSet::new();
        let mut arrived = 0;
        let (daemon, simulator) = (&self.daemon, &self.simulator);
        until("two owners end the halt", || {
            let body = json!({"epoch": epoch, "reason": "model", "accept_open_orders": accepted});
            let mut seen = String::new();
            for owner in ["admin", "admin2"] {
                arrived = truth::accepted(simulator).len();
                let reply = daemon.caller(owner).post("/admin/emergency/lift", &body);
                match (reply.status, reply.code().as_str()) {
                    (200, _) => return Ok(()),
                    (202, _) => {}
                    (409, "NOT_READY") if accept => accepted.extend(unaccepted(&reply)),
                    (409, "NOT_READY") => {}
                    _ => panic!("a lift: {reply:?}"),
                }
                seen = reply.body;
            }
            Err(seen)
        });
        let mut halted = self.halted.take().unwrap();
        halted.to = arrived;
        self.halts.push(halted);
    }
}

/// The orders that a lift asks to be accepted by id.
fn unaccepted(reply: &Reply) -> Vec<String> {
    let checks = reply.json()["error"]["details"]["checks"].clone();
    let ids = checks
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|check| check["ids"].as_array());
    ids.flatten()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}
