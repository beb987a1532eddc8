//! What the venue says, as JSON: every amount a decimal text, every instant Unix milliseconds.

use serde_json::{Value, json};

use super::account::Position;
use super::auth::{Key, Scope};
use super::book::Level;
use super::call::{Problem, order_id};
use super::market::{
    MAKER_FEE_BPS, MARKETS, Market, SIZE_MAX_UNITS, TAKER_FEE_BPS, find, symbol, units_text,
};
use super::order::{Fill, Order, Status};

/// An answer that is ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: Value,
}

impl Answer {
    /// An answer that says yes.
    pub fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let error = json!({ "code": problem.code, "message": problem.message });
        Self {
            status: problem.status,
            body: json!({ "error": error }),
        }
    }
}

/// The answer to an order: 201 when it is new, 200 when it was known, 422 when it was rejected.
pub fn placed(order: &Order, known: bool) -> Answer {
    if order.status == Status::Rejected {
        let reason = order.reason.as_deref().unwrap_or("REJECTED: rejected");
        let (code, message) = reason.split_once(": ").unwrap_or((reason, reason));
        return Problem::new(422, code, message).into();
    }
    let status = if known { 200 } else { 201 };
    let body = json!({
        "order_id": order_id(order.number),
        "client_order_id": order.terms.client_order_id,
        "status": order.status.word(),
        "filled": filled(order),
    });
    Answer { status, body }
}

/// The answer to a cancel: how the order stands now.
pub fn cancelled(order: &Order) -> Answer {
    Answer::ok(json!({ "order_id": order_id(order.number), "status": order.status.word() }))
}

/// The answer to a cancel of everything: which orders it ended.
pub fn all_cancelled(orders: &[Order]) -> Answer {
    let ids = orders
        .iter()
        .map(|order| order_id(order.number))
        .collect::<Vec<_>>();
    Answer::ok(json!({ "cancelled": ids }))
}

/// One order in full.
pub fn order(order: &Order) -> Value {
    let terms = &order.terms;
    json!({
        "order_id": order_id(order.number),
        "client_order_id": terms.client_order_id,
        "market_id": terms.market,
        "side": terms.side.word(),
        "order_type": terms.kind.word(),
        "price": terms.price,
        "quantity": terms.quantity,
        "filled": filled(order),
        "status": order.status.word(),
        "reason": order.reason,
        "expires_at_ms": terms.expires_at_ms,
        "accepted_at_ms": order.accepted_at_ms,
        "closed_at_ms": order.closed_at_ms,
        "signer": format!("0x{}", hex::encode(terms.signer)),
        "signature": terms.signature,
        "digest": format!("0x{}", hex::encode(terms.digest)),
    })
}

/// Orders, oldest first; `next` is where the following page begins, if there is one.
pub fn orders<'a>(list: impl Iterator<Item = &'a Order>, next: Option<u64>) -> Answer {
    Answer::ok(json!({ "orders": list.map(order).collect::<Vec<_>>(), "next": next }))
}

/// Who the caller is.
pub fn account(key: &Key) -> Answer {
    let scopes = key
        .scopes
        .iter()
        .copied()
        .map(Scope::word)
        .collect::<Vec<_>>();
    Answer::ok(json!({ "account": &*key.account, "scopes": scopes, "expires_at": null }))
}

/// What the account holds. `cash` is USDC received less USDC paid, fees apart; exact, so are fees.
pub fn positions<'a>(held: impl Iterator<Item = (usize, &'a Position)>) -> Answer {
    let position = |(index, position): (usize, &Position)| {
        let market = MARKETS.get(index)?;
        Some(json!({
            "symbol": market.symbol,
            "size": units_text(i128::from(position.lots), market.size_decimals),
            "cash": units_text(position.cash_units, market.notional_decimals()),
            "fees": units_text(position.fee_units, market.fee_decimals()),
        }))
    };
    Answer::ok(json!({ "positions": held.filter_map(position).collect::<Vec<_>>() }))
}

/// One fill in full; `None` when its market is none.
pub fn fill(fill: &Fill) -> Option<Value> {
    let market = MARKETS.get(fill.market)?;
    Some(json!({
        "fill_id": fill.id.to_string(),
        "order_id": order_id(fill.order_number),
        "client_order_id": fill.client_order_id,
        "symbol": market.symbol,
        "side": fill.side.word(),
        "price": units_text(i128::from(fill.ticks), market.price_decimals),
        "quantity": units_text(i128::from(fill.lots), market.size_decimals),
        "fee": units_text(fill.fee_units, market.fee_decimals()),
        "liquidity": fill.liquidity.word(),
        "at_ms": fill.at_ms,
    }))
}

/// Fills, oldest first; `next` is where the following page begins: the last id, or what was asked.
pub fn fills(list: &[Fill], since: u64) -> Answer {
    let next = list.last().map_or(since, |fill| fill.id);
    Answer::ok(
        json!({ "fills": list.iter().filter_map(fill).collect::<Vec<_>>(), "next": next.to_string() }),
    )
}

/// The markets and their grids.
pub fn markets() -> Answer {
    let market = |market: &Market| {
        let least = i128::try_from(market.least_notional_units).unwrap_or(i128::MAX);
        json!({
            "symbol": market.symbol,
            "tick": market.tick(),
            "lot": market.lot(),
            "least_notional": units_text(least, market.notional_decimals()),
            "maker_fee_bps": MAKER_FEE_BPS,
            "taker_fee_bps": TAKER_FEE_BPS,
        })
    };
    Answer::ok(json!({ "markets": MARKETS.iter().map(market).collect::<Vec<_>>() }))
}

/// The best levels of a market as pairs of price and size, best first. A level without a limit is
/// shown with the largest size that one order can have.
pub fn book(index: usize, bids: &[Level], asks: &[Level], now_ms: u64) -> Answer {
    let Some(market) = MARKETS.get(index) else {
        return Problem::new(404, "UNKNOWN_MARKET", "no such market").into();
    };
    let side = |levels: &[Level]| {
        let level = |level: &Level| {
            let size = match level.lots {
                Some(lots) => units_text(i128::from(lots), market.size_decimals),
                None => SIZE_MAX_UNITS.to_string(),
            };
            json!([
                units_text(i128::from(level.ticks), market.price_decimals),
                size
            ])
        };
        levels.iter().map(level).collect::<Vec<_>>()
    };
    let (bids, asks) = (side(bids), side(asks));
    Answer::ok(json!({ "symbol": symbol(index), "bids": bids, "asks": asks, "at_ms": now_ms }))
}

fn filled(order: &Order) -> String {
    let decimals = find(&order.terms.market).map_or(0, |(_, market)| market.size_decimals);
    units_text(i128::from(order.filled_lots), decimals)
}
