//! The envelope around every secret on disk: what it protects, and against whom (S3).
//!
//! AES-256-GCM. The key and the nonce of each envelope are made by HKDF-SHA256 from the master key,
//! a random salt of 256 bits and the purpose, so each encrypts one secret and no more: the cipher's
//! bound on uses per key is never approached, and no counter has to survive. What an envelope is for
//! (purpose, name, version) and its own header are associated data, so none can stand in the place
//! of another or of an older one. The header names the master key, so a wrong one is told from a
//! damaged file.
//!
//! ```text
//! "FGSE" ‖ format (1) ‖ master key id (8) ‖ salt (32) ‖ ciphertext ‖ tag (16)
//! ```
//!
//! What it does not do: it does not hide how long a secret is.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::domain::clock::{Entropy, EntropyFailed};
use crate::domain::secret::{Redacted, SecretBytes};
use crate::ports::key_store::{KeyName, SEALED_BYTES_MAX};

const MAGIC: &[u8; 4] = b"FGSE";
const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const SALT_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + 1 + KEY_ID_BYTES + SALT_BYTES;
const TAG_BYTES: usize = 16;

/// Largest secret that fits an envelope the store takes, in bytes.
pub const PLAIN_BYTES_MAX: usize = SEALED_BYTES_MAX - HEADER_BYTES - TAG_BYTES;

/// What a secret is for. An envelope of one purpose never opens for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The private key that signs orders.
    ChainKey,
    /// The API credential at the venue.
    VenueCredential,
    /// What proves an API key of this service.
    ApiKeyVerifier,
    /// The secret that signs login tokens.
    TokenSecret,
    /// The key that signs the journal's checkpoints.
    JournalSigningKey,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 5] = [
        Self::ChainKey,
        Self::VenueCredential,
        Self::ApiKeyVerifier,
        Self::TokenSecret,
        Self::JournalSigningKey,
    ];

    /// As it goes into the derivation of keys: never changed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChainKey => "chain-key",
            Self::VenueCredential => "venue-credential",
            Self::ApiKeyVerifier => "api-key-verifier",
            Self::TokenSecret => "token-secret",
            Self::JournalSigningKey => "journal-signing-key",
        }
    }
}

/// The key above all others: 256 random bits, kept outside the store.
///
/// ```compile_fail,E0277
/// fn show(key: &flashguard_actors::key_manager::MasterKey) { let _ = format!("{key:?}"); }
/// ```
/// ```compile_fail,E0277
/// fn show(key: &flashguard_actors::key_manager::MasterKey) { let _ = format!("{key}"); }
/// ```
/// ```compile_fail,E0308
/// fn copy(key: &flashguard_actors::key_manager::MasterKey) -> flashguard_actors::key_manager::MasterKey { key.clone() }
/// ```
/// ```compile_fail,E0277
/// fn write(key: &flashguard_actors::key_manager::MasterKey) { let _ = serde_json::to_string(key); }
/// ```
pub struct MasterKey(SecretBytes);

/// The text is not a master key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 64 hexadecimal digits")]
pub struct NotAMasterKey;

impl MasterKey {
    /// How long it is, in bytes.
    pub const BYTES: usize = 32;

