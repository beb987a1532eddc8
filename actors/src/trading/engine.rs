//! The engine: carries the orders of strategies in this process, over a lane of its own.
//!
//! It holds no state: a new incarnation has a new lane, and what an abandoned one still carries is
//! refused by the latch.

use std::sync::Arc;

use actix::prelude::{Actor, Context, Handler, ResponseFuture};

use super::floor::Floor;
use super::messages::{PlaceOrder, TradingHalted, TradingLifted};
use super::pipeline::{Lane, Placed, Refusal};
use crate::supervision::{Incarnation, StartError};

/// The actor.
pub struct EngineActor {
    lane: Lane,
}

impl EngineActor {
    /// An engine for this incarnation, on the calling thread.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the journal cannot be read.
    pub fn new(floor: Arc<Floor>, incarnation: &Incarnation) -> Result<Self, StartError> {
        let lane = Lane::new(floor, incarnation.lane.clone());
        Ok(Self {
            lane: lane.map_err(|error| StartError::new(error.internal()))?,
        })
    }
}

impl Actor for EngineActor {
    type Context = Context<Self>;
}

impl Handler<PlaceOrder> for EngineActor {
    type Result = ResponseFuture<Result<Placed, Refusal>>;

    fn handle(&mut self, msg: PlaceOrder, _: &mut Self::Context) -> Self::Result {
        let lane = self.lane.clone();
        Box::pin(async move { lane.place(&msg.caller, msg.request).await })
    }
}

impl Handler<TradingHalted> for EngineActor {
    type Result = u64;

    /// Nothing to clean up: what was on its way is refused by the latch.
    fn handle(&mut self, msg: TradingHalted, _: &mut Self::Context) -> u64 {
        msg.epoch
    }
}

impl Handler<TradingLifted> for EngineActor {
    type Result = u64;

    fn handle(&mut self, msg: TradingLifted, _: &mut Self::Context) -> u64 {
        msg.epoch
    }
}
