//! The pool against a server that does what each test tells it to, on real sockets.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
};

use flashguard_latch::{Beat, Doubt, Fence, Incarnation, State};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
    task::LocalSet,
};
use tokio_rustls::TlsAcceptor;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const TAG: OrderTag = [9; 16];

/// What the server does once it has read a whole request.
#[derive(Clone)]
enum Reply {
    Bytes(Vec<u8>),
    /// The same, and 20 ms later something more.
    AndLater(&'static str, &'static str),
    /// The same, and the second part when it is told to.
    AndWhenTold(&'static str, &'static str, Arc<Notify>),
    Silence,
    Close,
}

/// Requests as (number of the connection, text).
type Seen = Arc<Mutex<Vec<(usize, String)>>>;

struct Server {
    port: u16,
    seen: Seen,
}

impl Server {
    /// Gives the replies in turn, and the last one for ever.
    async fn start(replies: Vec<Reply>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Seen::default();
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            for number in 0.. {
                let (io, _) = listener.accept().await.unwrap();
                let (log, replies, tls) = (Arc::clone(&log), replies.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(io, number, &log, &replies).await,
                        Some(tls) => match tls.accept(io).await {
                            Ok(io) => serve(io, number, &log, &replies).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { port, seen }
    }

    fn seen(&self) -> Vec<(usize, String)> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn connections(&self) -> Vec<usize> {
        self.seen().into_iter().map(|(number, _)| number).collect()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut io: S,
    number: usize,
    log: &Seen,
    replies: &[Reply],
) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        while !buffer.ends_with(b"END") {
            if io.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        let reply = {
            let mut log = log.lock().unwrap();
            log.push((
                number,
                String::from_utf8(std::mem::take(&mut buffer)).unwrap(),
            ));
            replies[(log.len() - 1).min(replies.len() - 1)].clone()
        };
        match reply {
            Reply::Bytes(bytes) => io.write_all(&bytes).await.ok()?,
            Reply::AndLater(first, second) => {
                io.write_all(first.as_bytes()).await.ok()?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                io.write_all(second.as_bytes()).await.ok()?;
            }
            Reply::AndWhenTold(first, second, told) => {
                io.write_all(first.as_bytes()).await.ok()?;
                told.notified().await;
                io.write_all(second.as_bytes()).await.ok()?;
            }
            Reply::Silence => {}
            Reply::Close => return None,
        }
    }
}

fn ok() -> Reply {
    Reply::Bytes(OK.into())
}

struct Bench {
    latch: Arc<Latch>,
    fence: Fence,
    lane: Incarnation,
    server: Server,
    pool: Pool,
}

impl Bench {
    async fn new(replies: Vec<Reply>) -> Self {
        Self::with(replies, 2, Duration::from_secs(20)).await
    }

    async fn with(replies: Vec<Reply>, connections_max: usize, timeout: Duration) -> Self {
        let server = Server::start(replies, None).await;
        let url = format!("http://127.0.0.1:{}/v1", server.port);
        Self::over(server, &url, any_tls(), connections_max, timeout)
    }

    fn over(
        server: Server,
        url: &str,
        tls: Arc<ClientConfig>,
        connections_max: usize,
        timeout: Duration,
    ) -> Self {
        let beat = Beat::new(Duration::from_secs(600));
        let latch = Arc::new(Latch::new(State::open(0), beat));
        let target = Target {
            endpoint: Endpoint::parse(url).unwrap(),
            tls,
            timeout,
            connections_max,
        };
        let fence = Fence::new();
        Self {
            lane: fence.incarnate(),
            fence,
            pool: Pool::new(Arc::clone(&latch), Arc::new(target)),
            latch,
            server,
        }
    }

    fn ticket(&self) -> Ticket {
        self.latch.ticket(&self.lane).unwrap()
    }

    fn order(&self) -> LocalBoxFuture<'static, Verdict> {
        self.pool.exchange(self.ticket(), 1, &framed(), TAG)
    }
}

fn framed() -> Framed {
    Framed {
        method: http::Method::POST,
        target: "/v1/orders?a=%2F".to_owned(),
        headers: vec![("X-API-Key", "key".to_owned())],
        body: Bytes::from_static(b"the order END"),
    }
}

/// A configuration for benches that never speak TLS.
fn any_tls() -> Arc<ClientConfig> {
    certificate().1
}

/// A server of a fresh certificate for `localhost`, and a client that trusts only it.
fn certificate() -> (TlsAcceptor, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, made.cert.pem()).unwrap();
    let client = crate::venues::tls::client_config(Some(&path)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(server)), client)
}

