//! What the latch costs at each write: permit and leave, beside a bare atomic swap and store.
//!
//! The permit also reads the boot clock, since a process that stood still must not write; that
//! reading has a line of its own.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod measure;

use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use flashguard_latch::{Beat, Fence, Latch, State, boottime_us};

use measure::{Figures, head, rounds};

const ROUNDS: usize = 1_000;
const CALLS: u32 = 2_000;
/// Bytes that a write is said to have taken: a framed order.
const ORDER_BYTES: usize = 300;
/// Nobody beats here, so one beat has to last.
const BEAT_LIMIT: Duration = Duration::from_secs(3_600);

/// A flag on cache lines of its own, as a section is.
#[repr(align(128))]
struct Flag(AtomicBool);

#[derive(Default)]
struct Measured {
    bare: Figures,
    clock: Figures,
    permit: Figures,
}

fn main() -> Result<(), Box<dyn Error>> {
    head("permit");
    for threads in [1, 2] {
        let measured = measure(threads)?;
        let bare = &measured.bare;
        let name = |what: &str| format!("{what}, {threads} thread(s)");
        bare.print(&name("bare swap and store"), bare);
        measured.clock.print(&name("reading the boot clock"), bare);
        measured.permit.print(&name("permit, count, leave"), bare);
    }
    Ok(())
}

/// Runs the same on `threads` threads at once, each with a section of its own of one latch.
fn measure(threads: usize) -> Result<Measured, Box<dyn Error>> {
    let latch = Arc::new(Latch::new(State::open(0), Beat::new(BEAT_LIMIT)));
    let barrier = Barrier::new(threads);
    let mut all = Measured::default();
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| lane(&latch, &barrier)))
            .collect();
        for thread in running {
            let one = thread.join().map_err(|_| "a thread panicked")??;
            all.bare.0.extend(one.bare.0);
            all.clock.0.extend(one.clock.0);
            all.permit.0.extend(one.permit.0);
        }
        Ok(all)
    })
}

/// One thread's rounds. All threads begin each round together.
fn lane(latch: &Arc<Latch>, barrier: &Barrier) -> Result<Measured, flashguard_latch::Halted> {
    let lane = Fence::new().incarnate();
    let mut writer = latch.register(latch.ticket(&lane)?, None);
    let flag = Flag(AtomicBool::new(false));
    let mut measured = Measured::default();
    for _ in 0..rounds(ROUNDS) {
        barrier.wait();
        measured.bare.round(CALLS, || {
            let was = black_box(&flag).0.swap(true, Ordering::SeqCst);
            flag.0.store(false, Ordering::Release);
            was
        });
        barrier.wait();
        measured.clock.round(CALLS, boottime_us);
        barrier.wait();
        measured.permit.round(CALLS, || {
            black_box(&mut writer)
                .permit()
                .map(|permit| permit.wrote(ORDER_BYTES))
        });
    }
    Ok(measured)
}
