//! Starting in order, stopping in reverse.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use flashguard_latch::Latch;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use super::alarm::JournalAlarm;
use super::handle::Handle;
use super::state::{State, decide};
use crate::domain::clock::{SharedClock, SharedEntropy};
use crate::domain::identity::Principal;
use crate::emergency::actor::{EmergencyActor, Means};
use crate::emergency::halt::{Emergency, HaltOrder, Trigger};
use crate::emergency::watch::Watch;
use crate::gate::{Gate, Limits};
use crate::journal::Journal;
use crate::journal::episodes::RecordBound;
use crate::journal::record::{Entry, Fact};
use crate::key_manager::KeyManager;
use crate::ports::journal::JournalReaders;
use crate::ports::sentinel::{Look, SharedSentinel};
use crate::ports::venue::SharedVenue;
use crate::ports::views::SharedViews;
use crate::supervision::{
    ActorName, Broadcast, ChildSpec, Event, Exit, NameError, Placement, Policy, Stable,
    SuperviseError, Supervision, Supervisor, SystemHandle, SystemThread, ThreadError,
};
use crate::trading::denials::DenialLog;
use crate::trading::desk::Desk;
use crate::trading::door::Door;
use crate::trading::engine::EngineActor;
use crate::trading::feed::FeedActor;
use crate::trading::feed_state::FeedState;
use crate::trading::floor::{Floor, OrderTimes, StopCause, StopTrading, watch_calls};
use crate::trading::health::{HealthLimits, VenueHealth};
use crate::trading::limits::LimitsFold;
use crate::trading::messages::{TradingHalted, TradingLifted};
use crate::trading::order_manager::OrderManagerActor;
use crate::trading::positions::PositionsActor;

/// Orders and cancels that one trading actor may carry at a time.
const IN_FLIGHT_MAX: usize = 1_024;
/// Longest that a started actor may take to serve.
const ACTOR_UP_MAX_MS: u64 = 5_000;
/// Longest that orders on their way are waited for at a stop (contract: SIGTERM).
const STOP_ANSWERS_MAX_MS: u64 = 5_000;
/// Longest that actors and threads are waited for at a stop.
const STOP_THREADS_MAX_MS: u64 = 2_000;

/// Numbers from the settings.
#[derive(Debug, Clone)]
pub struct SystemSettings {
    /// The gate's.
    pub limits: Limits,
    /// `venue.health_*`.
    pub health: HealthLimits,
    /// `venue.order_send_ttl_ms`.
    pub order_send_ttl_ms: u64,
    /// `emergency.lift_approvals`.
    pub lift_approvals: usize,
    /// `emergency.answer_wait_ms`.
    pub answer_wait_ms: u64,
}

/// Everything that comes from outside.
pub struct Parts {
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
    /// The kill switch, in the state that [`decide`] gave; venue and system share it.
    pub latch: Arc<Latch>,
    /// The open journal.
    pub journal: Journal,
    /// Readers of it.
    pub readers: Arc<dyn JournalReaders>,
    /// What people search in.
    pub views: SharedViews,
    /// The keys in use.
    pub keys: Arc<KeyManager>,
    /// The venue.
    pub venue: SharedVenue,
    /// The sentinel.
    pub sentinel: SharedSentinel,
    /// What the journal says.
    pub state: State,
    /// A halt to raise before anything opens: what [`decide`] or the caller found.
    pub halt_because: Option<String>,
    /// The one whose hooks the journal was opened with.
    pub alarm: JournalAlarm,
    /// Bounds the records of whatever is refused; shared with who may come in.
    pub record_bound: RecordBound,
    /// Numbers.
    pub settings: SystemSettings,
}

/// Why the system did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartFailed {
    /// A thread could not be made.
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// The watch could not be started.
    #[error("the watch thread could not be started")]
    Watch(#[source] std::io::Error),
    /// An actor could not be started.
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
    /// An actor did not come up.
    #[error("the actor {name} did not start")]
    Actor {
        /// Which.
        name: String,
    },
    /// A fault of this program.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopReport {
    /// Orders that were still on their way at the end of the wait: in doubt at the next start.
    pub orders_unanswered: usize,
    /// Orders that were cancelled, when that was asked.
    pub cancelled: usize,
    /// Orders that still rest although they were to be cancelled.
    pub unconfirmed: usize,
}

