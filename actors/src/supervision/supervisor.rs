//! The supervisor: an actor that makes its children again when they fail, and gives up when they
//! fail too often.
//!
//! A shell over `policy.rs`. A failure opens a *round*: the children that have to be made again
//! together. A round starts them when its backoff has passed and every member has ended, so that
//! two incarnations never work side by side, except one whose stuck thread was given up: that one
//! is fenced, disowned and counted.

use super::child::{Birth, Child, ChildNumber};
use super::error::SuperviseError;
use super::events::{
    ActorExited, ActorName, ActorRestarted, Bound, Escalated, Event, Exit, Observer,
};
use super::messages::{BackoffPassed, ChildExited, ChildServes, Dismiss, Register, StopAll};
use super::policy::{Policy, Pulse, RestartWindow, Strategy, Verdict, Vital};
use super::roster::{ChildState, ChildStatus, Roster, Row, update};
use super::threads::{Home, Placement, ThreadNumber, Threads};
use crate::domain::clock::{SharedClock, SharedEntropy};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, MessageResult};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// Children that one supervisor takes.
pub const CHILDREN_MAX: usize = 16_384;
/// Room in the supervisor's own mailbox; what its children report goes in beyond it, and is bounded
/// by their number.
const MAILBOX_CAPACITY_MESSAGES: usize = 1_024;

/// The actor behind a [`Supervisor`](super::Supervisor).
pub(crate) struct SupervisorActor {
    pub(crate) policy: Policy,
    pub(crate) clock: SharedClock,
    pub(crate) entropy: SharedEntropy,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) roster: Roster,
    pub(crate) threads: Threads,
    pub(crate) window: RestartWindow,
    /// Fires when this actor is dropped without having been told to stop.
    pub(crate) death_watch: DeathWatch,
    pub(crate) book: Book,
}

/// The children and what is planned for them.
#[derive(Default)]
pub(crate) struct Book {
    children: BTreeMap<ChildNumber, Record>,
    names: HashMap<ActorName, ChildNumber>,
    rounds: HashMap<u64, Round>,
    children_seen: u64,
    rounds_seen: u64,
    /// Failures in the window, as of the last one.
    failures: u32,
    /// True after an escalation or the order to stop: nothing is started any more.
    closed: bool,
    all_ended: Vec<oneshot::Sender<()>>,
}

/// One child.
struct Record {
    name: ActorName,
    home: Home,
    child: Box<dyn Child>,
    row: Arc<Row>,
    /// 0 before the first start.
    generation: u64,
    thread: ThreadNumber,
    life: Life,
    /// True once the present incarnation has survived its start: until then its factory may be at
    /// work, which may take longer.
    served: bool,
    pulse: Pulse,
    /// Set when the supervisor ended it for a reason of its own.
    sentence: Option<Exit>,
    round: Option<u64>,
    restarts: u64,
    dismissed: bool,
    has_ended: Vec<oneshot::Sender<()>>,
}

/// How far the present incarnation of a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Starting,
    Serving,
    Ending,
    Ended,
}

/// Children that are made again together.
struct Round {
    members: Vec<ChildNumber>,
    unended: BTreeSet<ChildNumber>,
    backoff_passed: bool,
}

/// Calls back when it is dropped armed: the supervisor itself has died.
pub(crate) struct DeathWatch {
    callback: Option<Box<dyn FnOnce() + Send>>,
    armed: bool,
}

impl DeathWatch {
    pub(crate) fn new(callback: Box<dyn FnOnce() + Send>) -> Self {
        Self {
            callback: Some(callback),
            armed: false,
        }
    }
}

impl Drop for DeathWatch {
    fn drop(&mut self) {
        if let Some(callback) = self.callback.take().filter(|_| self.armed)
            && catch_unwind(AssertUnwindSafe(callback)).is_err()
        {
            tracing::error!("the callback for a dead supervisor panicked");
        }
    }
}

impl Actor for SupervisorActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_CAPACITY_MESSAGES);
        ctx.run_interval(self.policy.heartbeat.every, Self::look_around);
        self.death_watch.armed = true;
    }
}

