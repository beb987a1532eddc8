//! Strategies, and what happens when restarting does not help.

use crate::probe::{Echo, Fail, Probe};
use crate::rig::{LONG, Rig, eventually, patient, spec, strict};
use flashguard_actors::supervision::{
    Bound, CallError, ChildState, Exit, Placement, Strategy, SuperviseError,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

#[test]
fn one_for_all_makes_all_again_and_never_two_of_one_at_a_time() {
    let mut policy = patient();
    policy.strategy = Strategy::OneForAll;
    let rig = Rig::with(policy);
    rig.run(async {
        let (one, first) = rig.probe("one", Placement::Own).await;
        let (two, second) = rig.probe("two", Placement::Own).await;
        // `two` is busy while `one` fails: its successor has to wait for it.
        let busy = two.clone();
        let busy = tokio::spawn(async move { busy.call(Fail::Block, LONG).await });
        eventually("two is busy", || second.entered.load(SeqCst) == 1).await;
        let panicked = one.call(Fail::PanicInHandler, LONG).await;
        assert_eq!(panicked, Err(CallError::Lost));
        eventually("two is taken away", || two.generation().is_none()).await;
        second.gate.open();
        assert_ne!(busy.await.unwrap(), Err(CallError::Timeout));
        assert!(!second.woke_with_lane.load(SeqCst));
        assert_eq!(one.up(1, LONG).await, Ok(2));
        assert_eq!(two.up(1, LONG).await, Ok(2));
        assert_eq!(first.alive_most.load(SeqCst), 1);
        assert_eq!(second.alive_most.load(SeqCst), 1);
        assert_eq!(rig.exits("two"), [(1, Exit::Ended)]);
    });
}

#[test]
fn one_for_one_leaves_the_neighbours_alone() {
    let rig = Rig::with(patient());
    rig.run(async {
        let (one, _) = rig.probe("one", Placement::Own).await;
        let (two, _) = rig.probe("two", Placement::Own).await;
        let panicked = one.call(Fail::PanicInHandler, LONG).await;
        assert_eq!(panicked, Err(CallError::Lost));
        assert_eq!(one.up(1, LONG).await, Ok(2));
        assert_eq!(two.call(Echo, LONG).await, Ok(1));
    });
}

#[test]
fn the_failure_beyond_the_bound_escalates_once_and_takes_everybody_along() {
    let rig = Rig::with(strict(3));
    rig.run(async {
        let (bad, _) = rig.probe("bad", Placement::Own).await;
        let (good, shared) = rig.probe("good", Placement::Own).await;
        for generation in 1..=3 {
            let panicked = bad.call(Fail::PanicInHandler, LONG).await;
            assert_eq!(panicked, Err(CallError::Lost));
            assert_eq!(bad.up(generation, LONG).await, Ok(generation + 1));
        }
        assert_eq!(rig.escalations(), []);
        assert_eq!(good.call(Echo, LONG).await, Ok(1));
        let last = bad.call(Fail::PanicInHandler, LONG).await;
        assert_eq!(last, Err(CallError::Lost));
        assert_eq!(good.up(1, LONG).await, Err(CallError::Gone));
        assert_eq!(bad.call(Echo, LONG).await, Err(CallError::Gone));
        assert_eq!(good.call(Echo, LONG).await, Err(CallError::Gone));
        assert_eq!(good.tell(Echo), Err(CallError::Gone));
        eventually("good ended", || shared.alive.load(SeqCst) == 0).await;
        eventually("good's end is seen", || !rig.exits("good").is_empty()).await;
        assert_eq!(rig.escalations().len(), 1);
        assert_eq!(rig.escalations()[0].bound, Bound::Restarts);
        let roster = rig.supervisor.roster().read();
        assert!(roster.iter().all(|row| row.state == ChildState::Gone));
        let refused = rig
            .supervisor
            .supervise(spec("new", Placement::Own), |i| {
                Probe::make(i, &Arc::default())
            })
            .await;
        assert!(matches!(refused, Err(SuperviseError::Closed)));
    });
    assert_eq!(rig.stop().unfinished_threads, 0);
}
