//! Children that hang: left behind, fenced, counted.

use crate::probe::{Echo, Fail, Probe, Shared};
use crate::rig::{LONG, Rig, eventually, name, patient, spec, strict};
use flashguard_actors::supervision::{Bound, CallError, Exit, Placement};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

#[test]
fn a_hung_incarnation_is_left_behind_and_can_release_nothing_when_it_wakes_up() {
    let rig = Rig::with(patient());
    rig.run(async {
        let (stable, shared) = rig.probe("hung", Placement::Own).await;
        let first = stable.clone();
        let blocked = tokio::spawn(async move { first.call(Fail::Block, LONG).await });
        assert_eq!(stable.up(1, LONG).await, Ok(2));
        assert_eq!(stable.call(Echo, LONG).await, Ok(2));
        assert_eq!(rig.exits("hung"), [(1, Exit::Hung)]);
        let roster = rig.supervisor.roster();
        assert_eq!(roster.abandoned_threads(), 1);

        shared.gate.open();
        // It answers when it wakes up, but from a state that is no longer the state.
        assert_eq!(blocked.await.unwrap(), Err(CallError::Lost));
        assert!(shared.woke.load(SeqCst));
        assert!(!shared.woke_with_lane.load(SeqCst));
        eventually("its thread ended", || roster.abandoned_threads() == 0).await;
        eventually("it is dropped", || shared.alive.load(SeqCst) == 1).await;
        assert_eq!(stable.call(Echo, LONG).await, Ok(2));
        assert_eq!(stable.generation(), Some(2));
        assert_eq!(rig.exits("hung"), [(1, Exit::Hung)]);
    });
    assert_eq!(rig.stop().unfinished_threads, 0);
}

#[test]
fn an_actor_that_waits_for_ever_without_blocking_is_hung_and_costs_no_thread() {
    let rig = Rig::with(patient());
    rig.run(async {
        let (stable, shared) = rig.probe("waits", Placement::Own).await;
        stable.call(Fail::WaitForEver, LONG).await.unwrap();
        assert_eq!(stable.up(1, LONG).await, Ok(2));
        assert_eq!(rig.exits("waits"), [(1, Exit::Hung)]);
        assert_eq!(rig.supervisor.roster().abandoned_threads(), 0);
        assert_eq!(shared.alive_most.load(SeqCst), 1);
    });
}

#[test]
fn a_stuck_shared_thread_is_one_failure_however_many_actors_live_on_it() {
    let rig = Rig::with(strict(1));
    rig.run(async {
        let (culprit, shared) = rig.probe("culprit", Placement::Shared(0)).await;
        let mut others = Vec::new();
        for n in 0..20 {
            let text = format!("other-{n}");
            others.push(rig.probe(&text, Placement::Shared(0)).await.0);
        }
        let (elsewhere, _) = rig.probe("elsewhere", Placement::Shared(1)).await;
        assert_eq!(culprit.tell(Fail::Block), Ok(()));
        assert_eq!(culprit.up(1, LONG).await, Ok(2));
        for other in &others {
            assert_eq!(other.up(1, LONG).await, Ok(2));
        }
        assert_eq!(rig.exits("culprit"), [(1, Exit::Hung)]);
        assert_eq!(elsewhere.generation(), Some(1));
        assert_eq!(rig.escalations(), []);
        shared.gate.open();
    });
}

#[test]
fn a_killed_shared_thread_is_one_failure_too() {
    let rig = Rig::with(strict(1));
    rig.run(async {
        let (killer, _) = rig.probe("killer", Placement::Shared(0)).await;
        let mut others = Vec::new();
        for n in 0..20 {
            let text = format!("other-{n}");
            others.push(rig.probe(&text, Placement::Shared(0)).await.0);
        }
        // Answered or lost.
        let _ = killer.call(Fail::KillArbiter, LONG).await;
        assert_eq!(killer.up(1, LONG).await, Ok(2));
        for other in &others {
            assert_eq!(other.up(1, LONG).await, Ok(2));
        }
        assert_eq!(rig.exits("other-7"), [(1, Exit::ThreadLost)]);
        assert_eq!(rig.escalations(), []);
    });
}

