//! The handle: everything a program can ask of the running system.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, Context, Handler};
use rust_decimal::Decimal;

use super::start::SystemSettings;
use crate::domain::clock::UnixMicros;
use crate::domain::identity::{Caller, Principal};
use crate::domain::market::Symbol;
use crate::domain::order::{OrderId, OrderRequest};
use crate::domain::status::TradingState;
use crate::emergency::actor::EmergencyActor;
use crate::emergency::halt::{Emergency, HaltOrder};
use crate::emergency::lift::{LiftRefused, LiftRequest};
use crate::emergency::messages::{Lift, LiftTrading, RunProcedure};
use crate::emergency::procedure::HaltReport;
use crate::ports::venue::VenueError;
use crate::supervision::{
    ActorName, Broadcast, CallError, ChildSpec, ChildStatus, Incarnation, Placement, Stable,
    StartError, SuperviseError, Supervisor,
};
use crate::trading::cancel::{CancelCount, Cancelled};
use crate::trading::engine::EngineActor;
use crate::trading::floor::Floor;
use crate::trading::limits::{self, LimitsChange, LimitsFold, LimitsRefused};
use crate::trading::messages::{
    CancelOrder, CancelOrders, PlaceOrder, ResolveOrder, TradingHalted, TradingLifted,
};
use crate::trading::order_manager::OrderManagerActor;
use crate::trading::orders::OrderState;
use crate::trading::pipeline::{Placed, Refusal};
use crate::trading::resolve::{ResolveRefused, Word};
use crate::trading::restrain::{self, RestrainError};
use crate::trading::restraints::OPERATOR;

/// Longest that an order of an embedder is waited for. It goes to its end all the same.
const PLACE_LIMIT_MS: u64 = 30_000;
/// Longest that a cancel, or a look at an order, is waited for.
const CANCEL_LIMIT_MS: u64 = 30_000;
/// Longest that a lift is waited for.
const LIFT_LIMIT_MS: u64 = 30_000;
/// Signals and calls that one strategy may have waiting.
const STRATEGY_IN_FLIGHT_MAX: usize = 1_024;

/// Why a call has no answer of its own kind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallFailed {
    /// The actor that would answer is not there or did not answer.
    #[error(transparent)]
    Actor(#[from] CallError),
    /// The venue could not be asked.
    #[error(transparent)]
    Venue(#[from] VenueError),
    /// It could not be journaled, so it was not done.
    #[error("the journal cannot be written")]
    Journal,
    /// Trading is halted: only a lift ends that.
    #[error("trading is halted")]
    Halted {
        /// The halt's epoch.
        epoch: u64,
    },
}

impl From<RestrainError> for CallFailed {
    fn from(error: RestrainError) -> Self {
        match error {
            RestrainError::Journal => Self::Journal,
            RestrainError::Halted { epoch } => Self::Halted { epoch },
        }
    }
}

/// Does what must not stop half-way, also when whoever asked goes away.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, CallFailed> {
    let done = tokio::spawn(work).await;
    done.map_err(|_| CallFailed::Actor(CallError::Lost))
}

/// The state of trading, as people read it.
#[derive(Debug, Clone)]
pub struct Status {
    /// What trading may do.
    pub state: TradingState,
    /// How often it was halted.
    pub epoch: u64,
    /// Since when, where that is known.
    pub since_us: Option<UnixMicros>,
    /// In somebody's words.
    pub reason: Option<String>,
    /// Who.
    pub by: Option<String>,
    /// The tokens that hold trading back beside a halt, such as `pause:operator`.
    pub held_by: Vec<String>,
    /// The supervised actors.
    pub actors: Vec<Arc<ChildStatus>>,
}

/// The running system, for programs. Cheap to clone; works from any runtime.
#[derive(Clone)]
pub struct Handle {
    pub(super) floor: Arc<Floor>,
    pub(super) emergency: Arc<Emergency>,
    pub(super) emergency_actor: Stable<EmergencyActor>,
    pub(super) engine: Stable<EngineActor>,
    pub(super) orders: Stable<OrderManagerActor>,
    pub(super) guard: Supervisor,
    pub(super) trading: Supervisor,
    pub(super) halted: Broadcast<TradingHalted>,
    pub(super) lifted: Broadcast<TradingLifted>,
    pub(super) settings: Arc<SystemSettings>,
}

impl Handle {
    /// Places an order over the engine's lane. A worker with a lane of its own uses that instead
    /// ([`Lane`](crate::trading::pipeline::Lane)).
    ///
    /// # Errors
    ///
    /// [`CallFailed::Actor`]: with [`CallError::Lost`] or [`CallError::Timeout`] the outcome is
    /// unknown, and the same `client_order_id` tells the truth. The inner [`Refusal`] is the order's
    /// own answer.
    pub async fn place(
        &self,
        caller: &Caller,
        request: OrderRequest,
    ) -> Result<Result<Placed, Refusal>, CallFailed> {
        let order = PlaceOrder {
            caller: caller.clone(),
            request,
        };
        Ok(self
            .engine
            .call(order, Duration::from_millis(PLACE_LIMIT_MS))
            .await?)
    }

