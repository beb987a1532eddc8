//! Every order that is open, in doubt or lately ended, and how facts change it.
//!
//! Pure: the same function takes a fact in when it happens and when the journal is read again, so
//! that both give the same book. A terminal status stays; a stale fact never wins.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::clock::UnixMicros;
use crate::domain::identity::{Client, Principal};
use crate::domain::order::{ClientOrderId, Order, OrderId, OrderStatus, VenueOrderId};
use crate::journal::record::{Fact, SignatureFact};
use crate::ports::views::OrderView;

/// Ended orders kept at hand for retries; older ones are read from the views.
const ENDED_KEPT_MAX: usize = 8_192;

/// One order, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderState {
    /// In ticks and lots.
    pub order: Order,
    /// Whose.
    pub client: Client,
    /// The caller's id.
    pub client_order_id: ClientOrderId,
    /// The credential that sent it.
    pub principal: Option<Principal>,
    /// SHA-256 of its content, hex.
    pub content_hash: String,
    /// Where its intent stands in the journal.
    pub journal_seq: u64,
    /// The intent's time.
    pub created_us: UnixMicros,
    /// What is true now.
    pub status: OrderStatus,
    /// The venue's id, once it has one.
    pub venue_order_id: Option<VenueOrderId>,
    /// The signature, if its bytes may have left.
    pub signature: Option<SignatureFact>,
    /// Size filled, in base currency.
    pub filled: Decimal,
    /// Why it was rejected, discarded or is in doubt: a code.
    pub why: Option<String>,
    /// Nothing of it counts against the limits any more: no fill of it can come.
    pub settled: bool,
    /// Somebody asked to cancel it: it is asked again until it rests no more.
    #[serde(default)]
    pub cancel_asked: bool,
}

impl OrderState {
    /// Takes in what the venue or this process said of its status. A terminal status stays, a fill
    /// that was counted is not forgotten.
    fn say(&mut self, said: OrderStatus) {
        if self.status.is_terminal() {
            return;
        }
        self.status = match said {
            OrderStatus::Open | OrderStatus::PartiallyFilled | OrderStatus::Filled
                if self.filled >= self.order.size =>
            {
                OrderStatus::Filled
            }
            OrderStatus::Open if !self.filled.is_zero() => OrderStatus::PartiallyFilled,
            said => said,
        };
        self.settled |= matches!(
            self.status,
            OrderStatus::Rejected | OrderStatus::Discarded | OrderStatus::NotPlaced
        );
    }

    fn fill(&mut self, size: Decimal) {
        self.filled = self.filled.saturating_add(size);
        if self.filled >= self.order.size {
            self.status = OrderStatus::Filled;
            self.settled = true;
        } else if !self.status.is_terminal() {
            self.status = OrderStatus::PartiallyFilled;
        }
    }
}

impl From<OrderView> for OrderState {
    /// An order that ended so long ago that only the views have it.
    fn from(view: OrderView) -> Self {
        let signature = match (view.digest, view.signature, view.signer, view.signed_at_us) {
            (Some(digest), Some(signature), Some(signer), Some(signed_at_us)) => {
                Some(SignatureFact {
                    digest,
                    signature,
                    signer,
                    key_id: view.key_id,
                    signed_at_us,
                })
            }
            _ => None,
        };
        Self {
            order: view.order,
            client: view.client,
            client_order_id: view.client_order_id,
            principal: view.principal,
            content_hash: view.content_hash,
            journal_seq: view.journal_seq,
            created_us: view.created,
            status: view.status,
            venue_order_id: view.venue_order_id,
            signature,
            filled: view.filled,
            why: view.why,
            settled: view.status.is_terminal(),
            cancel_asked: false,
        }
    }
}

/// All of them. Stored are only those that still count: an order that ended is in the views before
/// a snapshot is taken, and most of a long journal's orders ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Orders {
    open: BTreeMap<OrderId, OrderState>,
    #[serde(skip)]
    ended: Ended,
}

