//! Random runs of the real program against a simulator that survives it, by seed.
//!
//! A seed decides every step: orders of several clients, repeats, cancels, pauses, halts and lifts,
//! `kill -9` and restarts, also with requests on their way, and faults of the venue. What must hold
//! is looked at after each step, and at the end everything that clients were told, the journal, the
//! views and the simulator's own record are compared order by order and sum by sum.
//!
//! The steps of a seed are always the same; what comes of them may depend on timing. A seed that
//! fails is printed with its last steps and the command that takes them again.
//!
//! | variable | meaning |
//! |---|---|
//! | `FLASHGUARD_MODEL_SEED` | this seed alone, or the first of many |
//! | `FLASHGUARD_MODEL_STEPS` | steps of each seed |
//! | `FLASHGUARD_MODEL_MINUTES` | goes on with the next seeds until the time is over |

mod act;
mod answers;
mod chance;
mod compare;
mod faults;
mod run;
mod steps;
mod truth;

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use run::Met;

/// Seeds of an ordinary test run, and how many steps each takes.
const SEEDS: std::ops::Range<u64> = 1..9;
const STEPS: u64 = 60;

/// The same with `FLASHGUARD_FULL=1`.
const SEEDS_FULL: std::ops::Range<u64> = 1..41;

/// Runs at once.
const AT_ONCE: usize = 2;

/// Seeds that are handed out until there are no more, or the time is over; without a time, until one
/// failed.
struct Seeds {
    next: u64,
    end: u64,
    until: Option<Instant>,
}

impl Seeds {
    fn of_environment() -> Self {
        let all = match std::env::var_os("FLASHGUARD_FULL") {
            Some(_) => SEEDS_FULL,
            None => SEEDS,
        };
        let minutes = number("FLASHGUARD_MODEL_MINUTES");
        let until = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
        match (number("FLASHGUARD_MODEL_SEED"), until) {
            (Some(seed), None) => Self {
                next: seed,
                end: seed + 1,
                until,
            },
            (seed, Some(_)) => Self {
                next: seed.unwrap_or(all.start),
                end: u64::MAX,
                until,
            },
            (None, None) => Self {
                next: all.start,
                end: all.end,
                until,
            },
        }
    }

    fn next(&mut self) -> Option<u64> {
        if self.next >= self.end || self.until.is_some_and(|until| Instant::now() >= until) {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }

    fn failed(&mut self) {
        if self.until.is_none() {
            self.end = self.next;
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}: a whole number, not {text:?}")))
}

#[test]
fn after_any_steps_clients_journal_views_and_venue_tell_one_truth() {
    let steps = usize::try_from(number("FLASHGUARD_MODEL_STEPS").unwrap_or(STEPS)).unwrap();
    let seeds = Mutex::new(Seeds::of_environment());
    let begun = seeds.lock().unwrap().next;
    let many = number("FLASHGUARD_MODEL_SEED").is_none();
    let outcomes: Vec<(u64, thread::Result<Met>)> = thread::scope(|scope| {
        let one_by_one = || {
            let mut outcomes = Vec::new();
            loop {
                let seed = seeds.lock().unwrap().next();
                let Some(seed) = seed else { return outcomes };
                let went = std::panic::catch_unwind(|| run::run(seed, steps));
                match &went {
                    Ok(met) => println!("seed {seed}: one truth; {met:?}"),
                    Err(_) => {
                        println!("seed {seed}: FAILED");
                        seeds.lock().unwrap().failed();
                    }
                }
                outcomes.push((seed, went));
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one_by_one)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    let failed: Vec<u64> = outcomes
        .iter()
        .filter(|(_, went)| went.is_err())
        .map(|(seed, _)| *seed)
        .collect();
    println!(
        "model: {} seeds from {begun} x {steps} steps, {} with differences {failed:?}",
        outcomes.len(),
        failed.len(),
    );
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
    if many {
        let met = || outcomes.iter().filter_map(|(_, went)| went.as_ref().ok());
        let some = |what: &str, count: fn(&Met) -> usize| {
            assert_ne!(
                met().map(count).sum::<usize>(),
                0,
                "these runs met nothing: {what}"
            );
        };
        some("ids", |met| met.ids);
        some("accepted", |met| met.accepted);
        some("fills", |met| met.fills);
        some("in doubt", |met| met.in_doubt);
        some("halts", |met| met.halts);
        some("faults", |met| usize::try_from(met.faults).unwrap());
    }
}
