//! What a request asks for: method, target and body read into one [`Call`], or a [`Problem`].
//!
//! Pure; takes any bytes. Routes are those of the contract, section 4, that exist: what is not here
//! is 404.

use serde::Deserialize;

use super::auth::Scope;
use super::market::{MARKETS, canonical, find};
use super::order::{OrderType, Side};

/// Largest body, in bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// Most entries in one page of orders or fills.
pub const PAGE_MAX: u32 = 1_000;

/// Longest id or symbol of the sender, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Latest instant that is taken as one: the end of the year 9999, Unix ms.
const INSTANT_MS_MAX: u64 = 253_402_300_799_999;

/// A request that is understood. Whether it may be done is decided later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `POST /orders`.
    Place(Box<OrderBody>),
    /// `DELETE /orders/{id}`, the venue's number.
    Cancel(u64),
    /// `DELETE /orders`.
    CancelAll,
    /// `GET /orders?status=open`.
    OpenOrders,
    /// `GET /orders?status=all&after=&limit=`: every order ever, in pages.
    AllOrders {
        /// Only numbers above this.
        after: u64,
        /// At most so many.
        limit: u32,
    },
    /// `GET /orders/by-client-id/{id}`.
    OrderByClientId(String),
    /// `GET /account`.
    Account,
    /// `GET /positions`.
    Positions,
    /// `GET /fills?since=&limit=`.
    Fills {
        /// Only ids above this.
        since: u64,
        /// At most so many.
        limit: u32,
    },
    /// `GET /markets`.
    Markets,
    /// `GET /markets/{symbol}/book`, the index of the market.
    Book(usize),
}

impl Call {
    /// The scopes of which one is needed.
    pub fn needs(&self) -> &'static [Scope] {
        match self {
            Self::Place(_) => &[Scope::Trade],
            Self::Cancel(_) | Self::CancelAll => &[Scope::Trade, Scope::Cancel, Scope::ManageKeys],
            Self::OpenOrders
            | Self::AllOrders { .. }
            | Self::OrderByClientId(_)
            | Self::Account
            | Self::Positions
            | Self::Fills { .. }
            | Self::Markets
            | Self::Book(_) => &[Scope::Read, Scope::Trade, Scope::Cancel, Scope::ManageKeys],
        }
    }
}

/// The body of an order, its words and decimals read, nothing else checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderBody {
    /// `market_id`.
    pub market: String,
    /// `side`.
    pub side: Side,
    /// `order_type`.
    pub kind: OrderType,
    /// `price`, canonical.
    pub price: String,
    /// `quantity`, canonical.
    pub quantity: String,
    /// `client_order_id`.
    pub client_order_id: String,
    /// `expires_at_ms`.
    pub expires_at_ms: u64,
    /// `signer`.
    pub signer: [u8; 20],
    /// `signature`, as sent.
    pub signature: String,
}

/// A refusal, as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// A word for machines.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl Problem {
    /// Makes one.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    fn bad(field: &str, should: &str) -> Self {
        Self::new(400, "BAD_REQUEST", format!("{field}: {should}"))
    }

    fn no_route() -> Self {
        Self::new(404, "NOT_FOUND", "no such route")
    }
}

