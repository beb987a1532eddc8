//! The door for callers: API keys and tokens, answered from published snapshots on any thread.
//!
//! A check reads one snapshot of keys, one of revocations, and changes nothing; only a logout and a
//! record of the journal do. A token counts for as long as its key does: a revoked or expired key,
//! or one with another role, kills its tokens at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};

use super::api_key::{self, Presented, Verifier};
use super::fold::{ApiKeyMeta, AuthFold, is_over};
use super::refusals::Refusals;
use super::token::{Claims, TokenKey};
use crate::domain::clock::{EntropyFailed, SharedEntropy, UnixMicros};
use crate::domain::identity::{Caller, Principal, Role};
use crate::journal::episodes::RecordBound;
use crate::journal::record::{Fact, Fold as _, Record};

/// Tokens whose signature was checked and is remembered.
const CHECKED_TOKENS_MAX: usize = 1_024;
/// Tokens taken back and not yet ended, at once.
const REVOKED_TOKENS_MAX: usize = 65_536;

/// Why somebody does not come in. What is said outside is the [code](AuthError::code) alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// There is no credential.
    #[error("a credential is needed: Authorization: Bearer <token or API key>")]
    Missing,
    /// It is neither a token nor an API key.
    #[error("the credential is neither a token nor an API key")]
    Malformed,
    /// It proves nothing.
    #[error("the credential is not valid")]
    Invalid,
    /// It was valid until some time ago.
    #[error("the credential has expired")]
    Expired,
    /// It was taken back.
    #[error("the credential was revoked")]
    Revoked,
    /// Something here failed; the credential was not judged.
    #[error("the credential could not be checked")]
    Unavailable,
}

impl AuthError {
    /// The contract's code at a login: one for every reason, so that a guess learns nothing.
    pub const fn login_code(self) -> &'static str {
        match self {
            Self::Unavailable => "UNAVAILABLE",
            Self::Missing | Self::Malformed | Self::Invalid | Self::Expired | Self::Revoked => {
                "INVALID_CREDENTIALS"
            }
        }
    }

    /// The contract's code everywhere else.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unavailable => "UNAVAILABLE",
            Self::Missing | Self::Malformed | Self::Invalid | Self::Expired | Self::Revoked => {
                "UNAUTHENTICATED"
            }
        }
    }
}

impl From<EntropyFailed> for AuthError {
    fn from(_: EntropyFailed) -> Self {
        Self::Unavailable
    }
}

/// The credential in an `Authorization` header: `Bearer` in any case, then the credential.
///
/// # Errors
///
/// [`AuthError::Missing`] without a header, [`AuthError::Malformed`] for another scheme.
pub fn bearer_of(header: Option<&str>) -> Result<&str, AuthError> {
    let header = header.ok_or(AuthError::Missing)?;
    match header.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => Ok(rest.trim()),
        _ => Err(AuthError::Malformed),
    }
}

/// A login that succeeded.
pub struct Login {
    /// The token: for the caller alone, never logged.
    pub token: String,
    /// For how long it counts, in seconds.
    pub expires_in_s: u64,
    /// Who logged in.
    pub caller: Caller,
    /// The token's id.
    pub jti: String,
    /// `auth.login`, to be journaled before the token is given out.
    pub fact: Fact,
}

/// Who may come in. Shared by every thread.
pub struct Access {
    /// What the journal says, and what proves each key. Held only while it changes.
    known: Mutex<Known>,
    keys: ArcSwap<HashMap<String, Key>>,
    /// By token id: when the token would have ended.
    revoked: ArcSwap<HashMap<String, UnixMicros>>,
    /// By SHA-256 of the token: what a checked signature stands for. Time and revocation are not in
    /// it.
    checked: RwLock<HashMap<[u8; 32], Arc<Claims>>>,
    refusals: Refusals,
    token_key: TokenKey,
    token_lifetime_s: u64,
    entropy: SharedEntropy,
}

struct Known {
    fold: AuthFold,
    verifiers: HashMap<String, Verifier>,
    /// Ids of keys that are shut out although their `apikey.revoked` is not durable yet.
    shut: HashSet<String>,
}

