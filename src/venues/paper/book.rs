//! Price-time matching of one market: resting orders and a reference book that moves under them.
//!
//! Pure: no time, no accounts' money, no I/O. Makers are taken best price first; at one price the
//! reference goes first, then the order that came first. An execution happens at the maker's price.
//! A level of the reference offers its depth once and again after each move; a book that stands
//! still does not refill by itself. An order never trades with its own account: what would is left
//! over and marked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::order::Side;
use super::reference::Quote;

/// How many levels, one tick apart, the reference quotes on each side when its depth is limited.
pub const REFERENCE_LEVELS: u64 = 20;

/// Most levels on each side that a picture of the book shows.
pub const SHOWN_LEVELS_MAX: usize = 10;

/// An order, or the rest of one, that waits to be matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resting {
    /// The venue's number of the order; the smaller came first.
    pub number: u64,
    /// Whose it is.
    pub account: Arc<str>,
    /// Limit in ticks.
    pub ticks: u64,
    /// What is left of it, in lots, above zero.
    pub lots: u64,
}

/// Who was on the resting side of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// The reference book.
    Reference,
    /// The resting order of that number.
    Order(u64),
}

/// One match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// At what price, in ticks: the maker's.
    pub ticks: u64,
    /// How much, in lots.
    pub lots: u64,
    /// With whom.
    pub maker: Maker,
}

/// What became of an order that takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its matches, in order.
    pub executions: Vec<Execution>,
    /// What is left of it, in lots.
    pub left: u64,
    /// Whether the rest stopped because the next match would have been with its own account.
    pub met_own_order: bool,
}

/// One price and what is offered at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Price in ticks.
    pub ticks: u64,
    /// Size in lots; `None` is as much as anyone wants.
    pub lots: Option<u64>,
}

/// One side of the book. Keys order it from the best price to the worst.
#[derive(Debug, Default)]
struct Half {
    /// By price key, then number.
    resting: BTreeMap<(u64, u64), Resting>,
    /// What was taken from each reference level since the last move, by price in ticks.
    taken: BTreeMap<u64, u64>,
}

/// The book of one market.
#[derive(Debug)]
pub struct Book {
    quote: Quote,
    /// Depth of one reference level in lots; `None` is unlimited.
    depth_lots: Option<u64>,
    bids: Half,
    asks: Half,
}

impl Book {
    /// Makes an empty book around the reference's quotes.
    pub fn new(quote: Quote, depth_lots: Option<u64>) -> Self {
        Self {
            quote,
            depth_lots,
            bids: Half::default(),
            asks: Half::default(),
        }
    }

    /// Whether an order would match anything at all.
    pub fn would_match(&self, side: Side, limit_ticks: u64) -> bool {
        let makers = side.opposite();
        let best = [
            self.best_reference(makers).map(|level| level.ticks),
            self.best_resting(makers).map(|order| order.ticks),
        ];
        best.into_iter()
            .flatten()
            .any(|ticks| reaches(side, limit_ticks, ticks))
    }

    /// Matches an incoming order against the book, down to its limit. The rest is not added.
    pub fn take(&mut self, side: Side, account: &str, limit_ticks: u64, lots: u64) -> Taken {
        let makers = side.opposite();
        let mut taken = Taken {
            executions: Vec::new(),
            left: lots,
            met_own_order: false,
        };
        while taken.left > 0 {
            let reference = self.best_reference(makers);
            let resting = self
                .best_resting(makers)
                .map(|order| (order.ticks, order.lots, order));
            let execution = match (reference, resting) {
                (Some(level), Some((ticks, ..)))
                    if price_key(makers, level.ticks) <= price_key(makers, ticks) =>
                {
                    from_reference(level, taken.left)
                }
                (_, Some((ticks, available, order))) => {
                    if reaches(side, limit_ticks, ticks) && order.account.as_ref() == account {
                        taken.met_own_order = true;
                        break;
                    }
                    let maker = Maker::Order(order.number);
                    Execution {
                        ticks,
                        lots: available.min(taken.left),
                        maker,
                    }
                }
                (Some(level), None) => from_reference(level, taken.left),
                (None, None) => break,
            };
            if !reaches(side, limit_ticks, execution.ticks) {
                break;
            }
            self.consume(makers, execution);
            taken.left -= execution.lots;
            taken.executions.push(execution);
        }
        taken
    }

