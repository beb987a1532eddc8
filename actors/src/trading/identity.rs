//! Which order a client means: ids that are on their way right now.
//!
//! The journal's unique index decides for good whether an id is taken; this map only holds what is
//! in flight, so that a repeat waits for the first instead of racing it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::domain::order::OrderRequest;
use crate::ports::journal::Identity;

/// Ids in flight.
#[derive(Default)]
pub struct InFlight {
    ids: Arc<Mutex<HashMap<Identity, watch::Receiver<()>>>>,
}

/// This order is the first of its id. Dropped when it is over: waiting repeats go on then.
pub struct First {
    ids: Arc<Mutex<HashMap<Identity, watch::Receiver<()>>>>,
    identity: Identity,
    _done: watch::Sender<()>,
}

/// What an id finds in the map.
pub enum Begun {
    /// Nobody else carries it now.
    First(First),
    /// Somebody does: wait until they are done, then look again.
    Repeat(watch::Receiver<()>),
}

impl InFlight {
    /// Enters an id.
    pub fn begin(&self, identity: &Identity) -> Begun {
        let mut ids = self.ids.lock();
        if let Some(first) = ids.get(identity) {
            return Begun::Repeat(first.clone());
        }
        let (done, waiting) = watch::channel(());
        ids.insert(identity.clone(), waiting);
        Begun::First(First {
            ids: self.ids.clone(),
            identity: identity.clone(),
            _done: done,
        })
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.ids.lock().remove(&self.identity);
    }
}

/// Waits until the first of an id is over, however it ended.
pub async fn over(mut first: watch::Receiver<()>) {
    while first.changed().await.is_ok() {}
}

/// Tells a retry from another order: SHA-256 over every term of the request, lower-case hex. Equal
/// numbers written differently (`0.25`, `0.250`) are the same content.
pub fn content_hash(request: &OrderRequest) -> String {
    let mut hash = Sha256::new();
    let price = request.terms.price().map(|price| price.normalize());
    for part in [
        request.symbol.as_str(),
        request.side.as_str(),
        request.terms.as_str(),
        &price.map(|price| price.to_string()).unwrap_or_default(),
        &request.size.normalize().to_string(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::domain::order::{Side, Terms};

    fn identity(id: &str) -> Identity {
        Identity {
            client: "bot".to_owned().try_into().unwrap(),
            client_order_id: id.to_owned().try_into().unwrap(),
        }
    }

    #[tokio::test]
    async fn a_repeat_waits_for_the_first_and_then_is_first_itself() {
        let flights = InFlight::default();
        let Begun::First(first) = flights.begin(&identity("a")) else {
            panic!("taken")
        };
        let Begun::Repeat(repeat) = flights.begin(&identity("a")) else {
            panic!("free")
        };
        assert!(matches!(flights.begin(&identity("b")), Begun::First(_)));
        drop(first);
        over(repeat).await;
        assert!(matches!(flights.begin(&identity("a")), Begun::First(_)));
        assert!(flights.ids.lock().is_empty());
    }

    #[test]
    fn the_content_is_the_terms_not_their_spelling() {
        let request = |price: &str, side| OrderRequest {
            symbol: "SEI/USDC".into(),
            side,
            size: Decimal::ONE,
            terms: Terms::limit(Decimal::from_str_exact(price).unwrap()),
            client_order_id: None,
        };
        let hash = |price, side| content_hash(&request(price, side));
        assert_eq!(hash("0.25", Side::Buy), hash("0.2500", Side::Buy));
        assert_ne!(hash("0.25", Side::Buy), hash("0.25", Side::Sell));
        assert_ne!(hash("0.25", Side::Buy), hash("0.2501", Side::Buy));
        let market = OrderRequest {
            terms: Terms::Market,
            ..request("0.25", Side::Buy)
        };
        assert_ne!(hash("0.25", Side::Buy), content_hash(&market));
    }
}
