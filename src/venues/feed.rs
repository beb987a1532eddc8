//! The venue's feed over a WebSocket (RFC 6455): one connection of its own, opened with a request that
//! the key manager framed, over the same TCP and TLS as everything else.
//!
//! Messages are bounded; it pings, and a connection on which nothing comes for too long is dead, also
//! when the network does not say so. It sends nothing but pings, pongs and a close, carries no order and
//! needs no permit. Neither headers nor messages reach a log: the library's own logging goes nowhere.

use std::sync::Arc;
use std::time::Duration;

use flashguard_actors::ports::venue::{
    FeedConnection, FeedEnd, FeedMessage, Framed, Framing, VenueError,
};
use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use http::header::{self, HeaderName, HeaderValue};
use http::{Request, Uri};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::dial::dial;
use super::endpoint::Scheme;
use super::pool::Target;

/// Longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// How much of the connection is read at once, in bytes.
const READ_BUFFER_BYTES: usize = 16 << 10;
/// Most bytes that wait to be sent: pings and pongs.
const WRITE_BUFFER_BYTES_MAX: usize = 64 << 10;
/// How often it pings, in milliseconds.
const PING_EVERY_MS: u64 = 2_000;
/// How long a connection may say nothing, in milliseconds: some pings long.
const SILENCE_MAX_MS: u64 = 8_000;

/// Opens the feed within the target's deadline.
pub async fn open(
    target: Arc<Target>,
    framing: Arc<dyn Framing>,
    framed: Framed,
) -> Result<Box<dyn FeedConnection>, VenueError> {
    let opening = tokio::time::timeout(target.timeout, connect(&target, framing, framed)).await;
    opening.unwrap_or_else(|_| Err(unreachable("the feed did not open in time")))
}

async fn connect(
    target: &Target,
    framing: Arc<dyn Framing>,
    framed: Framed,
) -> Result<Box<dyn FeedConnection>, VenueError> {
    let request = upgrade(target, framed)?;
    let endpoint = &target.endpoint;
    let tcp = dial(endpoint)
        .await
        .map_err(|_| unreachable("no connection for the feed"))?;
    match endpoint.scheme() {
        Scheme::Http => shake_hands(request, tcp, framing).await,
        Scheme::Https => {
            let name = ServerName::try_from(endpoint.host().to_owned())
                .map_err(|_| unreachable("the venue's host name is not one"))?;
            let tls = TlsConnector::from(Arc::clone(&target.tls));
            let stream = tls.connect(name, tcp).await;
            let stream = stream.map_err(|_| unreachable("the feed's TLS handshake failed"))?;
            shake_hands(request, stream, framing).await
        }
    }
}

/// The framed request with what the protocol needs. The target goes out as it was signed, or not at all.
fn upgrade(target: &Target, framed: Framed) -> Result<Request<()>, VenueError> {
    let altered = || VenueError::Unreadable {
        internal: "the feed's request would not be sent as it was signed".to_owned(),
    };
    let authority = target.endpoint.authority();
    // The scheme only says that it is a WebSocket: TLS was decided by the endpoint.
    let uri: Uri = format!("ws://{authority}{}", framed.target)
        .parse()
        .map_err(|_| altered())?;
    let sent = uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    let plain = framed.method == http::Method::GET && framed.body.is_empty();
    if !plain || sent != Some(framed.target.as_str()) {
        return Err(altered());
    }
    let mut request = Request::builder()
        .uri(uri)
        .header(header::HOST, authority)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, generate_key())
        .body(())
        .map_err(|_| altered())?;
    for (name, value) in framed.headers {
        let mut value = HeaderValue::try_from(value).map_err(|_| altered())?;
        value.set_sensitive(true);
        request
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
    Ok(request)
}

async fn shake_hands<S>(
    request: Request<()>,
    stream: S,
    framing: Arc<dyn Framing>,
) -> Result<Box<dyn FeedConnection>, VenueError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => {
            let every = Duration::from_millis(PING_EVERY_MS);
            let silence_max = Duration::from_millis(SILENCE_MAX_MS);
            Ok(Box::new(Feed::new(socket, framing, every, silence_max)))
        }
        Err(Error::Http(response)) => Err(refused(response.status().as_u16(), response.headers())),
        Err(_) => Err(unreachable("the feed's handshake failed")),
    }
}

fn refused(status: u16, headers: &http::HeaderMap) -> VenueError {
    match status {
        401 | 403 => VenueError::CredentialRejected,
        429 => VenueError::Throttled {
            retry_after_ms: super::query::retry_after_ms(headers),
        },
        status => VenueError::Unreachable {
            internal: format!("the feed is refused with status {status}"),
        },
    }
}

fn unreachable(internal: &str) -> VenueError {
    VenueError::Unreachable {
        internal: internal.to_owned(),
    }
}

struct Feed<S> {
    socket: WebSocketStream<S>,
    framing: Arc<dyn Framing>,
    pings: Interval,
    silence_max: Duration,
    heard_at: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Feed<S> {
    fn new(
        socket: WebSocketStream<S>,
        framing: Arc<dyn Framing>,
        every: Duration,
        silence_max: Duration,
    ) -> Self {
        let mut pings = tokio::time::interval_at(Instant::now() + every, every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            socket,
            framing,
            pings,
            silence_max,
            heard_at: Instant::now(),
        }
    }

    /// The next message. What it waits for loses nothing when it is dropped.
    async fn hear(&mut self) -> Result<FeedMessage, FeedEnd> {
        loop {
            let dead_at = self.heard_at + self.silence_max;
            let frame = tokio::select! {
                // What came while nobody listened was no silence.
                biased;
                frame = self.socket.next() => frame,
                _ = self.pings.tick() => {
                    // A peer that reads nothing is a silent one.
                    let ping = self.socket.send(Message::Ping(Bytes::new()));
                    match tokio::time::timeout_at(dead_at, ping).await {
                        Ok(sent) => sent.map_err(|_| FeedEnd::Broken)?,
                        Err(_) => return Err(FeedEnd::Silent),
                    }
                    continue;
                }
                () = tokio::time::sleep_until(dead_at) => return Err(FeedEnd::Silent),
            };
            self.heard_at = Instant::now();
            match frame {
                Some(Ok(Message::Text(text))) => return self.read(text.as_str()),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                // The venue sends text only.
                Some(Ok(Message::Binary(_))) => return Err(FeedEnd::Unreadable),
                Some(Ok(Message::Close(_))) | None => return Err(FeedEnd::Closed),
                Some(Err(Error::Capacity(_) | Error::Utf8(_))) => return Err(FeedEnd::Unreadable),
                Some(Err(_)) => return Err(FeedEnd::Broken),
            }
        }
    }

    fn read(&self, text: &str) -> Result<FeedMessage, FeedEnd> {
        self.framing.read_feed(text).map_err(|error| {
            if let VenueError::Unreadable { internal } = &error {
                tracing::warn!(detail = internal, "a message of the feed cannot be read");
            }
            FeedEnd::Unreadable
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> FeedConnection for Feed<S> {
    fn next(&mut self) -> BoxFuture<'_, Result<FeedMessage, FeedEnd>> {
        Box::pin(self.hear())
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
