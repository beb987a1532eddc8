//! What exactly is signed: the order as EIP-712 typed data, so that any wallet library can check it.
//!
//! Domain `{name: "FlashGuard", version: "1", chainId}`; the type's fields and their order are the
//! contract's. Prices and sizes are decimals without trailing zeros. Before a signature leaves, the
//! fields that were hashed are read back and compared with the order that was admitted (the gate's
//! *last hop*): a fault between the two signs nothing.

use alloy_primitives::{B256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use rust_decimal::Decimal;
use serde_json::json;

use crate::domain::order::{Order, OrderId};

#[allow(
    missing_docs,
    reason = "generated from the Solidity type, which the contract explains"
)]
mod eip712 {
    alloy_sol_types::sol! {
        struct Order {
            string market;
            string side;
            string orderType;
            string price;
            string size;
            string orderId;
            uint64 expiresAtMs;
        }
    }
}

const NAME: &str = "FlashGuard";
const VERSION: &str = "1";
/// The order's fields with their types, as the contract has them.
const FIELDS: [(&str, &str); 7] = [
    ("market", "string"),
    ("side", "string"),
    ("orderType", "string"),
    ("price", "string"),
    ("size", "string"),
    ("orderId", "string"),
    ("expiresAtMs", "uint64"),
];

/// Chain of the signatures when `venue.chain_id` says nothing else: Sei.
pub const CHAIN_ID_DEFAULT: u64 = 1329;

/// The parts of a digest that are the same for every order of one chain.
#[derive(Debug, Clone)]
pub struct OrderDomain {
    chain_id: u64,
    separator: B256,
    type_hash: B256,
}

impl OrderDomain {
    /// The domain of `chain_id` (`venue.chain_id`).
    pub fn new(chain_id: u64) -> Self {
        Self {
            chain_id,
            separator: domain(chain_id).separator(),
            type_hash: keccak256(eip712::Order::eip712_encode_type().as_bytes()),
        }
    }

    /// The hash that is signed: `keccak256(0x19 0x01 ‖ domain separator ‖ hash of the order)`.
    pub fn digest(&self, typed: &TypedOrder) -> [u8; 32] {
        let mut order = alloy_primitives::Keccak256::new();
        order.update(self.type_hash);
        order.update(typed.0.eip712_encode_data());
        let mut whole = alloy_primitives::Keccak256::new();
        whole.update([0x19, 0x01]);
        whole.update(self.separator);
        whole.update(order.finalize());
        whole.finalize().0
    }

    /// The typed data and its digest.
    pub fn preimage(&self, typed: &TypedOrder) -> Preimage {
        let order = &typed.0;
        let field = |(name, kind): (&str, &str)| json!({"name": name, "type": kind});
        let domain = [
            ("name", "string"),
            ("version", "string"),
            ("chainId", "uint256"),
        ];
        let typed_data = json!({
            "types": {
                "EIP712Domain": domain.map(field),
                "Order": FIELDS.map(field),
            },
            "primaryType": "Order",
            "domain": {"name": NAME, "version": VERSION, "chainId": self.chain_id},
            "message": {
                "market": order.market,
                "side": order.side,
                "orderType": order.orderType,
                "price": order.price,
                "size": order.size,
                "orderId": order.orderId,
                "expiresAtMs": order.expiresAtMs,
            },
        });
        Preimage {
            typed_data,
            digest: alloy_primitives::hex::encode_prefixed(self.digest(typed)),
        }
    }
}

fn domain(chain_id: u64) -> Eip712Domain {
    alloy_sol_types::eip712_domain! {
        name: NAME,
        version: VERSION,
        chain_id: chain_id,
    }
}

/// What is signed, readable: any wallet library makes the digest of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preimage {
    /// The EIP-712 typed data: `types`, `primaryType`, `domain`, `message`.
    pub typed_data: serde_json::Value,
    /// Its hash, 0x-prefixed lower-case hex.
    pub digest: String,
}

/// An order as it is hashed.
pub struct TypedOrder(eip712::Order);

/// The fields that would be signed are not the order that was admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what would be signed differs from what was admitted in {field}")]
pub struct LastHopMismatch {
    /// The first field that differs.
    pub field: &'static str,
}

impl TypedOrder {
    /// `order` in the words of the typed data.
    pub fn of(order: &Order) -> Self {
        Self(eip712::Order {
            market: order.symbol.as_str().to_owned(),
            side: order.side.as_str().to_owned(),
            orderType: order.order_type.as_str().to_owned(),
            price: plain(order.price),
            size: plain(order.size),
            orderId: order.order_id.to_string(),
            expiresAtMs: order.expires_at_ms,
        })
    }

