//! Refusals in the journal, bounded: the first of an episode at once, then a count per window (J6).

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::domain::clock::UnixMicros;
use crate::domain::denial::Denials;
use crate::domain::identity::Client;
use crate::gate::codes;
use crate::journal::record::{Entry, Fact, Private};

/// One counting record per client in this time.
const WINDOW_MS: u64 = 10_000;

/// Clients that were refused lately. As many as API keys at most.
#[derive(Default)]
pub struct DenialLog {
    episodes: Mutex<HashMap<Client, Episode>>,
}

struct Episode {
    window_ends: UnixMicros,
    uncounted: u64,
    codes: Vec<String>,
}

impl DenialLog {
    /// Counts a refusal; the entry to journal when it opens an episode.
    pub fn denied(&self, client: &Client, denials: &Denials, now: UnixMicros) -> Option<Entry> {
        let mut episodes = self.episodes.lock();
        let codes = codes(&denials.0);
        if let Some(episode) = episodes.get_mut(client) {
            episode.uncounted += 1;
            episode.codes = codes;
            return None;
        }
        let window_ends = now.plus_millis(WINDOW_MS);
        let episode = Episode {
            window_ends,
            uncounted: 0,
            codes: codes.clone(),
        };
        episodes.insert(client.clone(), episode);
        let detail = serde_json::to_value(&denials.0).ok();
        Some(entry(client, codes, 1).with(Private {
            detail,
            ..Private::default()
        }))
    }

    /// Entries for windows that have passed; an episode without a further refusal ends.
    pub fn passed(&self, now: UnixMicros) -> Vec<Entry> {
        let mut counts = Vec::new();
        self.episodes.lock().retain(|client, episode| {
            if now < episode.window_ends {
                return true;
            }
            if episode.uncounted == 0 {
                return false;
            }
            counts.push(entry(client, episode.codes.clone(), episode.uncounted));
            episode.uncounted = 0;
            episode.window_ends = now.plus_millis(WINDOW_MS);
            true
        });
        counts
    }
}

fn entry(client: &Client, codes: Vec<String>, count: u64) -> Entry {
    Entry::of(
        "gate",
        Fact::OrderDenied {
            client: client.clone(),
            codes,
            count,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::denial::Denial;

    #[test]
    fn a_flood_of_refusals_is_one_record_and_then_one_count_per_window() {
        let log = DenialLog::default();
        let client = Client::try_from("bot".to_owned()).unwrap();
        let denials = Denials(vec![Denial::UnknownSymbol { symbol: "X".into() }]);
        let at = |ms| UnixMicros(ms * 1_000);
        assert!(log.denied(&client, &denials, at(0)).is_some());
        assert!((1..1_000).all(|_| log.denied(&client, &denials, at(1)).is_none()));
        assert!(log.passed(at(WINDOW_MS - 1)).is_empty());
        let counts = log.passed(at(WINDOW_MS));
        let [
            Entry {
                fact: Fact::OrderDenied { count: 999, .. },
                ..
            },
        ] = &counts[..]
        else {
            panic!("{counts:?}")
        };
        assert!(
            log.passed(at(2 * WINDOW_MS)).is_empty(),
            "the episode ended"
        );
        assert!(log.denied(&client, &denials, at(2 * WINDOW_MS)).is_some());
    }
}
