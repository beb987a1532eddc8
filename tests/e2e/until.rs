//! Bounded waits.

use std::time::{Duration, Instant};

/// The longest that anything is waited for. No target: far above what a loaded machine needs.
pub const UNTIL_MAX: Duration = Duration::from_secs(30);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until `look` gives a value; each `Err` says what was seen instead.
///
/// # Panics
///
/// With `what` and the last thing seen, after [`UNTIL_MAX`].
#[track_caller]
pub fn until<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    until_within(UNTIL_MAX, what, look)
}

#[track_caller]
fn until_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if begun.elapsed() > limit => {
                panic!("waited {limit:?} until {what}; last seen: {seen}")
            }
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
}

#[test]
#[should_panic(expected = "until the sky falls; last seen: still there")]
fn a_wait_that_ends_says_what_it_waited_for_and_what_it_saw() {
    until_within(Duration::ZERO, "the sky falls", || {
        Err::<(), _>("still there".to_owned())
    });
}
