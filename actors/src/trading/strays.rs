//! Orders that rest at the venue and are not open in our book: somebody else's of the same account,
//! ours that the book says ended, and ours that the journal does not know.
//!
//! All of them count against the limits. One that ended here and rests there is cancelled. One with
//! our signature that the journal lacks means that this journal is not the whole truth (a directory
//! put back to yesterday, a second process with the same key): trading halts, and names it.

use super::floor::{Floor, StopCause};
use crate::domain::order::{OrderId, VenueOrderId};
use crate::gate::Holder;
use crate::ports::journal::StoreError;
use crate::ports::venue::{VenueError, VenueOrder};

/// Orders named in the reason of a halt.
const NAMED_MAX: usize = 8;
/// Unknown orders of new fills that one reading asks about.
const ASKED_MAX: usize = 32;

/// Takes in what rests and is not open in our book.
pub(super) async fn take_in(floor: &Floor, resting: &[VenueOrder]) {
    let mut strays = Vec::new();
    let mut unrecorded = Vec::new();
    for order in resting {
        match whose(floor, order) {
            Whose::Open => continue,
            Whose::Ended => {
                if !still_rests(floor, order).await {
                    continue;
                }
                cancel_ended(floor, order).await;
            }
            Whose::Unknown => {
                if is_signed_by_us(floor, order) && !is_recorded(floor, order.order_id).await {
                    unrecorded.push(order);
                }
            }
        }
        strays.push(order);
    }
    hold(floor, &strays);
    halt_for(floor, &unrecorded);
}

enum Whose {
    Open,
    Ended,
    Unknown,
}

fn whose(floor: &Floor, order: &VenueOrder) -> Whose {
    let orders = floor.orders.lock();
    match order.order_id.and_then(|id| orders.find(&id)) {
        Some(state) if !state.settled => Whose::Open,
        Some(_) => Whose::Ended,
        None => Whose::Unknown,
    }
}

/// A listing may be older than what ended here meanwhile: the order itself is asked about. What the
/// venue does not say to have ended is taken for resting.
async fn still_rests(floor: &Floor, order: &VenueOrder) -> bool {
    let Some(id) = order.order_id else {
        return true;
    };
    match floor.desk.order(id).await {
        Ok(Some(now)) => !now.status.is_terminal(),
        Ok(None) | Err(_) => true,
    }
}

async fn cancel_ended(floor: &Floor, order: &VenueOrder) {
    let id = order.venue_order_id.as_str();
    tracing::error!(order.id = ?order.order_id, venue.order_id = id, "rests at the venue, but ended here: cancelling");
    if let Err(error) = floor.desk.cancel(order.venue_order_id.clone()).await {
        tracing::warn!(%error, venue.order_id = id, "a cancel was not accepted");
    }
}

/// They count against the limits as long as they rest.
fn hold(floor: &Floor, strays: &[&VenueOrder]) {
    floor.gate.with_exposure(|exposure| {
        for gone in exposure.foreign() {
            if !strays.iter().any(|order| order.venue_order_id == gone) {
                exposure.release(&Holder::Foreign(gone));
            }
        }
        for order in strays {
            let left = order.size - order.filled;
            let holder = Holder::Foreign(order.venue_order_id.clone());
            exposure.release(&holder);
            exposure.hold(holder, &order.symbol, order.side, order.price, left);
        }
    });
}

/// The venue checked the signature; whose it was is what it says.
fn is_signed_by_us(floor: &Floor, order: &VenueOrder) -> bool {
    let ours = floor.keys.identity();
    order
        .signer
        .as_ref()
        .is_some_and(|signer| signer.eq_ignore_ascii_case(&ours.signer))
}

/// Whether the journal has an intent of this id. What cannot be looked up counts as recorded: it is
/// looked up again with the next listing, and holds exposure meanwhile.
pub(crate) async fn is_recorded(floor: &Floor, id: Option<OrderId>) -> bool {
    let Some(id) = id else { return false };
    if floor.order(&id).is_some() {
        return true;
    }
    let views = floor.views.clone();
    let looked = tokio::task::spawn_blocking(move || views.order(id)).await;
    let found = looked.unwrap_or_else(|_| Err(StoreError::corrupt("the look was given up")));
    found.map_or_else(
        |error| {
            tracing::warn!(error = error.internal(), "an order could not be looked up");
            true
        },
        |view| view.is_some(),
    )
}

fn halt_for(floor: &Floor, unrecorded: &[&VenueOrder]) {
    if unrecorded.is_empty() || floor.latch.state().halted {
        return;
    }
    let named = unrecorded.iter().take(NAMED_MAX).map(|order| {
        let ours = order.order_id.map(|id| format!(" ({id})"));
        format!(
            "{}{}",
            order.venue_order_id.as_str(),
            ours.unwrap_or_default()
        )
    });
    let reason = format!(
        "{} order(s) at the venue bear our signature and are not in the journal: {}",
        unrecorded.len(),
        named.collect::<Vec<_>>().join(", ")
    );
    (floor.stop_trading)(StopCause::Start, &reason);
}

/// Looks whose the orders of new fills are that our book does not know: an order of ours that the
/// journal lacks may have filled before anybody saw it rest.
pub(super) async fn judge_fills(floor: &Floor, mut unknown: Vec<OrderId>) {
    unknown.sort_unstable();
    unknown.dedup();
    for id in unknown.into_iter().take(ASKED_MAX) {
        if is_recorded(floor, Some(id)).await {
            continue;
        }
        match floor.desk.order(id).await {
            Ok(Some(order)) if is_signed_by_us(floor, &order) => halt_for(floor, &[&order]),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, order.id = %id, "whose fill this was could not be asked");
            }
        }
    }
}

/// Asks to cancel several, all of them whatever becomes of the others. The first error, if any.
pub(crate) async fn cancel_each(
    floor: &Floor,
    ids: impl IntoIterator<Item = VenueOrderId>,
) -> Result<(), VenueError> {
    /// Cancels under way at a time.
    const AT_A_TIME: usize = 16;
    let mut first_error = None;
    let ids: Vec<_> = ids.into_iter().collect();
    for some in ids.chunks(AT_A_TIME) {
        let asked = some.iter().map(|id| floor.desk.cancel(id.clone()));
        for answer in futures_util::future::join_all(asked).await {
            if let Err(error) = answer {
                tracing::warn!(%error, "a cancel was not accepted");
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}

#[cfg(test)]
#[path = "strays_tests.rs"]
mod tests;
