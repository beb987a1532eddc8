//! The watch: a thread of its own that beats for the latch and looks at the sentinel.
//!
//! Without its beat the latch refuses every permit, so a process that stood still wakes up unable
//! to release anything, and this thread then halts it for good (K13).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use flashguard_latch::Latch;

use super::halt::{Emergency, HaltOrder, Trigger};
use crate::domain::identity::Principal;

/// How often it looks (K5).
pub const WATCH_PERIOD_MS: u64 = 50;
/// Longest between two beats before the latch refuses: far above what a busy machine delays.
pub const BEAT_LIMIT_MS: u64 = 5_000;

/// The running watch. Stops when dropped.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// The operating system gave no thread.
    pub fn start(latch: Arc<Latch>, emergency: Arc<Emergency>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || {
                while !stopping.load(Ordering::Acquire) {
                    look(&latch, &emergency);
                    std::thread::sleep(Duration::from_millis(WATCH_PERIOD_MS));
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

fn look(latch: &Latch, emergency: &Arc<Emergency>) {
    let halt = |trigger, reason: &str| {
        emergency.halt(&HaltOrder {
            trigger,
            by: Principal::system(),
            reason: reason.to_owned(),
        });
    };
    if latch.beat().is_err() {
        halt(
            Trigger::Beat,
            "the process stood still longer than the beat allows",
        );
    }
    if emergency.sentinel_asks() {
        halt(Trigger::Sentinel, "the sentinel file was raised");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of the watch was its own end: the missing beat already refuses everything.
            let _ = thread.join();
        }
    }
}
