//! Fills on two ways at once: whatever the feed leaves out, doubles or swaps, and whenever the re-read
//! or a crash comes in between, each is counted once and the positions are the venue's.

use std::sync::Weak;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use rust_decimal::Decimal;

use super::*;
use crate::domain::clock::UnixMicros;
use crate::domain::market::Symbol;
use crate::domain::order::{OrderId, OrderStatus, Side, VenueOrderId};
use crate::journal::record::{Entry, Fact};
use crate::ports::venue::{
    Framed, Framing, OrderLane, Query, Reply, SharedVenue, Venue, VenueFill, VenuePosition,
};
use crate::trading::ledger::Ledger;
use crate::trading::orders::tests::{intent, outcome};
use crate::trading::settle::read_fills;
use crate::trading::testing::{floor, in_memory};

/// Fills in one page: few, so that a re-read takes several.
const PAGE: usize = 3;

/// A venue with a list of fills, and the feed's messages that are on their way.
struct Told {
    twin: SharedVenue,
    fills: Mutex<Vec<VenueFill>>,
    line: Mutex<Line>,
    floor: Mutex<Weak<Floor>>,
    /// Messages that arrive while a page of fills is being asked for.
    arrive_during_read: Mutex<usize>,
}

#[derive(Default)]
struct Line {
    open: bool,
    seq: u64,
    queue: Vec<FeedMessage>,
    counted_before: u64,
}

impl Venue for Told {
    fn framing(&self) -> &dyn Framing {
        self.twin.framing()
    }

    fn ask(&self, query: Query, _: Framed) -> BoxFuture<'static, Result<Reply, VenueError>> {
        let Some(floor) = self.floor.lock().upgrade() else {
            panic!("asked after the end")
        };
        let reply = self.answer(&query);
        let arriving: Vec<_> = {
            let mut line = self.line.lock();
            let many = std::mem::take(&mut *self.arrive_during_read.lock()).min(line.queue.len());
            line.queue.drain(..many).collect()
        };
        let counted_before = self.line.lock().counted_before;
        async move {
            // The answer is on its way; the feed is quicker.
            for message in arriving {
                let _ = take_in(&floor, message, counted_before).await;
            }
            Ok(reply)
        }
        .boxed()
    }

    fn lane(&self) -> Box<dyn OrderLane> {
        panic!("nothing is placed here")
    }
}

impl Told {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            twin: in_memory(),
            fills: Mutex::default(),
            line: Mutex::default(),
            floor: Mutex::default(),
            arrive_during_read: Mutex::default(),
        })
    }

    fn answer(&self, query: &Query) -> Reply {
        let fills = self.fills.lock();
        match query {
            Query::Fills { since } => {
                let since = since.as_ref().map_or(0, |at| at.parse::<usize>().unwrap());
                Reply::Fills(fills.iter().skip(since).take(PAGE).cloned().collect())
            }
            Query::Positions => Reply::Positions(vec![VenuePosition {
                symbol: symbol(),
                size: sum(&fills),
            }]),
            other => panic!("asked {other:?}"),
        }
    }

    /// An order of ours, or of somebody else, is filled; the feed tells it if it is open.
    fn fill(&self, foreign: bool, side: Side) {
        let mut fills = self.fills.lock();
        let number = fills.len() + 1;
        let fill = VenueFill {
            fill_id: number.to_string(),
            cursor: number.to_string(),
            venue_order_id: VenueOrderId::try_from(format!("v{foreign}")).unwrap(),
            order_id: (!foreign).then(|| OrderId(uuid::Uuid::from_u128(1))),
            symbol: symbol(),
            side,
            price: Decimal::from(number % 7 + 1),
            // Powers of two: from a sum it can be read which were counted, and how often.
            size: Decimal::from(1_u64 << (number - 1)),
            fee: Decimal::new(1, 3),
            at: UnixMicros(1_000),
        };
        fills.push(fill.clone());
        let mut line = self.line.lock();
        if line.open {
            line.seq += 1;
            let message = FeedMessage {
                seq: line.seq,
                sent: UnixMicros(1_000),
                news: FeedNews::Fill(Box::new(fill)),
            };
            line.queue.push(message);
        }
    }
}

