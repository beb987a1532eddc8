//! The kill switch as a value: a latch, and the permit around the one write of an order.

/// What an order is admitted under: the latch's word and the incarnation that carries it. It dies
/// with the next halt and stays dead after a lift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// epoch << 1 | halted, as read at the door.
    pub(crate) word: u64,
    /// The generation of the lane's owner.
    pub(crate) generation: u64,
}
