//! Orders in doubt: what the venue is asked about them, and what its answers mean (K7).
//!
//! Nothing is guessed. Found: the order's state there. Absent: only at the second look, only when it
//! can no longer be accepted, and only at a venue that keeps an order's last instant of acceptance.
//! What no answer proves stays in doubt, holds its exposure, and is a person's to decide (`resolve`).

use std::collections::HashMap;

use super::floor::Floor;
use super::orders::OrderState;
use super::settle::{about_order, record};
use crate::domain::clock::UnixMicros;
use crate::domain::order::{OrderId, OrderStatus};
use crate::journal::record::Fact;
use crate::ports::venue::{Capabilities, VenueError, VenueOrder};

/// Furthest that the venue's clock may be from ours: it refuses requests signed further away.
pub const VENUE_CLOCK_OFFSET_MAX_MS: u64 = 5_000;
/// Longest that an accepted order may take to be shown by the venue (K7: "+ 1 s").
pub const VENUE_LISTING_LAG_MAX_MS: u64 = 1_000;
/// Questions that may fail in a row before the rest waits for the next look.
pub(super) const FAILURES_IN_A_ROW_MAX: u32 = 3;

/// What is remembered between two looks; lost with the process, which only makes it ask once more.
#[derive(Debug, Default)]
pub struct Doubts {
    /// Orders that the venue was asked about once and did not have.
    absent: HashMap<OrderId, UnixMicros>,
    /// The last order that was asked about: the next look begins behind it, so that one that cannot
    /// be asked about never keeps the others waiting.
    last_asked: Option<OrderId>,
}

/// The instant after which an order that the venue does not show was never accepted, ms.
pub const fn provable_after_ms(expires_at_ms: u64) -> u64 {
    expires_at_ms
        .saturating_add(VENUE_CLOCK_OFFSET_MAX_MS)
        .saturating_add(VENUE_LISTING_LAG_MAX_MS)
}

/// Whether the venue can prove by itself what became of an order.
pub const fn can_prove(capabilities: Capabilities) -> bool {
    capabilities.acceptance_expiry && capabilities.lookup_by_our_id
}

/// Asks the venue about every order in doubt and takes in what it proves. Answers with how many are
/// still in doubt.
///
/// # Errors
///
/// The first [`VenueError`]; the other orders were asked about all the same, except after the venue
/// asked to slow down or failed `FAILURES_IN_A_ROW_MAX` times in a row.
pub async fn resolve_in_doubt(floor: &Floor, doubts: &mut Doubts) -> Result<usize, VenueError> {
    let doubtful = in_doubt(floor, doubts.last_asked);
    doubts
        .absent
        .retain(|id, _| doubtful.iter().any(|state| state.order.order_id == *id));
    let mut left = doubtful.len();
    let (mut first_error, mut in_a_row) = (None, 0);
    for state in &doubtful {
        doubts.last_asked = Some(state.order.order_id);
        match resolve(floor, doubts, state).await {
            Ok(resolved) => {
                left -= usize::from(resolved);
                in_a_row = 0;
            }
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
    first_error.map_or(Ok(left), Err)
}

/// Orders in doubt, those behind `last_asked` first.
fn in_doubt(floor: &Floor, last_asked: Option<OrderId>) -> Vec<OrderState> {
    let orders = floor.orders.lock();
    let unsettled = orders.unsettled().into_iter();
    let doubtful = unsettled.filter(|state| state.status == OrderStatus::InDoubt);
    let mut doubtful: Vec<_> = doubtful.cloned().collect();
    let behind = |state: &OrderState| Some(state.order.order_id) > last_asked;
    let turn = doubtful.iter().position(behind).unwrap_or_default();
    doubtful.rotate_left(turn);
    doubtful
}

/// Asks about one order. `true`: it is in doubt no longer.
async fn resolve(
    floor: &Floor,
    doubts: &mut Doubts,
    state: &OrderState,
) -> Result<bool, VenueError> {
    let capabilities = floor.desk.venue().framing().capabilities();
    if !capabilities.lookup_by_our_id {
        return Ok(false); // its listing and its fills may still show it
    }
    let order_id = state.order.order_id;
    let asked_at = floor.clock.now();
    let found = floor.desk.order(order_id).await?;
    let look = Look {
        provable: can_prove(capabilities),
        seen_absent: doubts.absent.contains_key(&order_id),
        asked_at,
    };
    match verdict(found.as_ref(), look, state.order.expires_at_ms) {
        Some(status) => {
            let venue_order_id = found.map(|order| order.venue_order_id);
            let fact = Fact::OrderResolved {
                order_id,
                status,
                venue_order_id,
            };
            record(floor, about_order(fact, order_id)).await;
            Ok(true)
        }
        None => {
            doubts.absent.entry(order_id).or_insert(asked_at);
            Ok(false)
        }
    }
}

/// Under what conditions an answer was had.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// The venue keeps an order's last instant of acceptance.
    provable: bool,
    /// It was absent at a former look.
    seen_absent: bool,
    /// When the question was signed: before the answer was made.
    asked_at: UnixMicros,
}

/// What one answer about an order in doubt means (K7). `None`: still in doubt.
fn verdict(found: Option<&VenueOrder>, look: Look, expires_at_ms: u64) -> Option<OrderStatus> {
    let too_late = look.asked_at.as_millis() > provable_after_ms(expires_at_ms);
    match found {
        Some(order) => Some(order.status),
        None if look.provable && look.seen_absent && too_late => Some(OrderStatus::NotPlaced),
        None => None,
    }
}

/// Orders whose intent is durable and whose outcome is not: after a restart they are in doubt.
/// Answers with how many.
pub async fn doubt_pending(floor: &Floor) -> usize {
    doubt(floor, "restart", |_| true).await
}

/// Orders on their way for so long that whoever carried them is gone (a thread that died, a task
/// that panicked): the venue cannot accept them any more, and tells whether it did.
pub async fn doubt_overdue(floor: &Floor) -> usize {
    let now_ms = floor.clock.now().as_millis();
    let overdue = |state: &OrderState| now_ms > provable_after_ms(state.order.expires_at_ms);
    doubt(floor, "no_verdict", overdue).await
}

async fn doubt(floor: &Floor, why: &str, is_doubtful: impl Fn(&OrderState) -> bool) -> usize {
    let pending: Vec<OrderId> = {
        let orders = floor.orders.lock();
        let unsettled = orders.unsettled().into_iter();
        let pending = unsettled.filter(|state| state.status == OrderStatus::Pending);
        let doubtful = pending.filter(|state| is_doubtful(state));
        doubtful.map(|state| state.order.order_id).collect()
    };
    for order_id in &pending {
        let fact = Fact::OrderInDoubt {
            order_id: *order_id,
            signature: None,
            why: why.to_owned(),
        };
        record(floor, about_order(fact, *order_id)).await;
    }
    pending.len()
}

#[cfg(test)]
#[path = "doubt_tests.rs"]
mod tests;
