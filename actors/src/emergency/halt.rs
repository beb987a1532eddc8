//! Halting, from any thread: the stop on the calling thread, then durable, then the procedure.
//!
//! Nothing here waits for an actor, a mailbox or the venue. Record and sentinel are written by
//! threads of their own; the actor learns of the halt from what is published here, also when the
//! signal to it is lost.

use std::sync::Arc;
use std::time::Duration;

use flashguard_latch::{Latch, Stopped};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::lift::{self, LiftRefused, LiftRequest};
use super::procedure::{DURABLE_WAIT_MAX_MS, HaltReport, Outcome, STOP_LIMIT_MS, Step, Stop};
use super::state::{HaltState, LiftTerms};
use crate::auth::Counted;
use crate::domain::clock::{SharedClock, SharedEntropy, UnixMicros};
use crate::domain::identity::{Caller, Owner, Principal};
use crate::domain::order::OrderId;
use crate::journal::ack::Ack;
use crate::journal::record::{Entry, Fact, Fold, Private, Record};
use crate::journal::{Committed, Journal};
use crate::ports::sentinel::SharedSentinel;

/// Longest that a halt waits for a lift that is being written (K9).
const TRANSITION_WAIT_MAX_MS: u64 = 1_000;
/// Longest that a lift waits for its record.
const LIFT_RECORD_WAIT_MAX_MS: u64 = 5_000;

/// What made somebody halt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The HTTP API.
    Http,
    /// The control socket, also for the command line.
    ControlSocket,
    /// The sentinel file was raised by somebody else.
    Sentinel,
    /// SIGUSR1.
    Signal,
    /// An actor failed past the bound of its supervisor.
    Escalation,
    /// The journal cannot be written any more.
    Journal,
    /// The process stood still too long.
    Beat,
    /// What was found at the start.
    Start,
    /// Too many calls to the venue failed.
    VenueHealth,
    /// A lift could not be brought to its end.
    LiftFailed,
    /// The program that embeds this library.
    Embedder,
}

impl Trigger {
    /// As it is written in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::ControlSocket => "control_socket",
            Self::Sentinel => "sentinel",
            Self::Signal => "signal",
            Self::Escalation => "escalation",
            Self::Journal => "journal",
            Self::Beat => "beat",
            Self::Start => "start",
            Self::VenueHealth => "venue_health",
            Self::LiftFailed => "lift_failed",
            Self::Embedder => "embedder",
        }
    }
}

/// A wish to stop. One person, a signal or a monitor is enough.
#[derive(Debug, Clone)]
pub struct HaltOrder {
    /// How it came.
    pub trigger: Trigger,
    /// Who.
    pub by: Principal,
    /// In their words.
    pub reason: String,
}

/// The kill switch with its memory.
pub struct Emergency {
    latch: Arc<Latch>,
    journal: Journal,
    sentinel: SharedSentinel,
    clock: SharedClock,
    entropy: SharedEntropy,
    state: Mutex<HaltState>,
    progress: watch::Sender<Option<HaltReport>>,
    /// Held by a lift from its record to the latch, and by whoever makes a halt durable: what the
    /// sentinel says last is then what is true.
    transition: Mutex<()>,
}

impl Emergency {
    /// A kill switch as the journal remembers it.
    pub fn new(
        latch: Arc<Latch>,
        journal: Journal,
        sentinel: SharedSentinel,
        clock: SharedClock,
        entropy: SharedEntropy,
        state: HaltState,
    ) -> Arc<Self> {
        Arc::new(Self {
            latch,
            journal,
            sentinel,
            clock,
            entropy,
            state: Mutex::new(state),
            progress: watch::Sender::new(None),
            transition: Mutex::new(()),
        })
    }

    /// Stops. When this returns, no byte of an order leaves any more (K1); record, sentinel and the
    /// rest of the procedure go on side by side, and the receiver shows how far they are.
    pub fn halt(self: &Arc<Self>, order: &HaltOrder) -> watch::Receiver<Option<HaltReport>> {
        let stopped = self.latch.halt(Duration::from_millis(STOP_LIMIT_MS));
        let effective_at = self.clock.now();
        if stopped.first {
            self.first(order, &stopped, effective_at);
        } else {
            self.again(order, stopped.epoch);
        }
        self.progress.subscribe()
    }

