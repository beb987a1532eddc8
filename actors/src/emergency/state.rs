//! What the journal remembers of halts and lifts: a fold, and the state that people see.

use serde::{Deserialize, Serialize};

use crate::auth::Agreement;
use crate::domain::clock::UnixMicros;
use crate::domain::status::TradingState;
use crate::journal::record::{Fact, Fold, Record};

/// Reasons kept of one halt.
const REASONS_KEPT_MAX: usize = 32;

/// Why somebody halted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Which trigger.
    pub trigger: String,
    /// Who.
    pub by: Option<String>,
    /// In their words. Not part of the fold, which lives on headers alone: read from the record when
    /// it is wanted, and gone when retention erased it.
    #[serde(skip)]
    pub reason: Option<String>,
    /// When.
    pub at_us: UnixMicros,
    /// Its record.
    pub journal_seq: u64,
}

/// How a halt is to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiftTerms {
    /// Where trading goes.
    pub to: TradingState,
    /// Open orders accepted, each by our id or the venue's.
    pub accept_open_orders: Vec<String>,
}

/// The halt that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltInfo {
    /// Names it.
    pub incident_id: String,
    /// Since when.
    pub since_us: UnixMicros,
    /// The first, and those added since; bounded.
    pub reasons: Vec<Reason>,
    /// Who wants it to end.
    pub proposal: Option<Agreement<LiftTerms>>,
}

/// The latch as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HaltState {
    /// How often trading was halted.
    pub epoch: u64,
    /// The halt that holds, if one does.
    pub halt: Option<HaltInfo>,
}

impl HaltState {
    /// The latch's state that this means.
    pub fn latch(&self) -> flashguard_latch::State {
        match self.halt {
            Some(_) => flashguard_latch::State::halted(self.epoch),
            None => flashguard_latch::State::open(self.epoch),
        }
    }
}

impl Fold for HaltState {
    const VERSION: u32 = 2;

    fn apply(&mut self, record: &Record) {
        let reason = |trigger: &String| Reason {
            trigger: trigger.clone(),
            by: record.principal.as_ref().map(|by| by.as_str().to_owned()),
            reason: None,
            at_us: record.time,
            journal_seq: record.seq,
        };
        match &record.fact {
            Fact::HaltRaised {
                epoch,
                incident_id,
                trigger,
            } => {
                self.epoch = self.epoch.max(*epoch);
                let info = self.halt.get_or_insert_with(|| HaltInfo {
                    incident_id: incident_id.clone(),
                    since_us: record.time,
                    reasons: Vec::new(),
                    proposal: None,
                });
                info.add(reason(trigger));
            }
            // Also after a lift's record: the halt that came between its steps holds.
            Fact::HaltReasonAdded { epoch, trigger } if *epoch >= self.epoch => {
                self.epoch = *epoch;
                let info = self.halt.get_or_insert_with(|| HaltInfo {
                    incident_id: format!("epoch-{epoch}"),
                    since_us: record.time,
                    reasons: Vec::new(),
                    proposal: None,
                });
                info.add(reason(trigger));
            }
            Fact::LiftProposed {
                epoch,
                proposal_id,
                owner,
                to,
                accept_open_orders,
            } => {
                if let Some(info) = self.halt.as_mut().filter(|_| *epoch == self.epoch) {
                    info.proposal = Some(Agreement {
                        id: proposal_id.clone(),
                        subject: LiftTerms {
                            to: *to,
                            accept_open_orders: accept_open_orders.clone(),
                        },
                        owners: vec![owner.clone()],
                    });
                }
            }
            Fact::LiftApproved {
                epoch,
                proposal_id,
                owner,
            } if *epoch == self.epoch => {
                let proposal = self.halt.as_mut().and_then(|info| info.proposal.as_mut());
                if let Some(same) = proposal.filter(|proposal| proposal.id == *proposal_id) {
                    same.agrees(owner);
                }
            }
            Fact::LiftLifted { epoch, .. } if *epoch == self.epoch => self.halt = None,
            _ => {}
        }
    }
}

impl HaltInfo {
    /// Adds a reason; approvals given so far are void (K9).
    fn add(&mut self, reason: Reason) {
        self.proposal = None;
        if self.reasons.len() < REASONS_KEPT_MAX {
            self.reasons.push(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(facts: &[Fact]) -> HaltState {
        let mut state = HaltState::default();
        for (seq, fact) in (0..).zip(facts) {
            state.apply(&Record {
                seq,
                time: UnixMicros(seq),
                fact: fact.clone(),
                private: None,
                actor: "test".into(),
                principal: None,
                correlation: None,
            });
        }
        state
    }

    fn raised(epoch: u64) -> Fact {
        Fact::HaltRaised {
            epoch,
            incident_id: format!("i{epoch}"),
            trigger: "http".into(),
        }
    }

    fn added(epoch: u64) -> Fact {
        Fact::HaltReasonAdded {
            epoch,
            trigger: "cli".into(),
        }
    }

    fn lifted(epoch: u64) -> Fact {
        Fact::LiftLifted {
            epoch,
            to: TradingState::Active,
            owners: vec![],
        }
    }

    fn proposed(epoch: u64) -> Fact {
        let owner = "ann".to_owned().try_into().unwrap();
        Fact::LiftProposed {
            epoch,
            proposal_id: "p".into(),
            owner,
            to: TradingState::Active,
            accept_open_orders: vec![],
        }
    }

    #[test]
    fn a_halt_holds_until_the_lift_of_its_own_epoch() {
        assert_eq!(after(&[]).latch(), flashguard_latch::State::open(0));
        assert_eq!(
            after(&[raised(1)]).latch(),
            flashguard_latch::State::halted(1)
        );
        assert_eq!(
            after(&[raised(1), lifted(1)]).latch(),
            flashguard_latch::State::open(1)
        );
        assert!(
            after(&[raised(1), lifted(1), raised(2), lifted(1)])
                .halt
                .is_some()
        );
    }

    #[test]
    fn a_reason_that_came_while_a_lift_was_written_keeps_it_halted() {
        assert!(after(&[raised(1), lifted(1), added(1)]).halt.is_some());
        assert!(
            after(&[raised(2), lifted(2), added(1)]).halt.is_none(),
            "of an older halt"
        );
    }

    #[test]
    fn a_further_halt_voids_approvals_and_keeps_epoch_and_incident() {
        let state = after(&[raised(1), proposed(1), added(1)]);
        let info = state.halt.unwrap();
        assert_eq!((state.epoch, info.incident_id.as_str()), (1, "i1"));
        assert_eq!((info.proposal, info.reasons.len()), (None, 2));
    }
}