/// Reads a request.
///
/// # Errors
///
/// [`Problem`]: 404 for what is no route, 405 for a method that the route lacks, 400 for a query or
/// body that cannot be read, naming the field.
pub fn read(method: &str, target: &str, body: &[u8]) -> Result<Call, Problem> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let segments = path.strip_prefix('/').ok_or_else(Problem::no_route)?;
    let segments = segments.split('/').map(decode).collect::<Option<Vec<_>>>();
    let segments = segments.ok_or_else(Problem::no_route)?;
    let segments = segments.iter().map(String::as_str).collect::<Vec<_>>();
    let call = match (method, segments.as_slice()) {
        ("POST", ["orders"]) => return no_query(query).and_then(|()| read_order(body)),
        ("GET", ["orders"]) => return read_orders_query(query),
        ("GET", ["fills"]) => return read_fills_query(query),
        ("DELETE", ["orders"]) => Call::CancelAll,
        ("DELETE", ["orders", id]) => Call::Cancel(order_number(id)?),
        ("GET", ["orders", "by-client-id", id]) => Call::OrderByClientId((*id).to_owned()),
        ("GET", ["account"]) => Call::Account,
        ("GET", ["positions"]) => Call::Positions,
        ("GET", ["markets"]) => Call::Markets,
        ("GET", ["markets", symbol, "book"]) => {
            let unknown = || {
                let known = MARKETS.each_ref().map(|market| market.symbol).join(", ");
                Problem::new(404, "UNKNOWN_MARKET", format!("markets are {known}"))
            };
            Call::Book(find(symbol).map(|(index, _)| index).ok_or_else(unknown)?)
        }
        (_, ["orders" | "fills" | "account" | "positions" | "markets"])
        | (_, ["orders", _] | ["orders", "by-client-id", _] | ["markets", _, "book"]) => {
            return Err(Problem::new(
                405,
                "METHOD_NOT_ALLOWED",
                "this route lacks that method",
            ));
        }
        _ => return Err(Problem::no_route()),
    };
    no_query(query).map(|()| call)
}

/// The text of an order's number, as the venue gives it out.
pub fn order_id(number: u64) -> String {
    format!("P{number}")
}

