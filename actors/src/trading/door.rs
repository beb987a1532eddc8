//! The door: whether an order may come in at all, before any rule is looked at.
//!
//! Halted is the latch's word; a pause is a token with an owner, and trading is paused while there
//! is one; and until the venue was read once after a start, the door is not open. A ticket taken
//! here dies with the next halt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use flashguard_latch::{Incarnation, Latch, Ticket};
use serde::{Deserialize, Serialize};

use crate::domain::clock::UnixMicros;
use crate::domain::status::TradingState;
use crate::journal::record::{Fact, Fold, Record};

/// The pause token of people.
pub const OPERATOR: &str = "operator";

/// One pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// It ends by itself then.
    pub until_us: Option<UnixMicros>,
    /// Since when.
    pub since_us: UnixMicros,
    /// Who took it.
    pub by: Option<String>,
    /// In their words. Not part of the fold, which lives on headers alone: read from the record when
    /// it is wanted, and gone when retention erased it.
    #[serde(skip)]
    pub reason: Option<String>,
    /// Its record; 0 for one that was taken in this process.
    pub journal_seq: u64,
}

/// All pause tokens, by owner: a fold of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses(pub BTreeMap<String, Pause>);

impl Pauses {
    /// The pause that holds at `now`, if any.
    pub fn active(&self, now: UnixMicros) -> Option<(&str, &Pause)> {
        let holds = |pause: &Pause| pause.until_us.is_none_or(|until| now < until);
        self.0
            .iter()
            .find(|(_, pause)| holds(pause))
            .map(|(token, pause)| (token.as_str(), pause))
    }

    /// Tokens whose time has passed.
    pub fn ended(&self, now: UnixMicros) -> Vec<String> {
        let over = |pause: &Pause| pause.until_us.is_some_and(|until| until <= now);
        self.0
            .iter()
            .filter(|(_, pause)| over(pause))
            .map(|(token, _)| token.clone())
            .collect()
    }
}

impl Fold for Pauses {
    const VERSION: u32 = 1;

    fn apply(&mut self, record: &Record) {
        match &record.fact {
            Fact::PauseTaken { token, until_us } => {
                let pause = Pause {
                    until_us: *until_us,
                    since_us: record.time,
                    by: record.principal.as_ref().map(|by| by.as_str().to_owned()),
                    reason: None,
                    journal_seq: record.seq,
                };
                self.0.insert(token.clone(), pause);
            }
            Fact::PauseReleased { token } => {
                self.0.remove(token);
            }
            _ => {}
        }
    }
}

/// Why an order does not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// Two people must lift it first.
    #[error("trading is halted")]
    Halted {
        /// The halt's epoch.
        epoch: u64,
    },
    /// Somebody must release the pause first.
    #[error("trading is paused")]
    Paused {
        /// Whose token.
        token: String,
    },
    /// The venue has not been read since the start.
    #[error("trading has not opened yet")]
    NotOpenYet,
}

/// The door itself.
pub struct Door {
    latch: Arc<Latch>,
    pauses: ArcSwap<Pauses>,
    open: AtomicBool,
    closed: AtomicBool,
}

impl Door {
    /// A door that is not open yet.
    pub fn new(latch: Arc<Latch>, pauses: Pauses) -> Self {
        Self {
            latch,
            pauses: ArcSwap::from_pointee(pauses),
            open: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Lets an order of `lane` in.
    ///
    /// # Errors
    ///
    /// [`Closed`], the most restrictive reason first.
    pub fn enter(&self, lane: &Incarnation, now: UnixMicros) -> Result<Ticket, Closed> {
        let ticket = self.latch.ticket(lane).map_err(|halted| Closed::Halted {
            epoch: halted.epoch,
        })?;
        if !self.is_open() {
            return Err(Closed::NotOpenYet);
        }
        match self.pauses.load().active(now) {
            Some((token, _)) => Err(Closed::Paused {
                token: token.to_owned(),
            }),
            None => Ok(ticket),
        }
    }

    /// Opens trading after the venue was read; a door that was closed stays closed.
    pub fn open(&self) {
        if !self.closed.load(Ordering::Acquire) {
            self.open.store(true, Ordering::Release);
        }
    }

    /// Whether trading was opened since the start, and not closed.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) && !self.closed.load(Ordering::Acquire)
    }

    /// Whether trading has not been opened since the start, and is to be.
    pub fn awaits_opening(&self) -> bool {
        !self.open.load(Ordering::Acquire) && !self.closed.load(Ordering::Acquire)
    }

    /// Closes the door for good: the process is stopping.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Publishes another set of pauses.
    pub fn publish(&self, pauses: Pauses) {
        self.pauses.store(Arc::new(pauses));
    }

    /// The pause tokens.
    pub fn pauses(&self) -> Arc<Pauses> {
        self.pauses.load_full()
    }

    /// What trading may do at `now`: halted, else paused (also before it opened), else active.
    pub fn state(&self, now: UnixMicros) -> TradingState {
        if self.latch.state().halted {
            TradingState::Halted
        } else if !self.is_open() || self.pauses.load().active(now).is_some() {
            TradingState::Paused
        } else {
            TradingState::Active
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flashguard_latch::{Beat, Fence, State};

    use super::*;

    fn paused(until_us: Option<u64>) -> Pauses {
        let pause = Pause {
            until_us: until_us.map(UnixMicros),
            since_us: UnixMicros(0),
            by: None,
            reason: None,
            journal_seq: 0,
        };
        Pauses([(OPERATOR.to_owned(), pause)].into())
    }

    fn door(state: State) -> Door {
        let beat = Beat::with_clock(Duration::from_secs(3_600), || 0);
        let latch = Arc::new(Latch::new(state, beat));
        Door::new(latch, Pauses::default())
    }

    #[test]
    fn halted_wins_over_paused_and_paused_over_active() {
        let lane = Fence::new().incarnate();
        let door = door(State::open(1));
        let now = UnixMicros(10);
        assert_eq!(door.enter(&lane, now), Err(Closed::NotOpenYet));
        door.open();
        assert!(door.enter(&lane, now).is_ok());
        assert_eq!(door.state(now), TradingState::Active);
        door.publish(paused(None));
        assert_eq!(
            door.enter(&lane, now),
            Err(Closed::Paused {
                token: OPERATOR.into()
            })
        );
        assert_eq!(door.state(now), TradingState::Paused);
        door.latch.halt(Duration::ZERO);
        assert_eq!(door.enter(&lane, now), Err(Closed::Halted { epoch: 2 }));
        assert_eq!(door.state(now), TradingState::Halted);
    }

    #[test]
    fn a_door_that_was_closed_does_not_open_again() {
        let door = door(State::open(1));
        assert!(door.awaits_opening());
        door.open();
        assert!(door.is_open() && !door.awaits_opening());
        door.close();
        door.open();
        assert!(!door.is_open() && !door.awaits_opening());
    }

    #[test]
    fn a_pause_with_an_end_ends_by_itself() {
        let lane = Fence::new().incarnate();
        let door = door(State::open(1));
        door.open();
        door.publish(paused(Some(100)));
        assert!(door.enter(&lane, UnixMicros(99)).is_err());
        assert!(door.enter(&lane, UnixMicros(100)).is_ok());
        assert_eq!(door.pauses().ended(UnixMicros(100)), [OPERATOR]);
    }
}
