//! The latch with real threads, real sockets and a clock that the test moves.

use std::{
    cell::Cell,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::{Barrier, mpsc},
    thread,
};

use super::*;
use crate::{Fence, Refused};

const LIMIT: Duration = Duration::from_millis(10);
/// Long enough that no wait of a test ends because a loaded machine was slow.
const PATIENT: Duration = Duration::from_secs(30);

thread_local! {
    static NOW_US: Cell<u64> = const { Cell::new(1_000_000) };
}

fn by_hand() -> u64 {
    NOW_US.get()
}

fn pass_us(us: u64) {
    NOW_US.set(NOW_US.get() + us);
}

fn open_latch() -> Arc<Latch> {
    Arc::new(Latch::new(State::open(7), Beat::new(PATIENT)))
}

fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    (ours, theirs)
}

fn lane_of(latch: &Arc<Latch>) -> Writer {
    latch.register(latch.ticket(&Fence::new().incarnate()).unwrap(), None)
}

fn lane_over(latch: &Arc<Latch>, socket: &TcpStream) -> Writer {
    let ticket = latch.ticket(&Fence::new().incarnate()).unwrap();
    latch.register(ticket, Some(socket.as_raw_fd()))
}

#[test]
fn a_latch_starts_in_the_state_it_is_told() {
    let halted = Latch::new(State::halted(41), Beat::new(LIMIT));
    assert_eq!(halted.state(), State::halted(41));
    assert_eq!(
        halted.ticket(&Fence::new().incarnate()),
        Err(Halted { epoch: 41 })
    );

    let open = Latch::new(State::open(41), Beat::new(LIMIT));
    assert_eq!(open.ticket(&Fence::new().incarnate()).unwrap().epoch(), 41);
}

#[test]
fn a_halt_raises_the_epoch_once_and_a_second_one_keeps_it() {
    let latch = open_latch();
    let first = latch.halt(LIMIT);
    assert!(first.first);
    assert_eq!(first.epoch, 8);
    let second = latch.halt(LIMIT);
    assert!(!second.first);
    assert_eq!(second.epoch, 8);
    assert_eq!(latch.state(), State::halted(8));
}

#[test]
fn a_lift_opens_only_the_epoch_it_names() {
    let latch = open_latch();
    assert!(!latch.lift(7), "nothing to lift");
    let stopped = latch.halt(LIMIT);
    assert!(!latch.lift(stopped.epoch - 1));
    assert!(!latch.lift(stopped.epoch + 1));
    assert!(latch.state().halted);
    assert!(latch.lift(stopped.epoch));
    assert!(!latch.lift(stopped.epoch), "lifted already");
    assert_eq!(latch.state(), State::open(8));
}

#[test]
fn a_halt_between_the_two_steps_of_a_lift_makes_it_fail_and_keeps_the_epoch() {
    let latch = open_latch();
    let epoch = latch.halt(LIMIT).epoch;
    assert!(!latch.lift_armed(epoch), "not armed");
    for other in [epoch - 1, epoch + 1] {
        assert!(!latch.arm_lift(other), "another epoch");
    }
    assert!(latch.arm_lift(epoch));
    for other in [epoch - 1, epoch + 1] {
        assert!(!latch.lift_armed(other), "another epoch");
    }
    assert!(latch.state().halted, "armed is still halted");
    let again = latch.halt(LIMIT);
    assert_eq!((again.first, again.epoch), (false, epoch));
    assert!(!latch.lift_armed(epoch));
    assert_eq!(latch.state(), State::halted(epoch));
    assert!(latch.arm_lift(epoch) && latch.lift_armed(epoch));
    assert_eq!(latch.state(), State::open(epoch));
}

#[test]
fn tickets_and_sections_from_before_a_halt_stay_dead_after_the_lift() {
    let latch = open_latch();
    let lane = Fence::new().incarnate();
    let ticket = latch.ticket(&lane).unwrap();
    let mut seen = latch.register(ticket.clone(), None);
    let stopped = latch.halt(LIMIT);
    assert!(latch.lift(stopped.epoch));

    assert!(!latch.is_current(&ticket));
    assert_eq!(seen.permit().unwrap_err(), Refused::Dead);
    let mut late = latch.register(ticket, None);
    assert_eq!(late.permit().unwrap_err(), Refused::Halted);

    let fresh = latch.ticket(&lane).unwrap();
    assert!(latch.is_current(&fresh));
    latch.register(fresh, None).permit().unwrap().wrote(1);
}

