//! What the venue itself remembers: the paper venue's own database, read beside the running venue.
//!
//! It is written by the venue alone, before it answers, so it tells what really arrived there.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

/// The record of one venue.
pub struct Venue {
    file: PathBuf,
}

impl Venue {
    /// The record that lies in a directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            file: directory.join("paper.db"),
        }
    }

    /// Our order ids of all orders that the venue accepted, in that order, one line for each
    /// acceptance: an order accepted twice stands there twice.
    pub fn accepted(&self) -> Vec<String> {
        self.column("SELECT client_order_id FROM accepted ORDER BY n")
    }

    /// Our order ids of the orders that rest there.
    pub fn open(&self) -> Vec<String> {
        self.column("SELECT client_order_id FROM orders WHERE closed_at_ms IS NULL ORDER BY number")
    }

    fn column(&self, query: &str) -> Vec<String> {
        let connection =
            Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        connection.busy_timeout(super::until::UNTIL_MAX).unwrap();
        let mut statement = connection.prepare(query).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}
