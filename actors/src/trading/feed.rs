//! The feed: reads the venue's books and publishes reference prices. A halt pauses it (seed:
//! *Pause data ingestion*); a lift lets it go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};

use super::floor::Floor;
use super::messages::{TradingHalted, TradingLifted};
use super::opening::read_reference;
use crate::domain::market::Symbol;

/// How often each book is read.
const READ_EVERY_MS: u64 = 250;
/// Readings that may fail in a row before the reference is taken away.
const FAILURES_MAX: u32 = 4;

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
        let floor = self.floor.clone();
        let reading = async move {
            let symbols: Vec<_> = floor.gate.markets().keys().cloned().collect();
            let mut read = Vec::with_capacity(symbols.len());
            for symbol in symbols {
                let answer = read_reference(&floor, &symbol).await;
                read.push((symbol, answer));
            }
            read
        };
        ctx.spawn(reading.into_actor(self).map(|read, this, _| {
            this.reading = false;
            for (symbol, answer) in read {
                this.count(symbol, answer.err());
            }
        }));
    }

    fn count(&mut self, symbol: Symbol, error: Option<crate::ports::venue::VenueError>) {
        let failures = self.failures.entry(symbol.clone()).or_default();
        let Some(error) = error else {
            *failures = 0;
            return;
        };
        *failures = failures.saturating_add(1);
        if *failures == FAILURES_MAX {
            tracing::warn!(%error, %symbol, "no reference price: orders are denied until there is one");
            self.floor.gate.publish_quote(&symbol, None);
        }
    }
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
    type Result = u64;

    fn handle(&mut self, msg: TradingLifted, ctx: &mut Self::Context) -> u64 {
        self.halted = false;
        self.tick(ctx);
        msg.epoch
    }
}
