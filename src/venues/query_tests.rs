use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread::JoinHandle;

use flashguard_actors::domain::clock::{Clock, SystemClock, SystemEntropy};
use flashguard_actors::domain::market::{Lots, Symbol, Ticks};
use flashguard_actors::domain::order::{Order, OrderId, OrderType, Side};
use flashguard_actors::ports::venue::{CredentialView, OrderAnswer, OrderSignature};
use rust_decimal::Decimal;

use super::*;
use crate::venues::http::HttpAdapter;
use crate::venues::paper::PaperSettings;
use crate::venues::paper::simulator::{Simulator, SimulatorParts, start};
use crate::venues::tls::client_config;

const TIMEOUT: Duration = Duration::from_secs(5);

fn client(url: &str, ca_file: Option<&Path>) -> (QueryClient, HttpAdapter) {
    let endpoint = Endpoint::parse(url).unwrap();
    let framing = HttpAdapter::new("http", endpoint.base_path());
    let tls = client_config(ca_file).unwrap();
    let client = QueryClient::new(&endpoint, &tls, Arc::new(framing.clone()), TIMEOUT).unwrap();
    (client, framing)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}

/// A venue that says one thing to one request and returns the request.
fn says(answer: Vec<u8>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4_096];
        let length = stream.read(&mut request).unwrap();
        // The client may have heard enough before all was said.
        let _ = stream.write_all(&answer);
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    (url, thread)
}

fn ask_plain(url: &str, query: &Query) -> Result<Reply, VenueError> {
    let (client, framing) = client(url, None);
    let credential = CredentialView {
        api_key: "k",
        secret: b"s",
    };
    let framed = framing.query(query, &credential, SystemClock.now());
    run(client.ask(query.clone(), framed))
}

fn answered(head: &str, body: &str) -> Result<Reply, VenueError> {
    let length = body.len();
    let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}");
    let (url, venue) = says(answer.into_bytes());
    let reply = ask_plain(&url, &Query::OpenOrders);
    venue.join().unwrap();
    reply
}

fn simulator(directory: &Path, tls: bool, signer: [u8; 20]) -> Simulator {
    start(SimulatorParts {
        directory: directory.to_owned(),
        listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        control: TcpListener::bind("127.0.0.1:0").unwrap(),
        faults: crate::venues::paper::faults::Plan::default(),
        tls,
        signers: vec![signer],
        settings: PaperSettings {
            volatility_bps_per_s: 0,
            depth_per_level: 0,
            chain_id: 1329,
        },
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    })
    .unwrap()
}

fn credential(simulator: &Simulator) -> (String, String) {
    let file = std::fs::read(&simulator.credential_file).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (text("api_key"), text("secret_key"))
}

#[test]
fn every_question_is_answered_by_the_simulator_plain_and_over_tls() {
    for tls in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let simulator = simulator(directory.path(), tls, [7; 20]);
        let (client, framing) = client(&simulator.url, simulator.ca_file.as_deref());
        let (api_key, secret) = credential(&simulator);
        let credential = CredentialView {
            api_key: &api_key,
            secret: secret.as_bytes(),
        };
        let symbol = Symbol::parse("SEI/USDC").unwrap();
        let id = OrderId::parse("01935f5e-0000-7000-8000-000000000001").unwrap();
        let ask = |query: Query| {
            let framed = framing.query(&query, &credential, SystemClock.now());
            run(client.ask(query, framed))
        };
        let Ok(Reply::Account(account)) = ask(Query::Account) else {
            panic!("account")
        };
        assert_eq!(account.scopes, ["read", "trade"]);
        assert_eq!(ask(Query::OpenOrders), Ok(Reply::OpenOrders(Vec::new())));
        assert_eq!(ask(Query::OrderById(id)), Ok(Reply::Order(None)));
        assert_eq!(ask(Query::Positions), Ok(Reply::Positions(Vec::new())));
        assert_eq!(
            ask(Query::Fills {
                since: Some("0".into())
            }),
            Ok(Reply::Fills(Vec::new()))
        );
        assert_eq!(ask(Query::CancelAll), Ok(Reply::CancelAllAccepted));
        let unknown = Query::Cancel("P1".to_owned().try_into().unwrap());
        assert_eq!(ask(unknown), Ok(Reply::NothingToCancel));
        let Ok(Reply::Markets(markets)) = ask(Query::Markets) else {
            panic!("markets")
        };
        assert_eq!(markets[0].tick, Decimal::from_str_exact("0.0001").unwrap());
        let Ok(Reply::Book(quote)) = ask(Query::Book(symbol)) else {
            panic!("book")
        };
        assert_eq!(quote.bid, Decimal::from_str_exact("0.2499").unwrap());
        let wrong = CredentialView {
            api_key: &api_key,
            secret: b"wrong",
        };
        let framed = framing.query(&Query::Account, &wrong, SystemClock.now());
        let refused = run(client.ask(Query::Account, framed));
        assert_eq!(refused, Err(VenueError::CredentialRejected));
    }
}

