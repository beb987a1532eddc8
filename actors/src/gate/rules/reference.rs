//! The venue's book as a reference: there, sound, fresh, and not far from the order's price.

use rust_decimal::Decimal;

use super::terms::no_value;
use super::{Finding, NO_MARKET, NO_REFERENCE};
use crate::domain::denial::Denial;
use crate::domain::market::Symbol;
use crate::domain::order::Terms;
use crate::gate::Reading;
use crate::gate::case::Case;

/// Digits of a deviation that are told.
const DEVIATION_DIGITS: u32 = 4;

pub(super) fn missing(case: &Case<'_>) -> Finding {
    let denied = |symbol: &Symbol| {
        Finding::Denied(Denial::ReferenceMissing {
            symbol: symbol.clone(),
        })
    };
    match (case.market, case.reading) {
        (None, _) => NO_MARKET,
        (Some(market), None) => denied(&market.symbol),
        (Some(_), Some(_)) => {
            let other = case.others().find(|(_, reading)| reading.is_none());
            other.map_or(Finding::Pass(None), |(symbol, _)| denied(symbol))
        }
    }
}

pub(super) fn crossed(case: &Case<'_>) -> Finding {
    let is_crossed = |(_, reading): &(_, &Reading)| reading.middle().is_none();
    match readings(case).find(is_crossed) {
        Some((symbol, reading)) => Finding::Denied(Denial::ReferenceCrossed {
            symbol: symbol.clone(),
            bid: reading.quote().bid,
            ask: reading.quote().ask,
        }),
        None => own_reading(case).map_or_else(|unjudged| unjudged, |_| Finding::Pass(None)),
    }
}

pub(super) fn stale(case: &Case<'_>) -> Finding {
    let (now, limit_ms) = (
        case.facts.now_boot_ms,
        case.facts.limits.reference_max_age_ms,
    );
    let is_stale = |(_, reading): &(_, &Reading)| reading.age_ms(now) > limit_ms;
    match readings(case).find(is_stale) {
        Some((symbol, reading)) => Finding::Denied(Denial::ReferenceStale {
            symbol: symbol.clone(),
            age_ms: reading.age_ms(now),
            limit_ms,
        }),
        None => match own_reading(case) {
            Ok(reading) => Finding::pass(reading.age_ms(now), limit_ms),
            Err(unjudged) => unjudged,
        },
    }
}

pub(super) fn collar(case: &Case<'_>) -> Finding {
    let limit_pct = case.facts.limits.price_collar_hard_pct;
    match deviation(case) {
        Err(unjudged) => unjudged,
        Ok((price, reference, deviation_pct)) if deviation_pct > limit_pct => {
            Finding::Denied(Denial::PriceCollar {
                price,
                reference,
                deviation_pct: deviation_pct.round_dp(DEVIATION_DIGITS),
                limit_pct,
            })
        }
        Ok((_, _, deviation_pct)) => Finding::pass(deviation_pct, limit_pct),
    }
}

/// Beyond the hard collar too the order is off the soft one; it is denied, so the mark goes nowhere.
pub(super) fn soft_collar(case: &Case<'_>) -> Finding {
    let limit = case.facts.limits.price_collar_soft_pct;
    match deviation(case) {
        Err(unjudged) => unjudged,
        Ok((_, _, value)) if value > limit && case.request.terms != Terms::Market => {
            Finding::Marked(super::Measured { value, limit })
        }
        Ok((_, _, value)) => Finding::pass(value, limit),
    }
}

/// The order's price, the reference, and how far one is from the other in per cent of the reference.
fn deviation(case: &Case<'_>) -> Result<(Decimal, Decimal, Decimal), Finding> {
    let reference = case.reference.ok_or(match case.market {
        None => NO_MARKET,
        Some(_) => NO_REFERENCE,
    })?;
    let price = case.price.filter(|price| *price > Decimal::ZERO);
    let price = price.ok_or_else(|| no_value(case))?;
    let away = (price - reference).abs().checked_mul(Decimal::ONE_HUNDRED);
    let deviation_pct = away.and_then(|away| away.checked_div(reference));
    Ok((price, reference, deviation_pct.unwrap_or(Decimal::MAX)))
}

/// The readings that the order is judged by: its own market's, and those of other markets that have
/// to be valued.
fn readings<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a Symbol, &'a Reading)> {
    let own = case.market.map(|market| &market.symbol).zip(case.reading);
    let others = case.others();
    own.into_iter()
        .chain(others.filter_map(|(symbol, reading)| Some((symbol, reading?))))
}

fn own_reading<'a>(case: &Case<'a>) -> Result<&'a Reading, Finding> {
    match (case.market, case.reading) {
        (None, _) => Err(NO_MARKET),
        (Some(_), None) => Err(NO_REFERENCE),
        (Some(_), Some(reading)) => Ok(reading),
    }
}
