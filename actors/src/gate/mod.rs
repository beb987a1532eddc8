//! The gate: every rule before signing, and the exposure that admitted orders hold.
//!
//! `rules` judges one order against limits and facts and reports *all* violations; `exposure`
//! keeps what positions and open orders add up to; [`Gate`] does both under one lock, so that
//! concurrent orders cannot spend the same room twice. Only the gate makes an [`Admitted`], and only
//! a durable intent turns that into a [`Recorded`], which is what the key manager signs (G).
//!
//! What it does not do: identity (is this order a retry), the door (halted, paused), signing.

mod admitted;
mod exposure;
mod limits;
mod rate;
mod rules;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rust_decimal::Decimal;

pub use admitted::{Admitted, Recorded};
pub use exposure::{Exposure, Holder, MarketExposure};
pub use limits::Limits;

use crate::domain::clock::SharedClock;
use crate::domain::denial::{Denial, Denials};
use crate::domain::identity::Client;
use crate::domain::market::{Market, Symbol};
use crate::domain::order::{Order, OrderId, OrderRequest};
use crate::ports::venue::Quote;
use rate::OrderRate;

/// Markets by name, as the venue described them.
pub type Markets = BTreeMap<Symbol, Market>;
/// Reference prices by market: the middle of the venue's book.
pub type References = HashMap<Symbol, Decimal>;

/// The rules, the facts they look at, and the exposure they protect.
pub struct Gate {
    limits: ArcSwap<Limits>,
    markets: ArcSwap<Markets>,
    references: ArcSwap<References>,
    exposure: Mutex<Exposure>,
    rate: OrderRate,
}

impl Gate {
    /// A gate with no market and no reference yet: it denies everything until it has them.
    pub fn new(limits: Limits, exposure: Exposure, clock: SharedClock) -> Arc<Self> {
        let rate = OrderRate::new(limits.order_rate_per_s, limits.order_rate_burst, clock);
        Arc::new(Self {
            limits: ArcSwap::from_pointee(limits),
            markets: ArcSwap::default(),
            references: ArcSwap::default(),
            exposure: Mutex::new(exposure),
            rate,
        })
    }

    /// Judges a request and, if no rule is broken, reserves its exposure under the name `order_id`.
    ///
    /// # Errors
    ///
    /// All rules that it breaks; nothing is kept then (the client's order rate counts it).
    pub fn admit(
        self: &Arc<Self>,
        request: &OrderRequest,
        client: &Client,
        order_id: OrderId,
        expires_at_ms: u64,
    ) -> Result<Admitted, Denials> {
        let limits = self.limits.load();
        let markets = self.markets.load();
        let references = self.references.load();
        let too_fast = self.rate.check(client).err();
        let symbol = Symbol::parse(&request.symbol).ok();
        let market = symbol.as_ref().and_then(|symbol| markets.get(symbol));

        let mut exposure = self.exposure.lock();
        let facts = rules::Facts {
            market,
            references: &references,
            exposure: &exposure,
        };
        let terms = match (rules::judge(request, &facts, &limits), too_fast) {
            (Ok(terms), None) => terms,
            (Ok(_), Some(denial)) => return Err(Denials(vec![denial])),
            (Err(mut denials), denial) => {
                denials.extend(denial);
                return Err(Denials(denials));
            }
        };
        let order = Order {
            order_id,
            symbol: terms.symbol,
            side: request.side,
            order_type: request.order_type,
            price_ticks: terms.price_ticks,
            price: terms.price,
            size_lots: terms.size_lots,
            size: terms.size,
            expires_at_ms,
        };
        let reserved_usdc = exposure.reserve(Holder::Ours(order_id), &order);
        drop(exposure);
        Ok(Admitted::new(order, reserved_usdc, self.clone()))
    }

    /// Runs `change` on the exposure under the gate's lock: for facts from the venue. Must be short.
    pub fn with_exposure<T>(&self, change: impl FnOnce(&mut Exposure) -> T) -> T {
        change(&mut self.exposure.lock())
    }

    /// Publishes what markets there are: those of the venue that `gate.symbols` names.
    pub fn publish_markets(&self, all: Vec<Market>) {
        let wanted = self.limits.load();
        let named = all
            .into_iter()
            .filter(|market| wanted.symbols.contains(&market.symbol));
        self.markets.store(Arc::new(
            named
                .map(|market| (market.symbol.clone(), market))
                .collect(),
        ));
    }

    /// Publishes a market's book: its middle is the reference from now on. A crossed or empty book
    /// takes the reference away instead.
    pub fn publish_quote(&self, symbol: &Symbol, quote: Option<Quote>) {
        let middle = quote
            .filter(|quote| quote.bid > Decimal::ZERO && quote.bid <= quote.ask)
            .and_then(|quote| quote.bid.checked_add(quote.ask))
            .map(|sum| sum / Decimal::TWO);
        self.references.rcu(|now| {
            let mut next = References::clone(now);
            match middle {
                Some(middle) => next.insert(symbol.clone(), middle),
                None => next.remove(symbol),
            };
            next
        });
    }

    /// The markets that orders may name.
    pub fn markets(&self) -> Arc<Markets> {
        self.markets.load_full()
    }

    /// The reference prices.
    pub fn references(&self) -> Arc<References> {
        self.references.load_full()
    }

    /// The limits in force.
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }
}

/// The stable codes of `denials`, in order.
pub fn codes(denials: &[Denial]) -> Vec<String> {
    denials
        .iter()
        .map(|denial| denial.code().to_owned())
        .collect()
}

#[cfg(test)]
mod tests;