    /// Cancels one order, in every state. `None`: no such order is open, in doubt or lately ended.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; the order may still rest.
    pub async fn cancel(
        &self,
        order_id: OrderId,
        by: &Principal,
    ) -> Result<Option<Cancelled>, CallFailed> {
        let cancel = CancelOrder {
            order_id,
            by: by.clone(),
        };
        Ok(self
            .orders
            .call(cancel, Duration::from_millis(CANCEL_LIMIT_MS))
            .await??)
    }

    /// Cancels everything that rests, or everything of one market, in every state.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; orders may still rest.
    pub async fn cancel_many(
        &self,
        symbol: Option<Symbol>,
        by: &Principal,
    ) -> Result<CancelCount, CallFailed> {
        let cancel = CancelOrders {
            symbol,
            by: by.clone(),
        };
        Ok(self
            .orders
            .call(cancel, Duration::from_millis(CANCEL_LIMIT_MS))
            .await??)
    }

    /// Ends an order's doubt by a person's word. `None`: no such order is open, in doubt or lately
    /// ended. The inner [`ResolveRefused`] says why the word does not count.
    ///
    /// # Errors
    ///
    /// [`CallFailed::Actor`]: the order's present state tells whether it was done.
    pub async fn resolve_order(
        &self,
        order_id: OrderId,
        word: Word,
        by: &Principal,
        reason: String,
    ) -> Result<Result<Option<OrderState>, ResolveRefused>, CallFailed> {
        let resolve = ResolveOrder {
            order_id,
            word,
            by: by.clone(),
            reason,
        };
        let limit = Duration::from_millis(CANCEL_LIMIT_MS);
        Ok(self.orders.call(resolve, limit).await?)
    }

    /// Stops, from a thread that does not wait for more than the stop itself.
    pub fn halt_now(&self, order: &HaltOrder) {
        drop(self.emergency.halt(order));
        self.begin_procedure();
    }

    /// Stops, and waits as an answer does: for the first of record and sentinel at most a second,
    /// then for confirmation at most `emergency.answer_wait_ms`. Must run where tokio timers do.
    pub async fn halt(&self, order: &HaltOrder, wait: bool) -> Option<HaltReport> {
        let progress = self.emergency.halt(order);
        self.begin_procedure();
        let answer_wait_ms = if wait {
            self.settings.answer_wait_ms
        } else {
            0
        };
        self.emergency.answer(progress, answer_wait_ms).await
    }

    /// Only a hint: the actor looks by itself too.
    fn begin_procedure(&self) {
        if let Err(error) = self.emergency_actor.tell(RunProcedure) {
            tracing::warn!(%error, "the emergency actor will see the halt at its next look");
        }
    }

    /// Counts one person's wish to end a halt, and ends it when enough agree.
    ///
    /// # Errors
    ///
    /// [`CallFailed::Actor`]: trading stays halted unless the halt's state says otherwise. The inner
    /// [`LiftRefused`] says why the wish did not count.
    pub async fn lift(
        &self,
        caller: &Caller,
        request: LiftRequest,
    ) -> Result<Result<Lift, LiftRefused>, CallFailed> {
        let lift = LiftTrading {
            caller: caller.clone(),
            request,
        };
        Ok(self
            .emergency_actor
            .call(lift, Duration::from_millis(LIFT_LIMIT_MS))
            .await?)
    }

    /// Takes the operators' pause. Orders are refused at once; it is remembered over restarts.
    ///
    /// # Errors
    ///
    /// [`CallFailed::Journal`]: paused in this process, and not remembered.
    pub async fn pause(
        &self,
        by: &Principal,
        reason: String,
        duration_s: Option<u64>,
    ) -> Result<(), CallFailed> {
        let now = self.floor.clock.now();
        let until_us = duration_s.map(|s| now.plus_millis(s.saturating_mul(1_000)));
        let (floor, by) = (self.floor.clone(), by.clone());
        let pause = async move { restrain::pause(&floor, &by, reason, until_us).await };
        Ok(to_its_end(pause).await??)
    }

    /// Lets in only what reduces a position, at once and over restarts, until a resume.
    ///
    /// # Errors
    ///
    /// [`CallFailed::Journal`]: it holds in this process, and is not remembered.
    pub async fn reduce_only(&self, by: &Principal, reason: String) -> Result<(), CallFailed> {
        let (floor, by) = (self.floor.clone(), by.clone());
        let hold = async move { restrain::reduce_only(&floor, OPERATOR, &by, reason).await };
        Ok(to_its_end(hold).await??)
    }

