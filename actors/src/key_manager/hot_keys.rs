//! The two hot keys: opened as the journal says, sealed as the journal will say.
//!
//! `sei` signs orders, `venue` is the credential at the venue. A key that the journal does not name
//! is not used, and one that is not what the journal names is refused.

use std::sync::Arc;

use crate::domain::clock::EntropyFailed;
use crate::domain::secret::SecretBytes;
use crate::ports::key_store::KeyName;

use super::chain_key::{ChainKey, NotAChainKey};
use super::envelope::Purpose;
use super::fold::KeysFold;
use super::vault::{Sealed, Vault, VaultError};
use super::venue_credential::{NotACredential, VenueCredential};

/// Why a key cannot be used or taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The journal knows no version in use.
    #[error("there is no key {name}: import or generate it")]
    Missing {
        /// Which.
        name: KeyName,
    },
    /// Corrupt: the journal names a version that the store does not have.
    #[error("the key store has no {name}/{version}, which the journal says is in use")]
    Lost {
        /// Which.
        name: KeyName,
        /// The version in use.
        version: u32,
    },
    /// Corrupt: what opened is not what was recorded.
    #[error("{name}/{version} is not the key that was recorded")]
    OtherKey {
        /// Which.
        name: KeyName,
        /// The version in use.
        version: u32,
    },
    /// The store or an envelope failed.
    #[error("the key could not be read or written")]
    Vault(#[from] VaultError),
    /// Not a private key.
    #[error("sei: {0}")]
    ChainKey(#[from] NotAChainKey),
    /// Not a venue credential.
    #[error("venue: {0}")]
    Credential(#[from] NotACredential),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
}

/// The keys in use at one moment.
pub struct HotKeys {
    pub(super) chain: ChainKey,
    pub(super) venue: VenueCredential,
    pub(super) identity: Arc<Identity>,
}

/// What everybody may know of the keys in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name and version of the signing key, such as `sei/1`.
    pub key_id: String,
    /// The signing key's EVM address, EIP-55.
    pub signer: String,
    /// The venue credential's generation: its version.
    pub credential_generation: u64,
    /// The venue credential's fingerprint.
    pub credential_fingerprint: String,
}

impl HotKeys {
    /// Opens the versions that the journal says are in use.
    ///
    /// # Errors
    ///
    /// [`KeyError`] names the key that is missing, lost or damaged.
    pub fn open(vault: &Vault, keys: &KeysFold) -> Result<Self, KeyError> {
        let (chain_version, chain) = open_current(vault, keys, Purpose::ChainKey, &sei())?;
        let chain = ChainKey::from_scalar(chain, &**vault.entropy())?;
        must_be_recorded(keys, &sei(), chain.address())?;
        let (generation, venue) = open_current(vault, keys, Purpose::VenueCredential, &venue())?;
        let credential = VenueCredential::from_sealed_form(venue)?;
        must_be_recorded(keys, &self::venue(), &credential.fingerprint())?;
        Ok(Self::new(chain, chain_version, credential, generation))
    }

    /// Keys that were not read from a store: for embedders and tests.
    pub fn new(
        chain: ChainKey,
        chain_version: u32,
        venue: VenueCredential,
        generation: u32,
    ) -> Self {
        let identity = Identity {
            key_id: format!("{}/{chain_version}", HotKeys::CHAIN),
            signer: chain.address().to_owned(),
            credential_generation: generation.into(),
            credential_fingerprint: venue.fingerprint(),
        };
        Self {
            chain,
            venue,
            identity: Arc::new(identity),
        }
    }

    /// Name of the key that signs orders.
    pub const CHAIN: &'static str = "sei";
    /// Name of the credential at the venue.
    pub const VENUE: &'static str = "venue";
}

fn sei() -> KeyName {
    known_name(HotKeys::CHAIN)
}

fn venue() -> KeyName {
    known_name(HotKeys::VENUE)
}

#[expect(
    clippy::expect_used,
    reason = "two constants of this file, checked by its tests"
)]
fn known_name(text: &'static str) -> KeyName {
    KeyName::parse(text).expect("a name of this program is a name")
}

fn open_current(
    vault: &Vault,
    keys: &KeysFold,
    purpose: Purpose,
    name: &KeyName,
) -> Result<(u32, SecretBytes), KeyError> {
    let missing = || KeyError::Missing { name: name.clone() };
    let (version, _) = keys.current(name).ok_or_else(missing)?;
    let opened = vault.open(purpose, name, version)?;
    let opened = opened.ok_or_else(|| KeyError::Lost {
        name: name.clone(),
        version,
    })?;
    Ok((version, opened))
}

