//! Orders, answers, fills, cancels and restarts in any order, against a model that adds everything up
//! from scratch: sums, and that no limit is ever passed.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::super::orders::Orders;
use super::{Fills, Ledger, apply_to_exposure};
use crate::domain::clock::UnixMicros;
use crate::domain::market::Lots;
use crate::domain::order::{ClientOrderId, OrderId, OrderStatus, Side};
use crate::gate::Exposure;
use crate::gate::testing::{Desk, bot, d, id, request, sei};
use crate::journal::record::{Fact, Fold, Record};

const POSITION_LIMIT_USDC: &str = "30";
const GROSS_LIMIT_USDC: &str = "40";

#[derive(Debug, Clone)]
enum Step {
    /// Buys stand at the reference or one tick above, sells two or three above: so no own orders meet,
    /// and no fill is worth more at the reference than what it reserved.
    Place { buy: bool, up: u8, size: u32 },
    /// This process or the venue says something of an order.
    Say(usize, Word),
    /// The venue fills a part; nobody was told yet.
    Fill(usize, u32),
    /// One of the fills that nobody was told of is read, in any order.
    Read(usize),
    /// A fill that was read already is read again.
    ReadAgain(usize),
    /// A cancel is accepted, and nothing comes of it.
    AskToCancel(usize),
    /// A cancel is confirmed: its fills are read first.
    Cancel(usize),
    /// Everything is folded again from the records.
    Restart,
}

#[derive(Debug, Clone, Copy)]
enum Word {
    Open,
    InDoubt,
    Found,
    Rejected,
    NotPlaced,
    Ended,
}

/// What is true of an order, whatever was told of it.
struct Truth {
    id: u128,
    side: Side,
    price: Decimal,
    size: Decimal,
    filled: Decimal,
    counted: Decimal,
    /// The venue fills it no more.
    closed: bool,
    /// It counts no more.
    over: bool,
}

struct World {
    desk: Desk,
    orders: Orders,
    fills: Fills,
    records: Vec<Fact>,
    truths: Vec<Truth>,
    unread: Vec<(usize, Fact)>,
    read: Vec<(usize, Fact)>,
}

impl World {
    fn new() -> Self {
        Self {
            desk: Desk::new(|limits| {
                limits.position_limit_usdc = d(POSITION_LIMIT_USDC);
                limits.gross_exposure_max_usdc = d(GROSS_LIMIT_USDC);
                limits.open_orders_max = 8;
            }),
            orders: Orders::default(),
            fills: Fills::default(),
            records: vec![],
            truths: vec![],
            unread: vec![],
            read: vec![],
        }
    }

