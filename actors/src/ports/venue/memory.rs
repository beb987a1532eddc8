//! The venue port's in-memory twin: accepts every order and fills it at once, at its own price.
//!
//! For measuring and for tests of what stands before a venue. Its lane takes the latch's permit
//! around the one store that stands for the write, so that a halt stops it as it stops a socket. It
//! keeps no book, knows no rest and no fee, and forgets everything with the process.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use flashguard_latch::{Latch, Ticket};
use futures_util::future::{BoxFuture, FutureExt, LocalBoxFuture};
use parking_lot::Mutex;
use rust_decimal::Decimal;

use super::{
    Account, Capabilities, CredentialView, Framed, Framing, OrderAnswer, OrderLane, OrderSignature,
    Query, Quote, Reply, Signed, Venue, VenueError, VenueFill, VenueOrder, VenuePosition, Verdict,
};
use crate::domain::clock::UnixMicros;
use crate::domain::market::{Market, Symbol};
use crate::domain::order::{Order, OrderId, OrderStatus, Side, VenueOrderId};

/// Fills kept for the next reading of fills.
const FILLS_KEPT_MAX: usize = 65_536;
/// Orders kept for questions by id.
const ORDERS_KEPT_MAX: usize = 65_536;
/// Fills in one answer.
const FILLS_PAGE_MAX: usize = 1_000;

/// The twin.
pub struct MemoryVenue {
    latch: Arc<Latch>,
    framing: MemoryFraming,
    books: Vec<(Market, Quote)>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    next: u64,
    fills: VecDeque<(u64, VenueFill)>,
    orders: HashMap<OrderId, VenueOrder>,
    order_of_keeping: VecDeque<OrderId>,
    positions: BTreeMap<Symbol, Decimal>,
}

impl MemoryVenue {
    /// A twin with these markets, each with a book that stands still.
    pub fn new(latch: Arc<Latch>, books: Vec<(Market, Quote)>) -> Self {
        Self {
            latch,
            framing: MemoryFraming,
            books,
            kept: Arc::default(),
        }
    }

    /// How many orders it has taken.
    pub fn accepted(&self) -> u64 {
        self.kept.lock().next
    }

    fn answer(&self, query: Query) -> Reply {
        let kept = self.kept.lock();
        match query {
            Query::Account => Reply::Account(Account {
                account: "memory".to_owned(),
                scopes: vec!["trade".to_owned(), "read".to_owned()],
            }),
            Query::OpenOrders => Reply::OpenOrders(Vec::new()),
            Query::OrderById(id) => Reply::Order(kept.orders.get(&id).cloned()),
            Query::Cancel(_) => Reply::NothingToCancel,
            Query::CancelAll => Reply::CancelAllAccepted,
            Query::Positions => {
                let sizes = kept.positions.iter();
                Reply::Positions(
                    sizes
                        .map(|(symbol, size)| VenuePosition {
                            symbol: symbol.clone(),
                            size: *size,
                        })
                        .collect(),
                )
            }
            Query::Fills { since } => {
                let since = since
                    .and_then(|cursor| cursor.parse::<u64>().ok())
                    .unwrap_or(0);
                let from = kept.fills.partition_point(|(seq, _)| *seq <= since);
                let behind = kept.fills.range(from..).take(FILLS_PAGE_MAX);
                Reply::Fills(behind.map(|(_, fill)| fill.clone()).collect())
            }
            Query::Markets => Reply::Markets(
                self.books
                    .iter()
                    .map(|(market, _)| market.clone())
                    .collect(),
            ),
            Query::Book(symbol) => {
                let book = self
                    .books
                    .iter()
                    .find(|(market, _)| market.symbol == symbol);
                let none = Quote {
                    bid: Decimal::ZERO,
                    ask: Decimal::ZERO,
                };
                Reply::Book(book.map_or(none, |(_, quote)| *quote))
            }
        }
    }
}

impl Venue for MemoryVenue {
    fn framing(&self) -> &dyn Framing {
        &self.framing
    }

    fn ask(&self, query: Query, _: Framed) -> BoxFuture<'static, Result<Reply, VenueError>> {
        std::future::ready(Ok(self.answer(query))).boxed()
    }

    fn lane(&self) -> Box<dyn OrderLane> {
        Box::new(MemoryLane {
            latch: self.latch.clone(),
            kept: self.kept.clone(),
        })
    }
}