async fn over_tls(replies: Vec<Reply>, timeout: Duration) -> Bench {
    let (acceptor, client) = certificate();
    let server = Server::start(replies, Some(acceptor)).await;
    let url = format!("https://localhost:{}/v1", server.port);
    Bench::over(server, &url, client, 2, timeout)
}

/// Runs a test on one thread, the way a worker does.
fn locally(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let hung = Duration::from_secs(30);
    let bounded = async { tokio::time::timeout(hung, test).await };
    let ended = LocalSet::new().block_on(&runtime, bounded);
    assert!(ended.is_ok(), "the test hangs");
}

fn answered(verdict: &Verdict) -> Option<u16> {
    match verdict {
        Verdict::Answered { status, .. } => Some(*status),
        _ => None,
    }
}

fn nothing_left(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::NothingLeft { .. })
}

fn in_doubt(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::InDoubt { .. })
}

#[test]
fn an_answer_is_delivered_and_the_connection_carries_the_next_order() {
    locally(async {
        let bench = Bench::new(vec![ok()]).await;
        for _ in 0..3 {
            let body = Bytes::from_static(b"ok");
            assert_eq!(bench.order().await, Verdict::Answered { status: 200, body });
        }
        assert_eq!(bench.server.connections(), [0, 0, 0]);
    });
}

#[test]
fn a_request_arrives_as_it_was_framed() {
    locally(async {
        let bench = Bench::new(vec![ok()]).await;
        bench.order().await;
        let (_, text) = bench.server.seen().remove(0);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines: Vec<String> = head.lines().map(str::to_lowercase).collect();
        assert_eq!(lines.remove(0), "post /v1/orders?a=%2f http/1.1");
        lines.sort();
        let host = format!("host: 127.0.0.1:{}", bench.server.port);
        assert_eq!(lines, ["content-length: 13", &host, "x-api-key: key"]);
        assert_eq!(body, "the order END");
    });
}

#[test]
fn a_request_that_is_not_http_never_leaves() {
    locally(async {
        let bench = Bench::new(vec![ok()]).await;
        for (target, value) in [
            ("orders", "x"),
            ("http://elsewhere/", "x"),
            ("/a b", "x"),
            ("/", "a\nb"),
        ] {
            let framed = Framed {
                target: target.to_owned(),
                headers: vec![("X-API-Key", value.to_owned())],
                ..framed()
            };
            let verdict = bench.pool.exchange(bench.ticket(), 1, &framed, TAG).await;
            assert!(nothing_left(&verdict), "{target:?} {value:?}");
        }
        assert!(bench.server.seen().is_empty());
    });
}

#[test]
fn orders_at_once_use_no_more_connections_than_allowed() {
    locally(async {
        let bench = Bench::with(vec![ok()], 2, Duration::from_secs(20)).await;
        let orders: Vec<_> = (0..40).map(|_| bench.order()).collect();
        for order in orders {
            assert_eq!(answered(&order.await), Some(200));
        }
        let connections = bench.server.connections();
        assert_eq!(connections.len(), 40);
        assert!(
            connections.iter().all(|number| *number < 2),
            "{connections:?}"
        );
    });
}

#[test]
fn no_more_orders_wait_than_allowed() {
    locally(async {
        let bench = Bench::with(vec![Reply::Silence], 1, Duration::from_secs(20)).await;
        let waiting: Vec<_> = (0..=ORDERS_WAITING_MAX).map(|_| bench.order()).collect();
        while bench.server.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(bench.pool.shared.waiting.get(), ORDERS_WAITING_MAX);
        let why = "too many orders wait for a connection";
        assert_eq!(bench.order().await, Verdict::NothingLeft { why });
        drop(waiting);
    });
}

