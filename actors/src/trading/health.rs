//! The venue's health: which part of the calls of the last minute failed (G).
//!
//! A sliding window over every call, orders and queries alike, exact to the millisecond: a call
//! counts until it is as old as the window is long. Time is a parameter; memory is bounded by the
//! window's milliseconds, since the calls of one millisecond are one entry.
//!
//! It decides nothing: whoever asks acts.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::ports::venue::{VenueError, Verdict};

/// When a venue's health is judged, and how (`venue.health_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthLimits {
    /// How long a call counts, in ms (60,000).
    pub window_ms: u64,
    /// Fewer calls say nothing (20).
    pub calls_min: u64,
    /// From this part of errors on it is degraded, in per cent (10).
    pub degraded_pct: u64,
    /// From this part of errors on it is broken, in per cent (25).
    pub broken_pct: u64,
}

impl Default for HealthLimits {
    fn default() -> Self {
        Self {
            window_ms: 60_000,
            calls_min: 20,
            degraded_pct: 10,
            broken_pct: 25,
        }
    }
}

/// How a call ended, as far as the venue's health goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// The venue did its part, also where it said no.
    Answered,
    /// It could not be reached, did not answer in time, failed on its side, or asked to slow down.
    Failed,
}

/// How the venue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Below every bound, or too few calls to say.
    Healthy,
    /// Trading should only reduce.
    Degraded(Rate),
    /// Trading should stop.
    Broken(Rate),
}

/// The numbers that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls in the window.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
}

/// The window.
#[derive(Debug)]
pub struct Window {
    limits: HealthLimits,
    /// Oldest first, each millisecond once.
    slots: VecDeque<Slot>,
    sum: Rate,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    at_ms: u64,
    rate: Rate,
}

impl Window {
    /// A window without a call.
    pub fn new(limits: HealthLimits) -> Self {
        Self {
            limits,
            slots: VecDeque::new(),
            sum: Rate {
                calls: 0,
                errors: 0,
            },
        }
    }

    /// Counts a call that ended at `now_ms`. An instant before the last one counts as the last one.
    pub fn count(&mut self, now_ms: u64, end: CallEnd) {
        let errors = u64::from(end == CallEnd::Failed);
        let now_ms = self
            .slots
            .back()
            .map_or(now_ms, |last| last.at_ms.max(now_ms));
        self.forget(now_ms);
        self.sum.calls += 1;
        self.sum.errors += errors;
        match self.slots.back_mut().filter(|last| last.at_ms == now_ms) {
            Some(slot) => {
                slot.rate.calls += 1;
                slot.rate.errors += errors;
            }
            None => self.slots.push_back(Slot {
                at_ms: now_ms,
                rate: Rate { calls: 1, errors },
            }),
        }
    }

    /// How the venue is at `now_ms`. Exactly on a bound is beyond it.
    pub fn health(&mut self, now_ms: u64) -> Health {
        self.forget(now_ms);
        let reaches = |pct: u64| {
            u128::from(self.sum.errors) * 100 >= u128::from(pct) * u128::from(self.sum.calls)
        };
        if self.sum.calls < self.limits.calls_min.max(1) {
            Health::Healthy
        } else if reaches(self.limits.broken_pct) {
            Health::Broken(self.sum)
        } else if reaches(self.limits.degraded_pct) {
            Health::Degraded(self.sum)
        } else {
            Health::Healthy
        }
    }

    /// Forgets calls that are as old as the window is long.
    fn forget(&mut self, now_ms: u64) {
        while let Some(oldest) = self.slots.front()
            && now_ms.saturating_sub(oldest.at_ms) >= self.limits.window_ms
        {
            self.sum.calls -= oldest.rate.calls;
            self.sum.errors -= oldest.rate.errors;
            self.slots.pop_front();
        }
    }
}

/// The window that every call to the venue is counted in.
#[derive(Debug)]
pub struct VenueHealth(Mutex<Window>);

impl VenueHealth {
    /// One without a call.
    pub fn new(limits: HealthLimits) -> Self {
        Self(Mutex::new(Window::new(limits)))
    }

    /// Counts a call; after one that failed, how the venue is now. A call that went well makes
    /// nothing worse, so nobody has to act on it.
    pub fn count(&self, now_ms: u64, end: CallEnd) -> Health {
        let mut window = self.0.lock();
        window.count(now_ms, end);
        match end {
            CallEnd::Answered => Health::Healthy,
            CallEnd::Failed => window.health(now_ms),
        }
    }

    /// How the venue is.
    pub fn now(&self, now_ms: u64) -> Health {
        self.0.lock().health(now_ms)
    }
}

/// How a query ended. A rejected credential or an answer that cannot be used is an answer.
pub(super) fn end_of_query<T>(answer: &Result<T, VenueError>) -> CallEnd {
    match answer {
        Ok(_) | Err(VenueError::CredentialRejected | VenueError::Unreadable { .. }) => {
            CallEnd::Answered
        }
        Err(VenueError::Throttled { .. } | VenueError::Unreachable { .. }) => CallEnd::Failed,
    }
}

