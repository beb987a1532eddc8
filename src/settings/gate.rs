//! `gate.*`: what an order must keep to before anything is signed.

use flashguard_actors::domain::market::Symbol;
use rust_decimal::Decimal;

use super::table::{Shape, section};

/// Bounds of a limit in USDC.
const USDC: Shape = Shape::Decimal {
    min: "1",
    max: "1000000000",
};

/// Bounds of a collar.
const PER_CENT: Shape = Shape::Decimal {
    min: "0.01",
    max: "50",
};

section! {
    /// What an order must keep to before anything is signed. Exactly on a limit is admitted.
    "gate" Gate {
        /// Markets that may be traded; the venue must have them too.
        symbols: Vec<Symbol> = "SEI/USDC,ETH/USDC", "", Shape::Symbols;
        /// Orders that one client may send in the long run. Cancels are never limited.
        order_rate_per_s: u32 = "10", "orders/s", Shape::Integer { min: 1, max: 1_000_000 };
        /// Orders that one client may send at once after a pause.
        order_rate_burst: u32 = "20", "orders", Shape::Integer { min: 1, max: 1_000_000 };
        /// Largest position per market and side, counting every open order of that side as filled.
        position_limit_usdc: Decimal = "2000", "USDC", USDC;
        /// Largest value of one order, at the worse of its price and the reference.
        order_notional_max_usdc: Decimal = "1000", "USDC", USDC;
        /// Most orders open, pending or in doubt at a time.
        open_orders_max: usize = "200", "orders", Shape::Integer { min: 1, max: 1_000_000 };
        /// Largest sum of all positions and open orders over all markets.
        gross_exposure_max_usdc: Decimal = "4000", "USDC", USDC;
        /// Most orders that may be in doubt while new ones are still admitted.
        orders_in_doubt_max: usize = "3", "orders", Shape::Integer { min: 0, max: 1_000_000 };
        /// How far a price may be from the reference; beyond it the order is denied.
        price_collar_hard_pct: Decimal = "5", "per cent", PER_CENT;
        /// How far a price may be from the reference without a mark in the order's record. At most
        /// `gate.price_collar_hard_pct`.
        price_collar_soft_pct: Decimal = "2", "per cent", PER_CENT;
        /// Oldest reference price that an order is judged by, from the moment its book was asked for.
        /// Books are read every 250 ms.
        reference_max_age_ms: u64 = "2000", "ms", Shape::Integer { min: 100, max: 60_000 };
    }
}
