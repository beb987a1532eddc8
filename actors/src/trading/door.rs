//! The door: whether an order may come in at all, before any rule is looked at.
//!
//! Halted is the latch's word; pauses and reduce-only are tokens ([`Restraints`]); and until the
//! venue was read once after a start, the door is not open. A ticket taken here dies with the next
//! halt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use flashguard_latch::{Incarnation, Latch, Ticket};

use super::restraints::Restraints;
use crate::domain::clock::UnixMicros;
use crate::domain::status::TradingState;
use crate::gate::Mode;

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
    restraints: ArcSwap<Restraints>,
    open: AtomicBool,
    closed: AtomicBool,
}

impl Door {
    /// A door that is not open yet.
    pub fn new(latch: Arc<Latch>, restraints: Restraints) -> Self {
        Self {
            latch,
            restraints: ArcSwap::from_pointee(restraints),
            open: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Lets an order of `lane` in, and says by which rules it is judged.
    ///
    /// # Errors
    ///
    /// [`Closed`], the most restrictive reason first.
    pub fn enter(&self, lane: &Incarnation, now: UnixMicros) -> Result<(Ticket, Mode), Closed> {
        let ticket = self.latch.ticket(lane).map_err(|halted| Closed::Halted {
            epoch: halted.epoch,
        })?;
        if !self.is_open() {
            return Err(Closed::NotOpenYet);
        }
        let restraints = self.restraints.load();
        if let Some((token, _)) = restraints.pause(now) {
            return Err(Closed::Paused {
                token: token.to_owned(),
            });
        }
        Ok((ticket, mode(&restraints, now)))
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

    /// Publishes the restraints after `change`; what enters from now on is held to them.
    pub fn change(&self, change: impl Fn(&mut Restraints)) {
        self.restraints.rcu(|now| {
            let mut next = Restraints::clone(now);
            change(&mut next);
            next
        });
    }

    /// The tokens that hold trading back.
    pub fn restraints(&self) -> Arc<Restraints> {
        self.restraints.load_full()
    }

    /// By which rules an order would be judged now.
    pub fn mode(&self, now: UnixMicros) -> Mode {
        mode(&self.restraints.load(), now)
    }

    /// What trading may do at `now`: halted, else paused (also before it opened), else reduce-only,
    /// else active.
    pub fn state(&self, now: UnixMicros) -> TradingState {
        let restraints = self.restraints.load();
        if self.latch.state().halted {
            TradingState::Halted
        } else if !self.is_open() || restraints.pause(now).is_some() {
            TradingState::Paused
        } else {
            match mode(&restraints, now) {
                Mode::ReduceOnly => TradingState::ReduceOnly,
                Mode::Active => TradingState::Active,
            }
        }
    }
}

fn mode(restraints: &Restraints, now: UnixMicros) -> Mode {
    match restraints.reduce_only(now) {
        Some(_) => Mode::ReduceOnly,
        None => Mode::Active,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flashguard_latch::{Beat, Fence, State};

    use super::super::restraints::{OPERATOR, Restraint};
    use super::*;

    fn restraint() -> Restraint {
        Restraint {
            until_us: None,
            since_us: UnixMicros(0),
            by: None,
            reason: None,
            journal_seq: 0,
        }
    }

    fn door(state: State) -> Door {
        let beat = Beat::with_clock(Duration::from_secs(3_600), || 0);
        let latch = Arc::new(Latch::new(state, beat));
        Door::new(latch, Restraints::default())
    }

    #[test]
    fn halted_wins_over_paused_over_reduce_only_over_active() {
        let lane = Fence::new().incarnate();
        let door = door(State::open(1));
        let now = UnixMicros(10);
        assert_eq!(door.enter(&lane, now).unwrap_err(), Closed::NotOpenYet);
        door.open();
        assert_eq!(door.enter(&lane, now).unwrap().1, Mode::Active);
        assert_eq!(door.state(now), TradingState::Active);
        door.change(|all| drop(all.reduce_only.insert("lift".into(), restraint())));
        assert_eq!(door.enter(&lane, now).unwrap().1, Mode::ReduceOnly);
        assert_eq!(door.state(now), TradingState::ReduceOnly);
        door.change(|all| drop(all.pauses.insert(OPERATOR.into(), restraint())));
        let token = OPERATOR.to_owned();
        assert_eq!(
            door.enter(&lane, now).unwrap_err(),
            Closed::Paused { token }
        );
        assert_eq!(door.state(now), TradingState::Paused);
        door.latch.halt(Duration::ZERO);
        assert_eq!(
            door.enter(&lane, now).unwrap_err(),
            Closed::Halted { epoch: 2 }
        );
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
}