    /// Adds what waits. An order that could match must have been matched before.
    pub fn rest(&mut self, side: Side, order: Resting) {
        if order.lots > 0 {
            let key = (price_key(side, order.ticks), order.number);
            self.half_mut(side).resting.insert(key, order);
        }
    }

    /// Takes an order out; false when it does not rest here.
    pub fn remove(&mut self, side: Side, ticks: u64, number: u64) -> bool {
        self.half_mut(side)
            .resting
            .remove(&(price_key(side, ticks), number))
            .is_some()
    }

    /// Moves the reference, refills its levels, and matches every resting order that it now crosses,
    /// at the resting order's own price. In each execution the named order is the maker.
    pub fn move_reference(&mut self, quote: Quote) -> Vec<Execution> {
        self.quote = quote;
        self.bids.taken.clear();
        self.asks.taken.clear();
        let mut executions = Vec::new();
        for side in [Side::Buy, Side::Sell] {
            while let Some(execution) = self.crossed(side) {
                executions.push(execution);
            }
        }
        executions
    }

    /// The best levels of one side, resting orders and reference together, best first.
    pub fn levels(&self, side: Side) -> Vec<Level> {
        let mut by_price: BTreeMap<u64, Level> = BTreeMap::new();
        let mut add = |ticks: u64, lots: Option<u64>| {
            let level = by_price.entry(price_key(side, ticks)).or_insert(Level {
                ticks,
                lots: Some(0),
            });
            level.lots = level
                .lots
                .zip(lots)
                .map(|(sum, more)| sum.saturating_add(more));
        };
        for level in self.reference_levels(side) {
            add(level.ticks, level.lots);
        }
        let mut shown = 0;
        let mut last = None;
        for order in self.half(side).resting.values() {
            shown += usize::from(last != Some(order.ticks));
            if shown > SHOWN_LEVELS_MAX {
                break;
            }
            last = Some(order.ticks);
            add(order.ticks, Some(order.lots));
        }
        by_price.into_values().take(SHOWN_LEVELS_MAX).collect()
    }

    /// Executes the best resting order of a side against the reference, if the reference crosses it.
    fn crossed(&mut self, side: Side) -> Option<Execution> {
        let level = self.best_reference(side.opposite())?;
        let order = self.best_resting(side)?;
        if !reaches(side, order.ticks, level.ticks) {
            return None;
        }
        let lots = level
            .lots
            .map_or(order.lots, |offered| offered.min(order.lots));
        let execution = Execution {
            ticks: order.ticks,
            lots,
            maker: Maker::Order(order.number),
        };
        let used = Execution {
            ticks: level.ticks,
            lots,
            maker: Maker::Reference,
        };
        self.consume(side.opposite(), used);
        self.consume(side, execution);
        Some(execution)
    }

    fn consume(&mut self, makers: Side, execution: Execution) {
        let limited = self.depth_lots.is_some();
        let half = self.half_mut(makers);
        match execution.maker {
            Maker::Reference if limited => {
                let taken = half.taken.entry(execution.ticks).or_default();
                *taken = taken.saturating_add(execution.lots);
            }
            Maker::Reference => {}
            Maker::Order(number) => {
                let key = (price_key(makers, execution.ticks), number);
                if let Some(order) = half.resting.get_mut(&key) {
                    order.lots = order.lots.saturating_sub(execution.lots);
                    if order.lots == 0 {
                        half.resting.remove(&key);
                    }
                }
            }
        }
    }

    fn best_reference(&self, side: Side) -> Option<Level> {
        self.reference_levels(side).next()
    }

    /// The reference's levels of one side that still offer something, best first.
    fn reference_levels(&self, side: Side) -> impl Iterator<Item = Level> {
        let taken = &self.half(side).taken;
        (0..REFERENCE_LEVELS).filter_map(move |away| {
            let ticks = match side {
                Side::Buy => self
                    .quote
                    .bid
                    .checked_sub(away)
                    .filter(|ticks| *ticks > 0)?,
                Side::Sell => self.quote.ask.checked_add(away)?,
            };
            let lots = self
                .depth_lots
                .map(|depth| depth.saturating_sub(taken.get(&ticks).copied().unwrap_or_default()));
            (lots != Some(0)).then_some(Level { ticks, lots })
        })
    }

    fn best_resting(&self, side: Side) -> Option<&Resting> {
        self.half(side).resting.values().next()
    }

