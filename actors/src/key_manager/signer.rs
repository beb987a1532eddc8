//! Signing: from an order whose intent is durable to the complete request that may leave.
//!
//! The keys in use are published as one snapshot; a signature reads it once, so an order is signed
//! and framed with keys of one moment. Nothing here waits, and no secret leaves: what comes out is
//! the framed request.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::clock::{EntropyFailed, SharedEntropy, UnixMicros};
use crate::domain::order::Order;
use crate::gate::Recorded;
use crate::ports::key_store::KeyName;
use crate::ports::venue::{Framed, Framing, OrderSignature, Query, Signed};

use super::chain_key::{ChainKey, NotAChainKey};
use super::envelope::Purpose;
use super::fold::KeysFold;
use super::sign_raw::RawSignError;
use super::typed_data::{LastHopMismatch, OrderDomain, TypedOrder};
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

/// Why an order was not signed. Nothing of it left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A fault of this program: the fields to be signed are not the admitted order.
    #[error(transparent)]
    LastHop(#[from] LastHopMismatch),
    /// The signature could not be made.
    #[error("the order could not be signed")]
    Signature(#[from] RawSignError),
}

/// The keys in use at one moment.
pub struct HotKeys {
    chain: ChainKey,
    venue: VenueCredential,
    identity: Arc<Identity>,
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
) -> Result<(u32, crate::domain::secret::SecretBytes), KeyError> {
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

/// The key manager: signs what was recorded, frames what is asked.
///
/// ```compile_fail,E0277
/// fn show(keys: &flashguard_actors::key_manager::KeyManager) { let _ = format!("{keys:?}"); }
/// ```
///
/// An order that was only admitted, or never was, is not signed:
/// ```compile_fail,E0308
/// use flashguard_actors::{domain::{clock::UnixMicros, order::Order}, key_manager::KeyManager, ports::venue::Framing};
/// fn forge(keys: &KeyManager, order: &Order, framing: &dyn Framing) {
///     let _ = keys.sign(order, framing, UnixMicros(0));
/// }
/// ```
pub struct KeyManager {
    hot: ArcSwap<HotKeys>,
    domain: OrderDomain,
    entropy: SharedEntropy,
}

impl KeyManager {
    /// A key manager that signs with `keys` for the chain `chain_id` (`venue.chain_id`).
    pub fn new(keys: HotKeys, chain_id: u64, entropy: SharedEntropy) -> Self {
        Self {
            hot: ArcSwap::from_pointee(keys),
            domain: OrderDomain::new(chain_id),
            entropy,
        }
    }

    /// What everybody may know of the keys in use.
    pub fn identity(&self) -> Arc<Identity> {
        self.hot.load().identity.clone()
    }

    /// Signs an order whose intent is durable, and frames it for the venue. Takes about 30 µs on
    /// the calling thread and waits for nothing.
    ///
    /// # Errors
    ///
    /// [`SignError`]; nothing was released then.
    pub fn sign(
        &self,
        recorded: &Recorded,
        framing: &dyn Framing,
        now: UnixMicros,
    ) -> Result<Signed, SignError> {
        self.sign_order(recorded.order(), framing, now)
    }

    fn sign_order(
        &self,
        order: &Order,
        framing: &dyn Framing,
        now: UnixMicros,
    ) -> Result<Signed, SignError> {
        let keys = self.hot.load();
        let typed = TypedOrder::of(order);
        typed.must_be(order)?;
        let digest = self.domain.digest(&typed);
        let signature = keys.chain.sign(&digest, &*self.entropy)?;
        let signature = OrderSignature {
            digest: hex_0x(&digest),
            signature: hex_0x(&signature),
            signer: keys.identity.signer.clone(),
        };
        let framed = framing.order(order, &signature, &keys.venue.view(), now);
        Ok(Signed::new(
            order.clone(),
            framed,
            signature,
            keys.identity.key_id.clone(),
            keys.identity.credential_generation,
            now,
        ))
    }

    /// Frames a query or a cancel with the credential in use.
    pub fn frame_query(&self, framing: &dyn Framing, query: &Query, now: UnixMicros) -> Framed {
        framing.query(query, &self.hot.load().venue.view(), now)
    }
}

fn hex_0x(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("0x");
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
        }
    }
    text
}
