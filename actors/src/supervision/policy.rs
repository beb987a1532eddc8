//! The rules of supervision: how often is too often, how long to wait, when silence means hung.
//!
//! Everything here is a function of its arguments: time comes in as the span since the supervisor
//! started, randomness as a number. Nothing here knows of actors, threads or a runtime.

use std::collections::VecDeque;
use std::time::Duration;

/// Largest number of restarts that a window can be asked to remember.
pub const RESTARTS_MAX_CEILING: u32 = 10_000;

/// Who is made again when one child fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Only the child that failed.
    OneForOne,
    /// All children: for actors that cannot work with a neighbour's fresh state.
    OneForAll,
}

/// Everything that decides how a supervisor treats its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Who is made again when one child fails. Default: [`Strategy::OneForOne`].
    pub strategy: Strategy,
    /// How many failures within a window are restarted; one more escalates.
    pub intensity: Intensity,
    /// How long a restart waits.
    pub backoff: Backoff,
    /// When silence means hung.
    pub heartbeat: Heartbeat,
    /// Threads that may be stuck in a hung child at one time; one more escalates. Default 2.
    pub abandoned_threads_max: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Strategy::OneForOne,
            intensity: Intensity {
                restarts_max: 5,
                window: Duration::from_secs(30),
            },
            backoff: Backoff {
                shortest: Duration::from_millis(20),
                longest: Duration::from_secs(2),
            },
            heartbeat: Heartbeat::default(),
            abandoned_threads_max: 2,
        }
    }
}

impl Policy {
    /// Checks that the numbers can be obeyed.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] names the field and what would be right.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let bad = |field, wanted| Err(PolicyError { field, wanted });
        if self.intensity.restarts_max > RESTARTS_MAX_CEILING {
            return bad("intensity.restarts_max", "at most 10000");
        }
        if self.intensity.window.is_zero() {
            return bad("intensity.window", "longer than zero");
        }
        if self.backoff.shortest > self.backoff.longest {
            return bad("backoff.shortest", "at most backoff.longest");
        }
        if self.heartbeat.every < Duration::from_millis(1) {
            return bad("heartbeat.every", "at least one millisecond");
        }
        if self.heartbeat.missed_max == 0 {
            return bad("heartbeat.missed_max", "at least 1");
        }
        if self.heartbeat.starting_missed_max < self.heartbeat.missed_max {
            return bad(
                "heartbeat.starting_missed_max",
                "at least heartbeat.missed_max",
            );
        }
        Ok(())
    }
}

/// A policy that cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("supervision policy: {field} has to be {wanted}")]
pub struct PolicyError {
    /// The field, as it is written in [`Policy`].
    pub field: &'static str,
    /// What would be right.
    pub wanted: &'static str,
}

/// Restart intensity: `restarts_max` failures within `window` are restarted, one more escalates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// Failures in one window that are answered with a restart. 0: the first one escalates.
    pub restarts_max: u32,
    /// Length of the sliding window. A failure exactly this old still counts.
    pub window: Duration,
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Restart. `failures` counts the ones in the window, this one included; at least 1.
    Restart {
        /// Failures in the window, this one included.
        failures: u32,
    },
    /// The bound is passed: give up and tell the parent.
    Escalate,
}

/// The failures of the last window, at most `restarts_max` + 1 of them.
#[derive(Debug, Clone)]
pub struct RestartWindow {
    intensity: Intensity,
    failures: VecDeque<Duration>,
}

impl RestartWindow {
    /// A window without failures.
    #[must_use]
    pub fn new(intensity: Intensity) -> Self {
        Self {
            intensity,
            failures: VecDeque::new(),
        }
    }

    /// Counts a failure at `now` (time since the supervisor started; never goes back).
    pub fn record(&mut self, now: Duration) -> Verdict {
        let window = self.intensity.window;
        while self
            .failures
            .front()
            .is_some_and(|at| now.saturating_sub(*at) > window)
        {
            self.failures.pop_front();
        }
        let failures = u32::try_from(self.failures.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        if failures > self.intensity.restarts_max {
            return Verdict::Escalate;
        }
        self.failures.push_back(now);
        Verdict::Restart { failures }
    }
}

/// Exponential backoff with equal jitter: half of the step is certain, half is left to chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The step of the first failure. Zero: restart at once, every time.
    pub shortest: Duration,
    /// No step is longer.
    pub longest: Duration,
}

