//! What the emergency actor is told and asked.

use actix::Message;

use super::lift::{LiftRefused, LiftRequest};
use crate::domain::identity::Caller;
use crate::domain::status::TradingState;

/// A halt happened: run the procedure now instead of at the next look. May be lost.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct RunProcedure;

/// One person wants the halt to end.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Lift, LiftRefused>")]
pub struct LiftTrading {
    /// Who.
    pub caller: Caller,
    /// What they want.
    pub request: LiftRequest,
}

/// How far a lift is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lift {
    /// So many other owners must agree too.
    Waiting {
        /// Owners missing.
        missing: usize,
        /// The owners that agree so far.
        owners: Vec<String>,
    },
    /// The halt is over.
    Lifted {
        /// Its epoch.
        epoch: u64,
        /// Where trading went.
        to: TradingState,
    },
}