#[test]
fn a_factory_that_hangs_is_left_behind_and_what_it_makes_later_is_never_published() {
    let rig = Rig::with(patient());
    rig.run(async {
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        let stable = rig
            .supervisor
            .supervise(spec("slow", Placement::Own), move |incarnation| {
                if incarnation.generation == 1 {
                    inner.gate.wait();
                }
                Probe::make(incarnation, &inner)
            })
            .await
            .unwrap();
        assert_eq!(stable.up(0, LONG).await, Ok(2));
        assert_eq!(rig.exits("slow"), [(1, Exit::Hung)]);
        shared.gate.open();
        eventually("both are made", || shared.made.load(SeqCst) == 2).await;
        eventually("one is gone", || shared.alive.load(SeqCst) == 1).await;
        assert_eq!(stable.call(Echo, LONG).await, Ok(2));
        assert_eq!(rig.restarts("slow"), [(2, 1)]);
    });
}

#[test]
fn a_factory_at_work_has_its_own_patience_also_while_it_is_told_to_end() {
    let mut policy = patient();
    policy.heartbeat.starting_missed_max = 100_000;
    let rig = Rig::with(policy);
    rig.run(async {
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        let slow = rig
            .supervisor
            .supervise(spec("slow", Placement::Own), move |incarnation| {
                inner.entered.fetch_add(1, SeqCst);
                inner.gate.wait();
                Probe::make(incarnation, &inner)
            })
            .await
            .unwrap();
        eventually("it is being made", || shared.entered.load(SeqCst) == 1).await;
        let supervisor = rig.supervisor.clone();
        let dismissed = tokio::spawn(async move { supervisor.dismiss(&name("slow"), LONG).await });
        assert_eq!(slow.up(0, LONG).await, Err(CallError::Gone));
        // A neighbour is found hung twice in the meantime.
        let (measure, _) = rig.probe("measure", Placement::Own).await;
        for generation in 1..=2 {
            measure.call(Fail::WaitForEver, LONG).await.unwrap();
            assert_eq!(measure.up(generation, LONG).await, Ok(generation + 1));
        }
        assert_eq!(rig.supervisor.roster().abandoned_threads(), 0);
        shared.gate.open();
        assert!(dismissed.await.unwrap());
        assert_eq!(rig.exits("slow"), [(1, Exit::Ended)]);
    });
}

#[test]
fn two_threads_that_get_stuck_together_escalate_once() {
    let mut policy = patient();
    policy.abandoned_threads_max = 0;
    let rig = Rig::with(policy);
    rig.run(async {
        let (one, first) = rig.probe("one", Placement::Own).await;
        let (two, second) = rig.probe("two", Placement::Own).await;
        one.tell(Fail::Block).unwrap();
        two.tell(Fail::Block).unwrap();
        let roster = rig.supervisor.roster();
        eventually("both are left", || roster.abandoned_threads() == 2).await;
        eventually("both are booked", || {
            rig.exits("one").len() + rig.exits("two").len() == 2
        })
        .await;
        // Answered by the supervisor after it has dealt with both.
        assert!(!rig.supervisor.dismiss(&name("nobody"), LONG).await);
        assert_eq!(rig.escalations().len(), 1);
        first.gate.open();
        second.gate.open();
    });
}

#[test]
fn more_stuck_threads_than_the_policy_allows_escalate() {
    let mut policy = patient();
    policy.abandoned_threads_max = 1;
    let rig = Rig::with(policy);
    rig.run(async {
        let (one, first) = rig.probe("one", Placement::Own).await;
        let (two, second) = rig.probe("two", Placement::Own).await;
        one.tell(Fail::Block).unwrap();
        assert_eq!(one.up(1, LONG).await, Ok(2));
        assert_eq!(rig.escalations(), []);
        two.tell(Fail::Block).unwrap();
        assert_eq!(two.up(1, LONG).await, Err(CallError::Gone));
        eventually("an escalation", || !rig.escalations().is_empty()).await;
        assert_eq!(rig.escalations()[0].bound, Bound::AbandonedThreads);
        assert_eq!(rig.escalations()[0].name, name("two"));
        first.gate.open();
        second.gate.open();
        eventually("it woke up", || second.woke.load(SeqCst)).await;
        assert!(!second.woke_with_lane.load(SeqCst));
    });
}
