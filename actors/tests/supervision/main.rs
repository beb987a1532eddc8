//! Supervision as an embedder uses it: handles outlive whatever happens to the actors behind them.
//!
//! Every test drives the real thing, from a tokio multi-thread runtime that is not the library's.
//! No test asserts a duration; every loop and every wait is bounded.

#![cfg(feature = "runtime")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: a step that fails is a test that fails"
)]

mod broadcast;
mod clients;
mod escalation;
mod failures;
mod hung;
mod lifecycle;
mod probe;
mod rig;
