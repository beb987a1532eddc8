//! What positions and open orders add up to, exactly, per market and side.
//!
//! Pure bookkeeping: a reservation is made once per holder, shrinks with fills, and goes with a
//! terminal fact. Sums, the best own price of each side and the number of orders in doubt are kept
//! with every change, so that a rule looks them up and never scans. It knows no limit and no venue.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::market::Symbol;
use crate::domain::order::{Order, OrderId, Side, VenueOrderId};

/// Who holds a reservation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// An order of this process.
    Ours(OrderId),
    /// An order that rests at the venue and is not in the journal.
    Foreign(VenueOrderId),
}

impl Holder {
    /// Our id of the order, or the venue's for one that is not ours.
    pub fn id(&self) -> String {
        match self {
            Self::Ours(id) => id.to_string(),
            Self::Foreign(id) => id.as_str().to_owned(),
        }
    }
}

/// What an order that holds a reservation can still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// On its way or resting: it can trade.
    Live,
    /// It may have left, and the venue has not said yet: it can trade.
    InDoubt,
    /// It ended at the venue; only fills that it had before are still to be counted.
    Ended,
}

/// One open order's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Reservation {
    symbol: Symbol,
    side: Side,
    price: Decimal,
    remaining: Decimal,
    standing: Standing,
}

/// One market's sums.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MarketExposure {
    /// Signed position in base currency.
    pub position: Decimal,
    /// Open buys at their own prices, in quote currency.
    pub open_buys: Decimal,
    /// Open sells at their own prices, in quote currency.
    pub open_sells: Decimal,
    /// Open buys in base currency.
    pub open_buys_size: Decimal,
    /// Open sells in base currency.
    pub open_sells_size: Decimal,
}

impl MarketExposure {
    /// The position after everything open on `side` and `more` (quote currency) has filled, in quote
    /// currency at `reference`, in the direction of that side. Negative: it would still reduce.
    pub fn projected(&self, side: Side, reference: Decimal, more: Decimal) -> Option<Decimal> {
        let position = self.position.checked_mul(reference)?;
        let (position, open) = match side {
            Side::Buy => (position, self.open_buys),
            Side::Sell => (-position, self.open_sells),
        };
        position.checked_add(open)?.checked_add(more)
    }

    /// The market's part of the gross exposure at `reference`: what is open on the side that makes
    /// the position larger, and the position, or instead of it what is open on the side that makes it
    /// smaller, where that could turn it over to something worth more.
    ///
    /// So an order that can only reduce adds nothing, and the bound never stands in the way of an
    /// exit; without a position both sides count whole.
    pub fn gross(&self, reference: Decimal) -> Option<Decimal> {
        let (growing, reducing, reducing_size) = if self.position.is_sign_negative() {
            (self.open_sells, self.open_buys, self.open_buys_size)
        } else {
            (self.open_buys, self.open_sells, self.open_sells_size)
        };
        let position = self.position.abs();
        let mut held = position.checked_mul(reference)?;
        if reducing_size > position {
            held = held.max(reducing);
        }
        growing.checked_add(held)
    }

    /// The same with an order of `size` and `value` (quote currency) on `side` added.
    pub fn gross_with(
        &self,
        side: Side,
        reference: Decimal,
        size: Decimal,
        value: Decimal,
    ) -> Option<Decimal> {
        let mut with = self.clone();
        let (open, open_size) = with.side_mut(side);
        *open = open.checked_add(value)?;
        *open_size = open_size.checked_add(size)?;
        with.gross(reference)
    }

    /// What is open on `side`, in base currency.
    pub fn open_size(&self, side: Side) -> Decimal {
        match side {
            Side::Buy => self.open_buys_size,
            Side::Sell => self.open_sells_size,
        }
    }

    /// What orders of `side` can take off the position, in base currency: all of it, or nothing when
    /// they make it larger.
    pub fn reducible(&self, side: Side) -> Decimal {
        match side {
            Side::Buy => (-self.position).max(Decimal::ZERO),
            Side::Sell => self.position.max(Decimal::ZERO),
        }
    }

    /// Whether an order of `size`, after everything open on its side filled, would still only have
    /// reduced the position (K12).
    pub fn only_reduces(&self, side: Side, size: Decimal) -> bool {
        let whole = self.open_size(side).checked_add(size);
        whole.is_some_and(|whole| whole <= self.reducible(side))
    }

