//! API keys and hot keys, managed with access to this machine: beside a running service through its
//! control socket, or without one on the store itself. The order is always the same: the secret is
//! sealed and durable, then its facts are journaled, then it counts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flashguard_actors::auth::{
    Access, ApiKeyMeta, CreateApiKey, IssueError, NewApiKey, RevokeApiKey, create_api_key,
    revoke_api_key,
};
use flashguard_actors::domain::clock::{SharedClock, SharedEntropy};
use flashguard_actors::domain::identity::Principal;
use flashguard_actors::domain::secret::{Redacted, SecretBytes};
use flashguard_actors::journal::record::Fact;
use flashguard_actors::journal::writer::{Hooks, WriterSettings};
use flashguard_actors::journal::{AppendError, Journal};
use flashguard_actors::key_manager::{
    ChainKey, HotKey, HotKeys, ImportKey, IntakeError, KeyDescription, ListKeys, NotAChainKey,
    NotACredential, ServiceKeyError, Vault, VenueCredential, describe, open_journal_signer,
    take_in,
};
use flashguard_actors::ports::journal::{JournalReader, StoreError};
use flashguard_actors::supervision::CallError;
use flashguard_actors::system::State;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::application::{Application, OpenError, Staff, open_vault, read_state};
use crate::control::DataDirectory;
use crate::settings::Settings;
use crate::stores::sqlite::JOURNAL_FILE;
use crate::stores::sqlite::journal::{SqliteReader, SqliteStore};

