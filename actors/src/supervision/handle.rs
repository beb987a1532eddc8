//! The supervisor as others hold it: start it, give it children, read its roster, stop it.

use super::child::{ChildOf, Incarnation};
use super::error::{StartError, SuperviseError};
use super::events::{ActorName, Observer};
use super::messages::{Dismiss, Register, StopAll};
use super::policy::{Policy, RestartWindow};
use super::roster::Roster;
use super::stable::{Slot, Stable};
use super::supervisor::{Book, DeathWatch, SupervisorActor};
use super::thread::SystemHandle;
use super::threads::{Placement, Threads};
use crate::domain::clock::{SharedClock, SharedEntropy};
use actix::{Actor, Addr, Context, Handler, Message};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Largest in-flight budget of one child.
pub const IN_FLIGHT_MAX_CEILING: usize = 65_536;
/// Longest wait for the supervisor itself. Its handlers do not block, so this is never reached
/// while it lives.
const ANSWER_LIMIT_MS: u64 = 5_000;

/// What a supervisor is started with.
pub struct Supervision {
    /// The rules.
    pub policy: Policy,
    /// For the window of restarts.
    pub clock: SharedClock,
    /// For the jitter of the backoff.
    pub entropy: SharedEntropy,
    /// Is told of every exit, restart and escalation.
    pub observer: Arc<dyn Observer>,
    /// Called once if the supervisor itself dies without having been told to stop. Whoever owns
    /// the system halts it here: from then on nobody restarts anything.
    pub on_supervisor_lost: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for Supervision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervision")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// What is said of a child when it is registered.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// Unique under the supervisor.
    pub name: ActorName,
    /// Where it runs.
    pub placement: Placement,
    /// Calls that may be on their way at one time, and signals that may wait; 1 to
    /// [`IN_FLIGHT_MAX_CEILING`]. One more is [`CallError::Overloaded`](super::CallError).
    pub in_flight_max: usize,
}

/// A supervisor, as others hold it. Cheap to clone; works from any async runtime.
#[derive(Clone)]
pub struct Supervisor {
    addr: Addr<SupervisorActor>,
    roster: Roster,
    system: SystemHandle,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Starts a supervisor on the system thread.
    ///
    /// # Errors
    ///
    /// [`SuperviseError::Policy`] when the policy cannot be obeyed. On a system that has stopped
    /// the supervisor is closed from the start.
    pub fn start(system: &SystemHandle, with: Supervision) -> Result<Self, SuperviseError> {
        with.policy.validate()?;
        let roster = Roster::default();
        let actor = SupervisorActor {
            window: RestartWindow::new(with.policy.intensity),
            threads: Threads::new(system.clone(), with.policy.heartbeat),
            policy: with.policy,
            clock: with.clock,
            entropy: with.entropy,
            observer: with.observer,
            roster: roster.clone(),
            death_watch: DeathWatch::new(with.on_supervisor_lost),
            book: Book::default(),
        };
        let addr = SupervisorActor::start_in_arbiter(system.root(), move |_| actor);
        Ok(Self {
            addr,
            roster,
            system: system.clone(),
        })
    }

    /// Takes an actor and makes it, now and again after every exit. At any time, from anywhere.
    ///
    /// The factory runs on the child's thread, must build its actor from durable state, and may
    /// refuse. The handle is returned at once; [`Stable::up`] waits for the first incarnation.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`] says who is to blame.
    pub async fn supervise<A, F>(
        &self,
        spec: ChildSpec,
        factory: F,
    ) -> Result<Stable<A>, SuperviseError>
    where
        A: Actor<Context = Context<A>>,
        F: Fn(Incarnation) -> Result<A, StartError> + Send + Sync + 'static,
    {
        if !(1..=IN_FLIGHT_MAX_CEILING).contains(&spec.in_flight_max) {
            let ceiling = IN_FLIGHT_MAX_CEILING;
            return Err(SuperviseError::Budget { ceiling });
        }
        let slot = Arc::new(Slot::new(spec.name.clone(), spec.in_flight_max));
        let child = ChildOf::new(Arc::clone(&slot), Arc::new(factory), spec.in_flight_max);
        self.ask(Register {
            name: spec.name,
            placement: spec.placement,
            child: Box::new(child),
        })
        .await
        .ok_or(SuperviseError::Closed)??;
        Ok(Stable::new(slot, Arc::clone(self.system.timers())))
    }

    /// Ends a child for good and waits until it has, at most for `limit`. True when it has ended;
    /// false when there is no such child, or it still has not: then its thread will be given up.
    pub async fn dismiss(&self, name: &ActorName, limit: Duration) -> bool {
        let name = name.clone();
        match self.ask(Dismiss { name }).await {
            Some(Some(ended)) => self.within(limit, ended).await.is_some_and(|r| r.is_ok()),
            Some(None) | None => false,
        }
    }

    /// Ends all children and then the supervisor, without calling it lost. True when all have
    /// ended within `limit`.
    pub async fn stop(&self, limit: Duration) -> bool {
        match self.ask(StopAll).await {
            Some(ended) => self.within(limit, ended).await.is_some_and(|r| r.is_ok()),
            None => false,
        }
    }

    /// The children, as of now.
    #[must_use]
    pub fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// Asks the supervisor; `None` when it is gone.
    async fn ask<M>(&self, msg: M) -> Option<M::Result>
    where
        SupervisorActor: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let answer = self.addr.send(msg);
        let limit = Duration::from_millis(ANSWER_LIMIT_MS);
        self.within(limit, answer).await?.ok()
    }

    async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.system.timers().sleep(limit) => None,
        }
    }
}