    fn side_mut(&mut self, side: Side) -> (&mut Decimal, &mut Decimal) {
        match side {
            Side::Buy => (&mut self.open_buys, &mut self.open_buys_size),
            Side::Sell => (&mut self.open_sells, &mut self.open_sells_size),
        }
    }
}

/// Own orders of one market that can still trade, by price.
#[derive(Debug, Clone, Default)]
struct Ladder {
    buys: BTreeSet<(Decimal, Holder)>,
    sells: BTreeSet<(Decimal, Holder)>,
}

/// All of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Exposure {
    markets: BTreeMap<Symbol, MarketExposure>,
    #[serde(with = "pairs")]
    held: HashMap<Holder, Reservation>,
    #[serde(skip)]
    ladders: HashMap<Symbol, Ladder>,
    #[serde(skip)]
    in_doubt: usize,
}

/// The rest is made from these two.
impl PartialEq for Exposure {
    fn eq(&self, other: &Self) -> bool {
        (&self.markets, &self.held) == (&other.markets, &other.held)
    }
}

impl Eq for Exposure {}

/// As it is stored: what can be made from the reservations is.
#[derive(Deserialize)]
struct Stored {
    markets: BTreeMap<Symbol, MarketExposure>,
    #[serde(with = "pairs")]
    held: HashMap<Holder, Reservation>,
}

impl From<Stored> for Exposure {
    fn from(Stored { markets, held }: Stored) -> Self {
        let mut exposure = Self {
            markets,
            ..Self::default()
        };
        for (holder, reservation) in &held {
            exposure.stand(holder, reservation);
            exposure.in_doubt += usize::from(reservation.standing == Standing::InDoubt);
        }
        exposure.held = held;
        exposure
    }
}

impl Exposure {
    /// Reserves for `order` at its own price and answers with the amount in quote currency. A holder
    /// that already has a reservation keeps it unchanged.
    pub fn reserve(&mut self, holder: Holder, order: &Order) -> Decimal {
        self.hold(holder, &order.symbol, order.side, order.price, order.size)
    }

    /// Reserves for an order by its terms: for those that rest at the venue and are not ours.
    pub fn hold(
        &mut self,
        holder: Holder,
        symbol: &Symbol,
        side: Side,
        price: Decimal,
        size: Decimal,
    ) -> Decimal {
        let amount = price.saturating_mul(size);
        if let Entry::Vacant(free) = self.held.entry(holder.clone()) {
            let reservation = Reservation {
                symbol: symbol.clone(),
                side,
                price,
                remaining: size,
                standing: Standing::Live,
            };
            free.insert(reservation.clone());
            self.add_open(symbol, side, amount, size);
            self.stand(&holder, &reservation);
        }
        amount
    }

    /// Frees what is left of a reservation. Idempotent.
    pub fn release(&mut self, holder: &Holder) {
        let Some(left) = self.held.remove(holder) else {
            return;
        };
        let amount = left.price.saturating_mul(left.remaining);
        self.add_open(&left.symbol, left.side, -amount, -left.remaining);
        self.fall(holder, &left);
        self.in_doubt -= usize::from(left.standing == Standing::InDoubt);
    }

    /// Counts a fill: the position moves, and the holder's reservation shrinks by the fill, at most
    /// to nothing. Each fill must be given once. An order in doubt that fills is in doubt no more.
    pub fn fill(&mut self, holder: Option<&Holder>, symbol: &Symbol, side: Side, size: Decimal) {
        let signed = match side {
            Side::Buy => size,
            Side::Sell => -size,
        };
        let market = self.markets.entry(symbol.clone()).or_default();
        market.position = market.position.saturating_add(signed);
        let Some((holder, held)) = holder.and_then(|h| Some((h, self.held.get_mut(h)?))) else {
            return;
        };
        let part = size.min(held.remaining);
        held.remaining -= part;
        let (symbol, side, price) = (held.symbol.clone(), held.side, held.price);
        let done = held.remaining.is_zero();
        self.add_open(&symbol, side, -price.saturating_mul(part), -part);
        if done {
            self.release(holder);
        } else {
            self.answered(holder);
        }
    }

    /// The order may have left, and the venue has not said yet.
    pub fn doubt(&mut self, holder: &Holder) {
        self.set_standing(holder, Standing::InDoubt);
    }