/// Longest that an actor is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// API keys that are held at most, revoked ones included.
const API_KEYS_MAX: usize = 10_000;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdministrationError {
    /// An API key was not made or taken away.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// Misuse: no hot key has this name.
    #[error("there is no key {name}; the hot keys are sei and venue")]
    NoSuchName {
        /// As it was asked for.
        name: String,
    },
    /// Misuse: what was given is no private key.
    #[error(transparent)]
    ChainKey(#[from] NotAChainKey),
    /// Misuse: what was given is no credential.
    #[error("{0}; give two lines (API key, secret) or JSON with api_key and secret_key")]
    Credential(#[from] NotACredential),
    /// Too many keys are held.
    #[error("{API_KEYS_MAX} API keys are held; no more are made")]
    TooMany,
    /// A hot key was not taken in.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// The actor that does it is not there or did not answer.
    #[error(transparent)]
    Actor(#[from] CallError),
    /// The journal cannot be closed in order.
    #[error("the journal could not be closed in order")]
    Close(#[from] AppendError),
    /// The journal's own key cannot be opened.
    #[error(transparent)]
    JournalKey(#[from] ServiceKeyError),
    /// The system gives no runtime.
    #[error("the system gives no runtime")]
    Runtime(#[from] std::io::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keys and the means to change them.
pub struct Administration {
    vault: Arc<Vault>,
    journal: Journal,
    entropy: SharedEntropy,
    known: Known,
    runtime: Runtime,
}

/// Where it is known which keys there are.
enum Known {
    /// In the running service.
    Service {
        /// Knows the API keys.
        access: Arc<Access>,
        /// The actors that make changes.
        staff: Staff,
    },
    /// In the journal, as it was opened.
    Store(Box<State>),
}

impl Administration {
    /// Beside a running service.
    ///
    /// # Errors
    ///
    /// [`AdministrationError::Runtime`].
    pub fn of_service(application: &Application) -> Result<Self, AdministrationError> {
        Ok(Self {
            vault: application.vault().clone(),
            journal: application.handle().floor().journal.clone(),
            entropy: application.entropy().clone(),
            known: Known::Service {
                access: application.access().clone(),
                staff: application.staff().clone(),
            },
            runtime: runtime()?,
        })
    }

    /// On the store itself; the caller holds the lock.
    ///
    /// # Errors
    ///
    /// [`AdministrationError`] when it cannot be opened.
    pub fn of_store(
        directory: &DataDirectory,
        settings: &Settings,
        clock: &SharedClock,
        entropy: &SharedEntropy,
    ) -> Result<Self, AdministrationError> {
        let vault = Arc::new(open_vault(directory, settings, entropy)?);
        let path = directory.path().join(JOURNAL_FILE);
        let state = Box::new(read_state(&path)?);
        let journal = open_journal(&path, &vault, clock, entropy)?;
        Ok(Self {
            vault,
            journal,
            entropy: entropy.clone(),
            known: Known::Store(state),
            runtime: runtime()?,
        })
    }

    /// Closes a store that was opened here.
    ///
    /// # Errors
    ///
    /// [`AdministrationError`] when the last records are not on disk.
    pub fn close(self) -> Result<(), AdministrationError> {
        match self.known {
            Known::Store(_) => Ok(self.journal.close()?),
            Known::Service { .. } => Ok(()),
        }
    }

    /// Every API key, without what proves it.
    pub fn api_keys(&self) -> Vec<ApiKeyMeta> {
        match &self.known {
            Known::Service { access, .. } => access.api_keys(),
            Known::Store(state) => state.auth.keys().cloned().collect(),
        }
    }

    /// Makes an API key; it is in the answer and nowhere else.
    ///
    /// # Errors
    ///
    /// [`AdministrationError`]; the key does not count then.
    pub fn create_api_key(
        &self,
        new: NewApiKey,
        by: &Principal,
    ) -> Result<(Value, SecretBytes), AdministrationError> {
        if self.api_keys().len() >= API_KEYS_MAX {
            return Err(AdministrationError::TooMany);
        }
        let by = by.clone();
        let made = match &self.known {
            Known::Service { staff, .. } => {
                self.ask(staff.auth.call(CreateApiKey { new, by }, ANSWER_LIMIT))??
            }
            Known::Store(_) => self.runtime.block_on(create_api_key(
                new,
                by,
                &*self.vault,
                &self.journal,
                None,
                &*self.entropy,
            ))?,
        };
        let described = match made.fact {
            Fact::ApiKeyCreated {
                id,
                owner,
                client,
                role,
                expires_us,
                ..
            } => json!({
                "id": id,
                "owner": owner,
                "client": client,
                "role": role,
                "expires_at": expires_us.map(|at| at.to_rfc3339()),
            }),
            _ => Value::Null,
        };
        Ok((described, made.key.to_text()))
    }

    /// Takes an API key away, and every token made with it. Idempotent.
    ///
    /// # Errors
    ///
    /// [`AdministrationError`]; it still counts then.
    pub fn revoke_api_key(&self, id: &str, by: &Principal) -> Result<Value, AdministrationError> {
        let found = self.api_keys().into_iter().find(|key| key.id == id);
        let by = by.clone();
        match &self.known {
            Known::Service { staff, .. } => {
                let id = id.to_owned();
                self.ask(staff.auth.call(RevokeApiKey { id, by }, ANSWER_LIMIT))??;
            }
            Known::Store(_) => {
                let revoked = revoke_api_key(id, found.as_ref(), by, &self.journal, None);
                self.runtime.block_on(revoked)?;
            }
        }
        Ok(json!({"id": id, "owner": found.map(|key| key.owner), "status": "revoked"}))
    }

    fn ask<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        self.runtime.block_on(call)
    }

    /// Seals a hot key that came from outside. A running service uses it from its next start.
    ///
    /// # Errors
    ///
    /// [`AdministrationError`]; the one before stays in use then.
    pub fn import(
        &self,
        name: &str,
        secret: &Redacted,
        by: &Principal,
    ) -> Result<Value, AdministrationError> {
        let key = match name {
            HotKeys::CHAIN => HotKey::Chain(ChainKey::parse(secret, &*self.entropy)?),
            HotKeys::VENUE => HotKey::Venue(credential(secret)?),
            other => {
                let name = other.chars().take(64).collect();
                return Err(AdministrationError::NoSuchName { name });
            }
        };
        let sealed = match &self.known {
            Known::Service { staff, .. } => {
                let by = by.clone();
                self.ask(staff.keys.call(ImportKey { key, by }, ANSWER_LIMIT))??
            }
            Known::Store(_) => {
                self.runtime
                    .block_on(take_in(&key, by, &self.vault, &self.journal))?
            }
        };
        Ok(json!({
            "id": format!("{name}/{}", sealed.version),
            "name": name,
            "fingerprint": sealed.fingerprint,
            "used": match self.known {
                Known::Service { .. } => "from the next start",
                Known::Store(_) => "now",
            },
        }))
    }

    /// The current version of every key, described; never a secret.
    ///
    /// # Errors
    ///
    /// [`AdministrationError::Store`] when the journal cannot be read.
    pub fn keys(&self) -> Result<Vec<Value>, AdministrationError> {
        let described = match &self.known {
            Known::Service { staff, .. } => self.ask(staff.keys.call(ListKeys, ANSWER_LIMIT))??,
            Known::Store(state) => describe(&state.keys, None),
        };
        Ok(described.iter().map(key_answer).collect())
    }
}

/// A key as JSON.
pub fn key_answer(key: &KeyDescription) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "version": key.version,
        "class": key.class,
        "fingerprint": key.fingerprint,
        "sealed_at": key.sealed_at_us.to_rfc3339(),
        "in_use": key.in_use,
    })
}

/// A credential as two lines, or as the JSON that venues give.
fn credential(secret: &Redacted) -> Result<VenueCredential, NotACredential> {
    #[derive(serde::Deserialize)]
    struct Given<'a> {
        #[serde(borrow)]
        api_key: &'a str,
        #[serde(borrow)]
        secret_key: &'a str,
    }
    let text = secret.expose();
    match serde_json::from_str::<Given<'_>>(text) {
        Ok(given) => VenueCredential::new(given.api_key, given.secret_key),
        Err(_) => VenueCredential::parse(secret),
    }
}

fn runtime() -> Result<Runtime, std::io::Error> {
    tokio::runtime::Builder::new_current_thread().build()
}

fn open_journal(
    path: &Path,
    vault: &Vault,
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<Journal, AdministrationError> {
    let meta = SqliteReader::open(path)?.meta()?;
    let signer = open_journal_signer(vault, &meta.origin)?;
    let store = Box::new(SqliteStore::open(path)?);
    let settings = WriterSettings::default();
    let (journal, _) = Journal::open(
        store,
        signer,
        clock.clone(),
        entropy.clone(),
        settings,
        Hooks::none(),
    )?;
    Ok(journal)
}
