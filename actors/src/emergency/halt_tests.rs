//! Halts and lifts that meet, with real threads.

use std::sync::Barrier;

use flashguard_latch::{Beat, State};

use super::*;
use crate::domain::clock::{ManualClock, SeededEntropy, UnixMicros};
use crate::domain::identity::{Client, Role};
use crate::domain::status::TradingState;
use crate::journal::checkpoint::CheckpointSigner;
use crate::journal::writer::{Hooks, WriterSettings};
use crate::ports::journal::Meta;
use crate::ports::journal::memory::MemoryJournal;
use crate::ports::sentinel::{Look, MemorySentinel, Sentinel};

const ROUNDS: usize = 300;

fn emergency() -> (Arc<Emergency>, Arc<Latch>, Arc<MemorySentinel>) {
    let signer = CheckpointSigner::from_seed("flashguard.test/halt", &[1; 32]).unwrap();
    let memory = MemoryJournal::new(Meta {
        origin: "flashguard.test/halt".into(),
        verifier_key: signer.key().to_string(),
    });
    let clock = ManualClock::at(UnixMicros(1_000_000));
    let entropy = SeededEntropy::new(5);
    let (journal, _) = Journal::open(
        Box::new(memory.store()),
        signer,
        clock.clone(),
        entropy.clone(),
        WriterSettings::default(),
        Hooks::none(),
    )
    .unwrap();
    let beat = Beat::with_clock(Duration::from_secs(3_600), || 0);
    let latch = Arc::new(Latch::new(State::open(0), beat));
    let sentinel = MemorySentinel::saying(Look::Armed);
    let state = HaltState::default();
    let emergency = Emergency::new(
        latch.clone(),
        journal,
        sentinel.clone(),
        clock,
        entropy,
        state,
    );
    (emergency, latch, sentinel)
}

fn stop() -> HaltOrder {
    HaltOrder {
        trigger: Trigger::Embedder,
        by: Principal::system(),
        reason: "test".into(),
    }
}

fn person(name: &str) -> Caller {
    Caller {
        principal: Principal::api_key(name),
        owner: Owner::try_from(name.to_owned()).unwrap(),
        client: Client::try_from(name.to_owned()).unwrap(),
        role: Role::Admin,
        key_created_us: UnixMicros(0),
        key_made_locally: true,
    }
}

/// Halts if it is not, and has two people agree.
fn agreed(emergency: &Arc<Emergency>, latch: &Latch) -> u64 {
    emergency.halt(&stop());
    let epoch = latch.state().epoch;
    let wish = LiftRequest {
        epoch,
        reason: "test".into(),
        to: TradingState::Active,
        accept_open_orders: vec![],
    };
    assert_eq!(emergency.agree(&person("ann"), &wish, 2), Ok(1));
    assert_eq!(emergency.agree(&person("bob"), &wish, 2), Ok(0));
    epoch
}

/// Invariant: whatever order a halt and an agreed lift meet in, trading is halted when both have
/// returned: the halt came after the lift, or undid it.
#[test]
fn a_halt_that_meets_a_lift_always_leaves_trading_halted() {
    let (emergency, latch, sentinel) = emergency();
    let mut lifted = 0;
    for round in 0..ROUNDS {
        let epoch = agreed(&emergency, &latch);
        let start = Barrier::new(2);
        std::thread::scope(|threads| {
            let lift = threads.spawn(|| {
                start.wait();
                emergency.lift(epoch, &Principal::system())
            });
            start.wait();
            for _ in 0..(round % 60) * 20 {
                std::hint::spin_loop();
            }
            emergency.halt(&stop());
            assert!(
                latch.state().halted,
                "round {round}: halted when the halt returns"
            );
            lifted += usize::from(lift.join().unwrap().is_ok());
        });
        assert!(
            latch.state().halted,
            "round {round}: and when the lift has ended"
        );
        assert!(
            emergency.state().halt.is_some(),
            "round {round}: in memory too"
        );
        for _ in 0..1_000 {
            if sentinel.look().unwrap() == Look::Raised {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(sentinel.look().unwrap(), Look::Raised, "round {round}");
    }
    println!("{ROUNDS} meetings, {lifted} lifts came first");
}

#[test]
fn a_lift_that_is_refused_can_be_agreed_to_again() {
    let (emergency, latch, _) = emergency();
    let epoch = agreed(&emergency, &latch);
    emergency.halt(&stop());
    let by = Principal::system();
    assert_eq!(emergency.lift(epoch, &by), Err(LiftRefused::HaltedAgain));
    assert!(latch.state().halted);
    let epoch = agreed(&emergency, &latch);
    assert_eq!(emergency.lift(epoch, &by), Ok(()));
    assert!(!latch.state().halted);
}
