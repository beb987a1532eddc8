//! A gate for tests: two markets, a book each, a clock that stands still.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::{Admitted, Asked, Checked, Exposure, Gate, KeyUse, Limits, Mode};
use crate::domain::clock::{Clock, ManualClock, UnixMicros};
use crate::domain::denial::Denials;
use crate::domain::identity::Client;
use crate::domain::market::{Market, Symbol};
use crate::domain::order::{OrderId, OrderRequest, OrderType, Side, Terms};
use crate::ports::venue::Quote;

/// Time since boot at which every test begins.
pub(crate) const BEGIN_BOOT_MS: u64 = 10_000;

pub(crate) fn d(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

pub(crate) fn sei() -> Symbol {
    Symbol::parse("SEI/USDC").unwrap()
}

pub(crate) fn eth() -> Symbol {
    Symbol::parse("ETH/USDC").unwrap()
}

pub(crate) fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

pub(crate) fn bot() -> Client {
    Client::try_from("bot".to_owned()).unwrap()
}

pub(crate) fn request(side: Side, price: &str, size: &str) -> OrderRequest {
    OrderRequest {
        symbol: "SEI/USDC".into(),
        side,
        size: d(size),
        terms: Terms::limit(d(price)),
        client_order_id: None,
    }
}

pub(crate) fn buy(price: &str, size: &str) -> OrderRequest {
    request(Side::Buy, price, size)
}

pub(crate) fn sell(price: &str, size: &str) -> OrderRequest {
    request(Side::Sell, price, size)
}

pub(crate) fn market(side: Side, size: &str) -> OrderRequest {
    OrderRequest {
        terms: Terms::Market,
        ..request(side, "1", size)
    }
}

pub(crate) fn of_type(order_type: OrderType, order: OrderRequest) -> OrderRequest {
    let price = order.terms.price().unwrap();
    OrderRequest {
        terms: Terms::Priced { order_type, price },
        ..order
    }
}

/// A gate and what is given to it with every order.
pub(crate) struct Desk {
    pub gate: Arc<Gate>,
    pub clock: Arc<ManualClock>,
    pub mode: Mode,
    pub keys: KeyUse,
}

impl Desk {
    /// SEI/USDC at 0.2499/0.2501 and ETH/USDC at 2499.5/2500.5, with room for the rate. BTC/USDC is a
    /// market of the venue that nobody chose.
    pub fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            order_rate_burst: 1_000_000,
            ..Limits::default()
        };
        change(&mut limits);
        let clock = ManualClock::at(UnixMicros(1));
        clock.advance_millis(BEGIN_BOOT_MS - clock.boot_millis());
        let gate = Gate::new(limits, Exposure::default(), clock.clone());
        let market = |symbol: &str, tick: &str, lot: &str| Market {
            symbol: Symbol::parse(symbol).unwrap(),
            tick: d(tick),
            lot: d(lot),
            least_notional: d("1"),
        };
        gate.publish_markets(vec![
            market("SEI/USDC", "0.0001", "1"),
            market("ETH/USDC", "0.01", "0.001"),
            market("BTC/USDC", "0.01", "0.001"),
        ]);
        let desk = Self {
            gate,
            clock,
            mode: Mode::Active,
            keys: KeyUse::Usable,
        };
        desk.quote(&sei(), "0.2499", "0.2501");
        desk.quote(&eth(), "2499.5", "2500.5");
        desk
    }

    pub fn plain() -> Self {
        Self::new(|_| {})
    }

    /// Room for large orders.
    pub fn roomy() -> Self {
        Self::new(|limits| limits.order_notional_max_usdc = d("100000"))
    }

    pub fn quote(&self, symbol: &Symbol, bid: &str, ask: &str) {
        let (bid, ask) = (d(bid), d(ask));
        self.gate
            .publish_quote(symbol, Quote { bid, ask }, self.clock.boot_millis());
    }

    pub fn position(&self, symbol: &Symbol, size: &str) {
        self.gate
            .with_exposure(|exposure| exposure.set_position(symbol, d(size)));
    }

    fn asked<'a>(&self, request: &'a OrderRequest, client: &'a Client, n: u128) -> Asked<'a> {
        Asked {
            request,
            client,
            mode: self.mode,
            keys: self.keys,
            order_id: id(n),
            expires_at_ms: 0,
        }
    }

    pub fn admit(&self, request: &OrderRequest, n: u128) -> Result<Admitted, Denials> {
        self.gate.admit(&self.asked(request, &bot(), n))
    }

    pub fn check(&self, request: &OrderRequest) -> Checked {
        self.gate.check(&self.asked(request, &bot(), u128::MAX))
    }

    pub fn admit_for(&self, client: &Client, request: &OrderRequest) -> Result<Admitted, Denials> {
        self.gate.admit(&self.asked(request, client, u128::MAX))
    }

    /// The codes that an order is denied with; empty when it is admitted (and given back at once).
    pub fn codes(&self, request: &OrderRequest) -> Vec<&'static str> {
        codes_of(self.admit(request, u128::MAX))
    }

    /// Admits and keeps the exposure, as a durable intent does.
    pub fn keep(&self, request: &OrderRequest, n: u128) -> Result<(), Vec<&'static str>> {
        match self.admit(request, n) {
            Ok(admitted) => {
                drop(admitted.recorded(crate::journal::Committed::for_tests(n as u64)));
                Ok(())
            }
            denied @ Err(_) => Err(codes_of(denied)),
        }
    }
}

pub(crate) fn codes_of(answer: Result<Admitted, Denials>) -> Vec<&'static str> {
    match answer {
        Ok(_) => vec![],
        Err(denials) => denials.broken.iter().map(|denial| denial.code()).collect(),
    }
}
