//! The limits, as numbers with their units.

use rust_decimal::Decimal;

use crate::domain::market::Symbol;

/// What the rules compare with. Equal to a limit is admitted.
///
/// One version is one set of numbers: every record of a decision names the version that it was made
/// by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Which set this is: 1 = what the settings said at the start; a change is the next number.
    pub version: u64,
    /// Markets that may be traded (`gate.symbols`; the seed's two).
    pub symbols: Vec<Symbol>,
    /// Highest price, in quote currency (seed: 1,000,000).
    pub price_max: Decimal,
    /// Largest size, in base currency (seed: 1,000,000).
    pub size_max: Decimal,
    /// Furthest price from the reference, in per cent (5).
    pub price_collar_hard_pct: Decimal,
    /// Furthest price from the reference that is not marked, in per cent (2).
    pub price_collar_soft_pct: Decimal,
    /// Oldest reference that an order is judged by, in ms since its book was asked for (2,000).
    pub reference_max_age_ms: u64,
    /// Largest order, in USDC at the worse of its price and the reference (1,000).
    pub order_notional_max_usdc: Decimal,
    /// Largest position per market and side, all open orders counted as filled (seed: 2,000 USDC).
    pub position_limit_usdc: Decimal,
    /// All positions and open orders together, in USDC (4,000).
    pub gross_exposure_max_usdc: Decimal,
    /// Orders that may be open, pending or in doubt at a time (200).
    pub open_orders_max: usize,
    /// Orders that may be in doubt while new ones are admitted (3).
    pub orders_in_doubt_max: usize,
    /// Orders per second and client (10).
    pub order_rate_per_s: u32,
    /// Orders that a client may send at once after a rest (20).
    pub order_rate_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let symbols = ["SEI/USDC", "ETH/USDC"]
            .into_iter()
            .filter_map(|s| Symbol::parse(s).ok());
        Self {
            version: 1,
            symbols: symbols.collect(),
            price_max: Decimal::from(1_000_000),
            size_max: Decimal::from(1_000_000),
            price_collar_hard_pct: Decimal::from(5),
            price_collar_soft_pct: Decimal::TWO,
            reference_max_age_ms: 2_000,
            order_notional_max_usdc: Decimal::from(1_000),
            position_limit_usdc: Decimal::from(2_000),
            gross_exposure_max_usdc: Decimal::from(4_000),
            open_orders_max: 200,
            orders_in_doubt_max: 3,
            order_rate_per_s: 10,
            order_rate_burst: 20,
        }
    }
}
