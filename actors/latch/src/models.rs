//! The protocol under loom, which runs every interleaving of these small programs up to three
//! preemptions:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p flashguard-latch --release
//! ```
//!
//! The invariant of all of them: a write is never *inside* (between a permit and its end) after a
//! halt has returned, unless its section is among the forced (a model has no socket to shut). The last model is the flag that is only checked before the write; loom must
//! find its hole, else the other models prove nothing.

use std::{sync::Arc, time::Duration};

use loom::{sync::atomic::AtomicU64, thread};

use crate::{Beat, Fence, Latch, Refused, State, Stopped, Writer, sync::SeqCst};

const LIMIT: Duration = Duration::from_millis(10);

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn open_latch() -> Arc<Latch> {
    Arc::new(Latch::new(State::open(0), Beat::with_clock(LIMIT, || 0)))
}

fn lane(latch: &Arc<Latch>) -> Writer {
    latch.register(latch.ticket(&Fence::new().incarnate()).unwrap(), None)
}

/// One write, which must not be inside once `returned` is set.
fn write_once(writer: &mut Writer, returned: &AtomicU64) -> Result<(), Refused> {
    let permit = writer.permit()?;
    assert_eq!(
        returned.load(SeqCst),
        0,
        "inside a write after the halt returned"
    );
    permit.wrote(1);
    Ok(())
}

/// Lets the writers know that a halt has returned and promises that they are stopped.
fn tell(returned: &AtomicU64, stopped: &Stopped) {
    if !stopped.is_forced() {
        returned.store(1, SeqCst);
    }
}

#[test]
fn no_writer_is_inside_after_a_halt_returned() {
    explore(|| {
        let latch = open_latch();
        let returned = Arc::new(AtomicU64::new(0));
        let mut sections = Vec::new();
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let mut writer = lane(&latch);
                sections.push(Arc::clone(writer.section()));
                let returned = Arc::clone(&returned);
                thread::spawn(move || {
                    let _ = write_once(&mut writer, &returned);
                })
            })
            .collect();
        let stopped = latch.halt(LIMIT);
        sections.retain(|section| {
            !stopped
                .forced
                .iter()
                .any(|forced| Arc::ptr_eq(forced, section))
        });
        let counted: Vec<u64> = sections.iter().map(|section| section.sent()).collect();
        tell(&returned, &stopped);
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        let finally: Vec<u64> = sections.iter().map(|section| section.sent()).collect();
        assert_eq!(counted, finally, "a counter moved after the halt returned");
    });
}

#[test]
fn a_connection_that_registers_during_a_halt_is_caught() {
    explore(|| {
        let latch = open_latch();
        let returned = Arc::new(AtomicU64::new(0));
        let ticket = latch.ticket(&Fence::new().incarnate()).unwrap();
        let (shared, flag) = (Arc::clone(&latch), Arc::clone(&returned));
        let late = thread::spawn(move || {
            let mut writer = shared.register(ticket, None);
            let _ = write_once(&mut writer, &flag);
        });
        tell(&returned, &latch.halt(LIMIT));
        late.join().unwrap();
    });
}

#[test]
fn of_two_halts_at_once_one_is_first_and_both_have_stopped() {
    explore(|| {
        let latch = open_latch();
        let returned = Arc::new(AtomicU64::new(0));
        let mut writer = lane(&latch);
        let flag = Arc::clone(&returned);
        let writing = thread::spawn(move || {
            let _ = write_once(&mut writer, &flag);
        });
        let (shared, flag) = (Arc::clone(&latch), Arc::clone(&returned));
        let other = thread::spawn(move || {
            let stopped = shared.halt(LIMIT);
            tell(&flag, &stopped);
            stopped.first
        });
        let stopped = latch.halt(LIMIT);
        tell(&returned, &stopped);
        writing.join().unwrap();
        assert!(
            stopped.first ^ other.join().unwrap(),
            "exactly one raises the epoch"
        );
        assert_eq!(latch.state().epoch, 1);
    });
}

