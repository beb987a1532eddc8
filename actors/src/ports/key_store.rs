//! Where sealed secrets lie: versions under names, written once, never changed.
//!
//! The store sees sealed bytes only; sealing and opening are the key manager's. Which version of a
//! name is in use is the journal's word, not the store's: a file durable here and unknown there was
//! never used.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

/// The name of a secret, such as `sei` or `apikey-1f0c`: 1 to 64 of `a-z0-9-`, not beginning with
/// `-`. It is also the name of a directory, so it holds no character that means something in a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(Arc<str>);

/// The text is not a secret's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key's name is 1 to 64 of a-z 0-9 -, not beginning with -")]
pub struct NotAKeyName;

impl KeyName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// [`NotAKeyName`] when the text has another shape.
    pub fn parse(text: &str) -> Result<Self, NotAKeyName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=64).contains(&text.len()) && !text.starts_with('-');
        if fits && text.bytes().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err(NotAKeyName)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Largest sealed secret, in bytes: far above what is sealed here, far below what would hurt.
pub const SEALED_BYTES_MAX: usize = 64 * 1024;

/// Why the store could not do it. No path is in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreError {
    /// Misuse: a version is written once.
    #[error("{name}/{version} exists already and is never overwritten")]
    AlreadyThere {
        /// The secret's name.
        name: KeyName,
        /// The version asked for.
        version: u32,
    },
    /// Corrupt: something lies there that this store did not make.
    #[error("the key store holds something foreign: {what}")]
    Foreign {
        /// What it is, without a path.
        what: String,
    },
    /// Unavailable: the system refused a call.
    #[error("the key store failed while it {doing}")]
    Failed {
        /// In the past tense, such as `wrote a file`.
        doing: &'static str,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

/// A store of sealed secrets.
pub trait KeyStore: Send + Sync + 'static {
    /// Every version of every name, sorted by name and version.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError`] when the store cannot be read or holds something foreign.
    fn list(&self) -> Result<Vec<(KeyName, u32)>, KeyStoreError>;

    /// The sealed bytes of one version, or `None` when there is no such version.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError`] when it cannot be read, or what lies there is not a plain file.
    fn read(&self, name: &KeyName, version: u32) -> Result<Option<Vec<u8>>, KeyStoreError>;

    /// Writes a new version. When it returns, the version is durable and whole; when it fails, no
    /// version exists or a whole one does, never a part.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::AlreadyThere`] for a version that exists: nothing is ever overwritten.
    fn write_new(&self, name: &KeyName, version: u32, sealed: &[u8]) -> Result<(), KeyStoreError>;
}

/// The in-memory twin: for tests and for embedders who bring their keys along.
#[derive(Default)]
pub struct MemoryKeyStore(Mutex<BTreeMap<(KeyName, u32), Vec<u8>>>);

impl MemoryKeyStore {
    /// An empty store.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Replaces a stored version, as somebody with access to the disk could.
    pub fn tamper(&self, name: &KeyName, version: u32, sealed: Vec<u8>) {
        self.0.lock().insert((name.clone(), version), sealed);
    }
}

impl KeyStore for MemoryKeyStore {
    fn list(&self) -> Result<Vec<(KeyName, u32)>, KeyStoreError> {
        Ok(self.0.lock().keys().cloned().collect())
    }

    fn read(&self, name: &KeyName, version: u32) -> Result<Option<Vec<u8>>, KeyStoreError> {
        Ok(self.0.lock().get(&(name.clone(), version)).cloned())
    }

    fn write_new(&self, name: &KeyName, version: u32, sealed: &[u8]) -> Result<(), KeyStoreError> {
        let mut held = self.0.lock();
        let at = (name.clone(), version);
        if held.contains_key(&at) {
            return Err(KeyStoreError::AlreadyThere {
                name: name.clone(),
                version,
            });
        }
        held.insert(at, sealed.to_vec());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_character_that_means_something_in_a_path() {
        for good in ["sei", "apikey-0f", "a", &"x".repeat(64)] {
            assert!(KeyName::parse(good).is_ok(), "{good:?}");
        }
        let bad = [
            "",
            ".",
            "..",
            "a/b",
            "a.b",
            "-a",
            "A",
            "a\0",
            "a b",
            "ä",
            &"x".repeat(65),
        ];
        for bad in bad {
            assert_eq!(KeyName::parse(bad), Err(NotAKeyName), "{bad:?}");
        }
    }

    #[test]
    fn a_version_is_written_once() {
        let store = MemoryKeyStore::new();
        let sei = KeyName::parse("sei").unwrap();
        store.write_new(&sei, 1, b"one").unwrap();
        assert!(matches!(
            store.write_new(&sei, 1, b"two"),
            Err(KeyStoreError::AlreadyThere { version: 1, .. })
        ));
        assert_eq!(store.read(&sei, 1).unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(store.read(&sei, 2).unwrap(), None);
        assert_eq!(store.list().unwrap(), [(sei, 1)]);
    }
}
