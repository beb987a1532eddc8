//! Cancel-all, until the venue shows no open order twice running (K6).
//!
//! Cancels do not wait for the listing when it cannot be read, nor for each other, nor for what our
//! book could learn meanwhile. Nothing is confirmed while an order is on its way or in doubt: it may
//! still come to rest. After a lift it goes on for what belongs to the halt, order by order, and
//! leaves alone what was placed since.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::halt::Emergency;
use super::procedure::{Outcome, Step};
use crate::domain::order::{OrderId, OrderStatus, VenueOrderId};
use crate::ports::venue::{VenueError, VenueOrder};
use crate::trading::floor::Floor;
use crate::trading::patience::Patience;
use crate::trading::{doubt, settle, strays};

/// Pause between two rounds at first; it doubles up to the longest.
const PAUSE_SHORTEST_MS: u64 = 20;
/// Longest pause between two rounds.
const PAUSE_LONGEST_MS: u64 = 1_000;
/// Longest that the venue's wish to be asked later is heeded: this is an emergency.
const WISH_MAX_MS: u64 = 5_000;
/// Longest that the first cancel waits for the listing (K8).
const LISTING_WAIT_MAX_MS: u64 = 100;
/// Rounds that ask for everything at once; later ones ask order by order.
const ROUNDS_AT_ONCE: u32 = 2;
/// Readings without an open order that confirm.
const EMPTY_READINGS: u32 = 2;
/// Ids named in a step's detail.
const NAMED_MAX: usize = 50;

/// Cancels and re-reads until nothing that belongs to the halt of `epoch` rests or may come to rest.
/// A later halt has a cancel-all of its own.
pub(super) async fn run(floor: &Floor, emergency: &Emergency, epoch: u64) {
    let mut hunt = Hunt::default();
    let mut empty = Empty::default();
    let mut patience = Patience::between(PAUSE_SHORTEST_MS, PAUSE_LONGEST_MS, WISH_MAX_MS);
    let began = floor.clock.boot_millis();
    while let Some(phase) = Phase::of(floor, emergency, epoch) {
        hunt.note_ours(floor, &phase);
        let waiting = hunt.unanswered(floor, &phase);
        let open = hunt.open(floor, &phase);
        if hunt.rounds == 0 {
            emergency.count(epoch, 0, open.len() as u64);
        }
        let round = hunt.round(floor, &phase).await;
        let late = floor.clock.boot_millis() - began > Step::CancelAll.deadline_ms();
        let outcome = match late {
            true => Outcome::Late,
            false => Outcome::Running,
        };
        let error = match round {
            Ok(resting) => {
                empty.read(resting.is_empty(), floor.clock.boot_millis());
                // SAFETY-ORDER: looked at before the listing and after it: an order that came to rest
                // in between is in the listing or still among them.
                let waiting: BTreeSet<_> = waiting
                    .into_iter()
                    .chain(hunt.unanswered(floor, &phase))
                    .collect();
                let unshown = waiting
                    .iter()
                    .filter(|id| !resting.iter().any(|order| order.order_id == Some(**id)));
                let unconfirmed = resting.len() + unshown.count();
                emergency.count(epoch, hunt.cancelled(floor, &resting), unconfirmed as u64);
                let may_rest = !hunt.open_by_the_book(floor, &phase).is_empty();
                if waiting.is_empty() && empty.confirms(may_rest, floor.clock.boot_millis()) {
                    if emergency.step(epoch, Step::CancelAll, Outcome::Done, json!({})) {
                        emergency.concluded(epoch);
                    }
                    return;
                }
                let named = resting.iter().take(NAMED_MAX);
                let open: Vec<_> = named.map(|order| order.venue_order_id.as_str()).collect();
                let unanswered: Vec<_> = waiting
                    .iter()
                    .take(NAMED_MAX)
                    .map(OrderId::to_string)
                    .collect();
                let detail = json!({ "open": open, "unanswered": unanswered });
                emergency.step(epoch, Step::CancelAll, outcome, detail);
                None
            }
            Err(error) => {
                empty = Empty::default();
                if late {
                    tracing::error!(%error, epoch, "cancels are not confirmed");
                }
                let cancelled = emergency
                    .report()
                    .map_or(0, |report| report.orders_cancelled);
                emergency.count(epoch, cancelled, open.len() as u64);
                let detail = json!({ "error": error.to_string() });
                emergency.step(epoch, Step::CancelAll, outcome, detail);
                Some(error)
            }
        };
        let error = error.or_else(|| hunt.refused.take());
        tokio::time::sleep(Duration::from_millis(patience.pause_ms(error.as_ref()))).await;
    }
}

