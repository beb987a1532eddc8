//! The venue's own record of what it accepted, read beside a running venue or after it.
//!
//! What stands there was committed before anyone was told of it, so it is the venue's truth at that
//! instant; what the desk has not committed yet is not in it. It writes nothing.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::rows::{signed, unsigned};
use super::store::{DATABASE_FILE, StoreError};

/// One line of the venue's log of what it accepted.
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
}

/// At most `limit` lines of the log above `after`, oldest first.
///
/// # Errors
///
/// [`StoreError`], when there is no database or it cannot be read.
pub fn accepted(directory: &Path, after: u64, limit: u32) -> Result<Vec<Accepted>, StoreError> {
    let connection = open(directory)?;
    let mut statement = connection.prepare(
        "SELECT n, number, account, client_order_id, at_ms FROM accepted
         WHERE n > ?1 ORDER BY n LIMIT ?2",
    )?;
    let rows = statement.query_map(params![signed(after), limit], |row| {
        Ok(Accepted {
            n: unsigned(row.get(0)?),
            number: unsigned(row.get(1)?),
            account: row.get(2)?,
            client_order_id: row.get(3)?,
            at_ms: unsigned(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn open(directory: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(
        directory.join(DATABASE_FILE),
        flags,
    )?)
}
