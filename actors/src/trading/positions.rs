//! Positions: fills are read again and again from the venue, and each is counted once, also those that
//! the feed tells. While the feed is live that is a comparison every few seconds. It goes on while
//! halted, so that what had left before the stop is known. What no fill explains is reconciled.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};

use super::feed_state::FILLS_EVERY_MS;
use super::floor::Floor;
use super::messages::{TradingHalted, TradingLifted};
use super::reconcile::{self, Differences};
use super::settle;
use crate::ports::venue::VenueError;

/// How often positions are compared with those that the venue shows.
const RECONCILE_EVERY_MS: u64 = 5_000;

/// The actor.
pub struct PositionsActor {
    floor: Arc<Floor>,
    differences: Differences,
    read_at_ms: Option<u64>,
    compared_at_ms: u64,
    reading: bool,
    failing: bool,
}

impl PositionsActor {
    /// One that begins at the ledger's cursor.
    pub fn new(floor: Arc<Floor>) -> Self {
        let compared_at_ms = floor.clock.boot_millis();
        Self {
            floor,
            differences: Differences::new(),
            read_at_ms: None,
            compared_at_ms,
            reading: false,
            failing: false,
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.reading || !self.floor.door.is_open() {
            return;
        }
        let now = self.floor.clock.boot_millis();
        let passed = |since: u64| now.saturating_sub(since);
        let compare = passed(self.compared_at_ms) >= RECONCILE_EVERY_MS;
        let due_after_ms = self.floor.feed.lock().fills_due_after_ms();
        if !compare && self.read_at_ms.is_some_and(|at| passed(at) < due_after_ms) {
            return;
        }
        self.read(ctx, now, compare);
    }

    fn read(&mut self, ctx: &mut Context<Self>, now_boot_ms: u64, compare: bool) {
        self.reading = true;
        self.read_at_ms = Some(now_boot_ms);
        if compare {
            self.compared_at_ms = now_boot_ms;
        }
        let floor = self.floor.clone();
        let mut differences = std::mem::take(&mut self.differences);
        let reading = async move {
            let read = match compare {
                true => reconcile::look(&floor, &mut differences).await,
                false => settle::read_fills(&floor).await.map(drop),
            };
            (read, differences)
        };
        ctx.spawn(
            reading
                .into_actor(self)
                .map(|(read, differences), this, _| {
                    this.differences = differences;
                    this.done(&read);
                }),
        );
    }

    fn done(&mut self, read: &Result<(), VenueError>) {
        self.reading = false;
        if let Err(error) = read
            && !self.failing
        {
            tracing::warn!(%error, "fills cannot be read");
        }
        self.failing = read.is_err();
    }
}

impl Actor for PositionsActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_millis(FILLS_EVERY_MS), Self::tick);
    }
}

impl Handler<TradingHalted> for PositionsActor {
    type Result = u64;

    /// Reads at once: what had left before the stop.
    fn handle(&mut self, msg: TradingHalted, ctx: &mut Self::Context) -> u64 {
        self.read_at_ms = None;
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
