//! The emergency actor: runs the procedure after a halt, and lifts.
//!
//! The stop does not need it: it works from what is published, looks by itself, and a new
//! incarnation goes on where the halt in force stands.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{Actor, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use serde_json::json;

use super::cancel_all;
use super::halt::Emergency;
use super::lift::{LiftRefused, Unready};
use super::messages::{Lift, LiftTrading, RunProcedure};
use super::procedure::{Outcome, Step};
use super::state::LiftTerms;
use crate::domain::status::TradingState;
use crate::supervision::Broadcast;
use crate::trading::floor::Floor;
use crate::trading::messages::{TradingHalted, TradingLifted};
use crate::trading::restrain;
use crate::trading::restraints::LIFT;
use crate::trading::settle;

/// How often it looks whether there is a halt to take care of.
const LOOK_EVERY_MS: u64 = 20;
/// How far the clock may be behind the journal's last record for a lift (K4).
const CLOCK_BEHIND_MAX_MS: u64 = 5_000;

/// What the actor works with.
#[derive(Clone)]
pub struct Means {
    /// The kill switch.
    pub emergency: Arc<Emergency>,
    /// Trading's shared state.
    pub floor: Arc<Floor>,
    /// Tells every trading actor of a halt.
    pub halted: Broadcast<TradingHalted>,
    /// Tells every trading actor of a lift.
    pub lifted: Broadcast<TradingLifted>,
    /// `emergency.lift_approvals`: owners that must agree.
    pub lift_approvals: usize,
}

/// The actor.
pub struct EmergencyActor {
    means: Means,
    /// The halt whose procedure this incarnation has begun.
    begun: Option<u64>,
}

impl EmergencyActor {
    /// One that takes care of the halt in force, if there is one.
    pub fn new(means: Means) -> Self {
        Self { means, begun: None }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let state = self.means.floor.latch.state();
        if !state.halted || self.begun == Some(state.epoch) {
            return;
        }
        let Some(report) = self
            .means
            .emergency
            .report()
            .filter(|r| r.epoch == state.epoch)
        else {
            return; // the halting thread publishes it in this instant
        };
        self.begun = Some(state.epoch);
        let (means, epoch) = (self.means.clone(), state.epoch);
        ctx.spawn(broadcast(means, epoch, report.incident_id).into_actor(self));
        let means = self.means.clone();
        let cancels = async move { cancel_all::run(&means.floor, &means.emergency, epoch).await };
        ctx.spawn(cancels.into_actor(self));
    }
}

/// Tells every trading actor, and names those that did not acknowledge in time. They could not
/// release anything anyway.
async fn broadcast(means: Means, epoch: u64, incident_id: String) {
    let limit = Duration::from_millis(Step::Broadcast.deadline_ms());
    let told = means
        .halted
        .send(TradingHalted { epoch, incident_id }, limit)
        .await;
    let is_right = |answer: &u64| *answer == epoch;
    let acknowledged = told
        .acknowledged
        .iter()
        .filter(|(_, answer)| is_right(answer))
        .count();
    let wrong = told
        .acknowledged
        .iter()
        .filter(|(_, answer)| !is_right(answer));
    let mut laggards: Vec<_> = wrong.map(|(name, _)| name.as_str().to_owned()).collect();
    for laggard in &told.laggards {
        tracing::error!(actor = %laggard.name, why = %laggard.why, "did not acknowledge the halt");
        laggards.push(laggard.name.as_str().to_owned());
    }
    let outcome = if laggards.is_empty() {
        Outcome::Done
    } else {
        Outcome::Late
    };
    let detail = json!({ "acknowledged": acknowledged, "laggards": laggards });
    means
        .emergency
        .step(epoch, Step::Broadcast, outcome, detail);
}

impl Actor for EmergencyActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.look(ctx);
        ctx.run_interval(Duration::from_millis(LOOK_EVERY_MS), Self::look);
    }
}

impl Handler<RunProcedure> for EmergencyActor {
    type Result = ();

    fn handle(&mut self, _: RunProcedure, ctx: &mut Self::Context) {
        self.look(ctx);
    }
}

impl Handler<LiftTrading> for EmergencyActor {
    type Result = ResponseFuture<Result<Lift, LiftRefused>>;

