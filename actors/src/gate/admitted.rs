//! Proof types: an order that the gate admitted, and one whose intent is durable.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::Gate;
use super::exposure::Holder;
use crate::domain::order::Order;
use crate::journal::Committed;

/// An order that broke no rule. It owns its reservation: dropped, the exposure is free again.
///
/// Only the gate makes one:
///
/// ```compile_fail
/// let forged = flashguard_actors::gate::Admitted { .. };
/// ```
#[must_use = "dropping it gives its exposure back"]
pub struct Admitted {
    order: Order,
    reserved_usdc: Decimal,
    judged: Judged,
    gate: Option<Arc<Gate>>,
}

/// By what an order was admitted: for its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The version of the limits.
    pub limits_v: u64,
    /// The reference price, in quote currency.
    pub reference: Decimal,
    /// Codes of the rules that marked it.
    pub marks: Vec<&'static str>,
    /// It was a market order: the price is the gate's.
    pub at_market: bool,
}

impl Admitted {
    pub(super) fn new(
        order: Order,
        reserved_usdc: Decimal,
        judged: Judged,
        gate: Arc<Gate>,
    ) -> Self {
        Self {
            order,
            reserved_usdc,
            judged,
            gate: Some(gate),
        }
    }

    /// The order, in ticks and lots.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Exposure reserved, in USDC.
    pub fn reserved_usdc(&self) -> Decimal {
        self.reserved_usdc
    }

    /// By what it was admitted.
    pub fn judged(&self) -> &Judged {
        &self.judged
    }

    /// The intent is on disk: from now on only a terminal fact frees the exposure.
    pub fn recorded(mut self, proof: Committed) -> Recorded {
        self.gate = None;
        Recorded {
            order: self.order.clone(),
            journal_seq: proof.seq(),
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.with_exposure(|exposure| exposure.release(&Holder::Ours(self.order.order_id)));
        }
    }
}

/// An admitted order whose intent is durable: what the key manager signs, and nothing else.
#[derive(Debug)]
pub struct Recorded {
    order: Order,
    journal_seq: u64,
}

impl Recorded {
    /// For tests of what follows the gate and the journal.
    #[cfg(test)]
    pub(crate) fn for_tests(order: Order, journal_seq: u64) -> Self {
        Self { order, journal_seq }
    }

    /// The order.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Where its intent stands in the journal.
    pub fn journal_seq(&self) -> u64 {
        self.journal_seq
    }
}
