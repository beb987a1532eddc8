//! Cancel-all, until the venue shows no open order twice running (K6).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::halt::Emergency;
use super::procedure::{Outcome, Step};
use crate::domain::order::{OrderStatus, VenueOrderId};
use crate::ports::venue::{VenueError, VenueOrder};
use crate::trading::floor::Floor;
use crate::trading::settle;

/// Pause between two rounds at first; it doubles up to the longest.
const PAUSE_SHORTEST_MS: u64 = 20;
/// Longest pause between two rounds.
const PAUSE_LONGEST_MS: u64 = 1_000;
/// Readings without an open order that confirm.
const EMPTY_READINGS: u32 = 2;
/// Ids named in a step's detail.
const NAMED_MAX: usize = 50;

/// Cancels and re-reads until nothing rests, or the halt of `epoch` is over. Orders on their way are
/// waited for; while some are in doubt it goes on looking after it has confirmed, since one of them
/// may still come to rest.
pub(super) async fn run(floor: &Floor, emergency: &Emergency, epoch: u64) {
    let mut seen: BTreeSet<VenueOrderId> = BTreeSet::new();
    let mut empty = 0;
    let mut pause_ms = PAUSE_SHORTEST_MS;
    let began = floor.clock.boot_millis();
    loop {
        let state = floor.latch.state();
        if !state.halted || state.epoch != epoch {
            return; // lifted: what rests now was accepted, or came after
        }
        let round = round(floor, &mut seen).await;
        let late = floor.clock.boot_millis() - began > Step::CancelAll.deadline_ms();
        let outcome = if late {
            Outcome::Late
        } else {
            Outcome::Running
        };
        match round {
            Ok(resting) => {
                empty = if resting.is_empty() { empty + 1 } else { 0 };
                emergency.count(
                    epoch,
                    cancelled(floor, &seen, &resting),
                    resting.len() as u64,
                );
                let (pending, in_doubt) = unknown(floor);
                if empty >= EMPTY_READINGS && pending == 0 {
                    let detail = json!({ "in_doubt": in_doubt });
                    if emergency.step(epoch, Step::CancelAll, Outcome::Done, detail) {
                        emergency.concluded(epoch);
                    }
                    if in_doubt == 0 {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(PAUSE_LONGEST_MS)).await;
                    continue;
                }
                let named = resting.iter().take(NAMED_MAX);
                let open: Vec<_> = named.map(|order| order.venue_order_id.as_str()).collect();
                emergency.step(epoch, Step::CancelAll, outcome, json!({ "open": open }));
            }
            Err(error) => {
                empty = 0;
                if late {
                    tracing::error!(%error, epoch, "cancels are not confirmed");
                }
                let open = floor.orders.lock().unsettled().len() as u64;
                emergency.count(epoch, 0, open);
                let detail = json!({ "error": error.to_string() });
                emergency.step(epoch, Step::CancelAll, outcome, detail);
            }
        }
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        pause_ms = (pause_ms * 2).min(PAUSE_LONGEST_MS);
    }
}

/// Orders on their way, and orders in doubt.
fn unknown(floor: &Floor) -> (usize, usize) {
    let orders = floor.orders.lock();
    let unsettled = orders.unsettled();
    let count = |wanted| {
        unsettled
            .iter()
            .filter(|state| state.status == wanted)
            .count()
    };
    (count(OrderStatus::Pending), count(OrderStatus::InDoubt))
}

/// One round: ask to cancel everything that rests, then read what still does. `seen` takes in what
/// rested before and after.
async fn round(
    floor: &Floor,
    seen: &mut BTreeSet<VenueOrderId>,
) -> Result<Vec<VenueOrder>, VenueError> {
    let ids = |orders: &[VenueOrder]| -> Vec<VenueOrderId> {
        orders
            .iter()
            .map(|order| order.venue_order_id.clone())
            .collect()
    };
    let before = settle::settle(floor).await?;
    if before.is_empty() {
        return Ok(before);
    }
    seen.extend(ids(&before));
    if floor.desk.venue().framing().capabilities().cancel_all {
        floor.desk.cancel_all().await?;
    } else {
        for id in ids(&before) {
            floor.desk.cancel(id).await?;
        }
    }
    let after = settle::settle(floor).await?;
    seen.extend(ids(&after));
    Ok(after)
}

/// How many of those seen are gone because they were cancelled: a fill is not a cancel.
fn cancelled(floor: &Floor, seen: &BTreeSet<VenueOrderId>, resting: &[VenueOrder]) -> u64 {
    let orders = floor.orders.lock();
    let gone = seen
        .iter()
        .filter(|id| !resting.iter().any(|order| order.venue_order_id == **id));
    let filled = |id: &VenueOrderId| {
        orders
            .by_venue_id(id)
            .is_some_and(|state| state.status == OrderStatus::Filled)
    };
    gone.filter(|id| !filled(id)).count() as u64
}
