//! Where the simulator's faults are switched: the plan at work, and counts of what was asked and
//! of what was done to it.
//!
//! Shared by the venue's door, which asks it at every call, and the control routes, which change
//! the plan and read the counts. It does nothing to a call itself: `injection.rs` does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::faults::{CallName, Fault, KINDS, Met, Plan, Running};
use super::line::{Line, Lines};

/// A fault that is to be done, and how its waits end early.
pub struct Strike {
    /// What to do.
    pub fault: Fault,
    changed: watch::Receiver<()>,
}

impl Strike {
    /// Waits so long, or until the plan is replaced. Without a time only that ends it.
    pub async fn wait(&mut self, ms: Option<u64>) {
        let time = async {
            match ms {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => {}
            // An error says that the switch is gone, and with it the plan.
            _ = self.changed.changed() => {}
        }
    }
}

/// How often a call was asked for, and each fault done to it.
#[derive(Debug, Default)]
struct Counts {
    asked: u64,
    done: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
struct State {
    running: Running,
    calls: BTreeMap<CallName, Counts>,
    connections: Counts,
}

/// The plan at work and its counts.
#[derive(Debug)]
pub struct Switch {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    lines: Lines,
    under_way: Arc<AtomicU64>,
}

/// A call whose effect may still come although its caller was answered or has gone.
pub struct UnderWay(Arc<AtomicU64>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Switch {
    /// Begins with a plan.
    pub fn new(plan: Plan) -> Arc<Self> {
        let running = Running::new(plan);
        let state = State {
            running,
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            lines: Lines::default(),
            under_way: Arc::default(),
        })
    }

    /// Replaces the plan: its counts begin at 0, those of calls go on, and waits end. A plan that
    /// closes connections closes those that are open.
    pub fn replace(&self, plan: Plan) {
        let takes_down = plan.takes_down();
        let mut state = self.state.lock();
        state.running = Running::new(plan);
        self.changed.send_replace(());
        // Under the lock: a connection is added either before, and cut, or to the new plan.
        if takes_down {
            self.lines.cut_all();
        }
    }

    /// The plan at work.
    pub fn plan(&self) -> Plan {
        self.state.lock().running.plan().clone()
    }

    /// Counts a connection, and cuts it when the plan says so.
    pub fn connected(&self, line: &Arc<Line>) {
        let mut state = self.state.lock();
        state.connections.asked += 1;
        match state.running.meet(Met::Connection) {
            Some(fault) => {
                *state.connections.done.entry(fault.word()).or_default() += 1;
                line.cut();
            }
            None => self.lines.add(line),
        }
    }

    /// Counts a call, and gives what is to be done to it.
    pub fn called(&self, call: CallName) -> Option<Strike> {
        let mut state = self.state.lock();
        let fault = state.running.meet(Met::Call(call));
        let counts = state.calls.entry(call).or_default();
        counts.asked += 1;
        let fault = fault?;
        *counts.done.entry(fault.word()).or_default() += 1;
        // Under the lock, so that the end of this very plan is seen.
        let changed = self.changed.subscribe();
        Some(Strike { fault, changed })
    }

    /// Counts a call as under way until the guard is dropped.
    pub fn under_way(&self) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(Arc::clone(&self.under_way))
    }

    /// The counts as JSON: per call and per kind of fault since the start, per rule since the plan
    /// began.
    pub fn counts(&self) -> Value {
        let state = self.state.lock();
        let none = Counts::default();
        let counts = |counts: &Counts| json!({ "asked": counts.asked, "faults": counts.done });
        let call = |call: CallName| {
            let of_call = state.calls.get(&call).unwrap_or(&none);
            (call.word().to_owned(), counts(of_call))
        };
        let places = || state.calls.values().chain([&state.connections]);
        let fault = |word: &str| {
            let done = places().filter_map(|counts| counts.done.get(word));
            (word.to_owned(), Value::from(done.sum::<u64>()))
        };
        let rules = state.running.tallies().iter();
        let rules = rules.map(|tally| json!({ "met": tally.met, "applied": tally.applied }));
        json!({
            "calls": CallName::ALL.into_iter().map(call).collect::<Map<_, _>>(),
            "connections": {
                "opened": state.connections.asked, "open": self.lines.open(),
                "faults": state.connections.done,
            },
            "faults": KINDS.iter().map(|kind| fault(kind.word)).collect::<Map<_, _>>(),
            "rules": rules.collect::<Vec<_>>(),
            "under_way": self.under_way.load(Ordering::SeqCst),
        })
    }
}