#[test]
fn an_order_that_waits_too_long_for_a_connection_has_not_left() {
    // Invariant: the server is silent, so in doubt are exactly the orders that arrived.
    locally(async {
        let bench = Bench::with(vec![Reply::Silence], 1, Duration::from_millis(50)).await;
        let mut doubts = 0;
        let orders: Vec<_> = (0..4).map(|_| bench.order()).collect();
        for order in orders {
            let verdict = order.await;
            assert!(answered(&verdict).is_none(), "{verdict:?}");
            doubts += usize::from(in_doubt(&verdict));
        }
        assert!(doubts < 4, "they waited for each other");
        while bench.server.seen().len() < doubts {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(bench.server.seen().len(), doubts);
    });
}

#[test]
fn a_halted_latch_lets_nothing_leave_and_a_lift_does_not_revive_a_connection() {
    locally(async {
        let bench = Bench::new(vec![ok()]).await;
        assert_eq!(answered(&bench.order().await), Some(200));
        let before = bench.ticket();
        let stopped = bench.latch.halt(Duration::from_millis(10));
        let late = bench.pool.exchange(before.clone(), 1, &framed(), TAG);
        assert!(nothing_left(&late.await));

        assert!(bench.latch.lift(stopped.epoch));
        let stale = bench.pool.exchange(before, 1, &framed(), TAG);
        assert!(nothing_left(&stale.await), "a ticket from before the halt");
        assert_eq!(answered(&bench.order().await), Some(200));
        let connections = bench.server.connections();
        assert_eq!(connections.len(), 2);
        assert_ne!(connections[0], connections[1]);
    });
}

#[test]
fn an_abandoned_incarnation_sends_nothing() {
    locally(async {
        let bench = Bench::new(vec![ok()]).await;
        assert_eq!(answered(&bench.order().await), Some(200));
        let _next = bench.fence.incarnate();
        assert!(nothing_left(&bench.order().await));
        assert_eq!(bench.server.connections(), [0]);
    });
}

#[test]
fn a_connection_belongs_to_one_credential() {
    locally(async {
        let bench = Bench::new(vec![ok()]).await;
        for generation in [1, 2, 2, 1] {
            let order = bench
                .pool
                .exchange(bench.ticket(), generation, &framed(), TAG);
            assert_eq!(answered(&order.await), Some(200));
        }
        assert_eq!(bench.server.connections(), [0, 1, 1, 2]);
        assert!(bench.pool.shared.open.get() <= 2);
    });
}

#[test]
fn an_answer_that_comes_after_a_halt_is_delivered() {
    locally(async {
        let told = Arc::new(Notify::new());
        let reply = Reply::AndWhenTold(
            "HTTP/1.1 201 Created\r\n",
            "content-length: 0\r\n\r\n",
            Arc::clone(&told),
        );
        let bench = Bench::new(vec![reply]).await;
        let order = bench.order();
        while bench.server.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let stopped = bench.latch.halt(Duration::from_millis(10));
        let named: Vec<_> = stopped
            .in_doubt
            .iter()
            .map(|d| (d.order, d.because))
            .collect();
        assert_eq!(named, [(TAG, Doubt::Unanswered)]);
        told.notify_one();
        assert_eq!(answered(&order.await), Some(201));
        assert!(
            bench
                .latch
                .halt(Duration::from_millis(10))
                .in_doubt
                .is_empty()
        );
    });
}

#[test]
fn no_answer_in_time_is_doubt_and_the_connection_is_never_used_again() {
    locally(async {
        let bench = Bench::with(vec![Reply::Silence, ok()], 1, Duration::from_millis(10)).await;
        // The time-out also covers connecting: repeat until an order got as far as the server.
        while bench.server.seen().is_empty() {
            let verdict = bench.order().await;
            assert!(answered(&verdict).is_none(), "{verdict:?}");
        }
        assert!(bench.pool.shared.idle.borrow().is_empty());
        assert_eq!(bench.pool.shared.open.get(), 0);
    });
}

#[test]
fn a_server_that_reads_and_closes_leaves_doubt_and_gets_no_second_request() {
    locally(async {
        let bench = Bench::new(vec![ok(), Reply::Close, ok()]).await;
        assert_eq!(answered(&bench.order().await), Some(200));
        assert!(in_doubt(&bench.order().await));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(bench.server.connections(), [0, 0]);
        assert_eq!(answered(&bench.order().await), Some(200));
        assert_eq!(bench.server.connections(), [0, 0, 1]);
    });
}

#[test]
fn a_connection_is_not_reused_after_close_or_surplus_bytes() {
    let close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let old = "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let surplus = format!("{OK}{OK}");
    let replies = [
        Reply::Bytes(close.into()),
        Reply::Bytes(old.into()),
        Reply::Bytes(surplus.into_bytes()),
        Reply::AndLater(OK, OK),
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        let later = matches!(reply, Reply::AndLater(..));
        locally(async {
            let ours = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
            let bench = Bench::new(vec![reply, Reply::Bytes(ours.into())]).await;
            assert_eq!(answered(&bench.order().await), Some(200));
            let usable = || {
                let idle = bench.pool.shared.idle.borrow();
                idle.iter().any(|kept| kept.is_usable(&bench.latch))
            };
            while later && usable() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(answered(&bench.order().await), Some(202), "case {number}");
            assert_eq!(bench.server.connections(), [0, 1], "case {number}");
        });
    }
}

#[test]
fn an_answer_of_64_kib_is_read_and_a_longer_one_leaves_doubt() {
    for (bytes, read) in [(64 << 10, true), ((64 << 10) + 1, false)] {
        locally(async {
            let mut long =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n").into_bytes();
            long.resize(long.len() + bytes, b'x');
            let bench = Bench::new(vec![Reply::Bytes(long)]).await;
            let verdict = bench.order().await;
            assert_eq!(answered(&verdict).is_some(), read, "{bytes} bytes");
            assert_eq!(in_doubt(&verdict), !read, "{bytes} bytes");
            assert_eq!(bench.pool.shared.open.get(), usize::from(read));
        });
    }
}

#[test]
fn a_head_without_end_leaves_doubt() {
    locally(async {
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1 << 20));
        let bench = Bench::new(vec![Reply::Bytes(endless.into_bytes())]).await;
        assert!(in_doubt(&bench.order().await));
    });
}

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    locally(async {
        let moved =
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: /v1/orders\r\ncontent-length: 0\r\n\r\n";
        let bench = Bench::new(vec![Reply::Bytes(moved.into())]).await;
        assert_eq!(answered(&bench.order().await), Some(307));
        assert_eq!(bench.server.seen().len(), 1);
    });
}

