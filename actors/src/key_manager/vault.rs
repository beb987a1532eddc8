//! Secrets between memory and the store: sealed, written, read back, and only then told of.
//!
//! Order of a write: seal → durable file → read it back and open it → the facts, which the caller
//! appends to the journal. A version counts from the moment its `key.current` is durable; a file
//! without that record was never used (a crash in between leaves exactly that).

use std::sync::Arc;

use crate::domain::clock::{EntropyFailed, SharedEntropy};
use crate::domain::secret::SecretBytes;
use crate::journal::record::Fact;
use crate::ports::key_store::{KeyName, KeyStore, KeyStoreError};

use super::envelope::{self, MasterKey, OpenError, Purpose, SealError};

/// Seals into a store and opens from it, under one master key.
///
/// ```compile_fail,E0277
/// fn show(vault: &flashguard_actors::key_manager::Vault) { let _ = format!("{vault:?}"); }
/// ```
pub struct Vault {
    store: Arc<dyn KeyStore>,
    master: MasterKey,
    entropy: SharedEntropy,
}

/// A secret that is durable and was opened once to prove it. It is in use when its facts are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the secret is not in use until its facts are in the journal"]
pub struct Sealed {
    /// Its name.
    pub name: KeyName,
    /// Its version.
    pub version: u32,
    /// Public: which secret it is.
    pub fingerprint: String,
}

impl Sealed {
    /// What the journal must hold before the secret is used: `key.sealed`, `key.current`.
    pub fn facts(&self) -> [Fact; 2] {
        [
            Fact::KeySealed {
                name: self.name.as_str().to_owned(),
                version: self.version,
                fingerprint: self.fingerprint.clone(),
            },
            Fact::KeyCurrent {
                name: self.name.as_str().to_owned(),
                version: self.version,
            },
        ]
    }
}

