//! Positions: fills are read again and again from the venue, and each is counted once. It goes on
//! while halted, so that what had left before the stop is known.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};

use super::floor::Floor;
use super::messages::{TradingHalted, TradingLifted};
use super::settle;

/// How often fills are read.
const READ_EVERY_MS: u64 = 100;

/// The actor.
pub struct PositionsActor {
    floor: Arc<Floor>,
    reading: bool,
    failing: bool,
}

impl PositionsActor {
    /// One that begins at the ledger's cursor.
    pub fn new(floor: Arc<Floor>) -> Self {
        Self {
            floor,
            reading: false,
            failing: false,
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.reading || !self.floor.door.is_open() {
            return;
        }
        self.reading = true;
        let floor = self.floor.clone();
        let reading = async move { settle::read_fills(&floor).await };
        ctx.spawn(reading.into_actor(self).map(|read, this, _| {
            this.reading = false;
            if let Err(error) = &read
                && !this.failing
            {
                tracing::warn!(%error, "fills cannot be read");
            }
            this.failing = read.is_err();
        }));
    }
}

impl Actor for PositionsActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_millis(READ_EVERY_MS), Self::tick);
    }
}

impl Handler<TradingHalted> for PositionsActor {
    type Result = u64;

    fn handle(&mut self, msg: TradingHalted, ctx: &mut Self::Context) -> u64 {
        self.tick(ctx);
        msg.epoch
    }
}

impl Handler<TradingLifted> for PositionsActor {
    type Result = u64;

    fn handle(&mut self, msg: TradingLifted, _: &mut Self::Context) -> u64 {
        msg.epoch
    }
}
