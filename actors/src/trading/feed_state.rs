//! What is known of the venue's feed: whether it tells everything, and what to do when it does not.
//!
//! Pure. *Away* (not connected) → opened → *re-reading* → *live*; a gap in its numbers, or a difference
//! that it never told, makes it re-reading again. What may have been missed is a doubt; a re-read by
//! REST that was *asked for after* the doubt arose ends it. Books and fills are ended separately, since
//! a halt pauses books only. While the feed is not live the venue is polled as if there were none.

use std::collections::{BTreeMap, HashMap};

use crate::domain::clock::UnixMicros;
use crate::domain::market::Symbol;
use crate::ports::venue::{Quote, Trade};

/// How often books are read while the feed is not live, in milliseconds.
pub const BOOKS_EVERY_MS: u64 = 250;
/// How often books are compared while it is, at most. A quiet market sends nothing, and this is what
/// keeps its reference fresh.
pub const BOOKS_CHECK_EVERY_MS: u64 = 1_000;
/// How often fills are read while the feed is not live.
pub const FILLS_EVERY_MS: u64 = 100;
/// How often fills are compared while it is.
pub const FILLS_CHECK_EVERY_MS: u64 = 2_000;
/// How long the feed may leave untold what the re-read showed.
pub const UNTOLD_MAX_MS: u64 = 2_000;
/// Fills that may wait for the feed to tell them too.
const UNTOLD_FILLS_MAX: usize = 4_096;
/// How much later than the quickest message of its connection one may arrive.
pub const LATE_MAX_MS: u64 = 5_000;
/// First and longest wait before the feed is opened again.
const REOPEN_FIRST_MS: u64 = 250;
/// See [`REOPEN_FIRST_MS`].
const REOPEN_LONGEST_MS: u64 = 15_000;
/// Failures after which the wait grows no more.
const FAILURES_COUNTED_MAX: u32 = 16;

/// How the feed is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The venue has none: it is polled.
    None,
    /// Not connected: the venue is polled.
    Away,
    /// Connected; what it may have missed is being read.
    ReRead,
    /// It tells everything.
    Live,
}

impl Phase {
    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Away => "away",
            Self::ReRead => "re_read",
            Self::Live => "live",
        }
    }
}

/// What to make of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// To be taken in; it was true at this time since boot.
    Take {
        /// When it arrived, less what it was late against the quickest of its connection.
        as_of_boot_ms: u64,
        /// So many messages before it are missing.
        missing: u64,
    },
    /// A doubled one, or one that comes after its gap was noticed: the re-read covers it.
    Old,
    /// Much later than others: the connection is not to be trusted.
    Late,
}

/// What was known when a re-read was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    doubts: u64,
    live: bool,
    books_told: u64,
}

/// The state.
#[derive(Debug)]
pub struct FeedState {
    has_feed: bool,
    connection: Option<Connection>,
    /// Grows whenever something may have been missed.
    doubts: u64,
    books_read: u64,
    fills_read: u64,
    failures: u32,
    gaps: u64,
    connections: u64,
    changed_boot_ms: u64,
    trades: BTreeMap<Symbol, (Trade, UnixMicros)>,
}

/// One connection.
#[derive(Debug, Default)]
struct Connection {
    heard: u64,
    /// Arrival (since boot) minus the message's own time (Unix), of the quickest: a number that means
    /// nothing but against another.
    least_delay_ms: Option<i128>,
    books_told: u64,
    quotes: BTreeMap<Symbol, Quote>,
    /// Markets whose book is another one, and since when that is known.
    differs: BTreeMap<Symbol, u64>,
    /// Fills that the re-read counted first, and when.
    untold: HashMap<String, u64>,
}

impl FeedState {
    /// Not connected, at a venue that has a feed or not.
    pub fn new(has_feed: bool) -> Self {
        Self {
            has_feed,
            connection: None,
            doubts: 0,
            books_read: 0,
            fills_read: 0,
            failures: 0,
            gaps: 0,
            connections: 0,
            changed_boot_ms: 0,
            trades: BTreeMap::new(),
        }
    }