/// How an order's sending ended; `None` when it never came to a call, because trading was stopped.
pub(super) fn end_of_order(verdict: &Verdict, ticket_is_current: bool) -> Option<CallEnd> {
    match verdict {
        Verdict::Answered {
            status: 429 | 500..=599,
            ..
        } => Some(CallEnd::Failed),
        Verdict::Answered { .. } => Some(CallEnd::Answered),
        Verdict::NothingLeft { .. } if !ticket_is_current => None,
        Verdict::NothingLeft { .. } | Verdict::InDoubt { .. } => Some(CallEnd::Failed),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn window(calls: u64, errors: u64) -> Window {
        let mut window = Window::new(HealthLimits::default());
        for n in 0..calls {
            let end = if n < errors {
                CallEnd::Failed
            } else {
                CallEnd::Answered
            };
            window.count(0, end);
        }
        window
    }

    #[test]
    fn a_bound_is_reached_exactly_and_not_by_one_error_less() {
        let health = |calls, errors| window(calls, errors).health(0);
        let rate = |calls, errors| Rate { calls, errors };
        assert_eq!(health(100, 9), Health::Healthy);
        assert_eq!(health(100, 10), Health::Degraded(rate(100, 10)));
        assert_eq!(health(100, 24), Health::Degraded(rate(100, 24)));
        assert_eq!(health(100, 25), Health::Broken(rate(100, 25)));
    }

    #[test]
    fn too_few_calls_say_nothing() {
        assert_eq!(window(19, 19).health(0), Health::Healthy);
        assert!(matches!(window(20, 20).health(0), Health::Broken(_)));
    }

    #[test]
    fn a_call_counts_until_it_is_as_old_as_the_window() {
        let mut window = window(20, 20);
        assert!(matches!(window.health(59_999), Health::Broken(_)));
        assert_eq!(window.health(60_000), Health::Healthy);
    }

    #[test]
    fn memory_is_bounded_by_the_windows_milliseconds() {
        let mut window = Window::new(HealthLimits {
            window_ms: 10,
            ..HealthLimits::default()
        });
        for n in 0..10_000 {
            window.count(n / 7, CallEnd::Answered);
            assert!(window.slots.len() <= 10);
        }
    }

    #[test]
    fn only_the_venues_own_failures_count() {
        let query = |error| end_of_query::<()>(&Err(error));
        let internal = String::new;
        assert_eq!(
            query(VenueError::Unreachable {
                internal: internal()
            }),
            CallEnd::Failed
        );
        let throttled = VenueError::Throttled {
            retry_after_ms: None,
        };
        assert_eq!(query(throttled), CallEnd::Failed);
        assert_eq!(query(VenueError::CredentialRejected), CallEnd::Answered);
        assert_eq!(
            query(VenueError::Unreadable {
                internal: internal()
            }),
            CallEnd::Answered
        );
        let answered = |status| {
            let body = Bytes::new();
            end_of_order(&Verdict::Answered { status, body }, true)
        };
        for (status, end) in [
            (200, CallEnd::Answered),
            (422, CallEnd::Answered),
            (429, CallEnd::Failed),
            (499, CallEnd::Answered),
            (500, CallEnd::Failed),
            (599, CallEnd::Failed),
        ] {
            assert_eq!(answered(status), Some(end), "{status}");
        }
        let left = |verdict, current| end_of_order(&verdict, current);
        let why = "x";
        assert_eq!(left(Verdict::InDoubt { why }, false), Some(CallEnd::Failed));
        assert_eq!(
            left(Verdict::NothingLeft { why }, true),
            Some(CallEnd::Failed)
        );
        assert_eq!(left(Verdict::NothingLeft { why }, false), None);
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

            /// Invariant: at every moment the window says what counting every call of the last
            /// window by hand says.
            #[test]
            fn the_window_is_what_counting_every_call_says(
                calls in prop::collection::vec((0_u64..40, any::<bool>(), 0_u64..40), 0..120),
                window_ms in 1_u64..200,
                calls_min in 1_u64..30,
                degraded_pct in 1_u64..60,
                more_pct in 0_u64..40,
            ) {
                let broken_pct = degraded_pct + more_pct;
                let limits = HealthLimits { window_ms, calls_min, degraded_pct, broken_pct };
                let mut window = Window::new(limits);
                let mut all: Vec<(u64, bool)> = Vec::new();
                let mut now = 0;
                for (step, failed, look) in calls {
                    now += step;
                    window.count(now, if failed { CallEnd::Failed } else { CallEnd::Answered });
                    all.push((now, failed));
                    let at = now + look;
                    let within: Vec<_> = all.iter().filter(|(t, _)| at - t < window_ms).collect();
                    let (calls, errors) = (within.len() as u64, within.iter().filter(|(_, f)| *f).count() as u64);
                    let rate = Rate { calls, errors };
                    let expected = if calls < calls_min {
                        Health::Healthy
                    } else if errors * 100 >= broken_pct * calls {
                        Health::Broken(rate)
                    } else if errors * 100 >= degraded_pct * calls {
                        Health::Degraded(rate)
                    } else {
                        Health::Healthy
                    };
                    prop_assert_eq!(window.health(at), expected);
                    now = at;
                }
            }
        }
    }
}
