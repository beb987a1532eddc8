//! What an order is made of: a known market, whole steps, numbers within bounds.

use rust_decimal::Decimal;

use super::{Finding, NO_MARKET, NO_REFERENCE, NO_VALUE};
use crate::domain::denial::Denial;
use crate::domain::order::Terms;
use crate::gate::case::Case;

/// Longest part of an unknown symbol that is told again, in characters.
const SYMBOL_SHOWN_CHARS_MAX: usize = 32;

pub(super) fn symbol(case: &Case<'_>) -> Finding {
    match case.market {
        Some(_) => Finding::Pass(None),
        None => {
            let shown = case.request.symbol.chars().take(SYMBOL_SHOWN_CHARS_MAX);
            Finding::Denied(Denial::UnknownSymbol {
                symbol: shown.collect(),
            })
        }
    }
}

pub(super) fn price_range(case: &Case<'_>) -> Finding {
    let max = case.facts.limits.price_max;
    match case.price {
        None => no_price(case),
        Some(price) if price <= Decimal::ZERO || price > max => {
            Finding::Denied(Denial::PriceRange { price, max })
        }
        Some(price) => Finding::pass(price, max),
    }
}

pub(super) fn size_range(case: &Case<'_>) -> Finding {
    let (size, max) = (case.request.size, case.facts.limits.size_max);
    if size <= Decimal::ZERO || size > max {
        return Finding::Denied(Denial::SizeRange { size, max });
    }
    Finding::pass(size, max)
}

pub(super) fn tick(case: &Case<'_>) -> Finding {
    let Some(market) = case.market else {
        return NO_MARKET;
    };
    match (case.price, case.price_ticks) {
        (None, _) => no_price(case),
        (Some(price), _) if price <= Decimal::ZERO => NO_VALUE,
        (Some(price), Some(_)) => Finding::pass(price, market.tick),
        (Some(price), None) => Finding::Denied(Denial::Tick {
            price,
            tick: market.tick,
        }),
    }
}

pub(super) fn lot(case: &Case<'_>) -> Finding {
    let Some(market) = case.market else {
        return NO_MARKET;
    };
    let (size, lot) = (case.request.size, market.lot);
    match case.size_lots {
        _ if size <= Decimal::ZERO => NO_VALUE,
        Some(_) => Finding::pass(size, lot),
        None => Finding::Denied(Denial::Lot { size, lot }),
    }
}

pub(super) fn notional_min(case: &Case<'_>) -> Finding {
    let Some(market) = case.market else {
        return NO_MARKET;
    };
    let min_usdc = market.least_notional;
    match case.value {
        None => no_value(case),
        Some(notional_usdc) if notional_usdc < min_usdc => Finding::Denied(Denial::NotionalMin {
            notional_usdc,
            min_usdc,
        }),
        Some(notional_usdc) => Finding::pass(notional_usdc, min_usdc),
    }
}

/// A market order has no price as long as there is no market or no reference.
fn no_price(case: &Case<'_>) -> Finding {
    match case.market {
        None => NO_MARKET,
        Some(_) => NO_REFERENCE,
    }
}

/// Why an order is worth nothing that could be compared.
pub(super) fn no_value(case: &Case<'_>) -> Finding {
    match case.request.terms {
        Terms::Market if case.price.is_none() => no_price(case),
        Terms::Market | Terms::Priced { .. } => NO_VALUE,
    }
}
