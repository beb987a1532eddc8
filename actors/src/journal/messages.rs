//! What the journal's actor is asked.

use actix::Message;

use super::writer::{AppendError, JournalStatus};
use crate::ports::journal::RawCheckpoint;

/// How the writer is.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "JournalStatus")]
pub struct ReadStatus;

/// Sign the root over what is committed now.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<RawCheckpoint, AppendError>")]
pub struct SignCheckpoint;