fn symbol() -> Symbol {
    Symbol::parse("SEI/USDC").unwrap()
}

fn signed(fill: &VenueFill) -> Decimal {
    match fill.side {
        Side::Buy => fill.size,
        Side::Sell => -fill.size,
    }
}

fn sum(fills: &[VenueFill]) -> Decimal {
    fills.iter().map(signed).sum()
}

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    Fill { foreign: bool, buys: bool },
    Deliver,
    Double,
    LeaveOut,
    Swap,
    Cut,
    Open,
    Read { arriving: usize },
    Crash { kept: usize },
}

/// A venue and a service, which can crash.
struct Bench {
    venue: Arc<Told>,
    floor: Arc<Floor>,
    /// What the service started from.
    base: Ledger,
}

impl Bench {
    fn new() -> Self {
        let venue = Told::new();
        let floor = Arc::new(floor(venue.clone()));
        *venue.floor.lock() = Arc::downgrade(&floor);
        // One order of ours, large enough for everything.
        let order = intent(1, 1 << 60);
        floor.apply_now(&order);
        floor.apply_now(&outcome(1, OrderStatus::Open));
        let mut base = Ledger::default();
        base.orders.apply(&order, 0, UnixMicros(0), None);
        crate::trading::ledger::apply_to_exposure(&mut base.exposure, &order);
        Self { venue, floor, base }
    }

    /// The facts that are durable in the journal by now.
    async fn written(&self) -> Vec<Fact> {
        let flushed = Entry::of("test", Fact::SystemStopped);
        self.floor.journal.append(flushed).await.unwrap();
        let reader = self.floor.readers.open().unwrap();
        let size = reader.head().unwrap().size;
        let records = reader.headers(0, usize::try_from(size).unwrap()).unwrap();
        let facts = records
            .iter()
            .map(|raw| crate::journal::encoding::decode(raw).unwrap().fact);
        facts.collect()
    }

    /// The ledger after the first `kept` of what was written, as a start reads it.
    fn ledger(&self, facts: &[Fact]) -> Ledger {
        let mut ledger = self.base.clone();
        for fact in facts {
            ledger.fills.apply(fact);
            ledger.orders.apply(fact, 0, UnixMicros(0), None);
            crate::journal::views::apply_to_positions(fact, &mut ledger.positions);
            crate::trading::ledger::apply_to_exposure(&mut ledger.exposure, fact);
        }
        ledger
    }

    /// `kill -9`: what was not yet on the disk is lost, and a new process starts from the rest.
    async fn crash(&mut self, kept: usize) {
        let facts = self.written().await;
        let ledger = self.ledger(&facts[..kept.min(facts.len())]);
        let next = floor(self.venue.clone());
        *next.fills.lock().await = ledger.fills.clone();
        *next.positions.lock() = ledger.positions.clone();
        *next.orders.lock() = ledger.orders.clone();
        next.gate
            .with_exposure(|exposure| *exposure = ledger.exposure.clone());
        self.floor = Arc::new(next);
        *self.venue.floor.lock() = Arc::downgrade(&self.floor);
        self.base = ledger;
        self.cut();
    }

    fn cut(&self) {
        *self.venue.line.lock() = Line::default();
        let now = self.floor.clock.boot_millis();
        self.floor.feed.lock().ended(now, 0);
    }

