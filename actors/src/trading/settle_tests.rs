//! What is asked of the venue to make the book true again, and what is not.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use rust_decimal::Decimal;

use super::*;
use crate::domain::clock::UnixMicros;
use crate::domain::order::VenueOrderId;
use crate::gate::Holder;
use crate::ports::venue::{
    Framed, Framing, OrderLane, Query, Reply, SharedVenue, Venue, VenueFill,
};
use crate::trading::orders::tests::{intent, outcome};
use crate::trading::testing::{floor, in_memory};

/// A venue that shows what it was given, nothing resting, and remembers what it was asked.
struct Asked {
    /// Frames, and is never asked.
    twin: SharedVenue,
    fills: Vec<VenueFill>,
    orders: Vec<VenueOrder>,
    queries: Mutex<Vec<Query>>,
}

impl Asked {
    fn showing(fills: Vec<VenueFill>, orders: Vec<VenueOrder>) -> Arc<Self> {
        Arc::new(Self {
            twin: in_memory(),
            fills,
            orders,
            queries: Mutex::default(),
        })
    }

    fn count(&self, is_one: impl Fn(&Query) -> bool) -> usize {
        self.queries
            .lock()
            .iter()
            .filter(|query| is_one(query))
            .count()
    }

    fn pages_of_fills(&self) -> usize {
        self.count(|query| matches!(query, Query::Fills { .. }))
    }

    fn single_orders(&self) -> usize {
        self.count(|query| matches!(query, Query::OrderById(_)))
    }

    fn answer(&self, query: &Query) -> Reply {
        match query {
            Query::OpenOrders => Reply::OpenOrders(vec![]),
            Query::Fills { since } => {
                let behind = |fill: &&VenueFill| since.as_ref().is_none_or(|at| fill.cursor > *at);
                Reply::Fills(self.fills.iter().filter(behind).cloned().collect())
            }
            Query::OrderById(id) => {
                let found = self.orders.iter().find(|order| order.order_id == Some(*id));
                Reply::Order(found.cloned())
            }
            other => panic!("asked {other:?}"),
        }
    }
}

impl Venue for Asked {
    fn framing(&self) -> &dyn Framing {
        self.twin.framing()
    }

    fn ask(&self, query: Query, _: Framed) -> BoxFuture<'static, Result<Reply, VenueError>> {
        let answer = self.answer(&query);
        self.queries.lock().push(query);
        std::future::ready(Ok(answer)).boxed()
    }

    fn lane(&self) -> Box<dyn OrderLane> {
        panic!("nothing is placed here")
    }
}

/// A floor where the venue took orders 1 to `orders`, each of size 10, and they were open.
fn with_open(orders: u128, venue: Arc<Asked>) -> Floor {
    let floor = floor(venue);
    for n in 1..=orders {
        floor.apply_now(&intent(n, 10));
        floor.apply_now(&outcome(n, OrderStatus::Open));
    }
    floor
}

fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

fn venue_id(n: u128) -> VenueOrderId {
    VenueOrderId::try_from(format!("v{n}")).unwrap()
}

fn fill(n: u128, size: u64) -> VenueFill {
    let Fact::OrderIntent { order, .. } = intent(n, 10) else {
        panic!("an intent")
    };
    VenueFill {
        fill_id: format!("f{n:04}"),
        cursor: format!("{n:04}"),
        venue_order_id: venue_id(n),
        order_id: Some(id(n)),
        symbol: order.symbol,
        side: order.side,
        price: order.price,
        size: Decimal::from(size),
        fee: Decimal::ZERO,
        at: UnixMicros(1),
    }
}

fn cancelled(n: u128, filled: u64) -> VenueOrder {
    let fill = fill(n, filled);
    VenueOrder {
        venue_order_id: fill.venue_order_id,
        order_id: fill.order_id,
        symbol: fill.symbol,
        side: fill.side,
        price: fill.price,
        size: Decimal::from(10),
        filled: fill.size,
        status: OrderStatus::Cancelled,
        signer: None,
    }
}

/// Of `n`: its status, and whether nothing of it counts any more, in the book and in the exposure.
fn ended(floor: &Floor, n: u128) -> (OrderStatus, bool) {
    let state = floor.order(&id(n)).unwrap();
    let held = floor
        .gate
        .with_exposure(|exposure| exposure.remaining(&Holder::Ours(id(n))));
    assert_eq!(state.settled, held.is_none(), "book and exposure agree");
    (state.status, state.settled)
}

#[tokio::test]
async fn orders_that_ended_by_being_filled_cost_one_reading_of_fills_and_no_question_each() {
    let venue = Asked::showing((1..=50).map(|n| fill(n, 10)).collect(), vec![]);
    let floor = with_open(50, venue.clone());
    settle(&floor).await.unwrap();
    for n in 1..=50 {
        assert_eq!(ended(&floor, n), (OrderStatus::Filled, true), "order {n}");
    }
    assert_eq!(venue.single_orders(), 0);
    assert_eq!(
        venue.pages_of_fills(),
        2,
        "the fills, and that no more follow"
    );
}

#[tokio::test]
async fn an_order_cancelled_at_the_venue_is_asked_about_once() {
    let venue = Asked::showing(vec![fill(1, 10), fill(2, 4)], vec![cancelled(2, 4)]);
    let floor = with_open(2, venue.clone());
    settle(&floor).await.unwrap();
    assert_eq!(ended(&floor, 1), (OrderStatus::Filled, true));
    assert_eq!(ended(&floor, 2), (OrderStatus::Cancelled, true));
    assert_eq!(floor.order(&id(2)).unwrap().filled, Decimal::from(4));
    let asked = venue.queries.lock().clone();
    let about: Vec<_> = asked
        .iter()
        .filter(|q| matches!(q, Query::OrderById(_)))
        .collect();
    assert_eq!(about, [&Query::OrderById(id(2))]);
    settle(&floor).await.unwrap();
    assert_eq!(venue.single_orders(), 1, "and not again");
}

#[tokio::test]
async fn where_nothing_ended_only_the_open_orders_are_read() {
    let venue = Asked::showing(vec![], vec![]);
    let floor = with_open(0, venue.clone());
    settle(&floor).await.unwrap();
    assert_eq!(*venue.queries.lock(), [Query::OpenOrders]);
}
