use std::path::Path;

use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::ports::venue::{CredentialView, FeedNews};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::venues::endpoint::Endpoint;
use crate::venues::http::HttpAdapter;

const OTHER: &str = r#"{"seq":1,"type":"weather","ts":9}"#;

/// A feed whose other end is in the test's hands, and that takes this long a silence.
async fn pair(silence_max_ms: u64) -> (Feed<DuplexStream>, WebSocketStream<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let ours = WebSocketStream::from_raw_socket(ours, Role::Client, Some(config)).await;
    let theirs = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
    let framing = Arc::new(HttpAdapter::new("http", ""));
    let every = Duration::from_millis(5);
    let silence_max = Duration::from_millis(silence_max_ms);
    (Feed::new(ours, framing, every, silence_max), theirs)
}

async fn told(text: impl Into<Message>) -> Result<FeedMessage, FeedEnd> {
    let (mut feed, mut venue) = pair(60_000).await;
    venue.send(text.into()).await.unwrap();
    feed.next().await
}

fn target(address: std::net::SocketAddr) -> Arc<Target> {
    Arc::new(Target {
        endpoint: Endpoint::parse(&format!("http://{address}/base")).unwrap(),
        tls: crate::venues::tls::client_config(None::<&Path>).unwrap(),
        timeout: Duration::from_secs(20),
        connections_max: 1,
    })
}

fn framed() -> (Arc<dyn Framing>, Framed) {
    let framing = HttpAdapter::new("http", "/base");
    let credential = CredentialView {
        api_key: "key-1",
        secret: b"secret",
    };
    let framed = framing.feed(&credential, UnixMicros(1_000_000)).unwrap();
    (Arc::new(framing), framed)
}

/// Opens the feed at a listener that does this with the connection.
async fn opened_at<F: Future<Output = ()>>(
    venue: impl FnOnce(TcpStream) -> F,
) -> Result<Box<dyn FeedConnection>, VenueError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap());
    let (framing, framed) = framed();
    let (opened, ()) = tokio::join!(open(target, framing, framed), async {
        venue(listener.accept().await.unwrap().0).await;
    });
    opened
}

#[tokio::test]
async fn messages_come_in_order_and_pings_of_either_side_are_answered() {
    let (mut feed, mut venue) = pair(60_000).await;
    let venue = async move {
        venue.send(Message::Ping(Bytes::new())).await.unwrap();
        venue.send(OTHER.into()).await.unwrap();
        let (mut pinged, mut ponged) = (false, false);
        while !(pinged && ponged) {
            match venue.next().await.unwrap().unwrap() {
                Message::Ping(_) => pinged = true,
                Message::Pong(_) => ponged = true,
                other => panic!("{other:?}"),
            }
        }
        venue
            .send(OTHER.replace(":1,", ":2,").into())
            .await
            .unwrap();
        venue
    };
    let feed = async {
        let first = feed.next().await.unwrap();
        assert_eq!((first.seq, first.news), (1, FeedNews::Other));
        assert_eq!(feed.next().await.unwrap().seq, 2);
    };
    tokio::join!(venue, feed);
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_dead_though_nobody_closed_it() {
    let (mut feed, venue) = pair(30).await;
    assert_eq!(feed.next().await, Err(FeedEnd::Silent));
    drop(venue);
}

#[tokio::test]
async fn one_that_answers_pings_and_has_nothing_to_tell_lives() {
    let (mut feed, mut venue) = pair(2_000).await;
    let venue = async move {
        for _ in 0..20 {
            assert!(venue.next().await.unwrap().unwrap().is_ping());
        }
        venue.send(OTHER.into()).await.unwrap();
        venue
    };
    let (_, told) = tokio::join!(venue, feed.next());
    assert_eq!(told.unwrap().seq, 1);
}

#[tokio::test]
async fn what_cannot_be_read_or_is_too_long_ends_it() {
    assert_eq!(told("weather").await, Err(FeedEnd::Unreadable));
    assert_eq!(
        told(Message::Binary(Bytes::new())).await,
        Err(FeedEnd::Unreadable)
    );
    let long = |length: usize| {
        let rest = OTHER.len() + r#","x":"""#.len();
        OTHER.replace('}', &format!(r#","x":"{}"}}"#, "x".repeat(length - rest)))
    };
    assert_eq!(told(long(MESSAGE_BYTES_MAX)).await.unwrap().seq, 1);
    assert_eq!(
        told(long(MESSAGE_BYTES_MAX + 1)).await,
        Err(FeedEnd::Unreadable)
    );
}

#[tokio::test]
async fn a_close_and_a_cut_are_told_apart() {
    assert_eq!(told(Message::Close(None)).await, Err(FeedEnd::Closed));
    let (mut feed, venue) = pair(60_000).await;
    drop(venue);
    assert_eq!(feed.next().await, Err(FeedEnd::Broken));
}

#[tokio::test]
async fn it_opens_with_the_request_as_it_was_signed() {
    let opened = opened_at(async |mut tcp: TcpStream| {
        let mut head = vec![0; 4_096];
        let read = tcp.peek(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..read]).to_lowercase();
        assert!(head.starts_with("get /base/ws http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nx-api-key: key-1\r\n"), "{head}");
        assert!(head.contains("\r\nx-signature: "), "{head}");
        let mut venue = accept_async(&mut tcp).await.unwrap();
        venue.send(OTHER.into()).await.unwrap();
    })
    .await;
    assert_eq!(opened.unwrap().next().await.unwrap().seq, 1);
}

#[tokio::test]
async fn a_refusal_says_who_is_to_blame() {
    let refused = async |status: &'static str| {
        let opened = opened_at(async move |mut tcp: TcpStream| {
            let mut head = [0; 4_096];
            let _ = tcp.read(&mut head).await.unwrap();
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n");
            tcp.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        opened.err().expect("no feed")
    };
    assert_eq!(refused("401 No").await, VenueError::CredentialRejected);
    let throttled = VenueError::Throttled {
        retry_after_ms: Some(7_000),
    };
    assert_eq!(refused("429 Slow").await, throttled);
    for other in ["200 Fine", "302 Elsewhere", "503 Busy"] {
        let error = refused(other).await;
        assert!(
            matches!(error, VenueError::Unreachable { .. }),
            "{other}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_venue_that_does_not_answer_the_opening_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut target = Arc::into_inner(target(listener.local_addr().unwrap())).unwrap();
    target.timeout = Duration::from_millis(20);
    let (framing, framed) = framed();
    let opened = open(Arc::new(target), framing, framed).await;
    assert!(matches!(opened, Err(VenueError::Unreachable { .. })));
}