impl SupervisorActor {
    /// Starts the next incarnation of a child.
    fn start(&mut self, number: ChildNumber, ctx: &mut Context<Self>) {
        let Some(record) = self.book.children.get_mut(&number) else {
            return;
        };
        let (thread, arbiter) = match self.threads.at(record.home) {
            Ok(place) => place,
            Err(error) => {
                let why = Exit::StartFailed(error.to_string());
                let name = record.name.clone();
                return self.escalate(name, why, Bound::Threads);
            }
        };
        record.generation += 1;
        record.thread = thread;
        record.life = Life::Starting;
        record.served = false;
        record.pulse = Pulse::default();
        record.sentence = None;
        let generation = record.generation;
        update(&record.row, |status| status.generation = generation);
        record.child.start(Birth {
            child: number,
            generation,
            arbiter,
            thread,
            heartbeat: self.policy.heartbeat,
            supervisor: ctx.address(),
        });
    }

    /// Books the end of a child's incarnation. True when it is a failure that nobody planned for.
    fn book_end(&mut self, number: ChildNumber, why: Exit) -> bool {
        let Some(record) = self.book.children.get_mut(&number) else {
            return false;
        };
        record.life = Life::Ended;
        record.child.fence(record.generation);
        let why = record.sentence.take().unwrap_or(why);
        let exited = ActorExited {
            name: record.name.clone(),
            generation: record.generation,
            why: why.clone(),
        };
        log_exit(&exited);
        let gone = record.dismissed || self.book.closed;
        update(&record.row, |status| {
            status.last_exit = Some(why);
            status.state = if gone {
                ChildState::Gone
            } else {
                ChildState::Restarting
            };
        });
        let has_ended = std::mem::take(&mut record.has_ended);
        let (round, home, dismissed) = (record.round, record.home, record.dismissed);
        self.report(&Event::ActorExited(exited));
        if dismissed {
            self.forget(number, home);
        }
        for waiting in has_ended {
            // Whoever waited may have stopped waiting.
            let _ = waiting.send(());
        }
        if let Some(round) = round.and_then(|round| self.book.rounds.get_mut(&round)) {
            round.unended.remove(&number);
        }
        !gone && round.is_none()
    }

    /// Removes a dismissed child that has ended.
    fn forget(&mut self, number: ChildNumber, home: Home) {
        if let Some(record) = self.book.children.remove(&number) {
            self.book.names.remove(&record.name);
            self.threads.release(home);
        }
    }

    /// Answers a failure: a round of restarts, or the end.
    ///
    /// `dead` have ended already; `cause` is the one whose failure it is. `counts` is false when
    /// the same loss of a thread has been counted with another child.
    fn answer_failure(
        &mut self,
        cause: ChildNumber,
        dead: Vec<ChildNumber>,
        counts: bool,
        ctx: &mut Context<Self>,
    ) {
        if counts {
            let now = Duration::from_millis(self.clock.boot_millis());
            match self.window.record(now) {
                Verdict::Restart { failures } => self.book.failures = failures,
                Verdict::Escalate => {
                    let Some((name, why)) = self.last_exit(cause) else {
                        return;
                    };
                    return self.escalate(name, why, Bound::Restarts);
                }
            }
        }
        let members = match self.policy.strategy {
            Strategy::OneForOne => dead,
            Strategy::OneForAll => {
                // The new round takes everybody over from those that are still waiting.
                self.book.rounds.clear();
                let mut all = Vec::with_capacity(self.book.children.len());
                let present = self.book.children.iter();
                all.extend(present.filter(|(_, r)| !r.dismissed).map(|(n, _)| *n));
                all
            }
        };
        let round = self.open_round(members);
        let wait = self.policy.backoff.wait(self.book.failures, self.random());
        let supervisor = ctx.address();
        // A task of its own: a timer in the context would be polled with every message.
        actix_rt::spawn(async move {
            actix_rt::time::sleep(wait).await;
            supervisor.do_send(BackoffPassed { round });
        });
    }

    /// Plans the restart of `members` and ends those that still live.
    fn open_round(&mut self, members: Vec<ChildNumber>) -> u64 {
        self.book.rounds_seen += 1;
        let number = self.book.rounds_seen;
        let mut unended = BTreeSet::new();
        for member in &members {
            let Some(record) = self.book.children.get_mut(member) else {
                continue;
            };
            record.round = Some(number);
            if record.life != Life::Ended {
                record.life = Life::Ending;
                record.child.fence(record.generation);
                record.child.end();
                update(&record.row, |status| status.state = ChildState::Restarting);
                unended.insert(*member);
            }
        }
        self.book.rounds.insert(
            number,
            Round {
                members,
                unended,
                backoff_passed: false,
            },
        );
        number
    }

