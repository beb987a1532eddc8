//! How long to wait before the venue is asked again after it failed: longer each time, at least what
//! it asked for, and never without bound. Pure.

use crate::ports::venue::VenueError;

/// A pause that doubles with each failure in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    shortest_ms: u64,
    longest_ms: u64,
    /// Longest that the venue's own wish is heeded, in milliseconds.
    wish_max_ms: u64,
    next_ms: u64,
}

impl Patience {
    /// Pauses from `shortest_ms` to `longest_ms`, and those that the venue asks for up to
    /// `wish_max_ms`.
    pub const fn between(shortest_ms: u64, longest_ms: u64, wish_max_ms: u64) -> Self {
        Self {
            shortest_ms,
            longest_ms,
            wish_max_ms,
            next_ms: shortest_ms,
        }
    }

    /// It answered: the next failure is the first again.
    pub const fn answered(&mut self) {
        self.next_ms = self.shortest_ms;
    }

    /// It failed, or there is nothing new: how long to wait now.
    pub fn pause_ms(&mut self, error: Option<&VenueError>) -> u64 {
        let pause_ms = self.next_ms;
        self.next_ms = self.next_ms.saturating_mul(2).min(self.longest_ms);
        match error {
            Some(VenueError::Throttled {
                retry_after_ms: Some(wish_ms),
            }) => pause_ms.max((*wish_ms).min(self.wish_max_ms)),
            _ => pause_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again_after_an_answer() {
        let mut patience = Patience::between(100, 500, 60_000);
        let pauses: Vec<_> = (0..5).map(|_| patience.pause_ms(None)).collect();
        assert_eq!(pauses, [100, 200, 400, 500, 500]);
        patience.answered();
        assert_eq!(patience.pause_ms(None), 100);
    }

    #[test]
    fn what_the_venue_asks_for_is_waited_at_least_and_bounded() {
        let throttled = |ms| VenueError::Throttled { retry_after_ms: ms };
        let first = |error| Patience::between(100, 500, 5_000).pause_ms(Some(&error));
        assert_eq!(first(throttled(Some(1_000))), 1_000);
        assert_eq!(first(throttled(Some(50))), 100);
        assert_eq!(first(throttled(Some(60_000))), 5_000);
        assert_eq!(first(throttled(None)), 100);
    }
}
