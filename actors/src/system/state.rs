//! What the journal says everything is, as one fold, and what the sentinel adds to it at a start.

use std::io;

use serde::{Deserialize, Serialize};

use crate::auth::AuthFold;
use crate::emergency::state::HaltState;
use crate::journal::encoding::decode;
use crate::journal::record::{Fact, Fold, Record};
use crate::key_manager::KeysFold;
use crate::ports::journal::{JournalReader, StoreError};
use crate::ports::sentinel::Look;
use crate::trading::ledger::Ledger;
use crate::trading::limits::LimitsFold;
use crate::trading::restraints::Restraints;

/// All folds together: the state that a start begins from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Halts and lifts.
    pub halts: HaltState,
    /// What people made of the limits.
    pub limits: LimitsFold,
    /// Pauses and reduce-only.
    pub restraints: Restraints,
    /// Orders, exposure, fills.
    pub ledger: Ledger,
    /// Current key versions.
    pub keys: KeysFold,
    /// API keys and revoked tokens.
    pub auth: AuthFold,
    /// Whether a process has the journal open, or had it to its death.
    pub run: Run,
}

/// Starts and stops of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    running: bool,
}

impl Run {
    /// Read at a start: the process before did not close the journal.
    pub const fn is_running(self) -> bool {
        self.running
    }
}

impl Fold for Run {
    const VERSION: u32 = 1;

    fn apply(&mut self, record: &Record) {
        match &record.fact {
            Fact::SystemStarted { .. } => self.running = true,
            Fact::SystemStopped => self.running = false,
            _ => {}
        }
    }
}

impl Fold for State {
    const VERSION: u32 = 1
        + HaltState::VERSION
        + Restraints::VERSION
        + LimitsFold::VERSION
        + Ledger::VERSION
        + KeysFold::VERSION
        + AuthFold::VERSION
        + Run::VERSION;

    fn apply(&mut self, record: &Record) {
        self.halts.apply(record);
        self.restraints.apply(record);
        self.limits.apply(record);
        self.ledger.apply(record);
        self.keys.apply(record);
        self.auth.apply(record);
        self.run.apply(record);
    }
}

impl State {
    /// Reads the words that people gave for the halt and the pauses in force, for those who look.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when a record cannot be read.
    pub fn read_reasons(&mut self, reader: &dyn JournalReader) -> Result<(), StoreError> {
        let words = |seq: u64| -> Result<Option<String>, StoreError> {
            let Some(raw) = reader.records(seq, 1)?.pop() else {
                return Ok(None);
            };
            Ok(decode(&raw)?.private.and_then(|private| private.reason))
        };
        let halts = self
            .halts
            .halt
            .iter_mut()
            .flat_map(|halt| halt.reasons.iter_mut());
        for reason in halts {
            reason.reason = words(reason.journal_seq)?;
        }
        for held in self.restraints.all_mut() {
            held.reason = words(held.journal_seq)?;
        }
        Ok(())
    }
}

/// How the latch starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The latch's first state.
    pub latch: flashguard_latch::State,
    /// A halt to raise before anything opens, because the sentinel is more restrictive than the
    /// journal.
    pub halt_because: Option<String>,
}

/// The most restrictive of fold, sentinel and unknown (K3).
pub fn decide(halts: &HaltState, sentinel: &io::Result<Look>) -> Decision {
    let halt_because = match (halts.halt.is_some(), sentinel) {
        (true, _) | (false, Ok(Look::Armed | Look::Missing)) => None,
        (false, Ok(Look::Raised)) => Some(
            "the sentinel says halted and the journal does not: a halt or a lift was cut short, or \
             somebody raised it"
                .to_owned(),
        ),
        (false, Err(error)) => Some(format!("the sentinel cannot be read: {}", error.kind())),
    };
    Decision {
        latch: halts.latch(),
        halt_because,
    }
}

#[cfg(test)]
mod tests {
    use flashguard_latch::State as Latch;

    use super::*;
    use crate::domain::clock::UnixMicros;
    use crate::emergency::state::HaltInfo;

    fn halted() -> HaltState {
        let info = HaltInfo {
            incident_id: "i".into(),
            since_us: UnixMicros(0),
            reasons: vec![],
            proposal: None,
        };
        HaltState {
            epoch: 4,
            halt: Some(info),
        }
    }

    #[test]
    fn a_start_takes_the_most_restrictive_of_journal_and_sentinel() {
        let open = HaltState {
            epoch: 4,
            halt: None,
        };
        let unreadable = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        for (state, look, latch, halts) in [
            (&open, Ok(Look::Armed), Latch::open(4), false),
            (&open, Ok(Look::Missing), Latch::open(4), false),
            (&open, Ok(Look::Raised), Latch::open(4), true),
            (&open, unreadable(), Latch::open(4), true),
            (&halted(), Ok(Look::Armed), Latch::halted(4), false),
            (&halted(), Ok(Look::Missing), Latch::halted(4), false),
            (&halted(), Ok(Look::Raised), Latch::halted(4), false),
            (&halted(), unreadable(), Latch::halted(4), false),
        ] {
            let decision = decide(state, &look);
            assert_eq!(decision.latch, latch, "{look:?}");
            assert_eq!(decision.halt_because.is_some(), halts, "{look:?}");
        }
    }
}
