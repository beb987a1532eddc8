//! What an account holds: one position per market, exact to the last place of its fees.

use std::collections::BTreeMap;

use super::order::{Fill, Side};

/// What an account holds in one market. All zero at the start; the sum of its fills ever after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// Base currency held, in lots; negative when more was sold than bought.
    pub lots: i64,
    /// USDC received for what was sold less USDC paid for what was bought, in ticks times lots.
    pub cash_units: i128,
    /// Fees paid, in the market's fee units.
    pub fee_units: i128,
}

impl Position {
    /// Adds one fill. The venue's bounds on orders keep every sum far inside its type.
    pub fn add(&mut self, fill: &Fill) {
        let lots = i64::try_from(fill.lots).unwrap_or(i64::MAX);
        let value = i128::from(fill.ticks).saturating_mul(i128::from(fill.lots));
        match fill.side {
            Side::Buy => {
                self.lots = self.lots.saturating_add(lots);
                self.cash_units = self.cash_units.saturating_sub(value);
            }
            Side::Sell => {
                self.lots = self.lots.saturating_sub(lots);
                self.cash_units = self.cash_units.saturating_add(value);
            }
        }
        self.fee_units = self.fee_units.saturating_add(fill.fee_units);
    }
}

/// What the venue keeps in memory for one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Position by index of the market.
    pub positions: BTreeMap<usize, Position>,
    /// How many of its orders are live.
    pub live_orders: usize,
}
