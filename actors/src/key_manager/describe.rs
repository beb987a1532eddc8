//! What may be told of keys: never a secret.

use serde::Serialize;

use super::fold::KeysFold;
use super::hot_keys::{HotKeys, Identity};
use super::service_keys::{JOURNAL_KEY, TOKEN_SECRET};
use crate::domain::clock::UnixMicros;

/// One key, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyDescription {
    /// Name and version, such as `sei/1`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The version that the journal names as current.
    pub version: u32,
    /// `hot` signs orders and requests, `service` is this program's own.
    pub class: &'static str,
    /// Which key it is.
    pub fingerprint: String,
    /// When it was sealed.
    pub sealed_at_us: UnixMicros,
    /// Whether the running process uses this version; a key taken in meanwhile waits for the next
    /// start. `None` = no process was asked.
    pub in_use: Option<bool>,
}

/// Describes the current version of every key, sorted by name. What proves API keys is not listed
/// here but with them.
pub fn describe(keys: &KeysFold, running: Option<&Identity>) -> Vec<KeyDescription> {
    keys.all()
        .filter_map(|(name, state)| {
            let version = state.current?;
            let class = match name {
                HotKeys::CHAIN | HotKeys::VENUE => "hot",
                TOKEN_SECRET | JOURNAL_KEY => "service",
                _ => return None,
            };
            let id = format!("{name}/{version}");
            let in_use = running.map(|identity| match name {
                HotKeys::CHAIN => identity.key_id == id,
                HotKeys::VENUE => identity.credential_generation == u64::from(version),
                _ => true,
            });
            let fingerprint = state
                .fingerprints
                .get(&version)
                .cloned()
                .unwrap_or_default();
            let sealed_at = state
                .sealed_at_us
                .get(&version)
                .copied()
                .unwrap_or_default();
            Some(KeyDescription {
                id,
                name: name.to_owned(),
                version,
                class,
                fingerprint,
                sealed_at_us: UnixMicros(sealed_at),
                in_use,
            })
        })
        .collect()
}