#[test]
fn a_framed_order_is_taken_by_the_simulator_and_found_again() {
    use crate::venues::paper::signing_for_tests::{key, sign_order};
    let directory = tempfile::tempdir().unwrap();
    let (secret_key, signer) = key(7);
    let simulator = simulator(directory.path(), false, signer.into_array());
    let (client, framing) = client(&simulator.url, None);
    let (api_key, secret) = credential(&simulator);
    let credential = CredentialView {
        api_key: &api_key,
        secret: secret.as_bytes(),
    };
    let now = SystemClock.now();
    let order = Order {
        order_id: OrderId::make(now, &SystemEntropy).unwrap(),
        symbol: Symbol::parse("SEI/USDC").unwrap(),
        side: Side::Buy,
        order_type: OrderType::Limit,
        price_ticks: Ticks(2510),
        price: Decimal::from_str_exact("0.2510").unwrap(),
        size_lots: Lots(100),
        size: Decimal::from(100),
        expires_at_ms: now.plus_millis(5_000).as_millis(),
    };
    let (digest, signature) = sign_order(&secret_key, &order);
    let signature = OrderSignature {
        digest,
        signature,
        signer: signer.to_string(),
    };
    let framed = framing.order(&order, &signature, &credential, now);
    let answer = run(async {
        let http = Client::builder().no_proxy().build().unwrap();
        let mut request = http.post(format!("{}{}", simulator.url, framed.target));
        for (name, value) in &framed.headers {
            request = request.header(*name, value);
        }
        let response = request.body(framed.body.clone()).send().await.unwrap();
        let status = response.status().as_u16();
        framing.read_order_answer(status, &response.bytes().await.unwrap())
    });
    let OrderAnswer::Placed {
        venue_order_id,
        status,
    } = answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!(status.as_str(), "filled");
    let ask = |query: Query| {
        let framed = framing.query(&query, &credential, SystemClock.now());
        run(client.ask(query, framed)).unwrap()
    };
    let Reply::Order(Some(found)) = ask(Query::OrderById(order.order_id)) else {
        panic!("lost")
    };
    assert_eq!(
        (&found.venue_order_id, found.filled),
        (&venue_order_id, order.size)
    );
    let Reply::Fills(fills) = ask(Query::Fills { since: None }) else {
        panic!("fills")
    };
    assert_eq!((fills.len(), fills[0].order_id), (1, Some(order.order_id)));
    assert_eq!(fills[0].fee, Decimal::from_str_exact("0.012505").unwrap());
    let after = Query::Fills {
        since: Some(fills[0].cursor.clone()),
    };
    assert_eq!(ask(after), Reply::Fills(Vec::new()));
}

#[test]
fn a_certificate_of_another_authority_is_not_believed() {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let simulator_here = simulator(own.path(), true, [7; 20]);
    let elsewhere = simulator(other.path(), true, [7; 20]);
    let (client, framing) = client(&simulator_here.url, elsewhere.ca_file.as_deref());
    let credential = CredentialView {
        api_key: "k",
        secret: b"s",
    };
    let framed = framing.query(&Query::Account, &credential, SystemClock.now());
    let refused = run(client.ask(Query::Account, framed));
    assert!(
        matches!(refused, Err(VenueError::Unreachable { .. })),
        "{refused:?}"
    );
}

