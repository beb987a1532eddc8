//! Why the gate says no: a stable code and the numbers that decided.

use rust_decimal::Decimal;
use serde::Serialize;

use super::market::Symbol;

/// One rule that an order breaks. The code is for programs, the fields for the person on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Denial {
    /// The market is not one of `gate.symbols`, or the venue does not have it.
    #[error("UNKNOWN_SYMBOL: {symbol} is not traded here")]
    UnknownSymbol {
        /// As the caller wrote it, at most 32 characters of it.
        symbol: String,
    },
    /// The price is not a whole number of ticks.
    #[error("TICK: price {price} is not a multiple of the tick {tick}")]
    Tick {
        /// Asked.
        price: Decimal,
        /// The market's step.
        tick: Decimal,
    },
    /// The size is not a whole number of lots.
    #[error("LOT: size {size} is not a multiple of the lot {lot}")]
    Lot {
        /// Asked.
        size: Decimal,
        /// The market's step.
        lot: Decimal,
    },
    /// The price is not positive or above the bound (seed: 1,000,000).
    #[error("PRICE_RANGE: price {price} must be above 0 and at most {max}")]
    PriceRange {
        /// Asked.
        price: Decimal,
        /// Highest price admitted.
        max: Decimal,
    },
    /// The size is not positive or above the bound (seed: 1,000,000).
    #[error("SIZE_RANGE: size {size} must be above 0 and at most {max}")]
    SizeRange {
        /// Asked.
        size: Decimal,
        /// Largest size admitted.
        max: Decimal,
    },
    /// The venue takes no order worth so little.
    #[error("NOTIONAL_MIN: {notional_usdc} USDC is below the venue's least order {min_usdc}")]
    NotionalMin {
        /// Value at the order's price.
        notional_usdc: Decimal,
        /// The venue's bound.
        min_usdc: Decimal,
    },
    /// There is no reference price, so the price cannot be judged.
    #[error("REFERENCE_MISSING: no reference price for {symbol}")]
    ReferenceMissing {
        /// The market.
        symbol: Symbol,
    },
    /// The market's book has no price on one side, or its bid is above its ask: nothing can be judged
    /// by it.
    #[error("REFERENCE_CROSSED: the book of {symbol} stands at {bid}/{ask}")]
    ReferenceCrossed {
        /// The market.
        symbol: Symbol,
        /// Highest price bid; 0 = nobody bids.
        bid: Decimal,
        /// Lowest price asked; 0 = nobody asks.
        ask: Decimal,
    },
    /// The reference price is too old.
    #[error(
        "REFERENCE_STALE: the book of {symbol} was asked for {age_ms} ms ago, limit {limit_ms}"
    )]
    ReferenceStale {
        /// The market.
        symbol: Symbol,
        /// Since the book was asked for, by the time since boot.
        age_ms: u64,
        /// `gate.reference_max_age_ms`.
        limit_ms: u64,
    },
    /// The price is too far from the reference.
    #[error(
        "PRICE_COLLAR: price {price} is {deviation_pct} % from {reference}, limit {limit_pct} %"
    )]
    PriceCollar {
        /// Asked.
        price: Decimal,
        /// The mid of the venue's book.
        reference: Decimal,
        /// How far, in per cent of the reference, without sign.
        deviation_pct: Decimal,
        /// `gate.price_collar_hard_pct`.
        limit_pct: Decimal,
    },
    /// One order is worth too much.
    #[error("ORDER_NOTIONAL: {notional_usdc} USDC, limit {limit_usdc}")]
    OrderNotional {
        /// At the worse of the order's price and the reference.
        notional_usdc: Decimal,
        /// `gate.order_notional_max_usdc`.
        limit_usdc: Decimal,
    },
    /// The position with all open orders of that side would be too large.
    #[error("POSITION_LIMIT: after_usdc={after_usdc} limit_usdc={limit_usdc}")]
    PositionLimit {
        /// The market.
        symbol: Symbol,
        /// Projected, if every open order of that side and this one filled.
        after_usdc: Decimal,
        /// `gate.position_limit_usdc`.
        limit_usdc: Decimal,
    },
    /// All positions and open orders together would be too large.
    #[error("GROSS_EXPOSURE: after_usdc={after_usdc} limit_usdc={limit_usdc}")]
    GrossExposure {
        /// Projected over all markets.
        after_usdc: Decimal,
        /// `gate.gross_exposure_max_usdc`.
        limit_usdc: Decimal,
    },
    /// Trading only reduces positions, and this order, with all that is open on its side, could do
    /// more.
    #[error("REDUCE_ONLY: {size} and {open_size} open on that side, {reducible} can be reduced")]
    ReduceOnly {
        /// The market.
        symbol: Symbol,
        /// Asked, in base currency.
        size: Decimal,
        /// Open, pending or in doubt on that side, in base currency.
        open_size: Decimal,
        /// The position that this side reduces; 0 when it would grow it.
        reducible: Decimal,
    },
    /// Too many orders are in doubt: it is not known what stands at the venue.
    #[error("ORDERS_IN_DOUBT: {in_doubt} in doubt, limit {limit}")]
    OrdersInDoubt {
        /// In doubt now.
        in_doubt: u64,
        /// `gate.orders_in_doubt_max`.
        limit: u64,
    },
    /// It would trade with an order of this account.
    #[error(
        "SELF_TRADE: {price} meets the own order {own_order_id} at {own_price}; cancel that first"
    )]
    SelfTrade {
        /// This order's price.
        price: Decimal,
        /// The order of the other side that it would meet: our id, or the venue's for one that is not
        /// in the journal.
        own_order_id: String,
        /// That order's price.
        own_price: Decimal,
    },
    /// A key that the order needs cannot be used for orders.
    #[error("KEY_UNUSABLE: {key}: {why}")]
    KeyUnusable {
        /// Its name.
        key: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Too many orders are open.
    #[error("OPEN_ORDERS: {open} open, limit {limit}")]
    OpenOrders {
        /// Open, pending or in doubt now.
        open: u64,
        /// `gate.open_orders_max`.
        limit: u64,
    },
    /// This client sends too fast.
    #[error("ORDER_RATE: over {rate_per_s}/s, retry after {retry_after_ms} ms")]
    OrderRate {
        /// `gate.order_rate_per_s`.
        rate_per_s: u32,
        /// When the next order of this client passes.
        retry_after_ms: u64,
    },
}