#[test]
fn where_nobody_listens_nothing_leaves() {
    locally(async {
        let bench = Bench::new(vec![ok()]).await;
        let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = nobody.local_addr().unwrap().port();
        drop(nobody);
        let target = Target {
            endpoint: Endpoint::parse(&format!("http://127.0.0.1:{port}")).unwrap(),
            tls: any_tls(),
            timeout: Duration::from_secs(20),
            connections_max: 1,
        };
        let pool = Pool::new(Arc::clone(&bench.latch), Arc::new(target));
        let verdict = pool.exchange(bench.ticket(), 1, &framed(), TAG).await;
        assert!(nothing_left(&verdict), "{verdict:?}");
        assert_eq!(pool.shared.open.get(), 0);
    });
}

#[test]
fn a_caller_who_goes_away_does_not_stop_the_order() {
    locally(async {
        let bench = Bench::new(vec![Reply::AndLater(OK, ""), ok()]).await;
        drop(bench.order());
        while bench.server.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while bench.pool.shared.idle.borrow().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(answered(&bench.order().await), Some(200));
        assert_eq!(
            bench.server.connections(),
            [0, 0],
            "its connection was put back"
        );
    });
}

#[test]
fn over_tls_an_order_is_answered_and_a_halted_one_has_not_left() {
    locally(async {
        let bench = over_tls(vec![ok()], Duration::from_secs(20)).await;
        assert_eq!(answered(&bench.order().await), Some(200));
        assert_eq!(answered(&bench.order().await), Some(200));
        assert_eq!(bench.server.connections(), [0, 0]);
        let before = bench.ticket();
        bench.latch.halt(Duration::from_millis(10));
        let late = bench.pool.exchange(before, 1, &framed(), TAG);
        assert!(nothing_left(&late.await));
        assert_eq!(bench.server.seen().len(), 2);
    });
}

#[test]
fn a_server_of_an_unknown_authority_gets_nothing() {
    locally(async {
        let mut bench = over_tls(vec![ok()], Duration::from_secs(20)).await;
        let target = Target {
            endpoint: bench.pool.shared.target.endpoint.clone(),
            tls: any_tls(),
            timeout: Duration::from_secs(20),
            connections_max: 1,
        };
        bench.pool = Pool::new(Arc::clone(&bench.latch), Arc::new(target));
        assert!(nothing_left(&bench.order().await));
        assert!(bench.server.seen().is_empty());
    });
}

#[test]
fn an_order_given_up_before_it_was_written_has_not_left_not_even_a_farewell() {
    // Invariant: the count is read after the kill and before the request is dropped. The deadline
    // has passed already, so the request is handed to hyper and given up in the same step.
    for tls in [false, true] {
        locally(async {
            let bench = match tls {
                true => over_tls(vec![ok()], Duration::from_secs(20)).await,
                false => Bench::new(vec![ok()]).await,
            };
            let line = Line {
                ticket: bench.ticket(),
                credential_generation: 1,
            };
            let shared = &bench.pool.shared;
            let connection = Connection::open(&bench.latch, &shared.target, line, &shared.open);
            let mut connection = connection.await.unwrap();
            assert!(connection.is_ready().await);
            let authority = shared.target.endpoint.authority();
            let request = request(&framed(), authority).unwrap();
            let long_ago = Instant::now() - Duration::from_secs(1);
            let ended = connection.exchange(request, TAG, long_ago).await;
            let why = "no answer in time";
            assert!(
                matches!(ended, Exchange::Ended(Verdict::NothingLeft { why: w }) if w == why),
                "tls {tls}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(bench.server.seen().is_empty(), "tls {tls}");
        });
    }
}
