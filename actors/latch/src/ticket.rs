//! Who may write, and since when: the ticket of an order or a connection is the latch's epoch at
//! admission plus the incarnation of whoever asked. It says nothing about what may be written.

use std::sync::Arc;

use crate::sync::{AtomicU64, SeqCst};

/// Counts the incarnations of one lane (an actor, a worker), so that an abandoned one can release
/// nothing when it wakes up. It belongs to whoever restarts them.
#[derive(Debug, Clone)]
pub struct Fence {
    current: Arc<AtomicU64>,
}

impl Default for Fence {
    fn default() -> Self {
        Self::new()
    }
}

impl Fence {
    /// A lane that nobody holds yet.
    pub fn new() -> Self {
        Self {
            current: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Hands the lane to a new incarnation. Every older one is refused from here on, except for a
    /// write that has its permit already: that one may still end.
    pub fn incarnate(&self) -> Incarnation {
        let generation = self.current.fetch_add(1, SeqCst).wrapping_add(1);
        Incarnation {
            current: Arc::clone(&self.current),
            generation,
        }
    }

    /// Takes the lane away from its holder without giving it to another.
    pub fn revoke(&self) {
        self.current.fetch_add(1, SeqCst);
    }
}

/// One holder of a lane, current until the [`Fence`] makes the next. Two compare equal when they
/// are the same incarnation of the same lane.
#[derive(Debug, Clone)]
pub struct Incarnation {
    current: Arc<AtomicU64>,
    generation: u64,
}

impl Incarnation {
    /// Whether the lane is still held by this incarnation.
    #[inline]
    pub fn is_current(&self) -> bool {
        self.current.load(SeqCst) == self.generation
    }

    /// Counts from 1 within one fence.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl PartialEq for Incarnation {
    fn eq(&self, other: &Self) -> bool {
        self.generation == other.generation && Arc::ptr_eq(&self.current, &other.current)
    }
}

impl Eq for Incarnation {}

/// The right to write for one epoch and one incarnation. Handed out by
/// [`Latch::ticket`](crate::Latch::ticket); dead for good after the next halt or the next
/// incarnation, a lift does not revive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The latch's word at admission, halted bit clear.
    pub(crate) word: u64,
    pub(crate) incarnation: Incarnation,
}

impl Ticket {
    /// The epoch in which it was handed out.
    pub fn epoch(&self) -> u64 {
        self.word >> 2
    }

    /// Who asked for it.
    pub fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }
}