#[test]
fn throttled_comes_with_the_wait_that_the_venue_asks_for_bounded_to_a_minute() {
    let wait = |header: &str| answered(&format!("429 Too Many\r\n{header}"), "");
    let throttled = |retry_after_ms| Err(VenueError::Throttled { retry_after_ms });
    assert_eq!(wait("Retry-After: 2"), throttled(Some(2_000)));
    assert_eq!(wait("Retry-After: 60"), throttled(Some(60_000)));
    assert_eq!(
        wait("Retry-After: 99999999999999999999999"),
        throttled(Some(60_000))
    );
    assert_eq!(wait("Retry-After: -1"), throttled(None));
    assert_eq!(
        wait("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT"),
        throttled(None)
    );
    assert_eq!(wait("X-Other: 1"), throttled(None));
}

#[test]
fn a_redirect_is_not_followed() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("http://{}/orders?status=open", target.local_addr().unwrap());
    let redirected = answered(&format!("302 Found\r\nLocation: {to}"), "");
    assert!(
        matches!(redirected, Err(VenueError::Unreadable { .. })),
        "{redirected:?}"
    );
    target.set_nonblocking(true).unwrap();
    assert_eq!(
        target.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
}

#[test]
fn an_answer_that_breaks_off_or_never_comes_is_unreachable() {
    let unreachable = |reply| matches!(reply, Err(VenueError::Unreachable { .. }));
    let (url, venue) = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"orders\":".to_vec());
    assert!(unreachable(ask_plain(&url, &Query::OpenOrders)));
    venue.join().unwrap();
    let (url, venue) = says(Vec::new());
    assert!(unreachable(ask_plain(&url, &Query::OpenOrders)));
    venue.join().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    assert!(unreachable(ask_plain(&url, &Query::OpenOrders)));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
    let framing = HttpAdapter::new("http", "");
    let tls = client_config(None).unwrap();
    let short = Duration::from_millis(50);
    let client = QueryClient::new(&endpoint, &tls, Arc::new(framing.clone()), short).unwrap();
    let credential = CredentialView {
        api_key: "k",
        secret: b"s",
    };
    let framed = framing.query(&Query::OpenOrders, &credential, SystemClock.now());
    assert!(unreachable(run(client.ask(Query::OpenOrders, framed))));
}

#[test]
fn an_answer_without_end_is_cut() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".to_vec();
    answer.resize(ANSWER_BYTES_MAX + 4_096, b' ');
    let (url, venue) = says(answer);
    let cut = ask_plain(&url, &Query::OpenOrders);
    assert!(matches!(cut, Err(VenueError::Unreadable { .. })), "{cut:?}");
    venue.join().unwrap();
}

#[test]
fn the_target_goes_out_as_it_was_signed_or_not_at_all() {
    let (url, venue) = says(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec());
    let book = Query::Book(Symbol::parse("SEI/USDC").unwrap());
    assert!(ask_plain(&url, &book).is_err());
    let request = venue.join().unwrap();
    assert!(
        request.starts_with("GET /markets/SEI%2FUSDC/book HTTP/1.1\r\n"),
        "{request}"
    );
    let (client, _) = client("http://127.0.0.1:1", None);
    for target in [
        "/a/../b", "/a/./b", "/a b", "/a#b", "@evil/", "/ü", "", "/a\\b", "/a\nb", ":80/",
    ] {
        assert!(client.url(target).is_err(), "{target:?}");
    }
    assert!(client.url("/orders/P%2E1?x=%26").is_ok());
}

#[test]
fn a_name_that_leads_off_this_machine_is_not_used_for_plain_http() {
    let resolve = |url: &str, name: &str| {
        let resolver = AllowedOnly(Endpoint::parse(url).unwrap());
        run(resolver.resolve(name.parse().unwrap())).map(Iterator::count)
    };
    assert!(resolve("http://localhost", "192.0.2.1").is_err());
    assert!(resolve("http://localhost", "127.0.0.1").is_ok_and(|found| found == 1));
    assert!(resolve("https://api.example.com", "192.0.2.1").is_ok_and(|found| found == 1));
}
