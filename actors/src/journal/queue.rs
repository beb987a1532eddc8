//! What waits for the writer: bounded, urgent entries first, and a sleep that quiet ones do not
//! disturb.
//!
//! No timer delays what somebody waits for: the writer takes everything that is there as soon as it
//! is free, so a group is as large as the load makes it.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::ack::Promise;
use super::encoding::Encoded;
use super::record::Committed;
use super::writer::AppendError;
use crate::ports::journal::{Identity, RawCheckpoint, Snapshot};

/// Entries that may wait. Beyond it, new ones are refused; see [`RESERVED_ENTRIES`].
pub const QUEUE_ENTRIES_MAX: usize = 16_384;

/// Room beyond [`QUEUE_ENTRIES_MAX`] for what must not be refused: outcomes, cancels and halts.
pub const RESERVED_ENTRIES: usize = 65_536;

/// Checkpoints and snapshots that may be asked for at once.
pub const REQUESTS_MAX: usize = 1_024;

/// Largest group: bounds how long an urgent entry waits for the commit before its own.
pub const GROUP_ENTRIES_MAX: usize = 4_096;

/// Longest a quiet entry waits for company.
pub const QUIET_WAIT_MAX: Duration = Duration::from_millis(5);

/// So many quiet waits without work, and the writer sleeps until it is woken.
const SHALLOW_WAITS: u32 = 20;

/// One entry that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) encoded: Encoded,
    pub(super) identity: Option<Identity>,
    /// `None`: nobody waits for it.
    pub(super) promise: Option<Promise<Committed>>,
}

/// What else the writer is asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// Sign the root now.
    Checkpoint(Promise<RawCheckpoint>),
    /// Keep a fold's state, with the next group.
    Snapshot(Box<Snapshot>),
}

/// How an entry waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Somebody waits for it.
    Loud,
    /// Nobody waits: it rides with the next group.
    Quiet,
    /// Before all others.
    Urgent,
}

/// What the writer does next.
#[derive(Debug)]
pub(super) enum Work {
    /// Commit these.
    Group(Vec<Waiting>, Vec<Request>),
    /// Nothing waits: look after the store.
    Idle,
    /// The asked time passed.
    Timer,
    /// Nothing waits and nothing will.
    Close,
}

/// Why nothing is taken any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Closing,
    Dead(String),
}

#[derive(Debug, Default)]
struct State {
    urgent: Vec<Waiting>,
    waiting: Vec<Waiting>,
    requests: Vec<Request>,
    /// Entries in `waiting` for which somebody waits.
    loud: usize,
    /// Since when the oldest quiet entry waits.
    quiet_since: Option<Instant>,
    /// The writer sleeps until it is woken, quiet entries or not.
    asleep: bool,
    /// Quiet waits without work so far.
    shallow_waits: u32,
    /// The store was looked after since the last group (it is after one quiet wait).
    tidy: bool,
    ended: Option<Ended>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
}

impl State {
    fn len(&self) -> usize {
        self.urgent.len() + self.waiting.len()
    }

    fn refusal(&self, full: bool) -> Option<AppendError> {
        let ended = self.ended.clone().map(AppendError::from);
        ended.or_else(|| full.then_some(AppendError::Full))
    }

    fn take(&mut self) -> Work {
        let mut group = std::mem::take(&mut self.urgent);
        let room = GROUP_ENTRIES_MAX.saturating_sub(group.len());
        if self.waiting.len() <= room {
            group.append(&mut self.waiting);
        } else {
            group.extend(self.waiting.drain(..room));
        }
        self.loud = self.waiting.iter().filter(|w| w.promise.is_some()).count();
        self.quiet_since = (!self.waiting.is_empty()).then(Instant::now);
        (self.shallow_waits, self.tidy) = (0, false);
        Work::Group(group, std::mem::take(&mut self.requests))
    }

    fn is_urgent_now(&self, now: Instant) -> bool {
        let quiet_is_due = || self.quiet_since.is_some_and(|s| now >= s + QUIET_WAIT_MAX);
        let something = !self.urgent.is_empty() || !self.requests.is_empty() || self.loud > 0;
        something || quiet_is_due() || (self.ended.is_some() && self.len() > 0)
    }
}

impl Queue {
    /// Takes an entry in, or refuses it and says why.
    pub(super) fn push(&self, entry: Waiting, manner: Manner) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        let bound = match manner {
            Manner::Loud => QUEUE_ENTRIES_MAX,
            Manner::Quiet | Manner::Urgent => QUEUE_ENTRIES_MAX + RESERVED_ENTRIES,
        };
        if let Some(why) = state.refusal(state.len() >= bound) {
            drop(state);
            if let Some(promise) = entry.promise {
                promise.keep(Err(why.clone()));
            }
            return Err(why);
        }
        let wake = match manner {
            Manner::Urgent => {
                state.urgent.push(entry);
                true
            }
            Manner::Loud => {
                state.waiting.push(entry);
                state.loud += 1;
                state.loud == 1
            }
            Manner::Quiet => {
                state.waiting.push(entry);
                state.quiet_since.get_or_insert_with(Instant::now);
                state.asleep
            }
        };
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Asks for something that is not an entry, or refuses it and says why.
    pub(super) fn ask(&self, request: Request) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        if let Some(why) = state.refusal(state.requests.len() >= REQUESTS_MAX) {
            drop(state);
            if let Request::Checkpoint(promise) = request {
                promise.keep(Err(why.clone()));
            }
            return Err(why);
        }
        state.requests.push(request);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Entries that wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().len()
    }

    /// Nothing new is taken; what waits is still done.
    pub(super) fn close(&self) {
        self.state.lock().ended.get_or_insert(Ended::Closing);
        self.work.notify_one();
    }

    /// Nothing new is taken, and what waits is given back to be refused.
    pub(super) fn die(&self, why: &str) -> (Vec<Waiting>, Vec<Request>) {
        let mut state = self.state.lock();
        state.ended = Some(Ended::Dead(why.to_owned()));
        let mut waiting = std::mem::take(&mut state.urgent);
        waiting.append(&mut state.waiting);
        (waiting, std::mem::take(&mut state.requests))
    }

    /// Why nothing is taken any more.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.state.lock().ended.clone()
    }

    /// The store has more to look after.
    pub(super) fn look_again(&self) {
        self.state.lock().tidy = false;
    }

    /// Waits for work, at most until `timer`. Only the writer calls it.
    pub(super) fn next(&self, timer: Option<Instant>) -> Work {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            if state.is_urgent_now(now) {
                return state.take();
            }
            if state.ended.is_some() {
                return Work::Close;
            }
            let quiet = state.quiet_since.is_none() && state.shallow_waits > 0;
            if quiet && !state.tidy {
                state.tidy = true;
                return Work::Idle;
            }
            if timer.is_some_and(|at| now >= at) {
                return Work::Timer;
            }
            let shallow = match state.quiet_since {
                Some(since) => Some(since + QUIET_WAIT_MAX),
                None if state.shallow_waits < SHALLOW_WAITS => Some(now + QUIET_WAIT_MAX),
                None => None,
            };
            state.asleep = shallow.is_none();
            let until = [shallow, timer].into_iter().flatten().min();
            match until {
                Some(until) => {
                    let _ = self.work.wait_until(&mut state, until);
                }
                None => self.work.wait(&mut state),
            }
            state.shallow_waits = state.shallow_waits.saturating_add(1);
            state.asleep = false;
        }
    }
}

impl From<Ended> for AppendError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Closing => Self::Closed,
            Ended::Dead(why) => Self::Dead(why.into()),
        }
    }
}
