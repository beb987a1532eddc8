//! `views.db`: orders, fills and events, made from the journal and kept up by the [`follower`].
//!
//! Disposable: it says as of which record it is true, and is made again when it is gone, broken, of
//! another version or of another journal. Nothing that decides anything reads it.
//!
//! [`follower`]: super::follower

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flashguard_actors::domain::market::Symbol;
use flashguard_actors::domain::order::OrderId;
use flashguard_actors::journal::record::{Fact, Record};
use flashguard_actors::journal::search::{self, SEARCH_RECORDS_MAX};
use flashguard_actors::journal::views::{Positions, fill_of, order_after, order_of};
use flashguard_actors::ports::journal::{Hash, JournalReader, JournalReaders, StoreError};
use flashguard_actors::ports::views::{
    EventFilter, EventView, FillFilter, FillView, OrderFilter, OrderView, PAGE_ITEMS_MAX, Page,
    Views,
};
use parking_lot::{Condvar, Mutex};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, ToSql, params, params_from_iter};

use super::{BUSY_TIMEOUT_MS, while_doing};

/// The views' file name in the data directory.
pub const VIEWS_FILE: &str = "views.db";

/// Grows whenever the tables or the meaning of what they hold change: older views are made again.
const VERSION: i64 = 2;

/// Kinds that come with every order. They are found through their order or by reading the journal;
/// all others have a row of their own.
const FLOW_KINDS: [&str; 4] = ["order.intent", "order.outcome", "fill", "fills.read"];

/// Connections kept for questions.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// Events read at once when their places are known.
const EVENTS_AT_ONCE: usize = 256;

const TABLES: &str = "
    CREATE TABLE state (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        origin TEXT NOT NULL,
        size INTEGER NOT NULL,
        root BLOB NOT NULL
    ) STRICT;
    CREATE TABLE orders (
        seq INTEGER PRIMARY KEY,
        order_id BLOB NOT NULL UNIQUE,
        client TEXT NOT NULL,
        client_order_id TEXT NOT NULL,
        status TEXT NOT NULL,
        outcome_seq INTEGER,
        view BLOB NOT NULL
    ) STRICT;
    CREATE INDEX orders_by_status ON orders (status, seq);
    CREATE INDEX orders_by_name ON orders (client_order_id, seq);
    CREATE TABLE fills (
        seq INTEGER PRIMARY KEY,
        order_id BLOB,
        symbol TEXT NOT NULL,
        filled_at_us INTEGER NOT NULL,
        view BLOB NOT NULL
    ) STRICT;
    CREATE INDEX fills_by_order ON fills (order_id, seq) WHERE order_id IS NOT NULL;
    CREATE TABLE positions (symbol TEXT PRIMARY KEY, position BLOB NOT NULL) STRICT;
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        correlation TEXT,
        order_id BLOB
    ) STRICT;
    CREATE INDEX events_by_kind ON events (kind, seq);
    CREATE INDEX events_by_correlation ON events (correlation, seq) WHERE correlation IS NOT NULL;
    CREATE INDEX events_by_order ON events (order_id, seq) WHERE order_id IS NOT NULL;
";

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> rusqlite::Result<T> {
    serde_json::from_slice(bytes).map_err(|cause| {
        let kind = rusqlite::types::Type::Blob;
        rusqlite::Error::FromSqlConversionFailure(0, kind, Box::new(cause))
    })
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|cause| StoreError::Unavailable {
        doing: "writing a view",
        cause: Box::new(cause),
    })
}

/// The follower's side: the one connection that writes.
pub(super) struct ViewsWriter {
    db: Connection,
    size: u64,
    origin: String,
    positions: Positions,
    /// A write failed: what can be made again is not mended.
    pub(super) broken: bool,
}

impl ViewsWriter {
    /// Opens the views, or makes them anew when they do not fit this journal.
    pub(super) fn open(
        path: &Path,
        journal: &dyn JournalReader,
    ) -> Result<(Self, bool), StoreError> {
        if let Ok(Some(writer)) = Self::fitting(path, journal) {
            return Ok((writer, false));
        }
        remove(path)?;
        let doing = while_doing("making the views");
        let db = connect(path)?;
        let made = format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;");
        db.execute_batch(&made).map_err(&doing)?;
        let writer = Self {
            db,
            size: 0,
            origin: journal.meta()?.origin,
            positions: Positions::new(),
            broken: false,
        };
        Ok((writer, true))
    }