fn order_number(id: &str) -> Result<u64, Problem> {
    let digits = id.strip_prefix('P').filter(|digits| {
        (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let unknown = || Problem::new(404, "UNKNOWN_ORDER", "the account has no such order");
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(unknown)
}

fn read_orders_query(query: &str) -> Result<Call, Problem> {
    let [status, after, limit] = parameters(query, ["status", "after", "limit"])?;
    match status.as_deref() {
        Some("open") if after.is_none() && limit.is_none() => Ok(Call::OpenOrders),
        Some("open") => Err(Problem::bad("after, limit", "only with status=all")),
        Some("all") => Ok(Call::AllOrders {
            after: whole("after", after)?.unwrap_or(0),
            limit: page(limit)?,
        }),
        _ => Err(Problem::bad("status", "must be open or all")),
    }
}

fn read_fills_query(query: &str) -> Result<Call, Problem> {
    let [since, limit] = parameters(query, ["since", "limit"])?;
    Ok(Call::Fills {
        since: whole("since", since)?.unwrap_or(0),
        limit: page(limit)?,
    })
}

/// Reads the query of a page of the simulator's record: `after` (0) and `limit`.
///
/// # Errors
///
/// [`Problem`], 400, naming the parameter.
pub fn read_page(query: &str) -> Result<(u64, u32), Problem> {
    let [after, limit] = parameters(query, ["after", "limit"])?;
    Ok((whole("after", after)?.unwrap_or(0), page(limit)?))
}

fn no_query(query: &str) -> Result<(), Problem> {
    parameters(query, []).map(|[]| ())
}

/// Reads the named parameters of a query; any other, or one given twice, is refused.
fn parameters<const N: usize>(
    query: &str,
    names: [&str; N],
) -> Result<[Option<String>; N], Problem> {
    let mut values = [const { None }; N];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = names.iter().position(|known| *known == name);
        let place = place.and_then(|index| values.get_mut(index));
        let place = place.ok_or_else(|| Problem::bad("query", "unknown parameter"))?;
        if place.is_some() {
            return Err(Problem::bad("query", "a parameter is given twice"));
        }
        let value = decode(value).ok_or_else(|| Problem::bad("query", "bad percent-encoding"))?;
        *place = Some(value);
    }
    Ok(values)
}

fn page(text: Option<String>) -> Result<u32, Problem> {
    let asked = whole("limit", text)?.and_then(|limit| u32::try_from(limit).ok());
    Ok(asked.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX))
}

fn whole(name: &str, text: Option<String>) -> Result<Option<u64>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let plain = text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| plain);
    number
        .map(Some)
        .ok_or_else(|| Problem::bad(name, "must be a whole number"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOrder {
    market_id: String,
    side: String,
    order_type: String,
    price: String,
    quantity: String,
    client_order_id: String,
    expires_at_ms: u64,
    signer: String,
    signature: String,
}

fn read_order(body: &[u8]) -> Result<Call, Problem> {
    let raw: RawOrder = serde_json::from_slice(body)
        .map_err(|error| Problem::new(400, "BAD_REQUEST", format!("body: {error}")))?;
    let amount = |field: &str, text: &str| {
        canonical(text).map_err(|error| Problem::bad(field, &error.to_string()))
    };
    let symbol_chars = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if !named(&raw.market_id, symbol_chars) {
        return Err(Problem::bad(
            "market_id",
            "must be a symbol such as SEI/USDC",
        ));
    }
    let id_chars = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if !named(&raw.client_order_id, id_chars) {
        return Err(Problem::bad(
            "client_order_id",
            "must be 1 to 64 of A-Za-z0-9._:-",
        ));
    }
    if raw.expires_at_ms > INSTANT_MS_MAX {
        return Err(Problem::bad("expires_at_ms", "must be Unix milliseconds"));
    }
    if raw.signature.len() > 132 {
        return Err(Problem::bad("signature", "must be 65 bytes in hex"));
    }
    let mut signer = [0; 20];
    let signer_text = raw.signer.strip_prefix("0x").unwrap_or(&raw.signer);
    hex::decode_to_slice(signer_text, &mut signer)
        .map_err(|_| Problem::bad("signer", "must be an address: 0x and 40 hex digits"))?;
    Ok(Call::Place(Box::new(OrderBody {
        side: Side::from_word(&raw.side)
            .ok_or_else(|| Problem::bad("side", "must be buy or sell"))?,
        kind: OrderType::from_word(&raw.order_type)
            .ok_or_else(|| Problem::bad("order_type", "must be limit, post_only or ioc"))?,
        price: amount("price", &raw.price)?,
        quantity: amount("quantity", &raw.quantity)?,
        market: raw.market_id,
        client_order_id: raw.client_order_id,
        expires_at_ms: raw.expires_at_ms,
        signer,
        signature: raw.signature,
    })))
}

fn named(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// Undoes percent-encoding; `None` when it is broken or does not give UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let mut value = [0];
            hex::decode_to_slice(digits, &mut value).ok()?;
            decoded.extend(value);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, target: &str, body: &[u8]) -> (u16, String) {
        let problem = read(method, target, body).unwrap_err();
        (problem.status, problem.message)
    }

    const ORDER: &str = r#"{"market_id":"SEI/USDC","side":"buy","order_type":"limit","price":"0.2510",
        "quantity":"100.0","client_order_id":"c-1","expires_at_ms":5,
        "signer":"0x00000000000000000000000000000000000000aA","signature":"0x00"}"#;

    #[test]
    fn each_route_is_read() {
        let cases = [
            ("DELETE", "/orders", Call::CancelAll),
            ("DELETE", "/orders/P12", Call::Cancel(12)),
            ("GET", "/orders?status=open", Call::OpenOrders),
            (
                "GET",
                "/orders?status=all",
                Call::AllOrders {
                    after: 0,
                    limit: PAGE_MAX,
                },
            ),
            (
                "GET",
                "/orders?limit=2&after=7&status=all",
                Call::AllOrders { after: 7, limit: 2 },
            ),
            (
                "GET",
                "/orders/by-client-id/a%3Ab",
                Call::OrderByClientId("a:b".into()),
            ),
            ("GET", "/account", Call::Account),
            ("GET", "/positions", Call::Positions),
            (
                "GET",
                "/fills?since=",
                Call::Fills {
                    since: 0,
                    limit: PAGE_MAX,
                },
            ),
            (
                "GET",
                "/fills?since=9&limit=5000",
                Call::Fills {
                    since: 9,
                    limit: PAGE_MAX,
                },
            ),
            ("GET", "/markets", Call::Markets),
            ("GET", "/markets/SEI%2FUSDC/book", Call::Book(0)),
            ("GET", "/markets/ETH%2fUSDC/book", Call::Book(1)),
        ];
        for (method, target, call) in cases {
            assert_eq!(read(method, target, b""), Ok(call), "{method} {target}");
        }
    }

    #[test]
    fn an_order_is_read_with_its_decimals_canonical() {
        let Ok(Call::Place(order)) = read("POST", "/orders", ORDER.as_bytes()) else {
            panic!("not read")
        };
        assert_eq!(
            (order.price.as_str(), order.quantity.as_str()),
            ("0.251", "100")
        );
        assert_eq!(order.signer[19], 0xaa);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let replaced = [
            ("\"buy\"", "\"BUY\"", "side: must be buy or sell"),
            (
                "\"limit\"",
                "\"market\"",
                "order_type: must be limit, post_only or ioc",
            ),
            (
                "\"0.2510\"",
                "\"1e5\"",
                "price: is not a plain decimal such as 12.5",
            ),
            (
                "\"c-1\"",
                "\"c 1\"",
                "client_order_id: must be 1 to 64 of A-Za-z0-9._:-",
            ),
            (
                "\"c-1\"",
                "\"\"",
                "client_order_id: must be 1 to 64 of A-Za-z0-9._:-",
            ),
            (
                "\"0x00000000000000000000000000000000000000aA\"",
                "\"0x00\"",
                "signer: must be",
            ),
            ("\"quantity\"", "\"size\"", "body: unknown field `size`"),
            (
                "\"side\":\"buy\"",
                "\"side\":\"buy\",\"side\":\"buy\"",
                "body: duplicate field `side`",
            ),
            ("\"0.2510\"", "0.251", "body: invalid type: floating point"),
            (
                "\"expires_at_ms\":5",
                "\"expires_at_ms\":-5",
                "body: invalid value",
            ),
            (
                "\"expires_at_ms\":5",
                "\"expires_at_ms\":253402300800000",
                "expires_at_ms: must be",
            ),
        ];
        for (from, to, starts) in replaced {
            let (status, message) = status("POST", "/orders", ORDER.replace(from, to).as_bytes());
            assert_eq!(status, 400);
            assert!(
                message.starts_with(starts),
                "{message:?} instead of {starts:?}"
            );
        }
    }

    #[test]
    fn what_is_no_route_is_404_and_a_wrong_method_405() {
        for target in [
            "",
            "/",
            "/ws",
            "/api-keys",
            "/dead-man",
            "/orders/",
            "/markets/BTC%2FUSDC/book",
        ] {
            assert_eq!(
                status("GET", target, b"").0,
                if target == "/orders/" { 405 } else { 404 }
            );
        }
        assert_eq!(status("POST", "/dead-man", b"{}").0, 404);
        assert_eq!(status("DELETE", "/orders/12", b"").0, 404);
        assert_eq!(status("PUT", "/orders", b"").0, 405);
    }

    #[test]
    fn an_unknown_or_doubled_parameter_is_refused() {
        for target in [
            "/orders",
            "/orders?status=closed",
            "/orders?status=open&status=open",
            "/account?x=1",
            "/fills?since=-1",
            "/fills?since=9999999999999999999",
            "/fills?from=1",
            "/fills?since=%",
        ] {
            assert_eq!(status("GET", target, b"").0, 400, "{target}");
        }
    }

    mod properties {
        use proptest::prelude::*;

        use super::super::*;

        proptest! {
            #[test]
            fn any_request_is_read_or_refused(
                method in "GET|POST|DELETE|[A-Z]{0,8}",
                target in "(/orders|/fills|/markets|/orders/by-client-id)?.{0,40}",
                body in prop::collection::vec(any::<u8>(), 0..300),
            ) {
                let _ = read(&method, &target, &body);
            }

            #[test]
            fn any_fields_of_an_order_are_read_or_refused(
                texts in prop::collection::vec(".{0,80}", 8), expires in any::<u64>(),
            ) {
                let body = serde_json::json!({
                    "market_id": texts[0], "side": texts[1], "order_type": texts[2], "price": texts[3],
                    "quantity": texts[4], "client_order_id": texts[5], "expires_at_ms": expires,
                    "signer": texts[6], "signature": texts[7],
                });
                let _ = read("POST", "/orders", body.to_string().as_bytes());
            }
        }
    }
}
