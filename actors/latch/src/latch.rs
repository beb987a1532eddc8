//! The latch: one word with the epoch and whether it is halted, the list of the sections, and the
//! halt that closes the first and empties the second. Why it was halted and who may lift it is
//! decided elsewhere.

use std::{
    fmt,
    os::fd::RawFd,
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    beat::{Beat, Missed},
    section::{OrderTag, Section, Writer},
    sync::{self, AtomicU64, Mutex, SeqCst, Wait},
    ticket::{Incarnation, Ticket},
};

/// Set while halted.
const HALTED: u64 = 1;
/// Set between the two steps of a lift; every halt clears it.
const ARMED: u64 = 2;

/// The list is not searched for ended connections before it is this long.
const SECTIONS_BEFORE_PRUNING: usize = 64;

/// A point in the latch's life. The epoch counts the halts: each halt from another state raises it
/// by one, and a lift leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// How often it has been halted.
    pub epoch: u64,
    /// Whether it is halted now.
    pub halted: bool,
}

impl State {
    /// Open in this epoch.
    pub fn open(epoch: u64) -> Self {
        Self {
            epoch,
            halted: false,
        }
    }

    /// Halted by the halt that began this epoch.
    pub fn halted(epoch: u64) -> Self {
        Self {
            epoch,
            halted: true,
        }
    }

    fn of_word(word: u64) -> Self {
        Self {
            epoch: word >> 2,
            halted: word & HALTED != 0,
        }
    }

    fn word(self) -> u64 {
        self.epoch << 2 | u64::from(self.halted)
    }
}

/// No ticket is handed out while the latch is halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halted {
    /// The epoch that the halt began.
    pub epoch: u64,
}

impl fmt::Display for Halted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trading is halted (epoch {})", self.epoch)
    }
}

impl std::error::Error for Halted {}

/// Why an order is in doubt when the halt takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Its write was still open at the limit, and its socket was shut. In doubt whatever the byte
    /// count says: the kernel may have taken bytes that the thread had not counted yet.
    Forced,
    /// The kernel still held bytes of its connection, which were cut.
    CutUnsent,
    /// Bytes of it had left, and no answer was known. Its connection stays open to read one.
    Unanswered,
}

/// An order whose fate was not known when the halt took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InDoubt {
    /// Which order.
    pub order: OrderTag,
    /// Bytes of it that had left, as far as they were counted.
    pub left_bytes: u64,
    /// What makes it doubtful.
    pub because: Doubt,
}

/// What a halt did. A report of one moment: what becomes known later does not change it.
#[derive(Debug)]
pub struct Stopped {
    /// Whether this call was the one that halted; of many at once, exactly one is.
    pub first: bool,
    /// The epoch that the halt began.
    pub epoch: u64,
    /// All sections that were looked at: those of connections that were open and from before.
    pub sections: Vec<Arc<Section>>,
    /// How long the halt waited for open writes and cut connections, in microseconds.
    pub waited_us: u64,
    /// When the stop took effect, in microseconds of the beat's clock.
    pub effective_boot_us: u64,
    /// Sections whose write was still open at the limit; their sockets were shut.
    pub forced: Vec<Arc<Section>>,
    /// Sections of which the kernel still held bytes; their connections were dissolved.
    pub cut_unsent: Vec<Arc<Section>>,
    /// The orders in doubt at this moment, each once.
    pub in_doubt: Vec<InDoubt>,
}

impl Stopped {
    /// Whether some write did not end within the limit.
    pub fn is_forced(&self) -> bool {
        !self.forced.is_empty()
    }
}

/// The kill switch. Shared by everyone who trades and everyone who may stop.
#[derive(Debug)]
pub struct Latch {
    /// `epoch << 2 | armed << 1 | halted`.
    word: AtomicU64,
    sections: Mutex<Sections>,
    beat: Beat,
}

#[derive(Debug)]
struct Sections {
    list: Vec<Weak<Section>>,
    /// The length at which ended connections are looked for next.
    prune_at: usize,
}

impl Latch {
    /// A latch in the given state, as the journal and the sentinel have it (halted when they do not
    /// know). The epoch is below 2⁶².
    pub fn new(state: State, beat: Beat) -> Self {
        Self {
            word: AtomicU64::new(state.word()),
            sections: Mutex::new(Sections {
                list: Vec::new(),
                prune_at: SECTIONS_BEFORE_PRUNING,
            }),
            beat,
        }
    }

    /// The state at this moment; it may have changed when the caller looks at it.
    pub fn state(&self) -> State {
        State::of_word(self.word.load(SeqCst))
    }

    /// Admits an order or a connection of `lane` in the present epoch.
    ///
    /// # Errors
    ///
    /// [`Halted`] while the latch is halted.
    pub fn ticket(&self, lane: &Incarnation) -> Result<Ticket, Halted> {
        let word = self.word.load(SeqCst);
        let state = State::of_word(word);
        if state.halted {
            return Err(Halted { epoch: state.epoch });
        }
        Ok(Ticket {
            word,
            incarnation: lane.clone(),
        })
    }

    /// Whether the ticket's epoch still runs and its incarnation still holds its lane.
    pub fn is_current(&self, ticket: &Ticket) -> bool {
        self.is_word_of(ticket) && ticket.incarnation.is_current()
    }

    /// Opens a section for a connection, and gives its only writer. `descriptor` is the socket to
    /// cut, which must stay open until the writer is dropped; `None` for a lane without a socket,
    /// where a halt can only refuse.
    pub fn register(self: &Arc<Self>, ticket: Ticket, descriptor: Option<RawFd>) -> Writer {
        let section = Arc::new(Section::new(ticket, descriptor));
        sync::lock(&self.sections).add(&section);
        Writer::new(Arc::clone(self), section)
    }

