//! Time and randomness as parameters, so that every rule can be tested without waiting.
//!
//! The real ones ([`SystemClock`], [`SystemEntropy`]) are the only places that ask the kernel.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// A wall-clock instant: microseconds since the Unix epoch, UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct UnixMicros(pub u64);

impl UnixMicros {
    /// Whole milliseconds since the Unix epoch, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// This instant `millis` later; saturates at the end of time.
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000)))
    }

    /// Milliseconds from `earlier` to this instant; zero when `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }

    /// RFC 3339 in UTC with milliseconds, as the HTTP contract writes times.
    pub fn to_rfc3339(self) -> String {
        let (days, rest) = (self.0 / 86_400_000_000, self.0 % 86_400_000_000);
        let (year, month, day) = civil_from_days(days);
        let (secs, millis) = (rest / 1_000_000, rest % 1_000_000 / 1_000);
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
            secs / 3_600,
            secs / 60 % 60,
            secs % 60
        )
    }
}

impl fmt::Display for UnixMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Days since 1970-01-01 to a proleptic Gregorian date.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    let mut rest = days;
    loop {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = if leap { 366 } else { 365 };
        if rest < length {
            let months = [
                31,
                if leap { 29 } else { 28 },
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            ];
            for (month, in_month) in (1..).zip(months) {
                if rest < in_month {
                    return (year, month, rest + 1);
                }
                rest -= in_month;
            }
        }
        rest -= length;
        year += 1;
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, UTC.
    fn now(&self) -> UnixMicros;
    /// Milliseconds since boot, counting suspended time (`CLOCK_BOOTTIME`): for beats and deadlines.
    fn boot_millis(&self) -> u64;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The kernel's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMicros {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the wall clock"
        )]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        UnixMicros(since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }

    fn boot_millis(&self) -> u64 {
        let at = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let millis = at
            .tv_sec
            .saturating_mul(1_000)
            .saturating_add(at.tv_nsec / 1_000_000);
        u64::try_from(millis).unwrap_or(0)
    }
}

/// A clock that moves only when told to: for tests and replays.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_us: AtomicU64,
    boot_ms: AtomicU64,
}

impl ManualClock {
    /// A clock standing at `now`.
    pub fn at(now: UnixMicros) -> Arc<Self> {
        Arc::new(Self {
            wall_us: AtomicU64::new(now.0),
            boot_ms: AtomicU64::new(1),
        })
    }

    /// Moves both clocks forward.
    pub fn advance_millis(&self, millis: u64) {
        self.wall_us.fetch_add(millis * 1_000, Ordering::SeqCst);
        self.boot_ms.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an operator or NTP would.
    pub fn set_wall(&self, now: UnixMicros) {
        self.wall_us.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMicros {
        UnixMicros(self.wall_us.load(Ordering::SeqCst))
    }

    fn boot_millis(&self) -> u64 {
        self.boot_ms.load(Ordering::SeqCst)
    }
}

/// Where random bytes come from.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `buffer` with unpredictable bytes.
    ///
    /// # Errors
    ///
    /// [`EntropyFailed`] when the source cannot give any; nothing may be made from the buffer then.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailed>;
}

/// A shared source of randomness.
pub type SharedEntropy = Arc<dyn Entropy>;

/// The kernel gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct EntropyFailed;

/// The kernel's random bytes (`getrandom(2)`).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        getrandom::fill(buffer).map_err(|_| EntropyFailed)
    }
}

/// Reproducible bytes from a seed: for tests only, never for keys.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        for chunk in buffer.chunks_mut(8) {
            // SplitMix64: a counter through a mixer, so that concurrent callers never share a value.
            let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let bytes = (z ^ (z >> 31)).to_le_bytes();
            chunk
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_with_milliseconds() {
        assert_eq!(UnixMicros(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            UnixMicros(951_782_400_000_000).to_rfc3339(),
            "2000-02-29T00:00:00.000Z"
        );
        assert_eq!(
            UnixMicros(1_795_519_533_123_456).to_rfc3339(),
            "2026-11-24T11:25:33.123Z"
        );
        assert_eq!(
            UnixMicros(4_107_542_399_999_000).to_rfc3339(),
            "2100-02-28T23:59:59.999Z"
        );
    }
}
