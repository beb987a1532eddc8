//! Making and taking away API keys: sealed, recorded, and only then open.
//!
//! The same for a running service and for the command line that works on the store alone; without a
//! running service there is no [`Access`] to tell.

use super::access::Access;
use super::api_key::{ApiKey, ApiKeyId, NewApiKey, Verifier};
use super::fold::ApiKeyMeta;
use crate::domain::clock::{Entropy, EntropyFailed};
use crate::domain::identity::Principal;
use crate::journal::record::{Entry, Fact, Record};
use crate::journal::{AppendError, Committed, Journal};

/// Where what proves API keys is sealed. The key manager's vault is one.
pub trait VerifierStore: Send + Sync + 'static {
    /// Keeps the verifier of a new key, durable and proved to open when this returns. The facts go
    /// into the journal before the key's own.
    ///
    /// # Errors
    ///
    /// [`VerifierNotKept`]; no key exists then.
    fn keep(&self, id: &ApiKeyId, verifier: &Verifier) -> Result<[Fact; 2], VerifierNotKept>;
}

/// The verifier could not be sealed.
#[derive(Debug, thiserror::Error)]
#[error("the key could not be sealed")]
pub struct VerifierNotKept(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Why a key was not made or taken away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// Misuse: there is no such key.
    #[error("there is no API key {id}")]
    Unknown {
        /// As it was asked for, at most 32 characters.
        id: String,
    },
    /// Sealing failed.
    #[error(transparent)]
    NotKept(#[from] VerifierNotKept),
    /// The journal does not take it.
    #[error("the key could not be recorded")]
    NotRecorded(#[from] AppendError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
}

/// A key that was made: shown once.
pub struct CreatedApiKey {
    /// The key itself.
    pub key: ApiKey,
    /// The fact of it, `apikey.created`.
    pub fact: Fact,
}

/// Makes an API key. It opens once its record is durable.
///
/// # Errors
///
/// [`IssueError`]; the key does not exist then. A verifier sealed before the failure is never used.
pub async fn create_api_key(
    new: NewApiKey,
    by: Principal,
    store: &dyn VerifierStore,
    journal: &Journal,
    access: Option<&Access>,
    entropy: &dyn Entropy,
) -> Result<CreatedApiKey, IssueError> {
    let (key, fact) = new.make(entropy)?;
    // SAFETY-ORDER: sealed, recorded, then open.
    for sealed in store.keep(key.id(), &key.verifier())? {
        record(journal, sealed, &by).await?;
    }
    let recorded = record(journal, fact.clone(), &by).await?;
    if let Some(access) = access {
        access.add_verifier(key.id().as_str(), key.verifier());
        access.apply(&recorded);
    }
    Ok(CreatedApiKey { key, fact })
}

/// Takes an API key away, and every token made with it. One taken away before stays so, without a
/// second record. In a running service it is dead before its record is durable; when the record
/// fails it stays dead until a restart.
///
/// # Errors
///
/// [`IssueError::Unknown`] when `known` has no such key, [`IssueError::NotRecorded`].
pub async fn revoke_api_key(
    id: &str,
    known: Option<&ApiKeyMeta>,
    by: Principal,
    journal: &Journal,
    access: Option<&Access>,
) -> Result<(), IssueError> {
    let Some(key) = known else {
        let id = id.chars().take(32).collect();
        return Err(IssueError::Unknown { id });
    };
    if key.revoked.is_some() {
        return Ok(());
    }
    if let Some(access) = access {
        access.shut(&key.id);
    }
    let fact = Fact::ApiKeyRevoked { id: key.id.clone() };
    let recorded = record(journal, fact, &by).await?;
    if let Some(access) = access {
        access.apply(&recorded);
    }
    Ok(())
}

async fn record(journal: &Journal, fact: Fact, by: &Principal) -> Result<Record, AppendError> {
    let entry = Entry::of("auth", fact).by(by.clone());
    let committed = journal.append(entry.clone()).await?;
    Ok(as_record(entry, committed))
}

/// An entry as it stands in the journal.
pub(super) fn as_record(entry: Entry, committed: Committed) -> Record {
    Record {
        seq: committed.seq(),
        time: committed.time(),
        fact: entry.fact,
        private: entry.private,
        actor: entry.actor.to_owned(),
        principal: entry.principal,
        correlation: entry.correlation,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::auth::{
        AuthActor, AuthError, AuthFold, AuthMeans, CreateApiKey, ListApiKeys, RevokeApiKey,
        TokenKey,
    };
    use crate::domain::clock::{SystemClock, SystemEntropy, UnixMicros};
    use crate::domain::identity::{Owner, Role};
    use crate::domain::secret::SecretBytes;
    use crate::journal::checkpoint::CheckpointSigner;
    use crate::journal::fold::{Folding, load};
    use crate::journal::writer::{Hooks, WriterSettings};
    use crate::ports::journal::Meta;
    use crate::ports::journal::memory::{Faults, MemoryJournal};
    use actix::Actor as _;

    /// A store that remembers, and fails when told to.
    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>, bool);

    impl VerifierStore for Kept {
        fn keep(&self, id: &ApiKeyId, _: &Verifier) -> Result<[Fact; 2], VerifierNotKept> {
            if self.1 {
                return Err(VerifierNotKept("disk full".into()));
            }
            self.0.lock().push(id.to_string());
            let name = format!("apikey-{id}");
            let fingerprint = "f".to_owned();
            Ok([
                Fact::KeySealed {
                    name: name.clone(),
                    version: 1,
                    fingerprint,
                },
                Fact::KeyCurrent { name, version: 1 },
            ])
        }
    }

    struct Bench {
        memory: MemoryJournal,
        means: AuthMeans,
    }

    fn bench(store: Kept) -> Bench {
        let signer = CheckpointSigner::from_seed("test", &[1; 32]).unwrap();
        let memory = MemoryJournal::new(Meta {
            origin: "test".into(),
            verifier_key: signer.key().to_string(),
        });
        let (journal, _) = Journal::open(
            Box::new(memory.store()),
            signer,
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
            WriterSettings {
                reserve_bytes: 0,
                ..WriterSettings::default()
            },
            Hooks::none(),
        )
        .unwrap();
        let secret = SecretBytes::random(32, &SystemEntropy).unwrap();
        let token_key = TokenKey::new("jwt/1".into(), secret).unwrap();
        let (fold, none) = (AuthFold::default(), HashMap::new());
        let entropy = Arc::new(SystemEntropy);
        let access = Access::new(fold, none, token_key, 60, entropy, Default::default());
        let means = AuthMeans {
            access: Arc::new(access),
            verifiers: Arc::new(store),
            journal,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        };
        Bench { memory, means }
    }

    impl Bench {
        fn now(&self) -> UnixMicros {
            self.means.clock.now()
        }

        fn folded(&self) -> AuthFold {
            let mut fold = Folding::<AuthFold>::new("auth");
            load(&mut [&mut fold], &self.memory.store()).unwrap();
            fold.state
        }

        async fn create(&self) -> Result<CreatedApiKey, IssueError> {
            create_api_key(
                new(),
                Principal::local(0),
                &*self.means.verifiers,
                &self.means.journal,
                Some(&self.means.access),
                &SystemEntropy,
            )
            .await
        }
    }

    fn new() -> NewApiKey {
        NewApiKey {
            owner: Owner::try_from("ann".to_owned()).unwrap(),
            client: None,
            role: Role::Admin,
            local: true,
            expires: None,
        }
    }

    fn text_of(key: &ApiKey) -> String {
        String::from_utf8(key.to_text().expose().to_vec()).unwrap()
    }

    #[test]
    fn a_key_comes_in_once_it_is_recorded_and_goes_with_its_tokens() {
        actix_rt::System::new().block_on(async {
            let bench = bench(Kept::default());
            let actor = AuthActor::new(bench.means.clone()).start();
            let by = Principal::local(0);
            let create = CreateApiKey {
                new: new(),
                by: by.clone(),
            };
            let made = actor
                .send(create)
                .await
                .unwrap()
                .unwrap_or_else(|e| panic!("{e}"));
            let (key, id) = (text_of(&made.key), made.key.id().to_string());
            let access = &bench.means.access;
            let token = access
                .login(&key, bench.now())
                .unwrap_or_else(|e| panic!("{e}"))
                .token;
            assert!(access.caller(&token, bench.now()).is_ok());
            assert_eq!(
                actor.send(ListApiKeys).await.unwrap(),
                bench.folded().keys().cloned().collect::<Vec<_>>()
            );

            for _ in 0..2 {
                let revoke = RevokeApiKey {
                    id: id.clone(),
                    by: by.clone(),
                };
                actor.send(revoke).await.unwrap().unwrap();
            }
            for bearer in [&key, &token] {
                assert_eq!(access.caller(bearer, bench.now()), Err(AuthError::Revoked));
            }
            assert!(bench.folded().key(&id).unwrap().revoked.is_some());
            assert_eq!(
                bench.means.journal.head().size,
                4,
                "sealed, current, created, revoked once"
            );
            let unknown = RevokeApiKey {
                id: "x".repeat(100),
                by,
            };
            let refused = actor.send(unknown).await.unwrap().unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("there is no API key {}", "x".repeat(32))
            );
        });
    }

    #[test]
    fn a_key_that_could_not_be_sealed_or_recorded_does_not_exist() {
        actix_rt::System::new().block_on(async {
            let unsealed = bench(Kept(Mutex::default(), true));
            assert!(matches!(
                unsealed.create().await,
                Err(IssueError::NotKept(_))
            ));
            assert_eq!(unsealed.means.journal.head().size, 0);

            let unrecorded = bench(Kept::default());
            unrecorded.memory.fail(Faults {
                commits_left: Some(0),
                ..Faults::default()
            });
            assert!(matches!(
                unrecorded.create().await,
                Err(IssueError::NotRecorded(_))
            ));
            assert!(unrecorded.means.access.api_keys().is_empty());
        });
    }

    #[test]
    fn a_revocation_that_cannot_be_recorded_shuts_the_key_out_all_the_same() {
        actix_rt::System::new().block_on(async {
            let bench = bench(Kept::default());
            let made = bench.create().await.unwrap_or_else(|e| panic!("{e}"));
            let key = text_of(&made.key);
            let access = &bench.means.access;
            let token = access
                .login(&key, bench.now())
                .unwrap_or_else(|e| panic!("{e}"))
                .token;
            bench.memory.fail(Faults {
                commits_left: Some(0),
                ..Faults::default()
            });
            let known = access.api_key(made.key.id().as_str());
            let revoked = revoke_api_key(
                made.key.id().as_str(),
                known.as_ref(),
                Principal::local(0),
                &bench.means.journal,
                Some(access),
            );
            assert!(matches!(revoked.await, Err(IssueError::NotRecorded(_))));
            for bearer in [&key, &token] {
                assert_eq!(access.caller(bearer, bench.now()), Err(AuthError::Revoked));
            }
        });
    }
}