    /// Reads the fields back and compares them with `order`, the admitted one.
    ///
    /// # Errors
    ///
    /// [`LastHopMismatch`] names the first field that differs or cannot be read.
    pub fn must_be(&self, order: &Order) -> Result<(), LastHopMismatch> {
        let said = &self.0;
        let decimal = |text: &str| Decimal::from_str_exact(text).ok();
        let checks = [
            ("market", said.market == order.symbol.as_str()),
            ("side", said.side == order.side.as_str()),
            ("orderType", said.orderType == order.order_type.as_str()),
            ("price", decimal(&said.price) == Some(order.price)),
            ("size", decimal(&said.size) == Some(order.size)),
            (
                "orderId",
                OrderId::parse(&said.orderId) == Some(order.order_id),
            ),
            ("expiresAtMs", said.expiresAtMs == order.expires_at_ms),
        ];
        match checks.into_iter().find(|(_, same)| !same) {
            Some((field, _)) => Err(LastHopMismatch { field }),
            None => Ok(()),
        }
    }
}

/// A decimal without trailing zeros and without an exponent.
fn plain(value: Decimal) -> String {
    value.normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::market::{Lots, Symbol, Ticks};
    use crate::domain::order::{OrderType, Side};
    use uuid::Uuid;

    fn order() -> Order {
        Order {
            order_id: OrderId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
            symbol: Symbol::parse("SEI/USDC").unwrap(),
            side: Side::Buy,
            order_type: OrderType::Limit,
            price_ticks: Ticks(2500),
            price: Decimal::from_str_exact("0.2500").unwrap(),
            size_lots: Lots(100),
            size: Decimal::from_str_exact("100").unwrap(),
            expires_at_ms: 1_795_519_533_123,
        }
    }

    #[test]
    fn the_cached_parts_change_nothing() {
        for chain_id in [1, CHAIN_ID_DEFAULT, u64::MAX] {
            let typed = TypedOrder::of(&order());
            let whole = typed.0.eip712_signing_hash(&domain(chain_id));
            assert_eq!(OrderDomain::new(chain_id).digest(&typed), whole.0);
        }
    }

    #[test]
    fn the_type_is_the_contracts() {
        assert_eq!(
            eip712::Order::eip712_encode_type(),
            "Order(string market,string side,string orderType,string price,string size,\
             string orderId,uint64 expiresAtMs)"
        );
        let fields: Vec<_> = FIELDS
            .iter()
            .map(|(name, kind)| format!("{kind} {name}"))
            .collect();
        assert_eq!(
            eip712::Order::eip712_encode_type(),
            format!("Order({})", fields.join(","))
        );
    }

    #[test]
    fn the_preimage_says_every_field_and_has_the_digest_that_is_signed() {
        let (domain, typed) = (OrderDomain::new(7), TypedOrder::of(&order()));
        let Preimage { typed_data, digest } = domain.preimage(&typed);
        assert_eq!(digest, format!("0x{}", hex::encode(domain.digest(&typed))));
        assert_eq!(typed_data["domain"]["chainId"], 7);
        let message = typed_data["message"].as_object().unwrap();
        assert_eq!(message.len(), FIELDS.len());
        for (name, _) in FIELDS {
            assert!(!message[name].is_null(), "{name}");
        }
        assert_eq!(
            (&message["price"], &message["size"]),
            (&"0.25".into(), &"100".into())
        );
    }

    #[test]
    fn decimals_have_no_trailing_zeros_and_no_exponent() {
        for (written, said) in [
            ("0.2500", "0.25"),
            ("100", "100"),
            ("100.000", "100"),
            ("2500.01", "2500.01"),
            (
                "0.0000000000000000000000000001",
                "0.0000000000000000000000000001",
            ),
        ] {
            assert_eq!(plain(Decimal::from_str_exact(written).unwrap()), said);
        }
    }

    #[test]
    fn every_field_is_hashed_and_read_back() {
        let one = order();
        let mut others = vec![one.clone(); 7];
        others[0].symbol = Symbol::parse("ETH/USDC").unwrap();
        others[1].side = Side::Sell;
        others[2].order_type = OrderType::Ioc;
        others[3].price = Decimal::from_str_exact("0.2501").unwrap();
        others[4].size = Decimal::from_str_exact("101").unwrap();
        others[5].order_id = OrderId(Uuid::from_u128(2));
        others[6].expires_at_ms += 1;
        let fields = [
            "market",
            "side",
            "orderType",
            "price",
            "size",
            "orderId",
            "expiresAtMs",
        ];
        let domain = OrderDomain::new(CHAIN_ID_DEFAULT);
        let typed = TypedOrder::of(&one);
        assert_eq!(typed.must_be(&one), Ok(()));
        for (other, field) in others.iter().zip(fields) {
            assert_ne!(
                domain.digest(&TypedOrder::of(other)),
                domain.digest(&typed),
                "{field}"
            );
            assert_eq!(typed.must_be(other), Err(LastHopMismatch { field }));
        }
    }
}
