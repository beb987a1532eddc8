//! Supervision: the discipline of OTP on actix, so that a failing actor is made again, and one that
//! keeps failing stops everything rather than going on half alive.
//!
//! # What it protects
//!
//! - A client's handle: a [`Stable`] is valid over all restarts; a call is answered, or fails with
//!   an error that says whether the message was delivered. Nobody waits for an actor that is dead.
//! - The actor's state: after a panic nothing of the actor runs again; the next incarnation comes
//!   from its factory, which reads durable state. Never from the old struct.
//! - The outside world: an incarnation that was given up and wakes up holds a lane that the latch
//!   refuses, so that it can release nothing.
//! - The system: more failures than the policy restarts, or more stuck threads than it tolerates,
//!   escalate, once; then every handle says [`CallError::Gone`], and whoever observes halts.
//!
//! # States
//!
//! An incarnation: *starting* (factory and `started`) → *serving* → *ending* → *ended*. A child
//! whose incarnation has ended waits for its round: backoff passed and every member ended; then it
//! starts with the next generation. A supervisor is open until it escalates or is told to stop;
//! then it is closed for good.
//!
//! # Who may send what
//!
//! Embedders hold a [`Supervisor`] and register children at any time; clients hold [`Stable`]s or
//! [`StableRecipient`]s; one event to many goes through a [`Broadcast`]. Nobody outside this folder
//! holds an `Addr` of a supervised actor.
//!
//! # Rules for supervised actors
//!
//! - `stopping` never returns `Running::Continue`: actix would run the queued messages on the state
//!   that a panic left.
//! - The mailbox gets its capacity from [`ChildSpec::in_flight_max`].
//! - A handler that may block for longer than the heartbeat allows belongs elsewhere; so does a
//!   `ctx.wait` that may take that long.
//! - [`CallError::Lost`] means outcome unknown: messages that change state carry an idempotency
//!   key.
//!
//! # What it does not do
//!
//! It does not catch a stack overflow, an abort or a kill: the process dies, and whoever runs the
//! process starts it again. It keeps no state over restarts and retries no message.

mod policy;

#[cfg(feature = "runtime")]
mod broadcast;
#[cfg(feature = "runtime")]
mod child;
#[cfg(feature = "runtime")]
mod error;
#[cfg(feature = "runtime")]
mod events;
#[cfg(feature = "runtime")]
mod handle;
#[cfg(feature = "runtime")]
mod messages;
#[cfg(feature = "runtime")]
mod roster;
#[cfg(feature = "runtime")]
mod stable;
#[cfg(feature = "runtime")]
mod supervisor;
#[cfg(feature = "runtime")]
mod thread;
#[cfg(feature = "runtime")]
mod threads;
#[cfg(feature = "runtime")]
mod timers;

pub use policy::{
    Backoff, Heartbeat, Intensity, Policy, PolicyError, Pulse, RESTARTS_MAX_CEILING, RestartWindow,
    Strategy, Verdict, Vital,
};

#[cfg(feature = "runtime")]
pub use broadcast::{Broadcast, Delivery, Laggard, SUBSCRIBERS_MAX, TooManySubscribers};
#[cfg(feature = "runtime")]
pub use child::Incarnation;
#[cfg(feature = "runtime")]
pub use error::{StartError, SuperviseError};
#[cfg(feature = "runtime")]
pub use events::{
    ActorExited, ActorName, ActorRestarted, Bound, EXIT_TEXT_MAX_BYTES, Escalated, Event, Exit,
    NAME_LENGTH_MAX_BYTES, NameError, Observer,
};
#[cfg(feature = "runtime")]
pub use handle::{ChildSpec, IN_FLIGHT_MAX_CEILING, Supervision, Supervisor};
#[cfg(feature = "runtime")]
pub use roster::{ChildState, ChildStatus, Roster};
#[cfg(feature = "runtime")]
pub use stable::{CallError, Stable, StableRecipient};
#[cfg(feature = "runtime")]
pub use supervisor::CHILDREN_MAX;
#[cfg(feature = "runtime")]
pub use thread::{StopReport, SystemHandle, SystemThread, THREAD_START_LIMIT_MS, ThreadError};
#[cfg(feature = "runtime")]
pub use threads::Placement;
