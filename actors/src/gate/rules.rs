//! The one table of rules. A row is a code, what it protects, what it compares with, and a pure
//! function; the table decides in which order an order's violations are told, and it makes the page
//! of limits, the list of denials and what `orders check` prints.
//!
//! To add a rule: its denial, one function, one row, and its two cases in `boundary_tests.rs`; a test
//! fails for whichever is missing.

mod exposure;
mod permission;
mod reference;
mod terms;

use rust_decimal::Decimal;

use super::case::Case;
use crate::domain::denial::Denial;

/// One rule.
pub struct Rule {
    /// The denial's stable code.
    pub code: &'static str,
    /// What it protects from, in one sentence.
    pub protects: &'static str,
    /// What it compares with.
    pub limit: Limit,
    /// What it makes of an order.
    pub effect: Effect,
    /// It bounds growth, so it lets an order pass that only reduces a position (K12).
    pub lets_exits_pass: bool,
    judge: fn(&Case<'_>) -> Finding,
}

/// What a rule compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// A setting; its unit, default and range stand in the table of settings.
    Setting(&'static str),
    /// What the venue says of the market or of its credential.
    Venue(&'static str),
    /// A bound that is no setting.
    Fixed(&'static str),
    /// What stands in our own book.
    Book(&'static str),
}

/// What a rule makes of an order that is on its wrong side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Denied, before anything is reserved or signed.
    Denies,
    /// Admitted, marked in its intent record, and counted.
    Marks,
    /// Looked at when the order is signed, so not part of a judgement: the order is discarded.
    Discards,
}

/// What one rule found of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Kept.
    Pass(Option<Measured>),
    /// Not kept, and it does not count: the order only reduces a position.
    Exit(Measured),
    /// Admitted, and marked.
    Marked(Measured),
    /// Broken.
    Denied(Denial),
    /// It could not be judged, for a reason for which another rule denies the order.
    Unjudged(&'static str),
}

/// A number of the order beside what it was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The order's.
    pub value: Decimal,
    /// The limit's.
    pub limit: Decimal,
}

impl Finding {
    fn pass(value: impl Into<Decimal>, limit: impl Into<Decimal>) -> Self {
        Self::Pass(Some(Measured {
            value: value.into(),
            limit: limit.into(),
        }))
    }
}

const NO_MARKET: Finding = Finding::Unjudged("the market is not known");
const NO_REFERENCE: Finding = Finding::Unjudged("there is no usable reference price");
const NO_VALUE: Finding = Finding::Unjudged("price or size is no positive number");

/// All rules, in the order in which they are told.
pub const RULES: &[Rule] = &[
    Rule {
        code: "UNKNOWN_SYMBOL",
        protects: "Only markets that somebody chose, and that the venue has, are traded.",
        limit: Limit::Setting("gate.symbols"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: terms::symbol,
    },
    Rule {
        code: "PRICE_RANGE",
        protects: "A price is above 0 and at most a million, whatever the reference says.",
        limit: Limit::Fixed("1,000,000 in quote currency"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: terms::price_range,
    },
    Rule {
        code: "SIZE_RANGE",
        protects: "A size is above 0 and at most a million.",
        limit: Limit::Fixed("1,000,000 in base currency"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: terms::size_range,
    },
    Rule {
        code: "TICK",
        protects: "The price is a whole number of the market's ticks: nothing is rounded for the caller.",
        limit: Limit::Venue("the market's tick"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: terms::tick,
    },
    Rule {
        code: "LOT",
        protects: "The size is a whole number of the market's lots: nothing is rounded for the caller.",
        limit: Limit::Venue("the market's lot"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: terms::lot,
    },
    Rule {
        code: "NOTIONAL_MIN",
        protects: "The venue would refuse an order that is worth less than its least.",
        limit: Limit::Venue("the market's least notional"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: terms::notional_min,
    },
    Rule {
        code: "REFERENCE_MISSING",
        protects: "A price is judged by the venue's book, so there has to be one; also of other markets that hold a position, since it has to be valued.",
        limit: Limit::Venue("the market's book"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: reference::missing,
    },
    Rule {
        code: "REFERENCE_CROSSED",
        protects: "A book whose bid is above its ask, or that is empty on one side, is no reference.",
        limit: Limit::Venue("the market's book"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: reference::crossed,
    },
    Rule {
        code: "REFERENCE_STALE",
        protects: "A book that was asked for too long ago says nothing of now; its age counts from the question, by the time since boot.",
        limit: Limit::Setting("gate.reference_max_age_ms"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: reference::stale,
    },
    Rule {
        code: "PRICE_COLLAR",
        protects: "A price far from the reference is a slip or a fault, on either side of it.",
        limit: Limit::Setting("gate.price_collar_hard_pct"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: reference::collar,
    },
    Rule {
        code: "PRICE_COLLAR_SOFT",
        protects: "A price that is unusual and not yet wrong leaves a mark that can be found; a market order, whose price is the gate's, is not marked.",
        limit: Limit::Setting("gate.price_collar_soft_pct"),
        effect: Effect::Marks,
        lets_exits_pass: false,
        judge: reference::soft_collar,
    },
    Rule {
        code: "ORDER_NOTIONAL",
        protects: "One order is worth only so much, at the worse of its price and the reference: a sell far below the market is not worth nothing.",
        limit: Limit::Setting("gate.order_notional_max_usdc"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: exposure::order_notional,
    },
    Rule {
        code: "REDUCE_ONLY",
        protects: "While trading only reduces, an order and everything open on its side are at most the position.",
        limit: Limit::Book("the position that the side reduces, less what is open on it"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: exposure::reduce_only,
    },
    Rule {
        code: "POSITION_LIMIT",
        protects: "The position, at the present reference, is bounded per market and side with every open order of that side, at its own price, counted as filled.",
        limit: Limit::Setting("gate.position_limit_usdc"),
        effect: Effect::Denies,
        lets_exits_pass: true,
        judge: exposure::position,
    },
    Rule {
        code: "GROSS_EXPOSURE",
        protects: "All positions and open orders of all markets together are bounded; orders that can only reduce a position add nothing.",
        limit: Limit::Setting("gate.gross_exposure_max_usdc"),
        effect: Effect::Denies,
        lets_exits_pass: true,
        judge: exposure::gross,
    },
    Rule {
        code: "OPEN_ORDERS",
        protects: "Only so many orders are open, pending or in doubt at a time.",
        limit: Limit::Setting("gate.open_orders_max"),
        effect: Effect::Denies,
        lets_exits_pass: true,
        judge: exposure::open_orders,
    },
    Rule {
        code: "ORDERS_IN_DOUBT",
        protects: "While too many orders are in doubt it is not known what stands at the venue, so nothing is added to it.",
        limit: Limit::Setting("gate.orders_in_doubt_max"),
        effect: Effect::Denies,
        lets_exits_pass: true,
        judge: exposure::in_doubt,
    },
    Rule {
        code: "SELF_TRADE",
        protects: "An order does not meet an own one of the other side, `post_only` included: cancel the one that is named (`DELETE /trading/orders/{id}`), wait until that is confirmed, and send again.",
        limit: Limit::Book(
            "the own highest buy and lowest sell of the market, also those pending and in doubt",
        ),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: exposure::self_trade,
    },
    Rule {
        code: "KEY_UNUSABLE",
        protects: "Nothing is promised that could not be signed and accepted: the signing key is at hand, and the venue accepts the credential.",
        limit: Limit::Venue("the answer to the last call made with the credential"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: permission::keys,
    },
    Rule {
        code: "ORDER_RATE",
        protects: "One client sends only so many orders in the long run (a burst is `gate.order_rate_burst`); cancels are never counted.",
        limit: Limit::Setting("gate.order_rate_per_s"),
        effect: Effect::Denies,
        lets_exits_pass: false,
        judge: permission::rate,
    },
    Rule {
        code: "LAST_HOP",
        protects: "The fields that are signed are read back and compared with the order that was admitted: a fault between the two signs nothing.",
        limit: Limit::Fixed("the admitted order"),
        effect: Effect::Discards,
        lets_exits_pass: false,
        judge: permission::last_hop,
    },
];

/// Looks at every rule that is part of a judgement, in the order of the table.
pub(super) fn judge(case: &Case<'_>, mut see: impl FnMut(&'static Rule, Finding)) {
    for rule in RULES.iter().filter(|rule| rule.effect != Effect::Discards) {
        see(rule, (rule.judge)(case));
    }
}
