//! `journal.db`: the one writer's store, and readers beside it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::domain::identity::Client;
use flashguard_actors::domain::order::ClientOrderId;
use flashguard_actors::journal::tree::nodes_before;
use flashguard_actors::ports::journal::{
    Claim, Hash, Head, Identity, JournalReader, JournalReaders, JournalStore, Meta, Nodes,
    RawCheckpoint, RawPayload, RawRecord, RecordRow, Snapshot, StoreError,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row, named_params, params};

use super::files::OpenFiles;
use super::{BUSY_TIMEOUT_MS, schema, while_doing};

/// The log is folded into the database when nothing waits and it has so many pages.
const LOG_PAGES_IDLE: i64 = 250;

/// The same while records keep coming: about 4 MiB. Measured: more makes the pauses longer.
const LOG_PAGES_BUSY: i64 = 1_000;

/// How many rows are written between two looks at the log's size.
const ROWS_BETWEEN_LOOKS: u32 = 64;

/// Expired identities removed in one step, so that a step stays short.
const IDENTITIES_REMOVED_MAX: u32 = 500;

/// Statements kept prepared.
const STATEMENTS_MAX: usize = 64;

/// One connection that reads.
#[derive(Debug)]
pub struct SqliteReader {
    db: Connection,
}

/// The writer's connection.
#[derive(Debug)]
pub struct SqliteStore {
    reader: SqliteReader,
    files: OpenFiles,
    rows_since_look: u32,
}

/// Opens readers of one `journal.db`.
#[derive(Debug, Clone)]
pub struct SqliteReaders {
    path: PathBuf,
}

impl SqliteReaders {
    /// Readers of the journal at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl JournalReaders for SqliteReaders {
    fn open(&self) -> Result<Box<dyn JournalReader>, StoreError> {
        Ok(Box::new(SqliteReader::open(&self.path)?))
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing);
    }
    let doing = while_doing("opening the journal");
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(&doing)?;
    db.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))
        .map_err(&doing)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(db)
}

/// Makes an empty journal at `path`, mode 0600. Whoever calls it makes the folder durable.
///
/// # Errors
///
/// [`StoreError::Exists`] when there is a file already, [`StoreError`] when it cannot be made.
pub fn create(path: &Path, meta: &Meta) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|cause| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => StoreError::Exists,
        _ => StoreError::Unavailable {
            doing: "creating the journal",
            cause: Box::new(cause),
        },
    })?;
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let doing = while_doing("creating the journal");
    db.execute_batch("PRAGMA synchronous = FULL")
        .map_err(&doing)?;
    schema::create(&db)?;
    let mut row = db
        .prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)")
        .map_err(&doing)?;
    for (key, value) in [
        ("origin", &meta.origin),
        ("verifier_key", &meta.verifier_key),
    ] {
        row.execute([key, value]).map_err(&doing)?;
    }
    Ok(())
}

impl SqliteReader {
    /// Opens a journal to read, beside its writer or after it. Takes no lock that could hinder it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], [`StoreError::Newer`], [`StoreError::Corrupt`] or
    /// [`StoreError::Unavailable`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let db = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        schema::check(&db)?;
        Ok(Self { db })
    }

    /// All later reads see the journal as it is now, however long they take. While it lasts, the
    /// writer's log grows.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    pub fn freeze(&self) -> Result<(), StoreError> {
        self.run("beginning to read", "BEGIN", [])?;
        self.head().map(drop)
    }

    /// Up to `max` groups of node hashes from leaf `from` on: their first leaves and the hashes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    pub fn node_groups(&self, from: u64, max: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let sql = "SELECT first_seq, hashes FROM nodes WHERE first_seq >= ?1
                   ORDER BY first_seq LIMIT ?2";
        self.all("reading the tree", sql, params![from, max], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
    }

    /// All snapshots' folds.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    pub fn snapshot_names(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT fold FROM snapshot ORDER BY fold";
        self.all("reading snapshots", sql, [], |row| row.get(0))
    }

    /// Looks for rows that belong to no record, and for pages and indexes that do not fit together.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] with the first thing found.
    pub fn check_structure(&self) -> Result<(), StoreError> {
        let doing = "checking the database";
        let sql = "SELECT count(*) FROM payload WHERE seq NOT IN (SELECT seq FROM record)";
        let strays: u64 = self.one(doing, sql, [], |row| row.get(0))?.unwrap_or(0);
        if strays > 0 {
            return Err(StoreError::corrupt(format!(
                "{strays} payloads of no record"
            )));
        }
        let sql = "SELECT seq FROM record WHERE segment <> 0 LIMIT 1";
        if let Some(seq) = self.one(doing, sql, [], |row| row.get::<_, u64>(0))? {
            return Err(StoreError::corrupt(format!(
                "record {seq} is of an unknown segment"
            )));
        }
        let said: Option<String> =
            self.one(doing, "PRAGMA integrity_check(1)", [], |r| r.get(0))?;
        match said.as_deref() {
            Some("ok") => Ok(()),
            other => Err(StoreError::corrupt(other.unwrap_or("no answer").to_owned())),
        }
    }

    fn one<T>(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.db.prepare_cached(sql).map_err(while_doing(doing))?;
        let found = statement.query_row(params, read).optional();
        found.map_err(while_doing(doing))
    }

    fn all<T>(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.db.prepare_cached(sql).map_err(while_doing(doing))?;
        let rows = statement.query_map(params, read);
        rows.and_then(Iterator::collect).map_err(while_doing(doing))
    }

    fn run(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
    ) -> Result<usize, StoreError> {
        let mut statement = self.db.prepare_cached(sql).map_err(while_doing(doing))?;
        statement.execute(params).map_err(while_doing(doing))
    }
}

