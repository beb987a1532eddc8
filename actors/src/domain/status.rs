//! The state of trading as people see it.

use serde::{Deserialize, Serialize};

/// What trading may do. Precedence when several hold: halted, paused, reduce-only, active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TradingState {
    /// Orders pass.
    Active,
    /// Only orders that reduce a position pass.
    ReduceOnly,
    /// New orders are refused until every pause token is gone.
    Paused,
    /// Nothing leaves until two people lift it. `emergency_shutdown` on the wire, as the seed says.
    #[serde(rename = "emergency_shutdown")]
    Halted,
}

impl TradingState {
    /// As it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::ReduceOnly => "reduce_only",
            Self::Paused => "paused",
            Self::Halted => "emergency_shutdown",
        }
    }
}
