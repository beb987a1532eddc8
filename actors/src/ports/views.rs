//! What can be asked about the past: orders, fills, events.
//!
//! Views are made from the journal and hold nothing of their own; each answer says as of which
//! record it is true. Lists are newest first; `next` is what to pass as `after` for what follows.

use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::journal::StoreError;
use crate::domain::clock::UnixMicros;
use crate::domain::identity::{Client, Principal};
use crate::domain::market::Symbol;
use crate::domain::order::{ClientOrderId, Order, OrderId, OrderStatus, VenueOrderId};

/// Most items of one answer.
pub const PAGE_ITEMS_MAX: usize = 1_000;

/// Everything the journal knows of one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// In ticks and lots, as admitted.
    pub order: Order,
    /// Whose.
    pub client: Client,
    /// The caller's id.
    pub client_order_id: ClientOrderId,
    /// Tells a retry from another order.
    pub content_hash: String,
    /// The credential that placed it.
    pub principal: Option<Principal>,
    /// Where it stands.
    pub status: OrderStatus,
    /// A code, when it was discarded, rejected or is in doubt.
    pub why: Option<String>,
    /// EIP-712 digest, once it was signed and may have left.
    pub digest: Option<String>,
    /// r‖s‖v, 0x hex.
    pub signature: Option<String>,
    /// The signer's address.
    pub signer: Option<String>,
    /// Name and version of the signing key.
    pub key_id: String,
    /// When it was signed.
    pub signed_at_us: Option<UnixMicros>,
    /// The venue's id.
    pub venue_order_id: Option<VenueOrderId>,
    /// Base currency filled so far.
    pub filled: Decimal,
    /// Fees so far, in quote currency.
    pub fees: Decimal,
    /// The intent's record.
    pub journal_seq: u64,
    /// The intent's time.
    pub created: UnixMicros,
    /// The time of the last record about it.
    pub updated: UnixMicros,
}

/// One fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillView {
    /// The venue's id of it.
    pub fill_id: String,
    /// Our order; `None` for one that is not ours.
    pub order_id: Option<OrderId>,
    /// The market.
    pub symbol: Symbol,
    /// `buy` or `sell`.
    pub side: crate::domain::order::Side,
    /// Exact price.
    pub price: Decimal,
    /// Exact size.
    pub size: Decimal,
    /// Fee in quote currency.
    pub fee: Decimal,
    /// Profit that this fill made real by reducing a position, against its average price, in quote
    /// currency, before fees.
    pub realised: Decimal,
    /// When, as the venue says.
    pub filled_at: UnixMicros,
    /// Its record.
    pub journal_seq: u64,
}

/// One record, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Its place.
    pub seq: u64,
    /// Its time.
    pub time: UnixMicros,
    /// What happened.
    pub kind: String,
    /// Retention class.
    pub class: String,
    /// Which part of the system said so.
    pub actor: String,
    /// Who caused it.
    pub principal: Option<String>,
    /// What it belongs to.
    pub correlation: Option<String>,
    /// The fact's fields.
    pub data: serde_json::Value,
    /// The payload, unless there is none or it was erased.
    pub private: Option<serde_json::Value>,
}

/// Which orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Only in this state.
    pub status: Option<OrderStatus>,
    /// Only with this caller's id.
    pub client_order_id: Option<ClientOrderId>,
    /// Only of this client.
    pub client: Option<Client>,
    /// Only older than this one: `next` of the answer before.
    pub after: Option<u64>,
    /// At most so many, and never more than [`PAGE_ITEMS_MAX`].
    pub limit: usize,
}

/// Which fills.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FillFilter {
    /// Only at this time or later, as the venue says.
    pub since: Option<UnixMicros>,
    /// Only of this market.
    pub symbol: Option<Symbol>,
    /// Only older than this one: `next` of the answer before.
    pub after: Option<u64>,
    /// At most so many, and never more than [`PAGE_ITEMS_MAX`].
    pub limit: usize,
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// A kind such as `halt.raised`, or the beginning of some, such as `halt.`.
    pub kind: Option<String>,
    /// Only by this credential.
    pub principal: Option<String>,
    /// Only of this request, order or incident.
    pub correlation: Option<String>,
    /// Only at this time or later.
    pub since: Option<UnixMicros>,
    /// Only before this time.
    pub until: Option<UnixMicros>,
    /// Only with this text somewhere in the record, letters of any case.
    pub text: Option<String>,
    /// Only older than this one: `next` of the answer before.
    pub after: Option<u64>,
    /// At most so many, and never more than [`PAGE_ITEMS_MAX`].
    pub limit: usize,
}

/// One answer of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Pass it as `after` for what follows; `None` at the end. An event search may give none or few
    /// items and still go on: each call reads a bounded part of the journal.
    pub next: Option<u64>,
    /// True after so many records.
    pub as_of: u64,
}

/// Shared views.
pub type SharedViews = std::sync::Arc<dyn Views>;

/// Questions about the past.
pub trait Views: Send + Sync + 'static {
    /// Records that answers take into account now.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be told.
    fn as_of(&self) -> Result<u64, StoreError>;

    /// Waits on this thread until answers take `size` records into account, or `limit` passed;
    /// returns how many they do.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be told.
    fn wait_for(&self, size: u64, limit: Duration) -> Result<u64, StoreError>;

    /// One order.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn order(&self, order_id: OrderId) -> Result<Option<OrderView>, StoreError>;

    /// Orders, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn orders(&self, filter: &OrderFilter) -> Result<Page<OrderView>, StoreError>;

    /// Fills, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn fills(&self, filter: &FillFilter) -> Result<Page<FillView>, StoreError>;

    /// Events, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn events(&self, filter: &EventFilter) -> Result<Page<EventView>, StoreError>;
}
