use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

use super::*;
use crate::domain::order::OrderStatus;
use crate::ports::venue::{
    Framed, Framing, OrderLane, Query, Reply, SharedVenue, Venue, VenueFill,
};
use crate::trading::orders::tests::{intent, outcome};
use crate::trading::testing::{floor, in_memory};

/// A venue that shows these positions, one reading after the other; the last for ever. A fill may come
/// between the position and what follows.
struct Shows {
    twin: SharedVenue,
    sizes: Mutex<Vec<i64>>,
    fills: Mutex<Vec<VenueFill>>,
    fill_comes: Mutex<Option<VenueFill>>,
}

impl Shows {
    fn sizes(sizes: &[i64]) -> Arc<Self> {
        Arc::new(Self {
            twin: in_memory(),
            sizes: Mutex::new(sizes.to_vec()),
            fills: Mutex::default(),
            fill_comes: Mutex::default(),
        })
    }
}

impl Venue for Shows {
    fn framing(&self) -> &dyn Framing {
        self.twin.framing()
    }

    fn ask(&self, query: Query, _: Framed) -> BoxFuture<'static, Result<Reply, VenueError>> {
        let reply = match query {
            Query::Fills { since } => {
                let fills = self.fills.lock();
                let since = since.map_or(0, |at| at.parse::<usize>().unwrap());
                Reply::Fills(fills.iter().skip(since).cloned().collect())
            }
            Query::Positions => {
                let mut sizes = self.sizes.lock();
                let size = if sizes.len() > 1 {
                    sizes.remove(0)
                } else {
                    sizes[0]
                };
                self.fills.lock().extend(self.fill_comes.lock().take());
                Reply::Positions(vec![VenuePosition {
                    symbol: symbol(),
                    size: size.into(),
                }])
            }
            other => panic!("asked {other:?}"),
        };
        std::future::ready(Ok(reply)).boxed()
    }

    fn lane(&self) -> Box<dyn OrderLane> {
        panic!("nothing is placed here")
    }
}

fn symbol() -> Symbol {
    Symbol::parse("SEI/USDC").unwrap()
}

fn held(floor: &Floor) -> Decimal {
    let exposed = floor.gate.with_exposure(|e| e.market(&symbol()).position);
    let positions = floor.positions.lock();
    assert_eq!(
        exposed,
        positions.get(&symbol()).map_or(Decimal::ZERO, |p| p.size)
    );
    exposed
}

fn fill(size: i64) -> VenueFill {
    VenueFill {
        fill_id: "1".into(),
        cursor: "1".into(),
        venue_order_id: "theirs".to_owned().try_into().unwrap(),
        order_id: None,
        symbol: symbol(),
        side: crate::domain::order::Side::Buy,
        price: Decimal::ONE,
        size: size.into(),
        fee: Decimal::ZERO,
        at: crate::domain::clock::UnixMicros(1),
    }
}

#[tokio::test]
async fn a_position_that_no_fill_explains_is_set_when_two_readings_running_agree() {
    let floor = floor(Shows::sizes(&[5, 5]));
    let mut last = Differences::new();
    look(&floor, &mut last).await.unwrap();
    assert_eq!(held(&floor), Decimal::ZERO, "once is not enough");
    look(&floor, &mut last).await.unwrap();
    assert_eq!(held(&floor), Decimal::from(5));
    look(&floor, &mut last).await.unwrap();
    assert_eq!((held(&floor), last.len()), (Decimal::from(5), 0));
}

#[tokio::test]
async fn readings_that_do_not_agree_set_nothing() {
    let floor = floor(Shows::sizes(&[5, 6, 5, 6]));
    let mut last = Differences::new();
    for _ in 0..4 {
        look(&floor, &mut last).await.unwrap();
        assert_eq!(held(&floor), Decimal::ZERO);
    }
}

#[tokio::test]
async fn nothing_is_compared_while_a_fill_comes_in_or_an_order_is_on_its_way() {
    let venue = Shows::sizes(&[5]);
    let floor = floor(venue.clone());
    let mut last = Differences::new();
    look(&floor, &mut last).await.unwrap();
    assert_eq!(last.len(), 1);
    // The position was read before the fill, and would be set although it explains itself.
    *venue.fill_comes.lock() = Some(fill(5));
    look(&floor, &mut last).await.unwrap();
    assert_eq!((held(&floor), last.len()), (Decimal::from(5), 0));

    floor.apply_now(&intent(1, 10));
    venue.sizes.lock()[0] = 9;
    for _ in 0..3 {
        look(&floor, &mut last).await.unwrap();
    }
    assert_eq!(held(&floor), Decimal::from(5));
    floor.apply_now(&outcome(1, OrderStatus::Open));
    for _ in 0..2 {
        look(&floor, &mut last).await.unwrap();
    }
    assert_eq!(held(&floor), Decimal::from(9));
}

#[tokio::test]
async fn at_a_start_two_readings_are_enough_and_a_restless_venue_is_asked_again_later() {
    let steady = floor(Shows::sizes(&[5, 5]));
    at_start(&steady).await.unwrap();
    assert_eq!(held(&steady), Decimal::from(5));
    let restless = floor(Shows::sizes(&[1, 2, 3, 4, 5, 6, 7]));
    let refused = at_start(&restless).await;
    assert!(
        matches!(refused, Err(VenueError::Unreadable { .. })),
        "{refused:?}"
    );
    assert_eq!(held(&restless), Decimal::ZERO);
}
