//! Login tokens: JWTs by HS256, made and read here alone (S6).
//!
//! The algorithm is fixed by the key, never by the token. Every claim is required and typed; the
//! time is the caller's, not the library's. Whether the key behind a token still exists, and whether
//! the token was taken back, is [`Access`](super::Access)'s question.

use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::access::AuthError;
use crate::domain::clock::{Entropy, EntropyFailed, UnixMicros};
use crate::domain::identity::Role;
use crate::domain::secret::SecretBytes;

/// How far the clock may step back between making and reading a token, in seconds. Both happen on
/// this machine, so it is small.
pub const CLOCK_LEEWAY_S: u64 = 5;

/// Longest token looked at, in characters; ours have about 400.
const TOKEN_CHARS_MAX: usize = 2_048;

const AUDIENCE: &str = "flashguard-api";
const ISSUER: &str = "flashguard";
const ACCESS: &str = "access";

/// Tells the token library whose cryptography it uses. Left to itself it panics at the first token
/// when a build holds two providers or none. Called when a [`TokenKey`] is made; harmless again.
///
/// # Errors
///
/// [`TokenSetupError`] when another provider was installed before.
pub fn install_provider() -> Result<(), TokenSetupError> {
    match aws_lc::DEFAULT_PROVIDER.install_default() {
        Ok(()) => Ok(()),
        Err(installed) if std::ptr::eq(installed, &raw const aws_lc::DEFAULT_PROVIDER) => Ok(()),
        Err(_) => Err(TokenSetupError),
    }
}

/// Misuse: somebody else chose the token library's cryptography for this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another cryptography provider is installed for tokens")]
pub struct TokenSetupError;

/// The secret is shorter than the algorithm's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token secret has at least {} bytes", TokenKey::SECRET_BYTES_MIN)]
pub struct TokenKeyTooShort;

/// What a token says. Every field is required but `nbf`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    /// Ends, Unix seconds.
    pub(super) exp: u64,
    /// Made, Unix seconds.
    pub(super) iat: u64,
    /// Begins, Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    /// The API key's id.
    pub(super) sub: String,
    /// The token's own id.
    pub(super) jti: String,
    aud: String,
    iss: String,
    #[serde(rename = "type")]
    kind: String,
    /// The key's role when the token was made.
    pub(super) role: Role,
}

impl Claims {
    /// When the token ends.
    pub(super) const fn ends(&self) -> UnixMicros {
        UnixMicros(self.exp.saturating_mul(1_000_000))
    }

    /// Whether `now` lies within the token's time.
    pub(super) fn check_time(&self, now: UnixMicros) -> Result<(), AuthError> {
        let latest_s = now.as_secs().saturating_add(CLOCK_LEEWAY_S);
        if super::fold::is_over(self.ends(), now) {
            return Err(AuthError::Expired);
        }
        if self.iat > latest_s || self.nbf.is_some_and(|begins| begins > latest_s) {
            return Err(AuthError::Invalid);
        }
        Ok(())
    }
}

/// The secret that signs tokens, with its name in their headers.
///
/// ```compile_fail,E0277
/// fn show(key: &flashguard_actors::auth::TokenKey) { let _ = format!("{key:?}"); }
/// ```
/// ```compile_fail,E0308
/// fn copy(key: &flashguard_actors::auth::TokenKey) -> flashguard_actors::auth::TokenKey { key.clone() }
/// ```
pub struct TokenKey {
    kid: String,
    secret: SecretBytes,
    validation: Validation,
}

