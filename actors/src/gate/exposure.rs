//! What positions and open orders add up to, exactly, per market and side.
//!
//! Pure bookkeeping: a reservation is made once per holder, shrinks with fills, and goes with a
//! terminal fact. It knows no limit and no venue.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

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

/// One open order's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Reservation {
    symbol: Symbol,
    side: Side,
    price: Decimal,
    remaining: Decimal,
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

    /// Position without sign at `reference`, and everything open on both sides.
    pub fn gross(&self, reference: Decimal) -> Option<Decimal> {
        let position = self.position.abs().checked_mul(reference)?;
        position
            .checked_add(self.open_buys)?
            .checked_add(self.open_sells)
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exposure {
    markets: BTreeMap<Symbol, MarketExposure>,
    #[serde(with = "pairs")]
    held: HashMap<Holder, Reservation>,
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
        if let Entry::Vacant(free) = self.held.entry(holder) {
            free.insert(Reservation {
                symbol: symbol.clone(),
                side,
                price,
                remaining: size,
            });
            self.add_open(symbol, side, amount);
        }
        amount
    }

    /// Frees what is left of a reservation. Idempotent.
    pub fn release(&mut self, holder: &Holder) {
        if let Some(left) = self.held.remove(holder) {
            self.add_open(
                &left.symbol,
                left.side,
                -left.price.saturating_mul(left.remaining),
            );
        }
    }

    /// Counts a fill: the position moves, and the holder's reservation shrinks by the fill, at most
    /// to nothing. Each fill must be given once.
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
        let (price, done) = (held.price, held.remaining.is_zero());
        self.add_open(symbol, side, -price.saturating_mul(part));
        if done {
            self.held.remove(holder);
        }
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

    /// Orders that hold something.
    pub fn open_orders(&self) -> usize {
        self.held.len()
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

    fn add_open(&mut self, symbol: &Symbol, side: Side, amount: Decimal) {
        let market = self.markets.entry(symbol.clone()).or_default();
        let open = match side {
            Side::Buy => &mut market.open_buys,
            Side::Sell => &mut market.open_sells,
        };
        *open = open.saturating_add(amount);
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
