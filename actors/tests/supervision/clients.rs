//! What clients see while actors come and go.

use crate::probe::{Announced, Echo, Fail, Probe, Shared};
use crate::rig::{LONG, Rig, eventually, patient, spec};
use flashguard_actors::supervision::{
    Broadcast, CallError, Placement, Policy, Stable, StableRecipient, Supervisor,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

#[test]
fn five_hundred_calls_behind_a_panic_are_all_answered_and_none_is_executed() {
    let rig = Rig::with(Policy::default());
    rig.run(async {
        let (stable, shared) = rig.probe("probe", Placement::Own).await;
        let first = stable.clone();
        let bad = tokio::spawn(async move { first.call(Fail::BlockThenPanic, LONG).await });
        eventually("it is inside", || shared.entered.load(SeqCst) == 1).await;
        let mut calls = Vec::new();
        for _ in 0..500 {
            let stable = stable.clone();
            let mut call = Box::pin(async move { stable.call(Echo, LONG).await });
            // Polled once: it stands in the mailbox before the gate opens.
            std::future::poll_fn(|cx| {
                assert!(call.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            calls.push(call);
        }
        shared.gate.open();
        assert_eq!(bad.await.unwrap(), Err(CallError::Lost));
        for call in calls {
            assert_eq!(call.await, Err(CallError::Lost));
        }
        assert_eq!(shared.echoed.load(SeqCst), 0);
        assert_eq!(stable.up(1, LONG).await, Ok(2));
    });
}

/// Invariant: a call made after generation n was seen is never answered by an older one, and no
/// call hangs. Three clients hammer over 300 restarts.
#[test]
fn no_call_is_answered_by_an_older_incarnation_than_one_already_seen() {
    const RESTARTS: u64 = 300;
    let rig = Rig::with(patient());
    rig.run(async {
        let (stable, shared) = rig.probe("hammered", Placement::Own).await;
        let done = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..3)
            .map(|_| tokio::spawn(hammer(stable.clone(), Arc::clone(&done))))
            .collect();
        for generation in 1..=RESTARTS {
            let how = match generation % 3 {
                0 => Fail::PanicInHandler,
                1 => Fail::PanicInSpawned,
                _ => Fail::Stop,
            };
            assert_eq!(stable.up(generation - 1, LONG).await, Ok(generation));
            // Answered or lost.
            let _ = stable.call(how, LONG).await;
        }
        assert_eq!(stable.up(RESTARTS, LONG).await, Ok(RESTARTS + 1));
        done.store(true, SeqCst);
        for client in clients {
            assert!(client.await.unwrap() > 0);
        }
        assert_eq!(shared.alive_most.load(SeqCst), 1);
    });
}

/// Calls until `done`, and counts the answers.
async fn hammer(stable: Stable<Probe>, done: Arc<AtomicBool>) -> u64 {
    let (mut answered, mut newest) = (0, 0);
    while !done.load(SeqCst) {
        newest = newest.max(stable.generation().unwrap_or(0));
        match stable.call(Echo, LONG).await {
            Ok(by) => {
                assert!(by >= newest, "generation {by} answered after {newest}");
                newest = by;
                answered += 1;
            }
            Err(CallError::Restarting | CallError::Lost) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    answered
}

#[test]
fn the_in_flight_budget_is_exact_and_a_caller_who_gives_up_does_not_free_a_place() {
    let rig = Rig::with(Policy::default());
    rig.run(async {
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        let mut small = spec("small", Placement::Own);
        small.in_flight_max = 4;
        let stable: Stable<Probe> = rig
            .supervisor
            .supervise(small, move |i| Probe::make(i, &inner))
            .await
            .unwrap();
        stable.up(0, LONG).await.unwrap();
        let blocked = stable.clone();
        let blocked = tokio::spawn(async move { blocked.call(Fail::Block, LONG).await });
        eventually("it is inside", || shared.entered.load(SeqCst) == 1).await;
        for _ in 0..3 {
            let gave_up = stable.call(Echo, Duration::from_millis(1)).await;
            assert_eq!(gave_up, Err(CallError::Timeout));
        }
        for _ in 0..10 {
            assert_eq!(stable.call(Echo, LONG).await, Err(CallError::Overloaded));
        }
        // Signals are bounded as well.
        let told = (0..100).filter(|_| stable.tell(Echo).is_ok()).count();
        assert!(told <= 4, "{told} signals were taken");
        assert_eq!(stable.tell(Echo), Err(CallError::Overloaded));

        shared.gate.open();
        assert_eq!(blocked.await.unwrap(), Ok(()));
        let mut answer = Err(CallError::Overloaded);
        for _ in 0..15_000 {
            answer = stable.call(Echo, LONG).await;
            if answer != Err(CallError::Overloaded) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(answer, Ok(1));
        let told = u64::try_from(told).unwrap();
        assert_eq!(shared.echoed.load(SeqCst), 3 + told + 1);
    });
}

#[test]
fn a_call_behind_a_mailbox_full_of_signals_is_answered() {
    let rig = Rig::with(Policy::default());
    rig.run(async {
        let (stable, shared) = rig.probe("full", Placement::Own).await;
        stable.tell(Fail::Block).unwrap();
        eventually("it is inside", || shared.entered.load(SeqCst) == 1).await;
        let told = (0..5_000).filter(|_| stable.tell(Echo).is_ok()).count();
        assert!(told <= 1_025, "{told} signals were taken");
        assert_eq!(stable.tell(Echo), Err(CallError::Overloaded));
        // Polled once before the gate opens, and then only when it is woken.
        let polled = Arc::new(AtomicBool::new(false));
        let (client, mark) = (stable.clone(), Arc::clone(&polled));
        let call = tokio::spawn(async move {
            let mut call = std::pin::pin!(client.call(Echo, LONG));
            std::future::poll_fn(|cx| {
                let answer = call.as_mut().poll(cx);
                mark.store(true, SeqCst);
                answer
            })
            .await
        });
        eventually("the call waits", || polled.load(SeqCst)).await;
        shared.gate.open();
        assert_eq!(call.await.unwrap(), Ok(1));
    });
}

#[test]
fn a_successor_has_its_whole_budget_whatever_its_predecessor_still_holds() {
    let rig = Rig::with(patient());
    rig.run(async {
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        let mut one_at_a_time = spec("one", Placement::Own);
        one_at_a_time.in_flight_max = 1;
        let stable: Stable<Probe> = rig
            .supervisor
            .supervise(one_at_a_time, move |i| Probe::make(i, &inner))
            .await
            .unwrap();
        stable.up(0, LONG).await.unwrap();
        let first = stable.clone();
        let held = tokio::spawn(async move { first.call(Fail::Block, LONG).await });
        assert_eq!(stable.up(1, LONG).await, Ok(2));
        assert_eq!(stable.call(Echo, LONG).await, Ok(2));
        shared.gate.open();
        assert_eq!(held.await.unwrap(), Err(CallError::Lost));
    });
}

#[test]
fn a_handle_keeps_its_deadline_on_a_thread_without_any_runtime() {
    const fn shareable<T: Send + Sync>() {}
    shareable::<Stable<Probe>>();
    shareable::<StableRecipient<Echo>>();
    shareable::<Supervisor>();
    shareable::<Broadcast<Announced>>();

    let rig = Rig::with(Policy::default());
    let (stable, shared) = rig.run(rig.probe("probe", Placement::Own));
    let client = std::thread::spawn(move || {
        let good = block_on(stable.call(Echo, LONG));
        stable.tell(Fail::Block).unwrap();
        let late = block_on(stable.call(Echo, Duration::from_millis(50)));
        shared.gate.open();
        (good, late)
    });
    let answers = client.join().unwrap();
    assert_eq!(answers, (Ok(1), Err(CallError::Timeout)));
}

/// Drives a future with nothing but the standard library.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    let mut work = std::pin::pin!(work);
    for _ in 0..1_000 {
        if let Poll::Ready(done) = work.as_mut().poll(&mut cx) {
            return done;
        }
        std::thread::park_timeout(LONG);
    }
    panic!("woken a thousand times without an answer");
}