/// Readings without an open order, one after the other.
#[derive(Debug, Default)]
struct Empty {
    count: u32,
    /// When the first of them was, ms since boot.
    since_ms: u64,
}

impl Empty {
    fn read(&mut self, is_empty: bool, now_ms: u64) {
        match (is_empty, self.count) {
            (false, _) => *self = Self::default(),
            (true, 0) => (self.count, self.since_ms) = (1, now_ms),
            (true, _) => self.count = self.count.saturating_add(1),
        }
    }

    /// Two of them do; while an order is open by our book, only such that lie further apart than the
    /// venue may take to show an order that it accepted.
    fn confirms(&self, open_by_the_book: bool, now_ms: u64) -> bool {
        let apart_ms = now_ms.saturating_sub(self.since_ms);
        self.count >= EMPTY_READINGS
            && (!open_by_the_book || apart_ms > doubt::VENUE_LISTING_LAG_MAX_MS)
    }
}

/// Whether the halt holds, or is lifted and what was accepted then.
enum Phase {
    Halted,
    Lifted { accepted: Vec<String> },
}

impl Phase {
    /// `None`: another halt came.
    fn of(floor: &Floor, emergency: &Emergency, epoch: u64) -> Option<Self> {
        let state = floor.latch.state();
        if state.epoch != epoch {
            return None;
        }
        if state.halted {
            return Some(Self::Halted);
        }
        let report = emergency.report().filter(|report| report.epoch == epoch)?;
        let accepted = report.accepted_open_orders;
        Some(Self::Lifted { accepted })
    }

    fn spares(&self, id: &str) -> bool {
        match self {
            Self::Halted => false,
            Self::Lifted { accepted } => accepted.iter().any(|accepted| accepted == id),
        }
    }
}

/// What one halt's cancel-all has seen.
#[derive(Default)]
struct Hunt {
    rounds: u32,
    /// Orders of ours that were open while it held: all of them were released before it.
    ours: BTreeSet<OrderId>,
    /// What rested, before and after each cancel.
    seen: BTreeSet<VenueOrderId>,
    /// The last refusal of a cancel.
    refused: Option<VenueError>,
}

impl Hunt {
    /// While trading is halted nothing of ours is released, so that what is open is of before.
    fn note_ours(&mut self, floor: &Floor, phase: &Phase) {
        if matches!(phase, Phase::Halted) {
            let orders = floor.orders.lock();
            let open = orders.unsettled().into_iter();
            self.ours.extend(open.map(|state| state.order.order_id));
        }
    }

    /// Orders of ours that belong to the halt and, by our book, may rest.
    fn open(&self, floor: &Floor, phase: &Phase) -> BTreeSet<OrderId> {
        let orders = floor.orders.lock();
        let open = orders
            .unsettled()
            .into_iter()
            .map(|state| state.order.order_id);
        open.filter(|id| self.ours.contains(id) && !phase.spares(&id.to_string()))
            .collect()
    }

    /// Those of them that the venue took and that have not ended.
    fn open_by_the_book(&self, floor: &Floor, phase: &Phase) -> Vec<OrderId> {
        use OrderStatus::{Open, PartiallyFilled};
        self.of_status(floor, phase, &[Open, PartiallyFilled])
    }

    /// Those of them that are on their way or in doubt.
    fn unanswered(&self, floor: &Floor, phase: &Phase) -> Vec<OrderId> {
        self.of_status(floor, phase, &[OrderStatus::Pending, OrderStatus::InDoubt])
    }

    fn of_status(&self, floor: &Floor, phase: &Phase, wanted: &[OrderStatus]) -> Vec<OrderId> {
        let open = self.open(floor, phase);
        let orders = floor.orders.lock();
        let has = |id: &OrderId| {
            orders
                .find(id)
                .is_some_and(|state| wanted.contains(&state.status))
        };
        open.into_iter().filter(has).collect()
    }

