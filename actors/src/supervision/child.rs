//! One child: its factory, the task that drives one incarnation of it, and the guard that reports
//! how that incarnation ended, whatever ended it.
//!
//! The order within an incarnation must not change: built and started under `catch_unwind`, only
//! then published; withdrawn, only then is the mailbox dropped; dropped, only then reported.

use super::error::StartError;
use super::events::{Exit, bounded};
use super::messages::{ChildExited, ChildServes};
use super::policy::Heartbeat;
use super::stable::Slot;
use super::supervisor::SupervisorActor;
use super::threads::ThreadNumber;
use actix::dev::ContextFut;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context};
use actix_rt::ArbiterHandle;
use flashguard_latch::{Fence, Incarnation as Lane};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{self, Poll};
use tokio::sync::oneshot;

/// What a factory is told about the actor it makes.
#[derive(Debug, Clone)]
pub struct Incarnation {
    /// Counts the incarnations of one child; 1 is the first.
    pub generation: u64,
    /// The child's right to write, held by this incarnation until the next one is due: tickets of
    /// the latch are made with it. An abandoned incarnation is refused by it.
    pub lane: Lane,
}

/// Makes an actor, from durable state, as often as needed. It runs on the child's thread.
pub(crate) type Factory<A> = Arc<dyn Fn(Incarnation) -> Result<A, StartError> + Send + Sync>;

/// Numbers the children over the life of a supervisor.
pub(crate) type ChildNumber = u64;

/// What the supervisor looks at without asking.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    /// Beats of a timer in the actor's own context.
    pub(crate) beats: AtomicU64,
    /// True while the thread is inside the actor's code.
    pub(crate) inside: AtomicBool,
}

/// Everything an incarnation needs besides what its child knows.
pub(crate) struct Birth {
    pub(crate) child: ChildNumber,
    pub(crate) generation: u64,
    pub(crate) arbiter: ArbiterHandle,
    pub(crate) thread: ThreadNumber,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) supervisor: Addr<SupervisorActor>,
}

/// A child, whatever its actor's type.
pub(crate) trait Child: Send {
    /// Starts an incarnation. Every outcome arrives as a message.
    fn start(&mut self, birth: Birth);
    /// Tells the present incarnation to end; it reports when it has.
    fn end(&mut self);
    /// From here on `generation` and older ones can release nothing.
    fn fence(&mut self, generation: u64);
    /// Gives up on a generation: whatever it still answers is disowned.
    fn abandon(&mut self, generation: u64);
    /// Closes the handle for good.
    fn close(&mut self);
    /// The present incarnation's signs of life.
    fn vitals(&self) -> &Vitals;
}

/// A child that makes actors of type `A`.
pub(crate) struct ChildOf<A: Actor> {
    slot: Arc<Slot<A>>,
    factory: Factory<A>,
    mailbox_capacity: usize,
    fence: Fence,
    vitals: Arc<Vitals>,
    /// Dropping it tells the present incarnation to end.
    end: Option<oneshot::Sender<()>>,
}

impl<A: Actor<Context = Context<A>>> ChildOf<A> {
    pub(crate) fn new(slot: Arc<Slot<A>>, factory: Factory<A>, mailbox_capacity: usize) -> Self {
        Self {
            slot,
            factory,
            mailbox_capacity,
            fence: Fence::new(),
            vitals: Arc::default(),
            end: None,
        }
    }
}

impl<A: Actor<Context = Context<A>>> Child for ChildOf<A> {
    fn start(&mut self, birth: Birth) {
        let (end, ended) = oneshot::channel();
        self.end = Some(end);
        self.vitals = Arc::default();
        // SAFETY-ORDER: the lane passes to the new incarnation before anything of it exists.
        let incarnation = Incarnation {
            generation: birth.generation,
            lane: self.fence.incarnate(),
        };
        self.slot.prepare(birth.generation);
        let life = Life {
            guard: ExitGuard {
                slot: Arc::clone(&self.slot),
                child: birth.child,
                generation: birth.generation,
                thread: birth.thread,
                supervisor: birth.supervisor,
                why: Exit::ThreadLost,
            },
            factory: Arc::clone(&self.factory),
            incarnation,
            mailbox_capacity: self.mailbox_capacity,
            heartbeat: birth.heartbeat,
            vitals: Arc::clone(&self.vitals),
            ended,
        };
        // A thread that is gone drops the life unlived, and its guard reports that.
        birth.arbiter.spawn_fn(move || {
            actix_rt::spawn(life.live());
        });
    }

    fn end(&mut self) {
        self.end = None;
    }

    fn fence(&mut self, generation: u64) {
        self.fence.revoke();
        self.slot.withdraw(generation);
    }

    fn abandon(&mut self, generation: u64) {
        self.slot.abandon(generation);
        self.end = None;
    }

    fn close(&mut self) {
        self.slot.close();
        self.end = None;
    }

    fn vitals(&self) -> &Vitals {
        &self.vitals
    }
}

/// One incarnation, from its factory to its end.
struct Life<A: Actor> {
    guard: ExitGuard<A>,
    factory: Factory<A>,
    incarnation: Incarnation,
    mailbox_capacity: usize,
    heartbeat: Heartbeat,
    vitals: Arc<Vitals>,
    ended: oneshot::Receiver<()>,
}