    fn take(&mut self, fact: Fact) {
        let seq = self.records.len() as u64;
        self.orders.apply(&fact, seq, UnixMicros(seq), None);
        self.fills.apply(&fact);
        self.desk
            .gate
            .with_exposure(|exposure| apply_to_exposure(exposure, &fact));
        self.records.push(fact);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Place { buy, up, size } => self.place(buy, up, size),
            Step::Say(n, word) => self.say(n, word),
            Step::Fill(n, size) => self.fill(n, size),
            Step::Read(n) if !self.unread.is_empty() => {
                let (order, fact) = self.unread.remove(n % self.unread.len());
                self.count(order, fact);
            }
            Step::ReadAgain(n) if !self.read.is_empty() => {
                let (order, fact) = self.read[n % self.read.len()].clone();
                self.count(order, fact);
            }
            Step::AskToCancel(n) if !self.truths.is_empty() => {
                let order_id = Some(id(self.truths[n % self.truths.len()].id));
                let symbol = None;
                self.take(Fact::OrderCancelAsked { order_id, symbol });
            }
            Step::Cancel(n) if !self.truths.is_empty() => self.cancel(n % self.truths.len()),
            Step::Restart => self.restart(),
            Step::Read(_) | Step::ReadAgain(_) | Step::AskToCancel(_) | Step::Cancel(_) => {}
        }
    }

    fn place(&mut self, buy: bool, up: u8, size: u32) {
        let (side, tick) = match buy {
            true => (Side::Buy, 2_500 + i64::from(up % 2)),
            false => (Side::Sell, 2_502 + i64::from(up % 2)),
        };
        let n = self.truths.len() as u128 + 1;
        let order = request(side, &Decimal::new(tick, 4).to_string(), &size.to_string());
        let Ok(admitted) = self.desk.admit(&order, n) else {
            return;
        };
        let fact = Fact::OrderIntent {
            order: admitted.order().clone(),
            client: bot(),
            client_order_id: ClientOrderId::try_from(format!("c{n}")).unwrap(),
            content_hash: String::new(),
            reserved_usdc: admitted.reserved_usdc(),
            limits_v: 1,
            reference: admitted.judged().reference,
            marks: vec![],
            at_market: false,
            epoch: 1,
            key_id: "sei/1".into(),
            credential_generation: 1,
        };
        let order = admitted.order().clone();
        drop(admitted.recorded(crate::journal::Committed::for_tests(n as u64)));
        self.take(fact);
        self.truths.push(Truth {
            id: n,
            side,
            price: order.price,
            size: order.size,
            filled: Decimal::ZERO,
            counted: Decimal::ZERO,
            closed: false,
            over: false,
        });
    }

    fn say(&mut self, n: usize, word: Word) {
        let count = self.truths.len().max(1);
        let Some(truth) = self.truths.get_mut(n % count).filter(|truth| !truth.over) else {
            return;
        };
        let order_id: OrderId = id(truth.id);
        let venue_order_id = None;
        let outcome = |status| Fact::OrderOutcome {
            order_id,
            status,
            venue_order_id: None,
            signature: None,
            why: None,
        };
        let never_was = truth.filled.is_zero() && !truth.closed;
        let fact = match word {
            Word::Open => outcome(OrderStatus::Open),
            Word::InDoubt => Fact::OrderInDoubt {
                order_id,
                signature: None,
                why: "x".into(),
            },
            Word::Found => Fact::OrderResolved {
                order_id,
                status: OrderStatus::Open,
                venue_order_id,
            },
            Word::Rejected | Word::NotPlaced if !never_was => return,
            Word::Rejected => {
                (truth.closed, truth.over) = (true, true);
                outcome(OrderStatus::Rejected)
            }
            Word::NotPlaced => {
                (truth.closed, truth.over) = (true, true);
                Fact::OrderResolved {
                    order_id,
                    status: OrderStatus::NotPlaced,
                    venue_order_id,
                }
            }
            Word::Ended => {
                truth.closed = true;
                match truth.filled == truth.size {
                    true => outcome(OrderStatus::Filled),
                    false => outcome(OrderStatus::Cancelled),
                }
            }
        };
        self.take(fact);
    }

    fn fill(&mut self, n: usize, size: u32) {
        let count = self.truths.len().max(1);
        let of = n % count;
        let Some(truth) = self.truths.get_mut(of).filter(|truth| !truth.closed) else {
            return;
        };
        let size = Decimal::from(size).min(truth.size - truth.filled);
        if size.is_zero() {
            return;
        }
        truth.filled += size;
        let fill_id = format!("f{}-{}", truth.id, truth.filled);
        let fact = Fact::Fill {
            cursor: Some(fill_id.clone()),
            fill_id,
            order_id: id(truth.id),
            venue_order_id: None,
            symbol: sei(),
            side: truth.side,
            price: truth.price,
            size,
            lots: Lots::default(),
            fee: Decimal::ZERO,
            filled_at_us: UnixMicros(1),
            order_status: None,
        };
        self.unread.push((of, fact));
    }

    /// As reading fills does: each once, by its id.
    fn count(&mut self, of: usize, fact: Fact) {
        let Fact::Fill { fill_id, size, .. } = &fact else {
            unreachable!()
        };
        if self.fills.is_known(fill_id) {
            return;
        }
        let truth = &mut self.truths[of];
        truth.counted += *size;
        truth.over |= truth.counted == truth.size;
        self.read.push((of, fact.clone()));
        self.take(fact);
    }

    fn cancel(&mut self, of: usize) {
        if self.truths[of].over {
            return;
        }
        self.truths[of].closed = true;
        let all = std::mem::take(&mut self.unread);
        let (now, later) = all.into_iter().partition(|(order, _)| *order == of);
        self.unread = later;
        let now: Vec<(usize, Fact)> = now;
        for (order, fact) in now {
            self.count(order, fact);
        }
        self.truths[of].over = true;
        let order_id = id(self.truths[of].id);
        self.take(Fact::OrderCancelled { order_id });
    }

    fn fold(&self) -> Ledger {
        let mut ledger = Ledger::default();
        for (seq, fact) in (0..).zip(&self.records) {
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

    fn exposure(&self) -> Exposure {
        self.desk.gate.with_exposure(|exposure| exposure.clone())
    }

    fn restart(&mut self) {
        let ledger = self.fold();
        assert_eq!(ledger.exposure, self.exposure(), "folded again");
        let stored = serde_json::to_vec(&ledger).unwrap();
        let ledger: Ledger = serde_json::from_slice(&stored).unwrap();
        (self.orders, self.fills) = (ledger.orders, ledger.fills);
        self.desk
            .gate
            .with_exposure(|exposure| *exposure = ledger.exposure);
    }

    /// Invariant: the exposure is what the truths add up to, and no sum is past its limit.
    fn must_add_up(&self) -> Result<(), TestCaseError> {
        let exposure = self.exposure();
        let market = exposure.market(&sei());
        let left = |truth: &Truth| truth.size - truth.counted;
        let open = |side| {
            let live = self.truths.iter().filter(|truth| !truth.over);
            live.filter(move |truth| truth.side == side)
        };
        let value = |side| -> Decimal { open(side).map(|t| t.price * left(t)).sum() };
        let size = |side| -> Decimal { open(side).map(left).sum() };
        let signed = |truth: &Truth| match truth.side {
            Side::Buy => truth.counted,
            Side::Sell => -truth.counted,
        };
        let position: Decimal = self.truths.iter().map(signed).sum();
        prop_assert_eq!(market.position, position);
        prop_assert_eq!(market.open_buys, value(Side::Buy));
        prop_assert_eq!(market.open_sells, value(Side::Sell));
        prop_assert_eq!(market.open_buys_size, size(Side::Buy));
        prop_assert_eq!(market.open_sells_size, size(Side::Sell));
        prop_assert_eq!(
            exposure.open_orders(),
            open(Side::Buy).count() + open(Side::Sell).count()
        );
        let unsettled = self.orders.unsettled();
        let doubtful = unsettled
            .iter()
            .filter(|o| o.status == OrderStatus::InDoubt);
        prop_assert_eq!(exposure.in_doubt(), doubtful.count());

        let reference = d("0.25");
        for side in [Side::Buy, Side::Sell] {
            let after = market.projected(side, reference, Decimal::ZERO).unwrap();
            prop_assert!(after <= d(POSITION_LIMIT_USDC), "{side:?}: {after}");
        }
        let gross = market.gross(reference).unwrap();
        prop_assert!(gross <= d(GROSS_LIMIT_USDC), "gross {gross}");
        Ok(())
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let word = prop::sample::select(vec![
        Word::Open,
        Word::InDoubt,
        Word::Found,
        Word::Rejected,
        Word::NotPlaced,
        Word::Ended,
    ]);
    let n = 0_usize..64;
    prop::collection::vec(
        prop_oneof![
            4 => (any::<bool>(), 0_u8..2, 4_u32..60)
                .prop_map(|(buy, up, size)| Step::Place { buy, up, size }),
            3 => (n.clone(), word).prop_map(|(n, word)| Step::Say(n, word)),
            4 => (n.clone(), 1_u32..60).prop_map(|(n, size)| Step::Fill(n, size)),
            4 => n.clone().prop_map(Step::Read),
            1 => n.clone().prop_map(Step::ReadAgain),
            1 => n.clone().prop_map(Step::AskToCancel),
            1 => n.prop_map(Step::Cancel),
            1 => Just(Step::Restart),
        ],
        0..80,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    /// Invariant: after any interleaving the exposure is what is true, a fold of the records is the
    /// same, and no limit was passed, the reference standing still.
    #[test]
    fn no_interleaving_takes_the_exposure_past_a_limit_or_away_from_the_truth(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.must_add_up()?;
        }
        world.restart();
        world.must_add_up()?;
    }
}
