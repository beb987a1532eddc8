//! How fast each client may send orders: a token bucket per client.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as RateClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::domain::clock::SharedClock;
use crate::domain::denial::Denial;
use crate::domain::identity::Client;

/// The clock that a bucket counts with: time since boot, so that no step of the wall clock counts.
#[derive(Clone)]
pub(super) struct BootClock(SharedClock);

impl RateClock for BootClock {
    type Instant = Nanos;
    fn now(&self) -> Nanos {
        Nanos::from(Duration::from_millis(self.0.boot_millis()))
    }
}

/// One bucket per client. Clients are as many as API keys, so the map is bounded by those.
pub(super) struct OrderRate {
    per_s: u32,
    clock: BootClock,
    buckets: RateLimiter<Client, DashMapStateStore<Client>, BootClock, NoOpMiddleware<Nanos>>,
}

impl OrderRate {
    /// `per_s` orders each second, `burst` at once; a zero counts as one.
    pub(super) fn new(per_s: u32, burst: u32, clock: SharedClock) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_s)).allow_burst(at_least_one(burst));
        let clock = BootClock(clock);
        let buckets = RateLimiter::new(quota, DashMapStateStore::default(), clock.clone());
        Self {
            per_s,
            clock,
            buckets,
        }
    }

    /// Takes one order from `client`'s bucket.
    pub(super) fn check(&self, client: &Client) -> Result<(), Denial> {
        self.buckets.check_key(client).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            Denial::OrderRate {
                rate_per_s: self.per_s,
                retry_after_ms,
            }
        })
    }
}

/// Nanos since boot are compared as they are.
const _: fn(Nanos, Nanos) -> Nanos = |later, earlier| later.duration_since(earlier);
