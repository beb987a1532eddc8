//! The rules, pure: one order against limits and facts, all violations at once.

use rust_decimal::Decimal;

use super::{Exposure, Limits, References};
use crate::domain::denial::Denial;
use crate::domain::market::{Lots, Market, Symbol, Ticks};
use crate::domain::order::OrderRequest;

/// What the rules look at besides the order and the limits.
pub(super) struct Facts<'a> {
    /// The market that the order names, when it exists.
    pub market: Option<&'a Market>,
    /// Reference prices.
    pub references: &'a References,
    /// Positions and open orders.
    pub exposure: &'a Exposure,
}

/// The order in the market's own steps.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub symbol: Symbol,
    pub price_ticks: Ticks,
    pub price: Decimal,
    pub size_lots: Lots,
    pub size: Decimal,
}

/// Judges `request`. Missing or overflowing input denies and names the datum.
pub(super) fn judge(
    request: &OrderRequest,
    facts: &Facts<'_>,
    limits: &Limits,
) -> Result<Terms, Vec<Denial>> {
    let mut denials = Vec::new();
    bounds(request, limits, &mut denials);
    let Some(market) = facts.market else {
        let symbol = request.symbol.chars().take(32).collect();
        denials.push(Denial::UnknownSymbol { symbol });
        return Err(denials);
    };
    let terms = steps(request, market, &mut denials);
    value(request, market, facts, limits, &mut denials);
    if facts.exposure.open_orders() >= limits.open_orders_max {
        let (open, limit) = (facts.exposure.open_orders(), limits.open_orders_max);
        denials.push(Denial::OpenOrders { open, limit });
    }
    match terms {
        Some(terms) if denials.is_empty() => Ok(terms),
        _ => Err(denials),
    }
}

/// Price and size within the seed's bounds.
fn bounds(request: &OrderRequest, limits: &Limits, denials: &mut Vec<Denial>) {
    let (price, size) = (request.price, request.size);
    if price <= Decimal::ZERO || price > limits.price_max {
        denials.push(Denial::PriceRange {
            price,
            max: limits.price_max,
        });
    }
    if size <= Decimal::ZERO || size > limits.size_max {
        denials.push(Denial::SizeRange {
            size,
            max: limits.size_max,
        });
    }
}

/// Price in ticks and size in lots.
fn steps(request: &OrderRequest, market: &Market, denials: &mut Vec<Denial>) -> Option<Terms> {
    let price_ticks = market.ticks(request.price);
    if price_ticks.is_none() && request.price > Decimal::ZERO {
        denials.push(Denial::Tick {
            price: request.price,
            tick: market.tick,
        });
    }
    let size_lots = market.lots(request.size);
    if size_lots.is_none() && request.size > Decimal::ZERO {
        denials.push(Denial::Lot {
            size: request.size,
            lot: market.lot,
        });
    }
    let (price_ticks, size_lots) = (price_ticks?, size_lots?);
    Some(Terms {
        symbol: market.symbol.clone(),
        price_ticks,
        price: market.price(price_ticks).normalize(),
        size_lots,
        size: market.size(size_lots).normalize(),
    })
}

/// Everything that is worth something: collar, notional, position, gross exposure.
fn value(
    request: &OrderRequest,
    market: &Market,
    facts: &Facts<'_>,
    limits: &Limits,
    denials: &mut Vec<Denial>,
) {
    if request.price <= Decimal::ZERO || request.size <= Decimal::ZERO {
        return; // already denied, and worth nothing that could be compared
    }
    let own = request.price.saturating_mul(request.size);
    if own < market.least_notional {
        let min_usdc = market.least_notional;
        denials.push(Denial::NotionalMin {
            notional_usdc: own,
            min_usdc,
        });
    }
    let Some(&reference) = facts.references.get(&market.symbol) else {
        denials.push(Denial::ReferenceMissing {
            symbol: market.symbol.clone(),
        });
        return;
    };
    collar(request.price, reference, limits, denials);
    let notional_usdc = own.max(reference.saturating_mul(request.size));
    if notional_usdc > limits.order_notional_max_usdc {
        let limit_usdc = limits.order_notional_max_usdc;
        denials.push(Denial::OrderNotional {
            notional_usdc,
            limit_usdc,
        });
    }
    let mine = facts.exposure.market(&market.symbol);
    let after = mine
        .projected(request.side, reference, own)
        .unwrap_or(Decimal::MAX);
    if after > limits.position_limit_usdc {
        denials.push(Denial::PositionLimit {
            symbol: market.symbol.clone(),
            after_usdc: after,
            limit_usdc: limits.position_limit_usdc,
        });
    }
    gross(own, facts, limits, denials);
}

fn collar(price: Decimal, reference: Decimal, limits: &Limits, denials: &mut Vec<Denial>) {
    let deviation = (price - reference).abs().checked_mul(Decimal::ONE_HUNDRED);
    let deviation_pct = deviation
        .and_then(|d| d.checked_div(reference))
        .unwrap_or(Decimal::MAX);
    if deviation_pct > limits.price_collar_hard_pct {
        denials.push(Denial::PriceCollar {
            price,
            reference,
            deviation_pct: deviation_pct.round_dp(4),
            limit_pct: limits.price_collar_hard_pct,
        });
    }
}

/// All markets together. One without a reference can only be valued when it holds no position.
fn gross(own: Decimal, facts: &Facts<'_>, limits: &Limits, denials: &mut Vec<Denial>) {
    let mut after_usdc = own;
    for (symbol, market) in facts.exposure.markets() {
        let reference = facts.references.get(symbol).copied();
        if reference.is_none() && !market.position.is_zero() {
            denials.push(Denial::ReferenceMissing {
                symbol: symbol.clone(),
            });
            return;
        }
        let part = market
            .gross(reference.unwrap_or_default())
            .unwrap_or(Decimal::MAX);
        after_usdc = after_usdc.saturating_add(part);
    }
    if after_usdc > limits.gross_exposure_max_usdc {
        let limit_usdc = limits.gross_exposure_max_usdc;
        denials.push(Denial::GrossExposure {
            after_usdc,
            limit_usdc,
        });
    }
}
