//! The signature itself: ECDSA over secp256k1, RFC 6979, low s, recoverable.
//!
//! The one place with `unsafe` for signing. libsecp256k1's safe call blinds its shared context anew
//! at every signature, which doubles the price; here each thread owns a context and blinds it every
//! [`SIGNATURES_PER_BLINDING`] signatures (`docs/adr/0007-signing-through-ffi.md`). The private key
//! is read where it lies, in locked memory: no copy of it is made on this side, and the library
//! clears its own. What is signed, and whether it may be, is decided elsewhere.
#![expect(
    unsafe_code,
    reason = "only the library's C interface signs without blinding at every call"
)]

use std::cell::RefCell;
use std::ptr::{self, NonNull};

use secp256k1::ffi;
use secp256k1::ffi::recovery::{
    RecoverableSignature, secp256k1_ecdsa_recoverable_signature_serialize_compact,
    secp256k1_ecdsa_sign_recoverable,
};

use crate::domain::clock::{Entropy, EntropyFailed};

/// After so many signatures of a thread its context is blinded with new randomness.
pub const SIGNATURES_PER_BLINDING: u32 = 1_000;

/// Why there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RawSignError {
    /// No randomness to blind with.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// Misuse: the key is zero or not below the group's order.
    #[error("not a private key of the curve")]
    NotAKey,
    /// The signature cannot be written with v 27 or 28: one in 2^127.
    #[error("the signature has no short form")]
    NoShortForm,
}

thread_local! {
    static CONTEXT: RefCell<Option<SigningContext>> = const { RefCell::new(None) };
}

/// Signs `digest` with the private key `scalar` (big-endian): r ‖ s ‖ v, v 27 or 28, s in the lower
/// half. The same digest and key give the same signature.
///
/// # Errors
///
/// [`RawSignError`] for a scalar that is no key, and without randomness.
pub fn sign_recoverable(
    digest: &[u8; 32],
    scalar: &[u8; 32],
    entropy: &dyn Entropy,
) -> Result<[u8; 65], RawSignError> {
    CONTEXT.with_borrow_mut(|slot| {
        let context = match slot {
            Some(context) => context,
            None => slot.insert(SigningContext::new(entropy)?),
        };
        context.sign(digest, scalar, entropy)
    })
}

/// The public key of `scalar`, uncompressed (0x04 ‖ x ‖ y), or `None` when it is zero or not below
/// the group's order.
pub(super) fn public_key(
    scalar: &[u8; 32],
    entropy: &dyn Entropy,
) -> Result<Option<[u8; 65]>, EntropyFailed> {
    let context = SigningContext::new(entropy)?;
    Ok(context.public_key(scalar))
}

/// A context of this thread alone.
struct SigningContext {
    /// Made by `secp256k1_context_create`, destroyed on drop.
    raw: NonNull<ffi::Context>,
    until_blinding: u32,
}

impl SigningContext {
    fn new(entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        // SAFETY: no precondition; allocates or ends the process.
        let raw = unsafe { ffi::secp256k1_context_create(ffi::SECP256K1_START_NONE) };
        let mut context = Self {
            raw,
            until_blinding: 0,
        };
        context.blind(entropy)?;
        Ok(context)
    }

    fn blind(&mut self, entropy: &dyn Entropy) -> Result<(), EntropyFailed> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        entropy.fill(seed.as_mut())?;
        // SAFETY: the context is live, this thread's alone and borrowed mutably; the seed has 32
        // bytes.
        let blinded = unsafe { ffi::secp256k1_context_randomize(self.raw, seed.as_ptr()) };
        if blinded != 1 {
            return Err(EntropyFailed);
        }
        self.until_blinding = SIGNATURES_PER_BLINDING;
        Ok(())
    }

    fn sign(
        &mut self,
        digest: &[u8; 32],
        scalar: &[u8; 32],
        entropy: &dyn Entropy,
    ) -> Result<[u8; 65], RawSignError> {
        if self.until_blinding == 0 {
            self.blind(entropy)?;
        }
        self.until_blinding -= 1;
        let mut signature = RecoverableSignature::new();
        // SAFETY: the context is live; digest and scalar have 32 bytes each; the nonce function is
        // the library's own, which takes null for "no extra data".
        let signed = unsafe {
            secp256k1_ecdsa_sign_recoverable(
                self.raw.as_ptr(),
                &mut signature,
                digest.as_ptr(),
                scalar.as_ptr(),
                ffi::secp256k1_nonce_function_rfc6979,
                ptr::null(),
            )
        };
        if signed != 1 {
            return Err(RawSignError::NotAKey);
        }
        self.compact(&signature)
    }

    fn compact(&self, signature: &RecoverableSignature) -> Result<[u8; 65], RawSignError> {
        let mut written = [0; 65];
        let (r_and_s, v) = written.split_at_mut(64);
        let mut recovery_id = 0;
        // SAFETY: the context is live; the output has 64 bytes; the signature was just made.
        let serialized = unsafe {
            secp256k1_ecdsa_recoverable_signature_serialize_compact(
                self.raw.as_ptr(),
                r_and_s.as_mut_ptr(),
                &mut recovery_id,
                signature,
            )
        };
        match (serialized, recovery_id) {
            (1, 0) => v.fill(27),
            (1, 1) => v.fill(28),
            _ => return Err(RawSignError::NoShortForm),
        }
        Ok(written)
    }

    fn public_key(&self, scalar: &[u8; 32]) -> Option<[u8; 65]> {
        // SAFETY: only a place to write to; it is not used unless it was written.
        let mut point = unsafe { ffi::PublicKey::new() };
        // SAFETY: the context is live; the scalar has 32 bytes.
        let made = unsafe {
            ffi::secp256k1_ec_pubkey_create(self.raw.as_ptr(), &mut point, scalar.as_ptr())
        };
        if made != 1 {
            return None;
        }
        let mut written = [0; 65];
        let mut length = written.len();
        // SAFETY: the context is live; the output has `length` bytes; the point was just made.
        let serialized = unsafe {
            ffi::secp256k1_ec_pubkey_serialize(
                self.raw.as_ptr(),
                written.as_mut_ptr(),
                &mut length,
                &point,
                ffi::SECP256K1_SER_UNCOMPRESSED,
            )
        };
        (serialized == 1 && length == written.len()).then_some(written)
    }
}