    fn fitting(path: &Path, journal: &dyn JournalReader) -> Result<Option<Self>, StoreError> {
        if !path.exists() {
            return Ok(None);
        }
        let doing = while_doing("opening the views");
        let db = connect(path)?;
        let version: i64 = db
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(&doing)?;
        if version != VERSION {
            return Ok(None);
        }
        let sql = "SELECT origin, size, root FROM state";
        let state = db.query_row(sql, [], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, u64>(1)?,
                row.get::<_, Hash>(2)?,
            ))
        });
        let Some((origin, size, root)) = state.optional().map_err(&doing)? else {
            return Ok(None);
        };
        let ours = origin == journal.meta()?.origin
            && size <= journal.head()?.size
            && flashguard_actors::journal::tree::root_at(journal, size)? == root;
        if !ours {
            return Ok(None);
        }
        let positions = positions(&db).map_err(&doing)?;
        Ok(Some(Self {
            db,
            size,
            origin,
            positions,
            broken: false,
        }))
    }

    /// Records taken in.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next records in, all or none. `root` is the tree's after them.
    pub(super) fn take(&mut self, records: &[Record], root: &Hash) -> Result<(), StoreError> {
        let taken = self.try_take(records, root);
        if taken.is_err() {
            self.broken = true;
        }
        taken
    }

    fn try_take(&mut self, records: &[Record], root: &Hash) -> Result<(), StoreError> {
        let size_before = self.size;
        let next = records.iter().filter(|record| record.seq >= size_before);
        let Some(last) = next.clone().next_back() else {
            return Ok(());
        };
        let size = last.seq + 1;
        let doing = while_doing("writing the views");
        self.db.execute_batch("BEGIN").map_err(&doing)?;
        let mut orders = BTreeMap::new();
        for record in next {
            self.take_one(record, &mut orders)?;
        }
        for (id, (view, outcome_seq)) in &orders {
            let sql = "INSERT INTO orders
                           (seq, order_id, client, client_order_id, status, outcome_seq, view)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                       ON CONFLICT (seq) DO UPDATE SET
                           status = excluded.status, view = excluded.view,
                           outcome_seq = coalesce(excluded.outcome_seq, outcome_seq)";
            let values = params![
                view.journal_seq,
                id.0.as_bytes().as_slice(),
                view.client.as_str(),
                view.client_order_id.as_str(),
                view.status.as_str(),
                outcome_seq,
                to_json(view)?,
            ];
            self.run(sql, values)?;
        }
        for (symbol, position) in &self.positions {
            let sql = "INSERT INTO positions (symbol, position) VALUES (?1, ?2)
                       ON CONFLICT (symbol) DO UPDATE SET position = excluded.position";
            self.run(sql, params![symbol.as_str(), to_json(position)?])?;
        }
        let sql = "INSERT INTO state (one, origin, size, root) VALUES (1, ?1, ?2, ?3)
                   ON CONFLICT (one) DO UPDATE SET size = excluded.size, root = excluded.root";
        self.run(sql, params![self.origin, size, root.as_slice()])?;
        self.db.execute_batch("COMMIT").map_err(&doing)?;
        self.size = size;
        Ok(())
    }

    fn take_one(
        &mut self,
        record: &Record,
        orders: &mut BTreeMap<OrderId, (OrderView, Option<u64>)>,
    ) -> Result<(), StoreError> {
        let about = order_of(&record.fact);
        if let Some(id) = about {
            let (before, outcome) = match orders.remove(&id) {
                Some((view, outcome)) => (Some(view), outcome),
                None if matches!(record.fact, Fact::OrderIntent { .. }) => (None, None),
                None => (order(&self.db, id)?, None),
            };
            let is_outcome = matches!(record.fact, Fact::OrderOutcome { .. });
            let outcome = is_outcome.then_some(record.seq).or(outcome);
            if let Some(view) = order_after(before, record) {
                orders.insert(id, (view, outcome));
            }
        }
        if let Some(fill) = fill_of(record, &mut self.positions) {
            let sql = "INSERT INTO fills (seq, order_id, symbol, filled_at_us, view)
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            let id = fill.order_id.map(|id| id.0.as_bytes().to_vec());
            let values = params![
                fill.journal_seq,
                id,
                fill.symbol.as_str(),
                fill.filled_at.0,
                to_json(&fill)?,
            ];
            self.run(sql, values)?;
        }
        let kind = record.fact.kind();
        if !FLOW_KINDS.contains(&kind) {
            let sql = "INSERT INTO events (seq, kind, correlation, order_id)
                       VALUES (?1, ?2, ?3, ?4)";
            let about = about.map(|id| id.0.as_bytes().to_vec());
            self.run(sql, params![record.seq, kind, record.correlation, about])?;
        }
        Ok(())
    }

    fn run(&self, sql: &str, values: &[&dyn ToSql]) -> Result<(), StoreError> {
        let doing = while_doing("writing the views");
        let mut statement = self.db.prepare_cached(sql).map_err(&doing)?;
        statement.execute(values).map(drop).map_err(&doing)
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let doing = while_doing("opening the views");
    let db = Connection::open(path).map_err(&doing)?;
    db.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))
        .map_err(&doing)?;
    // NORMAL: a power loss may take the last transactions; they are made again from the journal.
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
        .map_err(&doing)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Takes away the views and their log.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{suffix}", path.display()));
        match std::fs::remove_file(&file) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Unavailable {
                    doing: "removing the views",
                    cause: Box::new(cause),
                });
            }
            _ => {}
        }
    }
    Ok(())
}

