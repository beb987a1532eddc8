//! What can go wrong when a supervisor is asked for something, by who is to blame.

use super::events::ActorName;
use super::policy::PolicyError;
use super::thread::ThreadError;

/// Why a supervisor did not take a child, or did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// Misuse: a child of that name is there already.
    #[error("an actor named {name} is supervised already")]
    NameTaken {
        /// The name.
        name: ActorName,
    },
    /// Refused: the supervisor has as many children as it takes.
    #[error("the supervisor has {children_max} children already, the most it takes")]
    Full {
        /// The bound.
        children_max: usize,
    },
    /// Misuse: the in-flight budget of a child has to be at least 1 and at most the ceiling.
    #[error("in_flight_max has to be from 1 to {ceiling}")]
    Budget {
        /// The ceiling.
        ceiling: usize,
    },
    /// Misuse: the policy cannot be obeyed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Unavailable: a thread could not be made.
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// Refused: the supervisor has escalated or stopped; it takes no more children.
    #[error("the supervisor has given up or stopped")]
    Closed,
}

/// Why a factory could not make an actor.
///
/// `Display` gives the public text; what the factory said is for the log, by
/// [`StartError::internal`]. It must hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("actor could not be started")]
pub struct StartError(String);

impl StartError {
    /// An error with a text for the log.
    #[must_use]
    pub fn new(internal: impl Into<String>) -> Self {
        Self(internal.into())
    }

    /// What the factory said.
    #[must_use]
    pub fn internal(&self) -> &str {
        &self.0
    }
}
