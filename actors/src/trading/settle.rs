//! Making our book true again from the venue's: fills, orders that ended there, orders in doubt.
//!
//! Each function asks, journals what it learnt, then takes it in. Nothing is guessed: what the venue
//! did not say stays as it was (K7). Where the journal is dead the facts are taken in all the same,
//! so that exits stay open (J1); nothing trades then, and the next start learns them again.

use std::collections::HashSet;

use super::doubt::FAILURES_IN_A_ROW_MAX;
use super::fills;
use super::floor::Floor;
use super::orders::OrderState;
use super::strays;
use crate::domain::order::{OrderId, OrderStatus};
use crate::journal::record::{Entry, Fact};
use crate::ports::venue::{VenueError, VenueOrder};

/// Pages of fills that one reading asks for.
const FILL_PAGES_MAX: usize = 1_000;

/// Reads fills behind the cursor and counts each once. Answers with how many were new. One reading at
/// a time; what the feed tells is counted beside it.
///
/// # Errors
///
/// [`VenueError`]; what was counted before it stays counted.
pub async fn read_fills(floor: &Floor) -> Result<usize, VenueError> {
    let mut strange = Vec::new();
    let read = read_pages(floor, &mut strange).await;
    strays::judge_fills(floor, strange).await;
    read
}

/// As [`read_fills`]; `strange` takes the ids of orders that our book does not know.
async fn read_pages(floor: &Floor, strange: &mut Vec<OrderId>) -> Result<usize, VenueError> {
    let _one_reader = floor.fills_reader.lock().await;
    let asked = floor.feed.lock().ask();
    let mut new = 0;
    for _ in 0..FILL_PAGES_MAX {
        let since = floor.fills.lock().await.cursor().map(str::to_owned);
        let page = floor.desk.fills(since).await?;
        let (counted, moved) = fills::take_page(floor, &asked, &page, strange).await;
        new += counted;
        if !moved {
            floor.feed.lock().fills_read(&asked);
            return Ok(new);
        }
    }
    Ok(new)
}

/// Compares what rests at the venue with our book: settles what ended there, holds exposure for what
/// is not ours. Answers with what rests.
///
/// # Errors
///
/// [`VenueError`] when the venue could not be read whole.
pub async fn settle(floor: &Floor) -> Result<Vec<VenueOrder>, VenueError> {
    let Compared { resting, ended } = compare(floor).await?;
    settle_ended(floor, &ended).await?;
    Ok(resting)
}

/// As [`settle`], when what rests is wanted in any case: what could not be settled is settled later.
///
/// # Errors
///
/// [`VenueError`] when the listing could not be read.
pub async fn survey(floor: &Floor) -> Result<Vec<VenueOrder>, VenueError> {
    let Compared { resting, ended } = compare(floor).await?;
    if let Err(error) = settle_ended(floor, &ended).await {
        tracing::warn!(%error, "not every order that ended could be settled");
    }
    Ok(resting)
}

/// What one listing of the venue's open orders says about our book.
pub struct Compared {
    /// What rests there.
    pub resting: Vec<VenueOrder>,
    /// Orders that the venue had and that do not rest any more.
    ended: Vec<OrderState>,
}

/// Reads what rests at the venue, and holds exposure for what is not open in our book.
///
/// # Errors
///
/// [`VenueError`] when the listing could not be read.
pub async fn compare(floor: &Floor) -> Result<Compared, VenueError> {
    // SAFETY-ORDER: our list first, then the venue's: an order placed in between is not missed.
    let before: Vec<OrderState> = {
        let orders = floor.orders.lock();
        orders.unsettled().into_iter().cloned().collect()
    };
    let resting = floor.desk.open_orders().await?;
    strays::take_in(floor, &resting).await;
    pursue_cancels(floor, &before, &resting).await;
    let is_resting = |id: OrderId| resting.iter().any(|order| order.order_id == Some(id));
    let ended = before
        .into_iter()
        .filter(|state| was_answered(state.status) && !is_resting(state.order.order_id));
    Ok(Compared {
        ended: ended.collect(),
        resting,
    })
}

/// A cancel that somebody asked for is asked again until the order rests no more: the venue may have
/// lost it, or the order arrived after it.
async fn pursue_cancels(floor: &Floor, book: &[OrderState], resting: &[VenueOrder]) {
    let asked = book.iter().filter(|state| state.cancel_asked);
    let asked: HashSet<OrderId> = asked.map(|state| state.order.order_id).collect();
    let unwanted = resting
        .iter()
        .filter(|order| order.order_id.is_some_and(|id| asked.contains(&id)));
    let ids = unwanted.map(|order| order.venue_order_id.clone());
    let _ = strays::cancel_each(floor, ids).await; // said by itself; the next look asks again
}

/// Settles orders that do not rest any more. One that cannot be asked about does not keep the others.
async fn settle_ended(floor: &Floor, ended: &[OrderState]) -> Result<(), VenueError> {
    if ended.is_empty() {
        return Ok(());
    }
    // Most of them ended by being filled: their fills settle them, and nothing need be asked.
    read_fills(floor).await?;
    let is_settled = |id| floor.order(&id).is_none_or(|state| state.settled);
    let (mut first_error, mut in_a_row) = (None, 0);
    for state in ended {
        if is_settled(state.order.order_id) {
            continue;
        }
        match settle_one(floor, state.order.order_id).await {
            Ok(()) => in_a_row = 0,
            Err(error) => {
                in_a_row += 1;
                let enough = in_a_row >= FAILURES_IN_A_ROW_MAX
                    || matches!(error, VenueError::Throttled { .. });
                first_error.get_or_insert(error);
                if enough {
                    break;
                }
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}

async fn settle_one(floor: &Floor, order_id: OrderId) -> Result<(), VenueError> {
    let Some(order) = floor.desk.order(order_id).await? else {
        tracing::error!(order.id = %order_id, "the venue forgot an order it had");
        return Ok(());
    };
    // SAFETY-ORDER: the venue's final word, then its fills, then free what is left: a fill that
    // came before the end is counted before the reservation goes.
    read_fills(floor).await?;
    if matches!(order.status, OrderStatus::Cancelled | OrderStatus::Rejected) {
        let cancelled = Fact::OrderCancelled { order_id };
        record(floor, about_order(cancelled, order_id)).await;
    }
    Ok(())
}

/// The venue has had its say about it, so its absence from the open orders means that it ended.
fn was_answered(status: OrderStatus) -> bool {
    match status {
        OrderStatus::Open
        | OrderStatus::PartiallyFilled
        | OrderStatus::Filled
        | OrderStatus::Cancelled => true,
        OrderStatus::Pending
        | OrderStatus::InDoubt
        | OrderStatus::Rejected
        | OrderStatus::Discarded
        | OrderStatus::NotPlaced => false,
    }
}

pub(super) fn about_order(fact: Fact, order_id: OrderId) -> Entry {
    Entry::of("orders", fact).about(order_id.to_string())
}

/// Writes down what the venue said, then takes it in; takes it in also when it cannot be written.
pub(super) async fn record(floor: &Floor, entry: Entry) {
    let fact = entry.fact.clone();
    match floor.journal.append(entry).await {
        Ok(committed) => floor.apply(&fact, committed.seq(), committed.time(), None),
        Err(error) => {
            tracing::warn!(%error, "the venue's word was not journaled");
            floor.apply_now(&fact);
        }
    }
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
