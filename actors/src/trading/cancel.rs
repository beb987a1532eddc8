//! Cancels: they pass in every state, wait for the journal only briefly, and are true when the venue
//! was read again (J1, K6, K12).

use std::time::Duration;

use super::floor::Floor;
use super::orders::OrderState;
use super::{settle, strays};
use crate::domain::identity::Principal;
use crate::domain::market::Symbol;
use crate::domain::order::{OrderId, OrderStatus, VenueOrderId};
use crate::journal::record::{Entry, Fact};
use crate::ports::venue::VenueError;

/// Longest that a cancel waits for the journal; after that it goes, and is written late (J1).
const JOURNAL_WAIT_MAX_MS: u64 = 50;
/// Re-reads that a cancel waits for before it is answered as not confirmed.
const CONFIRM_TRIES: usize = 5;
/// Pause between them.
const CONFIRM_PAUSE_MS: u64 = 50;

/// What became of a cancel of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// The order ended: its state now.
    Confirmed(Box<OrderState>),
    /// Asked, and the venue still shows it.
    Unconfirmed(Box<OrderState>),
}

/// What became of a cancel of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CancelCount {
    /// Confirmed by re-reading.
    pub cancelled: usize,
    /// Still shown, or not asked because the venue did not answer.
    pub unconfirmed: usize,
}

/// Cancels one order of ours that may be open. `None`: there is no such order at hand.
///
/// # Errors
///
/// [`VenueError`] when the venue could not be asked; the order may still rest.
pub async fn cancel_one(
    floor: &Floor,
    order_id: OrderId,
    by: &Principal,
) -> Result<Option<Cancelled>, VenueError> {
    let Some(state) = floor.order(&order_id) else {
        return Ok(None);
    };
    if state.settled {
        return Ok(Some(Cancelled::Confirmed(Box::new(state))));
    }
    announce(floor, Some(order_id), None, by).await;
    // From now on it is asked again whenever the order is seen resting, also one that comes late.
    if let Some(venue_id) = venue_id(floor, &state).await? {
        floor.desk.cancel(venue_id).await?;
    }
    for tries in 1.. {
        settle::settle(floor).await?;
        let state = Box::new(floor.order(&order_id).unwrap_or_else(|| state.clone()));
        if state.settled {
            return Ok(Some(Cancelled::Confirmed(state)));
        }
        if tries >= CONFIRM_TRIES {
            return Ok(Some(Cancelled::Unconfirmed(state)));
        }
        tokio::time::sleep(Duration::from_millis(CONFIRM_PAUSE_MS)).await;
    }
    Ok(None)
}

/// Cancels everything that rests, or everything of one market: also what is not in our book.
///
/// # Errors
///
/// [`VenueError`] when the venue could not be asked at all.
pub async fn cancel_many(
    floor: &Floor,
    symbol: Option<&Symbol>,
    by: &Principal,
) -> Result<CancelCount, VenueError> {
    announce(floor, None, symbol.cloned(), by).await;
    let wanted = |of: &Symbol| symbol.is_none_or(|symbol| symbol == of);
    let listed = match settle::compare(floor).await {
        Ok(listed) => listed.resting,
        Err(error) => {
            // What rests cannot be read: those that the book knows are cancelled all the same.
            let _ = strays::cancel_each(floor, known_to_rest(floor, wanted)).await;
            return Err(error);
        }
    };
    let resting: Vec<_> = listed
        .into_iter()
        .filter(|order| wanted(&order.symbol))
        .collect();
    // The re-read says what is left of them; what failed is said in the log.
    let ids = resting.iter().map(|order| order.venue_order_id.clone());
    let _ = strays::cancel_each(floor, ids).await;
    let mut left = resting.len();
    for _ in 0..CONFIRM_TRIES {
        let now = settle::survey(floor).await?;
        left = now
            .iter()
            .filter(|order| is_among(&resting, &order.venue_order_id))
            .count();
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(CONFIRM_PAUSE_MS)).await;
    }
    Ok(CancelCount {
        cancelled: resting.len() - left,
        unconfirmed: left,
    })
}

/// Orders of the book that may rest and whose venue id is known.
fn known_to_rest(floor: &Floor, wanted: impl Fn(&Symbol) -> bool) -> Vec<VenueOrderId> {
    let orders = floor.orders.lock();
    let unsettled = orders.unsettled().into_iter();
    let here = unsettled.filter(|state| wanted(&state.order.symbol));
    here.filter_map(|state| state.venue_order_id.clone())
        .collect()
}

fn is_among(orders: &[crate::ports::venue::VenueOrder], id: &VenueOrderId) -> bool {
    orders.iter().any(|order| order.venue_order_id == *id)
}

/// The venue's id of an order: known, or asked for.
async fn venue_id(floor: &Floor, state: &OrderState) -> Result<Option<VenueOrderId>, VenueError> {
    if let Some(id) = &state.venue_order_id {
        return Ok(Some(id.clone()));
    }
    if state.status == OrderStatus::Pending {
        return Ok(None);
    }
    Ok(floor
        .desk
        .order(state.order.order_id)
        .await?
        .map(|order| order.venue_order_id))
}

/// Writes down that somebody asked; waits for the disk only so long.
async fn announce(
    floor: &Floor,
    order_id: Option<OrderId>,
    symbol: Option<Symbol>,
    by: &Principal,
) {
    let fact = Fact::OrderCancelAsked { order_id, symbol };
    floor.apply_now(&fact);
    let entry = Entry::of("orders", fact).by(by.clone());
    let written = floor.journal.append(entry);
    let wait = Duration::from_millis(JOURNAL_WAIT_MAX_MS);
    if !matches!(tokio::time::timeout(wait, written).await, Ok(Ok(_))) {
        tracing::warn!("a cancel goes before its record");
    }
}
