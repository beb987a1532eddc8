//! The journal: one append-only log of decisions, the single source of truth.

pub mod checkpoint;
pub mod encoding;
pub mod record;
pub mod tree;

pub use record::Committed;