    /// Starts the members of a round once nothing stands in the way.
    fn start_if_ready(&mut self, number: u64, ctx: &mut Context<Self>) {
        let ready = |round: &Round| round.backoff_passed && round.unended.is_empty();
        if !self.book.rounds.get(&number).is_some_and(ready) {
            return;
        }
        let Some(round) = self.book.rounds.remove(&number) else {
            return;
        };
        for member in round.members {
            // A member may have been dismissed, or taken over by a later round.
            let Some(record) = self.book.children.get_mut(&member) else {
                continue;
            };
            if record.round == Some(number) {
                record.round = None;
                self.start(member, ctx);
            }
        }
    }

    /// Looks at all threads and children once.
    fn look_around(&mut self, ctx: &mut Context<Self>) {
        let starting: HashSet<Home> = self
            .book
            .children
            .values()
            .filter(|record| record.life != Life::Ended && !record.served)
            .map(|record| record.home)
            .collect();
        for home in self.threads.stuck(|home| starting.contains(&home)) {
            self.lose_thread(home, ctx);
        }
        let missed_max = self.policy.heartbeat.missed_max;
        for record in self.book.children.values_mut() {
            if record.life != Life::Serving {
                continue;
            }
            let beats = record.child.vitals().beats.load(Ordering::Relaxed);
            if record.pulse.look(beats, missed_max) == Vital::Hung {
                // Its thread lives, so its life will hear this and report; if not, the thread is
                // found stuck.
                record.life = Life::Ending;
                record.sentence = Some(Exit::Hung);
                record.child.fence(record.generation);
                record.child.end();
            }
        }
        let abandoned = self.threads.abandoned();
        self.roster.set_abandoned_threads(abandoned);
    }

    /// Gives up a thread that is stuck: its children are treated as ended.
    fn lose_thread(&mut self, home: Home, ctx: &mut Context<Self>) {
        let lost: Vec<ChildNumber> = self
            .book
            .children
            .iter()
            .filter(|(_, record)| record.home == home && record.life != Life::Ended)
            .map(|(number, _)| *number)
            .collect();
        self.threads.abandon(home);
        let abandoned = self.threads.abandoned();
        self.roster.set_abandoned_threads(abandoned);
        let (mut culprit, mut dead) = (None, Vec::new());
        for number in lost {
            let Some(record) = self.book.children.get_mut(&number) else {
                continue;
            };
            let inside = record.child.vitals().inside.load(Ordering::Relaxed);
            // SAFETY-ORDER: disowned and fenced before anything is planned for the successor.
            record.child.abandon(record.generation);
            let why = if inside { Exit::Hung } else { Exit::ThreadLost };
            if inside {
                culprit = Some(number);
            }
            if self.book_end(number, why) {
                dead.push(number);
            }
        }
        let cause = culprit.or_else(|| dead.first().copied());
        let bound = usize::try_from(self.policy.abandoned_threads_max).unwrap_or(usize::MAX);
        if let Some(cause) = cause {
            if abandoned > bound
                && let Some((name, why)) = self.last_exit(cause)
            {
                self.escalate(name, why, Bound::AbandonedThreads);
            } else if !dead.is_empty() {
                self.answer_failure(cause, dead, true, ctx);
            }
        }
        self.start_ready_rounds(ctx);
        self.stop_if_all_ended(ctx);
    }

    fn start_ready_rounds(&mut self, ctx: &mut Context<Self>) {
        let rounds: Vec<u64> = self.book.rounds.keys().copied().collect();
        for round in rounds {
            self.start_if_ready(round, ctx);
        }
    }

    /// Gives up: every child is gone for good. Happens at most once.
    fn escalate(&mut self, name: ActorName, why: Exit, bound: Bound) {
        if self.book.closed {
            return;
        }
        self.close();
        tracing::error!(
            actor.name = %name,
            exit.why = why.code(),
            bound = ?bound,
            "a supervisor gave up: all its actors are gone"
        );
        self.report(&Event::Escalated(Escalated { name, why, bound }));
    }

