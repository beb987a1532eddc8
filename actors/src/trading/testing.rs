//! A floor for tests: journal in memory, keys of its own, any venue.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use flashguard_latch::{Beat, Latch, State};
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

use super::denials::DenialLog;
use super::desk::Desk;
use super::door::Door;
use super::feed_state::FeedState;
use super::floor::{Floor, OrderTimes, StopTrading};
use super::health::{HealthLimits, VenueHealth};
use super::orders::tests::intent;
use super::restraints::Restraints;
use crate::domain::clock::{ManualClock, SeededEntropy, UnixMicros};
use crate::domain::order::{Order, OrderStatus, VenueOrderId};
use crate::gate::{Exposure, Gate, Limits};
use crate::journal::Journal;
use crate::journal::checkpoint::CheckpointSigner;
use crate::journal::episodes::RecordBound;
use crate::journal::record::Fact;
use crate::journal::views::ScanViews;
use crate::journal::writer::{Hooks, WriterSettings};
use crate::key_manager::{CHAIN_ID_DEFAULT, ChainKey, HotKeys, KeyManager, VenueCredential};
use crate::ports::journal::Meta;
use crate::ports::journal::memory::MemoryJournal;
use crate::ports::venue::memory::MemoryVenue;
use crate::ports::venue::{
    Capabilities, CredentialView, Framed, Framing, OrderAnswer, OrderLane, OrderSignature, Query,
    Reply, SharedVenue, Venue, VenueError, VenueOrder,
};

const ORIGIN: &str = "flashguard.test/trading";

fn latch() -> Arc<Latch> {
    let beat = Beat::with_clock(Duration::from_secs(3_600), || 0);
    Arc::new(Latch::new(State::open(0), beat))
}

/// The in-memory twin without markets.
pub fn in_memory() -> SharedVenue {
    Arc::new(MemoryVenue::new(latch(), vec![]))
}

type Answers = Box<dyn FnMut(&Query) -> Result<Reply, VenueError> + Send>;

/// A venue that answers as it is told, can do what it is told, and remembers what it was asked.
pub struct Told {
    twin: SharedVenue,
    can: Capabilities,
    answers: Mutex<Answers>,
    asked: Mutex<Vec<Query>>,
}

impl Told {
    /// One that can do everything.
    pub fn to(
        answers: impl FnMut(&Query) -> Result<Reply, VenueError> + Send + 'static,
    ) -> Arc<Self> {
        let all = in_memory().framing().capabilities();
        Self::able(all, answers)
    }

    /// One that can do only so much.
    pub fn able(
        can: Capabilities,
        answers: impl FnMut(&Query) -> Result<Reply, VenueError> + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            twin: in_memory(),
            can,
            answers: Mutex::new(Box::new(answers)),
            asked: Mutex::default(),
        })
    }

    /// How many questions of a kind it was asked.
    pub fn count(&self, is_one: impl Fn(&Query) -> bool) -> usize {
        self.asked
            .lock()
            .iter()
            .filter(|query| is_one(query))
            .count()
    }
}

impl Venue for Told {
    fn framing(&self) -> &dyn Framing {
        self
    }

    fn ask(&self, query: Query, _: Framed) -> BoxFuture<'static, Result<Reply, VenueError>> {
        let answer = (self.answers.lock())(&query);
        self.asked.lock().push(query);
        std::future::ready(answer).boxed()
    }

    fn lane(&self) -> Box<dyn OrderLane> {
        panic!("nothing is placed here")
    }
}

impl Framing for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn capabilities(&self) -> Capabilities {
        self.can
    }

    fn order(
        &self,
        order: &Order,
        signature: &OrderSignature,
        credential: &CredentialView<'_>,
        now: UnixMicros,
    ) -> Framed {
        self.twin.framing().order(order, signature, credential, now)
    }

    fn read_order_answer(&self, status: u16, body: &[u8]) -> OrderAnswer {
        self.twin.framing().read_order_answer(status, body)
    }

    fn query(&self, query: &Query, credential: &CredentialView<'_>, now: UnixMicros) -> Framed {
        self.twin.framing().query(query, credential, now)
    }

    fn read(&self, query: &Query, status: u16, body: &[u8]) -> Result<Reply, VenueError> {
        self.twin.framing().read(query, status, body)
    }
}

/// The order of `orders::tests::intent(n, size)`, as a venue shows it.
pub fn shown(n: u128, size: u64, status: OrderStatus) -> VenueOrder {
    let Fact::OrderIntent { order, .. } = intent(n, size) else {
        panic!("an intent")
    };
    VenueOrder {
        venue_order_id: VenueOrderId::try_from(format!("v{n}")).unwrap(),
        order_id: Some(order.order_id),
        symbol: order.symbol,
        side: order.side,
        price: order.price,
        size: order.size,
        filled: rust_decimal::Decimal::ZERO,
        status,
        signer: None,
    }
}

/// An open floor at `venue`, with nothing on it.
pub fn floor(venue: SharedVenue) -> Floor {
    floor_where(
        venue,
        Arc::new(|_, reason| panic!("nothing halts here: {reason}")),
    )
}

/// The same, where trading is stopped so.
pub fn floor_where(venue: SharedVenue, stop_trading: StopTrading) -> Floor {
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
        door: Arc::new(Door::new(latch, Restraints::default())),
        settings_limits: Limits::default(),
        limits: Default::default(),
        restraining: Default::default(),
        gate: Gate::new(Limits::default(), Exposure::default(), clock.clone()),
        journal,
        readers: readers.clone(),
        views: Arc::new(ScanViews::new(readers)),
        desk: Desk::new(venue, keys.clone(), clock),
        keys,
        orders: Default::default(),
        fills: Default::default(),
        fills_reader: Default::default(),
        positions: Default::default(),
        feed: Mutex::new(FeedState::new(false)),
        in_flight: Default::default(),
        denials: DenialLog::new(RecordBound::default()),
        times: OrderTimes { send_ttl_ms: 2_000 },
        venue_asked: AtomicBool::new(false),
        health: Arc::new(VenueHealth::new(HealthLimits::default())),
        stop_trading,
    }
}