#[test]
fn a_connection_that_registers_during_a_halt_is_refused() {
    let latch = open_latch();
    let ticket = latch.ticket(&Fence::new().incarnate()).unwrap();
    latch.halt(LIMIT);
    let mut late = latch.register(ticket, None);
    assert_eq!(late.permit().unwrap_err(), Refused::Halted);
    assert!(late.section().is_dead());
}

#[test]
fn a_halt_that_comes_late_leaves_connections_of_after_the_lift_alone() {
    let latch = open_latch();
    let stopped = latch.halt(LIMIT);
    assert!(latch.lift(stopped.epoch));
    let _after = lane_of(&latch);
    assert_eq!(
        sync::lock(&latch.sections)
            .opened_before(stopped.epoch)
            .len(),
        0
    );
    assert_eq!(
        sync::lock(&latch.sections)
            .opened_before(stopped.epoch + 1)
            .len(),
        1
    );
}

#[test]
fn an_older_incarnation_is_refused_for_good() {
    let latch = open_latch();
    let fence = Fence::new();
    let old = fence.incarnate();
    let ticket = latch.ticket(&old).unwrap();
    let mut writer = latch.register(ticket.clone(), None);
    writer.permit().unwrap().wrote(1);

    let new = fence.incarnate();
    assert!(!latch.is_current(&ticket));
    assert_eq!(writer.permit().unwrap_err(), Refused::Fenced);
    assert_eq!(writer.permit().unwrap_err(), Refused::Dead);
    let again = latch.ticket(&old).unwrap();
    assert_eq!(
        latch.register(again, None).permit().unwrap_err(),
        Refused::Fenced
    );
    latch
        .register(latch.ticket(&new).unwrap(), None)
        .permit()
        .unwrap()
        .wrote(1);

    fence.revoke();
    assert!(!new.is_current());
}

#[test]
fn incarnations_of_two_lanes_are_never_the_same() {
    let (one, other) = (Fence::new().incarnate(), Fence::new().incarnate());
    assert_eq!(one.generation(), other.generation());
    assert_ne!(one, other);
    assert_eq!(one, one.clone());
}

#[test]
fn a_permit_is_given_at_the_limit_of_the_beat_and_refused_a_microsecond_later() {
    let beat = Beat::with_clock(Duration::from_micros(500), by_hand);
    let latch = Arc::new(Latch::new(State::open(0), beat));
    let mut writer = lane_of(&latch);
    pass_us(500);
    writer.permit().unwrap().wrote(1);
    pass_us(1);
    assert_eq!(writer.permit().unwrap_err(), Refused::BeatMissed);
}

#[test]
fn a_late_beat_does_not_close_the_gap_before_the_halt() {
    let beat = Beat::with_clock(Duration::from_micros(500), by_hand);
    let latch = Arc::new(Latch::new(State::open(0), beat));
    let mut writer = lane_of(&latch);
    latch.beat().unwrap();
    pass_us(60_000_000);
    let missed = Missed {
        gap_us: 60_000_000,
        limit_us: 500,
    };
    assert_eq!(latch.beat(), Err(missed));
    assert_eq!(latch.beat(), Err(missed), "asking again does not help");
    assert_eq!(writer.permit().unwrap_err(), Refused::BeatMissed);

    let stopped = latch.halt(LIMIT);
    assert_eq!(latch.beat(), Ok(()), "halted, so nothing can slip through");
    assert!(latch.lift(stopped.epoch));
    lane_of(&latch).permit().unwrap().wrote(1);
}

#[test]
fn the_boot_clock_goes_on() {
    let before = crate::boottime_us();
    thread::sleep(Duration::from_millis(2));
    let after = crate::boottime_us();
    assert!(before > 0 && after >= before + 2_000);
}

#[test]
fn a_refusal_is_sticky_and_a_killed_section_tells_its_final_count() {
    let latch = open_latch();
    let mut writer = lane_of(&latch);
    writer.permit().unwrap().wrote(100);
    writer.permit().unwrap().wrote(20);
    let section = Arc::clone(writer.section());
    assert_eq!(section.kill(), Some(120));
    assert_eq!(writer.permit().unwrap_err(), Refused::Dead);
    assert_eq!(section.kill(), Some(120));
}