    fn handle(&mut self, msg: LiftTrading, _: &mut Self::Context) -> Self::Result {
        Box::pin(lift(self.means.clone(), msg))
    }
}

async fn lift(means: Means, msg: LiftTrading) -> Result<Lift, LiftRefused> {
    let LiftTrading { caller, request } = msg;
    let epoch = request.epoch;
    let accepted = request.accept_open_orders.clone();
    let terms = LiftTerms {
        to: request.to,
        accept_open_orders: accepted.clone(),
    };
    let (emergency, by) = (means.emergency.clone(), caller.principal.clone());
    let approvals = means.lift_approvals;
    let missing =
        on_a_blocking_thread(move || emergency.agree(&caller, &request, approvals)).await?;
    if missing > 0 {
        let halt = means.emergency.state().halt;
        let owners = halt
            .and_then(|halt| halt.proposal)
            .map(|proposal| proposal.owners);
        let names = owners
            .unwrap_or_default()
            .iter()
            .map(|o| o.as_str().to_owned())
            .collect();
        return Ok(Lift::Waiting {
            missing,
            owners: names,
        });
    }
    let unready = checklist(&means.floor, &accepted).await;
    if !unready.is_empty() {
        return Err(LiftRefused::Unready(unready));
    }
    // SAFETY-ORDER: what holds the lifted trading back is published before the latch opens.
    let to = terms.to;
    if to == TradingState::ReduceOnly {
        let held = restrain::restraint(&means.floor, &by, "a lift to reduce_only", None);
        means
            .floor
            .door
            .change(|all| drop(all.reduce_only.insert(LIFT.to_owned(), held.clone())));
    }
    let emergency = means.emergency.clone();
    on_a_blocking_thread(move || emergency.lift(epoch, &terms, approvals, &by)).await?;
    tracing::warn!(epoch, "the halt is lifted");
    let limit = Duration::from_millis(Step::Broadcast.deadline_ms());
    let told = means.lifted.send(TradingLifted { epoch }, limit).await;
    for laggard in told.laggards {
        tracing::warn!(actor = %laggard.name, why = %laggard.why, "did not acknowledge the lift");
    }
    Ok(Lift::Lifted { epoch, to })
}

/// What must be true before trading goes on (K10).
async fn checklist(floor: &Floor, accepted: &[String]) -> Vec<Unready> {
    let mut unready = Vec::new();
    match settle::settle(floor).await {
        Err(_) => unready.push(Unready::VenueUnread),
        Ok(resting) => {
            let is_accepted = |id: &str| accepted.iter().any(|accepted| accepted == id);
            let ours = |id: &Option<crate::domain::order::OrderId>| {
                id.is_some_and(|id| is_accepted(&id.to_string()))
            };
            let resting = resting.iter().filter(|order| {
                !ours(&order.order_id) && !is_accepted(order.venue_order_id.as_str())
            });
            let mut ids: Vec<_> = resting
                .map(|order| match order.order_id {
                    Some(id) => id.to_string(),
                    None => order.venue_order_id.as_str().to_owned(),
                })
                .collect();
            ids.extend(doubtful(floor).into_iter().filter(|id| !is_accepted(id)));
            if !ids.is_empty() {
                unready.push(Unready::OpenOrders { ids });
            }
        }
    }
    if floor.journal.checkpoint().await.is_err() {
        unready.push(Unready::Journal);
    }
    let behind_ms = floor
        .journal
        .head()
        .last_time
        .millis_since(floor.clock.now());
    if behind_ms > CLOCK_BEHIND_MAX_MS {
        unready.push(Unready::Clock { behind_ms });
    }
    unready
}

fn doubtful(floor: &Floor) -> Vec<String> {
    use crate::domain::order::OrderStatus as S;
    let orders = floor.orders.lock();
    let unsettled = orders.unsettled().into_iter();
    let unknown = unsettled.filter(|state| matches!(state.status, S::Pending | S::InDoubt));
    unknown
        .map(|state| state.order.order_id.to_string())
        .collect()
}

/// Runs what waits for the disk away from the actor's thread.
async fn on_a_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LiftRefused> + Send + 'static,
) -> Result<T, LiftRefused> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(LiftRefused::NotDurable))
}
