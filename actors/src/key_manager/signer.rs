//! Signing: from an order whose intent is durable to the complete request that may leave.
//!
//! The keys in use are published as one snapshot; a signature reads it once, so an order is signed
//! and framed with keys of one moment. Nothing here waits, and no secret leaves: what comes out is
//! the framed request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use crate::domain::clock::{SharedEntropy, UnixMicros};
use crate::domain::order::Order;
use crate::gate::{KeyUse, Recorded};
use crate::ports::venue::{Framed, Framing, OrderSignature, Query, Signed};

use super::hot_keys::{HotKeys, Identity};
use super::sign_raw::RawSignError;
use super::typed_data::{LastHopMismatch, OrderDomain, Preimage, TypedOrder};

/// Why an order was not signed. Nothing of it left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A fault of this program: the fields to be signed are not the admitted order.
    #[error(transparent)]
    LastHop(#[from] LastHopMismatch),
    /// The signature could not be made.
    #[error("the order could not be signed")]
    Signature(#[from] RawSignError),
}

/// The key manager: signs what was recorded, frames what is asked.
///
/// ```compile_fail,E0277
/// fn show(keys: &flashguard_actors::key_manager::KeyManager) { let _ = format!("{keys:?}"); }
/// ```
///
/// An order that was only admitted, or never was, is not signed:
/// ```compile_fail,E0308
/// use flashguard_actors::{domain::{clock::UnixMicros, order::Order}, key_manager::KeyManager, ports::venue::Framing};
/// fn forge(keys: &KeyManager, order: &Order, framing: &dyn Framing) {
///     let _ = keys.sign(order, framing, UnixMicros(0));
/// }
/// ```
pub struct KeyManager {
    hot: ArcSwap<HotKeys>,
    domain: OrderDomain,
    entropy: SharedEntropy,
    credential_refused: AtomicBool,
}

impl KeyManager {
    /// A key manager that signs with `keys` for the chain `chain_id` (`venue.chain_id`).
    pub fn new(keys: HotKeys, chain_id: u64, entropy: SharedEntropy) -> Self {
        Self {
            hot: ArcSwap::from_pointee(keys),
            domain: OrderDomain::new(chain_id),
            entropy,
            credential_refused: AtomicBool::new(false),
        }
    }

    /// What everybody may know of the keys in use.
    pub fn identity(&self) -> Arc<Identity> {
        self.hot.load().identity.clone()
    }

    /// Whether an order could be signed and would be accepted. The signing key is at hand as long as
    /// there is a key manager; of the credential the venue's last word counts.
    pub fn for_orders(&self) -> KeyUse {
        if self.credential_refused.load(Ordering::Relaxed) {
            return KeyUse::Unusable {
                key: HotKeys::VENUE,
                why: "the venue rejects the credential",
            };
        }
        KeyUse::Usable
    }

    /// The venue answered a call made with the credential: it accepts it, or not.
    pub fn credential_answered(&self, accepted: bool) {
        self.credential_refused.store(!accepted, Ordering::Relaxed);
    }

    /// What would be signed for `order`: the digest and the message as EIP-712 typed data. Signs
    /// nothing.
    pub fn preimage(&self, order: &Order) -> Preimage {
        self.domain.preimage(&TypedOrder::of(order))
    }

    /// Signs an order whose intent is durable, and frames it for the venue. Takes about 30 µs on
    /// the calling thread and waits for nothing.
    ///
    /// # Errors
    ///
    /// [`SignError`]; nothing was released then.
    pub fn sign(
        &self,
        recorded: &Recorded,
        framing: &dyn Framing,
        now: UnixMicros,
    ) -> Result<Signed, SignError> {
        self.sign_order(recorded.order(), framing, now)
    }

    fn sign_order(
        &self,
        order: &Order,
        framing: &dyn Framing,
        now: UnixMicros,
    ) -> Result<Signed, SignError> {
        let keys = self.hot.load();
        let typed = TypedOrder::of(order);
        typed.must_be(order)?;
        let digest = self.domain.digest(&typed);
        let signature = keys.chain.sign(&digest, &*self.entropy)?;
        let signature = OrderSignature {
            digest: hex_0x(&digest),
            signature: hex_0x(&signature),
            signer: keys.identity.signer.clone(),
        };
        let framed = framing.order(order, &signature, &keys.venue.view(), now);
        Ok(Signed::new(
            order.clone(),
            framed,
            signature,
            keys.identity.key_id.clone(),
            keys.identity.credential_generation,
            now,
        ))
    }

    /// Frames a query or a cancel with the credential in use.
    pub fn frame_query(&self, framing: &dyn Framing, query: &Query, now: UnixMicros) -> Framed {
        framing.query(query, &self.hot.load().venue.view(), now)
    }

    /// Authenticates the opening of the venue's feed, where it has one.
    pub fn frame_feed(&self, framing: &dyn Framing, now: UnixMicros) -> Option<Framed> {
        framing.feed(&self.hot.load().venue.view(), now)
    }
}

fn hex_0x(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("0x");
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
        }
    }
    text
}
