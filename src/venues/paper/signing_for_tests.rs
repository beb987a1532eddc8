//! Signs orders as a wallet does, for tests.

use alloy_primitives::{Address, B256};
use flashguard_actors::domain::order::Order;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};

use super::verify::{Signed, address, digest, domain};

/// The key whose bytes are all `byte`, and its address.
pub fn key(byte: u8) -> (SecretKey, Address) {
    let secret = SecretKey::from_secret_bytes([byte; 32]).unwrap();
    (secret, address(&PublicKey::from_secret_key(&secret)))
}

/// The signature over a digest: r, s and v in hex.
pub fn sign(secret: &SecretKey, digest: B256) -> String {
    let message = Message::from_digest(digest.0);
    let signature = RecoverableSignature::sign_ecdsa_recoverable(message, secret);
    let (recovery, compact) = signature.serialize_compact();
    format!("0x{}{:02x}", hex::encode(compact), 27 + recovery.to_u8())
}

/// Digest and signature of an order on chain 1329.
pub fn sign_order(secret: &SecretKey, order: &Order) -> (String, String) {
    let signed = Signed {
        market: order.symbol.as_str(),
        side: order.side.as_str(),
        order_type: order.order_type.as_str(),
        price: &order.price.normalize().to_string(),
        size: &order.size.normalize().to_string(),
        order_id: &order.order_id.to_string(),
        expires_at_ms: order.expires_at_ms,
    };
    let hash = digest(&domain(1329), &signed);
    (hash.to_string(), sign(secret, hash))
}
