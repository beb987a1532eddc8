//! What the key manager's actor is asked. Signing is not among it: that runs on the thread of the
//! order.

use actix::Message;

use super::describe::KeyDescription;
use super::intake::{HotKey, IntakeError};
use super::vault::Sealed;
use crate::domain::identity::Principal;
use crate::ports::journal::StoreError;

/// Describe every key.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<KeyDescription>, StoreError>")]
pub struct ListKeys;

/// Take a hot key in: current at once, used from the next start.
#[derive(Message)]
#[rtype(result = "Result<Sealed, IntakeError>")]
pub struct ImportKey {
    /// The key.
    pub key: HotKey,
    /// Who brings it.
    pub by: Principal,
}

/// Make a new key that signs orders: current at once, used from the next start.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Sealed, IntakeError>")]
pub struct GenerateChainKey {
    /// Who wants it.
    pub by: Principal,
}
