//! The beat: a process that was stopped (SIGSTOP, a frozen container, a suspended machine) must not
//! go on as if nothing had happened. One thread beats; a permit is refused when the last beat is
//! older than the limit. The halt that must follow is the beating thread's task, not this module's.
//!
//! The clock is CLOCK_BOOTTIME, which goes on while the machine is suspended. What remains open is
//! the instant between a permit's look at the clock and the `send` after it: a process stopped
//! exactly there sends that one write when it wakes up.

use std::{fmt, time::Duration};

use crate::{
    socket::boottime_us,
    sync::{Acquire, AtomicU64, Release},
};

/// The last beat, the limit on its age, and the clock that both are told by.
#[derive(Debug)]
pub struct Beat {
    last_us: AtomicU64,
    limit_us: u64,
    now_us: fn() -> u64,
}

/// The last beat is older than the limit: the process stood still, or the beating thread did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// Microseconds since the last beat.
    pub gap_us: u64,
    /// The most that is allowed, in microseconds.
    pub limit_us: u64,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no beat for {} us, at most {} us are allowed",
            self.gap_us, self.limit_us
        )
    }
}

impl std::error::Error for Missed {}

impl Beat {
    /// A beat just now, on the kernel's boot clock. `limit` is the age at which it still counts.
    pub fn new(limit: Duration) -> Self {
        Self::with_clock(limit, boottime_us)
    }

    /// The same on another clock, which gives microseconds and never goes back.
    pub fn with_clock(limit: Duration, now_us: fn() -> u64) -> Self {
        let limit_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Self {
            last_us: AtomicU64::new(now_us()),
            limit_us,
            now_us,
        }
    }

    /// # Errors
    ///
    /// [`Missed`] when the last beat is older than the limit; exactly as old is allowed.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Missed> {
        self.check_at((self.now_us)())
    }

    /// Beats, unless the last beat was missed and `anyway` is false: then the gap stays open, so
    /// that no permit slips through between the late beat and the halt that it asks for.
    pub(crate) fn beat(&self, anyway: bool) -> Result<(), Missed> {
        let now_us = (self.now_us)();
        if !anyway {
            self.check_at(now_us)?;
        }
        // The instant that was checked, not a fresh one: standing still right here counts too.
        self.last_us.store(now_us, Release);
        Ok(())
    }

    pub(crate) fn now_us(&self) -> u64 {
        (self.now_us)()
    }

    fn check_at(&self, now_us: u64) -> Result<(), Missed> {
        let gap_us = now_us.saturating_sub(self.last_us.load(Acquire));
        if gap_us > self.limit_us {
            return Err(Missed {
                gap_us,
                limit_us: self.limit_us,
            });
        }
        Ok(())
    }
}
