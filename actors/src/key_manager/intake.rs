//! Taking a hot key in: sealed, proved, recorded. The same for a running service and for the command
//! line that works on the store alone. The key is used from the next start.

use super::chain_key::ChainKey;
use super::hot_keys::{KeyError, seal_chain_key, seal_venue_credential};
use super::service_keys::seal_verifier;
use super::vault::{Sealed, Vault};
use super::venue_credential::VenueCredential;
use crate::auth::{ApiKeyId, Verifier, VerifierNotKept, VerifierStore};
use crate::domain::identity::Principal;
use crate::journal::record::{Entry, Fact};
use crate::journal::{AppendError, Journal};

/// A hot key from outside, parsed and checked.
///
/// ```compile_fail,E0277
/// fn show(key: &flashguard_actors::key_manager::HotKey) { let _ = format!("{key:?}"); }
/// ```
pub enum HotKey {
    /// Signs orders: `sei`.
    Chain(ChainKey),
    /// The credential at the venue: `venue`.
    Venue(VenueCredential),
}

/// Why a key was not taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// It could not be sealed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It was sealed and could not be recorded: it is not used.
    #[error("the key could not be recorded")]
    NotRecorded(#[from] AppendError),
}

/// Seals a hot key as the next version of its name and records it.
///
/// # Errors
///
/// [`IntakeError`]; the version before stays the current one then.
pub async fn take_in(
    key: &HotKey,
    by: &Principal,
    vault: &Vault,
    journal: &Journal,
) -> Result<Sealed, IntakeError> {
    let sealed = match key {
        HotKey::Chain(key) => seal_chain_key(vault, key)?,
        HotKey::Venue(credential) => seal_venue_credential(vault, credential)?,
    };
    record(&sealed, by, journal).await?;
    Ok(sealed)
}

/// Records what was sealed, durable when this returns: from then on it is the current version.
///
/// # Errors
///
/// [`AppendError`] when the journal does not take it.
pub async fn record(sealed: &Sealed, by: &Principal, journal: &Journal) -> Result<(), AppendError> {
    // SAFETY-ORDER: the file is durable and proved; now the records, in this order.
    for fact in sealed.facts() {
        journal
            .append(Entry::of("key_manager", fact).by(by.clone()))
            .await?;
    }
    Ok(())
}

impl VerifierStore for Vault {
    fn keep(&self, id: &ApiKeyId, verifier: &Verifier) -> Result<[Fact; 2], VerifierNotKept> {
        match seal_verifier(self, id, verifier) {
            Ok(sealed) => Ok(sealed.facts()),
            Err(error) => Err(VerifierNotKept(Box::new(error))),
        }
    }
}
