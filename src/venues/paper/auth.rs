//! Who calls: API keys, their scopes, and the HMAC over each request.
//!
//! The rule (contract, section 4): `X-Signature` is the hex HMAC-SHA256 under the key's secret of
//! timestamp, method, request target as sent, and body, and the timestamp lies within
//! [`CLOCK_WINDOW_MS`] of the venue's clock. A request repeated inside the window is not refused: an
//! order repeated is the same order by its id, and a cancel repeated cancels nothing more.
//! Whether a caller may do what it asks is decided by [`Key::may`], per call.

use std::collections::HashMap;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

/// How far a request's timestamp may lie from the venue's clock, in milliseconds, either way.
pub const CLOCK_WINDOW_MS: u64 = 5_000;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read orders, fills, positions and markets.
    Read,
    /// Place and cancel orders.
    Trade,
    /// Cancel orders, place none.
    Cancel,
    /// Move money away. The venue knows the word, so that a key can be too wide; no call uses it.
    Withdraw,
    /// Manage keys, and cancel orders in an emergency. A key that trades should not have it.
    ManageKeys,
}

impl Scope {
    const ALL: [Self; 5] = [
        Self::Read,
        Self::Trade,
        Self::Cancel,
        Self::Withdraw,
        Self::ManageKeys,
    ];

    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trade => "trade",
            Self::Cancel => "cancel",
            Self::Withdraw => "withdraw",
            Self::ManageKeys => "manage_keys",
        }
    }

    /// Scopes as one text for the store.
    pub fn join(scopes: &[Self]) -> String {
        scopes
            .iter()
            .map(|scope| scope.word())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Reads what [`Scope::join`] wrote; `None` when a word is unknown.
    pub fn split(text: &str) -> Option<Vec<Self>> {
        let known = |word| Self::ALL.into_iter().find(|scope| scope.word() == word);
        text.split_whitespace().map(known).collect()
    }
}

/// How a credential first gets into the venue: given when the venue is made.
pub struct Enrolment {
    /// The account it belongs to; several keys may share one.
    pub account: String,
    /// The public half.
    pub api_key: String,
    /// The secret half.
    pub secret: Zeroizing<String>,
    /// The addresses whose order signatures the account accepts.
    pub signers: Vec<[u8; 20]>,
    /// What the key may do.
    pub scopes: Vec<Scope>,
}

/// A key as the store knows it.
pub struct StoredKey {
    /// The public half.
    pub api_key: String,
    /// The account it belongs to.
    pub account: Arc<str>,
    /// The secret half.
    pub secret: Zeroizing<String>,
    /// What the key may do.
    pub scopes: Vec<Scope>,
    /// The addresses whose order signatures the account accepts.
    pub signers: Vec<[u8; 20]>,
}

/// A key that signed the present request.
pub struct Key {
    /// The account it belongs to.
    pub account: Arc<str>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The addresses whose order signatures the account accepts.
    pub signers: Vec<[u8; 20]>,
    secret: Zeroizing<String>,
}

impl Key {
    /// Whether the key has one of the scopes.
    pub fn may(&self, any_of: &[Scope]) -> bool {
        any_of.iter().any(|scope| self.scopes.contains(scope))
    }
}

/// What a request says of its sender. All of it is the sender's word until it was checked.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// `X-API-Key`.
    pub api_key: &'a [u8],
    /// `X-Timestamp`.
    pub timestamp: &'a [u8],
    /// `X-Signature`.
    pub signature: &'a [u8],
    /// The method as sent.
    pub method: &'a str,
    /// The request target as sent, query included, nothing decoded.
    pub target: &'a str,
    /// The body as sent.
    pub body: &'a [u8],
}

/// Why a request is not believed. The texts do not say whether a key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The key is unknown or the HMAC does not match.
    #[error("the API key or the request's signature is wrong")]
    InvalidCredentials,
    /// The HMAC matches, but the timestamp is too far away.
    #[error("X-Timestamp is {away_ms} ms from the venue's clock, at most 5000 is allowed")]
    ClockWindow {
        /// How far, in milliseconds.
        away_ms: u64,
    },
}

/// Every key that the venue knows.
pub struct Keys {
    by_api_key: HashMap<String, Key>,
    /// Stands in for an unknown key, so that both cases cost the same.
    decoy: Zeroizing<String>,
}

impl Keys {
    /// Makes the table. `decoy` is any unpredictable text.
    pub fn new(stored: Vec<StoredKey>, decoy: Zeroizing<String>) -> Self {
        let entry = |stored: StoredKey| {
            let StoredKey {
                api_key,
                account,
                secret,
                scopes,
                signers,
            } = stored;
            (
                api_key,
                Key {
                    account,
                    scopes,
                    signers,
                    secret,
                },
            )
        };
        Self {
            by_api_key: stored.into_iter().map(entry).collect(),
            decoy,
        }
    }