    async fn hear(&self, message: FeedMessage) {
        let counted_before = self.venue.line.lock().counted_before;
        if take_in(&self.floor, message, counted_before).await.is_err() {
            self.cut();
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Fill { foreign, buys } => {
                let side = if buys { Side::Buy } else { Side::Sell };
                self.venue.fill(foreign, side);
            }
            Step::Deliver => {
                let next = {
                    let mut line = self.venue.line.lock();
                    (!line.queue.is_empty()).then(|| line.queue.remove(0))
                };
                if let Some(message) = next {
                    self.hear(message).await;
                }
            }
            Step::Double => {
                let mut line = self.venue.line.lock();
                if let Some(first) = line.queue.first().cloned() {
                    line.queue.insert(0, first);
                }
            }
            Step::LeaveOut => {
                let mut line = self.venue.line.lock();
                if !line.queue.is_empty() {
                    line.queue.remove(0);
                }
            }
            Step::Swap => {
                let mut line = self.venue.line.lock();
                if line.queue.len() > 1 {
                    line.queue.swap(0, 1);
                }
            }
            Step::Cut => self.cut(),
            Step::Open => {
                self.cut();
                let counted_before = self.floor.fills.lock().await.counted();
                *self.venue.line.lock() = Line {
                    open: true,
                    counted_before,
                    ..Line::default()
                };
                let now = self.floor.clock.boot_millis();
                self.floor.feed.lock().opened(now);
            }
            Step::Read { arriving } => {
                *self.venue.arrive_during_read.lock() = arriving;
                read_fills(&self.floor).await.unwrap();
            }
            Step::Crash { kept } => self.crash(kept).await,
        }
        // A live feed promises this, at any moment: once all that it numbered has arrived, nothing is
        // missing. (What was left out with nothing behind it is found by comparing.)
        let arrived = {
            let line = self.venue.line.lock();
            line.queue.is_empty() && line.seq == self.floor.feed.lock().heard_up_to()
        };
        let live = self.floor.feed.lock().fills_live();
        assert!(
            !(live && arrived) || self.missing().is_zero(),
            "live, and {} is missing",
            self.missing()
        );
    }

    fn missing(&self) -> Decimal {
        let here = self
            .floor
            .gate
            .with_exposure(|e| e.market(&symbol()).position);
        sum(&self.venue.fills.lock()) - here
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (any::<bool>(), any::<bool>()).prop_map(|(foreign, buys)| Step::Fill { foreign, buys }),
            8 => Just(Step::Deliver),
            2 => Just(Step::Double),
            1 => Just(Step::LeaveOut),
            2 => Just(Step::Swap),
            1 => Just(Step::Cut),
            2 => Just(Step::Open),
            3 => (0..4_usize).prop_map(|arriving| Step::Read { arriving }),
            1 => (0..40_usize).prop_map(|kept| Step::Crash { kept }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn each_fill_counts_once_whichever_way_it_came(
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut bench = Bench::new();
                bench.step(Step::Open).await;
                for step in steps {
                    let full = bench.venue.fills.lock().len() >= 40;
                    if !(full && matches!(step, Step::Fill { .. })) {
                        bench.step(step).await;
                    }
                }
                read_fills(&bench.floor).await.unwrap();
                let fills = bench.venue.fills.lock().clone();
                prop_assert_eq!(bench.missing(), Decimal::ZERO);
                let counted = bench.floor.fills.lock().await.clone();
                prop_assert_eq!(counted.counted(), fills.len() as u64);
                let held = bench.floor.positions.lock().get(&symbol()).cloned().unwrap_or_default();
                let paid: Decimal = fills.iter().map(|fill| signed(fill) * fill.price).sum();
                prop_assert_eq!(held.size, sum(&fills));
                prop_assert_eq!(held.fees, fills.iter().map(|fill| fill.fee).sum::<Decimal>());
                prop_assert_eq!(held.realised, held.cost - paid);
                // A restart comes to the same.
                let ledger = bench.ledger(&bench.written().await);
                prop_assert_eq!(ledger.fills, counted);
                prop_assert_eq!(ledger.positions.get(&symbol()).cloned().unwrap_or_default(), held);
                Ok(())
            })?;
        }
    }
}
