//! Orders, exposure and fills as one fold of the journal: what trading starts from.

use std::collections::{BTreeSet, HashSet, VecDeque};

use serde::{Deserialize, Serialize, Serializer};

use super::orders::Orders;
use crate::domain::order::OrderStatus;
use crate::gate::{Exposure, Holder};
use crate::journal::record::{Fact, Fold, ForeignFill, Record};
use crate::journal::views::{Positions, apply_to_positions};

/// Fill ids remembered behind the venue's cursor: the feed may tell late what the re-read counted.
pub const FILL_IDS_KEPT_MAX: usize = 65_536;
/// As many of them are stored, against a venue that sends one again: after a restart the feed's
/// connection is a new one and tells nothing old.
const FILL_IDS_STORED_MAX: usize = 4_096;
/// Fills that the feed may be ahead of the re-read; further ones are left to the re-read.
pub const FILLS_AHEAD_MAX: usize = 65_536;

/// Everything that trading must know after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Orders open, in doubt or lately ended.
    pub orders: Orders,
    /// Positions and reservations.
    pub exposure: Exposure,
    /// Which fills were counted.
    pub fills: Fills,
    /// What is held, what it cost, what it made.
    pub positions: Positions,
}

impl Fold for Ledger {
    const VERSION: u32 = 4;

    fn apply(&mut self, record: &Record) {
        let Record {
            fact,
            seq,
            time,
            principal,
            ..
        } = record;
        self.orders.apply(fact, *seq, *time, principal.as_ref());
        self.fills.apply(fact);
        apply_to_positions(fact, &mut self.positions);
        apply_to_exposure(&mut self.exposure, fact);
    }
}

/// Takes a fact into the exposure. An intent reserves (again, when it is live: that changes nothing);
/// only a terminal fact or a fill gives back. What the venue said of an order also says whether it can
/// still trade, and whether it is in doubt.
pub fn apply_to_exposure(exposure: &mut Exposure, fact: &Fact) {
    match fact {
        Fact::OrderIntent { order, .. } => {
            exposure.reserve(Holder::Ours(order.order_id), order);
        }
        Fact::OrderOutcome {
            order_id, status, ..
        }
        | Fact::OrderResolved {
            order_id, status, ..
        } => told(exposure, &Holder::Ours(*order_id), *status),
        Fact::OrderInDoubt { order_id, .. } => exposure.doubt(&Holder::Ours(*order_id)),
        Fact::OrderCancelled { order_id } => exposure.release(&Holder::Ours(*order_id)),
        Fact::Fill {
            order_id,
            symbol,
            side,
            size,
            ..
        } => {
            exposure.fill(Some(&Holder::Ours(*order_id)), symbol, *side, *size);
        }
        Fact::PositionReconciled {
            symbol,
            fill: Some(fill),
            ..
        } => {
            let holder = Holder::Foreign(fill.venue_order_id.clone());
            exposure.fill(Some(&holder), symbol, fill.side, fill.size);
        }
        Fact::PositionReconciled { symbol, to, .. } => exposure.set_position(symbol, *to),
        _ => {}
    }
}

/// Takes in what is now known of an order's status.
fn told(exposure: &mut Exposure, holder: &Holder, status: OrderStatus) {
    match status {
        OrderStatus::Rejected | OrderStatus::Discarded | OrderStatus::NotPlaced => {
            exposure.release(holder);
        }
        OrderStatus::Pending | OrderStatus::Open | OrderStatus::PartiallyFilled => {
            exposure.answered(holder);
        }
        // It counts until its last fills were read: those, or `OrderCancelled`, free it.
        OrderStatus::Filled | OrderStatus::Cancelled => exposure.ended(holder),
        OrderStatus::InDoubt => exposure.doubt(holder),
    }
}

