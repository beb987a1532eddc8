//! The key manager: the only place that holds keys and the only place that signs.
//!
//! It protects the private key that signs orders (`sei`) and the credential at the venue (`venue`).
//! On disk each secret lies in an [`envelope`] that opens for its own place alone; in use it lies in
//! locked memory behind [`KeyManager`], which signs nothing but an order whose intent is durable
//! ([`Recorded`](crate::gate::Recorded)) and hands out nothing but the framed request. Signing runs
//! on the thread that carries the order; importing and listing keys is the actor's.
//!
//! It does not rotate, and it holds no key class but these two: those parts are not built.

#[cfg(feature = "runtime")]
mod actor;
mod chain_key;
mod describe;
pub mod envelope;
mod fold;
mod hot_keys;
#[cfg(feature = "runtime")]
mod intake;
#[cfg(feature = "runtime")]
mod messages;
mod service_keys;
pub mod sign_raw;
mod signer;
mod typed_data;
#[cfg(test)]
mod typed_data_vectors;
mod vault;
mod venue_credential;

#[cfg(feature = "runtime")]
pub use actor::{KeyManagerActor, KeyMeans};
pub use chain_key::{ChainKey, NotAChainKey};
pub use describe::{KeyDescription, describe};
pub use envelope::{MasterKey, NotAMasterKey, OpenError, Purpose, SealError};
pub use fold::{KeyState, KeysFold};
pub use hot_keys::{
    HotKeys, Identity, Imported, KeyError, Seeds, differing, import_once, open_venue_credential,
    seal_chain_key, seal_venue_credential,
};
#[cfg(feature = "runtime")]
pub use intake::{HotKey, IntakeError, record, take_in};
#[cfg(feature = "runtime")]
pub use messages::{GenerateChainKey, ImportKey, ListKeys};
pub use service_keys::{
    JOURNAL_KEY, ServiceKeyError, TOKEN_SECRET, generate_journal_key, generate_token_secret,
    open_journal_signer, open_token_key, open_verifiers, seal_verifier,
};
pub use signer::{KeyManager, SignError};
pub use typed_data::{CHAIN_ID_DEFAULT, LastHopMismatch, Preimage};
pub use vault::{Sealed, Vault, VaultError};
pub use venue_credential::{AccountProblem, NotACredential, VenueCredential, judge_account};

#[cfg(test)]
pub(crate) mod tests;
