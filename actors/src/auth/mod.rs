//! Access: who may come in, proven by an API key or by a token made with one.
//!
//! API keys are `fg_<id>_<secret>` with 256 random bits; what is stored proves one without saying
//! it. A login turns a key into a token that ends by itself. [`Access`] answers every request from
//! published snapshots, on any thread, without a mailbox; the facts it returns (logins, revocations)
//! are the caller's to journal. `AuthActor` makes and takes away keys. What a role may do is `domain::identity`'s table.
//!
//! What it does not do: no lockout, no second factor, no human-chosen secrets. Those parts are not
//! built.

mod access;
#[cfg(feature = "runtime")]
mod actor;
mod agreement;
mod api_key;
mod fold;
#[cfg(feature = "runtime")]
mod issue;
#[cfg(feature = "runtime")]
mod messages;
mod refusals;
mod token;

pub use access::{Access, AuthError, Login, bearer_of};
#[cfg(feature = "runtime")]
pub use actor::{AuthActor, AuthMeans};
pub use agreement::{AgreedAlready, Agreement, Counted};
pub use api_key::{ApiKey, ApiKeyId, NewApiKey, NotAnApiKey, Verifier};
pub use fold::{ApiKeyMeta, AuthFold};
#[cfg(feature = "runtime")]
pub use issue::{
    CreatedApiKey, IssueError, VerifierNotKept, VerifierStore, create_api_key, revoke_api_key,
};
#[cfg(feature = "runtime")]
pub use messages::{CreateApiKey, ListApiKeys, RevokeApiKey};
pub use refusals::{Refusals, Refused};
pub use token::{
    CLOCK_LEEWAY_S, TokenKey, TokenKeyError, TokenKeyTooShort, TokenSetupError, install_provider,
};
