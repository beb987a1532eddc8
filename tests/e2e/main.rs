//! The built program, driven from outside: HTTP, command line, files and signals, nothing else.
//!
//! Each test starts its own [`daemon::Daemon`] on its own data directory and free ports. What left for
//! the venue is judged at the venue's own record ([`venue::Venue`]), not by what the service says of
//! itself. Every wait is bounded ([`until::until`]) and ends with the last state it saw.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what went wrong by panicking"
)]

mod daemon;
mod http;
mod proxy;
mod simulator;
mod trader;
mod until;
mod venue;

mod bad_input;
mod cancel_all;
mod cli;
mod feed;
mod halt;
mod in_doubt;
mod integrators;
mod lift;
mod limits;
mod model;
mod order;
mod restart;
mod seed;
mod states;
mod venue_faults;
mod venue_sim;
