//! An order: as a caller asks for it, as the gate admits it, and the states it can be in.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::{Entropy, EntropyFailed, UnixMicros};
use super::market::{Lots, Symbol, Ticks};

/// Buy or sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Increases the position.
    Buy,
    /// Decreases the position.
    Sell,
}

impl Side {
    /// The other one.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// As it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

/// How an order meets the book, as it is signed and sent. A venue sees no `market` order: the gate
/// makes an `ioc` of it ([`Terms::Market`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OrderType {
    /// Rests until filled or cancelled.
    #[default]
    Limit,
    /// Rests, or is rejected if it would trade at once.
    PostOnly,
    /// Trades at once what it can; the rest is cancelled.
    Ioc,
}

impl OrderType {
    /// As it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::PostOnly => "post_only",
            Self::Ioc => "ioc",
        }
    }
}

/// Our id of an order: a UUIDv7, so that ids grow with time. It is the venue's `client_order_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub Uuid);

impl OrderId {
    /// A new id, made of the time and of randomness.
    ///
    /// # Errors
    ///
    /// [`EntropyFailed`] when there is no randomness.
    pub fn make(now: UnixMicros, entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut random = [0; 10];
        entropy.fill(&mut random)?;
        Ok(Self(
            uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid(),
        ))
    }

    /// Reads an id in its hyphenated form.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 36).then(|| Uuid::try_parse(text).ok().map(Self))?
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The caller's own name for an order: 1 to 64 of `A-Za-z0-9._:-`. Unique per client for 24 h.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientOrderId(String);

/// The text is not a client order id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("client_order_id must be 1 to 64 of A-Z a-z 0-9 . _ : -")]
pub struct NotAClientOrderId;

impl ClientOrderId {
    /// Longest id, in characters.
    pub const LENGTH_MAX: usize = 64;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClientOrderId {
    type Error = NotAClientOrderId;
    fn try_from(text: String) -> Result<Self, NotAClientOrderId> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        if fits && text.bytes().all(plain) {
            Ok(Self(text))
        } else {
            Err(NotAClientOrderId)
        }
    }
}

impl From<ClientOrderId> for String {
    fn from(id: ClientOrderId) -> Self {
        id.0
    }
}

/// The venue's id of an order: at most 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VenueOrderId(String);

/// The venue's text is not an order id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a venue order id is 1 to 128 visible ASCII characters")]
pub struct NotAVenueOrderId;

impl VenueOrderId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VenueOrderId {
    type Error = NotAVenueOrderId;
    fn try_from(text: String) -> Result<Self, NotAVenueOrderId> {
        let fits = (1..=128).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err(NotAVenueOrderId)
        }
    }
}

impl From<VenueOrderId> for String {
    fn from(id: VenueOrderId) -> Self {
        id.0
    }
}

/// At what price, and how it meets the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// At a price of the caller's.
    Priced {
        /// How it meets the book.
        order_type: OrderType,
        /// Limit price in quote currency, exact as written.
        price: Decimal,
    },
    /// At what the book offers: the gate makes it an `ioc` at the hard collar, rounded inward to the
    /// tick, and it is valued, reserved and signed at that price.
    Market,
}

impl Terms {
    /// The word for a market order.
    pub const MARKET: &'static str = "market";

    /// A limit order at `price`.
    pub const fn limit(price: Decimal) -> Self {
        Self::Priced {
            order_type: OrderType::Limit,
            price,
        }
    }

    /// The caller's price, if it gave one.
    pub const fn price(&self) -> Option<Decimal> {
        match self {
            Self::Priced { price, .. } => Some(*price),
            Self::Market => None,
        }
    }

    /// The order type as the caller wrote it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Priced { order_type, .. } => order_type.as_str(),
            Self::Market => Self::MARKET,
        }
    }

    /// The order type that is signed and sent.
    pub const fn sent_as(&self) -> OrderType {
        match self {
            Self::Priced { order_type, .. } => *order_type,
            Self::Market => OrderType::Ioc,
        }
    }
}

/// What a caller asks for, parsed: shapes are right, no rule has been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRequest {
    /// The market's name as the caller wrote it; the gate knows which exist.
    pub symbol: String,
    /// Buy or sell.
    pub side: Side,
    /// Size in base currency, exact as written.
    pub size: Decimal,
    /// At what price, and how it meets the book.
    pub terms: Terms,
    /// The caller's own id; without one the order cannot be retried.
    pub client_order_id: Option<ClientOrderId>,
}

/// An order in whole ticks and lots of a known market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Our id.
    pub order_id: OrderId,
    /// The market.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// How it meets the book.
    pub order_type: OrderType,
    /// Limit price in ticks.
    pub price_ticks: Ticks,
    /// Limit price in quote currency: `price_ticks` × tick, exact.
    pub price: Decimal,
    /// Size in lots.
    pub size_lots: Lots,
    /// Size in base currency: `size_lots` × lot, exact.
    pub size: Decimal,
    /// Latest instant at which the venue may accept it, ms since the Unix epoch.
    pub expires_at_ms: u64,
}

/// Where an order stands. Exactly one is true at any time; a [terminal](Self::is_terminal) one stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Intent durable, nothing known from the venue yet.
    Pending,
    /// Rests at the venue.
    Open,
    /// Rests, partly filled.
    PartiallyFilled,
    /// Filled whole.
    Filled,
    /// Cancelled; a part may have been filled before.
    Cancelled,
    /// The venue said no.
    Rejected,
    /// No byte of it left this process.
    Discarded,
    /// It may have left, and the venue was proven not to have it.
    NotPlaced,
    /// It may have left, and the venue has not said yet.
    InDoubt,
}

impl OrderStatus {
    /// All of them, in the order of the contract.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Open,
        Self::PartiallyFilled,
        Self::Filled,
        Self::Cancelled,
        Self::Rejected,
        Self::Discarded,
        Self::NotPlaced,
        Self::InDoubt,
    ];

    /// As it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Open => "open",
            Self::PartiallyFilled => "partially_filled",
            Self::Filled => "filled",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Discarded => "discarded",
            Self::NotPlaced => "not_placed",
            Self::InDoubt => "in_doubt",
        }
    }

    /// Reads a status as it is written on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Nothing can happen to it any more.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Filled | Self::Cancelled | Self::Rejected | Self::Discarded | Self::NotPlaced
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SeededEntropy;

    #[test]
    fn a_client_order_id_is_1_to_64_plain_characters() {
        let id = |s: &str| ClientOrderId::try_from(s.to_owned());
        assert!(id("a").is_ok());
        assert!(id(&"x".repeat(64)).is_ok());
        assert!(id(&"x".repeat(65)).is_err());
        for bad in ["", "a b", "a/b", "ä", "a\0"] {
            assert!(id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn order_ids_grow_with_time_and_differ_within_a_millisecond() {
        let entropy = SeededEntropy::new(7);
        let at = |ms: u64| OrderId::make(UnixMicros(ms * 1_000), entropy.as_ref()).unwrap();
        assert!(at(1_000) < at(1_001));
        assert_ne!(at(5), at(5));
        let id = at(9);
        assert_eq!(OrderId::parse(&id.to_string()), Some(id));
        assert_eq!(OrderId::parse("nonsense"), None);
    }

    #[test]
    fn statuses_are_written_and_read_the_same() {
        for status in OrderStatus::ALL {
            assert_eq!(OrderStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(OrderStatus::parse("OPEN"), None);
    }
}
