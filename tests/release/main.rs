//! K1 under stress: once a halt has returned, no byte of an order leaves, on any thread or
//! connection, and what was opened before it stays dead after the lift.
//!
//! Many senders on several threads, a server that logs every byte, and a thread that halts and
//! lifts. Nothing here is decided by a clock: the server's log is compared with what the halts
//! counted at the moment they returned and with what the senders were told ([`judge`]).
//!
//! The same drive and the same judge are given a mechanism that only checks a flag before it
//! writes ([`flag`]); it must be caught. `tests/mutants` breaks the real one line by line.
//!
//! `FLASHGUARD_FULL=1` runs a thousand halts and more of each kind.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test ends where something is not as it must be"
)]

mod drive;
mod flag;
mod judge;
mod product;
mod server;

use drive::Load;
use judge::Findings;

/// Halts of one run, in the usual run and in the long one.
fn halts(usual: u64, long: u64) -> u64 {
    let is_long = std::env::var_os("FLASHGUARD_FULL").is_some_and(|value| value == "1");
    if is_long { long } else { usual }
}

fn assert_worth_something(findings: &Findings, halts: u64) {
    assert_eq!(findings.halts, halts);
    assert!(findings.answered > halts, "too few orders travelled");
    assert!(
        findings.stale_tried > halts,
        "too few dead tickets were tried"
    );
    assert!(findings.held > 0, "no order was under way in any halt");
    assert!(findings.in_doubt > 0, "no order ended in doubt");
    assert!(
        findings.compared > halts,
        "too few connections could be compared"
    );
}

#[test]
fn no_byte_of_an_order_leaves_after_a_halt_returned() {
    let halts = halts(600, 3_000);
    let server = server::Server::start(None);
    let findings = drive::run(product::plain(&server), server, Load::new(halts));
    println!("plain  {findings}");
    assert!(findings.leaks().is_empty(), "{findings}");
    assert_worth_something(&findings, halts);
}

#[test]
fn no_byte_of_an_order_leaves_after_a_halt_returned_over_tls() {
    let halts = halts(200, 1_000);
    let (acceptor, client) = product::certificate();
    let server = server::Server::start(Some(acceptor));
    let findings = drive::run(
        product::over_tls(&server, client),
        server,
        Load::over_tls(halts),
    );
    println!("tls    {findings}");
    assert!(findings.leaks().is_empty(), "{findings}");
    assert_worth_something(&findings, halts);
}

#[test]
fn a_flag_that_is_only_checked_before_the_write_is_caught() {
    const BATCH_HALTS: u64 = 200;
    const BATCHES_MAX: u64 = 25;
    let mut halts = 0;
    for _ in 0..BATCHES_MAX {
        halts += BATCH_HALTS;
        let server = server::Server::start(None);
        let findings = drive::run(flag::Flag::to(&server), server, Load::new(BATCH_HALTS));
        if !findings.leaks().is_empty() {
            println!("flag   {findings}");
            assert!(findings.beyond_snapshot > 0, "{findings}");
            return;
        }
    }
    panic!("{halts} halts of a plain flag, and nothing was caught: the judge is blind");
}
