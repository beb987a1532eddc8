//! What every lane and every trading actor shares: the published state of trading.
//!
//! Facts are taken in here by the same functions that read them back from the journal. Wiring is in
//! `system`; nothing here starts anything.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use super::denials::DenialLog;
use super::desk::{CallWatch, Desk};
use super::door::Door;
use super::feed_state::FeedState;
use super::health::{CallEnd, Health, Rate, VenueHealth};
use super::identity::InFlight;
use super::ledger::{Fills, apply_to_exposure};
use super::limits::LimitsFold;
use super::orders::{OrderState, Orders};
use crate::domain::clock::{SharedClock, SharedEntropy, UnixMicros};
use crate::domain::identity::Principal;
use crate::domain::order::OrderId;
use crate::gate::{Gate, Limits};
use crate::journal::Journal;
use crate::journal::encoding::decode;
use crate::journal::record::{Entry, Fact};
use crate::journal::views::{Positions, apply_to_positions};
use crate::key_manager::KeyManager;
use crate::ports::journal::{JournalReader, JournalReaders, StoreError};
use crate::ports::views::SharedViews;
use flashguard_latch::Latch;

/// Numbers that the order path needs, from the settings.
#[derive(Debug, Clone, Copy)]
pub struct OrderTimes {
    /// `venue.order_send_ttl_ms`: how long the venue may accept an order after it was admitted.
    pub send_ttl_ms: u64,
}

/// Halts trading, for a reason that was found here. Wired by `system`.
pub type StopTrading = Arc<dyn Fn(StopCause, &str) + Send + Sync>;

/// What was found that halts trading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// Something that a start or a re-read showed.
    Start,
    /// Too many calls to the venue failed.
    VenueHealth,
}

/// Counts every call to the venue, and halts when too many of them failed. Only while trading is open:
/// before that there is nothing to stop, and a venue that is down at a start is waited for.
pub fn watch_calls(
    health: Arc<VenueHealth>,
    clock: SharedClock,
    latch: Arc<Latch>,
    door: Arc<Door>,
    stop_trading: StopTrading,
) -> CallWatch {
    Arc::new(move |end: CallEnd| {
        let found = health.count(clock.boot_millis(), end);
        if let Health::Broken(Rate { calls, errors }) = found
            && door.is_open()
            && !latch.state().halted
        {
            let reason = format!("the venue is broken: {errors} of the last {calls} calls failed");
            stop_trading(StopCause::VenueHealth, &reason);
        }
    })
}

/// The shared state of trading.
pub struct Floor {
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
    /// The kill switch.
    pub latch: Arc<Latch>,
    /// Whether orders come in.
    pub door: Arc<Door>,
    /// What the settings say of limits.
    pub settings_limits: Limits,
    /// What people made of them; held while they are changed.
    pub limits: AsyncMutex<LimitsFold>,
    /// Held while trading is held back or let go.
    pub restraining: AsyncMutex<()>,
    /// The rules and the exposure.
    pub gate: Arc<Gate>,
    /// The log.
    pub journal: Journal,
    /// Readers of the log.
    pub readers: Arc<dyn JournalReaders>,
    /// What people search in, and where orders that ended long ago are read.
    pub views: SharedViews,
    /// The keys.
    pub keys: Arc<KeyManager>,
    /// Conversations with the venue.
    pub desk: Desk,
    /// Open and lately ended orders.
    pub orders: Mutex<Orders>,
    /// Counted fills; the lock is held while one is counted and handed to the journal.
    pub fills: AsyncMutex<Fills>,
    /// Held by whoever reads fills from the venue: one at a time.
    pub fills_reader: AsyncMutex<()>,
    /// What is held of each market, what it cost and what it made.
    pub positions: Mutex<Positions>,
    /// How the venue's feed is.
    pub feed: Mutex<FeedState>,
    /// Ids on their way.
    pub in_flight: InFlight,
    /// Refusals to be counted.
    pub denials: DenialLog,
    /// From the settings.
    pub times: OrderTimes,
    /// The venue was asked once since the start, and answered or did not.
    pub venue_asked: AtomicBool,
    /// How the venue is, by how every call to it ended.
    pub health: Arc<VenueHealth>,
    /// Halts.
    pub stop_trading: StopTrading,
}

impl Floor {
    /// Takes a fact into orders and exposure. `seq` and `time` are those of its record, as far as
    /// they are known (only an intent's matter).
    pub fn apply(&self, fact: &Fact, seq: u64, time: UnixMicros, by: Option<&Principal>) {
        self.orders.lock().apply(fact, seq, time, by);
        if matches!(fact, Fact::Fill { .. } | Fact::PositionReconciled { .. }) {
            apply_to_positions(fact, &mut self.positions.lock());
        }
        self.gate
            .with_exposure(|exposure| apply_to_exposure(exposure, fact));
    }

    /// Takes in a fact that happened now and needs no position in the journal to be understood.
    pub fn apply_now(&self, fact: &Fact) {
        self.apply(fact, 0, self.clock.now(), None);
    }

    /// Journals what nobody waits for. When it cannot be written, the journal is dead and trading
    /// halts; the next start asks the venue again.
    pub fn write_quietly(&self, entry: Entry) {
        if let Err(error) = self.journal.append_quietly(entry) {
            tracing::warn!(%error, "not journaled");
        }
    }

    /// The order whose intent is record `seq`: from memory, else from the views.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the record cannot be read or is not an intent.
    pub fn order_of_intent(
        &self,
        reader: &dyn JournalReader,
        seq: u64,
    ) -> Result<OrderState, StoreError> {
        let raw = reader.records(seq, 1)?;
        let record = raw
            .first()
            .ok_or_else(|| StoreError::corrupt("a bound id has no record"))?;
        let Fact::OrderIntent { order, .. } = decode(record)?.fact else {
            return Err(StoreError::corrupt("a bound id's record is not an intent"));
        };
        if let Some(state) = self.order(&order.order_id) {
            return Ok(state);
        }
        let viewed = self.views.order(order.order_id)?.map(OrderState::from);
        viewed.ok_or_else(|| StoreError::Unavailable {
            doing: "reading an order that ended lately",
            cause: "the views have not reached it yet".into(),
        })
    }

    /// An order that is open, in doubt or lately ended.
    pub fn order(&self, id: &OrderId) -> Option<OrderState> {
        self.orders.lock().find(id).cloned()
    }
}