fn positions(db: &Connection) -> rusqlite::Result<Positions> {
    let mut statement = db.prepare("SELECT symbol, position FROM positions")?;
    let rows = statement.query_map([], |row| {
        let symbol = Symbol::parse(&row.get::<_, String>(0)?);
        let symbol = symbol.map_err(|_| rusqlite::Error::InvalidQuery)?;
        Ok((symbol, json(row.get_ref(1)?.as_blob()?)?))
    })?;
    rows.collect()
}

fn order(db: &Connection, id: OrderId) -> Result<Option<OrderView>, StoreError> {
    let doing = while_doing("reading an order");
    let sql = "SELECT view FROM orders WHERE order_id = ?1";
    let mut statement = db.prepare_cached(sql).map_err(&doing)?;
    let found = statement.query_row([id.0.as_bytes().as_slice()], |row| {
        json(row.get_ref(0)?.as_blob()?)
    });
    found.optional().map_err(&doing)
}

/// How far the follower is, for everybody who asks.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) state: Mutex<Place>,
    pub(super) moved: Condvar,
}

/// The follower's place and what is wanted of it.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Records taken in.
    pub(super) as_of: u64,
    /// Somebody waits for so many.
    pub(super) wanted: u64,
    /// It is to end after having caught up.
    pub(super) stop: bool,
    /// Grows when the file is made anew: connections to the old one are of no use.
    pub(super) generation: u64,
    /// What keeps it from going on; for logs and status.
    pub(super) trouble: Option<String>,
}

struct Connections {
    generation: u64,
    views: Connection,
    journal: Box<dyn JournalReader>,
}

/// Answers from `views.db`.
#[derive(Clone)]
pub struct SqliteViews(Arc<Inner>);

struct Inner {
    path: PathBuf,
    journal: Arc<dyn JournalReaders>,
    progress: Arc<Progress>,
    idle: Mutex<Vec<Connections>>,
}

impl SqliteViews {
    pub(super) fn new(
        path: PathBuf,
        journal: Arc<dyn JournalReaders>,
        progress: Arc<Progress>,
    ) -> Self {
        Self(Arc::new(Inner {
            path,
            journal,
            progress,
            idle: Mutex::default(),
        }))
    }

    /// What keeps the views from following the journal; for logs and status.
    pub fn trouble(&self) -> Option<String> {
        self.0.progress.state.lock().trouble.clone()
    }

