//! What answers about orders in doubt mean, and that one order never keeps the others waiting.

use std::collections::HashSet;

use super::*;
use crate::domain::clock::ManualClock;
use crate::ports::venue::{Query, Reply};
use crate::trading::orders::tests::{intent, outcome};
use crate::trading::testing::{Told, floor, shown};

/// The instant after which the absence of `intent(n, _)` is proof.
const LAST_MS: u64 = 5_000 + 5_000 + 1_000;

fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

fn in_doubt(n: u128) -> [Fact; 2] {
    let doubt = Fact::OrderInDoubt {
        order_id: id(n),
        signature: None,
        why: "test".into(),
    };
    [intent(n, 10), doubt]
}

fn doubting(orders: u128, venue: std::sync::Arc<Told>) -> Floor {
    let floor = floor(venue);
    for fact in (1..=orders).flat_map(in_doubt) {
        floor.apply_now(&fact);
    }
    floor
}

fn status(floor: &Floor, n: u128) -> OrderStatus {
    floor.order(&id(n)).unwrap().status
}

fn unreachable() -> VenueError {
    VenueError::Unreachable {
        internal: "test".into(),
    }
}

#[test]
fn an_absent_order_is_given_up_only_at_the_second_look_after_it_could_be_accepted() {
    let look = |provable, seen_absent, ms: u64| Look {
        provable,
        seen_absent,
        asked_at: UnixMicros(ms * 1_000),
    };
    assert_eq!(verdict(None, look(true, false, LAST_MS + 1), 5_000), None);
    assert_eq!(verdict(None, look(true, true, LAST_MS), 5_000), None);
    let proven = Some(OrderStatus::NotPlaced);
    assert_eq!(verdict(None, look(true, true, LAST_MS + 1), 5_000), proven);
    // A venue that keeps no last instant of acceptance proves nothing by not showing it.
    assert_eq!(
        verdict(None, look(false, true, u64::MAX / 1_000), 5_000),
        None
    );
    let found = shown(1, 10, OrderStatus::Open);
    let open = Some(OrderStatus::Open);
    assert_eq!(verdict(Some(&found), look(false, false, 0), 5_000), open);
}

#[tokio::test]
async fn an_order_that_cannot_be_asked_about_does_not_keep_the_others() {
    let venue = Told::to(|query| match query {
        Query::OrderById(order) if *order == id(1) => Err(unreachable()),
        Query::OrderById(order) => Ok(Reply::Order(Some(shown(
            order.0.as_u128(),
            10,
            OrderStatus::Open,
        )))),
        other => panic!("asked {other:?}"),
    });
    let floor = doubting(4, venue);
    let looked = resolve_in_doubt(&floor, &mut Doubts::default()).await;
    assert_eq!(looked, Err(unreachable()));
    assert_eq!(status(&floor, 1), OrderStatus::InDoubt);
    for n in 2..=4 {
        assert_eq!(status(&floor, n), OrderStatus::Open, "order {n}");
    }
}

#[tokio::test]
async fn where_every_question_fails_a_look_is_bounded_and_the_next_begins_with_the_others() {
    let venue = Told::to(|_| Err(unreachable()));
    let floor = doubting(7, venue.clone());
    let mut doubts = Doubts::default();
    let mut asked = Vec::new();
    for _ in 0..3 {
        let before = venue.count(|_| true);
        resolve_in_doubt(&floor, &mut doubts).await.unwrap_err();
        asked.push(venue.count(|_| true) - before);
    }
    assert_eq!(asked, [3, 3, 3]);
    let all: HashSet<_> = (1..=7).map(id).collect();
    let seen = |n| venue.count(|query| *query == Query::OrderById(n));
    assert!(all.iter().all(|n| seen(*n) > 0), "everyone had a turn");
}

#[tokio::test]
async fn a_venue_that_asks_to_slow_down_is_not_asked_further() {
    let throttled = VenueError::Throttled {
        retry_after_ms: Some(1_000),
    };
    let answer = throttled.clone();
    let venue = Told::to(move |_| Err(answer.clone()));
    let floor = doubting(3, venue.clone());
    let looked = resolve_in_doubt(&floor, &mut Doubts::default()).await;
    assert_eq!((looked, venue.count(|_| true)), (Err(throttled), 1));
}

#[tokio::test]
async fn an_order_on_its_way_for_too_long_is_in_doubt() {
    let mut floor = floor(Told::to(|query| panic!("asked {query:?}")));
    floor.apply_now(&intent(1, 10));
    let at = |ms: u64| ManualClock::at(UnixMicros(ms * 1_000));
    floor.clock = at(LAST_MS);
    assert_eq!(doubt_overdue(&floor).await, 0, "it may still be accepted");
    floor.clock = at(LAST_MS + 1);
    assert_eq!(doubt_overdue(&floor).await, 1);
    assert_eq!(status(&floor, 1), OrderStatus::InDoubt);
    // Whoever carried it comes back with the venue's answer after all: that is what is true.
    floor.apply_now(&outcome(1, OrderStatus::Open));
    assert_eq!(status(&floor, 1), OrderStatus::Open);
}
