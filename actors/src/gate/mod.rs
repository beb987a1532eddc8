//! The gate: every rule before signing, and the exposure that admitted orders hold.
//!
//! [`RULES`] is the one table of rules, each a pure function over one order and what is known at that
//! moment; an order is held against all of them, and *all* violations are reported. `exposure` keeps
//! what positions and open orders add up to; [`Gate`] does both under one lock, so that concurrent
//! orders cannot spend the same room twice. Only the gate makes an [`Admitted`], and only a durable
//! intent turns that into a [`Recorded`], which is what the key manager signs (G).
//!
//! What it does not do: identity (is this order a retry), the door (halted, paused), signing.

mod adjust;
mod admitted;
mod case;
mod exposure;
mod key_use;
mod limits;
mod mode;
mod rate;
mod reference;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

pub use adjust::{
    ADJUSTABLE, Adjustable, Adjustments, NotALimit, adjustable, adjusted, loosened, values,
};
pub use admitted::{Admitted, Judged, Recorded};
pub use exposure::{Exposure, Holder, MarketExposure};
pub use key_use::KeyUse;
pub use limits::Limits;
pub use mode::Mode;
pub use reference::{Reading, References};
pub use rules::{Effect, Finding, Limit, Measured, RULES, Rule};

use crate::domain::clock::SharedClock;
use crate::domain::denial::{Denial, Denials};
use crate::domain::identity::Client;
use crate::domain::market::{Market, Symbol};
use crate::domain::order::{Order, OrderId, OrderRequest, Terms};
use crate::ports::venue::Quote;
use case::{Case, Facts};
use rate::OrderRate;

/// Markets by name, as the venue described them.
pub type Markets = BTreeMap<Symbol, Market>;

/// The rules, the facts they look at, and the exposure they protect.
pub struct Gate {
    clock: SharedClock,
    limits: ArcSwap<Limits>,
    markets: ArcSwap<Markets>,
    references: ArcSwap<References>,
    exposure: Mutex<Exposure>,
    rate: OrderRate,
    marked: AtomicU64,
}

/// One order that asks to be admitted.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What is asked for.
    pub request: &'a OrderRequest,
    /// By whom.
    pub client: &'a Client,
    /// What trading admits at present.
    pub mode: Mode,
    /// Whether it could be signed and accepted.
    pub keys: KeyUse,
    /// The id that the order gets.
    pub order_id: OrderId,
    /// Latest instant at which the venue may accept it, ms since the Unix epoch.
    pub expires_at_ms: u64,
}

/// What a dry run found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Every rule with its finding, in the order of the table.
    pub findings: Vec<(&'static str, Finding)>,
    /// The order as it would be signed, when market, price and size are whole.
    pub order: Option<Order>,
    /// The version of the limits.
    pub limits_v: u64,
}

impl Checked {
    /// No rule is broken.
    pub fn is_admitted(&self) -> bool {
        let denied = |(_, finding): &(_, Finding)| matches!(finding, Finding::Denied(_));
        self.order.is_some() && !self.findings.iter().any(denied)
    }
}