    /// A new one.
    ///
    /// # Errors
    ///
    /// [`EntropyFailed`] when there is no randomness.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        SecretBytes::random(Self::BYTES, entropy).map(Self)
    }

    /// Reads one as [`MasterKey::to_text`] writes it.
    ///
    /// # Errors
    ///
    /// [`NotAMasterKey`] when the text has another shape.
    pub fn parse(text: &Redacted) -> Result<Self, NotAMasterKey> {
        let mut read = Err(NotAMasterKey);
        let key = SecretBytes::filled(Self::BYTES, |memory| {
            read = hex::decode_to_slice(text.expose(), memory).map_err(|_| NotAMasterKey);
        });
        read.map(|()| Self(key))
    }

    /// Its text for a file that only the service may read: 64 hexadecimal digits.
    pub fn to_text(&self) -> SecretBytes {
        SecretBytes::filled(Self::BYTES * 2, |memory| {
            // The lengths fit by construction.
            let _ = hex::encode_to_slice(self.0.expose(), memory);
        })
    }

    /// Which key this is, without saying it.
    pub fn id(&self) -> [u8; KEY_ID_BYTES] {
        let mut id = [0; KEY_ID_BYTES];
        self.derive(None, &["master-key-id"], &mut id);
        id
    }

    /// HKDF-SHA256 with the parts of `info` told apart by their lengths.
    fn derive(&self, salt: Option<&[u8]>, info: &[&str], into: &mut [u8]) {
        let mut label = b"flashguard/1".to_vec();
        for part in info {
            push_part(&mut label, part.as_bytes());
        }
        let expanded = Hkdf::<Sha256>::new(salt, self.0.expose()).expand(&label, into);
        // HKDF refuses more than 255 hashes; the longest asked for is 44 bytes.
        debug_assert!(expanded.is_ok());
    }

    /// A short public name of `secret`, keyed, so that even a guessable secret cannot be found from
    /// it without the master key: 16 hexadecimal digits.
    pub fn fingerprint(&self, purpose: Purpose, secret: &[u8]) -> String {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        let mut key = Zeroizing::new([0; 32]);
        self.derive(None, &["fingerprint", purpose.as_str()], key.as_mut());
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_ref()) else {
            return String::new(); // HMAC takes keys of any length.
        };
        mac.update(secret);
        let tag = mac.finalize().into_bytes();
        hex::encode(tag.get(..8).unwrap_or_default())
    }
}

/// Why an envelope does not open. Nothing of the content is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Corrupt: these bytes never were an envelope, or their beginning was changed.
    #[error("not a sealed secret")]
    NotAnEnvelope,
    /// Sealed by a later version of this program.
    #[error("sealed in a format this version does not know")]
    UnknownFormat,
    /// Sealed under another master key.
    #[error("sealed under another master key")]
    OtherMasterKey,
    /// Corrupt: changed, or put in the place of another.
    #[error("the sealed secret was changed, or it belongs to another place")]
    Refused,
}

/// Why a secret was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// No randomness, no envelope.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// Longer than any secret here.
    #[error("a secret has at most {PLAIN_BYTES_MAX} bytes")]
    TooLong,
}

