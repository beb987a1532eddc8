//! The steps after a stop, as data: each with a name, a deadline and an outcome.

use serde::Serialize;

use crate::domain::clock::UnixMicros;

/// Longest that open writes are waited for before their sockets are shut (K2).
pub const STOP_LIMIT_MS: u64 = 10;
/// Longest that an answer waits for the first of record and sentinel (K8).
pub const DURABLE_WAIT_MAX_MS: u64 = 1_000;
/// Longest that a broadcast waits for acknowledgements (K5).
pub const BROADCAST_LIMIT_MS: u64 = 1_000;
/// When cancels are not confirmed by then, it is said aloud (K8).
pub const ESCALATE_AFTER_MS: u64 = 5_000;

/// One step of the procedure. They run side by side; none waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The journal's record.
    Record,
    /// The sentinel file.
    Sentinel,
    /// Every trading actor is told and acknowledges.
    Broadcast,
    /// Every open order is cancelled, confirmed by re-reading twice.
    CancelAll,
}

impl Step {
    /// All steps, in the order of reports.
    pub const ALL: [Self; 4] = [
        Self::Record,
        Self::Sentinel,
        Self::Broadcast,
        Self::CancelAll,
    ];

    /// As it is written in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Sentinel => "sentinel",
            Self::Broadcast => "broadcast",
            Self::CancelAll => "cancel_all",
        }
    }

    /// When a step that has not ended counts as late. It goes on all the same.
    pub const fn deadline_ms(self) -> u64 {
        match self {
            Self::Record | Self::Sentinel => DURABLE_WAIT_MAX_MS,
            Self::Broadcast => BROADCAST_LIMIT_MS,
            Self::CancelAll => ESCALATE_AFTER_MS,
        }
    }
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Not ended yet.
    Running,
    /// Done and confirmed.
    Done,
    /// Past its deadline, still going on.
    Late,
    /// It could not be done.
    Failed,
}

impl Outcome {
    /// As it is written in records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Late => "late",
            Self::Failed => "failed",
        }
    }
}

/// One step in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// Which.
    pub name: Step,
    /// How it stands.
    pub outcome: Outcome,
    /// From the stop to its last change.
    pub took_ms: u64,
    /// Names and numbers for people: laggards, what the venue still shows.
    pub detail: serde_json::Value,
}

/// How the stop itself went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Every open write ended by itself.
    Clean,
    /// Some write did not end in time: its socket was shut, its order is in doubt.
    Forced,
}

/// One halt, from the stop to its end. What is unknown is said to be unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HaltReport {
    /// The halt's epoch.
    pub epoch: u64,
    /// Names it.
    pub incident_id: String,
    /// Record or sentinel is on disk.
    pub durable: bool,
    /// How the stop went.
    pub stop: Stop,
    /// When it took effect, Unix µs.
    pub effective_at_us: UnixMicros,
    /// Cancelled and confirmed by re-reading.
    pub orders_cancelled: u64,
    /// Not confirmed: still shown, on their way or in doubt, or open by our book while the venue could
    /// not be read.
    pub orders_unconfirmed: u64,
    /// Orders that the people who lifted it let stay, by our id or the venue's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted_open_orders: Vec<String>,
    /// Orders whose bytes may have left without an answer, by our id.
    pub orders_in_doubt: Vec<String>,
    /// Each step.
    pub steps: Vec<StepReport>,
    /// Nothing is left to do.
    pub confirmed: bool,
}

impl HaltReport {
    /// A report at the moment of the stop.
    pub fn begun(
        epoch: u64,
        incident_id: String,
        stop: Stop,
        effective_at_us: UnixMicros,
        orders_in_doubt: Vec<String>,
    ) -> Self {
        let running = |name| StepReport {
            name,
            outcome: Outcome::Running,
            took_ms: 0,
            detail: serde_json::Value::Null,
        };
        Self {
            epoch,
            incident_id,
            durable: false,
            stop,
            effective_at_us,
            orders_cancelled: 0,
            orders_unconfirmed: 0,
            accepted_open_orders: Vec::new(),
            orders_in_doubt,
            steps: Step::ALL.map(running).to_vec(),
            confirmed: false,
        }
    }

    /// Takes in how a step stands at `now`. Answers whether its outcome changed.
    pub fn step(
        &mut self,
        name: Step,
        outcome: Outcome,
        detail: serde_json::Value,
        now: UnixMicros,
    ) -> bool {
        let took_ms = now.millis_since(self.effective_at_us);
        let Some(step) = self.steps.iter_mut().find(|step| step.name == name) else {
            return false;
        };
        let changed = step.outcome != outcome;
        *step = StepReport {
            name,
            outcome,
            took_ms,
            detail,
        };
        if matches!(name, Step::Record | Step::Sentinel) && outcome == Outcome::Done {
            self.durable = true;
        }
        let mut steps = self.steps.iter();
        self.confirmed =
            steps.any(|step| step.name == Step::CancelAll && step.outcome == Outcome::Done);
        changed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_first_of_record_and_sentinel_makes_it_durable_and_cancels_confirm_it() {
        let begun = || HaltReport::begun(2, "i".into(), Stop::Clean, UnixMicros(1_000), vec![]);
        for first in [Step::Record, Step::Sentinel] {
            let mut report = begun();
            assert!(!report.durable);
            assert!(report.step(first, Outcome::Done, Value::Null, UnixMicros(4_000)));
            assert!(report.durable && !report.confirmed);
            assert_eq!(
                report
                    .steps
                    .iter()
                    .find(|s| s.name == first)
                    .map(|s| s.took_ms),
                Some(3)
            );
        }
        let mut report = begun();
        report.step(
            Step::Record,
            Outcome::Failed,
            Value::Null,
            UnixMicros(4_000),
        );
        report.step(
            Step::CancelAll,
            Outcome::Late,
            Value::Null,
            UnixMicros(4_000),
        );
        assert!(!report.durable && !report.confirmed);
        report.step(
            Step::CancelAll,
            Outcome::Done,
            Value::Null,
            UnixMicros(4_000),
        );
        assert!(report.confirmed);
    }
}