/// Why there is no key for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenKeyError {
    /// The secret is too short (seed flaw 47).
    #[error(transparent)]
    TooShort(#[from] TokenKeyTooShort),
    /// The library is set up otherwise.
    #[error(transparent)]
    Setup(#[from] TokenSetupError),
}

impl TokenKey {
    /// Shortest secret, in bytes: as long as the hash (RFC 7518, 3.2).
    pub const SECRET_BYTES_MIN: usize = 32;

    /// A key named `kid`, such as `jwt/1`.
    ///
    /// # Errors
    ///
    /// [`TokenKeyError`] for a short secret, or another provider in this process.
    pub fn new(kid: String, secret: SecretBytes) -> Result<Self, TokenKeyError> {
        if secret.len() < Self::SECRET_BYTES_MIN {
            return Err(TokenKeyTooShort.into());
        }
        install_provider()?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "sub", "aud", "iss"]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        // The time is checked by `Claims::check_time`, with this program's clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self {
            kid,
            secret,
            validation,
        })
    }

    /// Makes a token for the API key `sub`.
    pub(super) fn make(
        &self,
        sub: &str,
        role: Role,
        now: UnixMicros,
        lifetime_s: u64,
        entropy: &dyn Entropy,
    ) -> Result<(String, Claims), EntropyFailed> {
        let mut jti = [0; 16];
        entropy.fill(&mut jti)?;
        let claims = Claims {
            exp: now.as_secs().saturating_add(lifetime_s),
            iat: now.as_secs(),
            nbf: None,
            sub: sub.to_owned(),
            jti: hex::encode(jti),
            aud: AUDIENCE.to_owned(),
            iss: ISSUER.to_owned(),
            kind: ACCESS.to_owned(),
            role,
        };
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(self.kid.clone());
        let key = EncodingKey::from_secret(self.secret.expose());
        // Fails only for a key of another family; this one is of HMAC.
        let token = jsonwebtoken::encode(&header, &claims, &key).map_err(|_| EntropyFailed)?;
        Ok((token, claims))
    }

    /// Reads a token: signature, shape and purpose. The time is not looked at.
    pub(super) fn read(&self, token: &str) -> Result<Claims, AuthError> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(AuthError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Malformed)?;
        // SAFETY-ORDER: the algorithm and the key are ours, whatever the header wishes.
        if header.alg != Algorithm::HS256 || header.crit.is_some() {
            return Err(AuthError::Invalid);
        }
        if header.kid.as_deref() != Some(self.kid.as_str()) {
            return Err(AuthError::Invalid);
        }
        let key = DecodingKey::from_secret(self.secret.expose());
        let read = jsonwebtoken::decode::<Claims>(token, &key, &self.validation)
            .map_err(|_| AuthError::Invalid)?;
        if read.claims.kind != ACCESS {
            return Err(AuthError::Invalid);
        }
        Ok(read.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SystemEntropy;
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use serde_json::{Value, json};

    const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
    const NOW: UnixMicros = UnixMicros(1_795_519_533_000_000);

    fn key() -> TokenKey {
        TokenKey::new("jwt/1".into(), SecretBytes::copied_from(SECRET)).unwrap()
    }

    fn good() -> Value {
        json!({
            "exp": NOW.as_secs() + 60, "iat": NOW.as_secs(), "sub": "a1", "jti": "j1",
            "aud": AUDIENCE, "iss": ISSUER, "type": ACCESS, "role": "admin",
        })
    }

    fn header() -> Value {
        json!({"typ": "JWT", "alg": "HS256", "kid": "jwt/1"})
    }

    /// A token made without the library, signed rightly whatever it says.
    fn forged(header: &Value, claims: &Value) -> String {
        let message = format!(
            "{}.{}",
            BASE64.encode(header.to_string()),
            BASE64.encode(claims.to_string())
        );
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).unwrap();
        mac.update(message.as_bytes());
        format!("{message}.{}", BASE64.encode(mac.finalize().into_bytes()))
    }

    fn read(header: &Value, claims: &Value) -> Result<Claims, AuthError> {
        key().read(&forged(header, claims))
    }

    #[test]
    fn the_provider_is_installed_and_installing_it_again_is_harmless() {
        assert_eq!(install_provider(), Ok(()));
        assert_eq!(install_provider(), Ok(()));
    }

    #[test]
    fn a_short_secret_is_refused_when_the_key_is_made() {
        let new = |length| TokenKey::new("k".into(), SecretBytes::filled(length, |_| {})).err();
        assert_eq!(new(31), Some(TokenKeyTooShort.into()));
        assert_eq!(new(32), None);
    }

    #[test]
    fn a_token_is_read_as_it_was_made() {
        let (token, made) = key()
            .make("a1", Role::Admin, NOW, 60, &SystemEntropy)
            .unwrap();
        let claims = key().read(&token).unwrap();
        assert_eq!(claims, made);
        assert_eq!((claims.sub.as_str(), claims.role), ("a1", Role::Admin));
        assert_eq!(claims.ends().0 - NOW.0, 60_000_000);
        assert!(
            read(&header(), &good()).is_ok(),
            "the forger of these tests makes good ones too"
        );
    }

    #[test]
    fn the_algorithm_is_the_keys_not_the_tokens() {
        for alg in [
            "none", "None", "HS512", "HS384", "RS256", "EdDSA", "hs256", "",
        ] {
            let header = json!({"typ": "JWT", "alg": alg, "kid": "jwt/1"});
            assert!(read(&header, &good()).is_err(), "{alg}");
            let unsigned = forged(&header, &good());
            let unsigned = unsigned.rsplit_once('.').unwrap().0;
            assert!(key().read(&format!("{unsigned}.")).is_err(), "{alg}");
            assert!(key().read(unsigned).is_err(), "{alg}");
        }
    }

    #[test]
    fn a_real_hs512_signature_by_the_same_secret_is_refused() {
        let mut header = Header::new(Algorithm::HS512);
        header.kid = Some("jwt/1".into());
        let token =
            jsonwebtoken::encode(&header, &good(), &EncodingKey::from_secret(SECRET)).unwrap();
        assert_eq!(key().read(&token), Err(AuthError::Invalid));
    }

    #[test]
    fn every_claim_is_required() {
        for claim in ["exp", "iat", "sub", "jti", "aud", "iss", "type", "role"] {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(claim);
            assert_eq!(read(&header(), &claims), Err(AuthError::Invalid), "{claim}");
        }
    }

    #[test]
    fn every_claim_is_typed() {
        let wrong = [
            ("exp", json!("1795519593")),
            ("exp", json!(1.5)),
            ("exp", json!(-1)),
            ("exp", json!(null)),
            ("iat", json!("0")),
            ("nbf", json!("0")),
            ("sub", json!(7)),
            ("sub", json!(["a1"])),
            ("jti", json!(null)),
            ("aud", json!([AUDIENCE])),
            ("aud", json!("another")),
            ("iss", json!("another")),
            ("type", json!("refresh")),
            ("type", json!(true)),
            ("role", json!("root")),
            ("role", json!("ADMIN")),
            ("permissions", json!(["trading.all"])),
        ];
        for (claim, value) in wrong {
            let mut claims = good();
            claims[claim] = value.clone();
            assert_eq!(
                read(&header(), &claims),
                Err(AuthError::Invalid),
                "{claim} = {value}"
            );
        }
    }

    #[test]
    fn another_key_id_and_critical_headers_are_refused() {
        for header in [
            json!({"alg": "HS256"}),
            json!({"alg": "HS256", "kid": "jwt/2"}),
            json!({"alg": "HS256", "kid": "jwt/1", "crit": ["exp"]}),
        ] {
            assert_eq!(read(&header, &good()), Err(AuthError::Invalid), "{header}");
        }
    }

    #[test]
    fn every_changed_character_spoils_a_token() {
        let (token, _) = key()
            .make("a1", Role::Admin, NOW, 60, &SystemEntropy)
            .unwrap();
        for at in 0..token.len() {
            for other in ["A", "B", ".", "=", "é"] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, other);
                // The last character holds unused bits, but the encoding allows one spelling only.
                assert_eq!(key().read(&changed).is_ok(), changed == token, "{at}");
            }
        }
        for garbage in [
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            &"x".repeat(5_000),
            "Bearer x",
        ] {
            assert_eq!(key().read(garbage), Err(AuthError::Malformed), "{garbage}");
        }
    }

    #[test]
    fn another_secret_does_not_read_it() {
        let (token, _) = key()
            .make("a1", Role::Admin, NOW, 60, &SystemEntropy)
            .unwrap();
        let other = SecretBytes::copied_from(&[7; 32]);
        let other = TokenKey::new("jwt/1".into(), other).unwrap();
        assert_eq!(other.read(&token), Err(AuthError::Invalid));
    }

    #[test]
    fn a_token_counts_from_its_making_to_its_end_with_a_small_leeway() {
        let (_, claims) = key()
            .make("a1", Role::Admin, NOW, 60, &SystemEntropy)
            .unwrap();
        let at = |offset_s: i64| {
            let now = NOW.0.checked_add_signed(offset_s * 1_000_000).unwrap();
            claims.check_time(UnixMicros(now))
        };
        let leeway = i64::try_from(CLOCK_LEEWAY_S).unwrap();
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(60 + leeway), Ok(()));
        assert_eq!(at(61 + leeway), Err(AuthError::Expired));
        assert_eq!(at(-leeway), Ok(()));
        assert_eq!(at(-leeway - 1), Err(AuthError::Invalid));
        let mut later = claims.clone();
        later.nbf = Some(NOW.as_secs() + CLOCK_LEEWAY_S + 1);
        assert_eq!(later.check_time(NOW), Err(AuthError::Invalid));
        let mut forever = claims.clone();
        forever.exp = u64::MAX;
        assert_eq!(
            forever.check_time(UnixMicros(u64::MAX)),
            Ok(()),
            "no overflow"
        );
    }
}
