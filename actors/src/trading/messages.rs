//! What trading actors are told and asked.

use actix::Message;

use super::cancel::{CancelCount, Cancelled};
use super::orders::OrderState;
use super::pipeline::{Placed, Refusal};
use super::resolve::{ResolveRefused, Word};
use crate::domain::identity::{Caller, Principal};
use crate::domain::market::Symbol;
use crate::domain::order::{OrderId, OrderRequest};
use crate::ports::venue::VenueError;

/// Trading was halted. The stop itself is done when this arrives: it is for cleaning up. The answer
/// is the epoch, which acknowledges it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "u64")]
pub struct TradingHalted {
    /// The halt's epoch.
    pub epoch: u64,
    /// Names the halt in reports.
    pub incident_id: String,
}

/// The halt of this epoch was lifted: trading goes on from fresh state. The answer is the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "u64")]
pub struct TradingLifted {
    /// The epoch of the halt that ended.
    pub epoch: u64,
}

/// Places an order for a strategy in this process, over the engine's own lane.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Placed, Refusal>")]
pub struct PlaceOrder {
    /// For whom.
    pub caller: Caller,
    /// What.
    pub request: OrderRequest,
}

/// Cancels one order. `None` in the answer: no such order at hand.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<Cancelled>, VenueError>")]
pub struct CancelOrder {
    /// Which.
    pub order_id: OrderId,
    /// Who asks.
    pub by: Principal,
}

/// Cancels everything that rests, or everything of one market.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<CancelCount, VenueError>")]
pub struct CancelOrders {
    /// Only this market.
    pub symbol: Option<Symbol>,
    /// Who asks.
    pub by: Principal,
}

/// Ends an order's doubt by a person's word. `None` in the answer: no such order at hand.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<OrderState>, ResolveRefused>")]
pub struct ResolveOrder {
    /// Which.
    pub order_id: OrderId,
    /// What became of it.
    pub word: Word,
    /// Who says so.
    pub by: Principal,
    /// Why, in their words.
    pub reason: String,
}