    /// Checks a request's HMAC, in constant time, and then its timestamp.
    ///
    /// # Errors
    ///
    /// [`AuthError`], when the sender is not who it says or the request is not of now.
    pub fn authenticate(&self, claim: &Claim<'_>, now_ms: u64) -> Result<&Key, AuthError> {
        let named = std::str::from_utf8(claim.api_key).ok();
        let key = named.and_then(|named| self.by_api_key.get(named));
        let secret = key.map_or(&self.decoy, |key| &key.secret);
        let valid = hmac_matches(secret.as_bytes(), claim);
        let key = key.filter(|_| valid).ok_or(AuthError::InvalidCredentials)?;
        let at_ms = timestamp_ms(claim.timestamp).ok_or(AuthError::InvalidCredentials)?;
        let away_ms = at_ms.abs_diff(now_ms);
        if away_ms > CLOCK_WINDOW_MS {
            return Err(AuthError::ClockWindow { away_ms });
        }
        Ok(key)
    }
}

fn hmac_matches(secret: &[u8], claim: &Claim<'_>) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        return false;
    };
    mac.update(claim.timestamp);
    mac.update(claim.method.as_bytes());
    mac.update(claim.target.as_bytes());
    mac.update(claim.body);
    let mut given = [0; 32];
    let well_formed = hex::decode_to_slice(claim.signature, &mut given).is_ok();
    mac.verify_slice(&given).is_ok() && well_formed
}

fn timestamp_ms(text: &[u8]) -> Option<u64> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| plain)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let stored = StoredKey {
            api_key: "k".into(),
            account: "a".into(),
            secret: Zeroizing::new("Jefe".into()),
            scopes: vec![Scope::Read],
            signers: Vec::new(),
        };
        Keys::new(vec![stored], Zeroizing::new("decoy".into()))
    }

    fn sign(secret: &str, timestamp: &str, rest: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{timestamp}{rest}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    fn claim<'a>(api_key: &'a str, timestamp: &'a str, signature: &'a str) -> Claim<'a> {
        Claim {
            api_key: api_key.as_bytes(),
            timestamp: timestamp.as_bytes(),
            signature: signature.as_bytes(),
            method: "GET",
            target: "/fills?since=3",
            body: b"",
        }
    }

    fn outcome(claim: &Claim<'_>, now_ms: u64) -> Result<String, AuthError> {
        keys()
            .authenticate(claim, now_ms)
            .map(|key| key.account.to_string())
    }

    #[test]
    fn the_mac_is_hmac_sha256_as_in_rfc_4231_case_2() {
        let claim = Claim {
            timestamp: b"what do ya want ",
            method: "for ",
            target: "noth",
            body: b"ing?",
            ..claim(
                "",
                "",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            )
        };
        assert!(hmac_matches(b"Jefe", &claim));
        assert!(!hmac_matches(b"jefe", &claim));
    }

    #[test]
    fn the_clock_window_holds_at_its_edges_and_not_past_them() {
        let signature = sign("Jefe", "100000", "GET/fills?since=3");
        let claim = claim("k", "100000", &signature);
        assert_eq!(outcome(&claim, 105_000), Ok("a".into()));
        assert_eq!(outcome(&claim, 95_000), Ok("a".into()));
        assert_eq!(
            outcome(&claim, 105_001),
            Err(AuthError::ClockWindow { away_ms: 5_001 })
        );
        assert_eq!(
            outcome(&claim, 94_999),
            Err(AuthError::ClockWindow { away_ms: 5_001 })
        );
    }

    #[test]
    fn an_unknown_key_and_a_wrong_mac_are_told_apart_by_nothing() {
        let good = sign("Jefe", "1", "GET/fills?since=3");
        let decoy = sign("decoy", "1", "GET/fills?since=3");
        let refused = Err(AuthError::InvalidCredentials);
        assert_eq!(outcome(&claim("other", "1", &good), 1), refused);
        assert_eq!(
            outcome(&claim("other", "1", &decoy), 1),
            refused,
            "the decoy opens nothing"
        );
        assert_eq!(outcome(&claim("k", "1", &decoy), 1), refused);
        assert_eq!(outcome(&claim("k", "2", &good), 1), refused);
        let other_body = Claim {
            body: b"x",
            ..claim("k", "1", &good)
        };
        assert_eq!(outcome(&other_body, 1), refused);
        let other_method = Claim {
            method: "DELETE",
            ..claim("k", "1", &good)
        };
        assert_eq!(outcome(&other_method, 1), refused);
        let all_zero = "0".repeat(64);
        assert_eq!(outcome(&claim("k", "1", &all_zero), 1), refused);
    }

    #[test]
    fn scopes_are_read_as_they_were_written() {
        assert_eq!(
            Scope::split(&Scope::join(&Scope::ALL)),
            Some(Scope::ALL.to_vec())
        );
        assert_eq!(Scope::split("read fly"), None);
    }

    mod properties {
        use proptest::prelude::*;

        use super::super::*;

        proptest! {
            #[test]
            fn bytes_that_were_not_signed_never_open(
                api_key in prop::collection::vec(any::<u8>(), 0..8),
                timestamp in prop::collection::vec(any::<u8>(), 0..24),
                signature in prop::collection::vec(any::<u8>(), 0..80),
                target in ".{0,30}", body in prop::collection::vec(any::<u8>(), 0..64),
                now_ms in any::<u64>(),
            ) {
                let claim = Claim {
                    api_key: if api_key.len() > 4 { b"k" } else { &api_key },
                    timestamp: &timestamp, signature: &signature, method: "POST", target: &target, body: &body,
                };
                prop_assert!(super::keys().authenticate(&claim, now_ms).is_err());
            }
        }
    }
}
