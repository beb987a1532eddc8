//! Making a data directory: master key, sealed keys, journal, sentinel, and the first API keys.
//!
//! Everything is built aside in `.init`, synced, and then renamed into place entry by entry, after a
//! manifest of the entries is durable. As long as `.init` lies there the directory is not
//! initialised: [`undo`] takes away exactly what the manifest names and what was moved. So a crash at
//! any point leaves a directory that can be initialised again, or a whole one. The API keys exist in
//! memory alone and are shown once; whoever loses them makes new ones with local access.

mod aside;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flashguard_actors::auth::{ApiKey, NewApiKey};
use flashguard_actors::domain::clock::{EntropyFailed, SharedClock, SharedEntropy};
use flashguard_actors::domain::identity::{Owner, Principal, Role};
use flashguard_actors::journal::checkpoint::CheckpointSigner;
use flashguard_actors::journal::record::{Entry, Fact};
use flashguard_actors::journal::writer::{Hooks, WriterSettings};
use flashguard_actors::journal::{AppendError, Journal};
use flashguard_actors::key_manager::{
    ChainKey, KeyError, KeysFold, MasterKey, NotAChainKey, Sealed, Seeds, ServiceKeyError, Vault,
    VenueCredential, generate_journal_key, generate_token_secret, import_once, seal_verifier,
};
use flashguard_actors::ports::journal::{Meta, StoreError};
use flashguard_actors::ports::key_store::KeyStoreError;

use crate::control::{DataDirectory, Lock};
use crate::settings::Profile;
use crate::stores::keys::FileKeyStore;
use crate::stores::master_key::{self, MasterKeyError};
use crate::stores::sqlite::JOURNAL_FILE;
use crate::stores::sqlite::journal::{self as sqlite, SqliteStore};

pub use aside::undo;
use aside::{Aside, KEYS, SENTINEL_ARMED, SENTINEL_HALTED};

/// Longest wait for one of the first records.
const RECORD_WAIT: Duration = Duration::from_secs(30);
/// Owners that can be named at once.
const OWNERS_MAX: usize = 2;
/// Who owns the keys of a development directory when nobody is named.
const OWNER_DEFAULT: &str = "operator";

/// What is to be made.
pub struct InitRequest {
    /// Development needs one owner at most, production two different ones (K10).
    pub profile: Profile,
    /// People, in the order of `--owner`.
    pub owners: Vec<Owner>,
    /// Where the master key lies or is to lie; `None` = `master.key` in the data directory. One that
    /// exists is used.
    pub master_key: Option<PathBuf>,
    /// Keys from outside. What is missing is generated: the chain key always, the venue credential
    /// in the development profile.
    pub seeds: Seeds,
}

/// What was made, to be shown once.
pub struct InitKeys {
    /// The first owner's admin key.
    pub admin: ApiKey,
    /// A key that only reads.
    pub readonly: ApiKey,
    /// A bot's key.
    pub system: ApiKey,
    /// The second owner's admin key, when two were named.
    pub admin2: Option<ApiKey>,
    /// The journal's public half, a C2SP verifier key: to be kept elsewhere.
    pub verifier_key: String,
    /// Names and versions of what was sealed.
    pub sealed: Vec<Sealed>,
}

