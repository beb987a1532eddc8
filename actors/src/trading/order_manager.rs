//! The order manager: opens trading after a start, settles what ended at the venue, asks about what
//! is in doubt, and carries cancels. It goes on while halted.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture,
};

use super::cancel::{self, CancelCount, Cancelled};
use super::doubt::{self, Doubts};
use super::floor::Floor;
use super::messages::{CancelOrder, CancelOrders, ResolveOrder, TradingHalted, TradingLifted};
use super::opening::{NotOpened, open_trading};
use super::orders::OrderState;
use super::patience::Patience;
use super::resolve::{self, ResolveRefused};
use super::restrain;
use super::settle;
use crate::domain::order::OrderStatus;
use crate::ports::venue::VenueError;

/// How often it looks.
const LOOK_EVERY_MS: u64 = 250;
/// Every so many looks the venue's open orders are read although nothing here is open.
const LOOKS_BETWEEN_FULL: u64 = 20;

/// Longest pause after looks that failed.
const PAUSE_LONGEST_MS: u64 = 5_000;
/// Longest that the venue's wish to be asked later is heeded: as long as the port passes it on.
const WISH_MAX_MS: u64 = 60_000;

/// The actor.
pub struct OrderManagerActor {
    floor: Arc<Floor>,
    doubts: Doubts,
    patience: Patience,
    /// No look before this instant since boot, ms.
    not_before_ms: u64,
    looks: u64,
    looking: bool,
    failing: bool,
}

impl OrderManagerActor {
    /// One that opens trading as soon as it can.
    pub fn new(floor: Arc<Floor>) -> Self {
        Self {
            floor,
            doubts: Doubts::default(),
            patience: Patience::between(LOOK_EVERY_MS, PAUSE_LONGEST_MS, WISH_MAX_MS),
            not_before_ms: 0,
            looks: 0,
            looking: false,
            failing: false,
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.housekeeping(ctx);
        if self.looking || self.floor.clock.boot_millis() < self.not_before_ms {
            return;
        }
        self.looking = true;
        self.looks += 1;
        let full = self.looks.is_multiple_of(LOOKS_BETWEEN_FULL);
        let (floor, mut doubts) = (self.floor.clone(), std::mem::take(&mut self.doubts));
        let look = async move {
            let looked = look(&floor, &mut doubts, full).await;
            (looked, doubts)
        };
        ctx.spawn(look.into_actor(self).map(|(looked, doubts), this, _| {
            this.looking = false;
            this.doubts = doubts;
            this.looked(looked);
        }));
    }

    /// After a look that failed the next one waits, longer each time.
    fn looked(&mut self, looked: Result<(), NotOpened>) {
        let Err(error) = looked else {
            self.patience.answered();
            self.failing = false;
            return;
        };
        if !self.failing {
            tracing::warn!(%error, "orders cannot be brought up to date with the venue");
        }
        self.failing = true;
        let pause_ms = match &error {
            NotOpened::Venue(error) => self.patience.pause_ms(Some(error)),
            _ => self.patience.pause_ms(None),
        };
        self.not_before_ms = self.floor.clock.boot_millis().saturating_add(pause_ms);
    }

    /// Counts refusals, ends pauses whose time has passed, looks at the venue's health.
    fn housekeeping(&self, ctx: &mut Context<Self>) {
        let now = self.floor.clock.now();
        let passed = self.floor.denials.passed(now).into_iter();
        passed.for_each(|entry| self.floor.write_quietly(entry));
        restrain::end_passed(&self.floor);
        let floor = self.floor.clone();
        let health = async move {
            if let Err(error) = restrain::watch_health(&floor).await {
                tracing::warn!(%error, "reduce-only holds, and a restart would not remember it");
            }
        };
        ctx.spawn(health.into_actor(self));
    }
}

/// One look: opens trading if it is not open; else settles and resolves what needs it.
async fn look(floor: &Floor, doubts: &mut Doubts, full: bool) -> Result<(), NotOpened> {
    doubt::doubt_overdue(floor).await;
    if floor.door.awaits_opening() {
        return open_trading(floor, doubts).await;
    }
    let (open, in_doubt) = {
        let orders = floor.orders.lock();
        let unsettled = orders.unsettled();
        let doubtful = |status| status == OrderStatus::InDoubt;
        let in_doubt = unsettled
            .iter()
            .filter(|state| doubtful(state.status))
            .count();
        (unsettled.len() - in_doubt, in_doubt)
    };
    // Neither keeps the other from being done.
    let settled = match open > 0 || full {
        true => settle::settle(floor).await.map(drop),
        false => Ok(()),
    };
    // Where no absence ends a doubt, it may last for days: it is asked about less often.
    let provable = doubt::can_prove(floor.desk.venue().framing().capabilities());
    let resolved = match in_doubt > 0 && (provable || full) {
        true => doubt::resolve_in_doubt(floor, doubts).await.map(drop),
        false => Ok(()),
    };
    Ok(settled.and(resolved)?)
}

impl Actor for OrderManagerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.tick(ctx);
        ctx.run_interval(Duration::from_millis(LOOK_EVERY_MS), Self::tick);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some(entry) = self.floor.denials.left() {
            self.floor.write_quietly(entry);
        }
    }
}

impl Handler<CancelOrder> for OrderManagerActor {
    type Result = ResponseFuture<Result<Option<Cancelled>, VenueError>>;

    fn handle(&mut self, msg: CancelOrder, _: &mut Self::Context) -> Self::Result {
        let floor = self.floor.clone();
        Box::pin(async move { cancel::cancel_one(&floor, msg.order_id, &msg.by).await })
    }
}

impl Handler<CancelOrders> for OrderManagerActor {
    type Result = ResponseFuture<Result<CancelCount, VenueError>>;

    fn handle(&mut self, msg: CancelOrders, _: &mut Self::Context) -> Self::Result {
        let floor = self.floor.clone();
        Box::pin(async move { cancel::cancel_many(&floor, msg.symbol.as_ref(), &msg.by).await })
    }
}

impl Handler<ResolveOrder> for OrderManagerActor {
    type Result = ResponseFuture<Result<Option<OrderState>, ResolveRefused>>;

    fn handle(&mut self, msg: ResolveOrder, _: &mut Self::Context) -> Self::Result {
        let floor = self.floor.clone();
        let ResolveOrder {
            order_id,
            word,
            by,
            reason,
        } = msg;
        Box::pin(async move { resolve::resolve(&floor, order_id, word, &by, reason).await })
    }
}

impl Handler<TradingHalted> for OrderManagerActor {
    type Result = u64;

    fn handle(&mut self, msg: TradingHalted, _: &mut Self::Context) -> u64 {
        msg.epoch
    }
}

impl Handler<TradingLifted> for OrderManagerActor {
    type Result = u64;

    fn handle(&mut self, msg: TradingLifted, ctx: &mut Self::Context) -> u64 {
        self.tick(ctx);
        msg.epoch
    }
}