impl Backoff {
    /// How long to wait after the `failures`-th failure of the window (1 is the first).
    ///
    /// `random` is uniform over all of `u64`. The step doubles with each failure up to `longest`;
    /// the result lies in `[step / 2, step]`.
    #[must_use]
    pub fn wait(&self, failures: u32, random: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let step = self
            .shortest
            .saturating_mul(1_u32 << doublings)
            .min(self.longest);
        let half = step / 2;
        half.saturating_add(fraction(half, random))
    }
}

/// `span * random / 2^64`, rounded down to a nanosecond.
fn fraction(span: Duration, random: u64) -> Duration {
    // At most u64::MAX: a span beyond 584 years is cut, no backoff is that long.
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let product = u128::from(nanos) * u128::from(random);
    Duration::from_nanos(u64::try_from(product >> 64).unwrap_or(u64::MAX))
}

/// How long a child or its thread may be silent.
///
/// A beat is a timer in the actor's own context: it stops when a handler blocks the thread, when
/// the actor waits for something that never comes, and while a backlog is worked off. So
/// `every * missed_max` must be longer than the longest honest backlog of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Time between two beats, and between two looks. Default 250 ms; at least 1 ms.
    pub every: Duration,
    /// Looks in a row without a beat that mean hung. Default 8 (2 s); at least 1.
    pub missed_max: u32,
    /// The same while a child is being made, since factories may read the journal. Default 240
    /// (one minute); at least `missed_max`.
    pub starting_missed_max: u32,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(250),
            missed_max: 8,
            starting_missed_max: 240,
        }
    }
}

/// What one look at a pulse shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vital {
    /// It beats, or has not been silent for long enough.
    Alive,
    /// Silent for as many looks as the bound allows.
    Hung,
}

/// The memory of one heartbeat between two looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulse {
    beats: u64,
    missed: u32,
}