#[test]
fn a_connection_from_before_a_halt_is_dead_after_the_lift() {
    explore(|| {
        let latch = open_latch();
        let returned = Arc::new(AtomicU64::new(0));
        let mut writer = lane(&latch);
        let flag = Arc::clone(&returned);
        let writing = thread::spawn(move || {
            let _ = write_once(&mut writer, &flag);
            let _ = write_once(&mut writer, &flag);
        });
        let stopped = latch.halt(LIMIT);
        tell(&returned, &stopped);
        assert!(latch.lift(stopped.epoch));
        writing.join().unwrap();
    });
}

#[test]
fn the_count_of_a_killed_section_is_final() {
    explore(|| {
        let latch = open_latch();
        let mut writer = lane(&latch);
        let section = Arc::clone(writer.section());
        let writing = thread::spawn(move || {
            for _ in 0..2 {
                if let Ok(permit) = writer.permit() {
                    permit.wrote(1);
                }
            }
        });
        let verdict = section.kill();
        writing.join().unwrap();
        if let Some(count) = verdict {
            assert_eq!(count, section.sent(), "bytes left after the verdict");
        }
    });
}

#[test]
fn after_one_refusal_there_is_never_another_permit() {
    explore(|| {
        let latch = open_latch();
        let mut writer = lane(&latch);
        let writing = thread::spawn(move || {
            let mut refused = false;
            for _ in 0..3 {
                match writer.permit() {
                    Ok(permit) => {
                        assert!(!refused, "a refused section was given a permit");
                        permit.wrote(1);
                    }
                    Err(_) => refused = true,
                }
            }
        });
        let stopped = latch.halt(LIMIT);
        assert!(latch.lift(stopped.epoch));
        writing.join().unwrap();
    });
}

#[test]
fn an_older_incarnation_is_refused_once_the_next_exists() {
    explore(|| {
        let latch = open_latch();
        let fence = Fence::new();
        let mut writer = latch.register(latch.ticket(&fence.incarnate()).unwrap(), None);
        let replaced = Arc::new(AtomicU64::new(0));
        let flag = Arc::clone(&replaced);
        let writing = thread::spawn(move || {
            let late = flag.load(SeqCst) == 1;
            let given = writer.permit().is_ok();
            assert!(
                !(late && given),
                "an abandoned incarnation was given a permit"
            );
        });
        let _next = fence.incarnate();
        replaced.store(1, SeqCst);
        writing.join().unwrap();
    });
}

/// Invariant: a halt that returned while a lift was armed leaves the latch halted, whatever the
/// lift's second step does.
#[test]
fn a_halt_wins_against_a_lift_that_was_armed_before_it() {
    explore(|| {
        let latch = open_latch();
        let epoch = latch.halt(LIMIT).epoch;
        assert!(latch.arm_lift(epoch));
        let lifting = {
            let latch = Arc::clone(&latch);
            thread::spawn(move || latch.lift_armed(epoch))
        };
        let again = latch.halt(LIMIT);
        assert!(latch.state().halted, "halted when the halt returns");
        let lifted = lifting.join().unwrap();
        assert!(latch.state().halted, "and after the lift's second step");
        assert_eq!(
            again.first, lifted,
            "either the lift came first, or it failed"
        );
    });
}

#[test]
#[should_panic(expected = "inside a write after the halt returned")]
fn a_plain_flag_lets_a_write_through() {
    explore(|| {
        let halted = Arc::new(AtomicU64::new(0));
        let returned = Arc::new(AtomicU64::new(0));
        let (flag, done) = (Arc::clone(&halted), Arc::clone(&returned));
        let writing = thread::spawn(move || {
            if flag.load(SeqCst) == 0 {
                assert_eq!(
                    done.load(SeqCst),
                    0,
                    "inside a write after the halt returned"
                );
            }
        });
        halted.store(1, SeqCst);
        returned.store(1, SeqCst);
        writing.join().unwrap();
    });
}
