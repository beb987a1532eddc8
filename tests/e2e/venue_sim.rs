//! The venue as a process of its own, over plain HTTP and over TLS: what a real exchange is to us.

use super::daemon::{Daemon, filling, resting};
use super::simulator::{Simulator, signer, trading_at_a_simulator};
use super::until::until;

/// An order is placed there, one rests, and a halt takes it away and lets nothing leave.
fn trades_and_halts(simulator: &Simulator, daemon: &Daemon) {
    let bot = daemon.caller("system");
    let placed = bot.order(&filling("far-1")).expect(201);
    assert_eq!(
        simulator.record().accepted(),
        [placed["order_id"].as_str().unwrap()]
    );
    bot.order(&resting("far-2")).expect(201);
    daemon.caller("admin").emergency_stop("test");
    until("nothing rests there", || match simulator.record().open() {
        open if open.is_empty() => Ok(()),
        open => Err(format!("{open:?}")),
    });
    bot.order(&filling("far-3"))
        .expect_error(503, "TRADING_HALTED");
    assert_eq!(simulator.record().accepted().len(), 2);
}

#[test]
fn a_venue_in_a_process_of_its_own_is_traded_at_and_halted() {
    let (simulator, daemon) = trading_at_a_simulator(&[]);
    assert!(simulator.url().starts_with("http://"));
    trades_and_halts(&simulator, &daemon);
}

#[test]
fn a_venue_over_tls_is_traded_at_and_halted() {
    let (simulator, daemon) = trading_at_a_simulator(&["--tls"]);
    assert!(simulator.url().starts_with("https://"));
    trades_and_halts(&simulator, &daemon);
}

#[test]
fn a_venue_whose_certificate_nobody_vouches_for_gets_no_order() {
    let mut daemon = Daemon::initialised(&[]);
    let simulator = Simulator::start(&signer(&daemon), &["--tls"]);
    daemon.set("VENUE__ADAPTER", "http");
    daemon.set("VENUE__URL", simulator.url());
    let credential = simulator.credential_file();
    let imported = daemon.cli([
        "keys",
        "import",
        "venue",
        "--file",
        credential.to_str().unwrap(),
    ]);
    assert!(imported.status.success(), "{imported:?}");
    daemon.start_with(&[]);
    let reply = daemon.caller("system").order(&filling("no"));
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(
        simulator.record().accepted().is_empty(),
        "{:?}",
        simulator.directory()
    );
}

#[test]
fn a_venue_that_goes_away_leaves_no_order_in_doubt_that_never_left() {
    let (mut simulator, daemon) = trading_at_a_simulator(&[]);
    let bot = daemon.caller("system");
    bot.order(&filling("there-1")).expect(201);
    simulator.kill();
    // The first may find an open connection and be in doubt; a fresh connection cannot be had.
    let reply = until("an order is told that nothing left", || {
        let reply = bot.order(&serde_json::json!({
            "symbol": "SEI/USDC", "side": "buy", "price": "0.2510", "size": "100",
        }));
        if reply.status == 503 {
            Ok(reply)
        } else {
            Err(format!("{reply:?}"))
        }
    });
    reply.expect_error(503, "VENUE_UNAVAILABLE");
}