    fn first(self: &Arc<Self>, order: &HaltOrder, stopped: &Stopped, at: UnixMicros) {
        let incident_id = self.incident_id(at, stopped.epoch);
        tracing::error!(
            epoch = stopped.epoch,
            trigger = order.trigger.as_str(),
            by = order.by.as_str(),
            incident = incident_id,
            waited_us = stopped.waited_us,
            "TRADING HALTED"
        );
        let fact = Fact::HaltRaised {
            epoch: stopped.epoch,
            incident_id: incident_id.clone(),
            trigger: order.trigger.as_str().to_owned(),
        };
        let stop = if stopped.is_forced() {
            Stop::Forced
        } else {
            Stop::Clean
        };
        let doubts = stopped
            .in_doubt
            .iter()
            .map(|doubt| order_id(&doubt.order))
            .collect();
        let report = HaltReport::begun(stopped.epoch, incident_id, stop, at, doubts);
        self.progress.send_replace(Some(report));
        let written = self.write(order, fact, at);
        self.make_durable(stopped.epoch, written);
    }

    /// Halted already: epoch and incident stay, the reason is added, approvals are void (K9).
    fn again(self: &Arc<Self>, order: &HaltOrder, epoch: u64) {
        let trigger = order.trigger.as_str().to_owned();
        self.write(
            order,
            Fact::HaltReasonAdded { epoch, trigger },
            self.clock.now(),
        );
        // SAFETY-ORDER: approvals void, then the latch once more. A lift arms the latch before it
        // reads the approvals: it either finds them void, or is taken back here, or has opened
        // trading by now, and then this is a halt like any other.
        let stopped = self.latch.halt(Duration::from_millis(STOP_LIMIT_MS));
        if stopped.first {
            let now = self.clock.now();
            return self.first(order, &stopped, now);
        }
        // A lift may be between its record and its end, and fails now: the sentinel must say halted
        // after it.
        let wait = Duration::from_millis(TRANSITION_WAIT_MAX_MS);
        let _turn = self.transition.try_lock_for(wait);
        if let Err(error) = self.sentinel.raise() {
            tracing::error!(%error, "the sentinel could not be raised");
        }
    }

    /// Journals a halt before everything that waits, and takes it in.
    fn write(&self, order: &HaltOrder, fact: Fact, at: UnixMicros) -> Ack<Committed> {
        let private = Private {
            reason: Some(order.reason.clone()),
            ..Private::default()
        };
        let entry = Entry::of("emergency", fact)
            .by(order.by.clone())
            .with(private);
        self.take_in(&entry, at);
        self.journal.append_urgently(entry)
    }