/// Which fills were counted, and where reading goes on.
///
/// Two ways tell of fills. The re-read goes through them in the venue's own order and moves the cursor;
/// the feed tells them at once and moves nothing, so that one it left out is met by the re-read. A
/// fill of the feed is `ahead` of the cursor until the re-read came past it; `ahead` forgets nothing.
/// Behind the cursor the last [`FILL_IDS_KEPT_MAX`] ids are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredFills")]
pub struct Fills {
    cursor: Option<String>,
    counted: u64,
    #[serde(serialize_with = "newest")]
    recent: VecDeque<String>,
    ahead: BTreeSet<String>,
    #[serde(skip)]
    known: HashSet<String>,
}

fn newest<S: Serializer>(recent: &VecDeque<String>, to: S) -> Result<S::Ok, S::Error> {
    let older = recent.len().saturating_sub(FILL_IDS_STORED_MAX);
    to.collect_seq(recent.iter().skip(older))
}

/// As they are stored: each id once.
#[derive(Deserialize)]
struct StoredFills {
    cursor: Option<String>,
    counted: u64,
    recent: VecDeque<String>,
    ahead: BTreeSet<String>,
}

impl From<StoredFills> for Fills {
    fn from(stored: StoredFills) -> Self {
        let StoredFills {
            cursor,
            counted,
            recent,
            ahead,
        } = stored;
        let known = recent.iter().cloned().collect();
        Self {
            cursor,
            counted,
            recent,
            ahead,
            known,
        }
    }
}

impl Fills {
    /// The venue's cursor behind the last fill that the re-read came past.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// How many were ever counted.
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// Whether a fill was counted already, as far as it is remembered.
    pub fn is_known(&self, fill_id: &str) -> bool {
        self.known.contains(fill_id) || self.is_ahead(fill_id)
    }

    /// Whether the feed told it, and the re-read has not come past it.
    pub fn is_ahead(&self, fill_id: &str) -> bool {
        self.ahead.contains(fill_id)
    }

    /// Whether a fill that the feed tells may be counted at once if it is not known. `counted_before` is
    /// [`Fills::counted`] at the opening of the feed's connection. A connection tells only what happened
    /// after its opening; so as long as no id of that time was forgotten, what is not known was not
    /// counted. Else it is left to the re-read.
    pub fn may_be_told(&self, counted_before: u64) -> bool {
        let since = self.counted.saturating_sub(counted_before);
        since < FILL_IDS_KEPT_MAX as u64 && self.ahead.len() < FILLS_AHEAD_MAX
    }

