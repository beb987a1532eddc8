//! A worker's order connections: few, each for one epoch, one incarnation and one credential, one
//! order at a time on each. What became of an order is read from the byte count of its connection.
//!
//! It never sends anything twice: no redirect, no proxy, no retry. It waits for a free connection,
//! for the connection to be made and for the answer under one deadline, and every order ends in a
//! [`Verdict`]. It does not know what an order says, nor what an answer means.

mod connection;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use flashguard_actors::ports::venue::{Framed, OrderLane, Signed, Verdict};
use flashguard_latch::{Latch, OrderTag, Ticket};
use futures_util::future::LocalBoxFuture;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::Full;
use rustls::ClientConfig;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};

use super::endpoint::Endpoint;
use connection::{Connection, Exchange, Line};

/// Orders that wait for a connection of one worker; one more is not sent.
pub const ORDERS_WAITING_MAX: usize = 1_024;

/// A connection that carried nothing for this long is not used again: the less it was used, the
/// likelier the other end has forgotten it, which would put the order in doubt.
pub const CONNECTION_IDLE_MAX_S: u64 = 30;

/// How long a connection that was used before may take to be ready again.
const CONNECTION_READY_MAX_MS: u64 = 50;

/// Where and how orders are sent; made once and shared by the pools of all workers.
#[derive(Debug)]
pub struct Target {
    /// The venue's base URL.
    pub endpoint: Endpoint,
    /// Used if the endpoint's scheme is `https`.
    pub tls: Arc<ClientConfig>,
    /// From being handed over to the end of the answer. Setting `venue.timeout_ms`.
    pub timeout: Duration,
    /// Connections of one worker, at least 1.
    pub connections_max: usize,
}

/// The order connections of the thread that made it. Clones share them.
#[derive(Clone)]
pub struct Pool {
    shared: Rc<Shared>,
}

struct Shared {
    latch: Arc<Latch>,
    target: Arc<Target>,
    /// One permit for each order that is under way.
    turns: Semaphore,
    waiting: Cell<usize>,
    idle: RefCell<Vec<Connection>>,
    /// Connections that exist, idle or in use.
    open: Rc<Cell<usize>>,
}

impl Pool {
    /// No connection is made before the first order needs one.
    pub fn new(latch: Arc<Latch>, target: Arc<Target>) -> Self {
        let turns = Semaphore::new(target.connections_max.max(1));
        let shared = Shared {
            latch,
            target,
            turns,
            waiting: Cell::new(0),
            idle: RefCell::default(),
            open: Rc::default(),
        };
        Self {
            shared: Rc::new(shared),
        }
    }

    /// Sends one framed request on a connection of its own kind, as [`OrderLane::send`] promises:
    /// it runs in a task of its own, so a caller who goes away changes nothing but that nobody
    /// hears the verdict. `order` is what a halt names it by.
    ///
    /// To be called inside a `LocalSet`, such as an actix arbiter.
    pub fn exchange(
        &self,
        ticket: Ticket,
        credential_generation: u64,
        framed: &Framed,
        order: OrderTag,
    ) -> LocalBoxFuture<'static, Verdict> {
        let line = Line {
            ticket,
            credential_generation,
        };
        let request = request(framed, self.shared.target.endpoint.authority());
        let shared = Rc::clone(&self.shared);
        let deadline = Instant::now() + shared.target.timeout;
        let under_way = tokio::task::spawn_local(async move {
            match request {
                Some(request) => shared.carry(line, request, order, deadline).await,
                None => Verdict::NothingLeft {
                    why: "the request cannot be written as HTTP",
                },
            }
        });
        Box::pin(async move {
            under_way.await.unwrap_or(Verdict::InDoubt {
                why: "the task that carried the order ended early",
            })
        })
    }
}

impl OrderLane for Pool {
    fn send(&self, ticket: Ticket, order: Arc<Signed>) -> LocalBoxFuture<'static, Verdict> {
        let tag = order.order().order_id.0.into_bytes();
        self.exchange(ticket, order.credential_generation(), order.framed(), tag)
    }
}

