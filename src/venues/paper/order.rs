//! An order and a fill as the paper venue keeps them. No rules, no I/O.

use std::sync::Arc;

/// Which way an order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Buys the base currency.
    Buy,
    /// Sells the base currency.
    Sell,
}

impl Side {
    /// The other side.
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }

    /// Reads the word on the wire.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Buy, Self::Sell]
            .into_iter()
            .find(|side| side.word() == word)
    }
}

/// How long an order may live and whether it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderType {
    /// Takes what it can, the rest stays until it is filled or cancelled.
    Limit,
    /// Stays, or is rejected when it would take.
    PostOnly,
    /// Takes what it can at once, the rest is cancelled.
    Ioc,
}

impl OrderType {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::PostOnly => "post_only",
            Self::Ioc => "ioc",
        }
    }

    /// Reads the word on the wire.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Limit, Self::PostOnly, Self::Ioc]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Rests, nothing filled.
    Open,
    /// Rests, some of it filled.
    PartiallyFilled,
    /// All of it filled.
    Filled,
    /// Ended before all of it was filled.
    Cancelled,
    /// Never accepted.
    Rejected,
}

impl Status {
    const ALL: [Self; 5] = [
        Self::Open,
        Self::PartiallyFilled,
        Self::Filled,
        Self::Cancelled,
        Self::Rejected,
    ];

    /// The word on the wire and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::PartiallyFilled => "partially_filled",
            Self::Filled => "filled",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
        }
    }

    /// Reads the word on the wire.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }
}

/// Which side of an execution an order was on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liquidity {
    /// It rested.
    Maker,
    /// It took what rested.
    Taker,
}

impl Liquidity {
    /// The word on the wire and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Maker => "maker",
            Self::Taker => "taker",
        }
    }
}

/// An order whose sender and signature were verified, before the venue's own rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// The market's symbol as sent; may name none.
    pub market: String,
    /// Which way.
    pub side: Side,
    /// How long.
    pub kind: OrderType,
    /// Price in USDC, canonical decimal text.
    pub price: String,
    /// Size in the base currency, canonical decimal text.
    pub quantity: String,
    /// The sender's id, unique in the account for ever.
    pub client_order_id: String,
    /// Latest instant at which the order may be accepted, Unix ms.
    pub expires_at_ms: u64,
    /// The address that signed it.
    pub signer: [u8; 20],
    /// The signature as sent, hex.
    pub signature: String,
    /// The EIP-712 hash that the signature covers; two orders with one digest are the same order.
    pub digest: [u8; 32],
}

/// An order as the venue remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The venue's own number; grows.
    pub number: u64,
    /// Whose it is.
    pub account: Arc<str>,
    /// What was asked for.
    pub terms: NewOrder,
    /// How much of it was filled, in lots.
    pub filled_lots: u64,
    /// Where it stands.
    pub status: Status,
    /// When the venue took it or refused it, Unix ms.
    pub accepted_at_ms: u64,
    /// When it stopped being live, Unix ms.
    pub closed_at_ms: Option<u64>,
    /// Why it was rejected, or cancelled by the venue itself.
    pub reason: Option<String>,
}

/// One execution of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// Grows by one with each fill of the venue.
    pub id: u64,
    /// Whose it is.
    pub account: Arc<str>,
    /// The venue's number of the order.
    pub order_number: u64,
    /// The sender's id of the order.
    pub client_order_id: String,
    /// Index of the market.
    pub market: usize,
    /// Which way.
    pub side: Side,
    /// Price in ticks.
    pub ticks: u64,
    /// Size in lots.
    pub lots: u64,
    /// Fee in the market's fee units.
    pub fee_units: i128,
    /// Whether the order rested or took.
    pub liquidity: Liquidity,
    /// When, Unix ms.
    pub at_ms: u64,
}
