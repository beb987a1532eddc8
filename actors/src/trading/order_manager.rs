//! The order manager: opens trading after a start, settles what ended at the venue, asks about what
//! is in doubt, and carries cancels. It goes on while halted.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture,
};

use super::cancel::{self, CancelCount, Cancelled};
use super::floor::Floor;
use super::messages::{CancelOrder, CancelOrders, TradingHalted, TradingLifted};
use super::opening::{NotOpened, open_trading};
use super::settle::{self, Absences};
use crate::domain::order::OrderStatus;
use crate::journal::record::{Entry, Fact};
use crate::ports::venue::VenueError;

/// How often it looks.
const LOOK_EVERY_MS: u64 = 250;
/// Every so many looks the venue's open orders are read although nothing here is open.
const LOOKS_BETWEEN_FULL: u64 = 20;

/// The actor.
pub struct OrderManagerActor {
    floor: Arc<Floor>,
    absences: Absences,
    looks: u64,
    looking: bool,
    failing: bool,
}

impl OrderManagerActor {
    /// One that opens trading as soon as it can.
    pub fn new(floor: Arc<Floor>) -> Self {
        Self {
            floor,
            absences: Absences::default(),
            looks: 0,
            looking: false,
            failing: false,
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.housekeeping();
        if self.looking {
            return;
        }
        self.looking = true;
        self.looks += 1;
        let full = self.looks.is_multiple_of(LOOKS_BETWEEN_FULL);
        let (floor, mut absences) = (self.floor.clone(), std::mem::take(&mut self.absences));
        let look = async move {
            let looked = look(&floor, &mut absences, full).await;
            (looked, absences)
        };
        ctx.spawn(look.into_actor(self).map(|(looked, absences), this, _| {
            this.looking = false;
            this.absences = absences;
            if let Err(error) = &looked
                && !this.failing
            {
                tracing::warn!(%error, "orders cannot be brought up to date with the venue");
            }
            this.failing = looked.is_err();
        }));
    }

    /// Counts refusals and ends pauses whose time has passed.
    fn housekeeping(&self) {
        let now = self.floor.clock.now();
        let passed = self.floor.denials.passed(now).into_iter();
        let pauses = self.floor.door.pauses();
        let ended = pauses.ended(now);
        if !ended.is_empty() {
            let mut left = (*pauses).clone();
            left.0.retain(|token, _| !ended.contains(token));
            self.floor.door.publish(left);
        }
        let released = ended
            .into_iter()
            .map(|token| Entry::of("orders", Fact::PauseReleased { token }));
        passed
            .chain(released)
            .for_each(|entry| self.floor.write_quietly(entry));
    }
}

/// One look: opens trading if it is not open; else settles and resolves what needs it.
async fn look(floor: &Floor, absences: &mut Absences, full: bool) -> Result<(), NotOpened> {
    if !floor.door.is_open() {
        return open_trading(floor, absences).await;
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
    if open > 0 || full {
        settle::settle(floor).await?;
    }
    if in_doubt > 0 {
        settle::resolve_in_doubt(floor, absences).await?;
    }
    Ok(())
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
