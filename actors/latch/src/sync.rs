//! The primitives of the protocol, in two forms: the standard library's, and loom's when the models
//! run (`RUSTFLAGS="--cfg loom"`). Nothing here knows what it is used for.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64},
};

pub(crate) use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::{sync::PoisonError, time::Duration};

/// Locks `mutex`, also after another thread panicked while holding it: every value behind a lock of
/// this crate is whole at each step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A full fence for loom, which models `SeqCst` accesses as `AcqRel` only. With real atomics the
/// accesses themselves are totally ordered and nothing is needed.
#[inline]
pub(crate) fn model_fence() {
    #[cfg(loom)]
    loom::sync::atomic::fence(SeqCst);
}

/// A wait for another thread to take one more step, bounded by a limit.
///
/// It spins for a moment, then yields, then sleeps: a halting thread of higher priority must not
/// keep the core from the writer that it waits for. A model has no time: there the limit passes
/// after a few rounds.
pub(crate) struct Wait {
    #[cfg(not(loom))]
    begun: std::time::Instant,
    #[cfg(not(loom))]
    limit: Duration,
    rounds: u32,
}

#[cfg(not(loom))]
impl Wait {
    const SPIN_ROUNDS: u32 = 64;
    const YIELD_FOR: Duration = Duration::from_micros(100);
    const NAP: Duration = Duration::from_micros(50);

    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            begun: std::time::Instant::now(),
            limit,
            rounds: 0,
        }
    }

    /// Waits a moment; `false` when the limit has passed.
    pub(crate) fn once_more(&mut self) -> bool {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds <= Self::SPIN_ROUNDS {
            std::hint::spin_loop();
            return true;
        }
        let elapsed = self.begun.elapsed();
        if elapsed >= self.limit {
            return false;
        }
        if elapsed < Self::YIELD_FOR {
            std::thread::yield_now();
        } else {
            std::thread::sleep(Self::NAP);
        }
        true
    }

    /// Microseconds since the wait began.
    pub(crate) fn elapsed_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(loom)]
impl Wait {
    const ROUNDS: u32 = 3;

    pub(crate) fn new(_limit: Duration) -> Self {
        Self { rounds: 0 }
    }

    pub(crate) fn once_more(&mut self) -> bool {
        self.rounds += 1;
        loom::thread::yield_now();
        self.rounds <= Self::ROUNDS
    }

    pub(crate) fn elapsed_us(&self) -> u64 {
        0
    }
}
