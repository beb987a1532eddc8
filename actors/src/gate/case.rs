//! Everything that the rules look at: one order, and what is known at the moment of judging.

use rust_decimal::Decimal;

use super::rate::Rate;
use super::{Exposure, KeyUse, Limits, MarketExposure, Markets, Mode, Reading, References};
use crate::domain::market::{Lots, Market, Symbol, Ticks};
use crate::domain::order::{OrderRequest, Side, Terms};

/// What is known at one moment, borrowed under the gate's lock.
pub(super) struct Facts<'a> {
    pub limits: &'a Limits,
    pub markets: &'a Markets,
    pub references: &'a References,
    pub exposure: &'a Exposure,
    pub mode: Mode,
    pub keys: KeyUse,
    pub rate: Rate,
    pub now_boot_ms: u64,
}

/// One order before the rules. What several rules need is worked out once; `None` is what cannot be
/// known because another rule denies the order.
pub(super) struct Case<'a> {
    pub request: &'a OrderRequest,
    pub facts: Facts<'a>,
    /// The market that it names, when it exists.
    pub market: Option<&'a Market>,
    /// The market's last reading.
    pub reading: Option<&'a Reading>,
    /// The market's reference, when it is there, not crossed and not too old.
    pub reference: Option<Decimal>,
    /// The caller's price; for a market order the hard collar, rounded inward to the tick.
    pub price: Option<Decimal>,
    pub price_ticks: Option<Ticks>,
    pub size_lots: Option<Lots>,
    /// Price × size in quote currency, when both are positive.
    pub value: Option<Decimal>,
    /// What the market holds already.
    pub held: MarketExposure,
    /// With everything open on its side it only reduces the position: bounds on growth do not stand
    /// in its way, in any mode (K12).
    pub is_exit: bool,
}

impl<'a> Case<'a> {
    pub(super) fn new(request: &'a OrderRequest, facts: Facts<'a>) -> Self {
        let symbol = Symbol::parse(&request.symbol).ok();
        let market = symbol.and_then(|symbol| facts.markets.get(&symbol));
        let reading = market.and_then(|market| facts.references.get(&market.symbol));
        let reference = reading.and_then(|reading| facts.usable(reading));
        let price = match request.terms {
            Terms::Priced { price, .. } => Some(price),
            Terms::Market => market.zip(reference).and_then(|(market, reference)| {
                at_the_collar(request.side, market, reference, facts.limits)
            }),
        };
        let positive = |value: &Decimal| *value > Decimal::ZERO;
        let size = Some(request.size).filter(positive);
        let value = price
            .filter(positive)
            .zip(size)
            .map(|(price, size)| price.saturating_mul(size));
        let held = market
            .and_then(|market| facts.exposure.find(&market.symbol))
            .cloned()
            .unwrap_or_default();
        Self {
            market,
            reading,
            reference,
            price,
            price_ticks: market.zip(price).and_then(|(m, price)| m.ticks(price)),
            size_lots: market.and_then(|m| m.lots(request.size)),
            value,
            is_exit: size.is_some_and(|size| held.only_reduces(request.side, size)),
            held,
            request,
            facts,
        }
    }

    /// Markets besides the order's own that hold a position, and so have to be valued for a sum over
    /// all. An exit needs none of them.
    pub(super) fn others(&self) -> impl Iterator<Item = (&'a Symbol, Option<&'a Reading>)> {
        let (own, is_exit) = (self.market.map(|market| &market.symbol), self.is_exit);
        let references = self.facts.references;
        let needed = self.facts.exposure.markets().filter(move |(symbol, held)| {
            !is_exit && own != Some(*symbol) && !held.position.is_zero()
        });
        needed.map(move |(symbol, _)| (symbol, references.get(symbol)))
    }
}

impl Facts<'_> {
    /// The middle of a book that is not crossed and not too old.
    pub(super) fn usable(&self, reading: &Reading) -> Option<Decimal> {
        let fresh = reading.age_ms(self.now_boot_ms) <= self.limits.reference_max_age_ms;
        reading.middle().filter(|_| fresh)
    }
}

/// The price of a market order: as far from the reference as the hard collar lets it, in whole ticks,
/// never further.
fn at_the_collar(
    side: Side,
    market: &Market,
    reference: Decimal,
    limits: &Limits,
) -> Option<Decimal> {
    let away = reference
        .checked_mul(limits.price_collar_hard_pct)?
        .checked_div(Decimal::ONE_HUNDRED)?;
    let ticks = match side {
        Side::Buy => reference
            .checked_add(away)?
            .checked_div(market.tick)?
            .floor(),
        Side::Sell => reference
            .checked_sub(away)?
            .checked_div(market.tick)?
            .ceil(),
    };
    ticks.checked_mul(market.tick)
}
