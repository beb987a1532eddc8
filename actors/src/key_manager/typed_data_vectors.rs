//! Compares what is hashed and signed here with what a wallet library makes of the same orders
//! (`tests/vectors/eip712/README.md`). The expected values were not computed by this program.

use rust_decimal::Decimal;
use serde::Deserialize;

use super::sign_raw::sign_recoverable;
use super::typed_data::{OrderDomain, TypedOrder};
use crate::domain::clock::SystemEntropy;
use crate::domain::market::{Lots, Symbol, Ticks};
use crate::domain::order::{Order, OrderId};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    chain_id: u64,
    private_key: String,
    order: VectorOrder,
    digest: String,
    signature: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VectorOrder {
    market: String,
    side: String,
    order_type: String,
    price: String,
    size: String,
    order_id: String,
    expires_at_ms: String,
}

impl VectorOrder {
    fn order(&self) -> Order {
        let word = |text: &str| serde_json::Value::String(text.to_owned());
        Order {
            order_id: OrderId::parse(&self.order_id).unwrap(),
            symbol: Symbol::parse(&self.market).unwrap(),
            side: serde_json::from_value(word(&self.side)).unwrap(),
            order_type: serde_json::from_value(word(&self.order_type)).unwrap(),
            price_ticks: Ticks(1),
            price: Decimal::from_str_exact(&self.price).unwrap(),
            size_lots: Lots(1),
            size: Decimal::from_str_exact(&self.size).unwrap(),
            expires_at_ms: self.expires_at_ms.parse().unwrap(),
        }
    }
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap(), &mut bytes).unwrap();
    bytes
}

fn vectors() -> Vec<Vector> {
    let file = include_str!("../../../tests/vectors/eip712/orders.json");
    let vectors: Vec<Vector> = serde_json::from_str(file).unwrap();
    assert_eq!(vectors.len(), 48);
    vectors
}

#[test]
fn digests_are_those_of_a_wallet_library() {
    for (n, vector) in vectors().iter().enumerate() {
        let digest =
            OrderDomain::new(vector.chain_id).digest(&TypedOrder::of(&vector.order.order()));
        assert_eq!(digest, bytes(&vector.digest), "order {n}");
    }
}

#[test]
fn signatures_are_those_of_a_wallet_library_byte_by_byte() {
    for (n, vector) in vectors().iter().enumerate() {
        let (digest, key) = (bytes(&vector.digest), bytes(&vector.private_key));
        let signature = sign_recoverable(&digest, &key, &SystemEntropy).unwrap();
        assert_eq!(signature, bytes(&vector.signature), "order {n}");
    }
}

#[test]
fn zeros_at_the_end_of_a_decimal_do_not_change_the_digest() {
    for vector in vectors() {
        let mut order = vector.order.order();
        order.price.rescale(12);
        order.size.rescale(9);
        let digest = OrderDomain::new(vector.chain_id).digest(&TypedOrder::of(&order));
        assert_eq!(digest, bytes(&vector.digest));
    }
}
