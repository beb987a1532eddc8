//! Counting fills: each once by the venue's id, whichever way it came.
//!
//! The feed tells them at once, the re-read (`settle::read_fills`) meets them in the venue's order;
//! both come through here, under the one lock that [`Floor::fills`] is. What is counted is a record:
//! `fill` for an order of ours, `position.reconciled` for anybody else's on the account.

use super::feed_state::Asked;
use super::floor::Floor;
use super::ledger::Fills;
use super::strays;
use crate::domain::order::{OrderId, OrderStatus, Side};
use crate::journal::AppendError;
use crate::journal::record::{Entry, Fact, ForeignFill};
use crate::ports::venue::VenueFill;

/// Ids in one `fills.read`: a record has a bound.
const PASSED_IDS_MAX: usize = 1_000;

/// What became of a fill that the feed told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Counted now.
    Counted,
    /// Counted before.
    Known,
    /// Not counted: whether it was counted before cannot be said any more. The re-read knows.
    Left,
}

/// Counts a fill that the feed told on a connection that was opened when `counted_before` fills had
/// been counted. It moves no cursor.
pub async fn take_told(floor: &Floor, fill: &VenueFill, counted_before: u64) -> Told {
    let mut fills = floor.fills.lock().await;
    if fills.is_known(&fill.fill_id) {
        return Told::Known;
    }
    if !fills.may_be_told(counted_before) {
        return Told::Left;
    }
    count(floor, &mut fills, fill, None).await;
    drop(fills);
    strays::judge_fills(floor, stranger(floor, fill).into_iter().collect()).await;
    Told::Counted
}

/// Takes in a page that the re-read brought, in the venue's order: counts what is new and comes past
/// what the feed had told. `asked` is from before the reading; `strange` takes the ids of orders that our
/// book does not know. Answers with how many are new, and
/// whether the cursor moved.
pub(super) async fn take_page(
    floor: &Floor,
    asked: &Asked,
    page: &[VenueFill],
    strange: &mut Vec<OrderId>,
) -> (usize, bool) {
    let mut fills = floor.fills.lock().await;
    let (mut new, mut moved) = (Vec::new(), false);
    let mut passed: Vec<&VenueFill> = Vec::new();
    for fill in page {
        if fills.is_ahead(&fill.fill_id) {
            passed.push(fill);
            if passed.len() == PASSED_IDS_MAX {
                moved |= pass(floor, &mut fills, &mut passed).await;
            }
        } else if !fills.is_known(&fill.fill_id) {
            // SAFETY-ORDER: no record's cursor lies past a fill without a record.
            moved |= pass(floor, &mut fills, &mut passed).await;
            count(floor, &mut fills, fill, Some(fill.cursor.clone())).await;
            new.push(fill.fill_id.clone());
            strange.extend(stranger(floor, fill));
        }
    }
    moved |= pass(floor, &mut fills, &mut passed).await;
    // SAFETY-ORDER: under the lock: when the feed tells one of them, it is known here that it has to.
    let now = floor.clock.boot_millis();
    floor.feed.lock().counted_first(asked, &new, now);
    (new.len(), moved || !new.is_empty())
}

async fn pass(floor: &Floor, fills: &mut Fills, passed: &mut Vec<&VenueFill>) -> bool {
    let Some(last) = passed.last() else {
        return false;
    };
    let fact = Fact::FillsRead {
        cursor: last.cursor.clone(),
        fill_ids: passed.iter().map(|fill| fill.fill_id.clone()).collect(),
    };
    passed.clear();
    take_in(floor, fills, fact).await;
    true
}

async fn count(floor: &Floor, fills: &mut Fills, fill: &VenueFill, cursor: Option<String>) {
    let fact = match fill.order_id.filter(|id| is_ours(floor, id)) {
        Some(order_id) => our_fill(floor, order_id, fill, cursor),
        None => foreign_fill(floor, fill, cursor),
    };
    let entry = Entry::of("positions", fact).about(fill.venue_order_id.as_str());
    fills.apply(&entry.fact);
    floor.apply_now(&entry.fact);
    write(floor, entry).await;
}

/// The order's id, if our book does not know it.
fn stranger(floor: &Floor, fill: &VenueFill) -> Option<OrderId> {
    fill.order_id.filter(|id| floor.order(id).is_none())
}

/// Takes in and journals what was learnt of fills and positions.
pub(super) async fn take_in(floor: &Floor, fills: &mut Fills, fact: Fact) {
    fills.apply(&fact);
    floor.apply_now(&fact);
    write(floor, Entry::of("positions", fact)).await;
}

/// Journals what was counted. Nobody waits for the disk: a fill that a crash takes is read from the
/// venue again, since the journal's cursor goes with it. Only a full queue makes it wait, so that no
/// later fill moves the cursor past a lost one.
async fn write(floor: &Floor, entry: Entry) {
    if let Err(AppendError::Full) = floor.journal.append_quietly(entry.clone())
        && let Err(error) = floor.journal.append(entry).await
    {
        tracing::warn!(%error, "a fill was not journaled");
    }
}

/// Whether the journal has the order's intent. Where that cannot be read it counts as ours: the fill
/// moves the position either way.
fn is_ours(floor: &Floor, id: &OrderId) -> bool {
    floor.order(id).is_some() || !matches!(floor.views.order(*id), Ok(None))
}

fn our_fill(floor: &Floor, order_id: OrderId, fill: &VenueFill, cursor: Option<String>) -> Fact {
    let order_status = floor.order(&order_id).map(|state| {
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
        cursor,
        order_id,
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

fn foreign_fill(floor: &Floor, fill: &VenueFill, cursor: Option<String>) -> Fact {
    let from = floor
        .gate
        .with_exposure(|exposure| exposure.market(&fill.symbol).position);
    let signed = match fill.side {
        Side::Buy => fill.size,
        Side::Sell => -fill.size,
    };
    Fact::PositionReconciled {
        symbol: fill.symbol.clone(),
        from,
        to: from.saturating_add(signed),
        fill: Some(ForeignFill {
            fill_id: fill.fill_id.clone(),
            cursor,
            venue_order_id: fill.venue_order_id.clone(),
            side: fill.side,
            price: fill.price,
            size: fill.size,
            fee: fill.fee,
            filled_at_us: fill.at,
        }),
        reference: None,
    }
}
