//! The paper venue's rules: what it accepts, how an order lives, what each match does to an account.
//!
//! Pure: every call takes the instant and returns the changes that must be stored before anyone is
//! told. Signatures and credentials were checked before; looking up ids of closed orders is the
//! store's. Memory holds live orders and positions only, both bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::account::{Account, Position};
use super::book::{Book, Execution, Level, Maker, Resting};
use super::market::{AmountError, MAKER_FEE_BPS, MARKETS, Market, TAKER_FEE_BPS, find};
use super::order::{Fill, Liquidity, NewOrder, Order, OrderType, Side, Status};
use super::reference::Reference;

/// Most live orders of one account.
pub const LIVE_ORDERS_PER_ACCOUNT_MAX: usize = 5_000;

/// Largest position, live orders included or not, in lots. Keeps every sum inside its type.
const POSITION_LOTS_MAX: u64 = 1_000_000_000_000_000;

/// What must be written down before anyone is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An order was accepted; comes after its first [`Change::Order`].
    Accepted(Order),
    /// An order is new or is no longer as it was.
    Order(Order),
    /// An order was filled in part or whole.
    Fill(Fill),
    /// An account's position in a market is now this.
    Position {
        /// Whose.
        account: Arc<str>,
        /// Index of the market.
        market: usize,
        /// What it is now.
        position: Position,
    },
}

/// What the store knew when the venue started.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Live orders in order of their numbers.
    pub live: Vec<Order>,
    /// Positions by account and index of the market.
    pub positions: Vec<(Arc<str>, usize, Position)>,
    /// The last order number given.
    pub last_order: u64,
    /// The last fill id given.
    pub last_fill: u64,
    /// Where each reference stood, by index of the market, in billionths of a USDC.
    pub references: BTreeMap<usize, u64>,
}

/// A moving market: its reference and its book.
#[derive(Debug)]
struct Trading {
    market: &'static Market,
    reference: Reference,
    book: Book,
}

/// How the venue's market behaves.
#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    /// Standard deviation of the reference after one second, in basis points; 0 stands still.
    pub volatility_bps_per_s: u32,
    /// Depth of one reference level in whole base units; 0 is unlimited.
    pub depth_per_level: u64,
    /// Seed of the walk.
    pub seed: u64,
}

/// All state of the venue that is kept in memory.
#[derive(Debug)]
pub struct Exchange {
    markets: Vec<Trading>,
    live: BTreeMap<u64, Order>,
    accounts: BTreeMap<Arc<str>, Account>,
    last_order: u64,
    last_fill: u64,
}

