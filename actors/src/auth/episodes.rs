//! Bounded counting of refused events: the journal learns of the first of an episode at once, then
//! one number per source and window, and never more than a few records per second in all (J6).
//!
//! A flood of bad logins so grows the journal by records per second, not per request, and no event
//! goes uncounted: what a record stands for is its count. Pure: time is a parameter, nothing waits.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use crate::domain::clock::UnixMicros;

/// Failed logins by the address they came from.
pub type FailedLogins = Episodes<IpAddr>;

/// Length of a window, in milliseconds. An episode ends with a window without an event.
pub const WINDOW_MS: u64 = 60_000;
/// Records per second over all sources.
pub const RECORDS_PER_S_MAX: u32 = 10;
/// Sources told apart; further ones count together.
pub const SOURCES_MAX: usize = 4_096;

/// Episodes of refused events by source.
#[derive(Debug)]
pub struct Episodes<K> {
    /// `None` = every source past the bound.
    open: HashMap<Option<K>, Episode>,
    second: u64,
    records_in_second: u32,
}

#[derive(Debug)]
struct Episode {
    window_from: UnixMicros,
    not_recorded: u64,
}

impl<K> Default for Episodes<K> {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            second: 0,
            records_in_second: 0,
        }
    }
}

impl<K: Hash + Eq + Clone> Episodes<K> {
    /// Counts one event. `Some(count)` is to be recorded now, for this source.
    pub fn observe(&mut self, source: K, now: UnixMicros) -> Option<u64> {
        let full = self.open.len() >= SOURCES_MAX;
        let known = Some(source);
        let source = if full && !self.open.contains_key(&known) {
            None
        } else {
            known
        };
        if let Some(episode) = self.open.get_mut(&source) {
            episode.not_recorded += 1;
            return None;
        }
        let at_once = self.may_record(now);
        let episode = Episode {
            window_from: now,
            not_recorded: u64::from(!at_once),
        };
        self.open.insert(source, episode);
        at_once.then_some(1)
    }

    /// What is to be recorded of windows that have ended: source (`None` = many) and count. To be
    /// called about once a second. What the bound per second does not let through waits.
    pub fn due(&mut self, now: UnixMicros) -> Vec<(Option<K>, u64)> {
        let over = |e: &Episode| now.millis_since(e.window_from) >= WINDOW_MS;
        self.open.retain(|_, e| !over(e) || e.not_recorded > 0);
        let ended = self.open.iter().filter(|(_, e)| over(e));
        let ended: Vec<Option<K>> = ended.map(|(source, _)| source.clone()).collect();
        let mut due = Vec::new();
        for source in ended {
            if !self.may_record(now) {
                break;
            }
            if let Some(episode) = self.open.get_mut(&source) {
                due.push((source, std::mem::take(&mut episode.not_recorded)));
                episode.window_from = now;
            }
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

    fn may_record(&mut self, now: UnixMicros) -> bool {
        if self.second != now.as_secs() {
            self.second = now.as_secs();
            self.records_in_second = 0;
        }
        let may = self.records_in_second < RECORDS_PER_S_MAX;
        self.records_in_second += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> UnixMicros {
        UnixMicros(1_000_000_000_000 + millis * 1_000)
    }

    #[test]
    fn the_first_of_an_episode_is_recorded_at_once_and_the_rest_once_per_window() {
        let mut failed = Episodes::default();
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
        let mut failed = Episodes::default();
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
        let mut failed = Episodes::default();
        for source in 0..SOURCES_MAX + 500 {
            failed.observe(source, ms(0));
        }
        assert!(failed.open.len() <= SOURCES_MAX + 1);
        assert_eq!(failed.open.get(&None).map(|e| e.not_recorded), Some(500));
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
                let mut failed = Episodes::default();
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
                recorded += failed.drain();
                prop_assert_eq!(recorded, events.len() as u64);
                prop_assert!(per_second.values().all(|records| *records <= RECORDS_PER_S_MAX));
            }
        }
    }
}
