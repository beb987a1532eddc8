//! Positions that fills do not explain: deposits, withdrawals, corrections of the venue. The venue's
//! word counts, once it said the same twice running with nothing in between; the difference is a
//! `position.reconciled` record with its numbers.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::fills;
use super::floor::Floor;
use super::settle::read_fills;
use crate::domain::market::Symbol;
use crate::domain::order::OrderStatus;
use crate::gate::Reading;
use crate::journal::record::Fact;
use crate::ports::venue::{VenueError, VenuePosition};

/// Readings at a start before it is given up until the next attempt.
const READINGS_AT_START_MAX: usize = 5;

/// Markets whose position here is another one than there: (here, there).
pub type Differences = BTreeMap<Symbol, (Decimal, Decimal)>;

/// Compares positions until two readings running agree, and sets what differs to what the venue shows.
/// Only while nothing trades.
///
/// # Errors
///
/// [`VenueError`] when the venue could not be read, or shows something else each time.
pub async fn at_start(floor: &Floor) -> Result<(), VenueError> {
    let mut last = Differences::new();
    for _ in 0..READINGS_AT_START_MAX {
        if compare(floor, &mut last).await? {
            return Ok(());
        }
    }
    let internal = "positions differ from reading to reading".to_owned();
    Err(VenueError::Unreadable { internal })
}

/// One comparison while running. `last` is what the one before found; what two running found alike is
/// set. With an order on its way nothing is compared: its fill may be there and not here.
///
/// # Errors
///
/// [`VenueError`] when the venue could not be read.
pub async fn look(floor: &Floor, last: &mut Differences) -> Result<(), VenueError> {
    if is_order_on_its_way(floor) {
        last.clear();
        return Ok(());
    }
    compare(floor, last).await.map(drop)
}

fn is_order_on_its_way(floor: &Floor) -> bool {
    let orders = floor.orders.lock();
    let mut unsettled = orders.unsettled().into_iter();
    unsettled.any(|state| state.status == OrderStatus::Pending)
}

/// Answers with whether positions are now as the venue shows them.
async fn compare(floor: &Floor, last: &mut Differences) -> Result<bool, VenueError> {
    read_fills(floor).await?;
    let counted = floor.fills.lock().await.counted();
    let shown = floor.desk.positions().await?;
    // SAFETY-ORDER: fills before and behind the positions: if none came in between, the positions are
    // those of exactly these fills.
    read_fills(floor).await?;
    let mut fills = floor.fills.lock().await;
    if fills.counted() != counted {
        last.clear();
        return Ok(false);
    }
    let found = differences(floor, &shown);
    if found.is_empty() || found != *last {
        let same = found.is_empty();
        *last = found;
        return Ok(same);
    }
    for (symbol, (from, to)) in std::mem::take(last) {
        tracing::warn!(%symbol, %from, %to, "the venue shows a position that no fill explains");
        let references = floor.gate.references();
        let fact = Fact::PositionReconciled {
            reference: references.get(&symbol).and_then(Reading::middle),
            symbol,
            from,
            to,
            fill: None,
        };
        fills::take_in(floor, &mut fills, fact).await;
    }
    Ok(true)
}

fn differences(floor: &Floor, shown: &[VenuePosition]) -> Differences {
    let mut found: Differences = floor.gate.with_exposure(|exposure| {
        exposure
            .markets()
            .map(|(symbol, market)| (symbol.clone(), (market.position, Decimal::ZERO)))
            .collect()
    });
    for position in shown {
        found.entry(position.symbol.clone()).or_default().1 = position.size;
    }
    found.retain(|_, (here, there)| here != there);
    found
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
