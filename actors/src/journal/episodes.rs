//! Bounded counting of refused events: the journal learns of the first of an episode at once, then
//! one number per source and window, and never more than a few records per second in all (J6).
//!
//! A flood of bad logins, of forbidden requests or of denied orders so grows the journal by records
//! per second, not per request, and no event goes uncounted: what a record stands for is its count.
//! Pure but for the locks: time is a parameter, nothing waits.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::clock::UnixMicros;

/// Records per second over all sources of all kinds.
pub const RECORDS_PER_S_MAX: u32 = 10;
/// Sources of one kind told apart; further ones count together.
pub const SOURCES_MAX: usize = 4_096;

/// The bound on records per second. Its clones count together: one for everything that a process
/// refuses.
#[derive(Debug, Clone, Default)]
pub struct RecordBound(Arc<Mutex<Second>>);

#[derive(Debug, Default)]
struct Second {
    second: u64,
    records: u32,
}

impl RecordBound {
    fn may_record(&self, now: UnixMicros) -> bool {
        let mut state = self.0.lock();
        if state.second != now.as_secs() {
            *state = Second {
                second: now.as_secs(),
                records: 0,
            };
        }
        let may = state.records < RECORDS_PER_S_MAX;
        state.records += u32::from(may);
        may
    }
}

/// Episodes of refused events of one kind by source `K`, each with a note `N` of its last event.
#[derive(Debug)]
pub struct Episodes<K, N = ()> {
    /// `None` = every source past the bound.
    open: HashMap<Option<K>, Episode<N>>,
    window_ms: u64,
    bound: RecordBound,
}

#[derive(Debug)]
struct Episode<N> {
    window_from: UnixMicros,
    not_recorded: u64,
    last: N,
}

/// What is to be recorded of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due<K, N = ()> {
    /// `None` = many.
    pub source: Option<K>,
    /// Of its last event.
    pub note: N,
    /// Events that the record stands for.
    pub count: u64,
}

impl<K: Hash + Eq + Clone, N: Clone> Episodes<K, N> {
    /// Nothing observed yet. An episode ends with a window of `window_ms` without an event; `bound` is
    /// shared with whatever else is recorded so.
    pub fn new(window_ms: u64, bound: RecordBound) -> Self {
        Self {
            open: HashMap::new(),
            window_ms,
            bound,
        }
    }

    /// Counts one event. `Some(count)` is to be recorded now, for this source.
    pub fn observe(&mut self, source: K, note: N, now: UnixMicros) -> Option<u64> {
        let full = self.open.len() >= SOURCES_MAX;
        let known = Some(source);
        let source = if full && !self.open.contains_key(&known) {
            None
        } else {
            known
        };
        if let Some(episode) = self.open.get_mut(&source) {
            episode.not_recorded += 1;
            episode.last = note;
            return None;
        }
        let at_once = self.bound.may_record(now);
        let episode = Episode {
            window_from: now,
            not_recorded: u64::from(!at_once),
            last: note,
        };
        self.open.insert(source, episode);
        at_once.then_some(1)
    }

    /// What is to be recorded of windows that have ended. To be called about once a second. What the
    /// bound per second does not let through waits.
    pub fn due(&mut self, now: UnixMicros) -> Vec<Due<K, N>> {
        let window_ms = self.window_ms;
        let over = |e: &Episode<N>| now.millis_since(e.window_from) >= window_ms;
        self.open.retain(|_, e| !over(e) || e.not_recorded > 0);
        let mut due = Vec::new();
        for (source, episode) in self.open.iter_mut().filter(|(_, e)| over(e)) {
            if !self.bound.may_record(now) {
                break;
            }
            due.push(Due {
                source: source.clone(),
                note: episode.last.clone(),
                count: std::mem::take(&mut episode.not_recorded),
            });
            episode.window_from = now;
        }
        due
    }