impl Pulse {
    /// Looks at a counter of beats; `missed_max` looks in a row without a new beat mean hung.
    pub fn look(&mut self, beats: u64, missed_max: u32) -> Vital {
        if beats == self.beats {
            self.missed = self.missed.saturating_add(1);
        } else {
            self.beats = beats;
            self.missed = 0;
        }
        if self.missed >= missed_max {
            Vital::Hung
        } else {
            Vital::Alive
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn window(restarts_max: u32, window_ms: u64) -> RestartWindow {
        RestartWindow::new(Intensity {
            restarts_max,
            window: ms(window_ms),
        })
    }

    #[test]
    fn the_failure_that_reaches_the_bound_is_restarted_and_the_next_escalates() {
        let mut window = window(3, 1_000);
        for n in 1..=3 {
            assert_eq!(
                window.record(ms(u64::from(n))),
                Verdict::Restart { failures: n }
            );
        }
        assert_eq!(window.record(ms(4)), Verdict::Escalate);
    }

    #[test]
    fn a_failure_exactly_as_old_as_the_window_still_counts_and_an_older_one_does_not() {
        let mut exact = window(1, 100);
        exact.record(ms(0));
        assert_eq!(exact.record(ms(100)), Verdict::Escalate);
        let mut older = window(1, 100);
        older.record(ms(0));
        let after = ms(100) + Duration::from_nanos(1);
        assert_eq!(older.record(after), Verdict::Restart { failures: 1 });
    }

    #[test]
    fn with_a_bound_of_zero_the_first_failure_escalates() {
        assert_eq!(window(0, 100).record(ms(7)), Verdict::Escalate);
    }

    #[test]
    fn the_wait_doubles_and_stops_at_the_longest() {
        let backoff = Backoff {
            shortest: ms(10),
            longest: ms(35),
        };
        let least: Vec<_> = (1..=4).map(|n| backoff.wait(n, 0)).collect();
        let step_halves = [ms(5), ms(10), Duration::from_micros(17_500)];
        assert_eq!(least[..3], step_halves);
        assert_eq!(least[3], step_halves[2]);
    }

    #[test]
    fn without_a_shortest_wait_there_is_no_wait() {
        let backoff = Backoff {
            shortest: ms(0),
            longest: ms(500),
        };
        assert_eq!(backoff.wait(30, u64::MAX), ms(0));
    }

    #[test]
    fn silence_means_hung_at_the_bound_and_not_one_look_before() {
        let mut pulse = Pulse::default();
        assert_eq!(pulse.look(1, 3), Vital::Alive);
        assert_eq!(pulse.look(1, 3), Vital::Alive);
        assert_eq!(pulse.look(1, 3), Vital::Alive);
        assert_eq!(pulse.look(1, 3), Vital::Hung);
    }

    #[test]
    fn one_beat_forgives_all_missed_ones() {
        let mut pulse = Pulse::default();
        pulse.look(1, 2);
        pulse.look(1, 2);
        assert_eq!(pulse.look(2, 2), Vital::Alive);
        assert_eq!(pulse.look(2, 2), Vital::Alive);
        assert_eq!(pulse.look(2, 2), Vital::Hung);
    }

    #[test]
    fn a_policy_that_cannot_be_obeyed_names_its_field() {
        let field = |change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            policy.validate().map_err(|error| error.field)
        };
        assert_eq!(field(|_| {}), Ok(()));
        assert_eq!(
            field(|p| p.intensity.window = ms(0)),
            Err("intensity.window")
        );
        assert_eq!(
            field(|p| p.intensity.restarts_max = RESTARTS_MAX_CEILING),
            Ok(())
        );
        assert_eq!(
            field(|p| p.intensity.restarts_max = RESTARTS_MAX_CEILING + 1),
            Err("intensity.restarts_max")
        );
        assert_eq!(
            field(|p| p.backoff.longest = ms(19)),
            Err("backoff.shortest")
        );
        assert_eq!(field(|p| p.backoff.longest = ms(20)), Ok(()));
        assert_eq!(
            field(|p| p.heartbeat.every = Duration::from_micros(999)),
            Err("heartbeat.every")
        );
        assert_eq!(
            field(|p| p.heartbeat.missed_max = 0),
            Err("heartbeat.missed_max")
        );
        assert_eq!(
            field(|p| p.heartbeat.starting_missed_max = 7),
            Err("heartbeat.starting_missed_max")
        );
        assert_eq!(field(|p| p.heartbeat.starting_missed_max = 8), Ok(()));
    }

    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            /// The window agrees with the definition: count all restarted failures of the last
            /// `window` and compare. (An escalated failure ends the supervisor, so none follows.)
            #[test]
            fn the_window_agrees_with_counting_everything(
                restarts_max in 0_u32..6,
                window_ms in 1_u64..200,
                gaps in prop::collection::vec(0_u64..120, 1..60),
            ) {
                let mut window = window(restarts_max, window_ms);
                let mut restarted: Vec<u64> = Vec::new();
                let mut now = 0;
                for gap in gaps {
                    now += gap;
                    let recent = restarted.iter().filter(|at| now - **at <= window_ms).count();
                    let failures = u32::try_from(recent).unwrap() + 1;
                    let expected = if failures > restarts_max {
                        Verdict::Escalate
                    } else {
                        Verdict::Restart { failures }
                    };
                    prop_assert_eq!(window.record(ms(now)), expected);
                    if expected == Verdict::Escalate { break }
                    restarted.push(now);
                    prop_assert!(window.failures.len() <= restarts_max as usize);
                }
            }

            #[test]
            fn the_wait_lies_between_half_a_step_and_a_step(
                shortest_us in 0_u64..10_000_000,
                more_us in 0_u64..100_000_000,
                failures in 1_u32..200,
                random in any::<u64>(),
            ) {
                let shortest = Duration::from_micros(shortest_us);
                let longest = shortest + Duration::from_micros(more_us);
                let wait = Backoff { shortest, longest }.wait(failures, random);
                let mut step = shortest;
                for _ in 1..failures.min(40) { step = step.saturating_mul(2).min(longest); }
                prop_assert!(wait >= step / 2);
                prop_assert!(wait <= step);
            }

            #[test]
            fn more_chance_never_means_a_shorter_wait(
                failures in 1_u32..40,
                a in any::<u64>(),
                b in any::<u64>(),
            ) {
                let backoff = Policy::default().backoff;
                let (low, high) = (a.min(b), a.max(b));
                prop_assert!(backoff.wait(failures, low) <= backoff.wait(failures, high));
            }

            /// A pulse is hung exactly when the last `missed_max` looks all found nothing new.
            #[test]
            fn hung_is_exactly_a_run_of_silent_looks(
                missed_max in 1_u32..6,
                looks in prop::collection::vec(any::<bool>(), 1..60),
            ) {
                let mut pulse = Pulse::default();
                let (mut beats, mut silent) = (0_u64, 0_u32);
                for beat in looks {
                    if beat { beats += 1; silent = 0 } else { silent += 1 }
                    let expected = if silent >= missed_max { Vital::Hung } else { Vital::Alive };
                    prop_assert_eq!(pulse.look(beats, missed_max), expected);
                }
            }
        }
    }
}
