//! The journal: one append-only log of decisions, the single source of truth.
//!
//! Everybody who has something to record holds a [`writer::Journal`] and calls it directly, from any
//! thread: the one hop of the hot path. Records are made of [`record`], their bytes by
//! [`encoding`], their proofs by [`tree`] and [`checkpoint`]. Where the bytes lie is
//! `ports::journal`'s business, what they mean for trading is the folds'.

#[cfg(feature = "runtime")]
pub mod ack;
#[cfg(feature = "runtime")]
pub mod actor;
pub mod checkpoint;
pub mod encoding;
pub mod episodes;
pub mod fold;
#[cfg(feature = "runtime")]
pub mod messages;
pub mod opening;
#[cfg(feature = "runtime")]
mod queue;
pub mod record;
pub mod search;
pub mod tree;
pub mod views;
#[cfg(feature = "runtime")]
pub mod writer;

pub use record::Committed;
#[cfg(feature = "runtime")]
pub use writer::{AppendError, Journal};
