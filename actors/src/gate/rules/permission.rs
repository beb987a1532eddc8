//! Whether this client and these keys may send an order now.

use super::Finding;
use crate::domain::denial::Denial;
use crate::gate::KeyUse;
use crate::gate::case::Case;
use crate::gate::rate::Rate;

pub(super) fn keys(case: &Case<'_>) -> Finding {
    match case.facts.keys {
        KeyUse::Usable => Finding::Pass(None),
        KeyUse::Unusable { key, why } => Finding::Denied(Denial::KeyUnusable { key, why }),
    }
}

pub(super) fn rate(case: &Case<'_>) -> Finding {
    match case.facts.rate {
        Rate::Within => Finding::Pass(None),
        Rate::TooFast { retry_after_ms } => Finding::Denied(Denial::OrderRate {
            rate_per_s: case.facts.limits.order_rate_per_s,
            retry_after_ms,
        }),
    }
}

/// Not asked here: the key manager compares when it signs.
pub(super) fn last_hop(_: &Case<'_>) -> Finding {
    Finding::Unjudged("looked at when the order is signed")
}