impl Denial {
    /// The stable code, such as `POSITION_LIMIT`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownSymbol { .. } => "UNKNOWN_SYMBOL",
            Self::Tick { .. } => "TICK",
            Self::Lot { .. } => "LOT",
            Self::PriceRange { .. } => "PRICE_RANGE",
            Self::SizeRange { .. } => "SIZE_RANGE",
            Self::NotionalMin { .. } => "NOTIONAL_MIN",
            Self::ReferenceMissing { .. } => "REFERENCE_MISSING",
            Self::ReferenceCrossed { .. } => "REFERENCE_CROSSED",
            Self::ReferenceStale { .. } => "REFERENCE_STALE",
            Self::PriceCollar { .. } => "PRICE_COLLAR",
            Self::OrderNotional { .. } => "ORDER_NOTIONAL",
            Self::PositionLimit { .. } => "POSITION_LIMIT",
            Self::GrossExposure { .. } => "GROSS_EXPOSURE",
            Self::ReduceOnly { .. } => "REDUCE_ONLY",
            Self::OrdersInDoubt { .. } => "ORDERS_IN_DOUBT",
            Self::SelfTrade { .. } => "SELF_TRADE",
            Self::KeyUnusable { .. } => "KEY_UNUSABLE",
            Self::OpenOrders { .. } => "OPEN_ORDERS",
            Self::OrderRate { .. } => "ORDER_RATE",
        }
    }
}

/// Every rule that an order breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denials {
    /// At least one, in the order of the gate's table.
    pub broken: Vec<Denial>,
    /// The version of the limits that it was judged by.
    pub limits_v: u64,
}
