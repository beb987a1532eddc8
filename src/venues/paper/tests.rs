//! The whole venue over real HTTP, by a client that shares nothing with the service's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use flashguard_actors::domain::clock::{
    ManualClock, SeededEntropy, SharedClock, SystemClock, SystemEntropy, UnixMicros,
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::signing_for_tests::{key, sign};
use super::verify::{Signed, digest, domain};
use super::*;

const NOW_MS: u64 = 1_795_519_533_000;
const SETTINGS: PaperSettings = PaperSettings {
    volatility_bps_per_s: 0,
    depth_per_level: 0,
    chain_id: 1329,
};

fn enrolment(api_key: &str, scopes: &[Scope]) -> Enrolment {
    Enrolment {
        account: "main".into(),
        api_key: api_key.into(),
        secret: Zeroizing::new(format!("secret of {api_key}")),
        signers: vec![key(7).1.into_array()],
        scopes: scopes.to_vec(),
    }
}

fn parts(directory: &Path, clock: SharedClock, settings: PaperSettings) -> PaperVenueParts {
    PaperVenueParts {
        listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        tls: None,
        directory: directory.to_owned(),
        settings,
        enrolments: vec![
            enrolment("trader", &[Scope::Read, Scope::Trade]),
            enrolment("reader", &[Scope::Read]),
            enrolment("canceller", &[Scope::Cancel]),
        ],
        clock,
        entropy: SeededEntropy::new(1),
    }
}

/// A venue, its clock and its directory.
struct Bench {
    venue: PaperVenue,
    clock: Arc<ManualClock>,
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(SETTINGS)
    }

    fn with(settings: PaperSettings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(UnixMicros(NOW_MS * 1_000));
        let venue = serve(parts(directory.path(), clock.clone(), settings)).unwrap();
        Self {
            venue,
            clock,
            directory,
        }
    }

    fn restart(self) -> Self {
        let Self {
            venue,
            clock,
            directory,
        } = self;
        venue.stop();
        let venue = serve(parts(directory.path(), clock.clone(), SETTINGS)).unwrap();
        Self {
            venue,
            clock,
            directory,
        }
    }

    fn call_as(&self, api_key: &str, method: &str, target: &str, body: &str) -> (u16, Value) {
        let at_ms = flashguard_actors::domain::clock::Clock::now(self.clock.as_ref()).as_millis();
        call(self.venue.address(), api_key, at_ms, method, target, body)
    }

    fn call(&self, method: &str, target: &str) -> (u16, Value) {
        self.call_as("trader", method, target, "")
    }

    fn place(&self, id: &str, side: &str, price: &str, quantity: &str) -> (u16, Value) {
        self.call_as(
            "trader",
            "POST",
            "/orders",
            &order(id, side, price, quantity),
        )
    }
}

/// A signed order body; prices and sizes must be canonical.
fn order(id: &str, side: &str, price: &str, quantity: &str) -> String {
    let signed = Signed {
        market: "SEI/USDC",
        side,
        order_type: "limit",
        price,
        size: quantity,
        order_id: id,
        expires_at_ms: NOW_MS + 5_000,
    };
    let (secret, signer) = key(7);
    json!({
        "market_id": "SEI/USDC", "side": side, "order_type": "limit", "price": price,
        "quantity": quantity, "client_order_id": id, "expires_at_ms": NOW_MS + 5_000,
        "signer": signer.to_string(), "signature": sign(&secret, digest(&domain(1329), &signed)),
    })
    .to_string()
}

