//! The paper venue: an exchange that needs no network, for development, drills and tests.
//!
//! It stands for a party outside. It has a memory of its own (`paper.db`) and commits before it
//! answers, so it survives a crash of the service; it checks every credential and every order
//! signature itself and shares no code with the signer. Served inside the service as a second
//! listener, and by `venue-sim` as a process of its own. No real venue speaks this protocol.
//!
//! ```text
//! http ── auth: who ── call: what ──▶ desk: one thread, one commit per group ──▶ answer
//!                                │     │ exchange: the rules (account, book, reference, market)
//!                                │     └ store: paper.db ◀── record ◀── control: the simulator's own
//!                                │     └ feed ──▶ feed_socket: best prices, trades, own fills
//!                                └ injection: what the simulator does wrong on purpose
//!                                  (faults: the plan; switch: the plan at work; line: the connection)
//! ```
//!
//! It does not pretend to be a real market: the reference price stands or walks at random, and
//! nothing that is traded moves it.

mod account;
mod answer;
mod auth;
mod book;
mod call;
mod control;
mod desk;
mod exchange;
pub mod faults;
mod feed;
mod feed_socket;
mod http;
mod injection;
mod line;
mod market;
mod order;
mod record;
mod reference;
mod rows;
mod server;
pub mod simulator;
mod store;
mod switch;
pub mod tls;
mod verify;

pub use auth::{Enrolment, Scope};
pub use record::{Accepted, accepted};
pub use server::{
    PaperSettings, PaperVenue, PaperVenueParts, ServeError, VOLATILITY_BPS_PER_S_MAX, serve,
};
pub use store::StoreError;

#[cfg(test)]
pub mod signing_for_tests;
#[cfg(test)]
mod tests;
