//! What the supervisor is told: by its handle, by the lives of its children, by its own timers.

use super::child::{Child, ChildNumber};
use super::error::SuperviseError;
use super::events::{ActorName, Exit};
use super::threads::{Placement, ThreadNumber};
use actix::Message;
use tokio::sync::oneshot;

/// Takes a child and starts its first incarnation.
#[derive(Message)]
#[rtype(result = "Result<(), SuperviseError>")]
pub(crate) struct Register {
    pub(crate) name: ActorName,
    pub(crate) placement: Placement,
    pub(crate) child: Box<dyn Child>,
}

/// Ends a child for good. The receiver resolves when it has ended; `None`: no such child.
#[derive(Message)]
#[rtype(result = "Option<oneshot::Receiver<()>>")]
pub(crate) struct Dismiss {
    pub(crate) name: ActorName,
}

/// Ends all children and then the supervisor. The receiver resolves when all have ended.
#[derive(Message)]
#[rtype(result = "oneshot::Receiver<()>")]
pub(crate) struct StopAll;

/// An incarnation has survived its start and is published.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ChildServes {
    pub(crate) child: ChildNumber,
    pub(crate) generation: u64,
}

/// An incarnation has ended, and its actor is dropped.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ChildExited {
    pub(crate) child: ChildNumber,
    pub(crate) generation: u64,
    pub(crate) thread: ThreadNumber,
    pub(crate) why: Exit,
}

/// The backoff of a round of restarts is over.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct BackoffPassed {
    pub(crate) round: u64,
}
