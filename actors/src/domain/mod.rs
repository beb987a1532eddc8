//! The words that every actor shares: orders, money, people, time, denials and secrets.
//!
//! No I/O, no actor and no rule of the gate: only types that cannot hold a wrong value, and the
//! parsers at their edge.

pub mod clock;
pub mod denial;
pub mod identity;
pub mod market;
pub mod order;
pub mod position;
pub mod secret;
pub mod status;
