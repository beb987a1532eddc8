//! The section of one order connection: who is inside its write, whether it is dead, how many bytes
//! have left, and which order they belong to. It never looks at the bytes themselves.
//!
//! A section has exactly one [`Writer`], which cannot be cloned and hands out one [`Permit`] at a
//! time: so "inside" is a flag, not a counter, and costs one exchange per write.

use std::{fmt, os::fd::RawFd, sync::Arc, time::Duration};

use crate::{
    latch::Latch,
    socket,
    sync::{self, AtomicBool, AtomicU64, Mutex, Release, SeqCst, Wait},
    ticket::Ticket,
};

/// How long [`Section::kill`] waits for a write that another thread has open.
const KILL_WAIT: Duration = Duration::from_millis(10);

/// The identity of an order, as the sixteen bytes of its UUID.
pub type OrderTag = [u8; 16];

/// The order that a section carries at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tagged {
    /// Which order.
    pub order: OrderTag,
    /// The section's byte count when the order was begun.
    pub base: u64,
}

/// Why a permit was not given. Every refusal is for good: the section is dead afterwards, since a
/// library above may still hold the bytes and send them at the next occasion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The section was refused, killed or halted before.
    Dead,
    /// The latch is halted, or was since the ticket was handed out.
    Halted,
    /// The ticket's incarnation no longer holds its lane.
    Fenced,
    /// The last beat is older than allowed: this process stood still.
    BeatMissed,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dead => "write refused: the connection is dead",
            Self::Halted => "write refused: trading was halted",
            Self::Fenced => "write refused: a newer incarnation holds the lane",
            Self::BeatMissed => "write refused: the process stood still",
        })
    }
}

impl std::error::Error for Refused {}

/// The shared half of an order connection, listed in the latch while the connection lives. Aligned
/// so that two sections never share a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct Section {
    inside: AtomicBool,
    dead: AtomicBool,
    sent: AtomicU64,
    ticket: Ticket,
    order: Mutex<Option<Tagged>>,
    local_port: Option<u16>,
    /// `None` for a lane without a socket, and once the socket is about to close: the halting
    /// thread acts on a descriptor only under this lock, so never on a number that was reused.
    descriptor: Mutex<Option<RawFd>>,
}

impl Section {
    pub(crate) fn new(ticket: Ticket, descriptor: Option<RawFd>) -> Self {
        Self {
            inside: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            ticket,
            order: Mutex::new(None),
            local_port: descriptor.and_then(socket::local_port),
            descriptor: Mutex::new(descriptor),
        }
    }

    /// The ticket that the connection was opened with.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// The TCP port at this end, which names the connection to everyone who watches the network;
    /// `None` without a socket.
    pub fn local_port(&self) -> Option<u16> {
        self.local_port
    }

    /// Bytes that have left through it: accepted by the kernel and counted. It can lag behind the
    /// kernel by the one write that is open, and is final once [`Section::kill`] has given it.
    pub fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }

    /// Whether nothing can leave through it any more, except for a write that is open.
    pub fn is_dead(&self) -> bool {
        self.dead.load(SeqCst)
    }

    /// Says that the bytes from here on belong to `order`, and gives the byte count before it. To
    /// be called before the order is handed to the connection, so that a halt can name it.
    pub fn begin(&self, order: OrderTag) -> u64 {
        let base = self.sent();
        *sync::lock(&self.order) = Some(Tagged { order, base });
        base
    }

    /// Says that the order's outcome is known: a halt need not name it any more.
    pub fn end(&self) {
        *sync::lock(&self.order) = None;
    }

    /// The order that was begun and not ended.
    pub fn order(&self) -> Option<Tagged> {
        *sync::lock(&self.order)
    }

    /// Kills the section for good and gives its final byte count: nothing can follow it. `None`
    /// when a write of another thread is still open after 10 ms, so that the count is not known.
    ///
    /// The verdict on an order is read from this count, before its request is dropped: dropping
    /// makes a TLS connection send a farewell, which would count as bytes of the order.
    pub fn kill(&self) -> Option<u64> {
        self.die();
        self.is_empty_within(&mut Wait::new(KILL_WAIT))
            .then(|| self.sent())
    }

    /// Refuses every permit asked for from here on.
    pub(crate) fn die(&self) {
        self.dead.store(true, SeqCst);
        sync::model_fence();
    }

    /// Waits until no write is open; `false` when `wait` ended first.
    pub(crate) fn is_empty_within(&self, wait: &mut Wait) -> bool {
        while self.inside.load(SeqCst) {
            if !wait.once_more() {
                return false;
            }
        }
        true
    }

    /// Shuts the socket, if there is one, so that a writer that holds a permit cannot send later.
    pub(crate) fn force(&self) {
        if let Some(fd) = *sync::lock(&self.descriptor) {
            socket::shut(fd);
        }
    }

    /// Dissolves the connection if the kernel still holds bytes of it; whether it did.
    pub(crate) fn cut_unsent(&self) -> bool {
        let descriptor = sync::lock(&self.descriptor);
        let Some(fd) = *descriptor else { return false };
        if !socket::holds_unsent(fd) {
            return false;
        }
        if !socket::dissolve(fd) {
            socket::shut(fd);
        }
        true
    }
}

/// The writing half of an order connection. It must be dropped before the socket closes.
#[derive(Debug)]
pub struct Writer {
    latch: Arc<Latch>,
    section: Arc<Section>,
}

impl Writer {
    pub(crate) fn new(latch: Arc<Latch>, section: Arc<Section>) -> Self {
        Self { latch, section }
    }

    /// The shared half.
    pub fn section(&self) -> &Arc<Section> {
        &self.section
    }

    /// Asks for one write. While the permit lives, a halt waits for it: so take it when the socket
    /// is ready, make one non-blocking write, say how much it took, and let go. No lock, no await
    /// and no call of [`Latch::halt`] may lie in between.
    ///
    /// # Errors
    ///
    /// [`Refused`], and then for good: every later call gives an error as well.
    #[inline]
    pub fn permit(&mut self) -> Result<Permit<'_>, Refused> {
        // SAFETY-ORDER: announce, then look. The halt closes, then waits; see the crate's page.
        self.section.inside.swap(true, SeqCst);
        sync::model_fence();
        let permit = Permit {
            section: &self.section,
        };
        match self.look() {
            Ok(()) => Ok(permit),
            Err(refused) => {
                self.section.die();
                Err(refused)
            }
        }
    }

    #[inline]
    fn look(&self) -> Result<(), Refused> {
        if self.section.dead.load(SeqCst) {
            return Err(Refused::Dead);
        }
        if !self.latch.is_word_of(&self.section.ticket) {
            return Err(Refused::Halted);
        }
        if !self.section.ticket.incarnation.is_current() {
            return Err(Refused::Fenced);
        }
        self.latch.check_beat().map_err(|_| Refused::BeatMissed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.section.die();
        *sync::lock(&self.section.descriptor) = None;
    }
}

/// Leave to make one write. Dropped, it gives the section back, also when the write panicked.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once allows nothing"]
pub struct Permit<'a> {
    section: &'a Section,
}

impl Permit<'_> {
    /// Counts the bytes that the kernel took, and leaves.
    #[inline]
    pub fn wrote(self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.section.sent.fetch_add(bytes, SeqCst);
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.section.inside.store(false, Release);
    }
}