    /// How it is. Books count where they are `wanted`: a halt pauses them.
    pub fn phase(&self, books_wanted: bool) -> Phase {
        let live = self.fills_live() && (self.books_live() || !books_wanted);
        match (self.has_feed, live, self.connection.is_some()) {
            (false, ..) => Phase::None,
            (true, true, _) => Phase::Live,
            (true, false, true) => Phase::ReRead,
            (true, false, false) => Phase::Away,
        }
    }

    /// Gaps and connections so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.gaps, self.connections)
    }

    /// When it was opened or lost for the last time, in milliseconds since boot.
    pub fn changed_boot_ms(&self) -> u64 {
        self.changed_boot_ms
    }

    /// Whether every fill up to now was counted or is on its way through the feed.
    pub fn fills_live(&self) -> bool {
        self.connection.is_some() && self.fills_read == self.doubts
    }

    /// As [`Self::fills_live`], of books.
    pub fn books_live(&self) -> bool {
        self.connection.is_some() && self.books_read == self.doubts
    }

    /// How long after a reading of books the next one is due. `reference_max_age_ms` is the gate's: a
    /// quiet market's reference must not grow older than that.
    pub fn books_due_after_ms(&self, reference_max_age_ms: u64) -> u64 {
        if self.books_live() {
            (reference_max_age_ms / 2).clamp(BOOKS_EVERY_MS, BOOKS_CHECK_EVERY_MS)
        } else {
            BOOKS_EVERY_MS
        }
    }

    /// How long after a reading of fills the next one is due.
    pub fn fills_due_after_ms(&self) -> u64 {
        if self.fills_live() {
            FILLS_CHECK_EVERY_MS
        } else {
            FILLS_EVERY_MS
        }
    }

    /// A connection was opened: nothing is known of what happened before it.
    pub fn opened(&mut self, now_boot_ms: u64) {
        self.connection = Some(Connection::default());
        self.connections += 1;
        self.changed_boot_ms = now_boot_ms;
        self.doubts += 1;
    }

    /// The connection ended, or could not be opened. Answers with how long to wait before the next; `dice`
    /// spreads the waits of many. A connection that was live begins the count of failures anew.
    pub fn ended(&mut self, now_boot_ms: u64, dice: u64) -> u64 {
        if self.fills_live() {
            self.failures = 0;
        }
        if self.connection.take().is_some() {
            self.changed_boot_ms = now_boot_ms;
        }
        let longest = REOPEN_FIRST_MS
            .saturating_mul(1 << self.failures.min(FAILURES_COUNTED_MAX))
            .min(REOPEN_LONGEST_MS);
        self.failures = self.failures.saturating_add(1).min(FAILURES_COUNTED_MAX);
        longest / 2 + dice % (longest / 2 + 1)
    }

    /// A message arrived with this number.
    pub fn heard(&mut self, seq: u64, sent: UnixMicros, now_boot_ms: u64) -> Heard {
        let Some(connection) = &mut self.connection else {
            return Heard::Old;
        };
        if seq <= connection.heard {
            return Heard::Old;
        }
        let delay_ms = i128::from(now_boot_ms) - i128::from(sent.as_millis());
        let least = *connection.least_delay_ms.get_or_insert(delay_ms);
        connection.least_delay_ms = Some(least.min(delay_ms));
        let late_ms = u64::try_from(delay_ms - least.min(delay_ms)).unwrap_or(u64::MAX);
        if late_ms > LATE_MAX_MS {
            return Heard::Late;
        }
        let missing = seq - connection.heard - 1;
        connection.heard = seq;
        if missing > 0 {
            connection.differs.clear();
            connection.untold.clear();
            self.doubts += 1;
            self.gaps += 1;
        }
        Heard::Take {
            as_of_boot_ms: now_boot_ms.saturating_sub(late_ms),
            missing,
        }
    }

    /// The feed told a book.
    pub fn told_book(&mut self, symbol: &Symbol, quote: Quote) {
        if let Some(connection) = &mut self.connection {
            connection.books_told += 1;
            connection.quotes.insert(symbol.clone(), quote);
            connection.differs.remove(symbol);
        }
    }

    /// The feed told a trade.
    pub fn told_trade(&mut self, symbol: &Symbol, trade: Trade, at: UnixMicros) {
        self.trades.insert(symbol.clone(), (trade, at));
    }

    /// The last trade that the feed told of a market, and when it was.
    pub fn last_trade(&self, symbol: &Symbol) -> Option<(Trade, UnixMicros)> {
        self.trades.get(symbol).copied()
    }

    /// The feed told a fill.
    pub fn told_fill(&mut self, fill_id: &str) {
        if let Some(connection) = &mut self.connection {
            connection.untold.remove(fill_id);
        }
    }

    /// The feed told a fill that could not be counted from it: only the re-read can.
    pub fn left_fill(&mut self) {
        self.doubts += 1;
    }

    /// To be kept beside a re-read that begins now.
    pub fn ask(&self) -> Asked {
        Asked {
            doubts: self.doubts,
            live: self.fills_live() && self.books_live(),
            books_told: self.connection.as_ref().map_or(0, |c| c.books_told),
        }
    }

    /// The re-read showed this book. Another one than the feed told last is a difference, unless the feed
    /// told of any since the question.
    pub fn read_book(&mut self, asked: &Asked, symbol: &Symbol, quote: Quote, now_boot_ms: u64) {
        let same_time = asked.live && asked.doubts == self.doubts;
        let Some(connection) = self.connection.as_mut().filter(|_| same_time) else {
            return;
        };
        if connection.books_told != asked.books_told {
            return;
        }
        if connection.quotes.get(symbol) == Some(&quote) {
            connection.differs.remove(symbol);
        } else {
            connection
                .differs
                .entry(symbol.clone())
                .or_insert(now_boot_ms);
        }
    }

    /// Every book was read.
    pub fn books_read(&mut self, asked: &Asked) {
        self.books_read = self.books_read.max(asked.doubts);
    }

    /// The re-read counted these fills before the feed told them.
    pub fn counted_first(&mut self, asked: &Asked, fill_ids: &[String], now_boot_ms: u64) {
        let same_time = asked.live && asked.doubts == self.doubts;
        if let Some(connection) = self.connection.as_mut().filter(|_| same_time) {
            let ids = fill_ids.iter().map(|id| (id.clone(), now_boot_ms));
            connection.untold.extend(ids);
        }
    }

    /// Fills were read to their end.
    pub fn fills_read(&mut self, asked: &Asked) {
        self.fills_read = self.fills_read.max(asked.doubts);
    }

    /// The number of the last message taken in on this connection.
    #[cfg(test)]
    pub(super) fn heard_up_to(&self) -> u64 {
        self.connection.as_ref().map_or(0, |c| c.heard)
    }

    /// What the feed should have told by now and did not: a gap that it does not announce. The connection
    /// is to be given up.
    pub fn overdue(&self, now_boot_ms: u64) -> Option<&'static str> {
        let connection = self.connection.as_ref()?;
        let long = |since: &u64| now_boot_ms.saturating_sub(*since) >= UNTOLD_MAX_MS;
        if connection.differs.values().any(long) {
            return Some("a book changed and it did not tell");
        }
        let many = connection.untold.len() > UNTOLD_FILLS_MAX;
        if many || connection.untold.values().any(long) {
            return Some("an order was filled and it did not tell");
        }
        None
    }
}

#[cfg(test)]
#[path = "feed_state_tests.rs"]
mod tests;
