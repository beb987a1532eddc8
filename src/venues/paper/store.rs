//! `paper.db`: the paper venue's own memory, in SQLite, with its own schema.
//!
//! The venue stands for a party outside, so what it answered must be true after any crash of ours:
//! each group of changes is committed with `synchronous=FULL` (one fsync for the group) before the
//! first answer of the group goes out. `NORMAL` would survive `kill -9` too, but a power cut would
//! then take back what an exchange had already confirmed, which no exchange does.
//! A failed commit ends this store: nothing is tried again on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use thiserror::Error;

use super::account::Position;
use super::auth::{Enrolment, Scope, StoredKey};
use super::exchange::{Change, Remembered};
use super::market::{find, symbol};
use super::order::{Fill, Order};
use super::rows::{
    FILL_COLUMNS, ORDER_COLUMNS, collect_fills, collect_orders, market, number, signed, unsigned,
};

/// Name of the database in the venue's directory.
pub const DATABASE_FILE: &str = "paper.db";

/// Name of the file that is locked while a venue runs on the directory.
const LOCK_FILE: &str = "paper.lock";

/// The schema, one step per version; a step is never changed once it was published.
const MIGRATIONS: [&str; 1] = ["
CREATE TABLE api_key (
    api_key TEXT PRIMARY KEY, account TEXT NOT NULL, secret TEXT NOT NULL, scopes TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE signer (
    account TEXT NOT NULL, address BLOB NOT NULL, PRIMARY KEY (account, address)
) STRICT, WITHOUT ROWID;
CREATE TABLE orders (
    number INTEGER PRIMARY KEY, account TEXT NOT NULL, client_order_id TEXT NOT NULL,
    market TEXT NOT NULL, side TEXT NOT NULL, kind TEXT NOT NULL, price TEXT NOT NULL,
    quantity TEXT NOT NULL, expires_at_ms INTEGER NOT NULL, signer BLOB NOT NULL,
    signature TEXT NOT NULL, digest BLOB NOT NULL, filled_lots INTEGER NOT NULL,
    status TEXT NOT NULL, accepted_at_ms INTEGER NOT NULL, closed_at_ms INTEGER, reason TEXT,
    UNIQUE (account, client_order_id)
) STRICT;
CREATE INDEX orders_live ON orders (number) WHERE closed_at_ms IS NULL;
CREATE TABLE accepted (
    n INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL REFERENCES orders (number),
    account TEXT NOT NULL, client_order_id TEXT NOT NULL, at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE fill (
    id INTEGER PRIMARY KEY, account TEXT NOT NULL, number INTEGER NOT NULL,
    client_order_id TEXT NOT NULL, market TEXT NOT NULL, side TEXT NOT NULL,
    ticks INTEGER NOT NULL, lots INTEGER NOT NULL, fee_units TEXT NOT NULL,
    liquidity TEXT NOT NULL, at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX fill_of_account ON fill (account, id);
CREATE TABLE position (
    account TEXT NOT NULL, market TEXT NOT NULL, lots INTEGER NOT NULL, cash_units TEXT NOT NULL,
    fee_units TEXT NOT NULL, PRIMARY KEY (account, market)
) STRICT, WITHOUT ROWID;
CREATE TABLE reference (market TEXT PRIMARY KEY, nano INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"];

/// Why the venue's memory cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another venue runs on this directory.
    #[error("another paper venue uses this directory")]
    InUse,
    /// The database was written by a later version of this program.
    #[error("paper.db has schema version {found}, this program knows up to {known}")]
    Newer {
        /// Version found.
        found: i64,
        /// Latest version known.
        known: i64,
    },
    /// A key of that name exists with another secret or for another account.
    #[error("the venue knows this API key with another secret or account")]
    EnrolmentConflict,
    /// A stored value is not what was written.
    #[error("paper.db holds a value in `{column}` that was never written")]
    Corrupt {
        /// Which column.
        column: &'static str,
    },
    /// The directory or the lock file cannot be used.
    #[error("the paper venue's directory cannot be used")]
    Directory(#[source] std::io::Error),
    /// SQLite failed.
    #[error("paper.db cannot be read or written")]
    Sqlite(#[from] rusqlite::Error),
}

/// The open database. Lives on one thread.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    in_transaction: bool,
    _lock: File,
}

impl Store {
    /// Opens the database in a directory, made if needed (0700; the database 0600), and brings its
    /// schema up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the directory is in use or the database cannot be opened or is newer.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let lock = lock(directory)?;
        let path = directory.join(DATABASE_FILE);
        // Made here first, so that SQLite gives its side files the same mode.
        private(&path).map_err(StoreError::Directory)?;
        let mut connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        migrate(&mut connection)?;
        Ok(Self {
            connection,
            in_transaction: false,
            _lock: lock,
        })
    }

    /// Lets a credential in. The same again changes nothing but adds signers that are new.
    ///
    /// # Errors
    ///
    /// [`StoreError::EnrolmentConflict`] when the key is known with another secret or account.
    pub fn enrol(&mut self, enrolment: &Enrolment) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let known: Option<(String, String)> = transaction
            .query_row(
                "SELECT account, secret FROM api_key WHERE api_key = ?1",
                params![enrolment.api_key],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        if known.is_some_and(|(account, secret)| {
            account != enrolment.account || secret != *enrolment.secret
        }) {
            return Err(StoreError::EnrolmentConflict);
        }
        transaction.execute(
            "INSERT INTO api_key (api_key, account, secret, scopes) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (api_key) DO UPDATE SET scopes = excluded.scopes",
            params![
                enrolment.api_key,
                enrolment.account,
                *enrolment.secret,
                Scope::join(&enrolment.scopes)
            ],
        )?;
        for signer in &enrolment.signers {
            transaction.execute(
                "INSERT OR IGNORE INTO signer (account, address) VALUES (?1, ?2)",
                params![enrolment.account, signer],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// Every key the venue knows, with the signers of its account.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the rows cannot be read.
    pub fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let mut signers = self
            .connection
            .prepare("SELECT address FROM signer WHERE account = ?1")?;
        let mut keys = self
            .connection
            .prepare("SELECT api_key, account, secret, scopes FROM api_key")?;
        let rows = keys.query_map([], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get(2)?,
                row.get::<_, String>(3)?,
            ))
        })?;
        let mut found = Vec::new();
        for row in rows {
            let (api_key, account, secret, scopes): (_, String, String, _) = row?;
            let of_account =
                signers.query_map(params![account], |row| row.get::<_, [u8; 20]>(0))?;
            found.push(StoredKey {
                api_key,
                account: account.as_str().into(),
                secret: secret.into(),
                scopes: Scope::split(&scopes).ok_or(StoreError::Corrupt { column: "scopes" })?,
                signers: of_account.collect::<Result<_, _>>()?,
            });
        }
        Ok(found)
    }

    /// Everything that the exchange keeps in memory.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the rows cannot be read.
    pub fn remembered(&self) -> Result<Remembered, StoreError> {
        let last = |sql| {
            self.connection
                .query_row(sql, [], |row| row.get(0).map(unsigned))
        };
        let mut live = self.connection.prepare(&format!(
            "SELECT {ORDER_COLUMNS} FROM orders WHERE closed_at_ms IS NULL ORDER BY number"
        ))?;
        let mut references = self
            .connection
            .prepare("SELECT market, nano FROM reference")?;
        let references = references.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, unsigned(row.get(1)?)))
        })?;
        let mut by_market = std::collections::BTreeMap::new();
        for row in references {
            let (market, nano) = row?;
            by_market.extend(find(&market).map(|(index, _)| (index, nano)));
        }
        Ok(Remembered {
            live: collect_orders(live.query([])?)?,
            positions: self.positions()?,
            last_order: last("SELECT COALESCE(MAX(number), 0) FROM orders")?,
            last_fill: last("SELECT COALESCE(MAX(id), 0) FROM fill")?,
            references: by_market,
        })
    }

    /// Writes changes into the transaction of the present group, begun here if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the store must not be used after it.
    pub fn write(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        if !self.in_transaction {
            self.connection
                .prepare_cached("BEGIN IMMEDIATE")?
                .execute([])?;
            self.in_transaction = true;
        }
        changes.iter().try_for_each(|change| self.write_one(change))
    }

    /// Commits the present group, if anything was written. After it nothing of the group can be lost.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the store must not be used after it.
    pub fn commit(
        &mut self,
        references: impl Iterator<Item = (usize, u64)>,
    ) -> Result<(), StoreError> {
        if !self.in_transaction {
            return Ok(());
        }
        for (market, nano) in references {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO reference (market, nano) VALUES (?1, ?2)")?
                .execute(params![symbol(market), signed(nano)])?;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.in_transaction = false;
        Ok(())
    }

    /// An order by its sender's id.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the row cannot be read.
    pub fn order_by_client_id(&self, account: &str, id: &str) -> Result<Option<Order>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {ORDER_COLUMNS} FROM orders WHERE account = ?1 AND client_order_id = ?2"
        ))?;
        Ok(collect_orders(statement.query(params![account, id])?)?.pop())
    }

    /// An order by the venue's number.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the row cannot be read.
    pub fn order(&self, account: &str, number: u64) -> Result<Option<Order>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {ORDER_COLUMNS} FROM orders WHERE account = ?1 AND number = ?2"
        ))?;
        Ok(collect_orders(statement.query(params![account, signed(number)])?)?.pop())
    }

    /// Orders in every state with a number above `after`, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the rows cannot be read.
    pub fn orders(&self, account: &str, after: u64, limit: u32) -> Result<Vec<Order>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {ORDER_COLUMNS} FROM orders WHERE account = ?1 AND number > ?2
             ORDER BY number LIMIT ?3"
        ))?;
        collect_orders(statement.query(params![account, signed(after), limit])?)
    }

    /// Fills with an id above `since`, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the rows cannot be read.
    pub fn fills(&self, account: &str, since: u64, limit: u32) -> Result<Vec<Fill>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {FILL_COLUMNS} FROM fill WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        ))?;
        collect_fills(statement.query(params![account, signed(since), limit])?)
    }

    fn positions(&self) -> Result<Vec<(Arc<str>, usize, Position)>, StoreError> {
        let mut statement = self
            .connection
            .prepare("SELECT account, market, lots, cash_units, fee_units FROM position")?;
        let mut rows = statement.query([])?;
        let mut positions = Vec::new();
        while let Some(row) = rows.next()? {
            let position = Position {
                lots: row.get(2)?,
                cash_units: number(row, 3, "cash_units")?,
                fee_units: number(row, 4, "fee_units")?,
            };
            positions.push((row.get::<_, String>(0)?.into(), market(row, 1)?, position));
        }
        Ok(positions)
    }

    fn write_one(&self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Order(order) => self.write_order(order),
            Change::Accepted(order) => {
                self.connection
                    .prepare_cached(
                        "INSERT INTO accepted (number, account, client_order_id, at_ms)
                         VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![
                        signed(order.number),
                        order.account,
                        order.terms.client_order_id,
                        signed(order.accepted_at_ms)
                    ])?;
                Ok(())
            }
            Change::Fill(fill) => self.write_fill(fill),
            Change::Position {
                account,
                market,
                position,
            } => {
                self.connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO position
                         (account, market, lots, cash_units, fee_units) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![
                        account,
                        symbol(*market),
                        position.lots,
                        position.cash_units.to_string(),
                        position.fee_units.to_string()
                    ])?;
                Ok(())
            }
        }
    }

    fn write_order(&self, order: &Order) -> Result<(), StoreError> {
        let terms = &order.terms;
        self.connection
            .prepare_cached(&format!(
                "INSERT INTO orders ({ORDER_COLUMNS}) VALUES
                 (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
                 ON CONFLICT (number) DO UPDATE SET filled_lots = excluded.filled_lots,
                 status = excluded.status, closed_at_ms = excluded.closed_at_ms,
                 reason = excluded.reason"
            ))?
            .execute(params![
                signed(order.number),
                order.account,
                terms.client_order_id,
                terms.market,
                terms.side.word(),
                terms.kind.word(),
                terms.price,
                terms.quantity,
                signed(terms.expires_at_ms),
                terms.signer,
                terms.signature,
                terms.digest,
                signed(order.filled_lots),
                order.status.word(),
                signed(order.accepted_at_ms),
                order.closed_at_ms.map(signed),
                order.reason
            ])?;
        Ok(())
    }

    fn write_fill(&self, fill: &Fill) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(&format!(
                "INSERT INTO fill ({FILL_COLUMNS})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
            ))?
            .execute(params![
                signed(fill.id),
                fill.account,
                signed(fill.order_number),
                fill.client_order_id,
                symbol(fill.market),
                fill.side.word(),
                signed(fill.ticks),
                signed(fill.lots),
                fill.fee_units.to_string(),
                fill.liquidity.word(),
                signed(fill.at_ms)
            ])?;
        Ok(())
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, step) in (1_i64..)
        .zip(MIGRATIONS)
        .filter(|(version, _)| *version > found)
    {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Takes the directory for one venue. The lock ends with the process, however it ends.
fn lock(directory: &Path) -> Result<File, StoreError> {
    std::fs::create_dir_all(directory).map_err(StoreError::Directory)?;
    let path: PathBuf = directory.join(LOCK_FILE);
    let file = private(&path).map_err(StoreError::Directory)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(StoreError::Directory(error)),
    }
}

/// Opens or makes a file that only its owner may read.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}
