//! The feed: publishes reference prices, from what the venue tells by itself and from its books as they
//! are read. A halt pauses it (seed: *Pause data ingestion*), but for fills; a lift lets it go on. It
//! takes no reference away: the gate denies by the age of the last reading.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, WrapFuture,
};

use super::feed_line;
use super::feed_state::BOOKS_EVERY_MS;
use super::floor::Floor;
use super::messages::{TradingHalted, TradingLifted};
use super::opening::read_reference;
use crate::domain::market::Symbol;
use crate::ports::venue::VenueError;

/// Readings that fail in a row before it is told of.
const FAILURES_TOLD: u32 = 4;

/// The actor.
pub struct FeedActor {
    floor: Arc<Floor>,
    failures: BTreeMap<Symbol, u32>,
    read_at_ms: Option<u64>,
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
            read_at_ms: None,
            halted,
            reading: false,
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.halted || self.reading {
            return;
        }
        let now = self.floor.clock.boot_millis();
        let max_age_ms = self.floor.gate.limits().reference_max_age_ms;
        let due_after_ms = self.floor.feed.lock().books_due_after_ms(max_age_ms);
        let passed = |at: u64| now.saturating_sub(at);
        if self.read_at_ms.is_some_and(|at| passed(at) < due_after_ms) {
            return;
        }
        self.read_at_ms = Some(now);
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

/// Reads every book. All of them read: whatever the feed may have missed of books is made good.
async fn read_all(floor: Arc<Floor>) -> Vec<(Symbol, Result<(), VenueError>)> {
    let asked = floor.feed.lock().ask();
    let symbols: Vec<_> = floor.gate.markets().keys().cloned().collect();
    let mut read = Vec::with_capacity(symbols.len());
    for symbol in symbols {
        let answer = read_reference(&floor, &symbol).await;
        read.push((symbol, answer));
    }
    if !read.is_empty() && read.iter().all(|(_, answer)| answer.is_ok()) {
        floor.feed.lock().books_read(&asked);
    }
    read
}

impl Actor for FeedActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_millis(BOOKS_EVERY_MS), Self::tick);
        if self.floor.desk.venue().framing().capabilities().feed {
            // The line of an incarnation before this one is gone with it.
            let now = self.floor.clock.boot_millis();
            self.floor.feed.lock().ended(now, 0);
            ctx.spawn(feed_line::follow(self.floor.clone()).into_actor(self));
        }
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
        self.read_at_ms = Some(self.floor.clock.boot_millis());
        let reading = read_all(self.floor.clone()).into_actor(self);
        Box::pin(reading.map(move |read, this, _| {
            this.take_in(read);
            msg.epoch
        }))
    }
}