impl<A: Actor<Context = Context<A>>> Life<A> {
    async fn live(self) {
        let Self {
            mut guard,
            factory,
            incarnation,
            mailbox_capacity,
            heartbeat,
            vitals,
            mut ended,
        } = self;
        let actor = match build(&*factory, incarnation, &vitals) {
            Ok(actor) => actor,
            Err(why) => return guard.why = why,
        };
        let mut context = Context::new();
        context.set_mailbox_capacity(mailbox_capacity);
        let pulse = Arc::clone(&vitals);
        context.run_interval(heartbeat.every, move |_, _| {
            pulse.beats.fetch_add(1, Ordering::Relaxed);
        });
        let addr = context.address();
        let mut body = Body {
            actor: Some(context.into_future(actor)),
            vitals: &vitals,
        };
        // The first poll runs `started`: publish only what has survived it.
        let first = std::future::poll_fn(|cx| Poll::Ready(body.step(cx))).await;
        let why = match first {
            Poll::Ready(Exit::Panicked(text)) => Exit::StartFailed(text),
            Poll::Ready(why) => why,
            Poll::Pending if !guard.publish(&addr) => Exit::Ended,
            Poll::Pending => {
                drop(addr);
                tokio::select! {
                    biased;
                    _ = &mut ended => Exit::Ended,
                    why = std::future::poll_fn(|cx| body.step(cx)) => why,
                }
            }
        };
        // SAFETY-ORDER: no new message may enter a mailbox that is about to be dropped; the exit
        // is reported, by the guard, after the actor is gone.
        guard.withdraw();
        body.bury();
        guard.why = why;
    }
}

/// Runs the factory; a panic in it is a failed start.
fn build<A>(
    factory: &(dyn Fn(Incarnation) -> Result<A, StartError> + Send + Sync),
    incarnation: Incarnation,
    vitals: &Vitals,
) -> Result<A, Exit> {
    vitals.inside.store(true, Ordering::Relaxed);
    let built = catch_unwind(AssertUnwindSafe(|| factory(incarnation)));
    vitals.inside.store(false, Ordering::Relaxed);
    match built {
        Ok(Ok(actor)) => Ok(actor),
        Ok(Err(error)) => Err(Exit::StartFailed(bounded(error.internal()))),
        Err(payload) => Err(Exit::StartFailed(Exit::panic_text(&*payload))),
    }
}

/// The actor and its context, driven so that no panic leaves it.
struct Body<'a, A: Actor<Context = Context<A>>> {
    actor: Option<ContextFut<A, Context<A>>>,
    vitals: &'a Vitals,
}

impl<A: Actor<Context = Context<A>>> Body<'_, A> {
    /// Polls the actor once.
    fn step(&mut self, cx: &mut task::Context<'_>) -> Poll<Exit> {
        let Some(actor) = self.actor.as_mut() else {
            return Poll::Ready(Exit::Stopped);
        };
        self.vitals.inside.store(true, Ordering::Relaxed);
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *actor).poll(cx)));
        self.vitals.inside.store(false, Ordering::Relaxed);
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Exit::Stopped),
            Err(payload) => {
                // Nothing of the actor runs again on the state that the panic left: without this,
                // dropping the context would call `stopping` and `stopped` on it.
                actor.ctx().terminate();
                Poll::Ready(Exit::Panicked(Exit::panic_text(&*payload)))
            }
        }
    }

    /// Drops the actor and its mailbox; a panic on the way is caught.
    fn bury(&mut self) {
        let Some(actor) = self.actor.take() else {
            return;
        };
        self.vitals.inside.store(true, Ordering::Relaxed);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(actor))) {
            let text = Exit::panic_text(&*payload);
            tracing::error!(panic = text, "an actor panicked while it was dropped");
        }
        self.vitals.inside.store(false, Ordering::Relaxed);
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Body<'_, A> {
    fn drop(&mut self) {
        self.bury();
    }
}

/// Reports the end of an incarnation however its task ends: return, unwind, or the thread going
/// away under it.
struct ExitGuard<A: Actor> {
    slot: Arc<Slot<A>>,
    child: ChildNumber,
    generation: u64,
    thread: ThreadNumber,
    supervisor: Addr<SupervisorActor>,
    why: Exit,
}

impl<A: Actor> ExitGuard<A> {
    fn publish(&self, addr: &Addr<A>) -> bool {
        let published = self.slot.publish(self.generation, addr);
        if published {
            // Bounded by the number of children: one such message per incarnation.
            self.supervisor.do_send(ChildServes {
                child: self.child,
                generation: self.generation,
            });
        }
        published
    }

    fn withdraw(&self) {
        self.slot.withdraw(self.generation);
    }
}

impl<A: Actor> Drop for ExitGuard<A> {
    fn drop(&mut self) {
        self.withdraw();
        // Bounded by the number of children: one such message per incarnation.
        self.supervisor.do_send(ChildExited {
            child: self.child,
            generation: self.generation,
            thread: self.thread,
            why: std::mem::replace(&mut self.why, Exit::ThreadLost),
        });
    }
}
