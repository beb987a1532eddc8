//! Making our book true again from the venue's: fills, orders that ended there, orders in doubt.
//!
//! Each function asks, journals what it learnt, then takes it in. Nothing is guessed: what the venue
//! did not say stays as it was (K7). Where the journal is dead the facts are taken in all the same,
//! so that exits stay open (J1); nothing trades then, and the next start learns them again.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::floor::Floor;
use super::orders::OrderState;
use crate::domain::clock::UnixMicros;
use crate::domain::order::{OrderId, OrderStatus};
use crate::gate::Holder;
use crate::journal::AppendError;
use crate::journal::record::{Entry, Fact};
use crate::ports::venue::{VenueError, VenueFill, VenueOrder};

/// Furthest that the venue's clock may be from ours: it refuses requests signed further away.
pub const VENUE_CLOCK_OFFSET_MAX_MS: u64 = 5_000;
/// Longest that an accepted order may take to be shown by the venue (K7: "+ 1 s").
pub const VENUE_LISTING_LAG_MAX_MS: u64 = 1_000;
/// Pages of fills that one reading asks for.
const FILL_PAGES_MAX: usize = 1_000;

/// Reads fills behind the cursor and counts each once. Answers with how many were new.
///
/// # Errors
///
/// [`VenueError`]; what was counted before it stays counted.
pub async fn read_fills(floor: &Floor) -> Result<usize, VenueError> {
    let mut counted = floor.fills.lock().await;
    let mut new = 0;
    for _ in 0..FILL_PAGES_MAX {
        let page = floor
            .desk
            .fills(counted.cursor().map(str::to_owned))
            .await?;
        let unknown: Vec<_> = page
            .iter()
            .filter(|fill| !counted.is_known(&fill.fill_id))
            .collect();
        if unknown.is_empty() {
            return Ok(new);
        }
        for fill in unknown {
            let fact = fill_fact(floor, fill);
            let entry = Entry::of("positions", fact).about(fill.venue_order_id.as_str());
            counted.apply(&entry.fact);
            floor.apply_now(&entry.fact);
            write_fill(floor, entry).await;
            new += 1;
        }
    }
    Ok(new)
}

/// Journals a counted fill. Nobody waits for the disk: a fill that a crash takes is read from the
/// venue again, since the journal's cursor goes with it. Only a full queue makes it wait, so that no
/// later fill moves the cursor past a lost one.
async fn write_fill(floor: &Floor, entry: Entry) {
    if let Err(AppendError::Full) = floor.journal.append_quietly(entry.clone())
        && let Err(error) = floor.journal.append(entry).await
    {
        tracing::warn!(%error, "a fill was not journaled");
    }
}

fn fill_fact(floor: &Floor, fill: &VenueFill) -> Fact {
    let order = fill.order_id.and_then(|id| floor.order(&id));
    let order_status = order.map(|state| {
        let filled = state.filled.saturating_add(fill.size);
        if filled >= state.order.size {
            OrderStatus::Filled
        } else {
            OrderStatus::PartiallyFilled
        }
    });
    let markets = floor.gate.markets();
    let lots = markets
        .get(&fill.symbol)
        .and_then(|market| market.lots(fill.size));
    Fact::Fill {
        fill_id: fill.fill_id.clone(),
        cursor: fill.cursor.clone(),
        order_id: fill.order_id,
        venue_order_id: Some(fill.venue_order_id.clone()),
        symbol: fill.symbol.clone(),
        side: fill.side,
        price: fill.price,
        size: fill.size,
        lots: lots.unwrap_or_default(),
        fee: fill.fee,
        filled_at_us: fill.at,
        order_status,
    }
}

