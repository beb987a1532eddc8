//! A floor for tests: journal in memory, keys of its own, any venue.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use flashguard_latch::{Beat, Latch, State};

use super::denials::DenialLog;
use super::desk::Desk;
use super::door::{Door, Pauses};
use super::floor::{Floor, OrderTimes};
use super::health::{HealthLimits, VenueHealth};
use crate::domain::clock::{ManualClock, SeededEntropy, UnixMicros};
use crate::gate::{Exposure, Gate, Limits};
use crate::journal::Journal;
use crate::journal::checkpoint::CheckpointSigner;
use crate::journal::episodes::RecordBound;
use crate::journal::views::ScanViews;
use crate::journal::writer::{Hooks, WriterSettings};
use crate::key_manager::{CHAIN_ID_DEFAULT, ChainKey, HotKeys, KeyManager, VenueCredential};
use crate::ports::journal::Meta;
use crate::ports::journal::memory::MemoryJournal;
use crate::ports::venue::SharedVenue;
use crate::ports::venue::memory::MemoryVenue;

const ORIGIN: &str = "flashguard.test/trading";

fn latch() -> Arc<Latch> {
    let beat = Beat::with_clock(Duration::from_secs(3_600), || 0);
    Arc::new(Latch::new(State::open(0), beat))
}

/// The in-memory twin without markets.
pub fn in_memory() -> SharedVenue {
    Arc::new(MemoryVenue::new(latch(), vec![]))
}

/// An open floor at `venue`, with nothing on it.
pub fn floor(venue: SharedVenue) -> Floor {
    let signer = CheckpointSigner::from_seed(ORIGIN, &[1; 32]).unwrap();
    let memory = MemoryJournal::new(Meta {
        origin: ORIGIN.into(),
        verifier_key: signer.key().to_string(),
    });
    let clock = ManualClock::at(UnixMicros(1_000_000));
    let entropy = SeededEntropy::new(5);
    let store = Box::new(memory.store());
    let (settings, hooks) = (WriterSettings::default(), Hooks::none());
    let (journal, _) = Journal::open(
        store,
        signer,
        clock.clone(),
        entropy.clone(),
        settings,
        hooks,
    )
    .unwrap();
    let chain = ChainKey::generate(&*entropy).unwrap();
    let credential = VenueCredential::generate(&*entropy).unwrap();
    let hot = HotKeys::new(chain, 1, credential, 1);
    let keys = Arc::new(KeyManager::new(hot, CHAIN_ID_DEFAULT, entropy.clone()));
    let latch = latch();
    let readers = Arc::new(memory);
    Floor {
        clock: clock.clone(),
        entropy,
        latch: latch.clone(),
        door: Arc::new(Door::new(latch, Pauses::default())),
        gate: Gate::new(Limits::default(), Exposure::default(), clock.clone()),
        journal,
        readers: readers.clone(),
        views: Arc::new(ScanViews::new(readers)),
        desk: Desk::new(venue, keys.clone(), clock),
        keys,
        orders: Default::default(),
        fills: Default::default(),
        in_flight: Default::default(),
        denials: DenialLog::new(RecordBound::default()),
        times: OrderTimes { send_ttl_ms: 2_000 },
        venue_asked: AtomicBool::new(false),
        health: Arc::new(VenueHealth::new(HealthLimits::default())),
        stop_trading: Arc::new(|_, reason| panic!("nothing halts here: {reason}")),
    }
}
