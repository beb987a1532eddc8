//! What the auth actor is asked.

use actix::Message;

use super::api_key::NewApiKey;
use super::fold::ApiKeyMeta;
use super::issue::{CreatedApiKey, IssueError};
use crate::domain::identity::Principal;

/// Make an API key.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<CreatedApiKey, IssueError>")]
pub struct CreateApiKey {
    /// For whom and for what.
    pub new: NewApiKey,
    /// Who wants it.
    pub by: Principal,
}

/// Take an API key away, and every token made with it. May be sent twice.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), IssueError>")]
pub struct RevokeApiKey {
    /// The key's public part.
    pub id: String,
    /// Who wants it.
    pub by: Principal,
}

/// Every API key, without what proves it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<ApiKeyMeta>")]
pub struct ListApiKeys;