#[test]
fn a_kill_does_not_know_the_count_while_a_write_is_open() {
    let latch = open_latch();
    let mut writer = lane_of(&latch);
    let section = Arc::clone(writer.section());
    let permit = writer.permit().unwrap();
    assert_eq!(section.kill(), None);
    permit.wrote(5);
    assert_eq!(section.kill(), Some(5));
}

#[test]
fn a_panic_inside_a_permit_does_not_jam_the_halt() {
    let latch = open_latch();
    let mut writer = lane_of(&latch);
    let panicked = thread::spawn(move || {
        let _permit = writer.permit().unwrap();
        panic!("inside the write");
    });
    assert!(panicked.join().is_err());
    assert!(!latch.halt(PATIENT).is_forced());
}

#[test]
fn of_a_hundred_halts_at_once_one_is_first_and_all_return_after_the_stop() {
    // Invariant: whichever halt returns, the one write that was open has ended by then.
    const CALLERS: usize = 100;
    let latch = open_latch();
    let mut writer = lane_of(&latch);
    let section = Arc::clone(writer.section());
    let start = Barrier::new(CALLERS + 1);
    let reports: Vec<Stopped> = thread::scope(|scope| {
        let permit = writer.permit().unwrap();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let stopped = latch.halt(PATIENT);
                    assert_eq!(section.sent(), 33, "returned while a write was open");
                    stopped
                })
            })
            .collect();
        start.wait();
        while !latch.state().halted {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(5));
        permit.wrote(33);
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    });
    assert_eq!(reports.iter().filter(|report| report.first).count(), 1);
    assert!(
        reports
            .iter()
            .all(|report| report.epoch == 8 && !report.is_forced())
    );
    assert_eq!(latch.state(), State::halted(8));
}

#[test]
fn a_write_that_stays_open_is_forced_and_its_socket_shut() {
    let latch = open_latch();
    let (mut ours, mut theirs) = connection();
    let mut writer = lane_over(&latch, &ours);
    let section = Arc::clone(writer.section());
    section.begin([3; 16]);
    let permit = writer.permit().unwrap();

    let stopped = latch.halt(LIMIT);
    assert!(stopped.is_forced());
    assert!(Arc::ptr_eq(&stopped.forced[0], &section));
    let doubt = InDoubt {
        order: [3; 16],
        left_bytes: 0,
        because: Doubt::Forced,
    };
    assert_eq!(
        stopped.in_doubt,
        [doubt],
        "in doubt although nothing was counted"
    );

    let port = ours.local_addr().unwrap().port();
    assert_eq!(stopped.forced[0].local_port(), Some(port));
    let late = ours.write(b"an order").unwrap_err();
    assert_eq!(late.kind(), std::io::ErrorKind::BrokenPipe);
    drop(permit);
    let mut heard = Vec::new();
    theirs.read_to_end(&mut heard).unwrap();
    assert!(heard.is_empty(), "the peer heard {heard:?}");
}

#[test]
fn bytes_that_the_kernel_still_holds_are_cut() {
    let latch = open_latch();
    let (mut ours, mut theirs) = connection();
    ours.set_nonblocking(true).unwrap();
    let mut writer = lane_over(&latch, &ours);
    writer.section().begin([4; 16]);
    let mut accepted = 0;
    loop {
        let permit = writer.permit().unwrap();
        match ours.write(&[7; 65_536]) {
            Ok(n) => {
                permit.wrote(n);
                accepted += n;
            }
            Err(full) => {
                assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
                break;
            }
        }
    }

    let stopped = latch.halt(LIMIT);
    assert!(!stopped.is_forced());
    assert!(Arc::ptr_eq(&stopped.cut_unsent[0], writer.section()));
    let left_bytes = u64::try_from(accepted).unwrap();
    let doubt = InDoubt {
        order: [4; 16],
        left_bytes,
        because: Doubt::CutUnsent,
    };
    assert_eq!(stopped.in_doubt, [doubt]);

    let mut heard = Vec::new();
    let end = theirs.read_to_end(&mut heard).unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(
        heard.len() < accepted,
        "{} of {accepted} bytes arrived",
        heard.len()
    );
}