/// The running system. Owns its threads; [`System::stop`] ends it in order.
pub struct System {
    handle: Handle,
    journal: Journal,
    watch: Option<Watch>,
    supervisors: Vec<Supervisor>,
    thread: SystemThread,
}

impl System {
    /// Starts everything. When it returns the kill switch works and the state is known; orders come
    /// in once the venue was read.
    ///
    /// # Errors
    ///
    /// [`StartFailed`] names what could not be started; nothing runs then.
    pub async fn start(parts: Parts) -> Result<Self, StartFailed> {
        let thread = SystemThread::start("flashguard")?;
        let emergency = Emergency::new(
            parts.latch.clone(),
            parts.journal.clone(),
            parts.sentinel.clone(),
            parts.clock.clone(),
            parts.entropy.clone(),
            parts.state.halts.clone(),
        );
        let journal = parts.journal.clone();
        parts.alarm.connect(&emergency);
        settle_sentinel(&parts, &emergency);
        let watch =
            Watch::start(parts.latch.clone(), emergency.clone()).map_err(StartFailed::Watch)?;
        let limits = record_limits(&parts).await;
        let floor = floor(&parts, limits, &emergency);
        let (halted, lifted) = (Broadcast::new(), Broadcast::new());
        let guard = supervisor(&thread.handle(), &parts, &emergency)?;
        let trading = supervisor(&thread.handle(), &parts, &emergency)?;
        let means = Means {
            emergency: emergency.clone(),
            floor: floor.clone(),
            halted: halted.clone(),
            lifted: lifted.clone(),
            lift_approvals: parts.settings.lift_approvals,
        };
        let spec = |name| spec(name, Placement::Own);
        let emergency_actor = guard
            .supervise(spec("emergency")?, move |_| {
                Ok(EmergencyActor::new(means.clone()))
            })
            .await?;
        let shared = floor.clone();
        let engine = trading
            .supervise(spec("engine")?, move |incarnation| {
                EngineActor::new(shared.clone(), &incarnation)
            })
            .await?;
        let shared = floor.clone();
        let orders = trading
            .supervise(spec("orders")?, move |_| {
                Ok(OrderManagerActor::new(shared.clone()))
            })
            .await?;
        let shared = floor.clone();
        let positions = trading
            .supervise(spec("positions")?, move |_| {
                Ok(PositionsActor::new(shared.clone()))
            })
            .await?;
        let shared = floor.clone();
        let feed = trading
            .supervise(spec("feed")?, move |_| Ok(FeedActor::new(shared.clone())))
            .await?;
        subscribe(&halted, &lifted, &engine);
        subscribe(&halted, &lifted, &orders);
        subscribe(&halted, &lifted, &positions);
        subscribe(&halted, &lifted, &feed);
        up(&emergency_actor).await?;
        up(&engine).await?;
        up(&orders).await?;
        let handle = Handle {
            floor,
            emergency,
            emergency_actor,
            engine,
            orders,
            guard: guard.clone(),
            trading: trading.clone(),
            halted,
            lifted,
            settings: Arc::new(parts.settings),
        };
        Ok(Self {
            handle,
            journal,
            watch: Some(watch),
            supervisors: vec![trading, guard],
            thread,
        })
    }

    /// A handle to give away.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops in order: no order comes in, those on their way are waited for, resting ones are
    /// cancelled or left, the journal gets its last record and is closed. `before_close` runs before
    /// that: for what follows the journal.
    pub async fn stop(
        mut self,
        cancel: bool,
        before_close: impl FnOnce() + Send + 'static,
    ) -> StopReport {
        let floor = self.handle.floor.clone();
        floor.door.close();
        let orders_unanswered = wait_for_answers(&floor).await;
        let mut report = StopReport {
            orders_unanswered,
            cancelled: 0,
            unconfirmed: 0,
        };
        if cancel {
            let by = Principal::system();
            match crate::trading::cancel::cancel_many(&floor, None, &by).await {
                Ok(count) => {
                    (report.cancelled, report.unconfirmed) = (count.cancelled, count.unconfirmed)
                }
                Err(error) => {
                    tracing::error!(%error, "resting orders could not be cancelled");
                    report.unconfirmed = floor.orders.lock().unsettled().len();
                }
            }
        }
        for supervisor in &self.supervisors {
            supervisor
                .stop(Duration::from_millis(STOP_THREADS_MAX_MS))
                .await;
        }
        self.watch = None;
        let (journal, thread) = (self.journal, self.thread);
        let ended = tokio::task::spawn_blocking(move || {
            before_close();
            if let Err(error) = close(&journal) {
                tracing::error!(%error, "the journal was not closed in order");
            }
            let _ = thread.stop(Duration::from_millis(STOP_THREADS_MAX_MS));
        });
        if ended.await.is_err() {
            tracing::error!("the stop did not end in order");
        }
        report
    }
}

