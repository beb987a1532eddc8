//! The generic HTTP adapter: the venue protocol of the contract (section 4) as pure functions.
//!
//! Frames requests, with their HMAC, and reads answers. Opens no connection, holds no secret, knows
//! no time. The protocol is this project's own: the paper venue and the simulator speak it; for a
//! real venue another adapter stands beside this one.

mod answers;
mod feed;

use std::fmt::Write;

use bytes::Bytes;
use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::domain::order::Order;
use flashguard_actors::ports::venue::{
    Capabilities, CredentialView, FeedMessage, Framed, Framing, OrderAnswer, OrderSignature, Query,
    Reply, VenueError,
};
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde::Serialize;
use sha2::Sha256;

/// The adapter. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAdapter {
    /// Name under which it was chosen.
    name: &'static str,
    /// What every target begins with: empty, or `/` and more without a slash at its end.
    base_path: String,
}

impl HttpAdapter {
    /// Makes the adapter for a venue below `base_path` (`Endpoint::base_path`); `name` is that of
    /// `venue.adapter`, `http` or `paper`.
    pub fn new(name: &'static str, base_path: &str) -> Self {
        Self {
            name,
            base_path: base_path.to_owned(),
        }
    }

    fn framed(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        credential: &CredentialView<'_>,
        now: UnixMicros,
    ) -> Framed {
        let target = format!("{}{path}", self.base_path);
        let timestamp = now.as_millis().to_string();
        let signature = request_signature(credential.secret, &timestamp, &method, &target, &body);
        let mut headers = vec![
            ("x-api-key", credential.api_key.to_owned()),
            ("x-timestamp", timestamp),
            ("x-signature", signature),
        ];
        if !body.is_empty() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        Framed {
            method,
            target,
            headers,
            body,
        }
    }
}

impl Framing for HttpAdapter {
    fn name(&self) -> &'static str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            acceptance_expiry: true,
            lookup_by_our_id: true,
            cancel_all: true,
            feed: true,
        }
    }

    fn order(
        &self,
        order: &Order,
        signature: &OrderSignature,
        credential: &CredentialView<'_>,
        now: UnixMicros,
    ) -> Framed {
        let body = OrderBody {
            market_id: order.symbol.as_str(),
            side: order.side.as_str(),
            order_type: order.order_type.as_str(),
            price: order.price.normalize().to_string(),
            quantity: order.size.normalize().to_string(),
            client_order_id: order.order_id.to_string(),
            expires_at_ms: order.expires_at_ms,
            signer: &signature.signer,
            signature: &signature.signature,
        };
        #[expect(clippy::expect_used, reason = "texts and one number always serialise")]
        let body = serde_json::to_vec(&body).expect("an order serialises");
        self.framed(Method::POST, "/orders", body.into(), credential, now)
    }

    fn read_order_answer(&self, status: u16, body: &[u8]) -> OrderAnswer {
        answers::order_answer(status, body)
    }

    fn query(&self, query: &Query, credential: &CredentialView<'_>, now: UnixMicros) -> Framed {
        let (method, path) = match query {
            Query::Account => (Method::GET, "/account".to_owned()),
            Query::OpenOrders => (Method::GET, "/orders?status=open".to_owned()),
            Query::OrderById(id) => (Method::GET, format!("/orders/by-client-id/{id}")),
            Query::Cancel(id) => (Method::DELETE, format!("/orders/{}", encoded(id.as_str()))),
            Query::CancelAll => (Method::DELETE, "/orders".to_owned()),
            Query::Positions => (Method::GET, "/positions".to_owned()),
            Query::Fills { since: None } => (Method::GET, "/fills".to_owned()),
            Query::Fills { since: Some(since) } => {
                (Method::GET, format!("/fills?since={}", encoded(since)))
            }
            Query::Markets => (Method::GET, "/markets".to_owned()),
            Query::Book(symbol) => (
                Method::GET,
                format!("/markets/{}/book", encoded(symbol.as_str())),
            ),
        };
        self.framed(method, &path, Bytes::new(), credential, now)
    }

    fn read(&self, query: &Query, status: u16, body: &[u8]) -> Result<Reply, VenueError> {
        answers::reply(query, status, body)
    }

    fn feed(&self, credential: &CredentialView<'_>, now: UnixMicros) -> Option<Framed> {
        Some(self.framed(Method::GET, "/ws", Bytes::new(), credential, now))
    }

    fn read_feed(&self, text: &str) -> Result<FeedMessage, VenueError> {
        feed::message(text)
    }
}

/// The body of `POST /orders`. Decimals are canonical, as they are signed.
#[derive(Serialize)]
struct OrderBody<'a> {
    market_id: &'a str,
    side: &'a str,
    order_type: &'a str,
    price: String,
    quantity: String,
    client_order_id: String,
    expires_at_ms: u64,
    signer: &'a str,
    signature: &'a str,
}

