//! A person's word on an order in doubt, where no answer of the venue can prove what became of it.
//!
//! It never contradicts the venue: what the venue shows, or can show in time, is not a person's to
//! say (`docs/adr/0010-a-persons-word.md`). The word is durable before it is true here.

use super::doubt::can_prove;
use super::floor::Floor;
use super::orders::OrderState;
use super::settle::{self, about_order};
use crate::domain::identity::Principal;
use crate::domain::order::{OrderId, OrderStatus};
use crate::journal::record::{Fact, Private};
use crate::ports::venue::VenueError;

/// What a person can say of an order that the venue does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It never was an order there.
    NotPlaced,
    /// It was refused there.
    Rejected,
    /// It rested there and was cancelled; what was filled of it is counted already.
    Cancelled,
}

impl Word {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NotPlaced, Self::Rejected, Self::Cancelled];

    /// The status that it gives.
    pub const fn status(self) -> OrderStatus {
        match self {
            Self::NotPlaced => OrderStatus::NotPlaced,
            Self::Rejected => OrderStatus::Rejected,
            Self::Cancelled => OrderStatus::Cancelled,
        }
    }

    /// Reads it as it is written on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|word| word.status().as_str() == text)
    }
}

/// Why a person's word does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveRefused {
    /// It is not in doubt.
    #[error("the order is not in doubt")]
    NotInDoubt(Box<OrderState>),
    /// The venue proves by itself what became of it.
    #[error("the venue itself says what became of the order; ask again later")]
    VenueProves {
        /// From then on its absence is proof, ms since the Unix epoch.
        at_ms: u64,
    },
    /// The venue shows it, or fills of it.
    #[error("the venue shows the order")]
    VenueShows(Box<OrderState>),
    /// The venue could not be asked whether it shows it.
    #[error(transparent)]
    Venue(#[from] VenueError),
    /// It could not be journaled, so it is still in doubt.
    #[error("the journal cannot be written")]
    Journal,
}

/// Ends an order's doubt by a person's word. `None`: there is no such order at hand.
///
/// # Errors
///
/// [`ResolveRefused`]; the order is as it was, or as the venue shows it.
pub async fn resolve(
    floor: &Floor,
    order_id: OrderId,
    word: Word,
    by: &Principal,
    reason: String,
) -> Result<Option<OrderState>, ResolveRefused> {
    let Some(state) = floor.order(&order_id) else {
        return Ok(None);
    };
    if state.status != OrderStatus::InDoubt {
        return Err(ResolveRefused::NotInDoubt(Box::new(state)));
    }
    let capabilities = floor.desk.venue().framing().capabilities();
    if can_prove(capabilities) {
        let at_ms = super::doubt::provable_after_ms(state.order.expires_at_ms);
        return Err(ResolveRefused::VenueProves { at_ms });
    }
    // SAFETY-ORDER: what rests, then the order itself, then its fills: one that ends in between is
    // seen by a later look.
    let resting = settle::compare(floor).await?.resting;
    let mut shown = resting.iter().any(|order| order.order_id == Some(order_id));
    if capabilities.lookup_by_our_id {
        shown |= floor.desk.order(order_id).await?.is_some();
    }
    settle::read_fills(floor).await?;
    let now = floor.order(&order_id).unwrap_or(state);
    if now.status != OrderStatus::InDoubt && !shown {
        return Err(ResolveRefused::NotInDoubt(Box::new(now)));
    }
    if shown || !now.filled.is_zero() {
        return Err(ResolveRefused::VenueShows(Box::new(now)));
    }
    say(floor, order_id, word, by, reason).await?;
    Ok(floor.order(&order_id))
}

async fn say(
    floor: &Floor,
    order_id: OrderId,
    word: Word,
    by: &Principal,
    reason: String,
) -> Result<(), ResolveRefused> {
    let resolved = Fact::OrderResolved {
        order_id,
        status: word.status(),
        venue_order_id: None,
    };
    // A cancelled order counts until somebody says that its last fills were read: this is that.
    let ended = (word == Word::Cancelled).then_some(Fact::OrderCancelled { order_id });
    for fact in std::iter::once(resolved).chain(ended) {
        let private = Private {
            reason: Some(reason.clone()),
            ..Private::default()
        };
        let entry = about_order(fact.clone(), order_id)
            .by(by.clone())
            .with(private);
        let written = floor.journal.append(entry).await;
        let committed = written.map_err(|_| ResolveRefused::Journal)?;
        floor.apply(&fact, committed.seq(), committed.time(), None);
    }
    tracing::warn!(order.id = %order_id, by = by.as_str(), status = word.status().as_str(), "an order in doubt was resolved by a person");
    Ok(())
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
