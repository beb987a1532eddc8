//! A gate with one market and room, and orders for it.

use std::error::Error;
use std::sync::Arc;

use flashguard_actors::domain::clock::{Clock, SystemClock};
use flashguard_actors::domain::identity::Client;
use flashguard_actors::domain::market::{Market, Symbol};
use flashguard_actors::domain::order::{OrderId, OrderRequest, Side, Terms};
use flashguard_actors::gate::{Asked, Exposure, Gate, KeyUse, Limits, Mode};
use flashguard_actors::ports::venue::Quote;
use rust_decimal::Decimal;
use uuid::Uuid;

/// The one market.
pub const SYMBOL: &str = "SEI/USDC";
/// When the orders of the benches expire, ms since the Unix epoch.
pub const EXPIRES_AT_MS: u64 = 1_795_519_533_123;
/// So fast that no order of a bench is denied for its rate.
const ORDER_RATE_PER_S: u32 = 100_000_000;

/// Orders for a gate, each with an id of its own.
pub struct Desk {
    /// The gate: default limits, except for the rate.
    pub gate: Arc<Gate>,
    /// Who places the orders.
    pub client: Client,
    next: u128,
}

impl Desk {
    /// A gate whose market stands at 0.2499/0.2501 and is never too old.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let limits = Limits {
            order_rate_per_s: ORDER_RATE_PER_S,
            order_rate_burst: ORDER_RATE_PER_S,
            reference_max_age_ms: u64::MAX,
            ..Limits::default()
        };
        let gate = Gate::new(limits, Exposure::default(), Arc::new(SystemClock));
        let symbol = Symbol::parse(SYMBOL)?;
        gate.publish_markets(vec![Market {
            symbol: symbol.clone(),
            tick: Decimal::new(1, 4),
            lot: Decimal::ONE,
            least_notional: Decimal::ONE,
        }]);
        let quote = Quote {
            bid: Decimal::new(2_499, 4),
            ask: Decimal::new(2_501, 4),
        };
        gate.publish_quote(&symbol, quote, SystemClock.boot_millis());
        Ok(Self {
            gate,
            client: Client::try_from("bench".to_owned())?,
            next: 0,
        })
    }

    /// `request` as it asks to be admitted, under the next id.
    pub fn asked<'a>(&mut self, client: &'a Client, request: &'a OrderRequest) -> Asked<'a> {
        Asked {
            request,
            client,
            mode: Mode::Active,
            keys: KeyUse::Usable,
            order_id: self.next_id(),
            expires_at_ms: EXPIRES_AT_MS,
        }
    }

    /// The next order's id.
    pub fn next_id(&mut self) -> OrderId {
        self.next += 1;
        OrderId(Uuid::from_u128(self.next))
    }
}

/// An order to buy, the price in ticks of 0.0001.
pub fn buy(ticks: i64, size: i64) -> OrderRequest {
    OrderRequest {
        symbol: SYMBOL.to_owned(),
        side: Side::Buy,
        size: Decimal::from(size),
        terms: Terms::limit(Decimal::new(ticks, 4)),
        client_order_id: None,
    }
}
