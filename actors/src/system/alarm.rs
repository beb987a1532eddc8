//! The journal's alarm: when it cannot be written any more, trading halts (J3).
//!
//! The journal is opened before the kill switch exists, so an alarm may come early: it is kept and
//! given on.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::identity::Principal;
use crate::emergency::halt::{Emergency, HaltOrder, Trigger};
use crate::journal::writer::Hooks;

/// Halts for the journal. Clones are the same alarm.
#[derive(Clone, Default)]
pub struct JournalAlarm(Arc<Mutex<Alarm>>);

#[derive(Default)]
struct Alarm {
    emergency: Option<Arc<Emergency>>,
    early: Option<String>,
}

impl JournalAlarm {
    /// What the journal's writer calls.
    pub fn hooks(&self) -> Hooks {
        let (dead, low) = (self.clone(), self.clone());
        Hooks {
            on_dead: Box::new(move |why| {
                tracing::error!(why, "the journal cannot be written any more");
                dead.raise("the journal cannot be written");
            }),
            on_low_space: Box::new(move |free_bytes| {
                tracing::error!(free_bytes, "the journal's disk is nearly full");
                low.raise("the journal's disk is nearly full");
            }),
        }
    }

    /// Connects the kill switch, and gives an early alarm on.
    pub(super) fn connect(&self, emergency: &Arc<Emergency>) {
        let early = {
            let mut alarm = self.0.lock();
            alarm.emergency = Some(emergency.clone());
            alarm.early.take()
        };
        if let Some(reason) = early {
            halt(emergency, reason);
        }
    }

    fn raise(&self, reason: &str) {
        let emergency = {
            let mut alarm = self.0.lock();
            if alarm.emergency.is_none() {
                alarm.early = Some(reason.to_owned());
            }
            alarm.emergency.clone()
        };
        if let Some(emergency) = emergency {
            halt(&emergency, reason.to_owned());
        }
    }
}

fn halt(emergency: &Arc<Emergency>, reason: String) {
    emergency.halt(&HaltOrder {
        trigger: Trigger::Journal,
        by: Principal::system(),
        reason,
    });
}