struct MemoryLane {
    latch: Arc<Latch>,
    kept: Arc<Mutex<Kept>>,
}

impl OrderLane for MemoryLane {
    fn send(&self, ticket: Ticket, order: Arc<Signed>) -> LocalBoxFuture<'static, Verdict> {
        let mut line = self.latch.register(ticket, None);
        let verdict = match line.permit() {
            Ok(permit) => {
                let answer = take(&mut self.kept.lock(), &order);
                permit.wrote(order.framed().body.len());
                Verdict::Answered {
                    status: 200,
                    body: answer,
                }
            }
            Err(_) => Verdict::NothingLeft { why: "refused" },
        };
        std::future::ready(verdict).boxed_local()
    }
}

/// Fills an order and answers with the venue's id of it.
fn take(kept: &mut Kept, signed: &Signed) -> Bytes {
    kept.next += 1;
    let (seq, order) = (kept.next, signed.order());
    let id = format!("m-{seq}");
    let Ok(venue_order_id) = VenueOrderId::try_from(id.clone()) else {
        return Bytes::new();
    };
    let signed_size = if order.side == Side::Buy {
        order.size
    } else {
        -order.size
    };
    *kept.positions.entry(order.symbol.clone()).or_default() += signed_size;
    let fill = VenueFill {
        fill_id: format!("f-{seq}"),
        cursor: seq.to_string(),
        venue_order_id: venue_order_id.clone(),
        order_id: Some(order.order_id),
        symbol: order.symbol.clone(),
        side: order.side,
        price: order.price,
        size: order.size,
        fee: Decimal::ZERO,
        at: signed.signed_at(),
    };
    let state = VenueOrder {
        signer: None,
        venue_order_id,
        order_id: Some(order.order_id),
        symbol: order.symbol.clone(),
        side: order.side,
        price: order.price,
        size: order.size,
        filled: order.size,
        status: OrderStatus::Filled,
    };
    kept.orders.insert(order.order_id, state);
    kept.order_of_keeping.push_back(order.order_id);
    kept.fills.push_back((seq, fill));
    if kept.fills.len() > FILLS_KEPT_MAX {
        kept.fills.pop_front();
    }
    if kept.order_of_keeping.len() > ORDERS_KEPT_MAX
        && let Some(oldest) = kept.order_of_keeping.pop_front()
    {
        kept.orders.remove(&oldest);
    }
    Bytes::from(id)
}

struct MemoryFraming;

impl Framing for MemoryFraming {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            acceptance_expiry: true,
            lookup_by_our_id: true,
            cancel_all: true,
            feed: false,
        }
    }

    fn order(
        &self,
        order: &Order,
        signature: &OrderSignature,
        credential: &CredentialView<'_>,
        _: UnixMicros,
    ) -> Framed {
        let body = format!("{} {}", order.order_id, signature.signature);
        let body = Bytes::from(body);
        framed(http::Method::POST, "/orders", credential, body)
    }

    fn read_order_answer(&self, status: u16, body: &[u8]) -> OrderAnswer {
        let id = std::str::from_utf8(body).ok().map(str::to_owned);
        match id.and_then(|id| VenueOrderId::try_from(id).ok()) {
            Some(venue_order_id) => OrderAnswer::Placed {
                venue_order_id,
                status: OrderStatus::Filled,
            },
            None => OrderAnswer::Unclear { status },
        }
    }

    fn query(&self, _: &Query, credential: &CredentialView<'_>, _: UnixMicros) -> Framed {
        framed(http::Method::GET, "/", credential, Bytes::new())
    }

    /// Nothing is read: the twin answers in typed form.
    fn read(&self, _: &Query, status: u16, _: &[u8]) -> Result<Reply, VenueError> {
        let internal = format!("the in-memory venue sends no bytes (status {status})");
        Err(VenueError::Unreadable { internal })
    }
}

/// With the public part of the credential, so that it shows which one was lent.
fn framed(
    method: http::Method,
    target: &str,
    credential: &CredentialView<'_>,
    body: Bytes,
) -> Framed {
    Framed {
        method,
        target: target.to_owned(),
        headers: vec![("x-api-key", credential.api_key.to_owned())],
        body,
    }
}