/// The last orders that ended, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ended {
    by_id: HashMap<OrderId, OrderState>,
    in_order: VecDeque<OrderId>,
}

impl Ended {
    fn keep(&mut self, state: OrderState) {
        let id = state.order.order_id;
        if self.by_id.insert(id, state).is_none() {
            self.in_order.push_back(id);
        }
        while self.in_order.len() > ENDED_KEPT_MAX {
            if let Some(oldest) = self.in_order.pop_front() {
                self.by_id.remove(&oldest);
            }
        }
    }
}

impl Orders {
    /// Takes a fact in. Facts that are not about orders, or about unknown ones, change nothing.
    pub fn apply(
        &mut self,
        fact: &Fact,
        seq: u64,
        time: UnixMicros,
        principal: Option<&Principal>,
    ) {
        match fact {
            Fact::OrderIntent {
                order,
                client,
                client_order_id,
                content_hash,
                ..
            } => {
                let state = OrderState {
                    order: order.clone(),
                    client: client.clone(),
                    client_order_id: client_order_id.clone(),
                    principal: principal.cloned(),
                    content_hash: content_hash.clone(),
                    journal_seq: seq,
                    created_us: time,
                    status: OrderStatus::Pending,
                    venue_order_id: None,
                    signature: None,
                    filled: Decimal::ZERO,
                    why: None,
                    settled: false,
                    cancel_asked: false,
                };
                if !self.ended.by_id.contains_key(&order.order_id) {
                    self.open.entry(order.order_id).or_insert(state);
                }
            }
            Fact::OrderOutcome {
                order_id,
                status,
                venue_order_id,
                signature,
                why,
            } => {
                self.change(order_id, |state| {
                    state.venue_order_id = state.venue_order_id.take().or(venue_order_id.clone());
                    state.signature = state.signature.take().or(signature.clone());
                    state.why.clone_from(why);
                    state.say(*status);
                });
            }
            Fact::OrderInDoubt {
                order_id,
                signature,
                why,
            } => self.change(order_id, |state| {
                state.signature = state.signature.take().or(signature.clone());
                state.why = Some(why.clone());
                state.say(OrderStatus::InDoubt);
            }),
            Fact::OrderResolved {
                order_id,
                status,
                venue_order_id,
            } => {
                self.change(order_id, |state| {
                    state.venue_order_id = state.venue_order_id.take().or(venue_order_id.clone());
                    state.say(*status);
                });
            }
            Fact::OrderCancelAsked {
                order_id: Some(order_id),
                ..
            } => self.change(order_id, |state| state.cancel_asked = true),
            Fact::OrderCancelled { order_id } => self.change(order_id, |state| {
                state.say(OrderStatus::Cancelled);
                state.settled = true;
            }),
            Fact::Fill {
                order_id,
                venue_order_id,
                size,
                ..
            } => {
                self.change(order_id, |state| {
                    state.venue_order_id = state.venue_order_id.take().or(venue_order_id.clone());
                    state.fill(*size);
                });
            }
            _ => {}
        }
    }

    fn change(&mut self, order_id: &OrderId, change: impl FnOnce(&mut OrderState)) {
        if let Some(ended) = self.ended.by_id.get_mut(order_id) {
            return change(ended);
        }
        let Some(state) = self.open.get_mut(order_id) else {
            return;
        };
        change(state);
        if state.settled
            && let Some(ended) = self.open.remove(order_id)
        {
            self.ended.keep(ended);
        }
    }

    /// One order, when it is open, in doubt or lately ended.
    pub fn find(&self, order_id: &OrderId) -> Option<&OrderState> {
        let open = self.open.get(order_id);
        open.or_else(|| self.ended.by_id.get(order_id))
    }

    /// Orders that still count against the limits, oldest first.
    pub fn unsettled(&self) -> Vec<&OrderState> {
        self.open.values().collect()
    }

