//! How many requests one address may send, decided before anything of them is read.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use flashguard_actors::domain::clock::UnixMicros;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::problem::Problem;
use super::shared::Shared;

/// After so many requests the addresses that have been quiet for a second are forgotten.
const FORGET_EVERY_REQUESTS: u32 = 16_384;

/// One bucket per address, IPv6 by its /64.
pub struct RequestRate {
    per_s: u32,
    limiter: RateLimiter<
        IpAddr,
        DefaultKeyedStateStore<IpAddr>,
        DefaultClock,
        StateInformationMiddleware,
    >,
    seen: AtomicU32,
}

impl RequestRate {
    /// `per_s` requests each second and at once, per address.
    pub fn per_second(per_s: u32) -> Self {
        let quota = Quota::per_second(NonZeroU32::new(per_s).unwrap_or(NonZeroU32::MIN));
        Self {
            per_s,
            limiter: RateLimiter::keyed(quota).with_middleware(),
            seen: AtomicU32::new(0),
        }
    }

    /// Counts a request of `source`: what is left, or milliseconds until the next one passes.
    fn count(&self, source: IpAddr) -> Result<u32, u64> {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        if seen % FORGET_EVERY_REQUESTS == FORGET_EVERY_REQUESTS - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        match self.limiter.check_key(&bucket(source)) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                Err(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
            }
        }
    }

    /// `X-RateLimit-*`: the bound, what is left of it, and when (Unix seconds) all of it is back.
    fn write_headers(&self, headers: &mut HeaderMap, remaining: u32, now: UnixMicros) {
        let used = self.per_s.saturating_sub(remaining);
        let reset_s = now.as_secs() + u64::from(used > 0);
        for (name, value) in [
            ("x-ratelimit-limit", u64::from(self.per_s)),
            ("x-ratelimit-remaining", u64::from(remaining)),
            ("x-ratelimit-reset", reset_s),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

/// Addresses that are likely one sender share a bucket.
fn bucket(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// Lets a request pass or answers 429.
pub async fn limit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let shared = request.app_data::<web::Data<Shared>>().cloned();
    let source = request.peer_addr().map(|address| address.ip());
    let (Some(shared), Some(source)) = (shared, source) else {
        return next
            .call(request)
            .await
            .map(ServiceResponse::map_into_boxed_body);
    };
    let rate = &shared.request_rate;
    let (remaining, mut response) = match rate.count(source) {
        Ok(remaining) => (remaining, next.call(request).await?.map_into_boxed_body()),
        Err(wait_ms) => (0, request.error_response(too_many(rate.per_s, wait_ms))),
    };
    rate.write_headers(response.headers_mut(), remaining, shared.clock.now());
    Ok(response)
}

fn too_many(per_s: u32, wait_ms: u64) -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "RATE_LIMIT_EXCEEDED",
        "this address sends too many requests",
    )
    .with("limit_per_s", per_s)
    .with("retry_after_ms", wait_ms)
    .retry_after_s(wait_ms.div_ceil(1_000).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_passes_and_the_next_one_does_not() {
        let rate = RequestRate::per_second(3);
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(rate.count(source), Ok(2));
        assert_eq!(rate.count(source), Ok(1));
        assert_eq!(rate.count(source), Ok(0));
        assert!(rate.count(source).is_err());
        assert_eq!(rate.count("192.0.2.2".parse().unwrap()), Ok(2));
    }

    #[test]
    fn an_ipv6_network_and_a_mapped_address_are_one_sender() {
        let of = |text: &str| bucket(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
