//! The handle that clients hold for ever, over all restarts of the actor behind it.
//!
//! Nobody outside holds an `Addr`: a raw address is dead for good after one panic. A [`Stable`]
//! always knows the incarnation that serves now, says [`CallError::Restarting`] when there is none,
//! and bounds what is on its way. It is `Send + Sync` and works from any async runtime.
//!
//! It does not retry: only the caller knows whether a message may be sent twice.

use super::events::ActorName;
use super::timers::Timers;
use actix::dev::{MessageResponse, ToEnvelope};
use actix::{Actor, Addr, Context, Handler, MailboxError, Message};
use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{self, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No incarnation serves right now. Not delivered: safe to send again.
    #[error("actor is restarting: not delivered, safe to retry")]
    Restarting,
    /// The budget of messages on their way is used up. Not delivered: safe to send again, later.
    #[error("actor has too many messages waiting: not delivered, retry later")]
    Overloaded,
    /// The incarnation ended with the message in its mailbox or in hand. Outcome unknown: send
    /// again only what carries an idempotency key.
    #[error("actor ended before it answered: outcome unknown")]
    Lost,
    /// No answer within the deadline. Outcome unknown: the actor may still work on it.
    #[error("actor did not answer in time: outcome unknown")]
    Timeout,
    /// The actor is gone for good: dismissed, escalated or stopped. Not delivered.
    #[error("actor is gone for good: not delivered")]
    Gone,
}

impl CallError {
    /// True when the actor has certainly not seen the message.
    #[must_use]
    pub fn is_undelivered(self) -> bool {
        match self {
            Self::Restarting | Self::Overloaded | Self::Gone => true,
            Self::Lost | Self::Timeout => false,
        }
    }
}

/// A handle to a supervised actor, valid over all its restarts. Cheap to clone.
pub struct Stable<A: Actor> {
    slot: Arc<Slot<A>>,
    timers: Arc<Timers>,
}

impl<A: Actor> Clone for Stable<A> {
    fn clone(&self) -> Self {
        Self {
            slot: Arc::clone(&self.slot),
            timers: Arc::clone(&self.timers),
        }
    }
}

impl<A: Actor> fmt::Debug for Stable<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stable").field(&self.slot.name).finish()
    }
}

impl<A: Actor<Context = Context<A>>> Stable<A> {
    pub(crate) fn new(slot: Arc<Slot<A>>, timers: Arc<Timers>) -> Self {
        Self { slot, timers }
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &ActorName {
        &self.slot.name
    }

    /// Sends `msg` and waits for the answer, at most for `deadline`.
    ///
    /// The message counts against the in-flight budget until the actor has answered it, even when
    /// the caller has stopped waiting.
    ///
    /// # Errors
    ///
    /// Each [`CallError`] says whether the message was delivered.
    pub async fn call<M>(&self, msg: M, deadline: Duration) -> Result<M::Result, CallError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let sent = self.send(msg, Admission::Budgeted)?;
        within(&self.timers, sent, deadline).await
    }

    /// Sends a signal that may be lost: no answer, and nothing tells whether it was handled.
    ///
    /// # Errors
    ///
    /// [`CallError::Restarting`], [`CallError::Overloaded`] (as many messages wait as the budget
    /// allows) or [`CallError::Gone`]; the signal was not delivered.
    pub fn tell<M>(&self, msg: M) -> Result<(), CallError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        match &**self.slot.phase.load() {
            Phase::Up(live) => live.addr.try_send(msg).map_err(|error| match error {
                actix::dev::SendError::Full(_) => CallError::Overloaded,
                actix::dev::SendError::Closed(_) => CallError::Restarting,
            }),
            Phase::Starting(_) | Phase::Down => Err(CallError::Restarting),
            Phase::Gone => Err(CallError::Gone),
        }
    }

    /// Waits until an incarnation newer than generation `after` serves, and gives its generation.
    /// With 0: until any does.
    ///
    /// # Errors
    ///
    /// [`CallError::Gone`] when there will be none, [`CallError::Timeout`] when `deadline` passes.
    pub async fn up(&self, after: u64, deadline: Duration) -> Result<u64, CallError> {
        let serving = async {
            let mut changes = self.slot.changes.subscribe();
            loop {
                match &**self.slot.phase.load() {
                    Phase::Up(live) if live.generation > after => return Ok(live.generation),
                    Phase::Gone => return Err(CallError::Gone),
                    Phase::Up(_) | Phase::Starting(_) | Phase::Down => {}
                }
                // The sender lives in the slot, which `self` keeps.
                if changes.changed().await.is_err() {
                    return Err(CallError::Gone);
                }
            }
        };
        within(&self.timers, serving, deadline).await
    }

    /// The generation that serves now; `None` while restarting or gone.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        match &**self.slot.phase.load() {
            Phase::Up(live) => Some(live.generation),
            Phase::Starting(_) | Phase::Down | Phase::Gone => None,
        }
    }

    /// The same handle, seen as a recipient of one kind of message.
    #[must_use]
    pub fn recipient<M>(&self) -> StableRecipient<M>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        StableRecipient {
            endpoint: Arc::new(self.clone()),
        }
    }

    fn send<M>(&self, msg: M, admission: Admission) -> Result<Sent<M::Result>, CallError>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let phase = self.slot.phase.load();
        let live = match &**phase {
            Phase::Up(live) => live,
            Phase::Starting(_) | Phase::Down => return Err(CallError::Restarting),
            Phase::Gone => return Err(CallError::Gone),
        };
        if !live.addr.connected() {
            return Err(CallError::Restarting);
        }
        let permit = match admission {
            Admission::Beyond => None,
            Admission::Budgeted => Some(
                Arc::clone(&live.budget)
                    .try_acquire_owned()
                    .map_err(|_| CallError::Overloaded)?,
            ),
        };
        // A mailbox's capacity does not bound this: `send` goes past it. The budget does.
        let request = live.addr.send(msg);
        Ok(Sent {
            reply: Some(Box::pin(request)),
            permit,
            generation: live.generation,
            abandoned: Arc::clone(&self.slot.abandoned),
            timers: Arc::clone(&self.timers),
        })
    }
}