/// The last record, and the end of the writer.
fn close(journal: &Journal) -> Result<(), crate::journal::AppendError> {
    let written = journal.append(Entry::of("system", Fact::SystemStopped));
    if let Some(Err(error)) = written.wait(Duration::from_millis(STOP_THREADS_MAX_MS)) {
        tracing::warn!(%error, "the stop is not journaled");
    }
    journal.close()
}

/// Waits until no order is on its way. Answers with how many still are.
async fn wait_for_answers(floor: &Floor) -> usize {
    let until = floor
        .clock
        .boot_millis()
        .saturating_add(STOP_ANSWERS_MAX_MS);
    loop {
        let pending = {
            let orders = floor.orders.lock();
            let pending = crate::domain::order::OrderStatus::Pending;
            orders
                .unsettled()
                .iter()
                .filter(|state| state.status == pending)
                .count()
        };
        if pending == 0 || floor.clock.boot_millis() >= until {
            return pending;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Brings the sentinel into line before anything opens (K3): what cannot be brought halts.
fn settle_sentinel(parts: &Parts, emergency: &Arc<Emergency>) {
    let halted = parts.latch.state().halted;
    let look = parts.sentinel.look();
    let mut because = parts.halt_because.clone();
    if because.is_none() {
        because = decide(&parts.state.halts, &look).halt_because;
    }
    let settled = match (halted, look) {
        (true, Ok(Look::Raised)) | (false, Ok(Look::Armed | Look::Raised)) => Ok(()),
        (true, _) => parts.sentinel.raise(),
        (false, Ok(Look::Missing)) => parts.sentinel.arm(),
        (false, Err(error)) => Err(error),
    };
    if let Err(error) = settled {
        tracing::error!(%error, "the sentinel could not be brought into line");
        because.get_or_insert_with(|| "the sentinel could not be made".to_owned());
    }
    if halted {
        emergency.resume_report();
    }
    if let Some(reason) = because {
        emergency.halt(&HaltOrder {
            trigger: Trigger::Start,
            by: Principal::system(),
            reason,
        });
    }
}

/// Writes down the limits that this process begins with, when they are not those in force. A journal
/// that does not take it is dead, and nothing is traded.
async fn record_limits(parts: &Parts) -> LimitsFold {
    let mut limits = parts.state.limits.clone();
    if let Some(fact) = limits.at_start(&parts.settings.limits) {
        let written = parts.journal.append(Entry::of("gate", fact.clone())).await;
        match written {
            Ok(committed) => limits.take_in(&fact, committed.time()),
            Err(error) => tracing::error!(%error, "the limits were not journaled"),
        }
    }
    limits
}

fn floor(parts: &Parts, limits: LimitsFold, emergency: &Arc<Emergency>) -> Arc<Floor> {
    let ledger = parts.state.ledger.clone();
    let has_feed = parts.venue.framing().capabilities().feed;
    let stopper = emergency.clone();
    let stop_trading: StopTrading = Arc::new(move |cause: StopCause, reason: &str| {
        stopper.halt(&HaltOrder {
            trigger: match cause {
                StopCause::Start => Trigger::Start,
                StopCause::VenueHealth => Trigger::VenueHealth,
            },
            by: Principal::system(),
            reason: reason.to_owned(),
        });
    });
    let door = Arc::new(Door::new(
        parts.latch.clone(),
        parts.state.restraints.clone(),
    ));
    let health = Arc::new(VenueHealth::new(parts.settings.health));
    let watch = watch_calls(
        health.clone(),
        parts.clock.clone(),
        parts.latch.clone(),
        door.clone(),
        stop_trading.clone(),
    );
    let in_force = limits.limits(&parts.settings.limits);
    Arc::new(Floor {
        clock: parts.clock.clone(),
        entropy: parts.entropy.clone(),
        latch: parts.latch.clone(),
        door,
        settings_limits: parts.settings.limits.clone(),
        limits: AsyncMutex::new(limits),
        restraining: Default::default(),
        gate: Gate::new(in_force, ledger.exposure, parts.clock.clone()),
        journal: parts.journal.clone(),
        readers: parts.readers.clone(),
        views: parts.views.clone(),
        keys: parts.keys.clone(),
        desk: Desk::new(parts.venue.clone(), parts.keys.clone(), parts.clock.clone())
            .watched_by(watch),
        orders: Mutex::new(ledger.orders),
        fills: AsyncMutex::new(ledger.fills),
        fills_reader: AsyncMutex::default(),
        positions: Mutex::new(ledger.positions),
        feed: Mutex::new(FeedState::new(has_feed)),
        in_flight: Default::default(),
        denials: DenialLog::new(parts.record_bound.clone()),
        times: OrderTimes {
            send_ttl_ms: parts.settings.order_send_ttl_ms,
        },
        venue_asked: AtomicBool::new(false),
        health,
        stop_trading,
    })
}

/// A supervisor whose events are journaled, and whose end halts.
fn supervisor(
    system: &SystemHandle,
    parts: &Parts,
    emergency: &Arc<Emergency>,
) -> Result<Supervisor, SuperviseError> {
    let (journal, halting) = (parts.journal.clone(), emergency.clone());
    let observer = move |event: &Event| observe(&journal, &halting, event);
    let halting = emergency.clone();
    let lost = move || {
        halting.halt(&HaltOrder {
            trigger: Trigger::Escalation,
            by: Principal::system(),
            reason: "a supervisor died: nobody would restart a failing actor".to_owned(),
        });
    };
    Supervisor::start(
        system,
        Supervision {
            policy: Policy::default(),
            clock: parts.clock.clone(),
            entropy: parts.entropy.clone(),
            observer: Arc::new(observer),
            on_supervisor_lost: Box::new(lost),
        },
    )
}

fn observe(journal: &Journal, emergency: &Arc<Emergency>, event: &Event) {
    let exited = |name: &ActorName, generation, why: &str, escalated| Fact::ActorExited {
        name: name.as_str().to_owned(),
        generation,
        why: why.to_owned(),
        escalated,
    };
    let fact = match event {
        // The supervisor ended it in order: a stop, or a neighbour's restart.
        Event::ActorExited(event) if event.why == Exit::Ended => return,
        Event::ActorExited(event) => {
            let (name, why) = (&event.name, &event.why);
            tracing::error!(actor = %name, %why, detail = why.internal(), "an actor ended");
            exited(name, event.generation, why.code(), false)
        }
        Event::ActorRestarted(event) => {
            tracing::warn!(actor = %event.name, restarts = event.restarts, "an actor serves again");
            return;
        }
        Event::Escalated(event) => {
            let reason = format!(
                "actor {} failed past the bound ({:?})",
                event.name, event.bound
            );
            let order = HaltOrder {
                trigger: Trigger::Escalation,
                by: Principal::system(),
                reason,
            };
            emergency.halt(&order);
            exited(&event.name, 0, event.why.code(), true)
        }
    };
    if let Err(error) = journal.append_quietly(Entry::of("supervision", fact)) {
        tracing::warn!(%error, "not journaled");
    }
}

fn spec(name: &str, placement: Placement) -> Result<ChildSpec, NameError> {
    Ok(ChildSpec {
        name: ActorName::new(name)?,
        placement,
        in_flight_max: IN_FLIGHT_MAX,
    })
}

fn subscribe<A>(
    halted: &Broadcast<TradingHalted>,
    lifted: &Broadcast<TradingLifted>,
    actor: &Stable<A>,
) where
    A: actix::Actor<Context = actix::Context<A>>
        + actix::Handler<TradingHalted>
        + actix::Handler<TradingLifted>,
{
    // Four of sixteen thousand: there is room.
    let _ = halted.subscribe(actor.recipient());
    let _ = lifted.subscribe(actor.recipient());
}

async fn up<A: actix::Actor<Context = actix::Context<A>>>(
    actor: &Stable<A>,
) -> Result<(), StartFailed> {
    let limit = Duration::from_millis(ACTOR_UP_MAX_MS);
    let failed = |_| StartFailed::Actor {
        name: actor.name().as_str().to_owned(),
    };
    actor.up(0, limit).await.map(|_| ()).map_err(failed)
}
