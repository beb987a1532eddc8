//! What holds trading back short of a halt: pauses and reduce-only, each a token with an owner.
//!
//! Pure: a fold of the journal and what it means at a time. A token is taken back by its owner
//! alone, so that a resume by people ends no pause of a rotation and no alarm of a monitor (K).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::clock::UnixMicros;
use crate::domain::status::TradingState;
use crate::journal::record::{Fact, Fold, Record};

/// The token of people.
pub const OPERATOR: &str = "operator";
/// The token that a lift to `reduce_only` leaves; people end it.
pub const LIFT: &str = "lift";

/// The token of a venue of which too many calls fail; a resume ends it once they do not.
pub const VENUE_HEALTH: &str = "monitor:venue_health";

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restraint {
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

impl Restraint {
    fn holds(&self, now: UnixMicros) -> bool {
        self.until_us.is_none_or(|until| now < until)
    }

    fn of(record: &Record, until_us: Option<UnixMicros>) -> Self {
        Self {
            until_us,
            since_us: record.time,
            by: record.principal.as_ref().map(|by| by.as_str().to_owned()),
            reason: None,
            journal_seq: record.seq,
        }
    }
}

/// All tokens by owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restraints {
    /// While one of them holds, no order comes in.
    pub pauses: BTreeMap<String, Restraint>,
    /// While one of them holds, only orders that reduce a position come in.
    pub reduce_only: BTreeMap<String, Restraint>,
}

impl Restraints {
    /// The pause that holds at `now`, if any.
    pub fn pause(&self, now: UnixMicros) -> Option<(&str, &Restraint)> {
        holding(&self.pauses, now).next()
    }

    /// The reduce-only that holds, if any.
    pub fn reduce_only(&self, now: UnixMicros) -> Option<(&str, &Restraint)> {
        holding(&self.reduce_only, now).next()
    }

    /// Pauses whose time has passed.
    pub fn ended(&self, now: UnixMicros) -> Vec<String> {
        let over = self.pauses.iter().filter(|(_, pause)| !pause.holds(now));
        over.map(|(token, _)| token.clone()).collect()
    }

    /// The tokens that hold trading back, as `pause:<owner>` and `reduce_only:<owner>`.
    pub fn held_by(&self, now: UnixMicros) -> Vec<String> {
        let pauses = holding(&self.pauses, now).map(|(token, _)| format!("pause:{token}"));
        let reduce =
            holding(&self.reduce_only, now).map(|(token, _)| format!("reduce_only:{token}"));
        pauses.chain(reduce).collect()
    }

    /// Every token, to read the words of its record.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Restraint> {
        self.pauses
            .values_mut()
            .chain(self.reduce_only.values_mut())
    }
}

fn holding(
    tokens: &BTreeMap<String, Restraint>,
    now: UnixMicros,
) -> impl Iterator<Item = (&str, &Restraint)> {
    let holding = tokens.iter().filter(move |(_, one)| one.holds(now));
    holding.map(|(token, one)| (token.as_str(), one))
}

impl Fold for Restraints {
    const VERSION: u32 = 2;

    fn apply(&mut self, record: &Record) {
        match &record.fact {
            Fact::PauseTaken { token, until_us } => {
                let pause = Restraint::of(record, *until_us);
                self.pauses.insert(token.clone(), pause);
            }
            Fact::PauseReleased { token } => {
                self.pauses.remove(token);
            }
            Fact::ReduceOnlyTaken { token } => {
                let held = Restraint::of(record, None);
                self.reduce_only.insert(token.clone(), held);
            }
            Fact::LiftLifted {
                to: TradingState::ReduceOnly,
                ..
            } => {
                let held = Restraint::of(record, None);
                self.reduce_only.insert(LIFT.to_owned(), held);
            }
            Fact::ReduceOnlyLeft { token } => {
                self.reduce_only.remove(token);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(facts: &[Fact]) -> Restraints {
        let mut restraints = Restraints::default();
        for (seq, fact) in (0..).zip(facts) {
            restraints.apply(&Record {
                seq,
                time: UnixMicros(seq),
                fact: fact.clone(),
                private: None,
                actor: "test".into(),
                principal: None,
                correlation: None,
            });
        }
        restraints
    }

    fn pause(token: &str, until: Option<u64>) -> Fact {
        let until_us = until.map(UnixMicros);
        Fact::PauseTaken {
            token: token.into(),
            until_us,
        }
    }

    #[test]
    fn a_token_is_taken_back_by_its_own_name_alone() {
        let released = Fact::PauseReleased {
            token: OPERATOR.into(),
        };
        let rotation = pause("rotation:1", None);
        let left = after(&[pause(OPERATOR, None), rotation, released]);
        assert_eq!(left.held_by(UnixMicros(9)), ["pause:rotation:1"]);
    }

    #[test]
    fn a_pause_with_an_end_ends_by_itself() {
        let paused = after(&[pause(OPERATOR, Some(100))]);
        assert!(paused.pause(UnixMicros(99)).is_some());
        assert!(paused.pause(UnixMicros(100)).is_none());
        assert_eq!(paused.ended(UnixMicros(100)), [OPERATOR]);
        assert!(paused.held_by(UnixMicros(100)).is_empty());
    }

    #[test]
    fn a_lift_to_reduce_only_leaves_a_token_and_one_to_active_does_not() {
        let lifted = |to| Fact::LiftLifted {
            epoch: 1,
            to,
            owners: vec![],
        };
        let reduce = after(&[lifted(TradingState::ReduceOnly)]);
        assert_eq!(reduce.held_by(UnixMicros(9)), ["reduce_only:lift"]);
        let left = Fact::ReduceOnlyLeft { token: LIFT.into() };
        assert!(
            after(&[lifted(TradingState::ReduceOnly), left])
                .held_by(UnixMicros(9))
                .is_empty()
        );
        assert!(
            after(&[lifted(TradingState::Active)])
                .held_by(UnixMicros(9))
                .is_empty()
        );
    }
}
