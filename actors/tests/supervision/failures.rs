//! Every way to fail, except hanging.

use crate::probe::{Echo, Fail, PanicInStep, Probe};
use crate::rig::{LONG, Rig, eventually, name, patient, spec, strict};
use actix::{Actor, Context};
use flashguard_actors::supervision::{
    Bound, CallError, ChildState, Escalated, Exit, Incarnation, Placement, StartError,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

#[test]
fn an_actor_that_fails_in_any_way_is_made_again_and_the_next_call_is_answered() {
    let ways = [
        (Fail::PanicInHandler, Exit::Panicked("handler".into())),
        (Fail::PanicInTimer, Exit::Panicked("timer".into())),
        (Fail::PanicInSpawned, Exit::Panicked("spawned".into())),
        (Fail::Stop, Exit::Stopped),
        (Fail::Terminate, Exit::Stopped),
        (Fail::KillArbiter, Exit::ThreadLost),
    ];
    let rig = Rig::with(patient());
    rig.run(async {
        let (stable, shared) = rig.probe("probe", Placement::Own).await;
        let mut expected = Vec::new();
        let mut generation = 1;
        for (how, why) in ways {
            expected.push((generation, why));
            // Answered or lost, depending on the way; never hanging.
            let answer = stable.call(how, LONG).await;
            assert_ne!(answer, Err(CallError::Timeout), "{how:?}");
            assert_eq!(stable.up(generation, LONG).await, Ok(generation + 1));
            generation += 1;
            assert_eq!(stable.call(Echo, LONG).await, Ok(generation), "{how:?}");
        }
        let answer = stable.call(PanicInStep, LONG).await;
        assert_eq!(answer, Err(CallError::Lost));
        expected.push((generation, Exit::Panicked("step".into())));
        assert_eq!(stable.up(generation, LONG).await, Ok(generation + 1));
        assert_eq!(rig.exits("probe"), expected);
        assert_eq!(shared.made.load(SeqCst), generation + 1);
        assert_eq!(shared.alive_most.load(SeqCst), 1);
        let restarts: Vec<_> = (1..=generation).map(|n| (n + 1, n)).collect();
        eventually("all restarts are seen", || {
            rig.restarts("probe") == restarts
        })
        .await;
        let status = rig.supervisor.roster().find(&name("probe")).unwrap();
        assert_eq!(status.state, ChildState::Up);
        assert_eq!(status.restarts, generation);
        assert_eq!(status.last_exit, Some(Exit::Panicked("step".into())));
    });
    assert_eq!(rig.stop().unfinished_threads, 0);
}

#[test]
fn after_a_panic_nothing_of_the_actor_runs_again() {
    let rig = Rig::with(patient());
    rig.run(async {
        let (stable, shared) = rig.probe("probe", Placement::Own).await;
        let panicked = stable.call(Fail::PanicInHandler, LONG).await;
        assert_eq!(panicked, Err(CallError::Lost));
        stable.up(1, LONG).await.unwrap();
        assert_eq!(shared.stopped_hooks.load(SeqCst), 0);
    });
}

#[test]
fn a_factory_that_always_fails_is_tried_as_often_as_the_policy_says_and_then_escalates() {
    for panics in [false, true] {
        let rig = Rig::with(strict(4));
        rig.run(async {
            let made = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&made);
            let factory = move |_: Incarnation| -> Result<Probe, StartError> {
                count.fetch_add(1, SeqCst);
                assert!(!panics, "no store");
                Err(StartError::new("no store"))
            };
            let spec = spec("unlucky", Placement::Own);
            let stable = rig.supervisor.supervise(spec, factory).await.unwrap();
            assert_eq!(stable.up(0, LONG).await, Err(CallError::Gone));
            eventually("an escalation", || !rig.escalations().is_empty()).await;
            assert_eq!(made.load(SeqCst), 5);
            let failed = Exit::StartFailed("no store".into());
            let exits: Vec<_> = (1..=5).map(|n| (n, failed.clone())).collect();
            assert_eq!(rig.exits("unlucky"), exits);
            let escalated = Escalated {
                name: name("unlucky"),
                why: failed,
                bound: Bound::Restarts,
            };
            assert_eq!(rig.escalations(), [escalated]);
        });
    }
}

struct PanicsInStarted(Arc<AtomicU64>);

impl Actor for PanicsInStarted {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        assert!(self.0.fetch_add(1, SeqCst) > 0, "first start");
    }
}

#[test]
fn an_actor_that_panics_while_it_starts_is_never_published() {
    let rig = Rig::with(patient());
    rig.run(async {
        let starts = Arc::new(AtomicU64::new(0));
        let stable = rig
            .supervisor
            .supervise(spec("late", Placement::Own), move |_| {
                Ok(PanicsInStarted(Arc::clone(&starts)))
            })
            .await
            .unwrap();
        assert_eq!(stable.up(0, LONG).await, Ok(2));
        let failed = Exit::StartFailed("first start".into());
        assert_eq!(rig.exits("late"), [(1, failed)]);
    });
}

struct PanicsInDrop;

impl Actor for PanicsInDrop {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        actix::ActorContext::stop(ctx);
    }
}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("drop");
    }
}

#[test]
fn an_actor_that_panics_while_it_is_dropped_still_reports_its_end() {
    let rig = Rig::with(strict(2));
    rig.run(async {
        let stable = rig
            .supervisor
            .supervise(spec("drops", Placement::Shared(0)), |_| Ok(PanicsInDrop))
            .await
            .unwrap();
        assert_eq!(stable.up(0, LONG).await, Err(CallError::Gone));
        eventually("three exits", || rig.exits("drops").len() == 3).await;
        assert_eq!(rig.exits("drops")[0], (1, Exit::Stopped));
    });
    assert_eq!(rig.stop().unfinished_threads, 0);
}
