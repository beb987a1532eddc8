//! The venue as a process of its own, over plain HTTP and over TLS: what a real exchange is to us.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use super::daemon::{Daemon, filling, json_of, program, resting};
use super::until::until;
use super::venue::Venue;

/// A running simulator; killed at the end, as an exchange would go away.
struct Simulator {
    child: Child,
    directory: tempfile::TempDir,
    ready: Value,
}

impl Simulator {
    fn start(signer: &str, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = program()
            .arg("--data-dir")
            .arg(directory.path())
            .args([
                "--json",
                "venue-sim",
                "--listen",
                "127.0.0.1:0",
                "--signer",
                signer,
            ])
            .args(more)
            .env("FLASHGUARD__PAPER__VOLATILITY_BPS_PER_S", "0")
            .env("FLASHGUARD__PAPER__DEPTH_PER_LEVEL", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("ready line: {line:?}"));
        Self {
            child,
            directory,
            ready,
        }
    }

    fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }

    fn credential_file(&self) -> PathBuf {
        self.directory.path().join("venue-credential.json")
    }

    fn record(&self) -> Venue {
        Venue::in_directory(self.directory.path())
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address that the service signs orders with.
fn signer(daemon: &Daemon) -> String {
    let keys = json_of(&daemon.cli(["keys", "list", "--json"])).to_string();
    let address = keys
        .split('"')
        .find(|word| word.starts_with("0x") && word.len() == 42);
    address
        .unwrap_or_else(|| panic!("no address: {keys}"))
        .to_owned()
}

/// A service that trades at a simulator, which is started with these arguments.
fn trading_at_a_simulator(more: &[&str]) -> (Simulator, Daemon) {
    let mut daemon = Daemon::initialised(&[("VENUE__ADAPTER", "http")]);
    let simulator = Simulator::start(&signer(&daemon), more);
    daemon.set("VENUE__URL", simulator.url());
    if let Some(file) = simulator.ready["ca_file"].as_str() {
        daemon.set("VENUE__CA_FILE", file);
    }
    let credential = simulator.credential_file();
    let imported = daemon.cli([
        "keys",
        "import",
        "venue",
        "--file",
        credential.to_str().unwrap(),
    ]);
    assert!(imported.status.success(), "{imported:?}");
    daemon.start();
    (simulator, daemon)
}

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
    let mut daemon = Daemon::initialised(&[("VENUE__ADAPTER", "http")]);
    let simulator = Simulator::start(&signer(&daemon), &["--tls"]);
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
    simulator.child.kill().unwrap();
    simulator.child.wait().unwrap();
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