    fn ask<T>(
        &self,
        question: impl FnOnce(&Connections) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let generation = self.0.progress.state.lock().generation;
        let idle = {
            let mut idle = self.0.idle.lock();
            idle.retain(|c| c.generation == generation);
            idle.pop()
        };
        let connections = match idle {
            Some(connections) => connections,
            None => Connections {
                generation,
                views: connect(&self.0.path)?,
                journal: self.0.journal.open()?,
            },
        };
        let answer = question(&connections);
        let mut idle = self.0.idle.lock();
        if answer.is_ok() && idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connections);
        }
        answer
    }

    /// A list from one statement whose columns are the place and the view.
    fn list<T: serde::de::DeserializeOwned>(
        &self,
        sql: &str,
        mut values: Vec<Value>,
        limit: usize,
    ) -> Result<Page<T>, StoreError> {
        let limit = limit.clamp(1, PAGE_ITEMS_MAX);
        values.push(Value::Integer(i64::try_from(limit + 1).unwrap_or(i64::MAX)));
        let doing = while_doing("reading the views");
        let (mut rows, as_of) = self.ask(|connections| {
            let size = "SELECT size FROM state";
            let db = connections.views.unchecked_transaction().map_err(&doing)?;
            let as_of = db.query_row(size, [], |row| row.get(0));
            let as_of = as_of.optional().map_err(&doing)?.unwrap_or(0);
            let mut statement = db.prepare_cached(sql).map_err(&doing)?;
            let rows = statement.query_map(params_from_iter(&values), |row| {
                Ok((row.get::<_, u64>(0)?, json(row.get_ref(1)?.as_blob()?)?))
            });
            let rows: rusqlite::Result<Vec<(u64, T)>> = rows.and_then(Iterator::collect);
            Ok((rows.map_err(&doing)?, as_of))
        })?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        Ok(Page {
            next: rows.last().map(|(seq, _)| *seq).filter(|_| more),
            items: rows.into_iter().map(|(_, item)| item).collect(),
            as_of,
        })
    }
}