impl Nodes for SqliteReader {
    fn node(&self, level: u32, index: u64) -> Result<Hash, StoreError> {
        let missing = || StoreError::corrupt(format!("the tree's node {level}/{index} is missing"));
        let end = (index + 1).checked_shl(level).ok_or_else(missing)?;
        let last_leaf = end.checked_sub(1).ok_or_else(missing)?;
        let sql = "SELECT first_seq, hashes FROM nodes WHERE first_seq <= ?1
                   ORDER BY first_seq DESC LIMIT 1";
        let position = nodes_before(last_leaf) + u64::from(level);
        let found = self.one("reading the tree", sql, [last_leaf], |row| {
            let first: u64 = row.get(0)?;
            let at = position.checked_sub(nodes_before(first));
            let at = at.and_then(|at| usize::try_from(at).ok()?.checked_mul(32));
            let bytes = row.get_ref(1)?.as_blob()?;
            Ok(at.and_then(|at| bytes.get(at..at + 32)?.try_into().ok()))
        })?;
        found.flatten().ok_or_else(missing)
    }
}

const RECORDS: &str = "SELECT r.seq, r.time_us, r.header, r.commitment, p.class, p.salt, p.bytes
    FROM record r LEFT JOIN payload p ON p.seq = r.seq
    WHERE r.seq >= ?1 ORDER BY r.seq LIMIT ?2";

const HEADERS: &str =
    "SELECT seq, time_us, header, commitment FROM record WHERE seq >= ?1 ORDER BY seq LIMIT ?2";