    /// Remembers what a fact says of fills.
    pub fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Fill {
                fill_id, cursor, ..
            }
            | Fact::PositionReconciled {
                fill: Some(ForeignFill {
                    fill_id, cursor, ..
                }),
                ..
            } => {
                self.counted += 1;
                match cursor {
                    Some(cursor) => {
                        self.cursor = Some(cursor.clone());
                        self.pass(fill_id);
                    }
                    None => {
                        self.ahead.insert(fill_id.clone());
                    }
                }
            }
            Fact::FillsRead { cursor, fill_ids } => {
                self.cursor = Some(cursor.clone());
                fill_ids.iter().for_each(|fill_id| self.pass(fill_id));
            }
            _ => {}
        }
    }

    /// The re-read came past a fill.
    fn pass(&mut self, fill_id: &str) {
        self.ahead.remove(fill_id);
        if self.known.insert(fill_id.to_owned()) {
            self.recent.push_back(fill_id.to_owned());
        }
        while self.recent.len() > FILL_IDS_KEPT_MAX {
            if let Some(oldest) = self.recent.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
#[path = "ledger_properties_tests.rs"]
mod properties;

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::super::orders::tests::{fill, intent, outcome};
    use super::*;
    use crate::domain::clock::UnixMicros;
    use crate::domain::market::Symbol;
    use crate::domain::order::Side;

    /// As the feed tells it.
    fn told(id: &str, n: u128, size: u64) -> Fact {
        let mut told = fill(id, n, size);
        if let Fact::Fill { cursor, .. } = &mut told {
            *cursor = None;
        }
        told
    }

    fn foreign(id: &str, size: u64) -> Fact {
        Fact::PositionReconciled {
            symbol: Symbol::parse("SEI/USDC").unwrap(),
            from: Decimal::from(4),
            to: Decimal::from(4 + size),
            fill: Some(ForeignFill {
                fill_id: id.into(),
                cursor: Some(id.into()),
                venue_order_id: "theirs".to_owned().try_into().unwrap(),
                side: Side::Buy,
                price: Decimal::ONE,
                size: Decimal::from(size),
                fee: Decimal::ZERO,
                filled_at_us: UnixMicros(1),
            }),
            reference: None,
        }
    }

    fn ledger(facts: &[Fact]) -> Ledger {
        let mut ledger = Ledger::default();
        for (seq, fact) in (0..).zip(facts) {
            ledger.apply(&Record {
                seq,
                time: UnixMicros(seq),
                fact: fact.clone(),
                private: None,
                actor: "test".into(),
                principal: None,
                correlation: None,
            });
        }
        ledger
    }

    #[test]
    fn exposure_is_freed_by_terminal_facts_only() {
        use OrderStatus as S;
        let open = |facts: &[Fact]| ledger(facts).exposure.open_orders();
        assert_eq!(open(&[intent(1, 10)]), 1);
        for keeps in [S::Open, S::PartiallyFilled, S::Filled, S::Cancelled] {
            assert_eq!(open(&[intent(1, 10), outcome(1, keeps)]), 1, "{keeps:?}");
        }
        for frees in [S::Rejected, S::Discarded, S::NotPlaced] {
            assert_eq!(open(&[intent(1, 10), outcome(1, frees)]), 0, "{frees:?}");
        }
    }

    #[test]
    fn fills_move_the_position_and_shrink_the_reservation() {
        let ledger = ledger(&[intent(1, 10), fill("a", 1, 4), foreign("b", 3)]);
        let market = ledger.exposure.market(&Symbol::parse("SEI/USDC").unwrap());
        assert_eq!(market.position, Decimal::from(7));
        assert_eq!(market.open_buys, Decimal::from_str_exact("1.50").unwrap());
        assert!(ledger.fills.is_known("a") && !ledger.fills.is_known("c"));
        assert_eq!(ledger.fills.cursor(), Some("b"));
    }

    #[test]
    fn a_snapshot_reads_back_as_it_was() {
        let told = told("t", 1, 1);
        let ledger = ledger(&[intent(1, 10), intent(2, 5), fill("a", 1, 4), told]);
        let stored = serde_json::to_vec(&ledger).unwrap();
        assert_eq!(serde_json::from_slice::<Ledger>(&stored).unwrap(), ledger);
    }

    #[test]
    fn the_feed_moves_no_cursor_and_what_it_told_is_remembered_until_the_re_read_came_past_it() {
        let mut fills = Fills::default();
        fills.apply(&fill("a", 1, 1));
        for n in 0..FILLS_AHEAD_MAX {
            assert!(fills.may_be_told(fills.counted()));
            fills.apply(&told(&format!("t{n}"), 1, 1));
        }
        assert!(!fills.may_be_told(fills.counted()), "enough is ahead");
        assert_eq!(fills.cursor(), Some("a"));
        assert!(fills.is_known("t0") && fills.is_ahead("t0"));
        fills.apply(&Fact::FillsRead {
            cursor: "t0".into(),
            fill_ids: vec!["t0".into()],
        });
        assert_eq!(fills.cursor(), Some("t0"));
        assert!(fills.is_known("t0") && !fills.is_ahead("t0"));
        assert!(fills.may_be_told(fills.counted()));
    }

    #[test]
    fn a_fill_of_the_feed_is_left_to_the_re_read_once_an_id_of_its_time_may_be_forgotten() {
        let mut fills = Fills::default();
        fills.apply(&fill("before", 1, 1));
        let opened = fills.counted();
        for n in 0..FILL_IDS_KEPT_MAX {
            assert!(fills.may_be_told(opened), "{n}");
            fills.apply(&fill(&format!("r{n}"), 1, 1));
        }
        assert!(!fills.may_be_told(opened));
        assert!(fills.may_be_told(opened + 1), "opened a fill later");
        assert!(fills.is_known("r0") && !fills.is_known("before"));
    }
}