    /// The `limit` newest of those at hand that fit, newest first. Looks at all of them: for lists,
    /// not for an order's way.
    pub fn newest(&self, limit: usize, fits: impl Fn(&OrderState) -> bool) -> Vec<OrderState> {
        let at_hand = self.open.values().chain(self.ended.by_id.values());
        let mut newest: Vec<_> = at_hand.filter(|state| fits(state)).collect();
        newest.sort_unstable_by_key(|state| std::cmp::Reverse(state.journal_seq));
        newest.into_iter().take(limit).cloned().collect()
    }

    /// Orders on their way or in doubt.
    pub fn unanswered(&self) -> usize {
        let unknown = |state: &&OrderState| {
            matches!(state.status, OrderStatus::Pending | OrderStatus::InDoubt)
        };
        self.open.values().filter(unknown).count()
    }

    /// The order that the venue knows under this id, among those at hand.
    pub fn by_venue_id(&self, id: &VenueOrderId) -> Option<&OrderState> {
        let at_hand = self.open.values().chain(self.ended.by_id.values());
        at_hand
            .into_iter()
            .find(|state| state.venue_order_id.as_ref() == Some(id))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::market::{Lots, Symbol, Ticks};
    use crate::domain::order::{OrderType, Side};

    pub(crate) fn intent(n: u128, size: u64) -> Fact {
        Fact::OrderIntent {
            order: Order {
                order_id: OrderId(uuid::Uuid::from_u128(n)),
                symbol: Symbol::parse("SEI/USDC").unwrap(),
                side: Side::Buy,
                order_type: OrderType::Limit,
                price_ticks: Ticks(2_500),
                price: Decimal::from_str_exact("0.25").unwrap(),
                size_lots: Lots(size),
                size: Decimal::from(size),
                expires_at_ms: 5_000,
            },
            client: Client::try_from("bot".to_owned()).unwrap(),
            client_order_id: ClientOrderId::try_from(format!("c{n}")).unwrap(),
            content_hash: String::new(),
            reserved_usdc: Decimal::ONE,
            limits_v: 1,
            reference: Decimal::from_str_exact("0.25").unwrap(),
            marks: vec![],
            at_market: false,
            epoch: 1,
            key_id: "sei/1".into(),
            credential_generation: 1,
        }
    }

    pub(crate) fn outcome(n: u128, status: OrderStatus) -> Fact {
        Fact::OrderOutcome {
            order_id: OrderId(uuid::Uuid::from_u128(n)),
            status,
            venue_order_id: None,
            signature: None,
            why: None,
        }
    }

    pub(crate) fn fill(id: &str, n: u128, size: u64) -> Fact {
        Fact::Fill {
            fill_id: id.into(),
            cursor: Some(id.into()),
            order_id: OrderId(uuid::Uuid::from_u128(n)),
            venue_order_id: VenueOrderId::try_from("V1".to_owned()).ok(),
            symbol: Symbol::parse("SEI/USDC").unwrap(),
            side: Side::Buy,
            price: Decimal::from_str_exact("0.25").unwrap(),
            size: Decimal::from(size),
            lots: Lots(size),
            fee: Decimal::ZERO,
            filled_at_us: UnixMicros(1),
            order_status: None,
        }
    }

    fn after(facts: &[Fact]) -> (OrderStatus, bool) {
        let mut orders = Orders::default();
        for (seq, fact) in (0..).zip(facts) {
            orders.apply(fact, seq, UnixMicros(seq), None);
        }
        let state = orders.find(&OrderId(uuid::Uuid::from_u128(1))).unwrap();
        (state.status, state.settled)
    }

    #[test]
    fn a_fill_that_comes_before_the_orders_answer_is_not_forgotten() {
        use OrderStatus as S;
        let (intent, open) = (intent(1, 10), outcome(1, S::Open));
        assert_eq!(
            after(&[intent.clone(), fill("a", 1, 10), open.clone()]),
            (S::Filled, true)
        );
        let part = [intent.clone(), fill("a", 1, 4), open.clone()];
        assert_eq!(after(&part), (S::PartiallyFilled, false));
        let whole = [intent, open, fill("a", 1, 4), fill("b", 1, 6)];
        assert_eq!(after(&whole), (S::Filled, true));
    }

    /// Found by the model run: the answer was lost, the fill was read first, and the order was told
    /// as filled without the venue's id.
    #[test]
    fn a_fill_tells_the_venues_id_of_an_order_whose_answer_was_lost() {
        let doubt = Fact::OrderInDoubt {
            order_id: OrderId(uuid::Uuid::from_u128(1)),
            signature: None,
            why: "unclear_answer".into(),
        };
        let mut orders = Orders::default();
        for (seq, fact) in (0..).zip([intent(1, 10), fill("a", 1, 10), doubt]) {
            orders.apply(&fact, seq, UnixMicros(seq), None);
        }
        let state = orders.find(&OrderId(uuid::Uuid::from_u128(1))).unwrap();
        assert_eq!(state.status, OrderStatus::Filled);
        assert_eq!(
            state.venue_order_id.as_ref().map(VenueOrderId::as_str),
            Some("V1")
        );
    }

    #[test]
    fn a_filled_order_counts_until_its_fills_were_read() {
        use OrderStatus as S;
        let facts = [intent(1, 10), outcome(1, S::Filled)];
        assert_eq!(after(&facts), (S::Filled, false));
        let facts = [&facts[..], &[fill("a", 1, 10)]].concat();
        assert_eq!(after(&facts), (S::Filled, true));
    }

    #[test]
    fn a_cancelled_order_counts_until_its_last_fills_were_read() {
        use OrderStatus as S;
        let cancelled = Fact::OrderCancelled {
            order_id: OrderId(uuid::Uuid::from_u128(1)),
        };
        let ioc = [intent(1, 10), outcome(1, S::Cancelled)];
        assert_eq!(after(&ioc), (S::Cancelled, false));
        assert_eq!(
            after(&[&ioc[..], &[cancelled]].concat()),
            (S::Cancelled, true)
        );
    }

    #[test]
    fn a_terminal_status_stays() {
        use OrderStatus as S;
        for end in [S::Rejected, S::Discarded, S::NotPlaced] {
            let facts = [intent(1, 10), outcome(1, end), outcome(1, S::Open)];
            assert_eq!(after(&facts), (end, true), "{end:?}");
        }
    }

    #[test]
    fn ended_orders_are_kept_up_to_a_bound_and_open_ones_for_ever() {
        let mut orders = Orders::default();
        orders.apply(&intent(0, 1), 0, UnixMicros(0), None);
        for n in 1..=(ENDED_KEPT_MAX as u128 + 10) {
            orders.apply(&intent(n, 1), 0, UnixMicros(0), None);
            orders.apply(&outcome(n, OrderStatus::Discarded), 0, UnixMicros(0), None);
        }
        assert_eq!(orders.ended.by_id.len(), ENDED_KEPT_MAX);
        assert_eq!(orders.unsettled().len(), 1);
        assert!(orders.find(&OrderId(uuid::Uuid::from_u128(10))).is_none());
        assert!(orders.find(&OrderId(uuid::Uuid::from_u128(11))).is_some());
    }

    #[test]
    fn an_ended_order_does_not_begin_again_and_is_not_stored() {
        let mut orders = Orders::default();
        for fact in [
            intent(1, 1),
            outcome(1, OrderStatus::Discarded),
            intent(1, 1),
            intent(2, 1),
        ] {
            orders.apply(&fact, 0, UnixMicros(0), None);
        }
        let stored: Orders = serde_json::from_slice(&serde_json::to_vec(&orders).unwrap()).unwrap();
        let ids = |orders: &Orders| -> Vec<u128> {
            let open = orders.unsettled().into_iter();
            open.map(|state| state.order.order_id.0.as_u128()).collect()
        };
        assert_eq!((ids(&orders), ids(&stored)), (vec![2], vec![2]));
        assert!(stored.ended.by_id.is_empty());
    }
}
