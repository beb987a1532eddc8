//! The venue as a port: declared capabilities, pure framing, one lane for orders and one door for
//! everything else.
//!
//! An adapter is a set of pure functions ([`Framing`]); the connections are the service's, the same
//! for all adapters. Orders travel only over an [`OrderLane`], whose one write stands under a permit
//! of the latch (K1); queries and cancels travel through [`Venue::ask`] on other connections, in
//! every state (K12). No part of an adapter outside the key manager sees a secret: the key manager
//! calls the framing functions (`docs/adr`).

#[cfg(feature = "runtime")]
pub mod memory;

use std::sync::Arc;

use bytes::Bytes;
use flashguard_latch::Ticket;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use rust_decimal::Decimal;

use crate::domain::clock::UnixMicros;
use crate::domain::market::{Market, Symbol};
use crate::domain::order::{Order, OrderId, OrderStatus, Side, VenueOrderId};

/// What a venue can do. What it cannot is refused at start or worked round, never pretended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// It takes `expires_at_ms`, so an order that never arrived can be proven absent (K7).
    pub acceptance_expiry: bool,
    /// It finds an order by our id.
    pub lookup_by_our_id: bool,
    /// It cancels everything in one call.
    pub cancel_all: bool,
    /// It tells books, trades and fills by itself as they happen.
    pub feed: bool,
}

/// One HTTP request, complete: nothing is added on the way but `Host` and `Content-Length`.
#[derive(Clone, PartialEq, Eq)]
pub struct Framed {
    /// `GET`, `POST`, `DELETE`.
    pub method: http::Method,
    /// Path and query as sent and as signed.
    pub target: String,
    /// Headers, authentication included: never logged.
    pub headers: Vec<(&'static str, String)>,
    /// The body as sent and as signed.
    pub body: Bytes,
}

/// The order's own signature, made by the key manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSignature {
    /// EIP-712 digest of the order, 0x-prefixed lower-case hex.
    pub digest: String,
    /// r‖s‖v, 65 bytes, v 27 or 28, low s; 0x-prefixed lower-case hex.
    pub signature: String,
    /// The signer's EVM address, 0x-prefixed, EIP-55.
    pub signer: String,
}

/// A venue credential lent by the key manager for the time of one framing call.
pub struct CredentialView<'a> {
    /// Public part.
    pub api_key: &'a str,
    /// Secret part.
    pub secret: &'a [u8],
}

/// What is asked of a venue besides placing orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Who am I, with which scopes.
    Account,
    /// Everything that rests, also what this process does not know.
    OpenOrders,
    /// One order by our id, also closed ones.
    OrderById(OrderId),
    /// Cancel one by the venue's id.
    Cancel(VenueOrderId),
    /// Cancel everything.
    CancelAll,
    /// Signed positions.
    Positions,
    /// Fills after this fill's sequence; `None` from the first.
    Fills {
        /// The venue's cursor, as its last answer gave it.
        since: Option<String>,
    },
    /// Which markets there are.
    Markets,
    /// Best bid and ask of one market.
    Book(Symbol),
}

/// A venue's answer to a [`Query`], read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`Query::Account`].
    Account(Account),
    /// To [`Query::OpenOrders`].
    OpenOrders(Vec<VenueOrder>),
    /// To [`Query::OrderById`]; `None` when the venue does not have it.
    Order(Option<VenueOrder>),
    /// To [`Query::Cancel`]: accepted, which is not yet confirmed.
    CancelAccepted,
    /// To [`Query::Cancel`]: nothing of that id rests.
    NothingToCancel,
    /// To [`Query::CancelAll`]: accepted, which is not yet confirmed.
    CancelAllAccepted,
    /// To [`Query::Positions`].
    Positions(Vec<VenuePosition>),
    /// To [`Query::Fills`].
    Fills(Vec<VenueFill>),
    /// To [`Query::Markets`].
    Markets(Vec<Market>),
    /// To [`Query::Book`].
    Book(Quote),
}

/// What a credential is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's name at the venue.
    pub account: String,
    /// What the credential may do, the venue's words (`trade`, `read`, `withdraw`, `manage_keys`).
    pub scopes: Vec<String>,
}

/// An order as the venue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueOrder {
    /// The venue's id.
    pub venue_order_id: VenueOrderId,
    /// Our id, when it is one of ours.
    pub order_id: Option<OrderId>,
    /// The market.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Limit price.
    pub price: Decimal,
    /// Size asked.
    pub size: Decimal,
    /// Size filled so far.
    pub filled: Decimal,
    /// Its state there.
    pub status: OrderStatus,
    /// The address whose signature the venue checked, where it says so: 0x-prefixed hex, any case.
    pub signer: Option<String>,
}

