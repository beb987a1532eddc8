//! API keys: `fg_<id>_<secret>`.
//!
//! The id is public and names the key in records. The secret has 256 random bits, so a plain hash
//! proves it: nobody guesses it, with or without a slow hash, and a check costs less than a
//! microsecond (S5). The hash is bound to the id and compared in constant time.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::clock::{Entropy, EntropyFailed, UnixMicros};
use crate::domain::identity::{Client, Owner, Role};
use crate::domain::secret::SecretBytes;
use crate::journal::record::Fact;
use crate::ports::key_store::{KeyName, NotAKeyName};

const PREFIX: &str = "fg_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
const KEY_CHARS: usize = PREFIX.len() + ID_BYTES * 2 + 1 + SECRET_BYTES * 2;

/// The public part of an API key: 12 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(String);

impl ApiKeyId {
    /// Reads an id.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == ID_BYTES * 2 && is_lower_hex(text)).then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Under which name its verifier is sealed: `apikey-<id>`.
    ///
    /// # Errors
    ///
    /// None for an id that was parsed or made here.
    pub fn store_name(&self) -> Result<KeyName, NotAKeyName> {
        KeyName::parse(&format!("apikey-{}", self.0))
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An API key, whole: shown once when it is made, never kept.
///
/// ```compile_fail,E0277
/// fn show(key: &flashguard_actors::auth::ApiKey) { let _ = format!("{key:?}"); }
/// ```
/// ```compile_fail,E0277
/// fn show(key: &flashguard_actors::auth::ApiKey) { let _ = format!("{key}"); }
/// ```
/// ```compile_fail,E0308
/// fn copy(key: &flashguard_actors::auth::ApiKey) -> flashguard_actors::auth::ApiKey { key.clone() }
/// ```
/// ```compile_fail,E0277
/// fn write(key: &flashguard_actors::auth::ApiKey) { let _ = serde_json::to_string(key); }
/// ```
pub struct ApiKey {
    id: ApiKeyId,
    secret: SecretBytes,
}

/// The text is not an API key. Nothing of it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an API key is fg_<id>_<secret>, as it was shown when it was made")]
pub struct NotAnApiKey;

impl ApiKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// [`EntropyFailed`] without randomness.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut id = [0; ID_BYTES];
        entropy.fill(&mut id)?;
        Ok(Self {
            id: ApiKeyId(hex::encode(id)),
            secret: SecretBytes::random(SECRET_BYTES, entropy)?,
        })
    }

    /// Its public part.
    pub fn id(&self) -> &ApiKeyId {
        &self.id
    }

    /// The whole key, to be shown once.
    pub fn to_text(&self) -> SecretBytes {
        SecretBytes::filled(KEY_CHARS, |memory| {
            let (head, secret) = memory.split_at_mut(KEY_CHARS - SECRET_BYTES * 2);
            let public = PREFIX.bytes().chain(self.id.0.bytes()).chain([b'_']);
            head.iter_mut()
                .zip(public)
                .for_each(|(to, from)| *to = from);
            // The lengths fit by construction.
            let _ = hex::encode_to_slice(self.secret.expose(), secret);
        })
    }

    /// What proves this key later.
    pub fn verifier(&self) -> Verifier {
        Verifier::of(&self.id.0, self.secret.expose())
    }
}

/// What proves an API key without saying it.
///
/// ```compile_fail,E0277
/// fn show(v: &flashguard_actors::auth::Verifier) { let _ = format!("{v:?}"); }
/// ```
#[derive(Clone)]
pub struct Verifier([u8; 32]);

impl Verifier {
    /// As it is sealed.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As it was sealed, or `None` when it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Proves nothing: what a key is compared with whose id is unknown.
    pub(super) const fn of_nobody() -> Self {
        Self([0; 32])
    }

    fn of(id: &str, secret: &[u8]) -> Self {
        let mut hash = Sha256::new_with_prefix(b"flashguard/1/api-key\0");
        hash.update(id.as_bytes());
        hash.update(secret);
        Self(hash.finalize().into())
    }

    /// Whether `presented` is the key that this verifier was made of. The time does not depend on
    /// how much of it is right.
    pub(super) fn proves(&self, presented: &Presented<'_>) -> bool {
        let mut secret = zeroize::Zeroizing::new([0; SECRET_BYTES]);
        // `parse` has seen that these are digits and how many.
        let read = hex::decode_to_slice(presented.secret, secret.as_mut()).is_ok();
        let other = Self::of(presented.id, secret.as_ref());
        read & bool::from(self.0.ct_eq(&other.0))
    }
}

/// An API key as it was presented: of the right shape, not yet proven.
pub(super) struct Presented<'a> {
    pub(super) id: &'a str,
    secret: &'a str,
}

impl<'a> Presented<'a> {
    /// Takes a presented key apart. One spelling per key: upper case is another text.
    pub(super) fn parse(text: &'a str) -> Result<Self, NotAnApiKey> {
        let rest = text.strip_prefix(PREFIX).ok_or(NotAnApiKey)?;
        let (id, secret) = rest.split_once('_').ok_or(NotAnApiKey)?;
        let sizes = id.len() == ID_BYTES * 2 && secret.len() == SECRET_BYTES * 2;
        if sizes && is_lower_hex(id) && is_lower_hex(secret) {
            Ok(Self { id, secret })
        } else {
            Err(NotAnApiKey)
        }
    }
}