    /// One round: ask to cancel what rests, then read what still does.
    async fn round(&mut self, floor: &Floor, phase: &Phase) -> Result<Vec<VenueOrder>, VenueError> {
        self.rounds = self.rounds.saturating_add(1);
        let halted = matches!(phase, Phase::Halted);
        // Also what is cancelled before anybody could read that it rests is counted.
        let known = self.known_to_rest(floor, phase);
        self.seen.extend(known.iter().cloned());
        let before = self.listing(floor, phase).await;
        if let Ok(before) = &before {
            if before.is_empty() {
                return Ok(Vec::new());
            }
            self.see(before);
        }
        let at_once = floor.desk.venue().framing().capabilities().cancel_all;
        let unread = before.is_err();
        // Everything at once also hits what was placed since a lift: only while the halt holds.
        let mut asked = Err(None);
        if halted
            && at_once
            && (self.rounds <= ROUNDS_AT_ONCE || unread)
            && floor.latch.state().halted
        {
            asked = floor.desk.cancel_all().await.map_err(Some);
        }
        if let Err(refused) = asked {
            let ids: Vec<_> = match &before {
                Ok(before) => before
                    .iter()
                    .map(|order| order.venue_order_id.clone())
                    .collect(),
                Err(_) => known,
            };
            let each = strays::cancel_each(floor, ids).await;
            self.refused = each.err().or(refused);
        }
        let after = in_scope(
            floor,
            phase,
            &self.ours,
            settle::compare(floor).await?.resting,
        )
        .await;
        self.see(&after);
        // What our book can learn of fills is learnt before anything is counted; else later.
        if let Err(error) = settle::read_fills(floor).await {
            tracing::warn!(%error, "fills cannot be read");
        }
        Ok(after)
    }

    /// What rests of what belongs to the halt. The first listing is not waited for long: a cancel
    /// that goes without it is better than one that waits.
    async fn listing(&self, floor: &Floor, phase: &Phase) -> Result<Vec<VenueOrder>, VenueError> {
        let listing = settle::compare(floor);
        let limit = match self.rounds {
            1 => Duration::from_millis(LISTING_WAIT_MAX_MS),
            _ => Duration::MAX,
        };
        let listed = tokio::time::timeout(limit, listing).await;
        let resting = listed.map_err(|_| VenueError::Unreachable {
            internal: "the first listing was not waited for".into(),
        })??;
        Ok(in_scope(floor, phase, &self.ours, resting.resting).await)
    }

    fn see(&mut self, orders: &[VenueOrder]) {
        self.seen
            .extend(orders.iter().map(|order| order.venue_order_id.clone()));
    }

    /// By our book, for when the venue's cannot be read.
    fn known_to_rest(&self, floor: &Floor, phase: &Phase) -> Vec<VenueOrderId> {
        let open = self.open(floor, phase);
        let orders = floor.orders.lock();
        let known = open
            .iter()
            .filter_map(|id| orders.find(id)?.venue_order_id.clone());
        known.collect()
    }

    /// How many of those seen are gone because they were cancelled: a fill is not a cancel.
    fn cancelled(&self, floor: &Floor, resting: &[VenueOrder]) -> u64 {
        let orders = floor.orders.lock();
        let gone = self
            .seen
            .iter()
            .filter(|id| !resting.iter().any(|order| order.venue_order_id == **id));
        let filled = |id: &VenueOrderId| {
            orders
                .by_venue_id(id)
                .is_some_and(|state| state.status == OrderStatus::Filled)
        };
        gone.filter(|id| !filled(id)).count() as u64
    }
}

/// Of what rests, what belongs to the halt: everything while it holds; afterwards what was released
/// before it or is unknown to the journal, without what was accepted.
async fn in_scope(
    floor: &Floor,
    phase: &Phase,
    ours: &BTreeSet<OrderId>,
    resting: Vec<VenueOrder>,
) -> Vec<VenueOrder> {
    if matches!(phase, Phase::Halted) {
        return resting;
    }
    let mut belonging = Vec::new();
    for order in resting {
        let ours_of_before = order.order_id.is_some_and(|id| ours.contains(&id));
        let accepted = phase.spares(order.venue_order_id.as_str())
            || order
                .order_id
                .is_some_and(|id| phase.spares(&id.to_string()));
        if !accepted && (ours_of_before || !strays::is_recorded(floor, order.order_id).await) {
            belonging.push(order);
        }
    }
    belonging
}

#[cfg(test)]
#[path = "cancel_all_tests.rs"]
mod tests;
