//! Orders, exposure and fills as one fold of the journal: what trading starts from.

use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::orders::Orders;
use crate::domain::order::OrderStatus;
use crate::gate::{Exposure, Holder};
use crate::journal::record::{Fact, Fold, Record};

/// Fill ids remembered beyond the venue's cursor, against a venue that sends one again.
const FILL_IDS_KEPT_MAX: usize = 4_096;

/// Everything that trading must know after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Orders open, in doubt or lately ended.
    pub orders: Orders,
    /// Positions and reservations.
    pub exposure: Exposure,
    /// Which fills were counted.
    pub fills: Fills,
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
            let holder = order_id.map(Holder::Ours);
            exposure.fill(holder.as_ref(), symbol, *side, *size);
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredFills")]
pub struct Fills {
    cursor: Option<String>,
    recent: VecDeque<String>,
    #[serde(skip)]
    known: HashSet<String>,
}

/// As they are stored: each id once.
#[derive(Deserialize)]
struct StoredFills {
    cursor: Option<String>,
    recent: VecDeque<String>,
}

impl From<StoredFills> for Fills {
    fn from(StoredFills { cursor, recent }: StoredFills) -> Self {
        let known = recent.iter().cloned().collect();
        Self {
            cursor,
            recent,
            known,
        }
    }
}

impl Fills {
    /// The venue's cursor behind the last counted fill.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Whether a fill was counted already.
    pub fn is_known(&self, fill_id: &str) -> bool {
        self.known.contains(fill_id)
    }

    /// Remembers a fill.
    pub fn apply(&mut self, fact: &Fact) {
        let Fact::Fill {
            fill_id, cursor, ..
        } = fact
        else {
            return;
        };
        self.cursor = Some(cursor.clone());
        if self.known.insert(fill_id.clone()) {
            self.recent.push_back(fill_id.clone());
        }
        while self.recent.len() > FILL_IDS_KEPT_MAX {
            if let Some(oldest) = self.recent.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::super::orders::tests::{fill, intent, outcome};
    use super::*;
    use crate::domain::clock::UnixMicros;
    use crate::domain::market::Symbol;

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
        let ledger = ledger(&[intent(1, 10), fill("a", Some(1), 4), fill("b", None, 3)]);
        let market = ledger.exposure.market(&Symbol::parse("SEI/USDC").unwrap());
        assert_eq!(market.position, Decimal::from(7));
        assert_eq!(market.open_buys, Decimal::from_str_exact("1.50").unwrap());
        assert!(ledger.fills.is_known("a") && !ledger.fills.is_known("c"));
        assert_eq!(ledger.fills.cursor(), Some("b"));
    }

    #[test]
    fn a_snapshot_reads_back_as_it_was() {
        let ledger = ledger(&[intent(1, 10), intent(2, 5), fill("a", Some(1), 4)]);
        let stored = serde_json::to_vec(&ledger).unwrap();
        assert_eq!(serde_json::from_slice::<Ledger>(&stored).unwrap(), ledger);
    }
}
