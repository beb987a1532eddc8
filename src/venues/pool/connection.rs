//! One order connection: made, used by one order at a time, and judged when something goes wrong.
//!
//! The verdict is the byte count under the permit, never an error of the HTTP library, and the order
//! of its steps is fixed: kill, read the count, only then drop the request. Dropping it first would
//! make TLS send its farewell, and "nothing left" would turn into "in doubt".

use std::{cell::Cell, rc::Rc, sync::Arc};

use bytes::Bytes;
use flashguard_actors::ports::venue::Verdict;
use flashguard_latch::{Latch, OrderTag, Section, Ticket};
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::AbortHandle,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::Target;
use crate::venues::{dial::dial, endpoint::Scheme, wire::Wire};

/// The longest body of an answer.
const ANSWER_BODY_MAX_BYTES: usize = 64 << 10;

/// The longest head of an answer.
const ANSWER_HEAD_MAX_BYTES: usize = 32 << 10;

/// Whose bytes a connection may carry: those of one epoch and incarnation, with one credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) ticket: Ticket,
    pub(super) credential_generation: u64,
}

pub(super) struct Connection {
    pub(super) line: Line,
    pub(super) idle_since: Instant,
    section: Arc<Section>,
    sender: SendRequest<Full<Bytes>>,
    /// hyper's side of it; it owns the socket.
    task: AbortHandle,
    _counted: Counted,
}

/// How an exchange ended.
pub(super) enum Exchange {
    /// With an answer; the connection may carry the next order.
    Answered(Connection, Verdict),
    /// In a way after which the connection is not used again.
    Ended(Verdict),
}

impl Connection {
    /// Connects; TLS and HTTP follow where the endpoint has them. On an error nothing of an order
    /// has left, and the text says how far it came.
    pub(super) async fn open(
        latch: &Arc<Latch>,
        target: &Target,
        line: Line,
        open: &Rc<Cell<usize>>,
    ) -> Result<Self, &'static str> {
        let counted = Counted::one_more(open);
        let io = dial(&target.endpoint).await.map_err(|e| {
            tracing::warn!(venue.host = target.endpoint.host(), error = %e, "no order connection");
            "the venue cannot be reached"
        })?;
        let wire = Wire::new(latch, line.ticket.clone(), io);
        let section = Arc::clone(wire.section());
        let (sender, task) = match target.endpoint.scheme() {
            Scheme::Http => speak_http(wire).await?,
            Scheme::Https => {
                let name = ServerName::try_from(target.endpoint.host().to_owned())
                    .map_err(|_| "the venue's host name is not one")?;
                let tls = TlsConnector::from(Arc::clone(&target.tls));
                let stream = tls.connect(name, wire).await.map_err(|e| {
                    tracing::warn!(venue.host = target.endpoint.host(), error = %e, "no TLS");
                    "the TLS handshake failed"
                })?;
                speak_http(stream).await?
            }
        };
        Ok(Self {
            line,
            idle_since: Instant::now(),
            section,
            sender,
            task,
            _counted: counted,
        })
    }

    /// Whether it may carry an order, as far as is known without waiting.
    pub(super) fn is_usable(&self, latch: &Latch) -> bool {
        !self.section.is_dead() && !self.sender.is_closed() && latch.is_current(&self.line.ticket)
    }

    /// Waits until the last answer is read to its end; `false` if it is closed.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends one order and finds its verdict, at the latest at `deadline`.
    pub(super) async fn exchange(
        mut self,
        request: Request<Full<Bytes>>,
        order: OrderTag,
        deadline: Instant,
    ) -> Exchange {
        let ready = timeout_at(deadline, self.sender.ready()).await;
        if !matches!(ready, Ok(Ok(()))) {
            let why = "the connection was closed before the order";
            return Exchange::Ended(Verdict::NothingLeft { why });
        }
        let section = Arc::clone(&self.section);
        let base = section.begin(order);
        let mut call = Box::pin(call(&mut self.sender, request));
        // Declared after `call`, so dropped before it: a task that is cancelled here kills first.
        let mut kill_first = KillOnDrop(Some(&section));
        let failed = match timeout_at(deadline, &mut call).await {
            Ok(Ok((status, body))) => {
                kill_first.0 = None;
                drop(call);
                section.end();
                return Exchange::Answered(self, Verdict::Answered { status, body });
            }
            Ok(Err(why)) => why,
            Err(_) => "no answer in time",
        };
        // SAFETY-ORDER: kill, read the count, then drop the request.
        let count = section.kill();
        drop(kill_first);
        drop(call);
        section.end();
        Exchange::Ended(match count {
            Some(sent) if sent == base => Verdict::NothingLeft { why: failed },
            _ => Verdict::InDoubt { why: failed },
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Killed first, so that nothing is written by what ends here, not even a farewell.
        self.section.kill();
        self.task.abort();
    }
}

/// One request, and its answer to the end.
async fn call(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Bytes), &'static str> {
    let answer = sender.send_request(request).await.map_err(|e| {
        tracing::debug!(error = %e, "an order got no answer");
        "the connection failed before the answer"
    })?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BODY_MAX_BYTES);
    match body.collect().await {
        Ok(body) => Ok((status, body.to_bytes())),
        Err(_) => Err("the answer broke off or is longer than 64 KiB"),
    }
}

async fn speak_http<S>(stream: S) -> Result<(SendRequest<Full<Bytes>>, AbortHandle), &'static str>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(ANSWER_HEAD_MAX_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| "HTTP cannot be spoken on the connection")?;
    let task = tokio::task::spawn_local(async move {
        if let Err(e) = connection.await {
            tracing::debug!(error = %e, "an order connection ended");
        }
    });
    Ok((sender, task.abort_handle()))
}

/// Kills a section unless it is disarmed.
struct KillOnDrop<'a>(Option<&'a Section>);

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(section) = self.0 {
            section.kill();
        }
    }
}

/// One of the connections that exist.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn one_more(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
