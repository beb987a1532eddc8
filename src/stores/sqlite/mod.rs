//! SQLite behind the ports: `journal.db` is the truth and has one writer; `views.db` is made from it
//! and may be deleted at any time.
//!
//! Rules of this module: `journal.db` is in WAL mode with `synchronous=FULL` and normal locking, so
//! that readers read beside the writer; statements have parameters, never text of others; every
//! error is one of [`StoreError`], by blame.

mod files;
pub mod follower;
pub mod journal;
mod schema;
#[cfg(test)]
pub(crate) mod testing;
pub mod views;

use flashguard_actors::ports::journal::StoreError;
use rusqlite::ErrorCode;

/// The journal's file name in the data directory.
pub const JOURNAL_FILE: &str = "journal.db";

/// Longest a statement waits for another connection's lock.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// Tells stored data that is not what was written from a disk that says no.
fn store_error(doing: &'static str, error: rusqlite::Error) -> StoreError {
    use rusqlite::Error as E;
    let corrupt = match &error {
        E::SqliteFailure(failure, text) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => true,
            // The file ends before the page that its own tables name.
            _ if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ => true,
            // "no such table", "no such column": the schema is not ours.
            ErrorCode::Unknown => text.as_deref().is_some_and(|t| t.starts_with("no such")),
            _ => false,
        },
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::InvalidColumnName(..)
        | E::Utf8Error(..) => true,
        E::SqlInputError { msg, .. } => msg.starts_with("no such"),
        _ => false,
    };
    if corrupt {
        return StoreError::corrupt(format!("{doing}: {error}"));
    }
    StoreError::Unavailable {
        doing,
        cause: Box::new(error),
    }
}

/// `map_err` for [`store_error`].
fn while_doing(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| store_error(doing, error)
}
