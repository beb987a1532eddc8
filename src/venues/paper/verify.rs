//! Checks an order's own signature: EIP-712 typed data over secp256k1.
//!
//! Written apart from the signer, on purpose: it shares no code with it, so that a mistake there is
//! seen here. The typed data is the contract's, section 4.

use alloy_primitives::{Address, B256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey};
use thiserror::Error;

sol! {
    /// What a signer signs of an order.
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

/// Half of the order of secp256k1's group: the largest `s` that counts as low.
const LARGEST_LOW_S: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// The texts that an order's signature covers, in the form in which they are signed.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Symbol of the market.
    pub market: &'a str,
    /// `buy` or `sell`.
    pub side: &'a str,
    /// `limit`, `post_only` or `ioc`.
    pub order_type: &'a str,
    /// Canonical decimal.
    pub price: &'a str,
    /// Canonical decimal.
    pub size: &'a str,
    /// The sender's id of the order.
    pub order_id: &'a str,
    /// Latest instant of acceptance, Unix ms.
    pub expires_at_ms: u64,
}

/// Why a signature proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// It is not 65 bytes of hex.
    #[error("signature must be 65 bytes in hex: r, s and v")]
    Malformed,
    /// `v` is neither 27 nor 28.
    #[error("the last byte of signature, v, must be 27 or 28")]
    RecoveryByte,
    /// `s` is in the upper half, which would make a second valid signature of every first.
    #[error("s of signature must be in the lower half of the group's order")]
    HighS,
    /// No public key makes this signature.
    #[error("signature belongs to no key")]
    NoKey,
}

/// The domain of every order signature on one chain.
pub fn domain(chain_id: u64) -> Eip712Domain {
    eip712_domain! { name: "FlashGuard", version: "1", chain_id: chain_id, }
}

/// The EIP-712 hash of an order.
pub fn digest(domain: &Eip712Domain, signed: &Signed<'_>) -> B256 {
    let order = Order {
        market: signed.market.to_owned(),
        side: signed.side.to_owned(),
        orderType: signed.order_type.to_owned(),
        price: signed.price.to_owned(),
        size: signed.size.to_owned(),
        orderId: signed.order_id.to_owned(),
        expiresAtMs: signed.expires_at_ms,
    };
    order.eip712_signing_hash(domain)
}

/// Recovers the address whose key made a signature (hex of r, s, v, with or without `0x`).
///
/// # Errors
///
/// [`SignatureError`], by what is wrong with it.
pub fn recover(digest: B256, signature: &str) -> Result<Address, SignatureError> {
    let text = signature.strip_prefix("0x").unwrap_or(signature);
    let mut bytes = [0_u8; 65];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| SignatureError::Malformed)?;
    let (compact, v) = bytes.split_at(64);
    let recovery = match v {
        [27] => RecoveryId::Zero,
        [28] => RecoveryId::One,
        _ => return Err(SignatureError::RecoveryByte),
    };
    if compact
        .get(32..)
        .is_none_or(|s| s > LARGEST_LOW_S.as_slice())
    {
        return Err(SignatureError::HighS);
    }
    let parsed = RecoverableSignature::from_compact(compact, recovery);
    let parsed = parsed.map_err(|_| SignatureError::NoKey)?;
    let key = parsed
        .recover(Message::from_digest(digest.0))
        .map_err(|_| SignatureError::NoKey)?;
    Ok(address(&key))
}

/// The EVM address of a public key.
pub fn address(key: &PublicKey) -> Address {
    let uncompressed = key.serialize_uncompressed();
    let hash = alloy_primitives::keccak256(uncompressed.get(1..).unwrap_or_default());
    Address::from_word(hash)
}

#[cfg(test)]
mod tests {
    use super::super::signing_for_tests::{key, sign};
    use super::*;