fn call(
    address: SocketAddr,
    api_key: &str,
    at_ms: u64,
    method: &str,
    target: &str,
    body: &str,
) -> (u16, Value) {
    let secret = format!("secret of {api_key}");
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at_ms}{method}{target}{body}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    raw(
        address,
        &format!(
            "{method} {target} HTTP/1.1\r\nHost: venue\r\nConnection: close\r\nX-API-Key: {api_key}\r\n\
         X-Timestamp: {at_ms}\r\nX-Signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

fn raw(address: SocketAddr, request: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (
        answer.0,
        answer.1["error"]["code"].as_str().unwrap_or("none"),
    )
}

#[test]
fn an_order_is_filled_and_its_fill_makes_the_position() {
    let bench = Bench::new();
    let (status, placed) = bench.place("o-1", "buy", "0.251", "100");
    assert_eq!(
        (status, &placed["status"], &placed["filled"]),
        (201, &json!("filled"), &json!("100"))
    );
    let (_, fills) = bench.call("GET", "/fills?since=0");
    let expected = json!({
        "fill_id": "1", "order_id": placed["order_id"], "client_order_id": "o-1",
        "symbol": "SEI/USDC", "side": "buy", "price": "0.2501", "quantity": "100",
        "fee": "0.012505", "liquidity": "taker", "at_ms": NOW_MS,
    });
    assert_eq!(fills, json!({ "fills": [expected], "next": "1" }));
    assert_eq!(
        bench.call("GET", "/fills?since=1").1,
        json!({ "fills": [], "next": "1" })
    );
    let (_, positions) = bench.call("GET", "/positions");
    let held = json!({ "symbol": "SEI/USDC", "size": "100", "cash": "-25.01", "fees": "0.012505" });
    assert_eq!(positions, json!({ "positions": [held] }));
    let accepted = bench.venue.accepted(0, 10).unwrap();
    assert_eq!(accepted.len(), 1);
    assert_eq!(
        (accepted[0].n, accepted[0].client_order_id.as_str()),
        (1, "o-1")
    );
}

#[test]
fn the_public_facts_are_the_contract_s() {
    let bench = Bench::new();
    let (_, account) = bench.call("GET", "/account");
    let expected = json!({ "account": "main", "scopes": ["read", "trade"], "expires_at": null });
    assert_eq!(account, expected);
    let (_, markets) = bench.call("GET", "/markets");
    assert_eq!(markets["markets"][0]["tick"], "0.0001");
    assert_eq!(markets["markets"][1]["lot"], "0.001");
    let (_, book) = bench.call("GET", "/markets/SEI%2FUSDC/book");
    assert_eq!(
        (&book["bids"][0][0], &book["asks"][0][0]),
        (&json!("0.2499"), &json!("0.2501"))
    );
    let (_, book) = bench.call("GET", "/markets/ETH%2FUSDC/book");
    assert_eq!(
        (&book["bids"][0][0], &book["asks"][0][0]),
        (&json!("2499.5"), &json!("2500.5"))
    );
}

#[test]
fn a_resting_order_is_listed_cancelled_and_then_gone() {
    let bench = Bench::new();
    let (_, placed) = bench.place("o-1", "buy", "0.24", "100");
    let id = placed["order_id"].as_str().unwrap().to_owned();
    let (_, open) = bench.call("GET", "/orders?status=open");
    assert_eq!(open["orders"][0]["client_order_id"], "o-1");
    assert_eq!(open["orders"][0]["status"], "open");
    let cancel = format!("/orders/{id}");
    let cancelled = json!({ "order_id": id, "status": "cancelled" });
    assert_eq!(bench.call("DELETE", &cancel), (200, cancelled.clone()));
    assert_eq!(
        bench.call("DELETE", &cancel),
        (200, cancelled),
        "again changes nothing"
    );
    assert_eq!(
        bench.call("GET", "/orders?status=open").1["orders"],
        json!([])
    );
    assert_eq!(
        code(&bench.call("DELETE", "/orders/P999")),
        (404, "UNKNOWN_ORDER")
    );
}

#[test]
fn cancel_all_ends_every_live_order() {
    let bench = Bench::new();
    for n in 0..3 {
        bench.place(&format!("o-{n}"), "sell", "0.26", "10");
    }
    let (status, cancelled) = bench.call_as("canceller", "DELETE", "/orders", "");
    assert_eq!(
        (status, cancelled["cancelled"].as_array().unwrap().len()),
        (200, 3)
    );
    assert_eq!(
        bench.call("GET", "/orders?status=open").1["orders"],
        json!([])
    );
    let (_, all) = bench.call("GET", "/orders?status=all&after=0&limit=2");
    assert_eq!(
        (all["orders"].as_array().unwrap().len(), &all["next"]),
        (2, &json!(2))
    );
}

#[test]
fn the_same_order_again_is_the_same_order_and_another_with_its_id_is_refused() {
    let bench = Bench::new();
    let (_, first) = bench.place("o-1", "buy", "0.24", "100");
    bench.clock.advance_millis(60_000);
    let (status, again) = bench.place("o-1", "buy", "0.24", "100");
    assert_eq!(
        (status, &again["order_id"]),
        (200, &first["order_id"]),
        "even past its expiry"
    );
    let other = bench.place("o-1", "buy", "0.24", "101");
    assert_eq!(code(&other), (409, "DUPLICATE_CLIENT_ORDER_ID"));
    let bench = bench.restart();
    assert_eq!(
        bench.place("o-1", "buy", "0.24", "100").1["order_id"],
        first["order_id"]
    );
    assert_eq!(bench.venue.accepted(0, 10).unwrap().len(), 1);
}

#[test]
fn a_rejected_order_stays_rejected() {
    let bench = Bench::new();
    assert_eq!(
        code(&bench.place("o-1", "buy", "0.24001", "100")),
        (422, "TICK_SIZE")
    );
    assert_eq!(
        code(&bench.place("o-1", "buy", "0.24001", "100")),
        (422, "TICK_SIZE")
    );
    let (_, order) = bench.call("GET", "/orders/by-client-id/o-1");
    assert_eq!(order["status"], "rejected");
    bench.clock.advance_millis(5_001);
    assert_eq!(
        code(&bench.place("o-2", "buy", "0.24", "100")),
        (422, "EXPIRED")
    );
    assert!(
        bench.venue.accepted(0, 10).unwrap().is_empty(),
        "a rejected order was not accepted"
    );
}

#[test]
fn a_closed_order_is_found_by_its_sender_s_id_for_24_hours() {
    let bench = Bench::new();
    bench.place("live", "buy", "0.24", "100");
    bench.place("done", "buy", "0.251", "100");
    bench.clock.advance_millis(desk::CLOSED_ORDER_KNOWN_MS);
    assert_eq!(
        bench.call("GET", "/orders/by-client-id/done").1["status"],
        "filled"
    );
    bench.clock.advance_millis(1);
    let unknown = bench.call("GET", "/orders/by-client-id/done");
    assert_eq!(code(&unknown), (404, "UNKNOWN_ORDER"));
    assert_eq!(
        bench.call("GET", "/orders/by-client-id/live").1["status"],
        "open"
    );
    assert_eq!(bench.call("GET", "/orders/by-client-id/never").0, 404);
}

#[test]
fn only_who_signed_is_believed() {
    let bench = Bench::new();
    let address = bench.venue.address();
    let unsigned = raw(
        address,
        "GET /account HTTP/1.1\r\nHost: v\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(code(&unsigned), (401, "INVALID_CREDENTIALS"));
    let stranger = call(address, "stranger", NOW_MS, "GET", "/account", "");
    assert_eq!(code(&stranger), (401, "INVALID_CREDENTIALS"));
    let late = call(address, "trader", NOW_MS - 5_001, "GET", "/account", "");
    assert_eq!(code(&late), (401, "CLOCK_WINDOW"));
    assert_eq!(
        call(address, "trader", NOW_MS - 5_000, "GET", "/account", "").0,
        200
    );
    let no_scope = bench.call_as(
        "reader",
        "POST",
        "/orders",
        &order("o-1", "buy", "0.24", "100"),
    );
    assert_eq!(code(&no_scope), (403, "SCOPE"));
    assert_eq!(
        code(&bench.call_as("reader", "DELETE", "/orders", "")),
        (403, "SCOPE")
    );
    assert_eq!(
        code(&bench.call_as(
            "canceller",
            "POST",
            "/orders",
            &order("o-1", "buy", "0.24", "1")
        )),
        (403, "SCOPE")
    );
}

#[test]
fn only_a_registered_signer_s_signature_over_this_very_order_counts() {
    let bench = Bench::new();
    let good = order("o-1", "buy", "0.24", "100");
    let send = |body: &str| bench.call_as("trader", "POST", "/orders", body);
    for (from, to) in [
        ("\"0.24\"", "\"0.23\""),
        ("\"100\"", "\"101\""),
        ("o-1", "o-2"),
        ("\"buy\"", "\"sell\""),
    ] {
        assert_eq!(
            code(&send(&good.replace(from, to))),
            (422, "BAD_ORDER_SIGNATURE"),
            "{to}"
        );
    }
    let (own, stranger) = (key(7).1.to_string(), key(8));
    let other_signer = good.replace(&own, &stranger.1.to_string());
    assert_eq!(code(&send(&other_signer)), (422, "BAD_ORDER_SIGNATURE"));
    let signed = Signed {
        market: "SEI/USDC",
        side: "buy",
        order_type: "limit",
        price: "0.24",
        size: "100",
        order_id: "o-1",
        expires_at_ms: NOW_MS + 5_000,
    };
    let mut by_stranger: Value = serde_json::from_str(&other_signer).unwrap();
    by_stranger["signature"] = sign(&stranger.0, digest(&domain(1329), &signed)).into();
    assert_eq!(
        code(&send(&by_stranger.to_string())),
        (422, "UNKNOWN_SIGNER")
    );
    let mut other_chain: Value = serde_json::from_str(&good).unwrap();
    other_chain["signature"] = sign(&key(7).0, digest(&domain(1), &signed)).into();
    assert_eq!(
        code(&send(&other_chain.to_string())),
        (422, "BAD_ORDER_SIGNATURE")
    );
    let zeros = good
        .replace("\"0.24\"", "\"0.2400\"")
        .replace("\"100\"", "\"0100.0\"");
    assert_eq!(
        send(&zeros).0,
        201,
        "decimals are signed without the zeros that say nothing"
    );
}

#[test]
fn what_cannot_be_read_is_400_404_405_or_413_and_changes_nothing() {
    let bench = Bench::new();
    assert_eq!(bench.call_as("trader", "POST", "/orders", "{").0, 400);
    assert_eq!(bench.call("GET", "/nothing").0, 404);
    // The feed is no call: it wants an upgrade.
    assert_eq!(bench.call("GET", "/ws").0, 400);
    assert_eq!(bench.call_as("trader", "POST", "/api-keys", "{}").0, 404);
    assert_eq!(bench.call_as("trader", "POST", "/dead-man", "{}").0, 404);
    assert_eq!(bench.call("PUT", "/orders").0, 405);
    let long = "x".repeat(call::BODY_BYTES_MAX + 1);
    assert_eq!(
        code(&bench.call_as("trader", "POST", "/orders", &long)),
        (413, "BODY_TOO_LARGE")
    );
    assert_eq!(
        bench.call("GET", "/orders?status=all").1["orders"],
        json!([])
    );
}

#[test]
fn everything_is_remembered_over_a_restart() {
    let bench = Bench::with(PaperSettings {
        depth_per_level: 60,
        ..SETTINGS
    });
    bench.place("part", "buy", "0.2501", "100");
    bench.place("rests", "sell", "0.26", "10");
    let seen = |bench: &Bench| {
        ["/orders?status=all", "/fills?since=0", "/positions"]
            .map(|target| bench.call("GET", target))
    };
    let before = seen(&bench);
    assert_eq!(before[0].1["orders"][0]["status"], "partially_filled");
    let bench = bench.restart();
    // The book of the new venue is unlimited, so the rest of `part` matches at its own price.
    let (_, fills) = bench.call("GET", "/fills?since=1");
    assert_eq!(
        (
            &fills["fills"][0]["quantity"],
            &fills["fills"][0]["fill_id"]
        ),
        (&json!("40"), &json!("2"))
    );
    assert_eq!(fills["fills"][0]["liquidity"], "maker");
    let after = seen(&bench.restart());
    assert_eq!(after[0].1["orders"][1], before[0].1["orders"][1]);
    assert_eq!(after[1].1["fills"][0], before[1].1["fills"][0]);
    assert_eq!(after[2].1["positions"][0]["size"], "100");
}

#[test]
fn enrolling_again_is_nothing_new_and_another_secret_is_refused() {
    let bench = Bench::new().restart();
    let mut again = parts(bench.directory.path(), bench.clock.clone(), SETTINGS);
    let used = serve(again).err().unwrap();
    assert!(
        matches!(used, ServeError::Store(StoreError::InUse)),
        "{used}"
    );
    let Bench {
        venue,
        clock,
        directory,
    } = bench;
    venue.stop();
    again = parts(directory.path(), clock, SETTINGS);
    again.enrolments[0].secret = Zeroizing::new("other".into());
    let conflict = serve(again).err().unwrap();
    assert!(
        matches!(conflict, ServeError::Store(StoreError::EnrolmentConflict)),
        "{conflict}"
    );
    let mode = std::fs::metadata(directory.path().join("paper.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_venue_that_cannot_store_tells_nobody_anything_and_forgets_what_it_did() {
    // One fails when the row is written, the other only at the commit.
    let failures = [
        "CREATE TRIGGER fails BEFORE INSERT ON fill BEGIN SELECT RAISE(ABORT, 'full'); END",
        "CREATE TABLE later (n REFERENCES orders (number) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER fails AFTER INSERT ON fill BEGIN INSERT INTO later VALUES (-1); END",
    ];
    for failure in failures {
        let bench = Bench::new();
        assert_eq!(bench.place("before", "buy", "0.24", "100").0, 201);
        let path = bench.directory.path().join("paper.db");
        let outside = |sql: &str| {
            rusqlite::Connection::open(&path)
                .unwrap()
                .execute_batch(sql)
        };
        outside(failure).unwrap();
        assert_eq!(
            code(&bench.place("lost", "buy", "0.251", "100")),
            (503, "OUT_OF_ORDER")
        );
        let after = bench.call("GET", "/positions").0;
        assert_eq!(after, 503, "it does not go on with what it made up");
        outside("DROP TRIGGER fails").unwrap();
        let bench = bench.restart();
        let found = |id: &str| bench.call("GET", &format!("/orders/by-client-id/{id}")).0;
        assert_eq!((found("lost"), found("before")), (404, 200));
    }
}

#[test]
fn a_database_of_a_later_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(UnixMicros(NOW_MS * 1_000));
    let database = rusqlite::Connection::open(directory.path().join("paper.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    let refused = serve(parts(directory.path(), clock, SETTINGS))
        .err()
        .unwrap();
    assert!(
        matches!(
            refused,
            ServeError::Store(StoreError::Newer { found: 99, .. })
        ),
        "{refused}"
    );
}

/// Not a test of its own: the process that the next one kills. Without its directory it ends at once.
#[test]
fn a_venue_to_be_killed() {
    let Some(directory) = std::env::var_os("FLASHGUARD_TEST_PAPER_DIR") else {
        return;
    };
    let mut parts = parts(Path::new(&directory), Arc::new(SystemClock), SETTINGS);
    parts.entropy = Arc::new(SystemEntropy);
    parts.clock = ManualClock::at(UnixMicros(NOW_MS * 1_000));
    let venue = serve(parts).unwrap();
    println!("\nlistens {}", venue.address());
    loop {
        std::thread::park();
    }
}

// Invariant: what was answered before the kill is there after it, and nothing else is half there.
#[test]
fn what_was_answered_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "venues::paper::tests::a_venue_to_be_killed",
            "--nocapture",
        ])
        .env("FLASHGUARD_TEST_PAPER_DIR", directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address: SocketAddr = lines
        .by_ref()
        .take(50)
        .find_map(|line| {
            line.unwrap()
                .strip_prefix("listens ")
                .map(|at| at.parse().unwrap())
        })
        .unwrap();
    let mut answered = Vec::new();
    for n in 0..20 {
        let (id, price) = (format!("o-{n}"), if n % 2 == 0 { "0.251" } else { "0.24" });
        let (status, placed) = call(
            address,
            "trader",
            NOW_MS,
            "POST",
            "/orders",
            &order(&id, "buy", price, "100"),
        );
        assert_eq!(status, 201);
        answered.push((id, placed));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let clock = ManualClock::at(UnixMicros(NOW_MS * 1_000));
    let venue = serve(parts(directory.path(), clock.clone(), SETTINGS)).unwrap();
    let directory_kept = directory;
    let bench = Bench {
        venue,
        clock,
        directory: directory_kept,
    };
    for (id, placed) in &answered {
        let (_, order) = bench.call("GET", &format!("/orders/by-client-id/{id}"));
        assert_eq!(
            (&order["order_id"], &order["status"]),
            (&placed["order_id"], &placed["status"])
        );
    }
    assert_eq!(bench.venue.accepted(0, 100).unwrap().len(), answered.len());
    assert_eq!(
        bench.call("GET", "/positions").1["positions"][0]["size"],
        "1000"
    );
}

#[test]
fn the_simulator_makes_a_credential_once_and_keeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        simulator::start(simulator::SimulatorParts {
            directory: directory.path().to_owned(),
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            control: TcpListener::bind("127.0.0.1:0").unwrap(),
            faults: faults::Plan::default(),
            tls: true,
            signers: vec![key(7).1.into_array()],
            settings: SETTINGS,
            clock: ManualClock::at(UnixMicros(NOW_MS * 1_000)),
            entropy: Arc::new(SystemEntropy),
        })
    };
    let first = start().unwrap();
    assert!(first.url.starts_with("https://127.0.0.1:"));
    let files = [
        first.credential_file.clone(),
        first.ca_file.clone().unwrap(),
        directory.path().join("venue-server.key"),
    ];
    for file in &files {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let texts = files.each_ref().map(|file| std::fs::read(file).unwrap());
    drop(first);
    let again = start().unwrap();
    assert_eq!(
        files.each_ref().map(|file| std::fs::read(file).unwrap()),
        texts
    );
    drop(again);
    std::fs::write(&files[0], "{\"api_key\":\"a\"}").unwrap();
    assert!(matches!(
        start().err(),
        Some(simulator::SimulatorError::Credential(_))
    ));
}

#[test]
fn the_venue_inside_the_service_has_no_control_routes() {
    let bench = Bench::new();
    for (method, target) in [
        ("GET", "/sim/faults"),
        ("PUT", "/sim/faults"),
        ("DELETE", "/sim/faults"),
        ("GET", "/sim/calls"),
        ("GET", "/sim/accepted"),
        ("GET", "/sim/orders"),
        ("GET", "/sim/fills"),
    ] {
        let answer = bench.call_as("trader", method, target, "{}");
        assert_eq!(code(&answer), (404, "NOT_FOUND"), "{method} {target}");
    }
}