fn header_of(row: &Row<'_>) -> rusqlite::Result<RawRecord> {
    Ok(RawRecord {
        seq: row.get(0)?,
        time: UnixMicros(row.get(1)?),
        header: row.get(2)?,
        commitment: row.get(3)?,
        payload: None,
    })
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<RawRecord> {
    let payload = match row.get(4)? {
        None => None,
        Some(class) => Some(RawPayload {
            class,
            salt: row.get(5)?,
            bytes: row.get(6)?,
        }),
    };
    Ok(RawRecord {
        payload,
        ..header_of(row)?
    })
}

fn checkpoint_of(row: &Row<'_>) -> rusqlite::Result<RawCheckpoint> {
    Ok(RawCheckpoint {
        size: row.get(0)?,
        time: UnixMicros(row.get(1)?),
        note: row.get(2)?,
    })
}

impl JournalReader for SqliteReader {
    fn meta(&self) -> Result<Meta, StoreError> {
        let value = |key: &'static str| {
            let sql = "SELECT value FROM meta WHERE key = ?1";
            let found = self.one("reading what the journal is", sql, [key], |row| row.get(0))?;
            found.ok_or_else(|| StoreError::corrupt(format!("the journal does not say its {key}")))
        };
        Ok(Meta {
            origin: value("origin")?,
            verifier_key: value("verifier_key")?,
        })
    }

    fn head(&self) -> Result<Head, StoreError> {
        let sql = "SELECT seq, time_us FROM record ORDER BY seq DESC LIMIT 1";
        let last = self.one("reading the journal's end", sql, [], |row| {
            Ok(Head {
                size: row.get::<_, u64>(0)?.saturating_add(1),
                last_time: UnixMicros(row.get(1)?),
            })
        })?;
        Ok(last.unwrap_or_default())
    }

    fn records(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError> {
        self.all("reading records", RECORDS, params![from, max], record_of)
    }

    fn headers(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError> {
        self.all("reading records", HEADERS, params![from, max], header_of)
    }

    fn identity(&self, identity: &Identity) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT seq FROM client_order WHERE client = ?1 AND client_order_id = ?2";
        let key = [identity.client.as_str(), identity.client_order_id.as_str()];
        self.one("looking up an identity", sql, key, |row| row.get(0))
    }

    fn identities(&self, from: u64, max: usize) -> Result<Vec<(u64, Identity)>, StoreError> {
        let sql = "SELECT seq, client, client_order_id FROM client_order
                   WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
        let rows = self.all("reading identities", sql, params![from, max], |row| {
            Ok((
                row.get(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
            ))
        })?;
        let read = |(seq, client, id): (u64, String, String)| {
            let no = || StoreError::corrupt(format!("the identity of record {seq} is not one"));
            let identity = Identity {
                client: Client::try_from(client).map_err(|_| no())?,
                client_order_id: ClientOrderId::try_from(id).map_err(|_| no())?,
            };
            Ok((seq, identity))
        };
        rows.into_iter().map(read).collect()
    }

    fn last_checkpoint(&self) -> Result<Option<RawCheckpoint>, StoreError> {
        let sql = "SELECT size, time_us, note FROM checkpoint ORDER BY size DESC LIMIT 1";
        self.one("reading the last checkpoint", sql, [], checkpoint_of)
    }

    fn checkpoints(&self, from_size: u64, max: usize) -> Result<Vec<RawCheckpoint>, StoreError> {
        let sql = "SELECT size, time_us, note FROM checkpoint
                   WHERE size >= ?1 ORDER BY size LIMIT ?2";
        self.all(
            "reading checkpoints",
            sql,
            params![from_size, max],
            checkpoint_of,
        )
    }

    fn snapshot(&self, fold: &str) -> Result<Option<Snapshot>, StoreError> {
        let sql = "SELECT version, size, root, bytes FROM snapshot WHERE fold = ?1";
        self.one("reading a snapshot", sql, [fold], |row| {
            Ok(Snapshot {
                fold: fold.to_owned(),
                version: row.get(0)?,
                size: row.get(1)?,
                root: row.get(2)?,
                bytes: row.get(3)?,
            })
        })
    }
}

impl SqliteStore {
    /// Opens the journal to write. The caller holds the data directory's lock.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], [`StoreError::Newer`], [`StoreError::Corrupt`] or
    /// [`StoreError::Unavailable`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        schema::check(&db)?;
        db.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA wal_autocheckpoint = 0;",
        )
        .map_err(while_doing("opening the journal"))?;
        schema::upgrade(&db)?;
        let reader = SqliteReader { db };
        reader.head()?;
        Ok(Self {
            files: OpenFiles::remember(path)?,
            reader,
            rows_since_look: 0,
        })
    }

    fn log_pages(&self) -> Result<i64, StoreError> {
        let sql = "PRAGMA wal_checkpoint(NOOP)";
        let pages = self
            .reader
            .one("asking for the log's size", sql, [], |row| {
                Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?)
            })?;
        Ok(pages.unwrap_or(0))
    }

    fn fold_log_in(&self, mode: &'static str) -> Result<(), StoreError> {
        self.reader
            .one("folding the log in", mode, [], |_| Ok(()))
            .map(drop)
    }
}

impl Nodes for SqliteStore {
    fn node(&self, level: u32, index: u64) -> Result<Hash, StoreError> {
        self.reader.node(level, index)
    }
}