/// Seals `secret` as version `version` of `name`.
///
/// # Errors
///
/// [`SealError`] without randomness, or for a secret that is too long.
pub fn seal(
    master: &MasterKey,
    purpose: Purpose,
    name: &KeyName,
    version: u32,
    secret: &SecretBytes,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SealError> {
    if secret.len() > PLAIN_BYTES_MAX {
        return Err(SealError::TooLong);
    }
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt)?;
    let mut sealed = Vec::with_capacity(HEADER_BYTES + secret.len() + TAG_BYTES);
    sealed.extend_from_slice(MAGIC);
    sealed.push(FORMAT);
    sealed.extend_from_slice(&master.id());
    sealed.extend_from_slice(&salt);
    let place = place(&sealed, purpose, name, version);
    let (cipher, nonce) = cipher(master, purpose, &salt);
    sealed.extend_from_slice(secret.expose());
    let (_, content) = sealed.split_at_mut(HEADER_BYTES);
    let tag = cipher
        .encrypt_inout_detached(&nonce, &place, content.into())
        .map_err(|_| SealError::TooLong)?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// Opens what [`seal`] made for exactly this place.
///
/// # Errors
///
/// [`OpenError`] for anything else; nothing is returned then, not even a part.
pub fn open(
    master: &MasterKey,
    purpose: Purpose,
    name: &KeyName,
    version: u32,
    sealed: &[u8],
) -> Result<SecretBytes, OpenError> {
    let (header, content) = sealed
        .split_at_checked(HEADER_BYTES)
        .ok_or(OpenError::NotAnEnvelope)?;
    let (content, tag) = content
        .split_last_chunk::<TAG_BYTES>()
        .ok_or(OpenError::NotAnEnvelope)?;
    let rest = header.strip_prefix(MAGIC).ok_or(OpenError::NotAnEnvelope)?;
    let rest = rest
        .strip_prefix(&[FORMAT])
        .ok_or(OpenError::UnknownFormat)?;
    let salt = rest
        .strip_prefix(&master.id())
        .ok_or(OpenError::OtherMasterKey)?;
    let (cipher, nonce) = cipher(master, purpose, salt);
    let place = place(header, purpose, name, version);
    let mut opened = Err(OpenError::Refused);
    let secret = SecretBytes::filled(content.len(), |memory| {
        memory.copy_from_slice(content);
        opened = cipher
            .decrypt_inout_detached(&nonce, &place, memory.into(), &Tag::from(*tag))
            .map_err(|_| OpenError::Refused);
    });
    opened.map(|()| secret)
}

/// The cipher and the nonce that belong to one envelope alone.
fn cipher(master: &MasterKey, purpose: Purpose, salt: &[u8]) -> (Aes256Gcm, Nonce<NonceSize>) {
    let mut derived = Zeroizing::new([0; 44]);
    master.derive(Some(salt), &["seal", purpose.as_str()], derived.as_mut());
    let mut key = Zeroizing::new([0; 32]);
    let mut nonce = [0; 12];
    key.iter_mut()
        .zip(derived.iter())
        .for_each(|(to, from)| *to = *from);
    nonce
        .iter_mut()
        .zip(derived.iter().skip(32))
        .for_each(|(to, from)| *to = *from);
    (Aes256Gcm::new(&(*key).into()), nonce.into())
}

type NonceSize = aes_gcm::aes::cipher::consts::U12;

/// Associated data: the header as it stands, and where the envelope belongs.
fn place(header: &[u8], purpose: Purpose, name: &KeyName, version: u32) -> Vec<u8> {
    let mut place = Vec::with_capacity(header.len() + 64);
    push_part(&mut place, header);
    push_part(&mut place, purpose.as_str().as_bytes());
    push_part(&mut place, name.as_str().as_bytes());
    push_part(&mut place, &version.to_be_bytes());
    place
}

/// Appends `part` with its length before it, so that no two lists of parts look the same.
fn push_part(to: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SystemEntropy;

    const SECRET: &[u8] = b"thirty-two bytes of a secret key";

    fn name(text: &str) -> KeyName {
        KeyName::parse(text).unwrap()
    }

    fn sealed_as(master: &MasterKey, purpose: Purpose, at: &str, version: u32) -> Vec<u8> {
        let secret = SecretBytes::copied_from(SECRET);
        seal(master, purpose, &name(at), version, &secret, &SystemEntropy).unwrap()
    }

    fn master() -> MasterKey {
        MasterKey::generate(&SystemEntropy).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_at_its_place() {
        let master = master();
        for secret in [&b""[..], b"x", SECRET, &vec![7; PLAIN_BYTES_MAX]] {
            let secret = SecretBytes::copied_from(secret);
            let seal = |secret| {
                seal(
                    &master,
                    Purpose::ChainKey,
                    &name("sei"),
                    1,
                    secret,
                    &SystemEntropy,
                )
            };
            let sealed = seal(&secret).unwrap();
            assert!(sealed.len() <= SEALED_BYTES_MAX);
            let opened = open(&master, Purpose::ChainKey, &name("sei"), 1, &sealed).unwrap();
            assert!(opened.equals(secret.expose()));
        }
        let long = SecretBytes::filled(PLAIN_BYTES_MAX + 1, |_| {});
        let refused = seal(
            &master,
            Purpose::ChainKey,
            &name("sei"),
            1,
            &long,
            &SystemEntropy,
        );
        assert_eq!(refused, Err(SealError::TooLong));
    }

    #[test]
    fn the_secret_does_not_stand_in_the_envelope_and_no_two_envelopes_are_alike() {
        let master = master();
        let one = sealed_as(&master, Purpose::ChainKey, "sei", 1);
        let two = sealed_as(&master, Purpose::ChainKey, "sei", 1);
        assert!(!one.windows(8).any(|w| w == &SECRET[..8]));
        // Same master key, nothing else in common: salt, hence key and nonce, hence ciphertext.
        let common = HEADER_BYTES - SALT_BYTES;
        assert_eq!(one[..common], two[..common]);
        for range in [common..HEADER_BYTES, HEADER_BYTES..one.len()] {
            assert_ne!(one[range.clone()], two[range]);
        }
    }

    #[test]
    fn every_byte_counts() {
        let master = master();
        let sealed = sealed_as(&master, Purpose::ChainKey, "sei", 1);
        for at in 0..sealed.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = sealed.clone();
                changed[at] ^= flip;
                let opened = open(&master, Purpose::ChainKey, &name("sei"), 1, &changed);
                assert!(opened.is_err(), "byte {at} ^ {flip:#x}");
            }
        }
        for length in 0..sealed.len() {
            let cut = &sealed[..length];
            assert!(
                open(&master, Purpose::ChainKey, &name("sei"), 1, cut).is_err(),
                "{length}"
            );
        }
        let longer = [&sealed[..], b"\0"].concat();
        assert!(open(&master, Purpose::ChainKey, &name("sei"), 1, &longer).is_err());
    }

    #[test]
    fn an_envelope_opens_in_no_other_place() {
        let master = master();
        let sealed = sealed_as(&master, Purpose::ApiKeyVerifier, "apikey-1", 2);
        let open = |purpose, at: &str, version| {
            super::open(&master, purpose, &name(at), version, &sealed).err()
        };
        assert_eq!(open(Purpose::ApiKeyVerifier, "apikey-1", 2), None);
        let refused = Some(OpenError::Refused);
        assert_eq!(
            open(Purpose::ApiKeyVerifier, "apikey-2", 2),
            refused,
            "swapped"
        );
        assert_eq!(
            open(Purpose::ApiKeyVerifier, "apikey-1", 3),
            refused,
            "rolled back"
        );
        assert_eq!(open(Purpose::ApiKeyVerifier, "apikey-1", 1), refused);
        for purpose in Purpose::ALL
            .into_iter()
            .filter(|p| *p != Purpose::ApiKeyVerifier)
        {
            assert_eq!(open(purpose, "apikey-1", 2), refused, "{purpose:?}");
        }
    }

    #[test]
    fn another_master_key_is_told_from_a_damaged_file() {
        let sealed = sealed_as(&master(), Purpose::ChainKey, "sei", 1);
        let opened = open(&master(), Purpose::ChainKey, &name("sei"), 1, &sealed);
        assert_eq!(opened.err(), Some(OpenError::OtherMasterKey));
        let opened = open(
            &master(),
            Purpose::ChainKey,
            &name("sei"),
            1,
            b"{\"key\":1}",
        );
        assert_eq!(opened.err(), Some(OpenError::NotAnEnvelope));
    }

    #[test]
    fn a_master_key_is_read_as_it_was_written() {
        let key = master();
        let text = Redacted::taken_from(key.to_text().expose().to_vec()).unwrap();
        assert_eq!(MasterKey::parse(&text).ok().map(|k| k.id()), Some(key.id()));
        for bad in ["", "00", &"g".repeat(64), &"0".repeat(63), &"0".repeat(66)] {
            if let Ok(text) = Redacted::taken_from(bad.as_bytes().to_vec()) {
                assert!(MasterKey::parse(&text).is_err(), "{bad:?}");
            }
        }
    }

    #[test]
    fn a_fingerprint_depends_on_the_master_key_and_the_purpose() {
        let (one, two) = (master(), master());
        let print = |key: &MasterKey, purpose| key.fingerprint(purpose, b"guess me");
        assert_eq!(
            print(&one, Purpose::TokenSecret),
            print(&one, Purpose::TokenSecret)
        );
        assert_ne!(
            print(&one, Purpose::TokenSecret),
            print(&two, Purpose::TokenSecret)
        );
        assert_ne!(
            print(&one, Purpose::TokenSecret),
            print(&one, Purpose::ChainKey)
        );
        assert_eq!(print(&one, Purpose::TokenSecret).len(), 16);
    }
}
