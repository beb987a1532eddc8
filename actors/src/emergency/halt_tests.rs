//! Halts and lifts that meet, with real threads.

use std::sync::{Barrier, mpsc};

use flashguard_latch::{Beat, State};

use super::*;
use crate::domain::clock::{Clock, ManualClock, SeededEntropy, UnixMicros};
use crate::domain::identity::{Client, Role};
use crate::domain::status::TradingState;
use crate::journal::checkpoint::CheckpointSigner;
use crate::journal::writer::{Hooks, WriterSettings};
use crate::ports::journal::Meta;
use crate::ports::journal::memory::MemoryJournal;
use crate::ports::sentinel::{Look, MemorySentinel, Sentinel};

const ROUNDS: usize = 300;
/// Longest wait for the other side of a meeting; reached only by a test that fails.
const MEETING_WAIT_MAX: Duration = Duration::from_secs(10);

type Errand = Box<dyn FnOnce() + Send>;

/// Something to be done in the middle of somebody else's work, once.
#[derive(Default)]
struct Once(Mutex<Option<Errand>>);

impl Once {
    fn arm(&self, errand: impl FnOnce() + Send + 'static) {
        *self.0.lock() = Some(Box::new(errand));
    }

    fn run(&self) {
        let errand = self.0.lock().take();
        if let Some(errand) = errand {
            errand();
        }
    }
}

/// The kill switch's clock: a halt looks at it when its stop has taken effect, and before anything
/// of it is written.
struct InterruptedClock {
    clock: Arc<ManualClock>,
    once: Arc<Once>,
}

impl Clock for InterruptedClock {
    fn now(&self) -> UnixMicros {
        self.once.run();
        self.clock.now()
    }

    fn boot_millis(&self) -> u64 {
        self.clock.boot_millis()
    }
}

/// A sentinel that a lift looks up from while it arms it: the lift's record is durable then, and the
/// latch still closed.
struct InterruptedSentinel {
    sentinel: Arc<MemorySentinel>,
    once: Arc<Once>,
}

impl Sentinel for InterruptedSentinel {
    fn look(&self) -> std::io::Result<Look> {
        self.sentinel.look()
    }

    fn raise(&self) -> std::io::Result<()> {
        self.sentinel.raise()
    }

    fn arm(&self) -> std::io::Result<()> {
        self.once.run();
        self.sentinel.arm()
    }
}

/// A kill switch, and where it can be interrupted.
struct Rig {
    emergency: Arc<Emergency>,
    latch: Arc<Latch>,
    sentinel: Arc<MemorySentinel>,
    /// Runs in a halt, between its stop and its record.
    in_halt: Arc<Once>,
    /// Runs in a lift, between its record and the latch.
    in_lift: Arc<Once>,
}