impl JournalReader for SqliteStore {
    fn meta(&self) -> Result<Meta, StoreError> {
        self.reader.meta()
    }
    fn head(&self) -> Result<Head, StoreError> {
        self.reader.head()
    }
    fn records(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError> {
        self.reader.records(from, max)
    }
    fn headers(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError> {
        self.reader.headers(from, max)
    }
    fn identity(&self, identity: &Identity) -> Result<Option<u64>, StoreError> {
        self.reader.identity(identity)
    }
    fn identities(&self, from: u64, max: usize) -> Result<Vec<(u64, Identity)>, StoreError> {
        self.reader.identities(from, max)
    }
    fn last_checkpoint(&self) -> Result<Option<RawCheckpoint>, StoreError> {
        self.reader.last_checkpoint()
    }
    fn checkpoints(&self, from_size: u64, max: usize) -> Result<Vec<RawCheckpoint>, StoreError> {
        self.reader.checkpoints(from_size, max)
    }
    fn snapshot(&self, fold: &str) -> Result<Option<Snapshot>, StoreError> {
        self.reader.snapshot(fold)
    }
}

impl JournalStore for SqliteStore {
    fn identities_held(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM client_order";
        let held = self
            .reader
            .one("counting identities", sql, [], |row| row.get(0))?;
        Ok(held.unwrap_or(0))
    }

    fn check_files(&mut self) -> Result<u64, StoreError> {
        self.files.check()
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        let doing = "beginning a group";
        self.reader.run(doing, "BEGIN IMMEDIATE", []).map(drop)
    }

    fn claim(
        &mut self,
        identity: &Identity,
        seq: u64,
        expired_before: UnixMicros,
    ) -> Result<Claim, StoreError> {
        let (client, id) = (identity.client.as_str(), identity.client_order_id.as_str());
        let doing = "binding an identity";
        let insert = "INSERT INTO client_order (seq, client, client_order_id) VALUES (?1, ?2, ?3)
                      ON CONFLICT (client, client_order_id) DO NOTHING";
        if self.reader.run(doing, insert, params![seq, client, id])? == 1 {
            return Ok(Claim::Claimed);
        }
        let bound =
            "SELECT c.seq, r.time_us FROM client_order c LEFT JOIN record r ON r.seq = c.seq
                     WHERE c.client = ?1 AND c.client_order_id = ?2";
        let bound = self.reader.one(doing, bound, params![client, id], |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, Option<u64>>(1)?))
        })?;
        let (held_by, time) = bound.ok_or_else(|| StoreError::corrupt("the identities' index"))?;
        if time.is_none_or(|time| time >= expired_before.0) {
            return Ok(Claim::Taken(held_by));
        }
        let renew = "UPDATE client_order SET seq = ?1 WHERE seq = ?2";
        self.reader.run(doing, renew, params![seq, held_by])?;
        Ok(Claim::Renewed)
    }

    fn insert(&mut self, row: &RecordRow<'_>) -> Result<(), StoreError> {
        let doing = "writing a record";
        let record =
            "INSERT INTO record (seq, time_us, commitment, header) VALUES (?1, ?2, ?3, ?4)";
        let commitment = row.payload.map(|p| p.commitment.as_slice());
        let values = params![row.seq, row.time.0, commitment, row.header];
        self.reader.run(doing, record, values)?;
        if let Some(payload) = row.payload {
            let sql = "INSERT INTO payload (seq, class, salt, bytes) VALUES (?1, ?2, ?3, ?4)";
            let values = params![row.seq, row.class, payload.salt.as_slice(), payload.bytes];
            self.reader.run(doing, sql, values)?;
        }
        self.rows_since_look = self.rows_since_look.saturating_add(1);
        Ok(())
    }

    fn insert_nodes(&mut self, first_seq: u64, hashes: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT INTO nodes (first_seq, hashes) VALUES (?1, ?2)";
        let values = params![first_seq, hashes];
        self.reader.run("writing the tree", sql, values).map(drop)
    }

    fn insert_checkpoint(&mut self, checkpoint: &RawCheckpoint) -> Result<(), StoreError> {
        let sql = "INSERT INTO checkpoint (size, time_us, note) VALUES (?1, ?2, ?3)";
        let values = params![checkpoint.size, checkpoint.time.0, checkpoint.note];
        let doing = "writing a checkpoint";
        self.reader.run(doing, sql, values).map(drop)
    }

    fn put_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let sql = "INSERT INTO snapshot (fold, version, size, root, bytes)
                   VALUES (:fold, :version, :size, :root, :bytes)
                   ON CONFLICT (fold) DO UPDATE SET version = excluded.version,
                   size = excluded.size, root = excluded.root, bytes = excluded.bytes";
        let values = named_params! {
            ":fold": snapshot.fold, ":version": snapshot.version, ":size": snapshot.size,
            ":root": snapshot.root.as_slice(), ":bytes": snapshot.bytes,
        };
        self.reader.run("writing a snapshot", sql, values).map(drop)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.reader
            .run("committing a group", "COMMIT", [])
            .map(drop)
    }

    fn maintain(&mut self, idle: bool, expired_before: UnixMicros) -> Result<u64, StoreError> {
        if !idle && self.rows_since_look < ROWS_BETWEEN_LOOKS {
            return Ok(0);
        }
        self.rows_since_look = 0;
        let bound = if idle { LOG_PAGES_IDLE } else { LOG_PAGES_BUSY };
        if self.log_pages()? >= bound {
            self.fold_log_in("PRAGMA wal_checkpoint(PASSIVE)")?;
        }
        if !idle {
            return Ok(0);
        }
        let oldest = "SELECT r.time_us FROM client_order c JOIN record r ON r.seq = c.seq
                      ORDER BY c.seq LIMIT 1";
        let oldest = self.reader.one("removing identities", oldest, [], |row| {
            row.get::<_, u64>(0)
        })?;
        if oldest.is_none_or(|time| time >= expired_before.0) {
            return Ok(0);
        }
        let remove = "DELETE FROM client_order WHERE seq IN (
                          SELECT c.seq FROM (SELECT seq FROM client_order ORDER BY seq LIMIT ?1) c
                          JOIN record r ON r.seq = c.seq WHERE r.time_us < ?2)";
        let values = params![IDENTITIES_REMOVED_MAX, expired_before.0];
        let removed = self.reader.run("removing identities", remove, values)?;
        Ok(removed as u64)
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.fold_log_in("PRAGMA wal_checkpoint(TRUNCATE)")
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
