//! By which rules an order is judged.

/// What trading admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every order that keeps to the limits.
    Active,
    /// Only an order that, with all open reducing orders of its side, is at most the position (K12).
    ReduceOnly,
}