/// Waits for `work` at most for `deadline`; what is ready wins over a deadline that has passed.
async fn within<R>(
    timers: &Timers,
    work: impl Future<Output = Result<R, CallError>>,
    deadline: Duration,
) -> Result<R, CallError> {
    tokio::select! {
        biased;
        result = work => result,
        () = timers.sleep(deadline) => Err(CallError::Timeout),
    }
}

/// Whether a message counts against the in-flight budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    Budgeted,
    /// For broadcasts, which a full budget must not keep out; one per subscriber and broadcast.
    Beyond,
}

/// A message in the mailbox, and the promise of its answer.
pub(crate) struct Sent<R: Send + 'static> {
    reply: Option<BoxFuture<'static, Result<R, MailboxError>>>,
    permit: Option<OwnedSemaphorePermit>,
    generation: u64,
    abandoned: Arc<AtomicU64>,
    timers: Arc<Timers>,
}

impl<R: Send + 'static> Future for Sent<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let Some(reply) = self.reply.as_mut() else {
            return Poll::Ready(Err(CallError::Lost));
        };
        let answer = task::ready!(reply.as_mut().poll(cx));
        self.reply = None;
        self.permit = None;
        // An abandoned incarnation that wakes up answers from a state that is no longer the state.
        let stale = self.generation <= self.abandoned.load(Ordering::Acquire);
        Poll::Ready(match answer {
            Ok(answer) if !stale => Ok(answer),
            Ok(_) | Err(_) => Err(CallError::Lost),
        })
    }
}

impl<R: Send + 'static> Drop for Sent<R> {
    /// A caller who stops waiting does not free the place of a message that still waits.
    fn drop(&mut self) {
        if let (Some(reply), Some(permit)) = (self.reply.take(), self.permit.take()) {
            self.timers.finish(async move {
                let _ = reply.await;
                drop(permit);
            });
        }
    }
}

/// A [`Stable`] seen as a recipient of one kind of message, whatever actor is behind it.
pub struct StableRecipient<M: Message + Send + 'static>
where
    M::Result: Send,
{
    endpoint: Arc<dyn Endpoint<M>>,
}

impl<M: Message + Send + 'static> Clone for StableRecipient<M>
where
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self {
            endpoint: Arc::clone(&self.endpoint),
        }
    }
}

impl<M: Message + Send + 'static> fmt::Debug for StableRecipient<M>
where
    M::Result: Send,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StableRecipient").field(self.name()).finish()
    }
}

impl<M: Message + Send + 'static> StableRecipient<M>
where
    M::Result: Send,
{
    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &ActorName {
        self.endpoint.name()
    }

    /// As [`Stable::call`].
    ///
    /// # Errors
    ///
    /// As [`Stable::call`].
    pub async fn call(&self, msg: M, deadline: Duration) -> Result<M::Result, CallError> {
        let sent = self.endpoint.send(msg, Admission::Budgeted)?;
        within(self.endpoint.timers(), sent, deadline).await
    }

    /// As [`Stable::tell`].
    ///
    /// # Errors
    ///
    /// As [`Stable::tell`].
    pub fn tell(&self, msg: M) -> Result<(), CallError> {
        self.endpoint.tell(msg)
    }

    /// Sends beyond the budget: for broadcasts only.
    pub(crate) fn send_beyond_budget(&self, msg: M) -> Result<Sent<M::Result>, CallError> {
        self.endpoint.send(msg, Admission::Beyond)
    }

    pub(crate) fn timers(&self) -> &Arc<Timers> {
        self.endpoint.timers()
    }
}

