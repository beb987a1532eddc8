//! What an order adds to what is held and open already, and whom it would meet.

use rust_decimal::Decimal;

use super::terms::no_value;
use super::{Finding, Measured, NO_MARKET, NO_REFERENCE, NO_VALUE};
use crate::domain::denial::Denial;
use crate::domain::market::Market;
use crate::domain::order::Side;
use crate::gate::Mode;
use crate::gate::case::Case;

/// The market, the reference, and the order's value at its own price.
fn worth<'a>(case: &Case<'a>) -> Result<(&'a Market, Decimal, Decimal), Finding> {
    let market = case.market.ok_or(NO_MARKET)?;
    let value = case.value.ok_or_else(|| no_value(case))?;
    let reference = case.reference.ok_or(NO_REFERENCE)?;
    Ok((market, reference, value))
}

pub(super) fn order_notional(case: &Case<'_>) -> Finding {
    let (_, reference, value) = match worth(case) {
        Ok(worth) => worth,
        Err(unjudged) => return unjudged,
    };
    let notional_usdc = value.max(reference.saturating_mul(case.request.size));
    let limit_usdc = case.facts.limits.order_notional_max_usdc;
    if notional_usdc > limit_usdc {
        return Finding::Denied(Denial::OrderNotional {
            notional_usdc,
            limit_usdc,
        });
    }
    Finding::pass(notional_usdc, limit_usdc)
}

pub(super) fn reduce_only(case: &Case<'_>) -> Finding {
    let Some(market) = case.market else {
        return NO_MARKET;
    };
    let (side, size) = (case.request.side, case.request.size);
    let (open_size, reducible) = (case.held.open_size(side), case.held.reducible(side));
    match case.facts.mode {
        Mode::Active => Finding::Pass(None),
        Mode::ReduceOnly if size <= Decimal::ZERO => NO_VALUE,
        Mode::ReduceOnly if case.is_exit => {
            Finding::pass(open_size.saturating_add(size), reducible)
        }
        Mode::ReduceOnly => Finding::Denied(Denial::ReduceOnly {
            symbol: market.symbol.clone(),
            size,
            open_size,
            reducible,
        }),
    }
}

pub(super) fn position(case: &Case<'_>) -> Finding {
    let (market, reference, value) = match worth(case) {
        Ok(worth) => worth,
        Err(unjudged) => return unjudged,
    };
    let projected = case.held.projected(case.request.side, reference, value);
    let after_usdc = projected.unwrap_or(Decimal::MAX);
    let limit_usdc = case.facts.limits.position_limit_usdc;
    bounded(case, after_usdc, limit_usdc, || Denial::PositionLimit {
        symbol: market.symbol.clone(),
        after_usdc,
        limit_usdc,
    })
}

/// All markets together; those that hold nothing but open orders need no reference.
pub(super) fn gross(case: &Case<'_>) -> Finding {
    let (market, reference, value) = match worth(case) {
        Ok(worth) => worth,
        Err(unjudged) => return unjudged,
    };
    let (side, size) = (case.request.side, case.request.size);
    let own = case.held.gross_with(side, reference, size, value);
    let mut after_usdc = own.unwrap_or(Decimal::MAX);
    for (symbol, held) in case.facts.exposure.markets() {
        if *symbol == market.symbol {
            continue;
        }
        let reading = case.facts.references.get(symbol);
        let reference = match reading.and_then(|reading| case.facts.usable(reading)) {
            Some(reference) => reference,
            // Nothing there has to be valued, or nothing has to be valued at all.
            None if held.position.is_zero() || case.is_exit => Decimal::ZERO,
            None => return Finding::Unjudged("another market's position cannot be valued"),
        };
        let part = held.gross(reference).unwrap_or(Decimal::MAX);
        after_usdc = after_usdc.saturating_add(part);
    }
    let limit_usdc = case.facts.limits.gross_exposure_max_usdc;
    bounded(case, after_usdc, limit_usdc, || Denial::GrossExposure {
        after_usdc,
        limit_usdc,
    })
}

pub(super) fn open_orders(case: &Case<'_>) -> Finding {
    let open = count(case.facts.exposure.open_orders());
    let limit = count(case.facts.limits.open_orders_max);
    let after = Decimal::from(open.saturating_add(1));
    bounded(case, after, limit.into(), || Denial::OpenOrders {
        open,
        limit,
    })
}

/// The order that is judged is not in doubt itself, so as many as the limit may be.
pub(super) fn in_doubt(case: &Case<'_>) -> Finding {
    let in_doubt = count(case.facts.exposure.in_doubt());
    let limit = count(case.facts.limits.orders_in_doubt_max);
    bounded(case, in_doubt.into(), limit.into(), || {
        Denial::OrdersInDoubt { in_doubt, limit }
    })
}

pub(super) fn self_trade(case: &Case<'_>) -> Finding {
    let Some(market) = case.market else {
        return NO_MARKET;
    };
    let Some(price) = case.price.filter(|price| *price > Decimal::ZERO) else {
        return no_value(case);
    };
    let side = case.request.side;
    let best = case.facts.exposure.best(&market.symbol, side.opposite());
    let meets = |own_price| match side {
        Side::Buy => price >= own_price,
        Side::Sell => price <= own_price,
    };
    match best {
        None => Finding::Pass(None),
        Some((own_price, own)) if meets(own_price) => Finding::Denied(Denial::SelfTrade {
            price,
            own_order_id: own.id(),
            own_price,
        }),
        Some((own_price, _)) => Finding::pass(price, own_price),
    }
}

/// A bound on growth: at most `limit`, unless the order only reduces.
fn bounded(
    case: &Case<'_>,
    value: Decimal,
    limit: Decimal,
    denial: impl FnOnce() -> Denial,
) -> Finding {
    if value <= limit {
        Finding::pass(value, limit)
    } else if case.is_exit {
        Finding::Exit(Measured { value, limit })
    } else {
        Finding::Denied(denial())
    }
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}