impl Drop for SigningContext {
    fn drop(&mut self) {
        // SAFETY: made by `secp256k1_context_create`, destroyed once.
        unsafe { ffi::secp256k1_context_destroy(self.raw) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{SeededEntropy, SystemEntropy};
    use secp256k1::SecretKey;
    use secp256k1::ecdsa::RecoverableSignature as Safe;

    /// The group's order.
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    /// Half of it, rounded down: the largest low s.
    const HALF: &str = "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0";

    fn bytes(text: &str) -> [u8; 32] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    fn safe(digest: [u8; 32], scalar: [u8; 32]) -> [u8; 65] {
        let key = SecretKey::from_secret_bytes(scalar).unwrap();
        let message = secp256k1::Message::from_digest(digest);
        let (id, compact) = Safe::sign_ecdsa_recoverable(message, &key).serialize_compact();
        let mut written = [27 + id.to_u8(); 65];
        written[..64].copy_from_slice(&compact);
        written
    }

    /// 2,000 cases, or 100,000 with `FLASHGUARD_FULL` set. Past 1,000 the context is blinded anew.
    #[test]
    fn it_signs_exactly_as_the_safe_call_does() {
        let cases = if std::env::var_os("FLASHGUARD_FULL").is_some() {
            100_000
        } else {
            2_000
        };
        let cases_from = SeededEntropy::new(0xF1A5);
        let next = || {
            let mut bytes = [0; 32];
            cases_from.fill(&mut bytes).unwrap();
            bytes
        };
        for case in 0..cases {
            let (digest, scalar) = (next(), next());
            if SecretKey::from_secret_bytes(scalar).is_err() {
                continue;
            }
            let raw = sign_recoverable(&digest, &scalar, &SystemEntropy).unwrap();
            assert_eq!(raw, safe(digest, scalar), "case {case}");
            assert!(raw[32..64] <= bytes(HALF)[..], "case {case}: high s");
        }
    }

    #[test]
    fn the_smallest_and_the_largest_key_sign_and_the_next_ones_do_not() {
        let mut largest = bytes(ORDER);
        largest[31] -= 1;
        let mut smallest = [0; 32];
        smallest[31] = 1;
        for digest in [[0; 32], [0xff; 32], bytes(ORDER)] {
            for scalar in [smallest, largest] {
                let raw = sign_recoverable(&digest, &scalar, &SystemEntropy).unwrap();
                assert_eq!(raw, safe(digest, scalar));
            }
            for scalar in [[0; 32], bytes(ORDER), [0xff; 32]] {
                let refused = sign_recoverable(&digest, &scalar, &SystemEntropy);
                assert_eq!(refused, Err(RawSignError::NotAKey));
                assert_eq!(public_key(&scalar, &SystemEntropy), Ok(None));
            }
        }
    }

    #[test]
    fn a_public_key_is_the_one_the_safe_call_gives() {
        let scalar = bytes("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318");
        let safe =
            secp256k1::PublicKey::from_secret_key(&SecretKey::from_secret_bytes(scalar).unwrap());
        let ours = public_key(&scalar, &SystemEntropy).unwrap().unwrap();
        assert_eq!(ours, safe.serialize_uncompressed());
    }

    #[test]
    fn without_randomness_a_fresh_thread_signs_nothing() {
        struct Dry;
        impl Entropy for Dry {
            fn fill(&self, _: &mut [u8]) -> Result<(), EntropyFailed> {
                Err(EntropyFailed)
            }
        }
        let refused = std::thread::spawn(|| sign_recoverable(&[1; 32], &[1; 32], &Dry)).join();
        assert_eq!(refused.unwrap(), Err(RawSignError::Entropy(EntropyFailed)));
    }
}
