//! Reads the venue's answers. Only a clear yes is a yes and only a clear no is a no; everything else
//! is said to be neither.
//!
//! Takes any bytes. Fields that are not known are passed over, fields that are missing or malformed
//! make the answer unreadable.

use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::domain::market::{Market, Symbol};
use flashguard_actors::domain::order::{OrderId, OrderStatus, Side, VenueOrderId};
use flashguard_actors::ports::venue::{
    Account, OrderAnswer, Query, Quote, Reply, VenueError, VenueFill, VenueOrder, VenuePosition,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Longest code of a rejection that is kept, in characters. The port says so.
const CODE_CHARS_MAX: usize = 64;

/// Longest message of a rejection that is kept, in characters. The port says so.
const MESSAGE_CHARS_MAX: usize = 256;

/// Longest signer that is kept, in bytes: an address has 42.
const SIGNER_CHARS_MAX: usize = 64;

/// The code with which the venue says that an account has no order of that id.
const UNKNOWN_ORDER: &str = "UNKNOWN_ORDER";

#[derive(Deserialize)]
struct Envelope {
    error: RawError,
}

#[derive(Deserialize)]
struct RawError {
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct RawPlaced {
    order_id: VenueOrderId,
    status: String,
}

#[derive(Deserialize)]
struct RawAccount {
    account: String,
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct RawOrders {
    orders: Vec<RawOrder>,
    /// Where a further page begins: then this is not all that rests.
    next: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawOrder {
    order_id: VenueOrderId,
    client_order_id: Option<String>,
    market_id: Symbol,
    side: Side,
    price: String,
    quantity: String,
    filled: String,
    status: String,
    signer: Option<String>,
}

#[derive(Deserialize)]
struct RawPositions {
    positions: Vec<RawPosition>,
}

#[derive(Deserialize)]
struct RawPosition {
    symbol: Symbol,
    size: String,
}

#[derive(Deserialize)]
struct RawFills {
    fills: Vec<RawFill>,
}

#[derive(Deserialize)]
pub(super) struct RawFill {
    fill_id: String,
    order_id: VenueOrderId,
    client_order_id: Option<String>,
    symbol: Symbol,
    side: Side,
    price: String,
    quantity: String,
    fee: String,
    at_ms: u64,
}

#[derive(Deserialize)]
struct RawMarkets {
    markets: Vec<RawMarket>,
}

#[derive(Deserialize)]
struct RawMarket {
    symbol: Symbol,
    tick: String,
    lot: String,
    least_notional: String,
}

#[derive(Deserialize)]
struct RawBook {
    symbol: Symbol,
    bids: Vec<(String, String)>,
    asks: Vec<(String, String)>,
}

/// Reads the answer to an order.
///
/// Placed: 200 or 201 with an id and a status that an order can have there. Rejected: a refusal of
/// the 4xx kind in the protocol's own envelope. Not 409 (the venue has an order of that id, only
/// another one), nor 408, 425 and 429, which may come after the effect.
pub fn order_answer(status: u16, body: &[u8]) -> OrderAnswer {
    let unclear = OrderAnswer::Unclear { status };
    match status {
        200 | 201 => {
            let Ok(placed) = serde_json::from_slice::<RawPlaced>(body) else {
                return unclear;
            };
            match venue_status(&placed.status) {
                Ok(OrderStatus::Rejected) => rejected("REJECTED", ""),
                Ok(status) => OrderAnswer::Placed {
                    venue_order_id: placed.order_id,
                    status,
                },
                Err(_) => unclear,
            }
        }
        400 | 401 | 403 | 404 | 405 | 413 | 422 => match envelope(body) {
            Some(error) => rejected(&error.code, &error.message),
            None => unclear,
        },
        _ => unclear,
    }
}

/// Reads the answer to a question or a cancel.
pub fn reply(query: &Query, status: u16, body: &[u8]) -> Result<Reply, VenueError> {
    match status {
        200 => read_reply(query, body),
        401 | 403 => Err(VenueError::CredentialRejected),
        404 => absent(query, body),
        429 => Err(VenueError::Throttled {
            retry_after_ms: None,
        }),
        500..=599 => Err(VenueError::Unreachable {
            internal: format!("status {status}"),
        }),
        _ => Err(unreadable(format!("status {status}"))),
    }
}

/// A 404 says that an order is not there only when the venue itself says so: a wrong base URL or a
/// proxy answers 404 to everything.
fn absent(query: &Query, body: &[u8]) -> Result<Reply, VenueError> {
    let said = envelope(body).is_some_and(|error| error.code == UNKNOWN_ORDER);
    match query {
        Query::OrderById(_) if said => Ok(Reply::Order(None)),
        Query::Cancel(_) if said => Ok(Reply::NothingToCancel),
        _ => Err(unreadable(
            "status 404 for something else than an unknown order".to_owned(),
        )),
    }
}

fn read_reply(query: &Query, body: &[u8]) -> Result<Reply, VenueError> {
    Ok(match query {
        Query::Account => {
            let RawAccount { account, scopes } = parse(body)?;
            Reply::Account(Account { account, scopes })
        }
        Query::OpenOrders => {
            let RawOrders { orders, next } = parse(body)?;
            if next.is_some() {
                return Err(unreadable("not all open orders in one answer".to_owned()));
            }
            let orders = orders.into_iter().map(order);
            Reply::OpenOrders(orders.collect::<Result<_, _>>()?)
        }
        Query::OrderById(asked) => {
            let found = order(parse(body)?)?;
            if found.order_id != Some(*asked) {
                return Err(unreadable("the order is not the one asked for".to_owned()));
            }
            Reply::Order(Some(found))
        }
        Query::Cancel(_) => cancel_reply(&parse(body)?)?,
        Query::CancelAll => {
            // Any JSON object will do: what counts is what is open when it is read again.
            parse::<serde_json::Map<String, serde_json::Value>>(body)?;
            Reply::CancelAllAccepted
        }
        Query::Positions => {
            let positions = parse::<RawPositions>(body)?
                .positions
                .into_iter()
                .map(|raw| {
                    Ok(VenuePosition {
                        symbol: raw.symbol,
                        size: decimal("size", &raw.size)?,
                    })
                });
            Reply::Positions(positions.collect::<Result<_, VenueError>>()?)
        }
        Query::Fills { .. } => {
            let fills = parse::<RawFills>(body)?.fills.into_iter().map(fill);
            Reply::Fills(fills.collect::<Result<_, _>>()?)
        }
        Query::Markets => {
            let markets = parse::<RawMarkets>(body)?.markets.into_iter().map(market);
            Reply::Markets(markets.collect::<Result<_, _>>()?)
        }
        Query::Book(asked) => Reply::Book(quote(asked, &parse(body)?)?),
    })
}

fn cancel_reply(placed: &RawPlaced) -> Result<Reply, VenueError> {
    Ok(match venue_status(&placed.status)? {
        OrderStatus::Filled | OrderStatus::Rejected => Reply::NothingToCancel,
        _ => Reply::CancelAccepted,
    })
}

fn order(raw: RawOrder) -> Result<VenueOrder, VenueError> {
    let size = positive("quantity", &raw.quantity)?;
    let filled = decimal("filled", &raw.filled)?;
    if filled < Decimal::ZERO || filled > size {
        return Err(unreadable(
            "filled is not between 0 and quantity".to_owned(),
        ));
    }
    Ok(VenueOrder {
        venue_order_id: raw.order_id,
        order_id: raw.client_order_id.as_deref().and_then(OrderId::parse),
        symbol: raw.market_id,
        side: raw.side,
        price: positive("price", &raw.price)?,
        size,
        filled,
        status: venue_status(&raw.status)?,
        signer: raw.signer.filter(|text| text.len() <= SIGNER_CHARS_MAX),
    })
}

pub(super) fn fill(raw: RawFill) -> Result<VenueFill, VenueError> {
    let plain = (1..=128).contains(&raw.fill_id.len());
    if !plain || !raw.fill_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unreadable(
            "fill_id is not 1 to 128 visible characters".to_owned(),
        ));
    }
    let at = raw.at_ms.checked_mul(1_000).map(UnixMicros);
    Ok(VenueFill {
        cursor: raw.fill_id.clone(),
        fill_id: raw.fill_id,
        venue_order_id: raw.order_id,
        order_id: raw.client_order_id.as_deref().and_then(OrderId::parse),
        symbol: raw.symbol,
        side: raw.side,
        price: positive("price", &raw.price)?,
        size: positive("quantity", &raw.quantity)?,
        fee: decimal("fee", &raw.fee)?,
        at: at.ok_or_else(|| unreadable("at_ms is not an instant".to_owned()))?,
    })
}

fn market(raw: RawMarket) -> Result<Market, VenueError> {
    let least_notional = decimal("least_notional", &raw.least_notional)?;
    if least_notional < Decimal::ZERO {
        return Err(unreadable("least_notional is negative".to_owned()));
    }
    Ok(Market {
        symbol: raw.symbol,
        tick: positive("tick", &raw.tick)?,
        lot: positive("lot", &raw.lot)?,
        least_notional,
    })
}

/// A side that is empty stands at 0. What a crossed or empty book is good for is for the gate to say.
fn quote(asked: &Symbol, raw: &RawBook) -> Result<Quote, VenueError> {
    if raw.symbol != *asked {
        return Err(unreadable("the book is not the one asked for".to_owned()));
    }
    let best = |name: &str, side: &[(String, String)]| {
        let best = side.first().map(|(price, _)| positive(name, price));
        best.unwrap_or(Ok(Decimal::ZERO))
    };
    Ok(Quote {
        bid: best("bids", &raw.bids)?,
        ask: best("asks", &raw.asks)?,
    })
}

/// The statuses that an order can have at a venue; those of our own making are none of them.
fn venue_status(word: &str) -> Result<OrderStatus, VenueError> {
    let theirs = |status: &OrderStatus| match status {
        OrderStatus::Open
        | OrderStatus::PartiallyFilled
        | OrderStatus::Filled
        | OrderStatus::Cancelled
        | OrderStatus::Rejected => true,
        OrderStatus::Pending
        | OrderStatus::Discarded
        | OrderStatus::NotPlaced
        | OrderStatus::InDoubt => false,
    };
    let status = OrderStatus::parse(word).filter(theirs);
    status.ok_or_else(|| unreadable("status is none that an order can have there".to_owned()))
}

pub(super) fn positive(field: &str, text: &str) -> Result<Decimal, VenueError> {
    let value = decimal(field, text)?;
    if value <= Decimal::ZERO {
        return Err(unreadable(format!("{field} is not above zero")));
    }
    Ok(value)
}

fn decimal(field: &str, text: &str) -> Result<Decimal, VenueError> {
    let exact = Decimal::from_str_exact(text);
    exact.map_err(|_| unreadable(format!("{field} is not an exact decimal")))
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, VenueError> {
    serde_json::from_slice(body).map_err(|error| unreadable(kind(&error)))
}

/// Says where the JSON went wrong without repeating any of it.
fn kind(error: &serde_json::Error) -> String {
    let what = error.classify();
    format!(
        "{what:?} error at line {} column {}",
        error.line(),
        error.column()
    )
}

pub(super) fn unreadable(internal: String) -> VenueError {
    VenueError::Unreadable { internal }
}

fn envelope(body: &[u8]) -> Option<RawError> {
    let error = serde_json::from_slice::<Envelope>(body).ok()?.error;
    (!error.code.is_empty()).then_some(error)
}

fn rejected(code: &str, message: &str) -> OrderAnswer {
    let bounded = |text: &str, chars_max| -> String {
        text.chars()
            .filter(|char| !char.is_control())
            .take(chars_max)
            .collect()
    };
    OrderAnswer::Rejected {
        code: bounded(code, CODE_CHARS_MAX),
        message: bounded(message, MESSAGE_CHARS_MAX),
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
