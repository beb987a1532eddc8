//! Traits for the world outside, each with an in-memory twin that tests and embedders can use.

pub mod journal;
pub mod key_store;
pub mod sentinel;
pub mod venue;
pub mod views;
