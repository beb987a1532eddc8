//! Who is there: a snapshot of all children, for `status`, metrics and the console.
//!
//! Read from any thread without asking the supervisor. Each row is true by itself; two rows need
//! not be from the same instant.

use super::events::{ActorName, Exit};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildState {
    /// It serves.
    Up,
    /// It is being made, or waits to be.
    Restarting,
    /// It is gone for good.
    Gone,
}

/// One row of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildStatus {
    /// The child's name.
    pub name: ActorName,
    /// Its present generation, or the next one while it waits; 1 is the first.
    pub generation: u64,
    /// What it does.
    pub state: ChildState,
    /// Times it served again after an exit.
    pub restarts: u64,
    /// How its last incarnation ended, if one did.
    pub last_exit: Option<Exit>,
}

/// Rows that the supervisor writes and everybody reads. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    board: Arc<Board>,
}

#[derive(Debug, Default)]
struct Board {
    rows: ArcSwap<Vec<Arc<Row>>>,
    abandoned_threads: AtomicUsize,
}

/// The row of one child, replaced as a whole.
pub(crate) type Row = ArcSwap<ChildStatus>;

impl Roster {
    /// All children, in the order in which they were registered; dismissed ones have left.
    #[must_use]
    pub fn read(&self) -> Vec<Arc<ChildStatus>> {
        let rows = self.board.rows.load();
        rows.iter().map(|row| row.load_full()).collect()
    }

    /// The child of that name.
    #[must_use]
    pub fn find(&self, name: &ActorName) -> Option<Arc<ChildStatus>> {
        let rows = self.board.rows.load();
        rows.iter()
            .map(|row| row.load_full())
            .find(|status| status.name == *name)
    }

    /// Threads that are stuck in a hung child right now, as of the last look.
    #[must_use]
    pub fn abandoned_threads(&self) -> usize {
        self.board.abandoned_threads.load(Ordering::Relaxed)
    }

    pub(crate) fn set_abandoned_threads(&self, count: usize) {
        self.board.abandoned_threads.store(count, Ordering::Relaxed);
    }

    pub(crate) fn enter(&self, status: ChildStatus) -> Arc<Row> {
        let row = Arc::new(ArcSwap::from_pointee(status));
        let mut rows = Vec::clone(&self.board.rows.load());
        rows.push(Arc::clone(&row));
        self.board.rows.store(Arc::new(rows));
        row
    }

    pub(crate) fn leave(&self, row: &Arc<Row>) {
        let mut rows = Vec::clone(&self.board.rows.load());
        rows.retain(|other| !Arc::ptr_eq(other, row));
        self.board.rows.store(Arc::new(rows));
    }
}

/// Replaces a row by a changed copy. Only the supervisor writes, so nothing is lost between.
pub(crate) fn update(row: &Row, change: impl FnOnce(&mut ChildStatus)) {
    let mut status = ChildStatus::clone(&row.load());
    change(&mut status);
    row.store(Arc::new(status));
}
