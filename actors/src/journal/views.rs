//! How orders and fills follow from records; and views that read the journal for each answer.
//!
//! [`ScanViews`] needs no store of its own: right for a journal in memory, for tests, and as what
//! any faster view is compared with. A store that keeps views up to date uses the same rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;

use super::encoding;
use super::record::{Fact, Record, SignatureFact};
use super::search;
use crate::domain::market::Symbol;
use crate::domain::order::{OrderId, OrderStatus, Side};
use crate::ports::journal::{JournalReader, JournalReaders, StoreError};
use crate::ports::views::{
    EventFilter, EventView, FillFilter, FillView, OrderFilter, OrderView, PAGE_ITEMS_MAX, Page,
    Views,
};

/// Records read at once.
const READ_RECORDS: usize = 1_024;

/// The order that a record changes or wants to change.
pub const fn order_of(fact: &Fact) -> Option<OrderId> {
    match fact {
        Fact::OrderIntent { order, .. } => Some(order.order_id),
        Fact::OrderOutcome { order_id, .. }
        | Fact::OrderInDoubt { order_id, .. }
        | Fact::OrderResolved { order_id, .. }
        | Fact::OrderCancelled { order_id } => Some(*order_id),
        Fact::Fill { order_id, .. } | Fact::OrderCancelAsked { order_id, .. } => *order_id,
        _ => None,
    }
}

/// What an order is after a record about it. A record about an order without an intent makes none.
pub fn order_after(before: Option<OrderView>, record: &Record) -> Option<OrderView> {
    if let Some(new) = from_intent(record) {
        return Some(before.unwrap_or(new));
    }
    let mut view = before?;
    view.updated = record.time;
    match &record.fact {
        Fact::OrderOutcome {
            status,
            venue_order_id,
            signature,
            why,
            ..
        } => {
            advance(&mut view, *status);
            view.venue_order_id = venue_order_id.clone().or(view.venue_order_id);
            view.why.clone_from(why);
            signed(&mut view, signature.as_ref());
        }
        Fact::OrderInDoubt { signature, why, .. } => {
            advance(&mut view, OrderStatus::InDoubt);
            view.why = Some(why.clone());
            signed(&mut view, signature.as_ref());
        }
        Fact::OrderResolved {
            status,
            venue_order_id,
            ..
        } => {
            advance(&mut view, *status);
            view.venue_order_id = venue_order_id.clone().or(view.venue_order_id);
            view.why = None;
        }
        Fact::OrderCancelled { .. } => advance(&mut view, OrderStatus::Cancelled),
        Fact::Fill {
            venue_order_id,
            size,
            fee,
            order_status,
            ..
        } => {
            view.venue_order_id = view.venue_order_id.or(venue_order_id.clone());
            view.filled = view.filled.saturating_add(*size);
            view.fees = view.fees.saturating_add(*fee);
            if let Some(status) = order_status {
                advance(&mut view, *status);
            }
        }
        _ => {}
    }
    Some(view)
}

fn from_intent(record: &Record) -> Option<OrderView> {
    let Fact::OrderIntent {
        order,
        client,
        client_order_id,
        content_hash,
        key_id,
        ..
    } = &record.fact
    else {
        return None;
    };
    Some(OrderView {
        order: order.clone(),
        client: client.clone(),
        client_order_id: client_order_id.clone(),
        content_hash: content_hash.clone(),
        principal: record.principal.clone(),
        status: OrderStatus::Pending,
        why: None,
        digest: None,
        signature: None,
        signer: None,
        key_id: key_id.clone(),
        signed_at_us: None,
        venue_order_id: None,
        filled: Decimal::ZERO,
        fees: Decimal::ZERO,
        journal_seq: record.seq,
        created: record.time,
        updated: record.time,
    })
}

/// A terminal state stays, and an answer that arrives after a fill does not undo it.
fn advance(view: &mut OrderView, status: OrderStatus) {
    let undoes = view.status == OrderStatus::PartiallyFilled
        && matches!(status, OrderStatus::Open | OrderStatus::Pending);
    if !view.status.is_terminal() && !undoes {
        view.status = status;
    }
}

fn signed(view: &mut OrderView, signature: Option<&SignatureFact>) {
    if let Some(signature) = signature {
        view.digest = Some(signature.digest.clone());
        view.signature = Some(signature.signature.clone());
        view.signer = Some(signature.signer.clone());
        view.key_id.clone_from(&signature.key_id);
        view.signed_at_us = Some(signature.signed_at_us);
    }
}

/// What is held of one market, for the profit that a fill makes real.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Holding {
    /// Signed size in base currency.
    pub size: Decimal,
    /// Average price of what is held; zero when nothing is.
    pub average: Decimal,
}

impl Holding {
    /// Takes a fill in and tells the profit it made real, in quote currency, before fees. Amounts
    /// beyond what a decimal holds stay at its bound: a venue's nonsense must not stop the reading.
    pub fn take(&mut self, side: Side, price: Decimal, size: Decimal) -> Decimal {
        let buys = side == Side::Buy;
        let signed = if buys { size } else { -size };
        let after = self.size.saturating_add(signed);
        if self.size.is_zero() || self.size.is_sign_positive() == buys {
            let held = self.size.saturating_mul(self.average);
            let worth = held.saturating_add(signed.saturating_mul(price));
            self.size = after;
            self.average = worth.checked_div(after).unwrap_or_default();
            return Decimal::ZERO;
        }
        let closed = size.min(self.size.abs());
        let gained = price.saturating_sub(self.average);
        let realised = gained.saturating_mul(if buys { -closed } else { closed });
        if after.is_zero() {
            self.average = Decimal::ZERO;
        } else if after.is_sign_positive() != self.size.is_sign_positive() {
            self.average = price;
        }
        self.size = after;
        realised
    }

