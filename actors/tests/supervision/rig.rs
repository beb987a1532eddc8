//! What every test starts from: a system thread, a supervisor, and what its observer saw.

use crate::probe::{Probe, Shared};
use flashguard_actors::domain::clock::{SeededEntropy, SystemClock};
use flashguard_actors::supervision::{
    ActorName, Backoff, ChildSpec, Escalated, Event, Exit, Heartbeat, Intensity, Placement, Policy,
    Stable, StopReport, Strategy, Supervision, Supervisor, SystemThread,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than anything here takes; reaching it fails the test.
pub const LONG: Duration = Duration::from_secs(30);

pub struct Rig {
    runtime: tokio::runtime::Runtime,
    pub thread: Option<SystemThread>,
    pub supervisor: Supervisor,
    seen: Arc<Mutex<Vec<Event>>>,
    pub lost: Arc<AtomicU64>,
}

impl Rig {
    pub fn with(policy: Policy) -> Self {
        let thread = SystemThread::start("test-system").unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let lost = Arc::new(AtomicU64::new(0));
        let (observed, on_lost) = (Arc::clone(&seen), Arc::clone(&lost));
        let with = Supervision {
            policy,
            clock: Arc::new(SystemClock),
            entropy: SeededEntropy::new(7),
            observer: Arc::new(move |event: &Event| {
                observed.lock().unwrap().push(event.clone());
            }),
            on_supervisor_lost: Box::new(move || {
                on_lost.fetch_add(1, Ordering::SeqCst);
            }),
        };
        Self {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap(),
            supervisor: Supervisor::start(&thread.handle(), with).unwrap(),
            thread: Some(thread),
            seen,
            lost,
        }
    }

    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A probe that serves.
    pub async fn probe(&self, text: &str, placement: Placement) -> (Stable<Probe>, Arc<Shared>) {
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        let stable = self
            .supervisor
            .supervise(spec(text, placement), move |i| Probe::make(i, &inner))
            .await
            .unwrap();
        stable.up(0, LONG).await.unwrap();
        (stable, shared)
    }

    /// The exits of one actor, as (generation, why).
    pub fn exits(&self, of: &str) -> Vec<(u64, Exit)> {
        let mut exits = Vec::new();
        for event in self.seen.lock().unwrap().iter() {
            if let Event::ActorExited(exit) = event
                && exit.name.as_str() == of
            {
                exits.push((exit.generation, exit.why.clone()));
            }
        }
        exits
    }

    /// The restarts of one actor, as (generation, restarts so far).
    pub fn restarts(&self, of: &str) -> Vec<(u64, u64)> {
        let mut restarts = Vec::new();
        for event in self.seen.lock().unwrap().iter() {
            if let Event::ActorRestarted(restarted) = event
                && restarted.name.as_str() == of
            {
                restarts.push((restarted.generation, restarted.restarts));
            }
        }
        restarts
    }

    pub fn escalations(&self) -> Vec<Escalated> {
        let mut escalations = Vec::new();
        for event in self.seen.lock().unwrap().iter() {
            if let Event::Escalated(escalated) = event {
                escalations.push(escalated.clone());
            }
        }
        escalations
    }

    pub fn stop(mut self) -> StopReport {
        self.run(self.supervisor.stop(LONG));
        self.thread.take().unwrap().stop(LONG)
    }
}

/// Restarts at once, many times, and finds what hangs after about 0.4 s of silence.
pub fn patient() -> Policy {
    Policy {
        strategy: Strategy::OneForOne,
        intensity: Intensity {
            restarts_max: 1_000,
            window: Duration::from_secs(60),
        },
        backoff: Backoff {
            shortest: Duration::ZERO,
            longest: Duration::ZERO,
        },
        heartbeat: Heartbeat {
            every: Duration::from_millis(20),
            missed_max: 20,
            starting_missed_max: 20,
        },
        abandoned_threads_max: 4,
    }
}

/// As [`patient`], and `restarts_max` restarts at most.
pub fn strict(restarts_max: u32) -> Policy {
    let mut policy = patient();
    policy.intensity.restarts_max = restarts_max;
    policy
}

pub fn name(text: &str) -> ActorName {
    ActorName::new(text).unwrap()
}

pub fn spec(text: &str, placement: Placement) -> ChildSpec {
    ChildSpec {
        name: name(text),
        placement,
        in_flight_max: 1_024,
    }
}

/// Waits until `done`, for at most 30 s.
pub async fn eventually(what: &str, done: impl Fn() -> bool) {
    for _ in 0..15_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("never came true: {what}");
}