#[derive(Clone)]
struct Key {
    meta: ApiKeyMeta,
    verifier: Verifier,
}

impl Key {
    fn check(&self, now: UnixMicros) -> Result<(), AuthError> {
        if self.meta.revoked.is_some() {
            return Err(AuthError::Revoked);
        }
        match self.meta.expires {
            Some(expires) if expires <= now => Err(AuthError::Expired),
            _ => Ok(()),
        }
    }

    fn caller(&self) -> Caller {
        Caller {
            principal: Principal::api_key(&self.meta.id),
            owner: self.meta.owner.clone(),
            client: self.meta.client.clone(),
            role: self.meta.role,
            key_created_us: self.meta.created,
            key_made_locally: self.meta.local,
        }
    }
}

impl Access {
    /// Access for the keys of `fold` that `verifiers` (by key id) can prove. Tokens are signed by
    /// `token_key` and count for `token_lifetime_s` (`auth.token_lifetime_s`). `bound` is shared with
    /// whatever else is refused and recorded.
    pub fn new(
        fold: AuthFold,
        verifiers: HashMap<String, Verifier>,
        token_key: TokenKey,
        token_lifetime_s: u64,
        entropy: SharedEntropy,
        bound: RecordBound,
    ) -> Self {
        let access = Self {
            keys: ArcSwap::default(),
            revoked: ArcSwap::default(),
            checked: RwLock::default(),
            refusals: Refusals::new(bound),
            known: Mutex::new(Known {
                fold,
                verifiers,
                shut: HashSet::new(),
            }),
            token_key,
            token_lifetime_s,
            entropy,
        };
        access.publish(&access.known.lock());
        access
    }

    /// Who stands behind a bearer credential, a token or an API key.
    ///
    /// # Errors
    ///
    /// [`AuthError`] says why nobody does.
    pub fn caller(&self, bearer: &str, now: UnixMicros) -> Result<Caller, AuthError> {
        if bearer.is_empty() {
            return Err(AuthError::Missing);
        }
        if api_key::looks_like_one(bearer) {
            return self.by_api_key(bearer, now);
        }
        let claims = self.claims(bearer)?;
        self.by_token(&claims, now)
    }

    /// Turns an API key into a token.
    ///
    /// # Errors
    ///
    /// [`AuthError`]; outside it is one code for every reason.
    pub fn login(&self, api_key: &str, now: UnixMicros) -> Result<Login, AuthError> {
        let caller = self.by_api_key(api_key, now)?;
        let (token, claims) = self.token_key.make(
            caller.principal.as_str(),
            caller.role,
            now,
            self.token_lifetime_s,
            &*self.entropy,
        )?;
        let fact = Fact::AuthLogin {
            principal: caller.principal.clone(),
            jti: claims.jti.clone(),
            expires_us: claims.ends(),
        };
        Ok(Login {
            token,
            expires_in_s: self.token_lifetime_s,
            caller,
            jti: claims.jti,
            fact,
        })
    }

    /// Takes a token back, from this moment. The fact returned is to be journaled before the answer,
    /// so that it stays taken back after a restart.
    ///
    /// # Errors
    ///
    /// [`AuthError`] when it is not a token that counts; an API key is not taken back this way.
    pub fn logout(&self, bearer: &str, now: UnixMicros) -> Result<Fact, AuthError> {
        if api_key::looks_like_one(bearer) {
            return Err(AuthError::Malformed);
        }
        let claims = self.claims(bearer)?;
        self.by_token(&claims, now)?;
        let _changing = self.known.lock();
        let mut revoked = HashMap::clone(&self.revoked.load());
        revoked.retain(|_, ends| !is_over(*ends, now));
        if revoked.len() >= REVOKED_TOKENS_MAX {
            return Err(AuthError::Unavailable);
        }
        revoked.insert(claims.jti.clone(), claims.ends());
        self.revoked.store(Arc::new(revoked));
        Ok(Fact::TokenRevoked {
            jti: claims.jti.clone(),
            expires_us: claims.ends(),
        })
    }

