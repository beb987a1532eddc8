//! Denied orders in the journal, bounded: the first of an episode at once, then a count per window (J6).

use parking_lot::Mutex;

use crate::domain::clock::UnixMicros;
use crate::domain::denial::Denials;
use crate::domain::identity::{Caller, Client};
use crate::gate::codes;
use crate::journal::episodes::{Episodes, RecordBound};
use crate::journal::record::{Entry, Fact, Private};

/// One counting record per client in this time.
const WINDOW_MS: u64 = 10_000;

/// Clients that were denied orders lately, with what the last denial said.
pub struct DenialLog(Mutex<Episodes<Client, Note>>);

/// What is kept of a client's last denial.
#[derive(Debug, Clone, Default)]
struct Note {
    codes: Vec<String>,
    limits_v: Option<u64>,
}

impl DenialLog {
    /// Nothing denied yet; `bound` is shared with whatever else is refused and recorded.
    pub fn new(bound: RecordBound) -> Self {
        Self(Mutex::new(Episodes::new(WINDOW_MS, bound)))
    }

    /// Counts a refusal; the entry to journal when it opens an episode.
    pub fn denied(&self, caller: &Caller, denials: &Denials, now: UnixMicros) -> Option<Entry> {
        let note = Note {
            codes: codes(&denials.broken),
            limits_v: Some(denials.limits_v),
        };
        let client = caller.client.clone();
        let count = self.0.lock().observe(client.clone(), note.clone(), now)?;
        let private = Private {
            detail: serde_json::to_value(&denials.broken).ok(),
            ..Private::default()
        };
        let entry = entry(Some(client), note, count).with(private);
        Some(entry.by(caller.principal.clone()))
    }

    /// Entries for windows that have passed. To be called about once a second.
    pub fn passed(&self, now: UnixMicros) -> Vec<Entry> {
        let due = self.0.lock().due(now).into_iter();
        due.map(|due| entry(due.source, due.note, due.count))
            .collect()
    }

    /// What was counted and is not journaled yet, for an orderly stop.
    pub fn left(&self) -> Option<Entry> {
        let count = self.0.lock().drain();
        (count > 0).then(|| entry(None, Note::default(), count))
    }
}

fn entry(client: Option<Client>, note: Note, count: u64) -> Entry {
    let fact = Fact::OrderDenied {
        client,
        codes: note.codes,
        limits_v: note.limits_v,
        count,
    };
    Entry::of("gate", fact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::denial::Denial;
    use crate::domain::identity::{Owner, Principal, Role};

    #[test]
    fn a_flood_of_refusals_is_one_record_and_then_one_count_per_window() {
        let log = DenialLog::new(RecordBound::default());
        let caller = Caller {
            principal: Principal::api_key("bot"),
            owner: Owner::try_from("ann".to_owned()).unwrap(),
            client: Client::try_from("bot".to_owned()).unwrap(),
            role: Role::System,
            key_created_us: UnixMicros(0),
            key_made_locally: true,
        };
        let denials = Denials {
            broken: vec![Denial::UnknownSymbol { symbol: "X".into() }],
            limits_v: 1,
        };
        let at = |ms| UnixMicros(ms * 1_000);
        let denied = |ms| log.denied(&caller, &denials, at(ms));
        assert!(denied(0).is_some());
        assert!((1..1_000).all(|_| denied(1).is_none()));
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
        assert!(denied(2 * WINDOW_MS).is_some());
        assert!(denied(2 * WINDOW_MS).is_none());
        let left = log.left().map(|entry| entry.fact);
        assert!(matches!(left, Some(Fact::OrderDenied { count: 1, .. })));
    }
}