#[test]
fn an_order_that_left_is_in_doubt_and_its_answer_can_still_be_read() {
    let latch = open_latch();
    let (mut ours, mut theirs) = connection();
    let mut writer = lane_over(&latch, &ours);
    let section = Arc::clone(writer.section());
    section.begin([5; 16]);
    let permit = writer.permit().unwrap();
    permit.wrote(ours.write(b"order").unwrap());
    let mut order = [0; 5];
    theirs.read_exact(&mut order).unwrap();

    let stopped = latch.halt(LIMIT);
    let doubt = InDoubt {
        order: [5; 16],
        left_bytes: 5,
        because: Doubt::Unanswered,
    };
    assert_eq!(stopped.in_doubt, [doubt]);
    assert!(stopped.cut_unsent.is_empty());
    theirs.write_all(b"answer").unwrap();
    let mut answer = [0; 6];
    ours.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");

    section.end();
    assert_eq!(latch.halt(LIMIT).in_doubt, []);
}

#[test]
fn an_order_of_which_nothing_left_is_not_in_doubt() {
    let latch = open_latch();
    let mut writer = lane_of(&latch);
    writer.permit().unwrap().wrote(80);
    assert_eq!(writer.section().begin([6; 16]), 80);
    assert_eq!(latch.halt(LIMIT).in_doubt, []);
    let begun = writer.section().order().unwrap();
    assert_eq!((begun.order, begun.base), ([6; 16], 80));
}

#[test]
fn a_closed_connection_lends_its_descriptor_to_nobody() {
    // Invariant: a halt never acts on a descriptor whose writer is gone.
    let latch = open_latch();
    let (ours, _theirs) = connection();
    let writer = lane_over(&latch, &ours);
    let section = Arc::clone(writer.section());
    drop(writer);
    let number = ours.as_raw_fd();
    drop(ours);
    let (next, mut peer) = connection();
    section.force();
    assert!(!section.cut_unsent());
    (&next)
        .write_all(b"alive")
        .unwrap_or_else(|e| panic!("fd {number}: {e}"));
    let mut heard = [0; 5];
    peer.read_exact(&mut heard).unwrap();
}

#[test]
fn the_list_stays_bounded_as_connections_come_and_go() {
    let latch = open_latch();
    let kept: Vec<_> = (0..10).map(|_| lane_of(&latch)).collect();
    for _ in 0..10_000 {
        drop(lane_of(&latch));
    }
    assert!(sync::lock(&latch.sections).list.len() <= SECTIONS_BEFORE_PRUNING);
    let stopped = latch.halt(LIMIT);
    assert_eq!(stopped.sections.len(), kept.len());
}

/// Ends the writers of a scope, also when an assertion fails in it.
struct StopWriters<'a>(&'a AtomicU64);

impl Drop for StopWriters<'_> {
    fn drop(&mut self) {
        self.0.store(1, SeqCst);
    }
}

#[test]
fn writers_and_halts_in_parallel_never_count_a_byte_after_a_halt_returned() {
    // Invariant: the sum of all counters does not change between the return of a halt and the lift.
    const HALTS: usize = 300;
    let latch = open_latch();
    let (sections, registered) = mpsc::channel();
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            let (latch, done, sections) = (&latch, &done, sections.clone());
            scope.spawn(move || {
                let lane = Fence::new().incarnate();
                while done.load(SeqCst) == 0 {
                    let Ok(ticket) = latch.ticket(&lane) else {
                        continue;
                    };
                    let mut writer = latch.register(ticket, None);
                    sections.send(Arc::clone(writer.section())).unwrap();
                    while done.load(SeqCst) == 0 {
                        match writer.permit() {
                            Ok(permit) => permit.wrote(1),
                            Err(_) => break,
                        }
                    }
                }
            });
        }
        let _stop = StopWriters(&done);
        let mut all: Vec<Arc<Section>> = Vec::new();
        for _ in 0..HALTS {
            thread::sleep(Duration::from_micros(200));
            let stopped = latch.halt(PATIENT);
            all.extend(registered.try_iter());
            let at_return: Vec<u64> = all.iter().map(|section| section.sent()).collect();
            thread::yield_now();
            let later: Vec<u64> = all.iter().map(|section| section.sent()).collect();
            assert_eq!(at_return, later);
            all.clear();
            assert!(latch.lift(stopped.epoch));
        }
    });
}