/// A position as the venue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenuePosition {
    /// The market.
    pub symbol: Symbol,
    /// Signed size in base currency.
    pub size: Decimal,
}

/// One fill as the venue reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueFill {
    /// The venue's id of this fill: counted once.
    pub fill_id: String,
    /// The cursor that continues after this fill.
    pub cursor: String,
    /// The venue's id of the order.
    pub venue_order_id: VenueOrderId,
    /// Our id, when it is one of ours.
    pub order_id: Option<OrderId>,
    /// The market.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Price of this fill.
    pub price: Decimal,
    /// Size of this fill.
    pub size: Decimal,
    /// Fee in quote currency, exact.
    pub fee: Decimal,
    /// When, as the venue says.
    pub at: UnixMicros,
}

/// Best bid and ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Highest price bid.
    pub bid: Decimal,
    /// Lowest price asked.
    pub ask: Decimal,
}

/// One message of a venue's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedMessage {
    /// Its number on its connection: 1, then one more each time. A jump is a gap.
    pub seq: u64,
    /// When the venue says it was true.
    pub sent: UnixMicros,
    /// What it tells.
    pub news: FeedNews,
}

/// What a feed tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedNews {
    /// The best prices of a market are now these; a side that is empty stands at 0.
    Book {
        /// The market.
        symbol: Symbol,
        /// Best bid and ask.
        quote: Quote,
    },
    /// Something was traded, by anyone.
    Trade {
        /// The market.
        symbol: Symbol,
        /// What was traded.
        trade: Trade,
    },
    /// An order of this account was filled.
    Fill(Box<VenueFill>),
    /// Something that this program knows nothing of; it has a number all the same.
    Other,
}

/// One trade of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    /// The side that took.
    pub side: Side,
    /// Its price.
    pub price: Decimal,
    /// Its size in base currency.
    pub size: Decimal,
}

/// Why a feed's connection tells no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedEnd {
    /// The venue closed it.
    #[error("the venue closed it")]
    Closed,
    /// Nothing came for too long, not even an answer to a ping.
    #[error("it was silent for too long")]
    Silent,
    /// The connection broke, or the venue broke the protocol.
    #[error("the connection broke")]
    Broken,
    /// A message cannot be read, or is too long.
    #[error("a message cannot be read")]
    Unreadable,
}

/// An open feed. Dropping it closes the connection.
pub trait FeedConnection: Send {
    /// The next message. A call that is dropped loses none. After [`FeedEnd`] nothing follows.
    fn next(&mut self) -> BoxFuture<'_, Result<FeedMessage, FeedEnd>>;
}

/// The venue's word on one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderAnswer {
    /// It has it, in this state.
    Placed {
        /// The venue's id.
        venue_order_id: VenueOrderId,
        /// Open, partly or wholly filled, or (an `ioc` without a match) cancelled.
        status: OrderStatus,
    },
    /// It refused it for good: it never was an order there.
    Rejected {
        /// The venue's own code, at most 64 characters.
        code: String,
        /// The venue's own words, at most 256 characters.
        message: String,
    },
    /// Neither can be read from it (5xx, 429 after the effect, garbage): in doubt.
    Unclear {
        /// HTTP status.
        status: u16,
    },
}

/// Pure functions of an adapter: how a venue's requests are written and its answers are read.
pub trait Framing: Send + Sync + 'static {
    /// The adapter's name, as `venue.adapter` has it.
    fn name(&self) -> &'static str;
    /// What the venue can do.
    fn capabilities(&self) -> Capabilities;
    /// An order, signed and authenticated.
    fn order(
        &self,
        order: &Order,
        signature: &OrderSignature,
        credential: &CredentialView<'_>,
        now: UnixMicros,
    ) -> Framed;
    /// Reads the answer to an order. Only a clear yes is `Placed`, only a clear no `Rejected`.
    fn read_order_answer(&self, status: u16, body: &[u8]) -> OrderAnswer;
    /// A query or a cancel, authenticated.
    fn query(&self, query: &Query, credential: &CredentialView<'_>, now: UnixMicros) -> Framed;
    /// Reads the answer to `query`.
    ///
    /// # Errors
    ///
    /// [`VenueError`] for everything that is not a clear answer to this query.
    fn read(&self, query: &Query, status: u16, body: &[u8]) -> Result<Reply, VenueError>;
    /// The request that opens the feed, authenticated; the connection adds what its protocol needs.
    /// `None` where the venue has no feed.
    fn feed(&self, _: &CredentialView<'_>, _: UnixMicros) -> Option<Framed> {
        None
    }
    /// Reads one message of the feed.
    ///
    /// # Errors
    ///
    /// [`VenueError::Unreadable`] for everything that is not a message whole.
    fn read_feed(&self, _: &str) -> Result<FeedMessage, VenueError> {
        let internal = "this venue has no feed".to_owned();
        Err(VenueError::Unreadable { internal })
    }
}

