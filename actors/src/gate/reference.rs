//! Reference prices: what the venue's books said, and when they were asked for.

use std::collections::HashMap;

use rust_decimal::Decimal;

use crate::domain::market::Symbol;
use crate::ports::venue::Quote;

/// The last reading of each market's book.
pub type References = HashMap<Symbol, Reading>;

/// One reading of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    quote: Quote,
    asked_at_boot_ms: u64,
    middle: Option<Decimal>,
}

impl Reading {
    /// `quote`, asked for at this time since boot. Its age counts from the question, since the venue
    /// may have looked at its book at once and answered late.
    pub fn new(quote: Quote, asked_at_boot_ms: u64) -> Self {
        let stands = quote.bid > Decimal::ZERO && quote.bid <= quote.ask;
        let sum = quote.bid.checked_add(quote.ask).filter(|_| stands);
        Self {
            quote,
            asked_at_boot_ms,
            middle: sum.map(|sum| sum / Decimal::TWO),
        }
    }

    /// The book's best prices.
    pub fn quote(&self) -> Quote {
        self.quote
    }

    /// The middle, which is the reference price; `None` when the book is crossed or has no price on
    /// one side.
    pub fn middle(&self) -> Option<Decimal> {
        self.middle
    }

    /// Milliseconds since it was asked for.
    pub fn age_ms(&self, now_boot_ms: u64) -> u64 {
        now_boot_ms.saturating_sub(self.asked_at_boot_ms)
    }

    /// Whether `other` was asked for later.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        self.asked_at_boot_ms < other.asked_at_boot_ms
    }
}