    /// Ends all children for good and takes no more.
    fn close(&mut self) {
        self.book.closed = true;
        self.book.rounds.clear();
        for record in self.book.children.values_mut() {
            record.round = None;
            // SAFETY-ORDER: fenced before it is told, so that it releases nothing on its way out.
            record.child.fence(record.generation);
            record.child.close();
            update(&record.row, |status| status.state = ChildState::Gone);
        }
    }

    fn stop_if_all_ended(&mut self, ctx: &mut Context<Self>) {
        let ended = |record: &Record| record.life == Life::Ended;
        if self.book.all_ended.is_empty() || !self.book.children.values().all(ended) {
            return;
        }
        let homes: Vec<Home> = self.book.children.values().map(|r| r.home).collect();
        for home in homes {
            self.threads.release(home);
        }
        for waiting in self.book.all_ended.drain(..) {
            // Whoever waited may have stopped waiting.
            let _ = waiting.send(());
        }
        ctx.stop();
    }

    fn last_exit(&self, number: ChildNumber) -> Option<(ActorName, Exit)> {
        let record = self.book.children.get(&number)?;
        let why = record.row.load().last_exit.clone()?;
        Some((record.name.clone(), why))
    }

    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        // Without randomness the middle: a restart must not fail for want of jitter.
        match self.entropy.fill(&mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes),
            Err(_) => u64::MAX / 2,
        }
    }

    fn report(&self, event: &Event) {
        let observer = &*self.observer;
        if catch_unwind(AssertUnwindSafe(|| observer.observe(event))).is_err() {
            tracing::error!("an observer of a supervisor panicked");
        }
    }
}

/// An end that was asked for is no warning.
fn log_exit(exited: &ActorExited) {
    let (name, generation) = (&exited.name, exited.generation);
    if exited.why == Exit::Ended {
        return tracing::info!(actor.name = %name, actor.generation = generation, "an actor ended");
    }
    tracing::warn!(
        actor.name = %name,
        actor.generation = generation,
        exit.why = exited.why.code(),
        exit.text = exited.why.internal().unwrap_or_default(),
        "an actor failed"
    );
}

impl Handler<Register> for SupervisorActor {
    type Result = MessageResult<Register>;

    fn handle(&mut self, msg: Register, ctx: &mut Self::Context) -> Self::Result {
        if self.book.closed {
            return MessageResult(Err(SuperviseError::Closed));
        }
        if self.book.children.len() >= CHILDREN_MAX {
            let children_max = CHILDREN_MAX;
            return MessageResult(Err(SuperviseError::Full { children_max }));
        }
        if self.book.names.contains_key(&msg.name) {
            return MessageResult(Err(SuperviseError::NameTaken { name: msg.name }));
        }
        self.book.children_seen += 1;
        let number = self.book.children_seen;
        let row = self.roster.enter(ChildStatus {
            name: msg.name.clone(),
            generation: 0,
            state: ChildState::Restarting,
            restarts: 0,
            last_exit: None,
        });
        self.book.names.insert(msg.name.clone(), number);
        self.book.children.insert(
            number,
            Record {
                name: msg.name,
                home: match msg.placement {
                    Placement::Own => Home::Own(number),
                    Placement::Shared(thread) => Home::Shared(thread),
                },
                child: msg.child,
                row,
                generation: 0,
                thread: 0,
                life: Life::Ended,
                served: false,
                pulse: Pulse::default(),
                sentence: None,
                round: None,
                restarts: 0,
                dismissed: false,
                has_ended: Vec::new(),
            },
        );
        self.start(number, ctx);
        MessageResult(Ok(()))
    }
}

impl Handler<Dismiss> for SupervisorActor {
    type Result = MessageResult<Dismiss>;

    fn handle(&mut self, msg: Dismiss, _: &mut Self::Context) -> Self::Result {
        let Some(number) = self.book.names.get(&msg.name).copied() else {
            return MessageResult(None);
        };
        let Some(record) = self.book.children.get_mut(&number) else {
            return MessageResult(None);
        };
        let (ended, has_ended) = oneshot::channel();
        record.dismissed = true;
        record.child.fence(record.generation);
        record.child.close();
        self.roster.leave(&record.row);
        if record.life == Life::Ended {
            // Nobody can have stopped waiting yet.
            let _ = ended.send(());
            let home = record.home;
            self.forget(number, home);
        } else {
            record.life = Life::Ending;
            record.has_ended.push(ended);
        }
        MessageResult(Some(has_ended))
    }
}