    /// The position was set to what the venue shows. What was added has no known price: the average
    /// stays.
    pub fn set(&mut self, size: Decimal) {
        self.size = size;
    }
}

/// The fill of a record, with the profit it made real. Keeps `holdings` up to date.
pub fn fill_of(record: &Record, holdings: &mut BTreeMap<Symbol, Holding>) -> Option<FillView> {
    match &record.fact {
        Fact::Fill {
            fill_id,
            order_id,
            symbol,
            side,
            price,
            size,
            fee,
            filled_at_us,
            ..
        } => {
            let holding = holdings.entry(symbol.clone()).or_default();
            Some(FillView {
                fill_id: fill_id.clone(),
                order_id: *order_id,
                symbol: symbol.clone(),
                side: *side,
                price: *price,
                size: *size,
                fee: *fee,
                realised: holding.take(*side, *price, *size),
                filled_at: *filled_at_us,
                journal_seq: record.seq,
            })
        }
        Fact::PositionReconciled { symbol, to, .. } => {
            holdings.entry(symbol.clone()).or_default().set(*to);
            None
        }
        _ => None,
    }
}

/// Views that read the whole journal for each answer.
#[derive(Clone)]
pub struct ScanViews(Arc<dyn JournalReaders>);

impl ScanViews {
    /// Views of this journal.
    pub fn new(journal: Arc<dyn JournalReaders>) -> Self {
        Self(journal)
    }
}

/// Orders and fills after a whole journal.
#[derive(Default)]
struct Scan {
    size: u64,
    orders: BTreeMap<OrderId, OrderView>,
    fills: Vec<FillView>,
}

fn scan(reader: &dyn JournalReader) -> Result<Scan, StoreError> {
    let mut scan = Scan::default();
    let mut holdings = BTreeMap::new();
    loop {
        let records = reader.headers(scan.size, READ_RECORDS)?;
        if records.is_empty() {
            return Ok(scan);
        }
        for raw in &records {
            let record = encoding::decode(raw)?;
            if let Some(id) = order_of(&record.fact)
                && let Some(view) = order_after(scan.orders.remove(&id), &record)
            {
                scan.orders.insert(id, view);
            }
            scan.fills.extend(fill_of(&record, &mut holdings));
            scan.size = record.seq + 1;
        }
    }
}

/// Cuts a newest-first list of what fits into a page.
fn page<T>(
    mut fitting: impl Iterator<Item = T>,
    limit: usize,
    place: impl Fn(&T) -> u64,
    as_of: u64,
) -> Page<T> {
    let items: Vec<_> = fitting
        .by_ref()
        .take(limit.clamp(1, PAGE_ITEMS_MAX))
        .collect();
    let more = fitting.next().is_some();
    Page {
        next: items.last().map(place).filter(|_| more),
        items,
        as_of,
    }
}

impl Views for ScanViews {
    fn as_of(&self) -> Result<u64, StoreError> {
        Ok(self.0.open()?.head()?.size)
    }

    fn wait_for(&self, _size: u64, _limit: Duration) -> Result<u64, StoreError> {
        self.as_of()
    }

    fn order(&self, order_id: OrderId) -> Result<Option<OrderView>, StoreError> {
        Ok(scan(&*self.0.open()?)?.orders.remove(&order_id))
    }

    fn orders(&self, filter: &OrderFilter) -> Result<Page<OrderView>, StoreError> {
        let scan = scan(&*self.0.open()?)?;
        let mut orders: Vec<_> = scan.orders.into_values().collect();
        orders.sort_by_key(|view| std::cmp::Reverse(view.journal_seq));
        let fits = |view: &OrderView| {
            filter.status.is_none_or(|s| view.status == s)
                && filter.client.as_ref().is_none_or(|c| view.client == *c)
                && filter
                    .client_order_id
                    .as_ref()
                    .is_none_or(|id| view.client_order_id == *id)
                && filter.after.is_none_or(|after| view.journal_seq < after)
        };
        let fitting = orders.into_iter().filter(fits);
        Ok(page(
            fitting,
            filter.limit,
            |view| view.journal_seq,
            scan.size,
        ))
    }

    fn fills(&self, filter: &FillFilter) -> Result<Page<FillView>, StoreError> {
        let scan = scan(&*self.0.open()?)?;
        let fits = |fill: &FillView| {
            filter.since.is_none_or(|since| fill.filled_at >= since)
                && filter.symbol.as_ref().is_none_or(|s| fill.symbol == *s)
                && filter.after.is_none_or(|after| fill.journal_seq < after)
        };
        let fitting = scan.fills.into_iter().rev().filter(fits);
        Ok(page(
            fitting,
            filter.limit,
            |fill| fill.journal_seq,
            scan.size,
        ))
    }

    fn events(&self, filter: &EventFilter) -> Result<Page<EventView>, StoreError> {
        let reader = self.0.open()?;
        let size = reader.head()?.size;
        search::events(&*reader, size, filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    #[test]
    fn profit_becomes_real_when_a_position_shrinks() {
        let mut held = Holding::default();
        let mut take = |side, price, size| held.take(side, decimal(price), decimal(size));
        assert_eq!(take(Side::Buy, "100", "1"), decimal("0"));
        assert_eq!(take(Side::Buy, "200", "1"), decimal("0"));
        // Average 150: half of it goes at 160.
        assert_eq!(take(Side::Sell, "160", "1"), decimal("10"));
        // Through zero: one is closed at a loss of 50, one opens at 100.
        assert_eq!(take(Side::Sell, "100", "2"), decimal("-50"));
        assert_eq!(take(Side::Buy, "90", "1"), decimal("10"));
        assert_eq!(held, Holding::default());
    }
}