/// Hex HMAC-SHA256 under the secret of timestamp, method, target as sent, and body.
fn request_signature(
    secret: &[u8],
    timestamp: &str,
    method: &Method,
    target: &str,
    body: &[u8],
) -> String {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes keys of every length (RFC 2104)"
    )]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes any key");
    mac.update(timestamp.as_bytes());
    mac.update(method.as_str().as_bytes());
    mac.update(target.as_bytes());
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Percent-encodes everything but letters, digits, `-`, `_` and `~`. The dot too, though RFC 3986
/// leaves it as it is.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a text cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use flashguard_actors::domain::market::{Lots, Symbol, Ticks};
    use flashguard_actors::domain::order::{OrderId, OrderType, Side, VenueOrderId};
    use rust_decimal::Decimal;

    use super::*;

    const CREDENTIAL: CredentialView<'_> = CredentialView {
        api_key: "k",
        secret: b"Jefe",
    };
    const NOW: UnixMicros = UnixMicros(1_795_519_533_123_456);

    fn header<'a>(framed: &'a Framed, name: &str) -> &'a str {
        &framed
            .headers
            .iter()
            .find(|(header, _)| *header == name)
            .unwrap()
            .1
    }

    #[test]
    fn a_request_signature_is_hmac_sha256_as_in_rfc_4231_case_2() {
        // The parts join to "what do ya want for nothing?".
        let method = Method::from_bytes(b"want").unwrap();
        let signature = request_signature(b"Jefe", "what do ya ", &method, " for nothing", b"?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature, expected);
    }

    #[test]
    fn an_order_is_framed_as_the_contract_has_it() {
        let d = |text| Decimal::from_str_exact(text).unwrap();
        let order = Order {
            order_id: OrderId::parse("01935f5e-0000-7000-8000-000000000001").unwrap(),
            symbol: Symbol::parse("SEI/USDC").unwrap(),
            side: Side::Sell,
            order_type: OrderType::PostOnly,
            price_ticks: Ticks(2510),
            price: d("0.2510"),
            size_lots: Lots(100),
            size: d("100.0"),
            expires_at_ms: 1_795_519_538_123,
        };
        let signature = OrderSignature {
            digest: "0x00".into(),
            signature: "0x1b".into(),
            signer: "0xAb".into(),
        };
        let framed = HttpAdapter::new("http", "/v1").order(&order, &signature, &CREDENTIAL, NOW);
        assert_eq!(
            (framed.method.as_str(), framed.target.as_str()),
            ("POST", "/v1/orders")
        );
        let body = r#"{"market_id":"SEI/USDC","side":"sell","order_type":"post_only","price":"0.251","quantity":"100","client_order_id":"01935f5e-0000-7000-8000-000000000001","expires_at_ms":1795519538123,"signer":"0xAb","signature":"0x1b"}"#;
        assert_eq!(framed.body, body);
        assert_eq!(header(&framed, "x-timestamp"), "1795519533123");
        let mac = request_signature(
            b"Jefe",
            "1795519533123",
            &Method::POST,
            "/v1/orders",
            body.as_bytes(),
        );
        assert_eq!(header(&framed, "x-signature"), mac);
    }

    #[test]
    fn each_question_has_its_route_and_ids_cannot_leave_their_segment() {
        let id = OrderId::parse("01935f5e-0000-7000-8000-000000000001").unwrap();
        let venue_id = |text: &str| VenueOrderId::try_from(text.to_owned()).unwrap();
        let symbol = Symbol::parse("SEI/USDC").unwrap();
        let cases = [
            (Query::Account, "GET /account"),
            (Query::OpenOrders, "GET /orders?status=open"),
            (
                Query::OrderById(id),
                "GET /orders/by-client-id/01935f5e-0000-7000-8000-000000000001",
            ),
            (Query::Cancel(venue_id("P-1")), "DELETE /orders/P-1"),
            (
                Query::Cancel(venue_id("../a?b=c")),
                "DELETE /orders/%2E%2E%2Fa%3Fb%3Dc",
            ),
            (Query::CancelAll, "DELETE /orders"),
            (Query::Positions, "GET /positions"),
            (Query::Fills { since: None }, "GET /fills"),
            (
                Query::Fills {
                    since: Some("7&x".into()),
                },
                "GET /fills?since=7%26x",
            ),
            (Query::Markets, "GET /markets"),
            (Query::Book(symbol), "GET /markets/SEI%2FUSDC/book"),
        ];
        for (query, expected) in cases {
            let framed = HttpAdapter::new("http", "").query(&query, &CREDENTIAL, NOW);
            assert_eq!(format!("{} {}", framed.method, framed.target), expected);
            assert!(framed.body.is_empty());
        }
    }
}