impl Shared {
    async fn carry(
        &self,
        line: Line,
        request: Request<Full<Bytes>>,
        order: OrderTag,
        deadline: Instant,
    ) -> Verdict {
        let nothing_left = |why| Verdict::NothingLeft { why };
        let Some(waiting) = Waiting::join(&self.waiting) else {
            return nothing_left("too many orders wait for a connection");
        };
        let turn = timeout_at(deadline, self.turns.acquire()).await;
        drop(waiting);
        let Ok(Ok(_turn)) = turn else {
            return nothing_left("no connection became free in time");
        };
        if !self.latch.is_current(&line.ticket) {
            // The permit would refuse it too; a connection that can still carry is not given up.
            return nothing_left("trading was halted, or the lane was taken over");
        }
        let connection = match self.idle_connection(&line).await {
            Some(connection) => connection,
            None => match timeout_at(deadline, self.open(line)).await {
                Ok(Ok(connection)) => connection,
                Ok(Err(why)) => return nothing_left(why),
                Err(_) => return nothing_left("no connection could be made in time"),
            },
        };
        match connection.exchange(request, order, deadline).await {
            Exchange::Answered(connection, verdict) => {
                self.keep(connection);
                verdict
            }
            Exchange::Ended(verdict) => verdict,
        }
    }

    /// Takes an idle connection of exactly this line, after throwing away all that are stale: of an
    /// earlier epoch, incarnation or credential, closed, or idle for too long.
    async fn idle_connection(&self, line: &Line) -> Option<Connection> {
        let idle_max = Duration::from_secs(CONNECTION_IDLE_MAX_S);
        self.idle.borrow_mut().retain(|c| {
            c.is_usable(&self.latch)
                && c.line.credential_generation >= line.credential_generation
                && c.idle_since.elapsed() <= idle_max
        });
        loop {
            let mut connection = {
                let mut idle = self.idle.borrow_mut();
                let found = idle.iter().rposition(|c| c.line == *line)?;
                idle.swap_remove(found)
            };
            // Lets the connection notice first that the other end has closed it or sent too much.
            tokio::task::yield_now().await;
            let patience = Duration::from_millis(CONNECTION_READY_MAX_MS);
            if let Ok(true) = timeout(patience, connection.is_ready()).await {
                return Some(connection);
            }
        }
    }

    async fn open(&self, line: Line) -> Result<Connection, &'static str> {
        if self.open.get() >= self.target.connections_max.max(1) {
            // All others are idle and of another line: the one that waited longest makes room.
            let mut idle = self.idle.borrow_mut();
            let oldest = idle.iter().enumerate().min_by_key(|(_, c)| c.idle_since);
            if let Some(oldest) = oldest.map(|(at, _)| at) {
                idle.swap_remove(oldest);
            }
        }
        Connection::open(&self.latch, &self.target, line, &self.open).await
    }

    /// Keeps a connection for the next order of its line.
    fn keep(&self, mut connection: Connection) {
        if connection.is_usable(&self.latch) {
            connection.idle_since = Instant::now();
            self.idle.borrow_mut().push(connection);
        }
    }
}

/// One place among the orders that wait.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn join(count: &'a Cell<usize>) -> Option<Self> {
        if count.get() >= ORDERS_WAITING_MAX {
            return None;
        }
        count.set(count.get() + 1);
        Some(Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// The request as hyper takes it, with `Host`; `None` if it is not one. `Content-Length` is hyper's.
fn request(framed: &Framed, authority: &str) -> Option<Request<Full<Bytes>>> {
    let target: Uri = framed.target.parse().ok()?;
    if !framed.target.starts_with('/') {
        return None;
    }
    let mut request = Request::builder()
        .method(framed.method.clone())
        .uri(target)
        .header(header::HOST, authority);
    for (name, value) in &framed.headers {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        request = request.header(*name, value);
    }
    request.body(Full::new(framed.body.clone())).ok()
}

#[cfg(test)]
mod tests;
