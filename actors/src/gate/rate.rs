//! How fast each client may send orders: a token bucket per client.
//!
//! Kept as one number per client, the instant at which its bucket is full again (the generic cell
//! rate algorithm), so that the limits may change at any order, and a dry run can look without
//! taking. Time since boot, so that no step of the wall clock counts.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::Limits;
use crate::domain::identity::Client;

const NANOS_PER_S: u64 = 1_000_000_000;
const NANOS_PER_MS: u64 = 1_000_000;

/// When each client's bucket is full again, in nanoseconds since boot. Clients are as many as API
/// keys, so the map is bounded by those.
#[derive(Default)]
pub(super) struct OrderRate {
    full_at: Mutex<HashMap<Client, u64>>,
}

/// What a client's bucket says to one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rate {
    /// There is an order in it.
    Within,
    /// It is empty.
    TooFast {
        /// When the next order of this client passes; at least 1.
        retry_after_ms: u64,
    },
}

impl OrderRate {
    /// Takes one order from `client`'s bucket, if there is one in it.
    pub(super) fn take(&self, client: &Client, now_boot_ms: u64, limits: &Limits) -> Rate {
        let mut all = self.full_at.lock();
        let before = all.get(client).copied().unwrap_or(0);
        match after_one(before, now_boot_ms, limits) {
            Ok(after) => {
                match all.get_mut(client) {
                    Some(full_at) => *full_at = after,
                    None => drop(all.insert(client.clone(), after)),
                }
                Rate::Within
            }
            Err(retry_after_ms) => Rate::TooFast { retry_after_ms },
        }
    }

    /// Looks at `client`'s bucket.
    pub(super) fn look(&self, client: &Client, now_boot_ms: u64, limits: &Limits) -> Rate {
        let before = self.full_at.lock().get(client).copied().unwrap_or(0);
        match after_one(before, now_boot_ms, limits) {
            Ok(_) => Rate::Within,
            Err(retry_after_ms) => Rate::TooFast { retry_after_ms },
        }
    }
}

/// When a bucket that is full at `full_at` is full after one more order; or, if it is empty, the
/// milliseconds until it is not. A rate or burst of zero counts as one.
fn after_one(full_at: u64, now_boot_ms: u64, limits: &Limits) -> Result<u64, u64> {
    let now = now_boot_ms.saturating_mul(NANOS_PER_MS);
    let one = NANOS_PER_S.div_ceil(limits.order_rate_per_s.max(1).into());
    let empty = one.saturating_mul(u64::from(limits.order_rate_burst.max(1)) - 1);
    let full_at = full_at.max(now);
    let missing = (full_at - now).saturating_sub(empty);
    if missing > 0 {
        return Err(missing.div_ceil(NANOS_PER_MS));
    }
    Ok(full_at.saturating_add(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_s: u32, burst: u32) -> Limits {
        Limits {
            order_rate_per_s: per_s,
            order_rate_burst: burst,
            ..Limits::default()
        }
    }

    fn bot() -> Client {
        Client::try_from("bot".to_owned()).unwrap()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_one_order_per_interval() {
        let (rate, limits) = (OrderRate::default(), limits(10, 3));
        let taken = |at| rate.take(&bot(), at, &limits) == Rate::Within;
        assert_eq!([0, 0, 0, 0].map(taken), [true, true, true, false]);
        assert_eq!([99, 100, 100].map(taken), [false, true, false]);
        assert_eq!(
            [1_000, 1_000, 1_000, 1_000].map(taken),
            [true, true, true, false]
        );
    }

    #[test]
    fn who_comes_back_when_it_was_told_to_passes_and_not_a_millisecond_earlier() {
        for (per_s, burst) in [(1, 1), (3, 1), (7, 5), (1_000, 1), (1_000_000, 20)] {
            let (rate, limits) = (OrderRate::default(), limits(per_s, burst));
            let mut now = 5;
            let waits = (0..10_000).find_map(|_| match rate.take(&bot(), now, &limits) {
                Rate::Within => None,
                Rate::TooFast { retry_after_ms } => Some(retry_after_ms),
            });
            let Some(wait) = waits else { continue };
            now += wait - 1;
            assert_ne!(
                rate.look(&bot(), now, &limits),
                Rate::Within,
                "{per_s}/{burst}"
            );
            assert_eq!(
                rate.take(&bot(), now + 1, &limits),
                Rate::Within,
                "{per_s}/{burst}"
            );
        }
    }

    #[test]
    fn looking_takes_nothing_and_other_limits_count_at_once() {
        let rate = OrderRate::default();
        for _ in 0..100 {
            assert_eq!(rate.look(&bot(), 0, &limits(1, 1)), Rate::Within);
        }
        assert_eq!(rate.take(&bot(), 0, &limits(1, 1)), Rate::Within);
        assert_ne!(rate.take(&bot(), 0, &limits(1, 1)), Rate::Within);
        assert_eq!(rate.take(&bot(), 0, &limits(1, 5)), Rate::Within);
        assert_ne!(rate.take(&bot(), 0, &limits(1, 1)), Rate::Within);
    }
}