fn must_be_recorded(keys: &KeysFold, name: &KeyName, fingerprint: &str) -> Result<(), KeyError> {
    match keys.current(name) {
        Some((_, recorded)) if recorded == fingerprint => Ok(()),
        Some((version, _)) => Err(KeyError::OtherKey {
            name: name.clone(),
            version,
        }),
        None => Err(KeyError::Missing { name: name.clone() }),
    }
}

/// Seals the key that signs orders. In use from the next start, once its facts are durable.
///
/// # Errors
///
/// [`KeyError::Vault`] when it could not be written and proved.
pub fn seal_chain_key(vault: &Vault, key: &ChainKey) -> Result<Sealed, KeyError> {
    let fingerprint = key.address().to_owned();
    Ok(vault.seal(Purpose::ChainKey, &sei(), key.scalar(), fingerprint)?)
}

/// Seals the credential at the venue. In use from the next start, once its facts are durable.
///
/// # Errors
///
/// [`KeyError::Vault`] when it could not be written and proved.
pub fn seal_venue_credential(
    vault: &Vault,
    credential: &VenueCredential,
) -> Result<Sealed, KeyError> {
    let fingerprint = credential.fingerprint();
    Ok(vault.seal(
        Purpose::VenueCredential,
        &venue(),
        credential.sealed_form(),
        fingerprint,
    )?)
}

/// Opens the venue credential in use, for the paper venue, which has to know it to check requests.
///
/// # Errors
///
/// [`KeyError`] when it is missing, lost or damaged.
pub fn open_venue_credential(vault: &Vault, keys: &KeysFold) -> Result<VenueCredential, KeyError> {
    let (_, opened) = open_current(vault, keys, Purpose::VenueCredential, &venue())?;
    Ok(VenueCredential::from_sealed_form(opened)?)
}

/// Keys that came from outside at a start.
#[derive(Default)]
pub struct Seeds {
    /// For `sei`.
    pub chain: Option<ChainKey>,
    /// For `venue`.
    pub venue: Option<VenueCredential>,
}

/// What became of [`Seeds`].
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "what was sealed is not in use until its facts are in the journal"]
pub struct Imported {
    /// Sealed now, for the first time.
    pub sealed: Vec<Sealed>,
    /// Names for which another secret is in use: what came from outside was not used.
    pub differing: Vec<&'static str>,
}

/// Takes each seed in once: when the journal never knew a version of its name. A seed that differs
/// from the version in use is told of and never used, else a restart would bring back a key that was
/// replaced because it had leaked.
///
/// # Errors
///
/// [`KeyError`] when the store fails or the version in use does not open.
pub fn import_once(vault: &Vault, keys: &KeysFold, seeds: &Seeds) -> Result<Imported, KeyError> {
    let differing = differing(vault, keys, seeds)?;
    let mut sealed = Vec::new();
    if let Some(key) = seeds.chain.as_ref().filter(|_| !keys.knows(&sei())) {
        sealed.push(seal_chain_key(vault, key)?);
    }
    if let Some(credential) = seeds.venue.as_ref().filter(|_| !keys.knows(&venue())) {
        sealed.push(seal_venue_credential(vault, credential)?);
    }
    Ok(Imported { sealed, differing })
}

/// Names for which another secret than the seed's is in use. The secrets themselves are compared, in
/// constant time: the venue credential's fingerprint is that of its public part alone.
///
/// # Errors
///
/// [`KeyError`] when the version in use does not open.
pub fn differing(
    vault: &Vault,
    keys: &KeysFold,
    seeds: &Seeds,
) -> Result<Vec<&'static str>, KeyError> {
    let chain = seeds.chain.as_ref().map(ChainKey::scalar);
    let credential = seeds.venue.as_ref().map(VenueCredential::sealed_form);
    let mut differing = Vec::new();
    for (name, purpose, seed) in [
        (HotKeys::CHAIN, Purpose::ChainKey, chain),
        (HotKeys::VENUE, Purpose::VenueCredential, credential),
    ] {
        let known = known_name(name);
        let Some(seed) = seed.filter(|_| keys.knows(&known)) else {
            continue;
        };
        let (_, in_use) = open_current(vault, keys, purpose, &known)?;
        if !in_use.equals(seed.expose()) {
            differing.push(name);
        }
    }
    Ok(differing)
}
