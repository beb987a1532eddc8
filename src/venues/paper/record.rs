//! The venue's own record of what it accepted, read beside a running venue or after it.
//!
//! What stands there was committed before anyone was told of it, so it is the venue's truth at that
//! instant; what the desk has not committed yet is not in it. It writes nothing.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::order::{Fill, Order};
use super::rows::{FILL_COLUMNS, ORDER_COLUMNS, collect_fills, collect_orders, signed, unsigned};
use super::store::{DATABASE_FILE, StoreError};

/// One line of the venue's log of what it accepted, with the terms of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Counts from 1 without gaps.
    pub n: u64,
    /// The venue's number of the order.
    pub number: u64,
    /// Whose.
    pub account: String,
    /// The sender's id.
    pub client_order_id: String,
    /// When, Unix ms.
    pub at_ms: u64,
    /// The market's symbol.
    pub market: String,
    /// `buy` or `sell`.
    pub side: String,
    /// In USDC, canonical decimal text.
    pub price: String,
    /// In the base currency, canonical decimal text.
    pub quantity: String,
    /// Latest instant at which it could be accepted, Unix ms.
    pub expires_at_ms: u64,
    /// The address that signed it.
    pub signer: [u8; 20],
}

/// At most `limit` lines of the log above `after`, oldest first.
///
/// # Errors
///
/// [`StoreError`], when there is no database or it cannot be read.
pub fn accepted(directory: &Path, after: u64, limit: u32) -> Result<Vec<Accepted>, StoreError> {
    let connection = open(directory)?;
    let mut statement = connection.prepare(
        "SELECT n, number, accepted.account, accepted.client_order_id, at_ms, market, side, price,
                quantity, expires_at_ms, signer
         FROM accepted JOIN orders USING (number) WHERE n > ?1 ORDER BY n LIMIT ?2",
    )?;
    let rows = statement.query_map(params![signed(after), limit], |row| {
        Ok(Accepted {
            n: unsigned(row.get(0)?),
            number: unsigned(row.get(1)?),
            account: row.get(2)?,
            client_order_id: row.get(3)?,
            at_ms: unsigned(row.get(4)?),
            market: row.get(5)?,
            side: row.get(6)?,
            price: row.get(7)?,
            quantity: row.get(8)?,
            expires_at_ms: unsigned(row.get(9)?),
            signer: row.get(10)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// At most `limit` orders of every account and in every state with a number above `after`, oldest
/// first.
///
/// # Errors
///
/// [`StoreError`], when there is no database or it cannot be read.
pub fn orders(directory: &Path, after: u64, limit: u32) -> Result<Vec<Order>, StoreError> {
    let connection = open(directory)?;
    let mut statement = connection.prepare(&format!(
        "SELECT {ORDER_COLUMNS} FROM orders WHERE number > ?1 ORDER BY number LIMIT ?2"
    ))?;
    collect_orders(statement.query(params![signed(after), limit])?)
}

/// At most `limit` fills of every account with an id above `after`, oldest first.
///
/// # Errors
///
/// [`StoreError`], when there is no database or it cannot be read.
pub fn fills(directory: &Path, after: u64, limit: u32) -> Result<Vec<Fill>, StoreError> {
    let connection = open(directory)?;
    let mut statement = connection.prepare(&format!(
        "SELECT {FILL_COLUMNS} FROM fill WHERE id > ?1 ORDER BY id LIMIT ?2"
    ))?;
    collect_fills(statement.query(params![signed(after), limit])?)
}

fn open(directory: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(
        directory.join(DATABASE_FILE),
        flags,
    )?)
}
