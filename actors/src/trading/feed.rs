//! The feed: reads the venue's books and publishes reference prices. A halt pauses it (seed:
//! *Pause data ingestion*); a lift lets it go on. It takes no reference away: the gate denies by the
//! age of the last reading.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, WrapFuture,
};

use super::floor::Floor;
use super::messages::{TradingHalted, TradingLifted};
use super::opening::read_reference;
use crate::domain::market::Symbol;
use crate::ports::venue::VenueError;

/// How often each book is read.
const READ_EVERY_MS: u64 = 250;
/// Readings that fail in a row before it is told of.
const FAILURES_TOLD: u32 = 4;

/// The actor.
pub struct FeedActor {
    floor: Arc<Floor>,
    failures: BTreeMap<Symbol, u32>,
    halted: bool,
    reading: bool,
}

impl FeedActor {
    /// A feed that reads as long as trading is not halted.
    pub fn new(floor: Arc<Floor>) -> Self {
        let halted = floor.latch.state().halted;
        Self {
            floor,
            failures: BTreeMap::new(),
            halted,
            reading: false,
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.halted || self.reading {
            return;
        }
        self.reading = true;
        let reading = read_all(self.floor.clone());
        ctx.spawn(
            reading
                .into_actor(self)
                .map(|read, this, _| this.take_in(read)),
        );
    }

    fn take_in(&mut self, read: Vec<(Symbol, Result<(), VenueError>)>) {
        self.reading = false;
        for (symbol, answer) in read {
            self.count(symbol, answer.err());
        }
    }

    fn count(&mut self, symbol: Symbol, error: Option<VenueError>) {
        let failures = self.failures.entry(symbol.clone()).or_default();
        let Some(error) = error else {
            *failures = 0;
            return;
        };
        *failures = failures.saturating_add(1);
        if *failures == FAILURES_TOLD {
            tracing::warn!(%error, %symbol, "the book cannot be read: the reference grows too old");
        }
    }
}

async fn read_all(floor: Arc<Floor>) -> Vec<(Symbol, Result<(), VenueError>)> {
    let symbols: Vec<_> = floor.gate.markets().keys().cloned().collect();
    let mut read = Vec::with_capacity(symbols.len());
    for symbol in symbols {
        let answer = read_reference(&floor, &symbol).await;
        read.push((symbol, answer));
    }
    read
}

impl Actor for FeedActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_millis(READ_EVERY_MS), Self::tick);
    }
}

impl Handler<TradingHalted> for FeedActor {
    type Result = u64;

    fn handle(&mut self, msg: TradingHalted, _: &mut Self::Context) -> u64 {
        self.halted = true;
        msg.epoch
    }
}

impl Handler<TradingLifted> for FeedActor {
    type Result = ResponseActFuture<Self, u64>;

    /// Acknowledges when every book was read: the references from before the halt are too old, and
    /// whoever hears that it is lifted may place an order.
    fn handle(&mut self, msg: TradingLifted, _: &mut Self::Context) -> Self::Result {
        self.halted = false;
        self.reading = true;
        let reading = read_all(self.floor.clone()).into_actor(self);
        Box::pin(reading.map(move |read, this, _| {
            this.take_in(read);
            msg.epoch
        }))
    }
}
