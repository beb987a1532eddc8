//! `GET /trading/orders`: what the views have, as it is now.
//!
//! Views follow the journal by some milliseconds, and an order's outcome is journaled after its
//! answer. So the orders at hand (open, in doubt or lately ended) decide what they are, whether they
//! fit and that they are there at all; views tell of those that ended long ago, and keep the pages.

use std::collections::BTreeMap;

use flashguard_actors::ports::journal::StoreError;
use flashguard_actors::ports::views::{OrderFilter, OrderView, PAGE_ITEMS_MAX, Page, Views};
use flashguard_actors::trading::floor::Floor;
use flashguard_actors::trading::orders::{OrderState, Orders};

/// Pages of views that one list reads: a further one only where orders of the one before do not fit
/// any more.
const PAGES_READ_MAX: usize = 16;

/// One order of a list: in the views, at hand, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listed {
    /// In the views; as it is now, when it is at hand.
    Viewed(Box<OrderView>, Option<Box<OrderState>>),
    /// Not in the views yet.
    Present(Box<OrderState>),
}

impl Listed {
    fn seq(&self) -> u64 {
        match self {
            Self::Viewed(view, _) => view.journal_seq,
            Self::Present(state) => state.journal_seq,
        }
    }
}

/// A page of orders, newest first, with the present state of each.
///
/// # Errors
///
/// [`StoreError`] when the views cannot be read.
pub(super) fn list(
    views: &dyn Views,
    floor: &Floor,
    filter: &OrderFilter,
) -> Result<Page<Listed>, StoreError> {
    let mut page = merged(
        |filter| views.orders(filter),
        || floor.orders.lock(),
        filter,
    )?;
    for item in &mut page.items {
        let Listed::Present(state) = item else {
            continue;
        };
        // It fits only now: views have it under another status.
        if let Some(view) = views.order(state.order.order_id)? {
            *item = Listed::Viewed(Box::new(view), Some(state.clone()));
        }
    }
    Ok(page)
}

/// Merges pages of views with the orders at hand. `at_hand` is looked at after the views, so that it
/// is never the older of both.
fn merged<O: std::ops::Deref<Target = Orders>>(
    mut views: impl FnMut(&OrderFilter) -> Result<Page<OrderView>, StoreError>,
    at_hand: impl Fn() -> O,
    filter: &OrderFilter,
) -> Result<Page<Listed>, StoreError> {
    let limit = filter.limit.clamp(1, PAGE_ITEMS_MAX);
    let mut items: BTreeMap<u64, Listed> = BTreeMap::new();
    let mut asked = filter.clone();
    let mut as_of = u64::MAX;
    // Below it the views were not read.
    let mut read_to = None;
    for _ in 0..PAGES_READ_MAX {
        let page = views(&asked)?;
        as_of = as_of.min(page.as_of);
        let orders = at_hand();
        for view in page.items {
            let present = orders.find(&view.order.order_id);
            if present.is_none_or(|state| fits(filter, state)) {
                let present = present.cloned().map(Box::new);
                items.insert(view.journal_seq, Listed::Viewed(Box::new(view), present));
            }
        }
        read_to = page.next;
        if read_to.is_none() || items.len() >= limit {
            break;
        }
        asked.after = read_to;
    }
    let wanted = |state: &OrderState| {
        fits(filter, state) && read_to.is_none_or(|to| state.journal_seq >= to)
    };
    for state in at_hand().newest(limit + 1, wanted) {
        let seq = state.journal_seq;
        items
            .entry(seq)
            .or_insert_with(|| Listed::Present(Box::new(state)));
    }
    let more = items.len() > limit;
    let items: Vec<Listed> = items.into_values().rev().take(limit).collect();
    let last = items.last().map(Listed::seq);
    Ok(Page {
        next: if more { last } else { read_to },
        items,
        as_of,
    })
}

/// Whether an order belongs into the list as it is now.
fn fits(filter: &OrderFilter, state: &OrderState) -> bool {
    let id = filter.client_order_id.as_ref();
    filter.status.is_none_or(|status| state.status == status)
        && filter
            .client
            .as_ref()
            .is_none_or(|client| state.client == *client)
        && id.is_none_or(|id| state.client_order_id == *id)
        && filter.after.is_none_or(|after| state.journal_seq < after)
}

#[cfg(test)]
mod tests;