/// Compares what rests at the venue with our book: settles what ended there, holds exposure for what
/// is not ours. Answers with what rests.
///
/// # Errors
///
/// [`VenueError`] when the venue could not be read whole.
pub async fn settle(floor: &Floor) -> Result<Vec<VenueOrder>, VenueError> {
    // SAFETY-ORDER: our list first, then the venue's: an order placed in between is not missed.
    let before: Vec<OrderState> = {
        let orders = floor.orders.lock();
        orders.unsettled().into_iter().cloned().collect()
    };
    let resting = floor.desk.open_orders().await?;
    hold_foreign(floor, &resting);
    let is_resting = |id: OrderId| resting.iter().any(|order| order.order_id == Some(id));
    let ended: Vec<_> = before
        .iter()
        .filter(|state| was_answered(state.status) && !is_resting(state.order.order_id))
        .collect();
    if ended.is_empty() {
        return Ok(resting);
    }
    // Most of them ended by being filled: their fills settle them, and nothing need be asked.
    read_fills(floor).await?;
    let is_settled = |id| floor.order(&id).is_none_or(|state| state.settled);
    for state in &ended {
        if is_settled(state.order.order_id) {
            continue;
        }
        let Some(order) = floor.desk.order(state.order.order_id).await? else {
            tracing::error!(order.id = %state.order.order_id, "the venue forgot an order it had");
            continue;
        };
        // SAFETY-ORDER: the venue's final word, then its fills, then free what is left: a fill that
        // came before the end is counted before the reservation goes.
        read_fills(floor).await?;
        if matches!(order.status, OrderStatus::Cancelled | OrderStatus::Rejected) {
            let cancelled = Fact::OrderCancelled {
                order_id: state.order.order_id,
            };
            record(floor, about_order(cancelled, state.order.order_id)).await;
        }
    }
    Ok(resting)
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

/// Orders that rest at the venue and are not in our book count against the limits too.
fn hold_foreign(floor: &Floor, resting: &[VenueOrder]) {
    let foreign: Vec<_> = {
        let orders = floor.orders.lock();
        let ours = |order: &VenueOrder| order.order_id.is_some_and(|id| orders.find(&id).is_some());
        resting.iter().filter(|order| !ours(order)).collect()
    };
    floor.gate.with_exposure(|exposure| {
        for gone in exposure.foreign() {
            if !foreign.iter().any(|order| order.venue_order_id == gone) {
                exposure.release(&Holder::Foreign(gone));
            }
        }
        for order in foreign {
            let left = order.size - order.filled;
            let holder = Holder::Foreign(order.venue_order_id.clone());
            exposure.release(&holder);
            exposure.hold(holder, &order.symbol, order.side, order.price, left);
        }
    });
}

/// Orders in doubt that the venue was asked about once and did not have.
#[derive(Debug, Default)]
pub struct Absences(HashMap<OrderId, UnixMicros>);

/// Asks the venue about every order in doubt. Found: its state there. Absent twice, the second time
/// when it could not be accepted any more: not placed. Answers with how many are still in doubt.
///
/// # Errors
///
/// [`VenueError`] when the venue could not be asked.
pub async fn resolve_in_doubt(floor: &Floor, absences: &mut Absences) -> Result<usize, VenueError> {
    let doubtful: Vec<OrderState> = {
        let orders = floor.orders.lock();
        let unsettled = orders.unsettled().into_iter();
        unsettled
            .filter(|state| state.status == OrderStatus::InDoubt)
            .cloned()
            .collect()
    };
    absences
        .0
        .retain(|id, _| doubtful.iter().any(|state| state.order.order_id == *id));
    let mut left = 0;
    for state in &doubtful {
        let order_id = state.order.order_id;
        let asked_at = floor.clock.now();
        let found = floor.desk.order(order_id).await?;
        let seen_absent = absences.0.contains_key(&order_id);
        match verdict(
            found.as_ref(),
            seen_absent,
            state.order.expires_at_ms,
            asked_at,
        ) {
            Some(status) => {
                let venue_order_id = found.map(|order| order.venue_order_id);
                let fact = Fact::OrderResolved {
                    order_id,
                    status,
                    venue_order_id,
                };
                record(floor, about_order(fact, order_id)).await;
            }
            None => {
                absences.0.entry(order_id).or_insert(asked_at);
                left += 1;
            }
        }
    }
    Ok(left)
}

/// What one answer about an order in doubt means (K7). `None`: still in doubt.
fn verdict(
    found: Option<&VenueOrder>,
    seen_absent: bool,
    expires_at_ms: u64,
    asked_at: UnixMicros,
) -> Option<OrderStatus> {
    let too_late = expires_at_ms + VENUE_CLOCK_OFFSET_MAX_MS + VENUE_LISTING_LAG_MAX_MS;
    match found {
        Some(order) => Some(order.status),
        None if seen_absent && asked_at.as_millis() > too_late => Some(OrderStatus::NotPlaced),
        None => None,
    }
}

/// Orders whose intent is durable and whose outcome is not: after a restart they are in doubt.
/// Answers with how many.
pub async fn doubt_pending(floor: &Floor) -> usize {
    let pending: Vec<OrderId> = {
        let orders = floor.orders.lock();
        let unsettled = orders.unsettled().into_iter();
        let pending = unsettled.filter(|state| state.status == OrderStatus::Pending);
        pending.map(|state| state.order.order_id).collect()
    };
    for order_id in &pending {
        let why = "restart".to_owned();
        let fact = Fact::OrderInDoubt {
            order_id: *order_id,
            signature: None,
            why,
        };
        record(floor, about_order(fact, *order_id)).await;
    }
    pending.len()
}

/// Sets positions to what the venue shows, after its fills were read. Only while nothing trades:
/// at a start, and when two readings agree.
///
/// # Errors
///
/// [`VenueError`] when the venue could not be read.
pub async fn reconcile_positions(floor: &Floor) -> Result<(), VenueError> {
    read_fills(floor).await?;
    let shown = floor.desk.positions().await?;
    let mut differing = Vec::new();
    floor.gate.with_exposure(|exposure| {
        let here: Vec<_> = exposure
            .markets()
            .map(|(symbol, market)| (symbol.clone(), market.position))
            .collect();
        for (symbol, from) in &here {
            let there = shown.iter().find(|position| position.symbol == *symbol);
            let to = there.map_or(Decimal::ZERO, |position| position.size);
            if to != *from {
                differing.push((symbol.clone(), *from, to));
            }
        }
        for position in &shown {
            let known = here.iter().any(|(symbol, _)| *symbol == position.symbol);
            if !known && !position.size.is_zero() {
                differing.push((position.symbol.clone(), Decimal::ZERO, position.size));
            }
        }
    });
    for (symbol, from, to) in differing {
        let fact = Fact::PositionReconciled { symbol, from, to };
        record(floor, Entry::of("positions", fact)).await;
    }
    Ok(())
}

fn about_order(fact: Fact, order_id: OrderId) -> Entry {
    Entry::of("orders", fact).about(order_id.to_string())
}

/// Writes down what the venue said, then takes it in; takes it in also when it cannot be written.
async fn record(floor: &Floor, entry: Entry) {
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