    const ORDER: Signed<'_> = Signed {
        market: "SEI/USDC",
        side: "buy",
        order_type: "limit",
        price: "0.251",
        size: "100",
        order_id: "01935f5e-0000-7000-8000-000000000001",
        expires_at_ms: 1_795_519_533_123,
    };

    #[test]
    fn the_typed_data_is_the_contract_s() {
        let expected = "Order(string market,string side,string orderType,string price,string size,\
                        string orderId,uint64 expiresAtMs)";
        assert_eq!(Order::eip712_root_type(), expected);
        let domain = domain(1329);
        assert_eq!(
            domain.encode_type(),
            "EIP712Domain(string name,string version,uint256 chainId)"
        );
    }

    #[test]
    fn a_signature_names_its_signer_and_no_other_order() {
        let (secret, address) = key(7);
        let domain = domain(1329);
        let hash = digest(&domain, &ORDER);
        let signature = sign(&secret, hash);
        assert_eq!(recover(hash, &signature), Ok(address));
        let other = digest(
            &domain,
            &Signed {
                size: "101",
                ..ORDER
            },
        );
        assert_ne!(recover(other, &signature), Ok(address));
        let elsewhere = digest(&super::domain(1), &ORDER);
        assert_ne!(recover(elsewhere, &signature), Ok(address));
    }

    #[test]
    fn the_mirrored_signature_is_refused() {
        let (secret, _) = key(7);
        let hash = digest(&domain(1329), &ORDER);
        let signature = hex::decode(&sign(&secret, hash)[2..]).unwrap();
        let order = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
        let (order, mut mirrored) = (order.unwrap(), signature.clone());
        let mut borrow = 0_i16;
        for at in (0..32).rev() {
            let difference = i16::from(order[at]) - i16::from(signature[32 + at]) - borrow;
            borrow = i16::from(difference < 0);
            mirrored[32 + at] = difference.rem_euclid(256).to_le_bytes()[0];
        }
        mirrored[64] = if signature[64] == 27 { 28 } else { 27 };
        assert_eq!(
            recover(hash, &hex::encode(mirrored)),
            Err(SignatureError::HighS)
        );
    }

    #[test]
    fn each_wrong_shape_has_its_own_answer() {
        let hash = B256::ZERO;
        let with_v = |v: &str| format!("{}{v}", "11".repeat(64));
        assert_eq!(recover(hash, ""), Err(SignatureError::Malformed));
        assert_eq!(
            recover(hash, &"11".repeat(64)),
            Err(SignatureError::Malformed)
        );
        for v in ["00", "01", "1a", "1d"] {
            assert_eq!(recover(hash, &with_v(v)), Err(SignatureError::RecoveryByte));
        }
        assert_eq!(
            recover(hash, &format!("{}1b", "00".repeat(64))),
            Err(SignatureError::NoKey)
        );
    }

    // The expected values were computed by a wallet library: tests/vectors/eip712/README.md.
    #[test]
    fn what_a_wallet_library_signs_is_read_as_it_meant_it() {
        let file = include_str!("../../../tests/vectors/eip712/orders.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(file).unwrap();
        assert_eq!(vectors.len(), 48);
        for vector in vectors {
            let text = |field: &str| vector["order"][field].as_str().unwrap();
            let signed = Signed {
                market: text("market"),
                side: text("side"),
                order_type: text("orderType"),
                price: text("price"),
                size: text("size"),
                order_id: text("orderId"),
                expires_at_ms: text("expiresAtMs").parse().unwrap(),
            };
            let hash = digest(&domain(vector["chainId"].as_u64().unwrap()), &signed);
            assert_eq!(hash.to_string(), vector["digest"], "{vector}");
            let signer = recover(hash, vector["signature"].as_str().unwrap()).unwrap();
            assert_eq!(signer.to_string(), vector["signer"], "{vector}");
        }
    }

    mod properties {
        use proptest::prelude::*;

        use super::super::*;

        proptest! {
            #[test]
            fn no_text_is_too_strange(text in ".{0,140}", bytes in prop::collection::vec(any::<u8>(), 65)) {
                let _ = recover(B256::ZERO, &text);
                let _ = recover(B256::ZERO, &hex::encode(bytes));
            }
        }
    }
}