    /// Record and sentinel, each on a thread of its own, so that neither can delay the other.
    fn make_durable(self: &Arc<Self>, epoch: u64, written: Ack<Committed>) {
        let this = self.clone();
        side_by_side("halt-sentinel", move || {
            let raised = {
                let wait = Duration::from_millis(TRANSITION_WAIT_MAX_MS);
                let _turn = this.transition.try_lock_for(wait);
                this.sentinel.raise()
            };
            match raised {
                Ok(()) => {
                    this.step(epoch, Step::Sentinel, Outcome::Done, Value::Null);
                }
                Err(error) => {
                    tracing::error!(%error, "the sentinel could not be raised");
                    let detail = json!({ "error": error.kind().to_string() });
                    this.step(epoch, Step::Sentinel, Outcome::Failed, detail);
                }
            }
        });
        let this = self.clone();
        side_by_side("halt-record", move || {
            let mut answer = written.wait(Duration::from_millis(Step::Record.deadline_ms()));
            if answer.is_none() {
                this.step(epoch, Step::Record, Outcome::Late, Value::Null);
                answer = written.wait(Duration::from_secs(3_600));
            }
            match answer {
                Some(Ok(at)) => {
                    let detail = json!({ "journal_seq": at.seq() });
                    this.step(epoch, Step::Record, Outcome::Done, detail);
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "the halt could not be journaled");
                    let detail = json!({ "error": error.to_string() });
                    this.step(epoch, Step::Record, Outcome::Failed, detail);
                }
                None => {}
            }
        });
    }

    /// Takes in how a step of this epoch's halt stands, and journals it when its outcome changed.
    /// Answers whether it did.
    pub fn step(&self, epoch: u64, name: Step, outcome: Outcome, detail: Value) -> bool {
        let now = self.clock.now();
        let mut took_ms = None;
        self.progress.send_modify(|report| {
            let Some(report) = report.as_mut().filter(|report| report.epoch == epoch) else {
                return;
            };
            if report.step(name, outcome, detail.clone(), now) {
                took_ms = Some(now.millis_since(report.effective_at_us));
            }
        });
        let Some(took_ms) = took_ms else { return false };
        let fact = Fact::HaltStep {
            epoch,
            name: name.as_str().to_owned(),
            outcome: outcome.as_str().to_owned(),
            took_ms,
        };
        let private = Private {
            detail: Some(detail),
            ..Private::default()
        };
        self.write_quietly(Entry::of("emergency", fact).with(private));
        true
    }

    /// What is for the record only: trading does not depend on it.
    fn write_quietly(&self, entry: Entry) {
        if let Err(error) = self.journal.append_quietly(entry) {
            tracing::warn!(%error, "not journaled");
        }
    }

    /// Takes in what cancel-all knows by now.
    pub fn count(&self, epoch: u64, cancelled: u64, unconfirmed: u64) {
        self.progress.send_modify(|report| {
            if let Some(report) = report.as_mut().filter(|report| report.epoch == epoch) {
                report.orders_cancelled = cancelled;
                report.orders_unconfirmed = unconfirmed;
            }
        });
    }

    /// Takes in which orders stay after the lift, before the latch opens: cancel-all spares them then.
    fn accept(&self, epoch: u64, accepted: Vec<String>) {
        self.progress.send_modify(|report| {
            if let Some(report) = report.as_mut().filter(|report| report.epoch == epoch) {
                report.accepted_open_orders = accepted;
            }
        });
    }

    /// The halt's last record: everything confirmed.
    pub fn concluded(&self, epoch: u64) {
        let Some(report) = self.report().filter(|report| report.epoch == epoch) else {
            return;
        };
        let fact = Fact::HaltReported {
            epoch,
            orders_cancelled: report.orders_cancelled,
            orders_unconfirmed: report.orders_unconfirmed,
            orders_in_doubt: report.orders_in_doubt.len() as u64,
        };
        let private = Private {
            detail: serde_json::to_value(&report).ok(),
            ..Private::default()
        };
        self.write_quietly(Entry::of("emergency", fact).with(private));
    }

    /// Begins the report of a halt that a former process raised: its cancels go on with fresh eyes.
    pub fn resume_report(&self) {
        let state = self.latch.state();
        let held = self.state.lock();
        let Some(info) = held.halt.as_ref().filter(|_| state.halted) else {
            return;
        };
        let (id, at) = (info.incident_id.clone(), info.since_us);
        let mut report = HaltReport::begun(state.epoch, id, Stop::Clean, at, vec![]);
        let now = self.clock.now();
        let detail = json!({ "from": "before the restart" });
        report.step(Step::Record, Outcome::Done, detail.clone(), now);
        report.step(Step::Sentinel, Outcome::Done, detail, now);
        self.progress.send_replace(Some(report));
    }

    /// The report of the halt in force, or of the last one.
    pub fn report(&self) -> Option<HaltReport> {
        self.progress.borrow().clone()
    }

    /// Waits as a halt's answer does: for record or sentinel at most a second, then at most
    /// `answer_wait_ms` for confirmation. The report as it stands then.
    pub async fn answer(
        &self,
        mut progress: watch::Receiver<Option<HaltReport>>,
        answer_wait_ms: u64,
    ) -> Option<HaltReport> {
        let is = |wanted: fn(&HaltReport) -> bool| {
            move |report: &Option<HaltReport>| report.as_ref().is_none_or(wanted)
        };
        for (limit_ms, wanted) in [
            (DURABLE_WAIT_MAX_MS, is(|report| report.durable)),
            (answer_wait_ms, is(|report| report.confirmed)),
        ] {
            let limit = Duration::from_millis(limit_ms);
            // Running out of time is an answer too: the report says what is not there yet.
            let _ = tokio::time::timeout(limit, progress.wait_for(wanted)).await;
        }
        progress.borrow().clone()
    }

    /// What the journal remembers of halts and lifts.
    pub fn state(&self) -> HaltState {
        self.state.lock().clone()
    }

    /// Looks at the sentinel for the watch thread: raised by somebody else while trading is open?
    pub(super) fn sentinel_asks(&self) -> bool {
        let Some(_turn) = self.transition.try_lock() else {
            return false;
        };
        if self.latch.state().halted {
            return false;
        }
        match self.sentinel.look() {
            Ok(look) => look == crate::ports::sentinel::Look::Raised,
            Err(error) => {
                tracing::error!(%error, "the sentinel cannot be read: halting");
                true
            }
        }
    }

    /// Counts one person's wish to lift, and journals it. `Ok(0)`: enough people agree.
    ///
    /// # Errors
    ///
    /// [`LiftRefused`] when the wish does not count.
    pub fn agree(
        &self,
        caller: &Caller,
        request: &LiftRequest,
        approvals: usize,
    ) -> Result<usize, LiftRefused> {
        let now = self.clock.now();
        let state = self.state.lock().clone();
        let proposal_id = self.incident_id(now, state.epoch);
        let counted = match lift::count(&state, caller, request, &proposal_id) {
            // Enough people agreed, and something on the checklist held it back: anyone of them may
            // try again.
            Err(LiftRefused::SameOwner) if agreed(&state, approvals) => return Ok(0),
            counted => counted?,
        };
        let agreement = counted.agreement().clone();
        let (epoch, owner) = (state.epoch, caller.owner.clone());
        let proposal_id = agreement.id.clone();
        let fact = match counted {
            Counted::Approved(_) => Fact::LiftApproved {
                epoch,
                proposal_id,
                owner,
            },
            Counted::Proposed(_) => Fact::LiftProposed {
                epoch,
                proposal_id,
                owner,
                to: agreement.subject.to,
                accept_open_orders: agreement.subject.accept_open_orders.clone(),
            },
        };
        let private = Private {
            reason: Some(request.reason.clone()),
            ..Private::default()
        };
        let entry = Entry::of("emergency", fact)
            .by(caller.principal.clone())
            .with(private);
        let written = self.journal.append(entry.clone());
        match written.wait(Duration::from_millis(LIFT_RECORD_WAIT_MAX_MS)) {
            Some(Ok(committed)) => self.take_in(&entry, committed.time()),
            Some(Err(_)) | None => return Err(LiftRefused::NotDurable),
        }
        Ok(agreement.missing(approvals))
    }

    /// Ends the halt: record, sentinel, latch, in this order. Blocks on the disk; for a thread that
    /// may. The checklist was judged before.
    ///
    /// # Errors
    ///
    /// [`LiftRefused::Withdrawn`] when enough people do not agree to these terms any more: somebody
    /// halted, or asked for something else. [`LiftRefused::HaltedAgain`] when anybody halted while it
    /// was written, [`LiftRefused::NotDurable`] when a step could not be. Trading is halted then, in
    /// the journal and in the sentinel too.
    pub fn lift(
        self: &Arc<Self>,
        epoch: u64,
        terms: &LiftTerms,
        approvals: usize,
        by: &Principal,
    ) -> Result<(), LiftRefused> {
        let turn = self.transition.lock();
        // SAFETY-ORDER: arm, then read the approvals; a halt voids them, then takes the arming back.
        if !self.latch.arm_lift(epoch) {
            return Err(LiftRefused::OtherEpoch {
                epoch: self.latch.state().epoch,
            });
        }
        let agreed = {
            let state = self.state.lock();
            let proposal = state.halt.as_ref().and_then(|halt| halt.proposal.clone());
            proposal.filter(|standing| {
                state.epoch == epoch
                    && standing.subject == *terms
                    && standing.missing(approvals) == 0
            })
        };
        let Some(agreed) = agreed else {
            self.latch.halt(Duration::ZERO); // halted already: only takes the arming back
            return Err(LiftRefused::Withdrawn);
        };
        // SAFETY-ORDER: record, then sentinel, then latch: a crash between leaves it halted, and a
        // halt that comes between takes the armed latch back.
        self.accept(epoch, agreed.subject.accept_open_orders.clone());
        let lifted = self
            .write_lift(epoch, agreed.subject.to, agreed.owners, by)
            .and_then(|entry| {
                self.sentinel.arm().map_err(|_| LiftRefused::NotDurable)?;
                if !self.latch.lift_armed(epoch) {
                    return Err(LiftRefused::HaltedAgain);
                }
                self.take_in(&entry, self.clock.now());
                Ok(())
            });
        drop(turn);
        if let Err(refused) = &lifted {
            tracing::error!(epoch, %refused, "the lift failed: trading stays halted");
            self.again(
                &HaltOrder {
                    trigger: Trigger::LiftFailed,
                    by: Principal::system(),
                    reason: format!("a lift failed: {refused}"),
                },
                epoch,
            );
        }
        lifted
    }

    fn write_lift(
        &self,
        epoch: u64,
        to: crate::domain::status::TradingState,
        owners: Vec<Owner>,
        by: &Principal,
    ) -> Result<Entry, LiftRefused> {
        let fact = Fact::LiftLifted { epoch, to, owners };
        let entry = Entry::of("emergency", fact).by(by.clone());
        let written = self.journal.append(entry.clone());
        match written.wait(Duration::from_millis(LIFT_RECORD_WAIT_MAX_MS)) {
            Some(Ok(_)) => Ok(entry),
            Some(Err(_)) | None => Err(LiftRefused::NotDurable),
        }
    }

    fn take_in(&self, entry: &Entry, time: UnixMicros) {
        let mut state = self.state.lock();
        let reasons = state.halt.as_ref().map_or(0, |halt| halt.reasons.len());
        state.apply(&Record {
            seq: 0,
            time,
            fact: entry.fact.clone(),
            private: entry.private.clone(),
            actor: entry.actor.to_owned(),
            principal: entry.principal.clone(),
            correlation: None,
        });
        let words = entry
            .private
            .as_ref()
            .and_then(|private| private.reason.clone());
        let added = state
            .halt
            .as_mut()
            .and_then(|halt| halt.reasons.get_mut(reasons));
        if let Some(added) = added {
            added.reason = words;
        }
    }

    fn incident_id(&self, now: UnixMicros, epoch: u64) -> String {
        let made = OrderId::make(now, &*self.entropy);
        made.map_or_else(|_| format!("epoch-{epoch}-{}", now.0), |id| id.to_string())
    }
}

fn agreed(state: &HaltState, approvals: usize) -> bool {
    let proposal = state.halt.as_ref().and_then(|halt| halt.proposal.as_ref());
    proposal.is_some_and(|proposal| proposal.missing(approvals) == 0)
}

fn order_id(tag: &[u8; 16]) -> String {
    OrderId(uuid::Uuid::from_bytes(*tag)).to_string()
}

/// Runs `work` on a thread of its own; on this one when there is none to be had.
fn side_by_side(name: &str, work: impl FnOnce() + Send + 'static) {
    let work = Arc::new(Mutex::new(Some(work)));
    let given = work.clone();
    let run = move || {
        let work = given.lock().take();
        if let Some(work) = work {
            work();
        }
    };
    if std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .is_err()
    {
        let work = work.lock().take();
        if let Some(work) = work {
            work();
        }
    }
}

#[cfg(test)]
#[path = "halt_tests.rs"]
mod tests;