    /// What a role may do, as the contract's answers list it.
    pub const fn permissions_of(role: Role) -> &'static [&'static str] {
        role.grants()
    }

    /// Takes in what proves a new key. Its `apikey.created` record, by [`Access::apply`], opens it.
    pub fn add_verifier(&self, id: &str, verifier: Verifier) {
        let mut known = self.known.lock();
        known.verifiers.insert(id.to_owned(), verifier);
        self.publish(&known);
    }

    /// Takes a durable record in, and publishes what it changes.
    pub fn apply(&self, record: &Record) {
        let changes = matches!(
            record.fact,
            Fact::ApiKeyCreated { .. } | Fact::ApiKeyRevoked { .. } | Fact::TokenRevoked { .. }
        );
        if changes {
            let mut known = self.known.lock();
            known.fold.apply(record);
            self.publish(&known);
        }
    }

    /// Every API key, without what proves it, sorted by id.
    pub fn api_keys(&self) -> Vec<ApiKeyMeta> {
        self.known.lock().fold.keys().cloned().collect()
    }

    /// One API key, without what proves it.
    pub fn api_key(&self, id: &str) -> Option<ApiKeyMeta> {
        self.known.lock().fold.key(id).cloned()
    }

    /// Shuts a key and its tokens out from this moment, before its `apikey.revoked` is durable.
    pub fn shut(&self, id: &str) {
        let mut known = self.known.lock();
        known.shut.insert(id.to_owned());
        self.publish(&known);
    }

    /// What was refused, counted for the journal.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    fn publish(&self, known: &Known) {
        let key = |meta: &ApiKeyMeta| {
            // Without what proves it a key is as good as unknown.
            let verifier = known.verifiers.get(&meta.id)?.clone();
            let mut meta = meta.clone();
            if known.shut.contains(&meta.id) {
                meta.revoked.get_or_insert(meta.created);
            }
            Some((meta.id.clone(), Key { meta, verifier }))
        };
        self.keys
            .store(Arc::new(known.fold.keys().filter_map(key).collect()));
        // A logout that is not journaled yet stays in force.
        let mut revoked = HashMap::clone(&self.revoked.load());
        let recorded = known.fold.revoked_tokens();
        revoked.extend(recorded.map(|(jti, ends)| (jti.to_owned(), ends)));
        self.revoked.store(Arc::new(revoked));
    }

    /// An unknown id takes the same way as a wrong secret, and only a proven key learns its state.
    fn by_api_key(&self, text: &str, now: UnixMicros) -> Result<Caller, AuthError> {
        let presented = Presented::parse(text).map_err(|_| AuthError::Malformed)?;
        let keys = self.keys.load();
        let key = keys.get(presented.id);
        let nobody = Verifier::of_nobody();
        let proven = key.map_or(&nobody, |key| &key.verifier).proves(&presented);
        match key {
            Some(key) if proven => key.check(now).map(|()| key.caller()),
            _ => Err(AuthError::Invalid),
        }
    }

    fn by_token(&self, claims: &Claims, now: UnixMicros) -> Result<Caller, AuthError> {
        claims.check_time(now)?;
        if self.revoked.load().contains_key(&claims.jti) {
            return Err(AuthError::Revoked);
        }
        let keys = self.keys.load();
        let key = keys.get(&claims.sub).ok_or(AuthError::Invalid)?;
        key.check(now)?;
        if key.meta.role != claims.role {
            return Err(AuthError::Revoked);
        }
        Ok(key.caller())
    }

    /// What a token says, its signature checked now or before.
    fn claims(&self, token: &str) -> Result<Arc<Claims>, AuthError> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(claims) = self.checked.read().get(&digest) {
            return Ok(claims.clone());
        }
        let claims = Arc::new(self.token_key.read(token)?);
        let mut checked = self.checked.write();
        if checked.len() >= CHECKED_TOKENS_MAX {
            checked.clear();
        }
        checked.insert(digest, claims.clone());
        Ok(claims)
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
