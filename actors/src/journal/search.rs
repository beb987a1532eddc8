//! Events by what they say, read from the journal itself, newest first.
//!
//! Needs no index, so it works beside a running service and on a copy of its directory. Each call
//! reads a bounded part; the answer says where to go on.

use crate::domain::clock::UnixMicros;
use crate::ports::journal::{JournalReader, RawRecord, StoreError};
use crate::ports::views::{EventFilter, EventView, PAGE_ITEMS_MAX, Page};

/// Most records that one call reads.
pub const SEARCH_RECORDS_MAX: u64 = 50_000;

/// Records read at once.
const READ_RECORDS: u64 = 1_000;

/// A record as an event.
///
/// # Errors
///
/// [`StoreError::Corrupt`] when its bytes are not those of a record.
pub fn event(raw: &RawRecord) -> Result<EventView, StoreError> {
    let broken = || StoreError::corrupt(format!("record {} cannot be read", raw.seq));
    let mut header: serde_json::Value =
        serde_json::from_slice(&raw.header).map_err(|_| broken())?;
    let text = |at: &str| {
        let found = header.pointer(at).and_then(|value| value.as_str());
        found.map(str::to_owned)
    };
    let private = raw
        .payload
        .as_ref()
        .map(|p| serde_json::from_slice(&p.bytes));
    Ok(EventView {
        seq: raw.seq,
        time: raw.time,
        kind: text("/fact/kind").ok_or_else(broken)?,
        class: text("/class").ok_or_else(broken)?,
        actor: text("/actor").ok_or_else(broken)?,
        principal: text("/principal"),
        correlation: text("/correlation"),
        private: private.transpose().map_err(|_| broken())?,
        data: header
            .pointer_mut("/fact/data")
            .map(serde_json::Value::take)
            .unwrap_or_default(),
    })
}

/// Whether an event is one that is looked for. `raw` is its record: texts are searched in its bytes.
pub fn matches(filter: &EventFilter, event: &EventView, raw: &RawRecord) -> bool {
    let is = |wanted: &Option<String>, has: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| has == Some(wanted))
    };
    let kind = filter.kind.as_deref().is_none_or(|wanted| {
        event.kind == wanted || (wanted.ends_with('.') && event.kind.starts_with(wanted))
    });
    let belongs = is(&filter.correlation, event.correlation.as_deref())
        || filter.correlation.as_deref() == order_of(event);
    kind && belongs
        && is(&filter.principal, event.principal.as_deref())
        && filter.since.is_none_or(|since| event.time >= since)
        && filter.until.is_none_or(|until| event.time < until)
        && filter.text.as_deref().is_none_or(|text| says(raw, text))
}

/// The order that a record is about.
fn order_of(event: &EventView) -> Option<&str> {
    let whole = event.data.pointer("/order/order_id");
    whole.or_else(|| event.data.get("order_id"))?.as_str()
}

fn says(raw: &RawRecord, text: &str) -> bool {
    let text = text.to_lowercase();
    let holds = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .to_lowercase()
            .contains(&text)
    };
    holds(&raw.header) || raw.payload.as_ref().is_some_and(|p| holds(&p.bytes))
}

/// Searches the first `size` records.
///
/// # Errors
///
/// [`StoreError`] when they cannot be read.
pub fn events(
    reader: &dyn JournalReader,
    size: u64,
    filter: &EventFilter,
) -> Result<Page<EventView>, StoreError> {
    let limit = filter.limit.clamp(1, PAGE_ITEMS_MAX);
    let mut end = filter.after.unwrap_or(size).min(size);
    if let Some(until) = filter.until {
        end = end.min(first_at(reader, size, until)?);
    }
    let start = match filter.since {
        Some(since) => first_at(reader, size, since)?,
        None => 0,
    };
    let stop = start.max(end.saturating_sub(SEARCH_RECORDS_MAX));
    let mut items = Vec::new();
    while end > stop && items.len() < limit {
        let from = stop.max(end.saturating_sub(READ_RECORDS));
        let count = usize::try_from(end - from).unwrap_or(usize::MAX);
        for raw in reader.records(from, count)?.iter().rev() {
            let event = event(raw)?;
            end = event.seq;
            if matches(filter, &event, raw) {
                items.push(event);
                if items.len() == limit {
                    break;
                }
            }
        }
        if items.len() < limit {
            end = from;
        }
    }
    Ok(Page {
        items,
        next: (end > start).then_some(end),
        as_of: size,
    })
}

/// The first of `size` records at `time` or later; `size` when there is none. Times grow.
fn first_at(reader: &dyn JournalReader, size: u64, time: UnixMicros) -> Result<u64, StoreError> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = reader.headers(middle, 1)?;
        let at = found.first().map(|raw| raw.time);
        let at = at.ok_or_else(|| StoreError::corrupt(format!("record {middle} is missing")))?;
        if at < time {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