impl Gate {
    /// A gate with no market and no reference yet: it denies everything until it has them.
    pub fn new(limits: Limits, exposure: Exposure, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            limits: ArcSwap::from_pointee(limits),
            markets: ArcSwap::default(),
            references: ArcSwap::default(),
            exposure: Mutex::new(exposure),
            rate: OrderRate::default(),
            marked: AtomicU64::new(0),
        })
    }

    /// Judges an order and, if no rule is broken, reserves its exposure under its id.
    ///
    /// # Errors
    ///
    /// All rules that it breaks; nothing is kept then (the client's order rate counts it).
    pub fn admit(self: &Arc<Self>, asked: &Asked<'_>) -> Result<Admitted, Denials> {
        let limits = self.limits.load();
        let (markets, references) = (self.markets.load(), self.references.load());
        let rate = self
            .rate
            .take(asked.client, self.clock.boot_millis(), &limits);
        let mut exposure = self.exposure.lock();
        let facts = Facts {
            limits: &limits,
            markets: &markets,
            references: &references,
            exposure: &exposure,
            mode: asked.mode,
            keys: asked.keys,
            rate,
            now_boot_ms: self.clock.boot_millis(),
        };
        let case = Case::new(asked.request, facts);
        let (mut broken, mut marks) = (Vec::new(), Vec::new());
        rules::judge(&case, |rule, finding| match finding {
            Finding::Denied(denial) => broken.push(denial),
            Finding::Marked(_) => marks.push(rule.code),
            Finding::Pass(_) | Finding::Exit(_) | Finding::Unjudged(_) => {}
        });
        let order = order(&case, asked);
        let (Some(order), Some(reference), true) = (order, case.reference, broken.is_empty())
        else {
            let limits_v = limits.version;
            return Err(Denials { broken, limits_v });
        };
        let reserved_usdc = exposure.reserve(Holder::Ours(order.order_id), &order);
        drop(exposure);
        self.marked
            .fetch_add(u64::from(!marks.is_empty()), Ordering::Relaxed);
        let judged = Judged {
            limits_v: limits.version,
            reference,
            marks,
            at_market: asked.request.terms == Terms::Market,
        };
        Ok(Admitted::new(order, reserved_usdc, judged, self.clone()))
    }

    /// Judges an order without admitting it: nothing is reserved, and its rate is not counted.
    pub fn check(&self, asked: &Asked<'_>) -> Checked {
        let limits = self.limits.load();
        let (markets, references) = (self.markets.load(), self.references.load());
        let now_boot_ms = self.clock.boot_millis();
        let exposure = self.exposure.lock();
        let facts = Facts {
            limits: &limits,
            markets: &markets,
            references: &references,
            exposure: &exposure,
            mode: asked.mode,
            keys: asked.keys,
            rate: self.rate.look(asked.client, now_boot_ms, &limits),
            now_boot_ms,
        };
        let case = Case::new(asked.request, facts);
        let mut findings = Vec::with_capacity(RULES.len());
        rules::judge(&case, |rule, finding| findings.push((rule.code, finding)));
        Checked {
            findings,
            order: order(&case, asked),
            limits_v: limits.version,
        }
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

    /// Publishes a reading of a market's book, asked for at this time since boot. One that was asked
    /// for earlier than the one at hand changes nothing.
    pub fn publish_quote(&self, symbol: &Symbol, quote: Quote, asked_at_boot_ms: u64) {
        let reading = Reading::new(quote, asked_at_boot_ms);
        self.references.rcu(|now| {
            let mut next = References::clone(now);
            if !now
                .get(symbol)
                .is_some_and(|last| reading.is_older_than(last))
            {
                next.insert(symbol.clone(), reading);
            }
            next
        });
    }

    /// Puts other limits in force. What is held already stays: a limit is a rule of admission.
    pub fn change_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// The markets that orders may name.
    pub fn markets(&self) -> Arc<Markets> {
        self.markets.load_full()
    }

    /// The last reading of each market's book.
    pub fn references(&self) -> Arc<References> {
        self.references.load_full()
    }

    /// The limits in force.
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    /// Orders admitted since the start that a rule marked.
    pub fn marked(&self) -> u64 {
        self.marked.load(Ordering::Relaxed)
    }
}

/// The order in the market's own steps; `None` when market, price or size are not whole.
fn order(case: &Case<'_>, asked: &Asked<'_>) -> Option<Order> {
    let (market, price_ticks, size_lots) = (case.market?, case.price_ticks?, case.size_lots?);
    Some(Order {
        order_id: asked.order_id,
        symbol: market.symbol.clone(),
        side: asked.request.side,
        order_type: asked.request.terms.sent_as(),
        price_ticks,
        price: market.price(price_ticks).normalize(),
        size_lots,
        size: market.size(size_lots).normalize(),
        expires_at_ms: asked.expires_at_ms,
    })
}

/// The stable codes of `denials`, in order.
pub fn codes(denials: &[Denial]) -> Vec<String> {
    denials
        .iter()
        .map(|denial| denial.code().to_owned())
        .collect()
}

#[cfg(test)]
mod boundary_tests;
#[cfg(test)]
mod exposure_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