fn rig() -> Rig {
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
    let (in_halt, in_lift) = (Arc::<Once>::default(), Arc::<Once>::default());
    let emergency = Emergency::new(
        latch.clone(),
        journal,
        Arc::new(InterruptedSentinel {
            sentinel: sentinel.clone(),
            once: in_lift.clone(),
        }),
        Arc::new(InterruptedClock {
            clock,
            once: in_halt.clone(),
        }),
        entropy,
        HaltState::default(),
    );
    Rig {
        emergency,
        latch,
        sentinel,
        in_halt,
        in_lift,
    }
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

/// What the people agree to.
fn terms() -> LiftTerms {
    LiftTerms {
        to: TradingState::Active,
        accept_open_orders: vec![],
    }
}

fn lift(emergency: &Arc<Emergency>, epoch: u64) -> Result<(), LiftRefused> {
    emergency.lift(epoch, &terms(), 2, &Principal::system())
}

/// Waits until the sentinel says halted: a halt raises it on a thread of its own.
fn becomes_raised(sentinel: &MemorySentinel) -> bool {
    (0..1_000).any(|_| {
        if sentinel.look().unwrap() == Look::Raised {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
        false
    })
}

/// Halted for everybody who could ask.
fn assert_halted(rig: &Rig, when: &str) {
    assert!(rig.latch.state().halted, "{when}: the latch");
    assert!(rig.emergency.state().halt.is_some(), "{when}: in memory");
    assert!(becomes_raised(&rig.sentinel), "{when}: the sentinel");
}

/// Invariant: whatever order a halt and an agreed lift meet in, trading is halted when both have
/// returned: the halt came after the lift, or undid it. Met by chance here; the two tests below hold
/// the two moments at which only the second look at the latch keeps it.
#[test]
fn a_halt_that_meets_a_lift_always_leaves_trading_halted() {
    let rig = rig();
    let (emergency, latch) = (&rig.emergency, &rig.latch);
    let mut lifted = 0;
    for round in 0..ROUNDS {
        let epoch = agreed(emergency, latch);
        let start = Barrier::new(2);
        std::thread::scope(|threads| {
            let lift = threads.spawn(|| {
                start.wait();
                lift(emergency, epoch)
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
        assert_halted(&rig, &format!("round {round}"));
    }
    println!("{ROUNDS} meetings, {lifted} lifts came first");
}

/// The whole lift happens between a halt's stop, which found the latch halted already, and its record.
#[test]
fn a_lift_inside_a_halt_does_not_outlive_it() {
    let rig = rig();
    let epoch = agreed(&rig.emergency, &rig.latch);
    let (tell, told) = mpsc::channel();
    let emergency = rig.emergency.clone();
    rig.in_halt.arm(move || {
        let lifted = lift(&emergency, epoch);
        tell.send(lifted).unwrap();
    });
    rig.emergency.halt(&stop());
    assert_eq!(told.recv(), Ok(Ok(())), "the lift came first");
    assert_halted(&rig, "when the halt returns");
    assert_eq!(rig.latch.state().epoch, epoch + 1, "a halt like any other");
}

/// A lift has read the approvals when the halt voids them, and opens the latch after that.
#[test]
fn a_lift_that_has_read_the_approvals_does_not_outlive_the_halt_that_voids_them() {
    let rig = rig();
    let epoch = agreed(&rig.emergency, &rig.latch);
    let (tell, told) = mpsc::channel();
    let emergency = rig.emergency.clone();
    rig.in_lift.arm(move || {
        tell.send(()).unwrap();
        let voided = || {
            let halt = emergency.state().halt;
            halt.is_none_or(|halt| halt.proposal.is_none())
        };
        for _ in 0..MEETING_WAIT_MAX.as_millis() {
            if voided() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let emergency = rig.emergency.clone();
    let (keep, kept) = mpsc::channel();
    rig.in_halt.arm(move || {
        let lift = std::thread::spawn(move || lift(&emergency, epoch));
        told.recv_timeout(MEETING_WAIT_MAX).unwrap();
        keep.send(lift).unwrap();
    });
    rig.emergency.halt(&stop());
    assert_halted(&rig, "when the halt returns");
    let lifted = kept.recv().unwrap().join().unwrap();
    assert_halted(&rig, &format!("when the lift has ended ({lifted:?})"));
}

#[test]
fn a_lift_that_is_refused_can_be_agreed_to_again() {
    let Rig {
        emergency, latch, ..
    } = rig();
    let epoch = agreed(&emergency, &latch);
    emergency.halt(&stop());
    assert_eq!(lift(&emergency, epoch), Err(LiftRefused::Withdrawn));
    assert!(latch.state().halted);
    let epoch = agreed(&emergency, &latch);
    assert_eq!(lift(&emergency, epoch), Ok(()));
    assert!(!latch.state().halted);
}

#[test]
fn who_asks_for_something_else_takes_the_agreement_away_before_it_is_done() {
    let Rig {
        emergency, latch, ..
    } = rig();
    let epoch = agreed(&emergency, &latch);
    let other = LiftRequest {
        epoch,
        reason: "test".into(),
        to: TradingState::ReduceOnly,
        accept_open_orders: vec![],
    };
    assert_eq!(emergency.agree(&person("cid"), &other, 2), Ok(1));
    let one_person = LiftTerms {
        to: TradingState::ReduceOnly,
        accept_open_orders: vec![],
    };
    for wanted in [terms(), one_person] {
        let lifted = emergency.lift(epoch, &wanted, 2, &Principal::system());
        assert_eq!(lifted, Err(LiftRefused::Withdrawn), "{wanted:?}");
        assert!(latch.state().halted);
    }
}