    /// Whatever was counted and not recorded, for an orderly stop.
    pub fn drain(&mut self) -> u64 {
        self.open
            .drain()
            .map(|(_, episode)| episode.not_recorded)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_MS: u64 = 60_000;

    /// Sources alone, with a bound of their own.
    struct Counted<K>(Episodes<K>);

    impl<K: Hash + Eq + Clone> Counted<K> {
        fn new() -> Self {
            Self(Episodes::new(WINDOW_MS, RecordBound::default()))
        }

        fn observe(&mut self, source: K, now: UnixMicros) -> Option<u64> {
            self.0.observe(source, (), now)
        }

        fn due(&mut self, now: UnixMicros) -> Vec<(Option<K>, u64)> {
            let due = self.0.due(now).into_iter();
            due.map(|due| (due.source, due.count)).collect()
        }
    }

    fn ms(millis: u64) -> UnixMicros {
        UnixMicros(1_000_000_000_000 + millis * 1_000)
    }

    #[test]
    fn the_first_of_an_episode_is_recorded_at_once_and_the_rest_once_per_window() {
        let mut failed = Counted::new();
        assert_eq!(failed.observe("a", ms(0)), Some(1));
        for _ in 0..1_000 {
            assert_eq!(failed.observe("a", ms(10)), None);
        }
        assert_eq!(failed.observe("b", ms(10)), Some(1));
        assert_eq!(failed.due(ms(WINDOW_MS - 1)), []);
        assert_eq!(failed.due(ms(WINDOW_MS)), [(Some("a"), 1_000)]);
        assert_eq!(failed.observe("a", ms(WINDOW_MS + 1)), None);
        assert_eq!(failed.due(ms(2 * WINDOW_MS)), [(Some("a"), 1)]);
        assert_eq!(failed.due(ms(3 * WINDOW_MS)), []);
        assert_eq!(
            failed.observe("a", ms(3 * WINDOW_MS + 1)),
            Some(1),
            "a new episode"
        );
    }

    #[test]
    fn ten_records_a_second_are_the_bound_whatever_the_sources() {
        let mut failed = Counted::new();
        let at_once = (0..100)
            .filter(|n| failed.observe(*n, ms(0)).is_some())
            .count();
        assert_eq!(at_once, 10);
        assert!(
            failed.observe(1_000, ms(1_000)).is_some(),
            "the next second"
        );
        let first = failed.due(ms(WINDOW_MS));
        assert_eq!(first.len(), 10);
        assert_eq!(failed.due(ms(WINDOW_MS)), [], "the rest waits");
        let mut counted: u64 = first.iter().map(|(_, n)| n).sum();
        for second in 1..=20 {
            counted += failed
                .due(ms(WINDOW_MS + second * 1_000))
                .iter()
                .map(|(_, n)| n)
                .sum::<u64>();
        }
        assert_eq!(counted, 90, "none is lost");
    }

    #[test]
    fn sources_past_the_bound_count_together() {
        let mut failed = Counted::new();
        for source in 0..SOURCES_MAX + 500 {
            failed.observe(source, ms(0));
        }
        assert!(failed.0.open.len() <= SOURCES_MAX + 1);
        assert_eq!(failed.0.open.get(&None).map(|e| e.not_recorded), Some(500));
    }

    #[test]
    fn the_bound_holds_over_all_kinds_together() {
        let bound = RecordBound::default();
        let mut kinds = [60_000, 10_000, 1_000].map(|window| Episodes::new(window, bound.clone()));
        let mut records = 0;
        for source in 0..100 {
            for kind in &mut kinds {
                records += u32::from(kind.observe(source, (), ms(0)).is_some());
            }
        }
        assert_eq!(records, RECORDS_PER_S_MAX);
    }

    #[test]
    fn a_count_tells_of_its_last_event_and_each_kind_has_its_window() {
        let mut episodes = Episodes::new(1_000, RecordBound::default());
        assert_eq!(episodes.observe("a", "first", ms(0)), Some(1));
        assert_eq!(episodes.observe("a", "second", ms(1)), None);
        assert_eq!(episodes.observe("a", "third", ms(2)), None);
        assert_eq!(episodes.due(ms(999)), []);
        let due = Due {
            source: Some("a"),
            note: "third",
            count: 2,
        };
        assert_eq!(episodes.due(ms(1_000)), [due]);
    }

    mod properties {
        use super::*;
        use proptest::prelude::*;

        /// Bursts within a second, and now and then a pause of more than a window.
        const STEPS_MS: std::ops::Range<u64> = 0..100;

        proptest! {
            /// Every event stands in exactly one record, and no second has more than the bound.
            #[test]
            fn every_event_is_counted_once(
                events in prop::collection::vec((0_u8..60, STEPS_MS), 1..400)
            ) {
                let mut failed = Counted::new();
                let (mut at, mut recorded) = (0, 0);
                let mut per_second: HashMap<u64, u32> = HashMap::new();
                let mut note = |now: UnixMicros, records: u32| {
                    *per_second.entry(now.as_secs()).or_default() += records;
                };
                for (source, step) in &events {
                    at += if *step < 97 { step / 8 } else { step * 700 };
                    if let Some(count) = failed.observe(*source, ms(at)) {
                        recorded += count;
                        note(ms(at), 1);
                    }
                    let due = failed.due(ms(at));
                    recorded += due.iter().map(|(_, count)| count).sum::<u64>();
                    note(ms(at), u32::try_from(due.len()).unwrap());
                }
                recorded += failed.0.drain();
                prop_assert_eq!(recorded, events.len() as u64);
                prop_assert!(per_second.values().all(|records| *records <= RECORDS_PER_S_MAX));
            }
        }
    }
}
