//! Which version of each secret is in use, as the journal says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::clock::UnixMicros;
use crate::journal::record::{Fact, Fold, Record};
use crate::ports::key_store::KeyName;

/// Every secret the journal knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeysFold(BTreeMap<String, KeyState>);

/// What the journal knows of one secret.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyState {
    /// The version in use; `None` before the first.
    pub current: Option<u32>,
    /// Fingerprint of each version sealed.
    pub fingerprints: BTreeMap<u32, String>,
    /// When each version was sealed, Unix µs.
    pub sealed_at_us: BTreeMap<u32, u64>,
}

impl KeysFold {
    /// The version of `name` in use, with its fingerprint.
    pub fn current(&self, name: &KeyName) -> Option<(u32, &str)> {
        let state = self.0.get(name.as_str())?;
        let version = state.current?;
        let fingerprint = state.fingerprints.get(&version).map_or("", String::as_str);
        Some((version, fingerprint))
    }

    /// Whether there ever was a version of `name`.
    pub fn knows(&self, name: &KeyName) -> bool {
        self.0.contains_key(name.as_str())
    }

    /// Takes a fact in whose record has this time. Facts that are not about secrets change nothing.
    pub fn take_in(&mut self, fact: &Fact, time: UnixMicros) {
        match fact {
            Fact::KeySealed {
                name,
                version,
                fingerprint,
            } => {
                let state = self.0.entry(name.clone()).or_default();
                state.fingerprints.insert(*version, fingerprint.clone());
                state.sealed_at_us.insert(*version, time.0);
            }
            Fact::KeyCurrent { name, version } => {
                self.0.entry(name.clone()).or_default().current = Some(*version);
            }
            _ => {}
        }
    }

    /// Every secret, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &KeyState)> {
        self.0.iter().map(|(name, state)| (name.as_str(), state))
    }
}

impl Fold for KeysFold {
    const VERSION: u32 = 1;

    fn apply(&mut self, record: &Record) {
        self.take_in(&record.fact, record.time);
    }
}
