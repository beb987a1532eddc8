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
use crate::domain::order::{OrderId, OrderStatus};
use crate::domain::position::Position;
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
        | Fact::OrderCancelled { order_id }
        | Fact::Fill { order_id, .. } => Some(*order_id),
        Fact::OrderCancelAsked { order_id, .. } => *order_id,
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

/// Positions by market.
pub type Positions = BTreeMap<Symbol, Position>;

/// Takes a record into the positions, and tells the fill of it with the profit it made real. Live and
/// read again, in memory and in views: this is where positions change.
pub fn fill_of(record: &Record, positions: &mut Positions) -> Option<FillView> {
    let realised = apply_to_positions(&record.fact, positions)?;
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
        } => Some(FillView {
            fill_id: fill_id.clone(),
            order_id: Some(*order_id),
            symbol: symbol.clone(),
            side: *side,
            price: *price,
            size: *size,
            fee: *fee,
            realised,
            filled_at: *filled_at_us,
            journal_seq: record.seq,
        }),
        Fact::PositionReconciled {
            symbol,
            fill: Some(fill),
            ..
        } => Some(FillView {
            fill_id: fill.fill_id.clone(),
            order_id: None,
            symbol: symbol.clone(),
            side: fill.side,
            price: fill.price,
            size: fill.size,
            fee: fill.fee,
            realised,
            filled_at: fill.filled_at_us,
            journal_seq: record.seq,
        }),
        _ => None,
    }
}

/// Takes a fact into the positions; answers with the profit that its fill made real.
pub fn apply_to_positions(fact: &Fact, positions: &mut Positions) -> Option<Decimal> {
    match fact {
        Fact::Fill {
            symbol,
            side,
            price,
            size,
            fee,
            ..
        } => {
            let position = positions.entry(symbol.clone()).or_default();
            Some(position.fill(*side, *price, *size, *fee))
        }
        Fact::PositionReconciled {
            symbol,
            to,
            fill,
            reference,
            ..
        } => {
            let position = positions.entry(symbol.clone()).or_default();
            match fill {
                Some(fill) => Some(position.fill(fill.side, fill.price, fill.size, fill.fee)),
                None => {
                    position.correct(*to, *reference);
                    None
                }
            }
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
    let mut positions = Positions::new();
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
            scan.fills.extend(fill_of(&record, &mut positions));
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