trait Endpoint<M: Message + Send + 'static>: Send + Sync
where
    M::Result: Send,
{
    fn name(&self) -> &ActorName;
    fn timers(&self) -> &Arc<Timers>;
    fn send(&self, msg: M, admission: Admission) -> Result<Sent<M::Result>, CallError>;
    fn tell(&self, msg: M) -> Result<(), CallError>;
}

impl<A, M> Endpoint<M> for Stable<A>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    <A as Handler<M>>::Result: MessageResponse<A, M>,
{
    fn name(&self) -> &ActorName {
        &self.slot.name
    }

    fn timers(&self) -> &Arc<Timers> {
        &self.timers
    }

    fn send(&self, msg: M, admission: Admission) -> Result<Sent<M::Result>, CallError> {
        Self::send(self, msg, admission)
    }

    fn tell(&self, msg: M) -> Result<(), CallError> {
        Self::tell(self, msg)
    }
}

/// What a handle reads and the supervisor writes: the incarnation that serves now.
///
/// Every move is fenced by the generation, so that an incarnation that was given up can neither
/// publish itself nor take its successor down.
pub(crate) struct Slot<A: Actor> {
    name: ActorName,
    phase: ArcSwap<Phase<A>>,
    /// Tells waiters that `phase` has changed.
    changes: watch::Sender<()>,
    /// Answers of this generation and older ones come from a state that was given up.
    abandoned: Arc<AtomicU64>,
    in_flight_max: usize,
}

enum Phase<A: Actor> {
    /// This generation is being made.
    Starting(u64),
    Up(Live<A>),
    Down,
    Gone,
}

#[derive(Clone)]
struct Live<A: Actor> {
    generation: u64,
    addr: Addr<A>,
    /// Fresh for every incarnation: what an abandoned one holds is not its successor's loss.
    budget: Arc<Semaphore>,
}

impl<A: Actor> Slot<A> {
    pub(crate) fn new(name: ActorName, in_flight_max: usize) -> Self {
        Self {
            name,
            phase: ArcSwap::from_pointee(Phase::Down),
            changes: watch::channel(()).0,
            abandoned: Arc::new(AtomicU64::new(0)),
            in_flight_max,
        }
    }

    /// From here on only `generation` may publish itself.
    pub(crate) fn prepare(&self, generation: u64) {
        self.change(|phase| match phase {
            Phase::Gone => None,
            Phase::Starting(_) | Phase::Up(_) | Phase::Down => Some(Phase::Starting(generation)),
        });
    }

    /// Publishes an incarnation; false when it is not the one that is expected.
    pub(crate) fn publish(&self, generation: u64, addr: &Addr<A>) -> bool {
        self.change(|phase| match phase {
            Phase::Starting(expected) if *expected == generation => Some(Phase::Up(Live {
                generation,
                addr: addr.clone(),
                budget: Arc::new(Semaphore::new(self.in_flight_max)),
            })),
            Phase::Starting(_) | Phase::Up(_) | Phase::Down | Phase::Gone => None,
        })
    }

    /// Takes `generation` away from the clients, and nobody else.
    pub(crate) fn withdraw(&self, generation: u64) {
        self.change(|phase| match phase {
            Phase::Up(live) if live.generation == generation => Some(Phase::Down),
            Phase::Starting(expected) if *expected == generation => Some(Phase::Down),
            Phase::Starting(_) | Phase::Up(_) | Phase::Down | Phase::Gone => None,
        });
    }

    /// Withdraws `generation` and disowns whatever it still answers.
    pub(crate) fn abandon(&self, generation: u64) {
        self.abandoned.fetch_max(generation, Ordering::Release);
        self.withdraw(generation);
    }

    /// Closes the handle for good.
    pub(crate) fn close(&self) {
        self.change(|_| Some(Phase::Gone));
    }

    /// Replaces the phase by what `next` makes of it; false when it leaves it alone.
    fn change(&self, next: impl Fn(&Phase<A>) -> Option<Phase<A>>) -> bool {
        let mut current = self.phase.load_full();
        loop {
            let Some(changed) = next(&current) else {
                return false;
            };
            let before = self.phase.compare_and_swap(&current, Arc::new(changed));
            if Arc::ptr_eq(&before, &current) {
                self.changes.send_replace(());
                return true;
            }
            current = Arc::clone(&before);
        }
    }
}
