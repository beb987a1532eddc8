//! The journal: one append-only log of decisions, the single source of truth.

pub mod record;

pub use record::Committed;
