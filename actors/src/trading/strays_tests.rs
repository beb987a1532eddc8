//! What rests at the venue and is not open in our book.

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::domain::order::OrderStatus;
use crate::ports::venue::{Query, Reply};
use crate::trading::orders::tests::{intent, outcome};
use crate::trading::settle::compare;
use crate::trading::testing::{Told, floor_where, shown};

type Reasons = Arc<Mutex<Vec<String>>>;

/// A floor at a venue that shows these open orders, and what trading was stopped for.
fn showing(open: Vec<VenueOrder>) -> (Floor, Arc<Told>, Reasons) {
    let venue = Told::to(move |query| {
        Ok(match query {
            Query::OpenOrders => Reply::OpenOrders(open.clone()),
            Query::OrderById(id) => Reply::Order(
                open.iter()
                    .find(|order| order.order_id == Some(*id))
                    .cloned(),
            ),
            Query::Cancel(_) => Reply::CancelAccepted,
            other => panic!("asked {other:?}"),
        })
    });
    let reasons = Reasons::default();
    let told = reasons.clone();
    let stop = Arc::new(move |_, reason: &str| told.lock().push(reason.to_owned()));
    (floor_where(venue.clone(), stop), venue, reasons)
}

fn signed_by(signer: &str, n: u128) -> VenueOrder {
    VenueOrder {
        signer: Some(signer.to_owned()),
        ..shown(n, 10, OrderStatus::Open)
    }
}

fn is_held(floor: &Floor, order: &VenueOrder) -> bool {
    let holder = Holder::Foreign(order.venue_order_id.clone());
    floor
        .gate
        .with_exposure(|exposure| exposure.remaining(&holder).is_some())
}

const STRANGER: &str = "0x00000000000000000000000000000000000000aa";

#[tokio::test]
async fn a_strangers_order_of_the_same_account_is_exposure_and_no_reason_to_halt() {
    let order = signed_by(STRANGER, 7);
    let without_id = VenueOrder {
        order_id: None,
        ..signed_by(STRANGER, 8)
    };
    let (floor, venue, reasons) = showing(vec![order.clone(), without_id.clone()]);
    compare(&floor).await.unwrap();
    assert!(is_held(&floor, &order) && is_held(&floor, &without_id));
    assert_eq!(*reasons.lock(), Vec::<String>::new());
    assert_eq!(venue.count(|query| matches!(query, Query::Cancel(_))), 0);
}

#[tokio::test]
async fn an_order_with_our_signature_that_the_journal_lacks_halts_and_is_named() {
    for order_id in [Some(OrderId(uuid::Uuid::from_u128(7))), None] {
        let (floor, _, _) = showing(vec![]);
        let ours = floor.keys.identity().signer.to_uppercase();
        let order = VenueOrder {
            order_id,
            ..signed_by(&ours, 7)
        };
        let (mut other, _, reasons) = showing(vec![order.clone()]);
        other.keys = floor.keys;
        compare(&other).await.unwrap();
        let reasons = reasons.lock();
        let [reason] = reasons.as_slice() else {
            panic!("{reasons:?}")
        };
        assert!(reason.contains("v7"), "{reason}");
        assert!(is_held(&other, &order));
    }
}

#[tokio::test]
async fn an_order_of_ours_that_the_journal_has_halts_nothing() {
    let (floor, _, _) = showing(vec![]);
    let order = signed_by(&floor.keys.identity().signer, 1);
    let (mut other, _, reasons) = showing(vec![order.clone()]);
    other.keys = floor.keys;
    other.apply_now(&intent(1, 10));
    compare(&other).await.unwrap();
    assert!(!is_held(&other, &order), "it holds its own reservation");
    assert_eq!(*reasons.lock(), Vec::<String>::new());
}

#[tokio::test]
async fn an_order_that_ended_here_and_rests_there_counts_and_is_cancelled() {
    for end in [
        OrderStatus::NotPlaced,
        OrderStatus::Rejected,
        OrderStatus::Discarded,
    ] {
        let order = shown(1, 10, OrderStatus::Open);
        let (floor, venue, _) = showing(vec![order.clone()]);
        floor.apply_now(&intent(1, 10));
        floor.apply_now(&outcome(1, end));
        compare(&floor).await.unwrap();
        assert!(is_held(&floor, &order), "{end:?}");
        let cancel = Query::Cancel(order.venue_order_id);
        assert_eq!(venue.count(|query| *query == cancel), 1, "{end:?}");
    }
}

#[tokio::test]
async fn a_listing_that_is_older_than_an_orders_end_makes_no_stray_of_it() {
    let order = shown(1, 10, OrderStatus::Open);
    let filled = shown(1, 10, OrderStatus::Filled);
    let listed = order.clone();
    let venue = Told::to(move |query| {
        Ok(match query {
            Query::OpenOrders => Reply::OpenOrders(vec![listed.clone()]),
            Query::OrderById(_) => Reply::Order(Some(filled.clone())),
            other => panic!("asked {other:?}"),
        })
    });
    let floor = floor_where(venue, Arc::new(|_, reason| panic!("{reason}")));
    floor.apply_now(&intent(1, 10));
    floor.apply_now(&outcome(1, OrderStatus::Rejected));
    compare(&floor).await.unwrap();
    assert!(!is_held(&floor, &order));
}

#[tokio::test]
async fn a_cancel_that_was_asked_for_is_asked_again_until_the_order_rests_no_more() {
    let order = shown(1, 10, OrderStatus::Open);
    let (floor, venue, _) = showing(vec![order.clone()]);
    floor.apply_now(&intent(1, 10));
    compare(&floor).await.unwrap();
    let cancel = Query::Cancel(order.venue_order_id);
    assert_eq!(venue.count(|query| *query == cancel), 0);
    floor.apply_now(&crate::journal::record::Fact::OrderCancelAsked {
        order_id: order.order_id,
        symbol: None,
    });
    for n in 1..=2 {
        compare(&floor).await.unwrap();
        assert_eq!(venue.count(|query| *query == cancel), n);
    }
}
