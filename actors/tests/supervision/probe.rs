//! An actor that fails in every way it is asked to, and tells the test what it does.

use crate::rig::LONG;
use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message,
    ResponseActFuture, WrapFuture,
};
use flashguard_actors::supervision::{Incarnation, StartError};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What a test shares with all incarnations of a probe.
#[derive(Default)]
pub struct Shared {
    pub made: AtomicU64,
    pub alive: AtomicI64,
    pub alive_most: AtomicI64,
    pub echoed: AtomicU64,
    pub stopped_hooks: AtomicU64,
    pub gate: Gate,
    pub entered: AtomicU64,
    pub woke: AtomicBool,
    pub woke_with_lane: AtomicBool,
}

/// Blocks a thread until it is opened, for at most 30 s.
#[derive(Default)]
pub struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub fn wait(&self) {
        let open = self.open.lock().unwrap();
        let wait = self.changed.wait_timeout_while(open, LONG, |open| !*open);
        assert!(*wait.unwrap().0, "the gate was never opened");
    }

    pub fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

pub struct Probe {
    incarnation: Incarnation,
    shared: Arc<Shared>,
}

impl Probe {
    #[expect(clippy::unnecessary_wraps, reason = "the shape of a factory")]
    pub fn make(incarnation: Incarnation, shared: &Arc<Shared>) -> Result<Self, StartError> {
        shared.made.fetch_add(1, SeqCst);
        let alive = shared.alive.fetch_add(1, SeqCst) + 1;
        shared.alive_most.fetch_max(alive, SeqCst);
        Ok(Self {
            incarnation,
            shared: Arc::clone(shared),
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.shared.alive.fetch_sub(1, SeqCst);
    }
}

impl Actor for Probe {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        self.shared.stopped_hooks.fetch_add(1, SeqCst);
    }
}

/// Answered with the generation that answers.
#[derive(Clone, Message)]
#[rtype(result = "u64")]
pub struct Echo;

impl Handler<Echo> for Probe {
    type Result = u64;

    fn handle(&mut self, _: Echo, _: &mut Self::Context) -> u64 {
        self.shared.echoed.fetch_add(1, SeqCst);
        self.incarnation.generation
    }
}

#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub enum Fail {
    PanicInHandler,
    PanicInTimer,
    PanicInSpawned,
    Stop,
    Terminate,
    KillArbiter,
    /// Blocks the thread until the gate opens.
    Block,
    /// Blocks, then panics.
    BlockThenPanic,
    /// Waits for something that never comes, without blocking the thread.
    WaitForEver,
}

impl Handler<Fail> for Probe {
    type Result = ();

    fn handle(&mut self, how: Fail, ctx: &mut Self::Context) {
        match how {
            Fail::PanicInHandler => panic!("handler"),
            Fail::PanicInTimer => {
                ctx.run_interval(Duration::from_millis(1), |_, _| panic!("timer"));
            }
            Fail::PanicInSpawned => {
                ctx.spawn(async { panic!("spawned") }.into_actor(self));
            }
            Fail::Stop => ctx.stop(),
            Fail::Terminate => ctx.terminate(),
            Fail::KillArbiter => {
                actix_rt::Arbiter::current().stop();
            }
            Fail::Block => self.block(),
            Fail::BlockThenPanic => {
                self.block();
                panic!("after the gate");
            }
            Fail::WaitForEver => {
                self.shared.entered.fetch_add(1, SeqCst);
                ctx.wait(std::future::pending::<()>().into_actor(self));
            }
        }
    }
}

impl Probe {
    fn block(&self) {
        self.shared.entered.fetch_add(1, SeqCst);
        self.shared.gate.wait();
        let holds_lane = self.incarnation.lane.is_current();
        self.shared.woke_with_lane.store(holds_lane, SeqCst);
        self.shared.woke.store(true, SeqCst);
    }
}

/// Panics in an asynchronous step of its answer.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct PanicInStep;

impl Handler<PanicInStep> for Probe {
    type Result = ResponseActFuture<Self, u64>;

    fn handle(&mut self, _: PanicInStep, _: &mut Self::Context) -> Self::Result {
        let step = actix_rt::time::sleep(Duration::from_millis(1)).into_actor(self);
        Box::pin(step.map(|(), _, _| panic!("step")))
    }
}

/// The event of the broadcasts, answered with its number.
#[derive(Clone, Message)]
#[rtype(result = "u64")]
pub struct Announced {
    pub number: u64,
    /// The name of the actor that panics over it.
    pub panic_in: &'static str,
}

impl Handler<Announced> for Probe {
    type Result = u64;

    fn handle(&mut self, event: Announced, _: &mut Self::Context) -> u64 {
        event.number
    }
}
