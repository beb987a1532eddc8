//! The secrets that the service itself needs: what proves API keys, what signs tokens, what signs
//! the journal's checkpoints.

use std::collections::HashMap;

use crate::auth::{ApiKeyId, TokenKey, TokenKeyError, Verifier};
use crate::domain::secret::SecretBytes;
use crate::journal::checkpoint::{CheckpointSigner, NoteError};
use crate::ports::key_store::{KeyName, NotAKeyName};

use super::envelope::Purpose;
use super::fold::KeysFold;
use super::vault::{Sealed, Vault, VaultError};

/// Name of the secret that signs login tokens.
pub const TOKEN_SECRET: &str = "jwt";
/// Name of the key that signs the journal's checkpoints.
pub const JOURNAL_KEY: &str = "journal";

const VERIFIER_PREFIX: &str = "apikey-";

/// Why one of the service's own secrets cannot be used or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceKeyError {
    /// There is none.
    #[error("there is no secret {name}: this data directory was not initialised")]
    Missing {
        /// Which.
        name: &'static str,
    },
    /// Corrupt: the journal names a version that the store does not have.
    #[error("the key store has no {name}/{version}, which the journal says is in use")]
    Lost {
        /// Which.
        name: &'static str,
        /// The version in use.
        version: u32,
    },
    /// Corrupt: it opened, but it is of another form.
    #[error("the secret {name} has an unknown form")]
    UnknownForm {
        /// Which.
        name: &'static str,
    },
    /// The store or an envelope failed.
    #[error("a secret could not be read or written")]
    Vault(#[from] VaultError),
    /// The secret is no secret for tokens.
    #[error(transparent)]
    Token(#[from] TokenKeyError),
    /// The origin is none.
    #[error(transparent)]
    Origin(#[from] NoteError),
    /// A name of this program is no name.
    #[error(transparent)]
    Name(#[from] NotAKeyName),
}

/// Seals what proves an API key. Its facts go before `apikey.created`.
///
/// # Errors
///
/// [`ServiceKeyError`] when it could not be written and proved.
pub fn seal_verifier(
    vault: &Vault,
    id: &ApiKeyId,
    verifier: &Verifier,
) -> Result<Sealed, ServiceKeyError> {
    let name = id.store_name()?;
    let bytes = SecretBytes::copied_from(verifier.bytes());
    let fingerprint = vault.fingerprint(Purpose::ApiKeyVerifier, &bytes);
    Ok(vault.seal(Purpose::ApiKeyVerifier, &name, &bytes, fingerprint)?)
}

/// Opens every verifier that the journal says is in use, by API key id. One that cannot be opened is
/// told of and left out: its key proves nobody, and the others go on.
pub fn open_verifiers(
    vault: &Vault,
    keys: &KeysFold,
) -> (HashMap<String, Verifier>, Vec<ServiceKeyError>) {
    let mut verifiers = HashMap::new();
    let mut problems = Vec::new();
    for (name, state) in keys.all() {
        let (Some(id), Some(version)) = (name.strip_prefix(VERIFIER_PREFIX), state.current) else {
            continue;
        };
        match open_verifier(vault, name, version) {
            Ok(verifier) => {
                verifiers.insert(id.to_owned(), verifier);
            }
            Err(problem) => problems.push(problem),
        }
    }
    (verifiers, problems)
}

fn open_verifier(vault: &Vault, name: &str, version: u32) -> Result<Verifier, ServiceKeyError> {
    let name = KeyName::parse(name)?;
    let opened = vault.open(Purpose::ApiKeyVerifier, &name, version)?;
    let opened = opened.ok_or(ServiceKeyError::Lost {
        name: VERIFIER_PREFIX,
        version,
    })?;
    Verifier::from_bytes(opened.expose()).ok_or(ServiceKeyError::UnknownForm {
        name: VERIFIER_PREFIX,
    })
}

/// Makes and seals the secret that signs login tokens.
///
/// # Errors
///
/// [`ServiceKeyError`] when it could not be written and proved.
pub fn generate_token_secret(vault: &Vault) -> Result<Sealed, ServiceKeyError> {
    let name = KeyName::parse(TOKEN_SECRET)?;
    Ok(vault.generate(Purpose::TokenSecret, &name, TokenKey::SECRET_BYTES_MIN)?)
}

/// Opens the secret that signs login tokens. Its version is the key id in their headers.
///
/// # Errors
///
/// [`ServiceKeyError`] when it is missing, lost or damaged.
pub fn open_token_key(vault: &Vault, keys: &KeysFold) -> Result<TokenKey, ServiceKeyError> {
    let name = KeyName::parse(TOKEN_SECRET)?;
    let missing = ServiceKeyError::Missing { name: TOKEN_SECRET };
    let (version, _) = keys.current(&name).ok_or(missing)?;
    let opened = vault.open(Purpose::TokenSecret, &name, version)?;
    let secret = opened.ok_or(ServiceKeyError::Lost {
        name: TOKEN_SECRET,
        version,
    })?;
    Ok(TokenKey::new(format!("{TOKEN_SECRET}/{version}"), secret)?)
}

/// Makes and seals the key that signs the checkpoints of the journal named `origin`.
///
/// # Errors
///
/// [`ServiceKeyError`] when it could not be written and proved, or `origin` holds space or `+`.
pub fn generate_journal_key(
    vault: &Vault,
    origin: &str,
) -> Result<(Sealed, CheckpointSigner), ServiceKeyError> {
    let name = KeyName::parse(JOURNAL_KEY)?;
    let seed = SecretBytes::random(32, &**vault.entropy()).map_err(VaultError::from)?;
    let signer = signer_of(origin, &seed)?;
    let fingerprint = vault.fingerprint(Purpose::JournalSigningKey, &seed);
    let sealed = vault.seal(Purpose::JournalSigningKey, &name, &seed, fingerprint)?;
    Ok((sealed, signer))
}

/// Opens the newest key that signs checkpoints. The journal itself says which public half it was
/// made with, and refuses another, so that this works before the journal can be read.
///
/// # Errors
///
/// [`ServiceKeyError`] when it is missing or damaged.
pub fn open_journal_signer(
    vault: &Vault,
    origin: &str,
) -> Result<CheckpointSigner, ServiceKeyError> {
    let name = KeyName::parse(JOURNAL_KEY)?;
    let held = vault.list()?;
    let newest = held
        .iter()
        .filter(|(n, _)| *n == name)
        .map(|(_, v)| *v)
        .max();
    let missing = || ServiceKeyError::Missing { name: JOURNAL_KEY };
    let version = newest.ok_or_else(missing)?;
    let seed = vault.open(Purpose::JournalSigningKey, &name, version)?;
    signer_of(origin, &seed.ok_or_else(missing)?)
}

fn signer_of(origin: &str, seed: &SecretBytes) -> Result<CheckpointSigner, ServiceKeyError> {
    let seed = seed
        .expose_array()
        .ok_or(ServiceKeyError::UnknownForm { name: JOURNAL_KEY })?;
    Ok(CheckpointSigner::from_seed(origin, seed)?)
}
