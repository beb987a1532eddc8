//! The private key that signs orders: parsed, range-checked, and known by its address.

use alloy_primitives::Address;

use crate::domain::clock::{Entropy, EntropyFailed};
use crate::domain::secret::{Redacted, SecretBytes};

use super::sign_raw::{RawSignError, public_key, sign_recoverable};

/// A secp256k1 private key and its EVM address.
///
/// ```compile_fail,E0277
/// fn show(key: &flashguard_actors::key_manager::ChainKey) { let _ = format!("{key:?}"); }
/// ```
/// ```compile_fail,E0277
/// fn show(key: &flashguard_actors::key_manager::ChainKey) { let _ = format!("{key}"); }
/// ```
/// ```compile_fail,E0308
/// fn copy(key: &flashguard_actors::key_manager::ChainKey) -> flashguard_actors::key_manager::ChainKey { key.clone() }
/// ```
/// ```compile_fail,E0277
/// fn write(key: &flashguard_actors::key_manager::ChainKey) { let _ = serde_json::to_string(key); }
/// ```
pub struct ChainKey {
    /// 32 bytes, big-endian, from 1 to the group's order less one.
    scalar: SecretBytes,
    address: String,
}

/// Why something is not a private key. Nothing of it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAChainKey {
    /// It has the wrong length.
    #[error("a private key has 64 hexadecimal digits, not {digits}")]
    WrongLength {
        /// How many characters it has without `0x`.
        digits: usize,
    },
    /// A character is no hexadecimal digit.
    #[error("a private key has hexadecimal digits only")]
    NotHex,
    /// Every digit is zero.
    #[error("zero is not a private key")]
    Zero,
    /// It is not below the order of the curve's group.
    #[error("the number is not below the order of secp256k1: not a private key")]
    TooLarge,
    /// It could not be looked at.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
}

impl ChainKey {
    /// How long the scalar is, in bytes.
    pub const BYTES: usize = 32;

    /// Reads a key written in hexadecimal, with or without `0x`.
    ///
    /// # Errors
    ///
    /// [`NotAChainKey`] names what is wrong with it.
    pub fn parse(text: &Redacted, entropy: &dyn Entropy) -> Result<Self, NotAChainKey> {
        let text = text.expose();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotAChainKey::NotHex);
        }
        if digits.len() != Self::BYTES * 2 {
            let digits = digits.len();
            return Err(NotAChainKey::WrongLength { digits });
        }
        let mut read = Err(NotAChainKey::NotHex);
        let scalar = SecretBytes::filled(Self::BYTES, |memory| {
            read = hex::decode_to_slice(digits, memory).map_err(|_| NotAChainKey::NotHex);
        });
        read.and_then(|()| Self::from_scalar(scalar, entropy))
    }

    /// A new random key.
    ///
    /// # Errors
    ///
    /// [`NotAChainKey::Entropy`] without randomness. A random number outside the range (one in
    /// 2^128) is drawn again, a few times.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, NotAChainKey> {
        const DRAWS_MAX: usize = 4;
        for _ in 0..DRAWS_MAX {
            let scalar = SecretBytes::random(Self::BYTES, entropy)?;
            if let Ok(key) = Self::from_scalar(scalar, entropy) {
                return Ok(key);
            }
        }
        Err(NotAChainKey::Entropy(EntropyFailed))
    }

    /// Takes the scalar as it was sealed.
    ///
    /// # Errors
    ///
    /// [`NotAChainKey`] names what is wrong with it.
    pub fn from_scalar(scalar: SecretBytes, entropy: &dyn Entropy) -> Result<Self, NotAChainKey> {
        let digits = scalar.len() * 2;
        let bytes = scalar
            .expose_array::<32>()
            .ok_or(NotAChainKey::WrongLength { digits })?;
        let Some(point) = public_key(bytes, entropy)? else {
            let zero = scalar.equals(&[0; 32]);
            return Err(if zero {
                NotAChainKey::Zero
            } else {
                NotAChainKey::TooLarge
            });
        };
        let (_, coordinates) = point.split_at(1);
        let address = Address::from_raw_public_key(coordinates).to_checksum(None);
        Ok(Self { scalar, address })
    }

    /// Its EVM address, `0x` and 40 digits with the checksum of EIP-55. Public.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What is sealed.
    pub(super) fn scalar(&self) -> &SecretBytes {
        &self.scalar
    }

    /// r ‖ s ‖ v over `digest`.
    pub(super) fn sign(
        &self,
        digest: &[u8; 32],
        entropy: &dyn Entropy,
    ) -> Result<[u8; 65], RawSignError> {
        let scalar = self.scalar.expose_array().ok_or(RawSignError::NotAKey)?;
        sign_recoverable(digest, scalar, entropy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SystemEntropy;

    fn parse(text: &str) -> Result<String, NotAChainKey> {
        let text = Redacted::taken_from(text.as_bytes().to_vec()).unwrap();
        ChainKey::parse(&text, &SystemEntropy).map(|key| key.address().to_owned())
    }

    /// The first keys of the mnemonic "test test … junk", which every development node of the
    /// Ethereum world prints at its start.
    #[test]
    fn known_keys_have_their_known_addresses() {
        for (key, address) in [
            (
                "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
                "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
            ),
            (
                "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
                "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            ),
            (
                "5DE4111AFA1A4B94908F83103EB1F1706367C2E68CA870FC3FB9A804CDAB365A",
                "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
            ),
        ] {
            assert_eq!(parse(key).as_deref(), Ok(address));
        }
    }

    #[test]
    fn bad_keys_are_named() {
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        assert_eq!(parse(&"0".repeat(64)), Err(NotAChainKey::Zero));
        assert_eq!(parse(order), Err(NotAChainKey::TooLarge));
        assert_eq!(parse(&"f".repeat(64)), Err(NotAChainKey::TooLarge));
        assert!(parse(&order.replace("4141", "4140")).is_ok());
        assert!(parse(&format!("{}1", "0".repeat(63))).is_ok());
        assert_eq!(
            parse(&"1".repeat(63)),
            Err(NotAChainKey::WrongLength { digits: 63 })
        );
        assert_eq!(
            parse(&"1".repeat(65)),
            Err(NotAChainKey::WrongLength { digits: 65 })
        );
        assert_eq!(parse("0x"), Err(NotAChainKey::WrongLength { digits: 0 }));
        assert_eq!(parse(&"g".repeat(64)), Err(NotAChainKey::NotHex));
        assert_eq!(parse("not a key"), Err(NotAChainKey::NotHex));
    }

    #[test]
    fn new_keys_differ() {
        let key = || ChainKey::generate(&SystemEntropy).unwrap();
        assert_ne!(key().address(), key().address());
    }
}
