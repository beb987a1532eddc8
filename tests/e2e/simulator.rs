//! A running `venue-sim`, its control routes, and a service that trades at it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::daemon::{Daemon, json_of, program};
use super::http::{self, Reply};
use super::venue::Venue;

/// A running simulator; killed at the end, as an exchange would go away.
pub struct Simulator {
    child: Child,
    directory: tempfile::TempDir,
    /// What it said when it was ready.
    pub ready: Value,
}

impl Simulator {
    /// Starts one that accepts orders of a signer, with more arguments of its own. Its book stands
    /// still and is without end.
    pub fn start(signer: &str, more: &[&str]) -> Self {
        Self::start_with_depth(signer, more, 0)
    }

    /// As [`start`](Self::start), with so much at each level of the book; 0 is without end.
    pub fn start_with_depth(signer: &str, more: &[&str], depth_per_level: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = program()
            .arg("--data-dir")
            .arg(directory.path())
            .args(["--json", "venue-sim", "--listen", "127.0.0.1:0"])
            .args(["--signer", signer])
            .args(more)
            .env("FLASHGUARD__PAPER__VOLATILITY_BPS_PER_S", "0")
            .env(
                "FLASHGUARD__PAPER__DEPTH_PER_LEVEL",
                depth_per_level.to_string(),
            )
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

    /// For `venue.url`.
    pub fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }

    /// Where the venue listens.
    pub fn address(&self) -> SocketAddr {
        address_of(self.url())
    }

    /// What it keeps its credential in.
    pub fn credential_file(&self) -> PathBuf {
        self.directory.path().join("venue-credential.json")
    }

    /// Its own record.
    pub fn record(&self) -> Venue {
        Venue::in_directory(self.directory.path())
    }

    /// Its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves its files where they are when it goes.
    pub fn keep(&mut self) {
        self.directory.disable_cleanup(true);
    }

    /// Takes it away, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A request to its control routes.
    pub fn control(&self, method: &str, target: &str, body: Option<&str>) -> Reply {
        let address = address_of(self.ready["control"].as_str().unwrap());
        http::send(address, method, target, &[], body).unwrap()
    }

    /// What a control route says.
    #[track_caller]
    pub fn read(&self, target: &str) -> Value {
        self.control("GET", target, None).expect(200)
    }

    /// Puts a plan in place of the present one.
    #[track_caller]
    pub fn plan(&self, plan: &Value) {
        let reply = self.control("PUT", "/sim/faults", Some(&plan.to_string()));
        assert_eq!(reply.expect(200), *plan);
    }

    /// Ends all faults.
    #[track_caller]
    pub fn no_faults(&self) {
        let reply = self.control("DELETE", "/sim/faults", None);
        assert_eq!(reply.expect(200), json!({ "seed": 0, "rules": [] }));
    }

    /// The order with that id of ours as the simulator has it; `Null` when it never heard of it.
    pub fn order(&self, client_order_id: &str) -> Value {
        let orders = self.read("/sim/orders");
        let orders = orders["orders"].as_array().unwrap().iter();
        let mut named = orders.filter(|order| order["client_order_id"] == client_order_id);
        named.next().cloned().unwrap_or_default()
    }

    /// How often an order with that id of ours was accepted.
    pub fn accepted(&self, client_order_id: &str) -> usize {
        let all = self.record().accepted();
        all.iter().filter(|id| *id == client_order_id).count()
    }

    /// Puts a plan of these rules in place of the present one.
    #[track_caller]
    pub fn rules(&self, rules: &Value) {
        self.plan(&json!({ "seed": 1, "rules": rules }));
    }

    /// How often a call was asked for.
    pub fn asked(&self, call: &str) -> u64 {
        self.read("/sim/calls")["calls"][call]["asked"]
            .as_u64()
            .unwrap()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.kill();
    }
}

fn address_of(url: &str) -> SocketAddr {
    let (_, address) = url.split_once("://").unwrap();
    address.parse().unwrap()
}

/// The address that the service signs orders with.
pub fn signer(daemon: &Daemon) -> String {
    let keys = json_of(&daemon.cli(["keys", "list", "--json"])).to_string();
    let address = keys
        .split('"')
        .find(|word| word.starts_with("0x") && word.len() == 42);
    address
        .unwrap_or_else(|| panic!("no address: {keys}"))
        .to_owned()
}

/// A service that trades at a simulator, which is started with these arguments.
pub fn trading_at_a_simulator(more: &[&str]) -> (Simulator, Daemon) {
    trading_with(&[], more)
}

/// The same, with settings of the service. Failing calls say nothing of the venue's health: tests
/// inject more of them than a sound venue has.
pub fn trading_with(settings: &[(&str, &str)], more: &[&str]) -> (Simulator, Daemon) {
    let (simulator, mut daemon) = ready_to_trade(settings, more);
    daemon.start();
    (simulator, daemon)
}

/// The same, before the service is started.
pub fn ready_to_trade(settings: &[(&str, &str)], more: &[&str]) -> (Simulator, Daemon) {
    let no_health = [("VENUE__HEALTH_CALLS_MIN", "1000000")];
    let mut daemon = Daemon::initialised(&[&no_health[..], settings].concat());
    let simulator = Simulator::start(&signer(&daemon), more);
    point_at(&simulator, &mut daemon);
    (simulator, daemon)
}

/// Starts a service that trades at this simulator.
pub fn trade_at(simulator: Simulator, mut daemon: Daemon) -> (Simulator, Daemon) {
    point_at(&simulator, &mut daemon);
    daemon.start();
    (simulator, daemon)
}

/// Tells a service where its venue is, and with which credential.
fn point_at(simulator: &Simulator, daemon: &mut Daemon) {
    daemon.set("VENUE__ADAPTER", "http");
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
}