/// Why a secret was not sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The store failed, or holds something foreign.
    #[error("the key store could not be used")]
    Store(#[from] KeyStoreError),
    /// Sealing failed.
    #[error("the secret could not be sealed")]
    Seal(#[from] SealError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// Corrupt, or the wrong master key: what lies at this place does not open.
    #[error("{name}/{version} does not open")]
    Open {
        /// The secret's name.
        name: KeyName,
        /// Its version.
        version: u32,
        /// What is wrong with it.
        #[source]
        source: OpenError,
    },
    /// Corrupt: what was read back right after writing is not what was written.
    #[error("{name}/{version} was written, but reads back differently")]
    ReadBack {
        /// The secret's name.
        name: KeyName,
        /// Its version.
        version: u32,
    },
    /// Corrupt: versions have run out, which no honest use reaches.
    #[error("{name} has no version left")]
    VersionsUsedUp {
        /// The secret's name.
        name: KeyName,
    },
}

impl Vault {
    /// A vault over `store`.
    pub fn new(store: Arc<dyn KeyStore>, master: MasterKey, entropy: SharedEntropy) -> Self {
        Self {
            store,
            master,
            entropy,
        }
    }

    /// Seals `secret` as the next version of `name` and proves that it opens again.
    ///
    /// # Errors
    ///
    /// [`VaultError`]; nothing is to be recorded then. A version that was written and could not be
    /// proved stays on disk unused.
    pub fn seal(
        &self,
        purpose: Purpose,
        name: &KeyName,
        secret: &SecretBytes,
        fingerprint: String,
    ) -> Result<Sealed, VaultError> {
        let version = self.next_version(name)?;
        let sealed = envelope::seal(&self.master, purpose, name, version, secret, &*self.entropy)?;
        // SAFETY-ORDER: durable, then proved, then told of.
        self.store.write_new(name, version, &sealed)?;
        let proved = match self.open(purpose, name, version)? {
            Some(opened) => opened.equals(secret.expose()),
            None => false,
        };
        if !proved {
            let name = name.clone();
            return Err(VaultError::ReadBack { name, version });
        }
        Ok(Sealed {
            name: name.clone(),
            version,
            fingerprint,
        })
    }

    /// Makes a secret of `length` random bytes and seals it. Its fingerprint is keyed.
    ///
    /// # Errors
    ///
    /// As [`Vault::seal`].
    pub fn generate(
        &self,
        purpose: Purpose,
        name: &KeyName,
        length: usize,
    ) -> Result<Sealed, VaultError> {
        let secret = SecretBytes::random(length, &*self.entropy)?;
        let fingerprint = self.fingerprint(purpose, &secret);
        self.seal(purpose, name, &secret, fingerprint)
    }

    /// Opens one version, or `None` when the store does not have it.
    ///
    /// # Errors
    ///
    /// [`VaultError`] when it cannot be read or does not open at this place.
    pub fn open(
        &self,
        purpose: Purpose,
        name: &KeyName,
        version: u32,
    ) -> Result<Option<SecretBytes>, VaultError> {
        let Some(sealed) = self.store.read(name, version)? else {
            return Ok(None);
        };
        envelope::open(&self.master, purpose, name, version, &sealed)
            .map(Some)
            .map_err(|source| VaultError::Open {
                name: name.clone(),
                version,
                source,
            })
    }

    /// Every version in the store, sorted by name and version.
    ///
    /// # Errors
    ///
    /// [`VaultError::Store`] when it cannot be read.
    pub fn list(&self) -> Result<Vec<(KeyName, u32)>, VaultError> {
        Ok(self.store.list()?)
    }

    /// A short public name of a secret, keyed by the master key.
    pub fn fingerprint(&self, purpose: Purpose, secret: &SecretBytes) -> String {
        self.master.fingerprint(purpose, secret.expose())
    }

    /// Where this vault's randomness comes from.
    pub(crate) fn entropy(&self) -> &SharedEntropy {
        &self.entropy
    }

    fn next_version(&self, name: &KeyName) -> Result<u32, VaultError> {
        let held = self.store.list()?;
        let last = held
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| *v)
            .max();
        last.unwrap_or(0)
            .checked_add(1)
            .ok_or_else(|| VaultError::VersionsUsedUp { name: name.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SystemEntropy;
    use crate::ports::key_store::MemoryKeyStore;

    fn name(text: &str) -> KeyName {
        KeyName::parse(text).unwrap()
    }

    fn vault(store: Arc<dyn KeyStore>) -> Vault {
        let master = MasterKey::generate(&SystemEntropy).unwrap();
        Vault::new(store, master, Arc::new(SystemEntropy))
    }

    #[test]
    fn versions_grow_by_one_and_older_ones_stay() {
        let store = MemoryKeyStore::new();
        let vault = vault(store);
        let secret = |text: &[u8]| SecretBytes::copied_from(text);
        let seal = |text: &[u8]| {
            vault
                .seal(Purpose::ChainKey, &name("sei"), &secret(text), "f".into())
                .unwrap()
        };
        assert_eq!(seal(b"one").version, 1);
        assert_eq!(seal(b"two").version, 2);
        let open = |version| {
            vault
                .open(Purpose::ChainKey, &name("sei"), version)
                .unwrap()
        };
        assert!(open(1).unwrap().equals(b"one"));
        assert!(open(2).unwrap().equals(b"two"));
        assert!(open(3).is_none());
    }

    #[test]
    fn the_facts_name_the_secret_and_never_say_it() {
        let vault = vault(MemoryKeyStore::new());
        let secret = SecretBytes::copied_from(b"canary-canary");
        let sealed = vault
            .seal(Purpose::TokenSecret, &name("jwt"), &secret, "0f".into())
            .unwrap();
        let written = serde_json::to_string(&sealed.facts()).unwrap();
        assert_eq!(
            written,
            r#"[{"kind":"key.sealed","data":{"name":"jwt","version":1,"fingerprint":"0f"}},{"kind":"key.current","data":{"name":"jwt","version":1}}]"#
        );
    }

    #[test]
    fn swapped_and_rolled_back_files_do_not_open() {
        let store = MemoryKeyStore::new();
        let vault = vault(store.clone());
        let seal = |at: &str, text: &[u8]| {
            let secret = SecretBytes::copied_from(text);
            vault
                .seal(Purpose::ApiKeyVerifier, &name(at), &secret, "f".into())
                .unwrap()
        };
        let _ = (
            seal("apikey-a", b"a1"),
            seal("apikey-a", b"a2"),
            seal("apikey-b", b"b1"),
        );
        let held = |at: &str, version| store.read(&name(at), version).unwrap().unwrap();
        let refused = |at: &str, version| {
            let opened = vault.open(Purpose::ApiKeyVerifier, &name(at), version);
            matches!(
                opened,
                Err(VaultError::Open {
                    source: OpenError::Refused,
                    ..
                })
            )
        };
        let (old, other) = (held("apikey-a", 1), held("apikey-b", 1));
        store.tamper(&name("apikey-a"), 2, old);
        assert!(
            refused("apikey-a", 2),
            "an older version in the place of the newer"
        );
        store.tamper(&name("apikey-a"), 1, other);
        assert!(refused("apikey-a", 1), "another name's file");
    }

    /// A disk that keeps something else than it was given.
    struct Lossy(Arc<MemoryKeyStore>);
    impl KeyStore for Lossy {
        fn list(&self) -> Result<Vec<(KeyName, u32)>, KeyStoreError> {
            self.0.list()
        }
        fn read(&self, name: &KeyName, version: u32) -> Result<Option<Vec<u8>>, KeyStoreError> {
            self.0.read(name, version)
        }
        fn write_new(&self, n: &KeyName, v: u32, sealed: &[u8]) -> Result<(), KeyStoreError> {
            let mut kept = sealed.to_vec();
            *kept.last_mut().unwrap() ^= 1;
            self.0.write_new(n, v, &kept)
        }
    }

    #[test]
    fn a_file_that_reads_back_damaged_is_not_told_of() {
        let vault = vault(Arc::new(Lossy(MemoryKeyStore::new())));
        let refused = vault.generate(Purpose::TokenSecret, &name("jwt"), 32);
        assert!(matches!(refused, Err(VaultError::Open { .. })));
    }
}
