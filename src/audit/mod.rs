//! Reading the journal to prove it: verify, export, tail, search, key.
//!
//! Everything here opens the store read-only, takes no lock, and works beside a running service and
//! after a crash. Nothing is mended.

mod export;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use flashguard_actors::journal::checkpoint::NoteError;
use flashguard_actors::journal::search;
use flashguard_actors::ports::journal::{JournalReader, StoreError};
use flashguard_actors::ports::views::{EventFilter, EventView, PAGE_ITEMS_MAX, Page};

pub use export::{Exported, export};
pub use verify::{Difference, Expectation, Verified, verify};

use crate::stores::sqlite::JOURNAL_FILE;
use crate::stores::sqlite::journal::SqliteReader;

/// Told how many of how many records are done; the second is zero when it is not known.
pub type OnProgress<'a> = &'a mut dyn FnMut(u64, u64);

/// Why an audit did not come to a good end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Something is not what was written (exit code 6).
    #[error("{0}")]
    Different(Difference),
    /// The store cannot be read. Exit code 6 when it is corrupt or newer, else 1.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A key or a checkpoint given from outside is not one.
    #[error("what to verify against is no use: {0}")]
    Expectation(#[source] NoteError),
}

impl AuditError {
    /// Stored data is not what was written.
    pub fn is_integrity(&self) -> bool {
        matches!(
            self,
            Self::Different(_) | Self::Store(StoreError::Corrupt { .. } | StoreError::Newer { .. })
        )
    }
}

fn open(data_dir: &Path) -> Result<SqliteReader, StoreError> {
    SqliteReader::open(&data_dir.join(JOURNAL_FILE))
}

/// The C2SP verifier key of the journal in `data_dir`: what others verify its checkpoints with.
///
/// # Errors
///
/// [`AuditError::Store`] when the journal cannot be read.
pub fn key(data_dir: &Path) -> Result<String, AuditError> {
    Ok(open(data_dir)?.meta()?.verifier_key)
}

/// Events of the journal in `data_dir`, newest first, read from the journal itself. Keeps reading
/// until the page is full or nothing is left.
///
/// # Errors
///
/// [`AuditError::Store`] when the journal cannot be read.
pub fn search(data_dir: &Path, filter: &EventFilter) -> Result<Page<EventView>, AuditError> {
    let reader = open(data_dir)?;
    let size = reader.head()?.size;
    let limit = filter.limit.clamp(1, PAGE_ITEMS_MAX);
    let mut filter = EventFilter {
        limit,
        ..filter.clone()
    };
    let mut items = Vec::new();
    loop {
        filter.limit = limit - items.len();
        let page = search::events(&reader, size, &filter)?;
        items.extend(page.items);
        if page.next.is_none() || items.len() >= limit {
            return Ok(Page {
                items,
                next: page.next,
                as_of: size,
            });
        }
        filter.after = page.next;
    }
}

/// Follows the journal in `data_dir`.
pub struct Tail {
    reader: SqliteReader,
    next: u64,
}

impl Tail {
    /// Begins `last` records before the end.
    ///
    /// # Errors
    ///
    /// [`AuditError::Store`] when the journal cannot be read.
    pub fn open(data_dir: &Path, last: u64) -> Result<Self, AuditError> {
        let reader = open(data_dir)?;
        let next = reader.head()?.size.saturating_sub(last);
        Ok(Self { reader, next })
    }

    /// The records that were committed since, in order; none when there is nothing new. At most
    /// [`PAGE_ITEMS_MAX`] at once.
    ///
    /// # Errors
    ///
    /// [`AuditError::Store`] when the journal cannot be read.
    pub fn read_on(&mut self) -> Result<Vec<EventView>, AuditError> {
        let raw = self.reader.records(self.next, PAGE_ITEMS_MAX)?;
        let events = raw.iter().map(search::event);
        let events: Vec<_> = events.collect::<Result<_, _>>()?;
        self.next = events.last().map_or(self.next, |event| event.seq + 1);
        Ok(events)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