/// Why a query got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VenueError {
    /// The venue does not accept the credential (401, 403). A restart does not help.
    #[error("the venue rejected the credential")]
    CredentialRejected,
    /// The venue asks to slow down.
    #[error("the venue asks to retry later")]
    Throttled {
        /// As it said, bounded to a minute.
        retry_after_ms: Option<u64>,
    },
    /// No connection, no answer in time, or a failure on its side (5xx).
    #[error("the venue cannot be reached")]
    Unreachable {
        /// For the log.
        internal: String,
    },
    /// An answer that does not say what it should.
    #[error("the venue's answer cannot be read")]
    Unreadable {
        /// For the log.
        internal: String,
    },
}

/// An order ready to leave: signed, framed and authenticated. Only the key manager makes one (its
/// constructor is not visible outside this crate, and `tests/layers.rs` keeps it to that module
/// inside), and an [`OrderLane`] takes nothing else.
///
/// ```compile_fail
/// let forged = flashguard_actors::ports::venue::Signed { ..todo!() };
/// ```
pub struct Signed {
    order: Order,
    framed: Framed,
    signature: OrderSignature,
    key_id: String,
    credential_generation: u64,
    signed_at: UnixMicros,
}

impl Signed {
    /// For the key manager alone.
    pub(crate) fn new(
        order: Order,
        framed: Framed,
        signature: OrderSignature,
        key_id: String,
        credential_generation: u64,
        signed_at: UnixMicros,
    ) -> Self {
        Self {
            order,
            framed,
            signature,
            key_id,
            credential_generation,
            signed_at,
        }
    }

    /// The request as it will be sent.
    pub fn framed(&self) -> &Framed {
        &self.framed
    }

    /// Which order this is.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The order's own signature.
    pub fn signature(&self) -> &OrderSignature {
        &self.signature
    }

    /// Name and version of the signing key, such as `sei/1`.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The generation of the venue credential it was framed with; a connection belongs to one.
    pub fn credential_generation(&self) -> u64 {
        self.credential_generation
    }

    /// When it was signed.
    pub fn signed_at(&self) -> UnixMicros {
        self.signed_at
    }
}

/// What became of an order's bytes. The byte count under the permit decides, never an error of the
/// HTTP library (`release.md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The venue answered.
    Answered {
        /// HTTP status.
        status: u16,
        /// At most 64 KiB.
        body: Bytes,
    },
    /// No byte of it left this process.
    NothingLeft {
        /// For the log and the outcome record.
        why: &'static str,
    },
    /// Some byte may have left, and there is no answer.
    InDoubt {
        /// For the log and the outcome record.
        why: &'static str,
    },
}

/// One worker's way to the venue for orders: connections under the latch, one request at a time on
/// each. Lives on the thread that made it.
pub trait OrderLane {
    /// Sends one order of `ticket`. The verdict is found even if the returned future is dropped;
    /// only its delivery is lost then.
    fn send(&self, ticket: Ticket, order: Arc<Signed>) -> LocalBoxFuture<'static, Verdict>;
}

/// A venue: framing, one lane per worker for orders, and queries on connections of their own.
pub trait Venue: Send + Sync + 'static {
    /// The pure part.
    fn framing(&self) -> &dyn Framing;
    /// Sends a framed query or cancel and reads its answer. Deadline and bounds are the venue's
    /// settings; never resent by itself.
    fn ask(&self, query: Query, framed: Framed) -> BoxFuture<'static, Result<Reply, VenueError>>;
    /// A lane for the calling thread.
    fn lane(&self) -> Box<dyn OrderLane>;
    /// Opens the feed with a framed request, within the venue's deadline.
    fn feed(&self, _: Framed) -> BoxFuture<'static, Result<Box<dyn FeedConnection>, VenueError>> {
        let internal = "this venue has no feed".to_owned();
        Box::pin(std::future::ready(Err(VenueError::Unreachable {
            internal,
        })))
    }
}

/// A shared venue.
pub type SharedVenue = Arc<dyn Venue>;