/// A condition and its value, if there is one.
fn narrow(sql: &mut String, values: &mut Vec<Value>, condition: &str, value: Option<Value>) {
    if let Some(value) = value {
        values.push(value);
        sql.push_str(&format!(" AND {condition} ?{}", values.len()));
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

impl Views for SqliteViews {
    fn as_of(&self) -> Result<u64, StoreError> {
        Ok(self.0.progress.state.lock().as_of)
    }

    fn wait_for(&self, size: u64, limit: Duration) -> Result<u64, StoreError> {
        let until = Instant::now() + limit;
        let mut place = self.0.progress.state.lock();
        place.wanted = place.wanted.max(size);
        self.0.progress.moved.notify_all();
        while place.as_of < size && !place.stop {
            if self
                .0
                .progress
                .moved
                .wait_until(&mut place, until)
                .timed_out()
            {
                break;
            }
        }
        Ok(place.as_of)
    }

    fn order(&self, order_id: OrderId) -> Result<Option<OrderView>, StoreError> {
        self.ask(|connections| order(&connections.views, order_id))
    }

    fn orders(&self, filter: &OrderFilter) -> Result<Page<OrderView>, StoreError> {
        let mut sql = "SELECT seq, view FROM orders WHERE 1".to_owned();
        let mut values = Vec::new();
        let mut and = |condition, value| narrow(&mut sql, &mut values, condition, value);
        and("status =", filter.status.map(|s| text(s.as_str())));
        and(
            "client_order_id =",
            filter.client_order_id.as_ref().map(|id| text(id.as_str())),
        );
        and("client =", filter.client.as_ref().map(|c| text(c.as_str())));
        and("seq <", filter.after.map(number));
        sql.push_str(&format!(" ORDER BY seq DESC LIMIT ?{}", values.len() + 1));
        self.list(&sql, values, filter.limit)
    }

    fn fills(&self, filter: &FillFilter) -> Result<Page<FillView>, StoreError> {
        let mut sql = "SELECT seq, view FROM fills WHERE 1".to_owned();
        let mut values = Vec::new();
        let mut and = |condition, value| narrow(&mut sql, &mut values, condition, value);
        and("filled_at_us >=", filter.since.map(|since| number(since.0)));
        and("symbol =", filter.symbol.as_ref().map(|s| text(s.as_str())));
        and("seq <", filter.after.map(number));
        sql.push_str(&format!(" ORDER BY seq DESC LIMIT ?{}", values.len() + 1));
        self.list(&sql, values, filter.limit)
    }

    fn events(&self, filter: &EventFilter) -> Result<Page<EventView>, StoreError> {
        self.ask(|connections| {
            let as_of = self.as_of()?;
            match Places::of(filter, &connections.views)? {
                Some(places) => by_places(connections, filter, &places, as_of),
                None => search::events(&*connections.journal, as_of, filter),
            }
        })
    }
}

/// A statement that lists where events can be, below ?1, newest first, at most ?2; and its values
/// from ?3 on.
struct Places {
    sql: String,
    values: Vec<Value>,
}

impl Places {
    /// `None`: only reading the journal finds them.
    fn of(filter: &EventFilter, views: &Connection) -> Result<Option<Self>, StoreError> {
        if let Some(kind) = &filter.kind {
            let flows = FLOW_KINDS.iter().any(|flow| {
                flow == kind || (kind.ends_with('.') && flow.starts_with(kind.as_str()))
            });
            if !flows && kind.ends_with('.') {
                let sql = "SELECT seq FROM events WHERE seq < ?1 AND kind >= ?3 AND kind < ?4";
                // The character after '.' ends the range of kinds that begin so.
                let end = format!("{}/", kind.trim_end_matches('.'));
                return Ok(Some(Self::new(sql, vec![text(kind), text(&end)])));
            }
            if !flows {
                let sql = "SELECT seq FROM events WHERE seq < ?1 AND kind = ?3";
                return Ok(Some(Self::new(sql, vec![text(kind)])));
            }
        }
        let id = filter.correlation.as_deref().and_then(OrderId::parse);
        let Some((id, correlation)) = id.zip(filter.correlation.as_deref()) else {
            return Ok(None);
        };
        if order(views, id)?.is_none() {
            return Ok(None);
        }
        let sql = "SELECT seq FROM events WHERE seq < ?1 AND correlation = ?3
                   UNION SELECT seq FROM events WHERE seq < ?1 AND order_id = ?4
                   UNION SELECT seq FROM fills WHERE seq < ?1 AND order_id = ?4
                   UNION SELECT seq FROM orders WHERE seq < ?1 AND order_id = ?4
                   UNION SELECT outcome_seq FROM orders WHERE outcome_seq < ?1 AND order_id = ?4";
        let values = vec![text(correlation), Value::Blob(id.0.as_bytes().to_vec())];
        Ok(Some(Self::new(sql, values)))
    }

    fn new(sql: &str, values: Vec<Value>) -> Self {
        Self {
            sql: format!("{sql} ORDER BY 1 DESC LIMIT ?2"),
            values,
        }
    }

    fn below(&self, views: &Connection, end: u64) -> rusqlite::Result<Vec<u64>> {
        let mut values = vec![number(end), number(EVENTS_AT_ONCE as u64)];
        values.extend(self.values.iter().cloned());
        let mut statement = views.prepare_cached(&self.sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| row.get(0))?;
        rows.collect()
    }
}

fn by_places(
    connections: &Connections,
    filter: &EventFilter,
    places: &Places,
    as_of: u64,
) -> Result<Page<EventView>, StoreError> {
    let limit = filter.limit.clamp(1, PAGE_ITEMS_MAX);
    let mut end = filter.after.unwrap_or(as_of).min(as_of);
    let (mut items, mut read) = (Vec::new(), 0);
    while read < SEARCH_RECORDS_MAX {
        let found = places
            .below(&connections.views, end)
            .map_err(while_doing("reading the views"))?;
        if found.is_empty() {
            end = 0;
            break;
        }
        for seq in found {
            let records = connections.journal.records(seq, 1)?;
            let raw = records.first().filter(|raw| raw.seq == seq);
            let raw = raw.ok_or_else(|| StoreError::corrupt(format!("record {seq} is missing")))?;
            let event = search::event(raw)?;
            (end, read) = (seq, read + 1);
            let too_old = filter.since.is_some_and(|since| event.time < since);
            if too_old {
                end = 0;
                break;
            }
            if search::matches(filter, &event, raw) {
                items.push(event);
            }
            if items.len() == limit {
                break;
            }
        }
        if end == 0 || items.len() == limit {
            break;
        }
    }
    Ok(Page {
        items,
        next: (end > 0).then_some(end),
        as_of,
    })
}

#[cfg(test)]
#[path = "views_tests.rs"]
mod tests;