    fn half(&self, side: Side) -> &Half {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

fn from_reference(level: Level, wanted: u64) -> Execution {
    let lots = level.lots.map_or(wanted, |offered| offered.min(wanted));
    Execution {
        ticks: level.ticks,
        lots,
        maker: Maker::Reference,
    }
}

/// Whether an order with that limit trades at that price.
fn reaches(side: Side, limit_ticks: u64, ticks: u64) -> bool {
    match side {
        Side::Buy => ticks <= limit_ticks,
        Side::Sell => ticks >= limit_ticks,
    }
}

/// Orders the prices of one side from the best to the worst.
fn price_key(side: Side, ticks: u64) -> u64 {
    match side {
        Side::Buy => u64::MAX - ticks,
        Side::Sell => ticks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTE: Quote = Quote {
        bid: 2499,
        ask: 2501,
    };

    fn resting(number: u64, account: &str, ticks: u64, lots: u64) -> Resting {
        Resting {
            number,
            account: account.into(),
            ticks,
            lots,
        }
    }

    #[test]
    fn an_unlimited_reference_fills_a_crossing_order_at_its_quote() {
        let mut book = Book::new(QUOTE, None);
        let taken = book.take(Side::Buy, "a", 2510, 1_000_000);
        let all = Execution {
            ticks: 2501,
            lots: 1_000_000,
            maker: Maker::Reference,
        };
        assert_eq!(
            taken,
            Taken {
                executions: vec![all],
                left: 0,
                met_own_order: false
            }
        );
    }

    #[test]
    fn an_order_at_the_quote_matches_and_one_tick_short_does_not() {
        let book = Book::new(QUOTE, None);
        assert!(book.would_match(Side::Buy, 2501) && !book.would_match(Side::Buy, 2500));
        assert!(book.would_match(Side::Sell, 2499) && !book.would_match(Side::Sell, 2500));
    }

    #[test]
    fn limited_levels_are_used_up_from_the_best_outward_and_refill_with_a_move() {
        let mut book = Book::new(QUOTE, Some(60));
        let taken = book.take(Side::Buy, "a", 2502, 150);
        let prices = taken
            .executions
            .iter()
            .map(|e| (e.ticks, e.lots))
            .collect::<Vec<_>>();
        assert_eq!((prices, taken.left), (vec![(2501, 60), (2502, 60)], 30));
        assert_eq!(book.take(Side::Buy, "a", 2502, 1).left, 1);
        book.move_reference(QUOTE);
        assert_eq!(book.take(Side::Buy, "a", 2502, 1).left, 0);
    }

    #[test]
    fn resting_orders_fill_at_their_own_price_when_the_reference_crosses_them() {
        let mut book = Book::new(QUOTE, None);
        book.rest(Side::Buy, resting(1, "a", 2490, 5));
        book.rest(Side::Buy, resting(2, "a", 2495, 5));
        assert_eq!(
            book.move_reference(Quote {
                bid: 2494,
                ask: 2496
            }),
            []
        );
        let filled = book.move_reference(Quote {
            bid: 2493,
            ask: 2495,
        });
        assert_eq!(
            filled,
            [Execution {
                ticks: 2495,
                lots: 5,
                maker: Maker::Order(2)
            }]
        );
        assert!(book.remove(Side::Buy, 2490, 1) && !book.remove(Side::Buy, 2495, 2));
    }

    #[test]
    fn a_better_resting_order_goes_before_the_reference_and_an_equal_one_after_it() {
        let mut book = Book::new(QUOTE, Some(10));
        book.rest(Side::Sell, resting(1, "b", 2501, 10));
        book.rest(Side::Sell, resting(2, "b", 2500, 10));
        let makers = book.take(Side::Buy, "a", 2501, 30).executions;
        let makers = makers.into_iter().map(|e| e.maker).collect::<Vec<_>>();
        assert_eq!(makers, [Maker::Order(2), Maker::Reference, Maker::Order(1)]);
    }

    #[test]
    fn an_order_stops_before_its_own_account() {
        let mut book = Book::new(QUOTE, None);
        book.rest(Side::Sell, resting(1, "a", 2500, 10));
        let own = book.take(Side::Buy, "a", 2510, 5);
        assert_eq!(
            (own.executions.len(), own.left, own.met_own_order),
            (0, 5, true)
        );
        let short = book.take(Side::Buy, "a", 2499, 5);
        assert!(
            !short.met_own_order,
            "an order that does not reach its own is left alone"
        );
        assert_eq!(book.take(Side::Buy, "b", 2510, 5).left, 0);
    }

    #[test]
    fn a_picture_shows_resting_orders_and_the_reference_together() {
        let mut book = Book::new(QUOTE, Some(7));
        book.rest(Side::Buy, resting(1, "a", 2500, 3));
        book.rest(Side::Buy, resting(2, "a", 2499, 4));
        let best = book.levels(Side::Buy);
        let first = [
            Level {
                ticks: 2500,
                lots: Some(3),
            },
            Level {
                ticks: 2499,
                lots: Some(11),
            },
        ];
        assert_eq!(best[..2], first);
        assert_eq!(best.len(), SHOWN_LEVELS_MAX);
        assert_eq!(Book::new(QUOTE, None).levels(Side::Sell)[0].lots, None);
    }

    mod properties {
        use proptest::prelude::*;

        use super::super::*;

        /// The same rules in the plainest form: lists that are searched from end to end.
        struct Naive {
            quote: Quote,
            depth: Option<u64>,
            reference: Vec<(Side, u64, u64)>,
            resting: Vec<(Side, Resting)>,
        }

        impl Naive {
            fn new(quote: Quote, depth: Option<u64>) -> Self {
                let mut naive = Self {
                    quote,
                    depth,
                    reference: Vec::new(),
                    resting: Vec::new(),
                };
                naive.refill();
                naive
            }

            fn refill(&mut self) {
                let depth = self.depth.unwrap_or(u64::MAX);
                self.reference.clear();
                for away in 0..REFERENCE_LEVELS {
                    self.reference
                        .push((Side::Sell, self.quote.ask + away, depth));
                    if self.quote.bid > away {
                        self.reference
                            .push((Side::Buy, self.quote.bid - away, depth));
                    }
                }
            }

            /// Better prices first, then the reference, then the smaller number.
            fn best(&self, makers: Side, with_orders: bool) -> Option<(u64, Maker)> {
                let offers = self
                    .reference
                    .iter()
                    .filter(|(side, _, lots)| *side == makers && *lots > 0);
                let mut all = offers.map(|(_, ticks, _)| (*ticks, 0)).collect::<Vec<_>>();
                if with_orders {
                    let orders = self.resting.iter().filter(|(side, _)| *side == makers);
                    all.extend(orders.map(|(_, order)| (order.ticks, order.number)));
                }
                all.sort_by(|a, b| {
                    let price = if makers == Side::Buy {
                        b.0.cmp(&a.0)
                    } else {
                        a.0.cmp(&b.0)
                    };
                    price.then(a.1.cmp(&b.1))
                });
                all.first().map(|(ticks, number)| {
                    (
                        *ticks,
                        if *number == 0 {
                            Maker::Reference
                        } else {
                            Maker::Order(*number)
                        },
                    )
                })
            }

            fn lots(&mut self, makers: Side, ticks: u64, maker: Maker) -> &mut u64 {
                match maker {
                    Maker::Reference => {
                        let mut levels = self.reference.iter_mut();
                        &mut levels
                            .find(|(side, at, _)| *side == makers && *at == ticks)
                            .unwrap()
                            .2
                    }
                    Maker::Order(number) => {
                        let mut orders = self.resting.iter_mut();
                        &mut orders
                            .find(|(_, order)| order.number == number)
                            .unwrap()
                            .1
                            .lots
                    }
                }
            }

            fn use_up(&mut self, makers: Side, ticks: u64, maker: Maker, lots: u64) {
                let unlimited = self.depth.is_none() && maker == Maker::Reference;
                if !unlimited {
                    *self.lots(makers, ticks, maker) -= lots;
                }
                self.resting.retain(|(_, order)| order.lots > 0);
            }

            fn take(&mut self, side: Side, account: &str, limit: u64, mut left: u64) -> Taken {
                let (makers, mut executions) = (side.opposite(), Vec::new());
                while left > 0 {
                    let Some((ticks, maker)) = self.best(makers, true) else {
                        break;
                    };
                    let beyond = if side == Side::Buy {
                        ticks > limit
                    } else {
                        ticks < limit
                    };
                    if beyond {
                        break;
                    }
                    let own = self.resting.iter().any(|(_, order)| {
                        maker == Maker::Order(order.number) && order.account.as_ref() == account
                    });
                    if own {
                        return Taken {
                            executions,
                            left,
                            met_own_order: true,
                        };
                    }
                    let lots = left.min(*self.lots(makers, ticks, maker));
                    self.use_up(makers, ticks, maker, lots);
                    executions.push(Execution { ticks, lots, maker });
                    left -= lots;
                }
                Taken {
                    executions,
                    left,
                    met_own_order: false,
                }
            }

            fn move_reference(&mut self, quote: Quote) -> Vec<Execution> {
                self.quote = quote;
                self.refill();
                let mut executions = Vec::new();
                for side in [Side::Buy, Side::Sell] {
                    loop {
                        let mut own = self
                            .resting
                            .iter()
                            .filter(|(s, _)| *s == side)
                            .collect::<Vec<_>>();
                        own.sort_by_key(|(_, order)| {
                            let ticks = i128::from(order.ticks);
                            (if side == Side::Buy { -ticks } else { ticks }, order.number)
                        });
                        let Some(order) = own.first().map(|(_, order)| order.clone()) else {
                            break;
                        };
                        let Some((ticks, _)) = self.best(side.opposite(), false) else {
                            break;
                        };
                        let crosses = if side == Side::Buy {
                            ticks <= order.ticks
                        } else {
                            ticks >= order.ticks
                        };
                        if !crosses {
                            break;
                        }
                        let lots =
                            order
                                .lots
                                .min(*self.lots(side.opposite(), ticks, Maker::Reference));
                        self.use_up(side.opposite(), ticks, Maker::Reference, lots);
                        self.use_up(side, order.ticks, Maker::Order(order.number), lots);
                        executions.push(Execution {
                            ticks: order.ticks,
                            lots,
                            maker: Maker::Order(order.number),
                        });
                    }
                }
                executions
            }
        }

        #[derive(Debug, Clone)]
        enum Step {
            Order {
                buy: bool,
                own: bool,
                ticks: u64,
                lots: u64,
                rests: bool,
            },
            Move {
                bid: u64,
                spread: u64,
            },
            Cancel {
                pick: usize,
            },
        }

        fn step() -> impl Strategy<Value = Step> {
            prop_oneof![
                6 => (any::<bool>(), any::<bool>(), 80_u64..120, 1_u64..40, any::<bool>()).prop_map(
                    |(buy, own, ticks, lots, rests)| Step::Order { buy, own, ticks, lots, rests }
                ),
                3 => (85_u64..115, 1_u64..4).prop_map(|(bid, spread)| Step::Move { bid, spread }),
                1 => (0_usize..8).prop_map(|pick| Step::Cancel { pick }),
            ]
        }

        proptest! {
            #[test]
            fn the_book_does_what_the_naive_model_does(
                depth in prop_oneof![Just(None), (1_u64..30).prop_map(Some)],
                steps in prop::collection::vec(step(), 1..80),
            ) {
                let quote = Quote { bid: 99, ask: 101 };
                let (mut book, mut naive) = (Book::new(quote, depth), Naive::new(quote, depth));
                for (number, step) in (1_u64..).zip(steps) {
                    match step {
                        Step::Order { buy, own, ticks, lots, rests } => {
                            let side = if buy { Side::Buy } else { Side::Sell };
                            let account = if own { "a" } else { "b" };
                            let expected = naive.take(side, account, ticks, lots);
                            prop_assert_eq!(book.would_match(side, ticks),
                                !expected.executions.is_empty() || expected.met_own_order);
                            let taken = book.take(side, account, ticks, lots);
                            prop_assert_eq!(&taken, &expected);
                            for execution in &taken.executions {
                                prop_assert!(reaches(side, ticks, execution.ticks), "worse than the limit");
                            }
                            let filled = taken.executions.iter().map(|e| e.lots).sum::<u64>();
                            prop_assert_eq!(filled + taken.left, lots, "lots were made or lost");
                            if rests && taken.left > 0 && !taken.met_own_order {
                                let order = Resting { number, account: account.into(), ticks, lots: taken.left };
                                book.rest(side, order.clone());
                                naive.resting.push((side, order));
                            }
                        }
                        Step::Move { bid, spread } => {
                            let quote = Quote { bid, ask: bid + spread };
                            prop_assert_eq!(book.move_reference(quote), naive.move_reference(quote));
                        }
                        Step::Cancel { pick } if !naive.resting.is_empty() => {
                            let (side, order) = naive.resting.remove(pick % naive.resting.len());
                            prop_assert!(book.remove(side, order.ticks, order.number));
                        }
                        Step::Cancel { .. } => {}
                    }
                    let (bids, asks) = (book.levels(Side::Buy), book.levels(Side::Sell));
                    if let (Some(bid), Some(ask)) = (bids.first(), asks.first()) {
                        prop_assert!(bid.ticks < ask.ticks, "crossed: {:?} {:?}", bid, ask);
                    }
                }
            }
        }
    }
}