    /// Lets go what people hold: the operators' pause and reduce-only, and a lift's reduce-only. It
    /// never ends a halt, and nothing of a rotation or of a monitor.
    ///
    /// # Errors
    ///
    /// [`CallFailed::Halted`], or [`CallFailed::Journal`] and trading stays held back.
    pub async fn resume(&self, by: &Principal, reason: String) -> Result<(), CallFailed> {
        let (floor, by) = (self.floor.clone(), by.clone());
        let resume = async move { restrain::resume(&floor, &by, reason).await };
        Ok(to_its_end(resume).await??)
    }

    /// Changes limits: what tightens at once, what loosens when a second owner agreed. `patch` names
    /// settings; a value adjusts, `None` goes back to what the settings say. With `from_v` only if
    /// that version is in force.
    ///
    /// # Errors
    ///
    /// [`CallFailed::Actor`]; the inner [`LimitsRefused`] says why nothing changed.
    pub async fn change_limits(
        &self,
        caller: &Caller,
        patch: Vec<(String, Option<Decimal>)>,
        from_v: Option<u64>,
        reason: String,
    ) -> Result<Result<LimitsChange, LimitsRefused>, CallFailed> {
        let (floor, caller) = (self.floor.clone(), caller.clone());
        to_its_end(async move { limits::change(&floor, &caller, &patch, from_v, reason).await })
            .await
    }

    /// What people made of the limits, and what they propose.
    pub async fn limits(&self) -> LimitsFold {
        self.floor.limits.lock().await.clone()
    }

    /// The state of trading, from what is published: no actor is asked.
    pub fn status(&self) -> Status {
        let now = self.floor.clock.now();
        let halts = self.emergency.state();
        let restraints = self.floor.door.restraints();
        let latch = self.floor.latch.state();
        let halt = halts.halt.as_ref().filter(|_| latch.halted);
        let first = halt.and_then(|halt| halt.reasons.first());
        let held = restraints
            .pause(now)
            .or_else(|| restraints.reduce_only(now))
            .map(|(_, held)| held)
            .filter(|_| halt.is_none());
        Status {
            state: self.floor.door.state(now),
            epoch: latch.epoch,
            since_us: halt
                .map(|halt| halt.since_us)
                .or(held.map(|held| held.since_us)),
            reason: first
                .and_then(|first| first.reason.clone())
                .or_else(|| held.and_then(|held| held.reason.clone())),
            by: first
                .and_then(|first| first.by.clone())
                .or_else(|| held.and_then(|held| held.by.clone())),
            held_by: restraints.held_by(now),
            actors: [self.trading.roster().read(), self.guard.roster().read()].concat(),
        }
    }

    /// Whether the venue was asked once since the start, with whatever result.
    pub fn is_ready(&self) -> bool {
        self.floor.venue_asked.load(Ordering::Acquire)
    }

    /// The kill switch: report and memory.
    pub fn emergency(&self) -> &Arc<Emergency> {
        &self.emergency
    }

    /// Trading's shared state: for workers that make lanes, and for reading.
    pub fn floor(&self) -> &Arc<Floor> {
        &self.floor
    }

    /// Supervises an actor that does not trade, beside the emergency actor: it is made again like all
    /// others, is not told of halts, and failing past the bound halts.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`] says who is to blame.
    pub async fn supervise<A, F>(
        &self,
        name: ActorName,
        factory: F,
    ) -> Result<Stable<A>, SuperviseError>
    where
        A: Actor<Context = Context<A>>,
        F: Fn(Incarnation) -> Result<A, StartError> + Send + Sync + 'static,
    {
        let spec = ChildSpec {
            name,
            placement: Placement::Own,
            in_flight_max: STRATEGY_IN_FLIGHT_MAX,
        };
        self.guard.supervise(spec, factory).await
    }

    /// Registers a strategy, or any actor of an embedder: supervised like all others, told of every
    /// halt and lift, named when it does not acknowledge. It runs on a thread of its own.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`] says who is to blame.
    pub async fn register<A, F>(
        &self,
        name: ActorName,
        factory: F,
    ) -> Result<Stable<A>, SuperviseError>
    where
        A: Actor<Context = Context<A>> + Handler<TradingHalted> + Handler<TradingLifted>,
        F: Fn(Incarnation) -> Result<A, StartError> + Send + Sync + 'static,
    {
        let spec = ChildSpec {
            name,
            placement: Placement::Own,
            in_flight_max: STRATEGY_IN_FLIGHT_MAX,
        };
        let actor = self.trading.supervise(spec, factory).await?;
        // A broadcast takes more subscribers than a supervisor takes children.
        let _ = self.halted.subscribe(actor.recipient());
        let _ = self.lifted.subscribe(actor.recipient());
        Ok(actor)
    }
}
