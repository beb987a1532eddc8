//! How the program ends: the contract's exit codes, and what is said about a failure.

use std::process::ExitCode;

use serde_json::Value;

use crate::control::{Blame, Failure as ControlFailure};
use crate::settings::Mistakes;

/// The exit codes, and nothing else ends the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The program failed.
    Internal = 1,
    /// Usage or configuration.
    Usage = 2,
    /// A rule, a permission or the lock said no.
    Refused = 3,
    /// Done, but not confirmed: a halt whose cancels are not all confirmed, a lift that waits for
    /// another person.
    Unconfirmed = 4,
    /// Something outside cannot be reached.
    Unreachable = 5,
    /// Stored data is not what was written.
    Integrity = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Blame> for Exit {
    fn from(blame: Blame) -> Self {
        match blame {
            Blame::Misuse => Self::Usage,
            Blame::Refused => Self::Refused,
            Blame::Unavailable => Self::Unreachable,
            Blame::Corrupt => Self::Integrity,
            Blame::Internal => Self::Internal,
        }
    }
}

/// Why a verb did not do what it should.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// A stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub next: Option<String>,
    /// Deciding numbers and names.
    pub details: Box<Value>,
}

impl Failure {
    /// A failure with a code and a sentence.
    pub fn new(exit: Exit, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.into(),
            message: message.into(),
            next: None,
            details: Box::default(),
        }
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Adds deciding numbers and names.
    #[must_use]
    pub fn with(mut self, details: Value) -> Self {
        *self.details = details;
        self
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        let details = serde_json::to_value(&mistakes.0).unwrap_or_default();
        Self::new(Exit::Usage, "SETTINGS", mistakes.to_string())
            .with(details)
            .next("every setting is explained in docs/configuration.md and config/flashguard.toml")
    }
}

impl From<ControlFailure> for Failure {
    fn from(failure: ControlFailure) -> Self {
        Self::new(failure.blame.into(), failure.code, failure.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_contracts() {
        let codes = [
            Exit::Done,
            Exit::Internal,
            Exit::Usage,
            Exit::Refused,
            Exit::Unconfirmed,
            Exit::Unreachable,
            Exit::Integrity,
        ];
        assert_eq!(codes.map(|exit| exit as u8), [0, 1, 2, 3, 4, 5, 6]);
    }
}