    /// The venue said that the order is there.
    pub fn answered(&mut self, holder: &Holder) {
        self.set_standing(holder, Standing::Live);
    }

    /// The order ended at the venue, and nothing can trade with it any more. What it reserved stays
    /// until its last fills were counted.
    pub fn ended(&mut self, holder: &Holder) {
        self.set_standing(holder, Standing::Ended);
    }

    /// Sets a position to what the venue shows.
    pub fn set_position(&mut self, symbol: &Symbol, position: Decimal) {
        self.markets.entry(symbol.clone()).or_default().position = position;
    }

    /// One market's sums.
    pub fn market(&self, symbol: &Symbol) -> MarketExposure {
        self.markets.get(symbol).cloned().unwrap_or_default()
    }

    /// All markets that ever had any.
    pub fn markets(&self) -> impl Iterator<Item = (&Symbol, &MarketExposure)> {
        self.markets.iter()
    }

    /// The sums of one market that ever had any.
    pub(super) fn find(&self, symbol: &Symbol) -> Option<&MarketExposure> {
        self.markets.get(symbol)
    }

    /// Orders that hold something.
    pub fn open_orders(&self) -> usize {
        self.held.len()
    }

    /// Orders of which the venue has not said whether it has them.
    pub fn in_doubt(&self) -> usize {
        self.in_doubt
    }

    /// The own order of `side` that is nearest to the other side and can still trade: the highest buy
    /// or the lowest sell.
    pub fn best(&self, symbol: &Symbol, side: Side) -> Option<(Decimal, &Holder)> {
        let ladder = self.ladders.get(symbol)?;
        let best = match side {
            Side::Buy => ladder.buys.last(),
            Side::Sell => ladder.sells.first(),
        };
        best.map(|(price, holder)| (*price, holder))
    }

    /// What a holder still has reserved, in base currency.
    pub fn remaining(&self, holder: &Holder) -> Option<Decimal> {
        self.held.get(holder).map(|held| held.remaining)
    }

    /// Foreign orders that hold something.
    pub fn foreign(&self) -> Vec<VenueOrderId> {
        let ids = self.held.keys().filter_map(|holder| match holder {
            Holder::Foreign(id) => Some(id.clone()),
            Holder::Ours(_) => None,
        });
        ids.collect()
    }

    /// What ended stays so: later news of it is older.
    fn set_standing(&mut self, holder: &Holder, standing: Standing) {
        let Some(held) = self.held.get_mut(holder) else {
            return;
        };
        if held.standing == standing || held.standing == Standing::Ended {
            return;
        }
        self.in_doubt -= usize::from(held.standing == Standing::InDoubt);
        self.in_doubt += usize::from(standing == Standing::InDoubt);
        held.standing = standing;
        if standing == Standing::Ended {
            let gone = held.clone();
            self.fall(holder, &gone);
        }
    }

    fn add_open(&mut self, symbol: &Symbol, side: Side, amount: Decimal, size: Decimal) {
        let market = self.markets.entry(symbol.clone()).or_default();
        let (open, open_size) = market.side_mut(side);
        *open = open.saturating_add(amount);
        *open_size = open_size.saturating_add(size);
    }

    fn ladder(&mut self, of: &Reservation) -> &mut BTreeSet<(Decimal, Holder)> {
        let ladder = self.ladders.entry(of.symbol.clone()).or_default();
        match of.side {
            Side::Buy => &mut ladder.buys,
            Side::Sell => &mut ladder.sells,
        }
    }

    /// Puts it where orders of the other side would meet it.
    fn stand(&mut self, holder: &Holder, of: &Reservation) {
        if of.standing != Standing::Ended {
            self.ladder(of).insert((of.price, holder.clone()));
        }
    }

    fn fall(&mut self, holder: &Holder, of: &Reservation) {
        self.ladder(of).remove(&(of.price, holder.clone()));
    }
}
/// A map with structured keys, stored as a list of pairs.
mod pairs {
    use std::collections::HashMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Holder, Reservation};

    pub fn serialize<S: Serializer>(
        map: &HashMap<Holder, Reservation>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut pairs: Vec<_> = map.iter().collect();
        pairs.sort_by_key(|(holder, _)| *holder);
        pairs.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<HashMap<Holder, Reservation>, D::Error> {
        Ok(Vec::<(Holder, Reservation)>::deserialize(from)?
            .into_iter()
            .collect())
    }
}