/// Why the venue refused an order, as a code and a sentence.
type Refusal = (&'static str, String);

impl Exchange {
    /// Puts the venue together again from what it remembered, and matches what the reference crosses.
    pub fn restore(
        remembered: Remembered,
        behaviour: Behaviour,
        now_ms: u64,
    ) -> (Self, Vec<Change>) {
        let markets = (0_u64..).zip(&MARKETS).enumerate();
        let markets = markets.map(|(index, (salt, market))| {
            let mid = remembered
                .references
                .get(&index)
                .copied()
                .unwrap_or(market.reference_nano);
            let seed = behaviour.seed.wrapping_add(salt);
            let reference =
                Reference::new(market, mid, behaviour.volatility_bps_per_s, seed, now_ms);
            let lots_per_unit = 10_u64.saturating_pow(market.size_decimals);
            let depth = behaviour.depth_per_level.saturating_mul(lots_per_unit);
            let book = Book::new(reference.quote(), (depth > 0).then_some(depth));
            Trading {
                market,
                reference,
                book,
            }
        });
        let mut exchange = Self {
            markets: markets.collect(),
            live: BTreeMap::new(),
            accounts: BTreeMap::new(),
            last_order: remembered.last_order,
            last_fill: remembered.last_fill,
        };
        for (account, market, position) in remembered.positions {
            exchange
                .accounts
                .entry(account)
                .or_default()
                .positions
                .insert(market, position);
        }
        for order in remembered.live {
            exchange.restore_order(order);
        }
        let mut changes = Vec::new();
        for index in 0..exchange.markets.len() {
            exchange.requote(index, now_ms, &mut changes);
        }
        (exchange, changes)
    }

    /// Walks the references up to an instant and matches what they cross.
    pub fn advance(&mut self, now_ms: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for index in 0..self.markets.len() {
            let Some(trading) = self.markets.get_mut(index) else {
                continue;
            };
            for _ in 0..trading.reference.steps_due(now_ms) {
                if let Some(trading) = self.markets.get_mut(index) {
                    trading.reference.step();
                }
                self.requote(index, now_ms, &mut changes);
            }
        }
        changes
    }

    /// Accepts an order and matches it, or rejects it. Either way it is now known by its id.
    pub fn place(
        &mut self,
        account: &Arc<str>,
        terms: NewOrder,
        now_ms: u64,
    ) -> (Order, Vec<Change>) {
        self.last_order += 1;
        let mut order = Order {
            number: self.last_order,
            account: Arc::clone(account),
            terms,
            filled_lots: 0,
            status: Status::Open,
            accepted_at_ms: now_ms,
            closed_at_ms: None,
            reason: None,
        };
        let mut changes = Vec::new();
        match self.admit(&order, now_ms) {
            Ok((index, ticks, lots)) => {
                changes.push(Change::Order(order.clone()));
                changes.push(Change::Accepted(order.clone()));
                self.accounts
                    .entry(Arc::clone(account))
                    .or_default()
                    .live_orders += 1;
                self.match_new(&mut order, index, ticks, lots, now_ms, &mut changes);
            }
            Err((code, message)) => {
                order.status = Status::Rejected;
                order.closed_at_ms = Some(now_ms);
                order.reason = Some(format!("{code}: {message}"));
            }
        }
        changes.push(Change::Order(order.clone()));
        (order, changes)
    }

    /// Cancels a live order of an account. `None` when it is not live, or not that account's.
    pub fn cancel(
        &mut self,
        account: &str,
        number: u64,
        now_ms: u64,
    ) -> Option<(Order, Vec<Change>)> {
        self.live
            .get(&number)
            .filter(|order| order.account.as_ref() == account)?;
        let mut order = self.live.remove(&number)?;
        if let Some((index, ticks)) = grid_price(&order)
            && let Some(trading) = self.markets.get_mut(index)
        {
            trading.book.remove(order.terms.side, ticks, number);
        }
        self.close(&mut order, Status::Cancelled, now_ms);
        let change = Change::Order(order.clone());
        Some((order, vec![change]))
    }

    /// Cancels every live order of an account, oldest first.
    pub fn cancel_all(&mut self, account: &str, now_ms: u64) -> (Vec<Order>, Vec<Change>) {
        let numbers = self
            .live_orders(account)
            .map(|order| order.number)
            .collect::<Vec<_>>();
        let (mut orders, mut changes) = (Vec::new(), Vec::new());
        for number in numbers {
            if let Some((order, change)) = self.cancel(account, number, now_ms) {
                orders.push(order);
                changes.extend(change);
            }
        }
        (orders, changes)
    }

    /// The live orders of an account, oldest first.
    pub fn live_orders(&self, account: &str) -> impl Iterator<Item = &Order> {
        self.live
            .values()
            .filter(move |order| order.account.as_ref() == account)
    }

    /// The positions of an account by index of the market.
    pub fn positions(&self, account: &str) -> BTreeMap<usize, Position> {
        self.accounts
            .get(account)
            .map(|held| held.positions.clone())
            .unwrap_or_default()
    }

    /// The best levels of a market: bids, asks.
    pub fn book(&self, market: usize) -> Option<(Vec<Level>, Vec<Level>)> {
        let book = &self.markets.get(market)?.book;
        Some((book.levels(Side::Buy), book.levels(Side::Sell)))
    }

    /// Where each reference stands, by index of the market, in billionths of a USDC.
    pub fn references(&self) -> impl Iterator<Item = (usize, u64)> {
        self.markets
            .iter()
            .map(|trading| trading.reference.mid_nano())
            .enumerate()
    }

    fn admit(&self, order: &Order, now_ms: u64) -> Result<(usize, u64, u64), Refusal> {
        let terms = &order.terms;
        let (index, market) = find(&terms.market).ok_or_else(|| {
            (
                "UNKNOWN_MARKET",
                format!("market_id {:?} is not traded", terms.market),
            )
        })?;
        let ticks = market
            .ticks(&terms.price)
            .map_err(|error| off_grid("price", error, market.tick()))?;
        let lots = market
            .lots(&terms.quantity)
            .map_err(|error| off_grid("quantity", error, market.lot()))?;
        if u128::from(ticks) * u128::from(lots) < market.least_notional_units {
            let least = i128::try_from(market.least_notional_units).unwrap_or(i128::MAX);
            let least = super::market::units_text(least, market.notional_decimals());
            return Err((
                "LEAST_NOTIONAL",
                format!("price times quantity is below {least} USDC"),
            ));
        }
        if now_ms > terms.expires_at_ms {
            let late = now_ms - terms.expires_at_ms;
            return Err(("EXPIRED", format!("expires_at_ms passed {late} ms ago")));
        }
        let held = self.accounts.get(&order.account);
        if held.is_some_and(|held| held.live_orders >= LIVE_ORDERS_PER_ACCOUNT_MAX) {
            let message = format!("{LIVE_ORDERS_PER_ACCOUNT_MAX} orders are open already");
            return Err(("TOO_MANY_OPEN_ORDERS", message));
        }
        let position = held.and_then(|held| held.positions.get(&index));
        let lots_held = position.map_or(0, |position| position.lots.unsigned_abs());
        if lots_held.saturating_add(lots) > POSITION_LOTS_MAX {
            return Err((
                "POSITION_TOO_LARGE",
                "the position would be too large".to_owned(),
            ));
        }
        let book = self.markets.get(index).map(|trading| &trading.book);
        let takes = book.is_some_and(|book| book.would_match(terms.side, ticks));
        if terms.kind == OrderType::PostOnly && takes {
            return Err((
                "POST_ONLY_WOULD_TAKE",
                "price would match at once".to_owned(),
            ));
        }
        Ok((index, ticks, lots))
    }

    fn match_new(
        &mut self,
        order: &mut Order,
        index: usize,
        ticks: u64,
        lots: u64,
        now_ms: u64,
        changes: &mut Vec<Change>,
    ) {
        let Some(trading) = self.markets.get_mut(index) else {
            return;
        };
        let side = order.terms.side;
        let taken = trading.book.take(side, &order.account, ticks, lots);
        for execution in &taken.executions {
            self.fill(order, index, *execution, Liquidity::Taker, now_ms, changes);
            self.fill_maker(index, *execution, now_ms, changes);
        }
        if taken.left == 0 {
            self.close(order, Status::Filled, now_ms);
        } else if taken.met_own_order || order.terms.kind == OrderType::Ioc {
            order.reason = taken
                .met_own_order
                .then(|| "SELF_TRADE: the rest met an order of the same account".to_owned());
            self.close(order, Status::Cancelled, now_ms);
        } else {
            if order.filled_lots > 0 {
                order.status = Status::PartiallyFilled;
            }
            let account = Arc::clone(&order.account);
            let rest = Resting {
                number: order.number,
                account,
                ticks,
                lots: taken.left,
            };
            if let Some(trading) = self.markets.get_mut(index) {
                trading.book.rest(side, rest);
            }
            self.live.insert(order.number, order.clone());
        }
    }

    /// Moves a market's book to its reference and fills what it crosses.
    fn requote(&mut self, index: usize, now_ms: u64, changes: &mut Vec<Change>) {
        let Some(trading) = self.markets.get_mut(index) else {
            return;
        };
        let quote = trading.reference.quote();
        for execution in trading.book.move_reference(quote) {
            self.fill_maker(index, execution, now_ms, changes);
        }
    }

    /// Fills the resting order of an execution, if it was one, and closes it when nothing is left.
    fn fill_maker(
        &mut self,
        index: usize,
        execution: Execution,
        now_ms: u64,
        changes: &mut Vec<Change>,
    ) {
        let Maker::Order(number) = execution.maker else {
            return;
        };
        let Some(mut order) = self.live.remove(&number) else {
            return;
        };
        self.fill(
            &mut order,
            index,
            execution,
            Liquidity::Maker,
            now_ms,
            changes,
        );
        let whole = self
            .markets
            .get(index)
            .and_then(|t| t.market.lots(&order.terms.quantity).ok());
        if whole.is_none_or(|lots| order.filled_lots >= lots) {
            self.close(&mut order, Status::Filled, now_ms);
        } else {
            order.status = Status::PartiallyFilled;
            self.live.insert(number, order.clone());
        }
        changes.push(Change::Order(order));
    }

    fn fill(
        &mut self,
        order: &mut Order,
        index: usize,
        execution: Execution,
        liquidity: Liquidity,
        now_ms: u64,
        changes: &mut Vec<Change>,
    ) {
        let Some(market) = MARKETS.get(index) else {
            return;
        };
        let bps = match liquidity {
            Liquidity::Maker => MAKER_FEE_BPS,
            Liquidity::Taker => TAKER_FEE_BPS,
        };
        self.last_fill += 1;
        let fill = Fill {
            id: self.last_fill,
            account: Arc::clone(&order.account),
            order_number: order.number,
            client_order_id: order.terms.client_order_id.clone(),
            market: index,
            side: order.terms.side,
            ticks: execution.ticks,
            lots: execution.lots,
            fee_units: market.fee_units(execution.ticks, execution.lots, bps),
            liquidity,
            at_ms: now_ms,
        };
        order.filled_lots = order.filled_lots.saturating_add(execution.lots);
        let held = self.accounts.entry(Arc::clone(&order.account)).or_default();
        let position = held.positions.entry(index).or_default();
        position.add(&fill);
        let position = position.clone();
        changes.push(Change::Fill(fill));
        changes.push(Change::Position {
            account: Arc::clone(&order.account),
            market: index,
            position,
        });
    }

    fn close(&mut self, order: &mut Order, status: Status, now_ms: u64) {
        order.status = status;
        order.closed_at_ms = Some(now_ms);
        if let Some(held) = self.accounts.get_mut(&order.account) {
            held.live_orders = held.live_orders.saturating_sub(1);
        }
    }

    fn restore_order(&mut self, order: Order) {
        let Some((index, ticks)) = grid_price(&order) else {
            return;
        };
        let Some(trading) = self.markets.get_mut(index) else {
            return;
        };
        let lots = trading
            .market
            .lots(&order.terms.quantity)
            .unwrap_or_default();
        let lots = lots.saturating_sub(order.filled_lots);
        let account = Arc::clone(&order.account);
        trading.book.rest(
            order.terms.side,
            Resting {
                number: order.number,
                account,
                ticks,
                lots,
            },
        );
        self.accounts
            .entry(Arc::clone(&order.account))
            .or_default()
            .live_orders += 1;
        self.live.insert(order.number, order);
    }
}

/// The market and the price in ticks of an order that was once admitted.
fn grid_price(order: &Order) -> Option<(usize, u64)> {
    let (index, market) = find(&order.terms.market)?;
    Some((index, market.ticks(&order.terms.price).ok()?))
}

fn off_grid(field: &'static str, error: AmountError, step: String) -> Refusal {
    let code = match (error, field) {
        (AmountError::OffGrid, "price") => "TICK_SIZE",
        (AmountError::OffGrid, _) => "LOT_SIZE",
        _ => "AMOUNT_OUT_OF_RANGE",
    };
    (code, format!("{field} {error}; the step is {step}"))
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