impl Handler<StopAll> for SupervisorActor {
    type Result = MessageResult<StopAll>;

    fn handle(&mut self, _: StopAll, ctx: &mut Self::Context) -> Self::Result {
        let (ended, all_ended) = oneshot::channel();
        self.death_watch.armed = false;
        self.book.all_ended.push(ended);
        self.close();
        self.stop_if_all_ended(ctx);
        MessageResult(all_ended)
    }
}

impl Handler<ChildServes> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, msg: ChildServes, _: &mut Self::Context) {
        let Some(record) = self.book.children.get_mut(&msg.child) else {
            return;
        };
        if record.generation != msg.generation {
            return;
        }
        record.served = true;
        // It may have been told to end since.
        if record.life != Life::Starting || self.book.closed {
            return;
        }
        record.life = Life::Serving;
        record.restarts += u64::from(msg.generation > 1);
        let restarts = record.restarts;
        update(&record.row, |status| {
            status.state = ChildState::Up;
            status.restarts = restarts;
        });
        if msg.generation > 1 {
            let restarted = ActorRestarted {
                name: record.name.clone(),
                generation: msg.generation,
                restarts,
            };
            self.report(&Event::ActorRestarted(restarted));
        }
    }
}

impl Handler<ChildExited> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, msg: ChildExited, ctx: &mut Self::Context) {
        let Some(record) = self.book.children.get_mut(&msg.child) else {
            return;
        };
        // The report of an incarnation that was given up, and has a successor or will get one.
        if record.generation != msg.generation || record.life == Life::Ended {
            return;
        }
        let (home, round) = (record.home, record.round);
        let thread_lost = msg.why == Exit::ThreadLost;
        if self.book_end(msg.child, msg.why) {
            let counts = !thread_lost || self.threads.counts_as_failure(home, msg.thread);
            self.answer_failure(msg.child, vec![msg.child], counts, ctx);
        }
        if let Some(round) = round {
            self.start_if_ready(round, ctx);
        }
        self.stop_if_all_ended(ctx);
    }
}

impl Handler<BackoffPassed> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, msg: BackoffPassed, ctx: &mut Self::Context) {
        if let Some(round) = self.book.rounds.get_mut(&msg.round) {
            round.backoff_passed = true;
        }
        self.start_if_ready(msg.round, ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{SeededEntropy, SystemClock};
    use crate::supervision::SystemThread;
    use std::sync::atomic::AtomicU64;

    #[derive(actix::Message)]
    #[rtype(result = "()")]
    struct Explode;

    impl Handler<Explode> for SupervisorActor {
        type Result = ();

        fn handle(&mut self, _: Explode, _: &mut Self::Context) {
            panic!("a defect in the supervisor");
        }
    }

    fn actor(thread: &SystemThread, lost: &Arc<AtomicU64>) -> SupervisorActor {
        let policy = Policy::default();
        let lost = Arc::clone(lost);
        SupervisorActor {
            window: RestartWindow::new(policy.intensity),
            threads: Threads::new(thread.handle(), policy.heartbeat),
            policy,
            clock: Arc::new(SystemClock),
            entropy: SeededEntropy::new(1),
            observer: Arc::new(|_: &Event| {}),
            roster: Roster::default(),
            death_watch: DeathWatch::new(Box::new(move || {
                lost.fetch_add(1, Ordering::SeqCst);
            })),
            book: Book::default(),
        }
    }

    #[test]
    fn a_supervisor_that_panics_is_called_lost_once() {
        let limit = Duration::from_secs(30);
        let thread = SystemThread::start("test-lost").unwrap();
        let lost = Arc::new(AtomicU64::new(0));
        let actor = actor(&thread, &lost);
        let addr = SupervisorActor::start_in_arbiter(thread.handle().root(), move |_| actor);
        addr.do_send(Explode);
        for _ in 0..15_000 {
            if lost.load(Ordering::SeqCst) > 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(lost.load(Ordering::SeqCst), 1);
        assert_eq!(thread.stop(limit).unfinished_threads, 0);
        assert_eq!(lost.load(Ordering::SeqCst), 1);
    }
}
