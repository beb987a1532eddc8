//! What the journal says of access: API keys and tokens taken back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::token::CLOCK_LEEWAY_S;
use crate::domain::clock::UnixMicros;
use crate::domain::identity::{Client, Owner, Role};
use crate::journal::record::{Fact, Fold, Record};

/// One API key, without what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyMeta {
    /// The public part.
    pub id: String,
    /// The person.
    pub owner: Owner,
    /// The bot or script.
    pub client: Client,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created: UnixMicros,
    /// It was made with access to the machine (K10).
    pub local: bool,
    /// It ends by itself then.
    pub expires: Option<UnixMicros>,
    /// It was taken away then.
    pub revoked: Option<UnixMicros>,
}

/// Every API key there was, and every token taken back that could still be presented.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuthFold {
    keys: BTreeMap<String, ApiKeyMeta>,
    /// By token id: when the token would have ended.
    revoked_tokens: BTreeMap<String, UnixMicros>,
}

impl AuthFold {
    /// Every API key, sorted by id.
    pub fn keys(&self) -> impl Iterator<Item = &ApiKeyMeta> {
        self.keys.values()
    }

    /// One API key.
    pub fn key(&self, id: &str) -> Option<&ApiKeyMeta> {
        self.keys.get(id)
    }

    /// Tokens taken back, with the time they would have ended.
    pub fn revoked_tokens(&self) -> impl Iterator<Item = (&str, UnixMicros)> {
        self.revoked_tokens
            .iter()
            .map(|(jti, at)| (jti.as_str(), *at))
    }

    /// Forgets tokens that nobody could present any more.
    fn forget_ended(&mut self, now: UnixMicros) {
        self.revoked_tokens.retain(|_, ends| !is_over(*ends, now));
    }
}

/// Whether a token that ends then is refused for its age alone.
pub(super) fn is_over(ends: UnixMicros, now: UnixMicros) -> bool {
    ends.plus_millis(CLOCK_LEEWAY_S * 1_000) < now
}

impl Fold for AuthFold {
    const VERSION: u32 = 1;

    fn apply(&mut self, record: &Record) {
        match &record.fact {
            Fact::ApiKeyCreated {
                id,
                owner,
                client,
                role,
                local,
                expires_us,
            } => {
                let key = ApiKeyMeta {
                    id: id.clone(),
                    owner: owner.clone(),
                    client: client.clone(),
                    role: *role,
                    created: record.time,
                    local: *local,
                    expires: *expires_us,
                    revoked: None,
                };
                // An id is made once; a second creation cannot bring a revoked key back.
                self.keys.entry(id.clone()).or_insert(key);
            }
            Fact::ApiKeyRevoked { id } => {
                if let Some(key) = self.keys.get_mut(id) {
                    key.revoked.get_or_insert(record.time);
                }
            }
            Fact::TokenRevoked { jti, expires_us } => {
                self.forget_ended(record.time);
                self.revoked_tokens.insert(jti.clone(), *expires_us);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(fold: &mut AuthFold, time_s: u64, fact: Fact) {
        fold.apply(&Record {
            seq: 0,
            time: UnixMicros(time_s * 1_000_000),
            fact,
            private: None,
            actor: "auth".into(),
            principal: None,
            correlation: None,
        });
    }

    fn created(id: &str) -> Fact {
        Fact::ApiKeyCreated {
            id: id.into(),
            owner: Owner::try_from("ann".to_owned()).unwrap(),
            client: Client::try_from("bot".to_owned()).unwrap(),
            role: Role::System,
            local: true,
            expires_us: None,
        }
    }

    #[test]
    fn a_revoked_key_stays_revoked() {
        let mut fold = AuthFold::default();
        at(&mut fold, 1, created("a"));
        at(&mut fold, 2, Fact::ApiKeyRevoked { id: "a".into() });
        at(&mut fold, 3, created("a"));
        at(&mut fold, 4, Fact::ApiKeyRevoked { id: "a".into() });
        at(
            &mut fold,
            5,
            Fact::ApiKeyRevoked {
                id: "unknown".into(),
            },
        );
        let key = fold.key("a").unwrap();
        assert_eq!(key.created, UnixMicros(1_000_000));
        assert_eq!(key.revoked, Some(UnixMicros(2_000_000)));
        assert_eq!(fold.keys().count(), 1);
    }

    #[test]
    fn a_revocation_is_remembered_for_as_long_as_its_token_could_be_presented() {
        let mut fold = AuthFold::default();
        let revoked = |jti: &str, ends_s: u64| Fact::TokenRevoked {
            jti: jti.into(),
            expires_us: UnixMicros(ends_s * 1_000_000),
        };
        at(&mut fold, 1, revoked("one", 100));
        at(&mut fold, 100 + CLOCK_LEEWAY_S, revoked("two", 500));
        assert_eq!(
            fold.revoked_tokens().count(),
            2,
            "still acceptable but for the revocation"
        );
        at(&mut fold, 101 + CLOCK_LEEWAY_S, revoked("three", 500));
        let left: Vec<&str> = fold.revoked_tokens().map(|(jti, _)| jti).collect();
        assert_eq!(left, ["three", "two"]);
    }

    #[test]
    fn it_survives_its_stored_form() {
        let mut fold = AuthFold::default();
        at(&mut fold, 1, created("a"));
        let stored = serde_json::to_string(&fold).unwrap();
        assert_eq!(serde_json::from_str::<AuthFold>(&stored).unwrap(), fold);
    }
}
