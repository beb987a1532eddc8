//! Supervisors and system threads themselves: children at run time, stopping, dying.

use crate::probe::{Echo, Fail, Probe, Shared};
use crate::rig::{LONG, Rig, eventually, name, patient, spec};
use flashguard_actors::domain::clock::{SeededEntropy, SystemClock};
use flashguard_actors::supervision::{
    CallError, Event, Placement, Stable, SuperviseError, Supervision, Supervisor, SystemThread,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

async fn supervise(
    supervisor: &Supervisor,
    text: &str,
    in_flight_max: usize,
) -> Result<Stable<Probe>, SuperviseError> {
    let mut child = spec(text, Placement::Shared(3));
    child.in_flight_max = in_flight_max;
    let shared = Arc::new(Shared::default());
    supervisor
        .supervise(child, move |i| Probe::make(i, &shared))
        .await
}

#[test]
fn children_come_and_go_at_run_time_and_the_roster_knows_them() {
    let rig = Rig::with(patient());
    rig.run(async {
        let supervisor = &rig.supervisor;
        let (first, shared) = rig.probe("strategy", Placement::Own).await;
        let twice = supervise(supervisor, "strategy", 1).await;
        assert!(matches!(twice, Err(SuperviseError::NameTaken { .. })));
        for (budget, fits) in [(0, false), (1, true), (65_536, true), (65_537, false)] {
            let taken = supervise(supervisor, &format!("budget-{budget}"), budget).await;
            assert_eq!(taken.is_ok(), fits, "{budget}");
        }
        assert_eq!(supervisor.roster().read().len(), 3);
        assert!(supervisor.dismiss(&name("strategy"), LONG).await);
        assert_eq!(shared.alive.load(SeqCst), 0);
        assert_eq!(shared.stopped_hooks.load(SeqCst), 1);
        assert_eq!(first.call(Echo, LONG).await, Err(CallError::Gone));
        assert!(!supervisor.dismiss(&name("strategy"), LONG).await);
        assert!(supervisor.roster().find(&name("strategy")).is_none());
        let (second, _) = rig.probe("strategy", Placement::Own).await;
        assert_eq!(second.call(Echo, LONG).await, Ok(1));
        assert_eq!(first.call(Echo, LONG).await, Err(CallError::Gone));
    });
    assert_eq!(rig.stop().unfinished_threads, 0);
}

#[test]
fn a_child_that_hangs_while_it_is_dismissed_is_left_behind() {
    let rig = Rig::with(patient());
    rig.run(async {
        let (stable, shared) = rig.probe("stuck", Placement::Own).await;
        stable.tell(Fail::Block).unwrap();
        eventually("it is stuck", || shared.entered.load(SeqCst) == 1).await;
        assert!(rig.supervisor.dismiss(&name("stuck"), LONG).await);
        assert_eq!(rig.supervisor.roster().abandoned_threads(), 1);
        shared.gate.open();
        eventually("it woke up", || shared.woke.load(SeqCst)).await;
        assert!(!shared.woke_with_lane.load(SeqCst));
    });
}

#[test]
fn an_orderly_stop_ends_everybody_and_calls_nobody_lost() {
    let rig = Rig::with(patient());
    let (stable, shared) = rig.run(rig.probe("probe", Placement::Own));
    let lost = Arc::clone(&rig.lost);
    assert!(rig.run(rig.supervisor.stop(LONG)));
    assert_eq!(shared.alive.load(SeqCst), 0);
    assert_eq!(rig.run(stable.call(Echo, LONG)), Err(CallError::Gone));
    assert_eq!(rig.stop().unfinished_threads, 0);
    assert_eq!(lost.load(SeqCst), 0);
}

#[test]
fn a_supervisor_that_is_gone_without_having_been_stopped_is_called_lost_once() {
    let mut rig = Rig::with(patient());
    let (stable, _) = rig.run(rig.probe("probe", Placement::Own));
    let report = rig.thread.take().unwrap().stop(LONG);
    assert_eq!(report.unfinished_threads, 0);
    assert_eq!(rig.lost.load(SeqCst), 1);
    // Nobody restarts it any more, and nobody hangs.
    let answer = rig.run(stable.call(Echo, LONG));
    assert_eq!(answer, Err(CallError::Restarting));
    let refused = rig.run(supervise(&rig.supervisor, "new", 1));
    assert!(matches!(refused, Err(SuperviseError::Closed)));
}

#[test]
fn a_thread_that_is_stuck_does_not_hold_up_the_stop_and_is_counted() {
    let mut rig = Rig::with(patient());
    let (stable, shared) = rig.run(rig.probe("stuck", Placement::Own));
    stable.tell(Fail::Block).unwrap();
    rig.run(eventually("it is stuck", || {
        shared.entered.load(SeqCst) == 1
    }));
    let report = rig.thread.take().unwrap().stop(Duration::from_millis(200));
    assert_eq!(report.unfinished_threads, 1);
    shared.gate.open();
}

#[test]
fn an_observer_that_panics_disturbs_nobody() {
    let thread = SystemThread::start("test-observer").unwrap();
    let with = Supervision {
        policy: patient(),
        clock: Arc::new(SystemClock),
        entropy: SeededEntropy::new(7),
        observer: Arc::new(|_: &Event| panic!("observer")),
        on_supervisor_lost: Box::new(|| ()),
    };
    let supervisor = Supervisor::start(&thread.handle(), with).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stable = supervise(&supervisor, "probe", 1).await.unwrap();
        stable.up(0, LONG).await.unwrap();
        let panicked = stable.call(Fail::PanicInHandler, LONG).await;
        assert_eq!(panicked, Err(CallError::Lost));
        assert_eq!(stable.up(1, LONG).await, Ok(2));
    });
    assert_eq!(thread.stop(LONG).unfinished_threads, 0);
}

#[test]
fn arbiters_can_be_made_from_any_thread_until_the_system_has_stopped() {
    let thread = SystemThread::start("test-arbiters").unwrap();
    let handle = thread.handle();
    let plain = handle.clone();
    let made = std::thread::spawn(move || plain.new_arbiter().is_ok());
    assert!(made.join().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let inside = handle.clone();
    assert!(runtime.block_on(async move { inside.new_arbiter().is_ok() }));
    // From an arbiter of the same system.
    let arbiter = handle.new_arbiter().unwrap();
    let (sent, received) = std::sync::mpsc::channel();
    let nested = handle.clone();
    arbiter.spawn_fn(move || sent.send(nested.new_arbiter().is_ok()).unwrap());
    assert!(received.recv_timeout(LONG).unwrap());
    assert_eq!(thread.stop(LONG).unfinished_threads, 0);
    assert!(handle.new_arbiter().is_err());
}