    /// Halts. When it returns, every write that had its permit has ended or its socket was shut
    /// (those still open after `limit`), no further one is permitted, and connections of which the
    /// kernel held unsent bytes are dissolved. All others stay open, so that answers can be read.
    ///
    /// Idempotent and callable from any thread, many at once: each call makes the promise itself
    /// and waits for all sections, though only one of them raises the epoch.
    pub fn halt(&self, limit: Duration) -> Stopped {
        // SAFETY-ORDER: close, then take the list, then wait. A section that is not in the list yet
        // has not asked for its first permit, and will read the closed word.
        let (first, epoch) = self.close();
        let mut wait = Wait::new(limit);
        let sections = sync::lock(&self.sections).opened_before(epoch);
        for section in &sections {
            section.die();
        }
        let mut stopped = Stopped {
            first,
            epoch,
            sections: Vec::with_capacity(sections.len()),
            waited_us: 0,
            effective_boot_us: 0,
            forced: Vec::new(),
            cut_unsent: Vec::new(),
            in_doubt: Vec::new(),
        };
        for section in sections {
            stopped.empty(section, &mut wait);
        }
        stopped.waited_us = wait.elapsed_us();
        stopped.effective_boot_us = self.beat.now_us();
        stopped
    }

    /// First step of a lift: from here on, any further halt call makes [`lift_armed`](Self::lift_armed)
    /// fail. `false`, and nothing done, when the latch is not halted in this epoch. Whoever lifts
    /// makes the lift durable between the two steps, so that a halt acknowledged meanwhile stays.
    pub fn arm_lift(&self, epoch: u64) -> bool {
        let halted = State::halted(epoch).word();
        let armed = halted | ARMED;
        self.word
            .compare_exchange(halted, armed, SeqCst, SeqCst)
            .is_ok()
    }

    /// Second step: ends the halt of exactly this epoch. `false`, and nothing done, when it was not
    /// armed, or when anybody has called [`halt`](Self::halt) since. Tickets and connections from
    /// before the halt stay dead.
    ///
    /// The caller has made the lift durable before, and checked who asks.
    pub fn lift_armed(&self, epoch: u64) -> bool {
        let armed = State::halted(epoch).word() | ARMED;
        let open = State::open(epoch).word();
        self.word
            .compare_exchange(armed, open, SeqCst, SeqCst)
            .is_ok()
    }

    /// Both steps of a lift at once, with nothing made durable between them.
    pub fn lift(&self, epoch: u64) -> bool {
        self.arm_lift(epoch) && self.lift_armed(epoch)
    }

    /// Says that the process is alive; for the one watching thread, several times per limit.
    ///
    /// # Errors
    ///
    /// [`Missed`] when the beat before is older than the limit and the latch is not halted. The gap
    /// then stays open and every permit is refused until the caller has halted.
    pub fn beat(&self) -> Result<(), Missed> {
        self.beat.beat(self.state().halted)
    }

    #[inline]
    pub(crate) fn is_word_of(&self, ticket: &Ticket) -> bool {
        self.word.load(SeqCst) == ticket.word
    }

    #[inline]
    pub(crate) fn check_beat(&self) -> Result<(), Missed> {
        self.beat.check()
    }

    /// Sets the halted bit, and raises the epoch if it was clear; takes back a lift half made.
    /// Whether this call was the one that halted, and the epoch.
    fn close(&self) -> (bool, u64) {
        let mut word = self.word.load(SeqCst);
        loop {
            let state = State::of_word(word);
            if word == state.word() && state.halted {
                sync::model_fence();
                return (false, state.epoch);
            }
            let closed = State::halted(state.epoch.wrapping_add(u64::from(!state.halted)));
            match self
                .word
                .compare_exchange(word, closed.word(), SeqCst, SeqCst)
            {
                Ok(_) => {
                    sync::model_fence();
                    return (!state.halted, closed.epoch);
                }
                Err(now) => word = now,
            }
        }
    }
}

impl Stopped {
    /// Waits for one section and records what had to be done about it.
    fn empty(&mut self, section: Arc<Section>, wait: &mut Wait) {
        let forced = !section.is_empty_within(wait);
        if forced {
            section.force();
        }
        let cut = section.cut_unsent();
        if let Some(tagged) = section.order() {
            let left_bytes = section.sent().saturating_sub(tagged.base);
            let because = match (forced, cut) {
                (true, _) => Some(Doubt::Forced),
                (false, true) => Some(Doubt::CutUnsent),
                (false, false) => (left_bytes > 0).then_some(Doubt::Unanswered),
            };
            let order = tagged.order;
            self.in_doubt.extend(because.map(|because| InDoubt {
                order,
                left_bytes,
                because,
            }));
        }
        if cut {
            self.cut_unsent.push(Arc::clone(&section));
        }
        if forced {
            self.forced.push(Arc::clone(&section));
        }
        self.sections.push(section);
    }
}

impl Sections {
    fn add(&mut self, section: &Arc<Section>) {
        if self.list.len() >= self.prune_at {
            self.list.retain(|listed| listed.strong_count() > 0);
            self.prune_at = SECTIONS_BEFORE_PRUNING.max(self.list.len().saturating_mul(2));
        }
        self.list.push(Arc::downgrade(section));
    }

    /// The live sections that the halt which began `epoch` must empty. Those opened since it was
    /// lifted are none of its business.
    fn opened_before(&mut self, epoch: u64) -> Vec<Arc<Section>> {
        self.list.retain(|listed| listed.strong_count() > 0);
        let live = self.list.iter().filter_map(Weak::upgrade);
        live.filter(|section| section.ticket().epoch() < epoch)
            .collect()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
