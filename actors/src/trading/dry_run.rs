//! A dry run: what the gate would say of an order now, and what would be signed for it.
//!
//! Nothing is reserved, counted, journaled or signed.

use super::floor::Floor;
use crate::domain::clock::EntropyFailed;
use crate::domain::identity::Caller;
use crate::domain::order::{OrderId, OrderRequest};
use crate::domain::status::TradingState;
use crate::gate::{Asked, Checked};
use crate::key_manager::Preimage;

/// What a dry run found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// What trading may do now: an order that keeps every rule is refused all the same while it is
    /// halted or paused.
    pub trading: TradingState,
    /// Every rule with its finding.
    pub checked: Checked,
    /// What would be signed, under an id made for this dry run; `None` when market, price or size are
    /// not whole.
    pub preimage: Option<Preimage>,
}

/// Holds `request` of `caller` against every rule.
///
/// # Errors
///
/// [`EntropyFailed`] when there is no randomness for an id.
pub fn dry_run(
    floor: &Floor,
    caller: &Caller,
    request: &OrderRequest,
) -> Result<DryRun, EntropyFailed> {
    let now = floor.clock.now();
    let checked = floor.gate.check(&Asked {
        request,
        client: &caller.client,
        mode: floor.door.mode(now),
        keys: floor.keys.for_orders(),
        order_id: OrderId::make(now, &*floor.entropy)?,
        expires_at_ms: now.as_millis().saturating_add(floor.times.send_ttl_ms),
    });
    Ok(DryRun {
        trading: floor.door.state(now),
        preimage: checked
            .order
            .as_ref()
            .map(|order| floor.keys.preimage(order)),
        checked,
    })
}