/// Whether a bearer credential is meant as an API key rather than a token.
pub(super) fn looks_like_one(text: &str) -> bool {
    text.starts_with(PREFIX)
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A key to be made: for whom, for what, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// The person.
    pub owner: Owner,
    /// The bot or script; `None` makes one of its own, `<role>-<id>`.
    pub client: Option<Client>,
    /// What it may do.
    pub role: Role,
    /// Made with access to the machine (K10).
    pub local: bool,
    /// It ends by itself then.
    pub expires: Option<UnixMicros>,
}

impl NewApiKey {
    /// Makes the key and the fact of it. The verifier is to be sealed under
    /// [`ApiKeyId::store_name`], durable, before the fact is journaled.
    ///
    /// # Errors
    ///
    /// [`EntropyFailed`] without randomness.
    pub fn make(self, entropy: &dyn Entropy) -> Result<(ApiKey, Fact), EntropyFailed> {
        let key = ApiKey::generate(entropy)?;
        let own = || Client::try_from(format!("{}-{}", self.role.as_str(), key.id));
        let client = match self.client {
            Some(client) => client,
            // A role and an id are letters and digits, so this is a name.
            None => own().map_err(|_| EntropyFailed)?,
        };
        let fact = Fact::ApiKeyCreated {
            id: key.id.0.clone(),
            owner: self.owner,
            client,
            role: self.role,
            local: self.local,
            expires_us: self.expires,
        };
        Ok((key, fact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SystemEntropy;

    fn text_of(key: &ApiKey) -> String {
        String::from_utf8(key.to_text().expose().to_vec()).unwrap()
    }

    #[test]
    fn a_key_has_a_public_id_and_256_secret_bits() {
        let key = ApiKey::generate(&SystemEntropy).unwrap();
        let text = text_of(&key);
        let parts: Vec<&str> = text.split('_').collect();
        assert_eq!(parts[..2], ["fg", key.id().as_str()]);
        assert_eq!(hex::decode(parts[2]).unwrap().len(), 32);
        assert_eq!(parts.len(), 3);
        assert_eq!(ApiKeyId::parse(key.id().as_str()).as_ref(), Some(key.id()));
        assert!(key.id().store_name().is_ok());
    }

    #[test]
    fn a_verifier_proves_its_own_key_only() {
        let (one, two) = (
            ApiKey::generate(&SystemEntropy).unwrap(),
            ApiKey::generate(&SystemEntropy).unwrap(),
        );
        let proves = |verifier: &Verifier, text: &str| {
            verifier.proves(&Presented::parse(text).unwrap_or_else(|_| panic!("{text}")))
        };
        assert!(proves(&one.verifier(), &text_of(&one)));
        assert!(!proves(&one.verifier(), &text_of(&two)));
        let borrowed = text_of(&two).replace(two.id().as_str(), one.id().as_str());
        assert!(
            !proves(&one.verifier(), &borrowed),
            "another secret under its id"
        );
        let renamed = text_of(&one).replace(one.id().as_str(), two.id().as_str());
        assert!(
            !proves(&one.verifier(), &renamed),
            "its secret under another id"
        );
        assert!(!proves(&Verifier::of_nobody(), &text_of(&one)));
        let kept = Verifier::from_bytes(one.verifier().bytes()).unwrap();
        assert!(proves(&kept, &text_of(&one)));
        assert!(Verifier::from_bytes(&[0; 31]).is_none());
    }

    #[test]
    fn every_changed_character_of_a_key_spoils_it() {
        let key = ApiKey::generate(&SystemEntropy).unwrap();
        let text = text_of(&key);
        for at in 0..text.len() {
            for other in ["0", "1", "A", "_", "é", ""] {
                let mut changed = text.clone();
                changed.replace_range(at..=at, other);
                let same = changed == text;
                let proven = Presented::parse(&changed).is_ok_and(|p| key.verifier().proves(&p));
                assert_eq!(proven, same, "{at}");
            }
        }
        for bad in [
            "",
            "fg_",
            "fg__",
            "fg_a_b",
            &text.to_uppercase(),
            &format!("{text} "),
        ] {
            assert!(Presented::parse(bad).is_err());
        }
    }

    #[test]
    fn a_key_without_a_client_gets_one_of_its_own() {
        let new = |client| NewApiKey {
            owner: Owner::try_from("ann".to_owned()).unwrap(),
            client,
            role: Role::System,
            local: true,
            expires: None,
        };
        let client_of = |fact| match fact {
            Fact::ApiKeyCreated { client, .. } => client.as_str().to_owned(),
            other => panic!("{other:?}"),
        };
        let (key, fact) = new(None).make(&SystemEntropy).unwrap();
        assert_eq!(client_of(fact), format!("system-{}", key.id()));
        let named = Client::try_from("bot-1".to_owned()).unwrap();
        let (_, fact) = new(Some(named)).make(&SystemEntropy).unwrap();
        assert_eq!(client_of(fact), "bot-1");
    }
}