/// Whether a directory can be initialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Neither `journal.db` nor `keys` lies there.
    Free,
    /// An initialisation was interrupted: [`undo`] it first.
    Interrupted,
    /// One of them does: initialised, or damaged, but never to be initialised over.
    Taken,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// Misuse: something is there already.
    #[error("the data directory is initialised already: {what} exists")]
    Taken {
        /// What was found.
        what: &'static str,
    },
    /// Misuse: production needs two people.
    #[error("production needs two different owners: --owner NAME --owner NAME")]
    TwoOwners,
    /// Misuse: more people than the first keys are for.
    #[error(
        "at most {OWNERS_MAX} owners are named at init; make further keys with `apikeys create`"
    )]
    TooManyOwners,
    /// The directory could not be made or changed.
    #[error("the data directory could not be {done}")]
    Directory {
        /// `made`, `read`, `written`.
        done: &'static str,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// The master key cannot be used or made.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The key store failed.
    #[error("the key store could not be made")]
    Store(#[from] KeyStoreError),
    /// A key could not be made.
    #[error("a key could not be made")]
    Key(#[from] KeyError),
    /// A private key could not be made.
    #[error("a private key could not be made")]
    ChainKey(#[from] NotAChainKey),
    /// One of the service's own secrets could not be made.
    #[error("a secret could not be made")]
    ServiceKey(#[from] ServiceKeyError),
    /// The journal could not be made.
    #[error("the journal could not be made")]
    Journal(#[from] StoreError),
    /// A first record could not be written.
    #[error("the first records could not be written")]
    Append(#[from] AppendError),
    /// The disk was silent for too long.
    #[error("the first records were not durable in time")]
    TooSlow,
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
}

/// Makes the data directory itself (0700) when it is not there, and opens it.
///
/// # Errors
///
/// The system's.
pub fn make_directory(path: &Path) -> Result<DataDirectory, InitError> {
    aside::make_private(path).map_err(directory("made"))?;
    DataDirectory::open(path).map_err(directory("read"))
}

/// Whether `directory` can be initialised.
pub fn standing(directory: &DataDirectory) -> Standing {
    if directory.has(aside::PLACE) {
        Standing::Interrupted
    } else if taken_by(directory).is_some() {
        Standing::Taken
    } else {
        Standing::Free
    }
}

fn taken_by(directory: &DataDirectory) -> Option<&'static str> {
    [JOURNAL_FILE, KEYS]
        .into_iter()
        .find(|name| directory.has(name))
}

/// Initialises a directory. The lock proves that nobody else works on it.
///
/// # Errors
///
/// [`InitError`]; nothing of it is in the directory then.
pub fn init(
    directory: &DataDirectory,
    _lock: &Lock,
    request: &InitRequest,
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<InitKeys, InitError> {
    let owners = owners(request)?;
    undo(directory).map_err(directory_written)?;
    if let Some(what) = taken_by(directory) {
        return Err(InitError::Taken { what });
    }

    let aside = Aside::begin(directory).map_err(directory_written)?;
    let built = build(directory, &aside, request, &owners, clock, entropy);
    let done = built.and_then(|keys| {
        aside.move_into_place().map_err(directory_written)?;
        Ok(keys)
    });
    if done.is_err() {
        // What cannot be undone now is undone by the next start or init.
        let _ = undo(directory);
    }
    done
}

/// The people behind the admin keys: one or two.
fn owners(request: &InitRequest) -> Result<Vec<Owner>, InitError> {
    let mut owners = request.owners.clone();
    owners.dedup();
    match (request.profile, owners.len()) {
        (_, n) if n > OWNERS_MAX => Err(InitError::TooManyOwners),
        (Profile::Production, n) if n < OWNERS_MAX => Err(InitError::TwoOwners),
        (Profile::Development, 0) => Ok(Owner::try_from(OWNER_DEFAULT.to_owned())
            .into_iter()
            .collect()),
        _ => Ok(owners),
    }
}

fn build(
    directory: &DataDirectory,
    aside: &Aside<'_>,
    request: &InitRequest,
    owners: &[Owner],
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<InitKeys, InitError> {
    let master = master_key(directory, aside, request, entropy)?;
    let store = Arc::new(FileKeyStore::create(&aside.path(KEYS))?);
    let vault = Vault::new(store, master, entropy.clone());
    if !directory.has(SENTINEL_ARMED) && !directory.has(SENTINEL_HALTED) {
        aside.touch(SENTINEL_ARMED).map_err(directory_written)?;
    }

    let mut random = [0; 8];
    entropy.fill(&mut random)?;
    let origin = format!("flashguard.journal/{}", hex::encode(random));
    let (journal_key, signer) = generate_journal_key(&vault, &origin)?;
    let mut sealed = vec![journal_key, generate_token_secret(&vault)?];
    sealed.extend(hot_keys(&vault, request, entropy)?);
    let mut api_keys = ApiKeys::default();
    let mut make = |owner, role| api_keys.make(&vault, owner, role, entropy);
    let first = owners.first().ok_or(InitError::TwoOwners)?;
    let admin = make(first, Role::Admin)?;
    let admin2 = owners
        .get(1)
        .map(|second| make(second, Role::Admin))
        .transpose()?;
    let readonly = make(first, Role::Readonly)?;
    let system = make(first, Role::System)?;
    sealed.extend(api_keys.sealed);

    let initialised = Fact::SystemInitialised {
        profile: request.profile.as_str().to_owned(),
    };
    let facts = [initialised]
        .into_iter()
        .chain(sealed.iter().flat_map(Sealed::facts))
        .chain(api_keys.facts);
    let verifier_key = signer.key().to_string();
    write_journal(
        &aside.path(JOURNAL_FILE),
        origin,
        signer,
        facts,
        clock,
        entropy,
    )?;
    Ok(InitKeys {
        admin,
        readonly,
        system,
        admin2,
        verifier_key,
        sealed,
    })
}

/// The master key that is there, or a new one.
fn master_key(
    directory: &DataDirectory,
    aside: &Aside<'_>,
    request: &InitRequest,
    entropy: &SharedEntropy,
) -> Result<MasterKey, InitError> {
    let inside = directory.path().join(master_key::FILE);
    let path = request.master_key.as_deref().unwrap_or(&inside);
    match master_key::read(path) {
        Err(MasterKeyError::Missing) => {}
        read => return Ok(read?),
    }
    let key = MasterKey::generate(&**entropy)?;
    if path == inside {
        master_key::write_new(&aside.path(master_key::FILE), &key)?;
    } else {
        // Left there if this fails later: the next init uses it.
        master_key::write_new(path, &key)?;
    }
    Ok(key)
}

/// The keys from outside, and new ones for what is missing.
fn hot_keys(
    vault: &Vault,
    request: &InitRequest,
    entropy: &SharedEntropy,
) -> Result<Vec<Sealed>, InitError> {
    let nothing_known = KeysFold::default();
    let mut sealed = import_once(vault, &nothing_known, &request.seeds)?.sealed;
    let mut made = Seeds::default();
    if request.seeds.chain.is_none() {
        made.chain = Some(ChainKey::generate(&**entropy)?);
    }
    if request.seeds.venue.is_none() && request.profile == Profile::Development {
        made.venue = Some(VenueCredential::generate(&**entropy)?);
    }
    sealed.extend(import_once(vault, &nothing_known, &made)?.sealed);
    Ok(sealed)
}

/// API keys made so far, with what the journal is told of them.
#[derive(Default)]
struct ApiKeys {
    sealed: Vec<Sealed>,
    facts: Vec<Fact>,
}

impl ApiKeys {
    fn make(
        &mut self,
        vault: &Vault,
        owner: &Owner,
        role: Role,
        entropy: &SharedEntropy,
    ) -> Result<ApiKey, InitError> {
        let new = NewApiKey {
            owner: owner.clone(),
            client: None,
            role,
            local: true,
            expires: None,
        };
        let (key, fact) = new.make(&**entropy)?;
        self.sealed
            .push(seal_verifier(vault, key.id(), &key.verifier())?);
        self.facts.push(fact);
        Ok(key)
    }
}

/// Makes the journal with its first records, durable, and closes it.
fn write_journal(
    path: &Path,
    origin: String,
    signer: CheckpointSigner,
    facts: impl Iterator<Item = Fact>,
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<(), InitError> {
    let verifier_key = signer.key().to_string();
    sqlite::create(
        path,
        &Meta {
            origin,
            verifier_key,
        },
    )?;
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
    let principal = Principal::local(rustix::process::geteuid().as_raw());
    let acks: Vec<_> = facts
        .map(|fact| journal.append(Entry::of("init", fact).by(principal.clone())))
        .collect();
    for ack in acks {
        ack.wait(RECORD_WAIT).ok_or(InitError::TooSlow)??;
    }
    Ok(journal.close()?)
}

fn directory(done: &'static str) -> impl Fn(std::io::Error) -> InitError {
    move |source| InitError::Directory { done, source }
}

fn directory_written(source: std::io::Error) -> InitError {
    directory("written")(source)
}

#[cfg(test)]
mod tests;
