//! A person's word: where it counts, and that it never contradicts the venue.

use std::sync::Arc;

use super::*;
use crate::domain::clock::UnixMicros;
use crate::gate::Holder;
use crate::journal::views::ScanViews;
use crate::ports::venue::{Capabilities, Query, Reply, VenueFill, VenueOrder};
use crate::ports::views::{EventFilter, Views};
use crate::trading::orders::tests::intent;
use crate::trading::testing::{Told, floor, shown};

/// A venue that finds orders by our id and keeps no last instant of acceptance.
const WITHOUT_EXPIRY: Capabilities = Capabilities {
    acceptance_expiry: false,
    lookup_by_our_id: true,
    cancel_all: true,
    feed: false,
};

fn id() -> OrderId {
    OrderId(uuid::Uuid::from_u128(1))
}

/// A venue with these open orders and fills, that finds what is open.
fn showing(can: Capabilities, open: Vec<VenueOrder>, fills: Vec<VenueFill>) -> Arc<Told> {
    Told::able(can, move |query| {
        Ok(match query {
            Query::OpenOrders => Reply::OpenOrders(open.clone()),
            Query::OrderById(_) => Reply::Order(open.first().cloned()),
            Query::Fills { since } => Reply::Fills(match since {
                None => fills.clone(),
                Some(_) => vec![],
            }),
            Query::Cancel(_) => Reply::CancelAccepted,
            other => panic!("asked {other:?}"),
        })
    })
}

fn doubting(venue: Arc<Told>) -> Floor {
    let floor = floor(venue);
    floor.apply_now(&intent(1, 10));
    floor.apply_now(&Fact::OrderInDoubt {
        order_id: id(),
        signature: None,
        why: "test".into(),
    });
    floor
}

async fn say(floor: &Floor, word: Word) -> Result<Option<OrderState>, ResolveRefused> {
    let by = Principal::api_key("ann");
    resolve(floor, id(), word, &by, "asked their desk".into()).await
}

fn held(floor: &Floor) -> bool {
    let holder = Holder::Ours(id());
    floor
        .gate
        .with_exposure(|exposure| exposure.remaining(&holder).is_some())
}

#[tokio::test]
async fn where_the_venue_can_prove_nothing_a_persons_word_frees_the_exposure() {
    for word in Word::ALL {
        let floor = doubting(showing(WITHOUT_EXPIRY, vec![], vec![]));
        assert!(held(&floor));
        let state = say(&floor, word).await.unwrap().unwrap();
        assert_eq!((state.status, state.settled), (word.status(), true));
        assert!(!held(&floor), "{word:?}");
    }
}

#[tokio::test]
async fn the_word_is_journaled_with_who_and_why() {
    let floor = doubting(showing(WITHOUT_EXPIRY, vec![], vec![]));
    say(&floor, Word::NotPlaced).await.unwrap();
    let views = ScanViews::new(floor.readers.clone());
    let filter = EventFilter {
        kind: Some("order.resolved".into()),
        limit: 10,
        ..EventFilter::default()
    };
    let found = views.events(&filter).unwrap().items;
    let [event] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        event.principal.as_deref(),
        Some(Principal::api_key("ann").as_str())
    );
    assert_eq!(event.data["status"], "not_placed");
    let reason = event.private.as_ref().map(|private| &private["reason"]);
    assert_eq!(reason.unwrap(), "asked their desk");
}

#[tokio::test]
async fn a_venue_that_proves_it_itself_leaves_nothing_to_a_person() {
    let all = Capabilities {
        acceptance_expiry: true,
        ..WITHOUT_EXPIRY
    };
    let venue = showing(all, vec![], vec![]);
    let floor = doubting(venue.clone());
    let refused = say(&floor, Word::NotPlaced).await;
    let Err(ResolveRefused::VenueProves { at_ms }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(at_ms, super::super::doubt::provable_after_ms(5_000));
    assert!(held(&floor));
    assert_eq!(venue.count(|_| true), 0, "nothing had to be asked");
}

#[tokio::test]
async fn an_order_that_the_venue_shows_is_not_a_persons_to_end() {
    let open = vec![shown(1, 10, OrderStatus::Open)];
    let floor = doubting(showing(WITHOUT_EXPIRY, open, vec![]));
    for word in Word::ALL {
        let refused = say(&floor, word).await;
        assert!(
            matches!(refused, Err(ResolveRefused::VenueShows(_))),
            "{refused:?}"
        );
        assert!(held(&floor));
    }
}

#[tokio::test]
async fn an_order_with_fills_was_placed_whatever_anybody_says() {
    let order = shown(1, 10, OrderStatus::Open);
    let fill = VenueFill {
        fill_id: "f1".into(),
        cursor: "1".into(),
        venue_order_id: order.venue_order_id.clone(),
        order_id: order.order_id,
        symbol: order.symbol.clone(),
        side: order.side,
        price: order.price,
        size: rust_decimal::Decimal::ONE,
        fee: rust_decimal::Decimal::ZERO,
        at: UnixMicros(1),
    };
    let floor = doubting(showing(WITHOUT_EXPIRY, vec![], vec![fill]));
    let refused = say(&floor, Word::NotPlaced).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(held(&floor));
    assert_eq!(
        floor.order(&id()).unwrap().status,
        OrderStatus::PartiallyFilled
    );
}

#[tokio::test]
async fn a_venue_that_cannot_be_asked_or_a_dead_journal_leaves_it_in_doubt() {
    let gone = || VenueError::Unreachable {
        internal: "test".into(),
    };
    let floor = doubting(Told::able(WITHOUT_EXPIRY, move |_| Err(gone())));
    let refused = say(&floor, Word::NotPlaced).await;
    assert!(
        matches!(refused, Err(ResolveRefused::Venue(_))),
        "{refused:?}"
    );
    assert!(held(&floor));

    let floor = doubting(showing(WITHOUT_EXPIRY, vec![], vec![]));
    floor.journal.close().unwrap();
    let refused = say(&floor, Word::NotPlaced).await;
    assert!(
        matches!(refused, Err(ResolveRefused::Journal)),
        "{refused:?}"
    );
    assert!(held(&floor));
    assert_eq!(floor.order(&id()).unwrap().status, OrderStatus::InDoubt);
}

#[tokio::test]
async fn only_an_order_in_doubt_is_resolved() {
    let floor = doubting(showing(WITHOUT_EXPIRY, vec![], vec![]));
    say(&floor, Word::NotPlaced).await.unwrap();
    let again = say(&floor, Word::Cancelled).await;
    assert!(
        matches!(again, Err(ResolveRefused::NotInDoubt(_))),
        "{again:?}"
    );
    let nobody = OrderId(uuid::Uuid::from_u128(9));
    let by = Principal::api_key("ann");
    let unknown = resolve(&floor, nobody, Word::NotPlaced, &by, "x".into()).await;
    assert!(unknown.unwrap().is_none());
}
