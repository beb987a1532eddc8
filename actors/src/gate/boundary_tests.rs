//! Every row of the table from both sides of its boundary, and the table itself.

use std::collections::BTreeSet;

use super::testing::{Desk, buy, eth, id, market, sei, sell};
use super::{Effect, Finding, Holder, KeyUse, Mode, RULES};
use crate::domain::order::{OrderRequest, Side};

/// Two situations that differ in one number: on the right side of a rule and just beyond it.
struct Boundary {
    code: &'static str,
    kept: fn() -> (Desk, OrderRequest),
    broken: fn() -> (Desk, OrderRequest),
}

fn of_symbol(order: OrderRequest, symbol: &str) -> OrderRequest {
    OrderRequest {
        symbol: symbol.into(),
        ..order
    }
}

fn aged(ms: u64) -> Desk {
    let desk = Desk::plain();
    desk.clock.advance_millis(ms);
    desk
}

fn quoted(bid: &str, ask: &str) -> Desk {
    let desk = Desk::plain();
    desk.quote(&sei(), bid, ask);
    desk
}

fn holding(size: &str) -> Desk {
    let desk = Desk::roomy();
    desk.position(&sei(), size);
    desk
}

fn in_doubt(orders: u128) -> Desk {
    let desk = Desk::plain();
    for n in 1..=orders {
        desk.keep(&buy("0.25", "4"), n).unwrap();
        desk.gate
            .with_exposure(|exposure| exposure.doubt(&Holder::Ours(id(n))));
    }
    desk
}

fn reducing(position: &str) -> Desk {
    Desk {
        mode: Mode::ReduceOnly,
        ..holding(position)
    }
}

/// A desk with an own sell that rests at 0.2510.
fn with_a_sell() -> Desk {
    let desk = Desk::plain();
    desk.keep(&sell("0.2510", "10"), 1).unwrap();
    desk
}

fn limited(burst: u32) -> Desk {
    let desk = Desk::new(|limits| limits.order_rate_burst = burst);
    drop(desk.admit(&buy("0.25", "4"), 1));
    desk
}

const BOUNDARIES: &[Boundary] = &[
    Boundary {
        code: "UNKNOWN_SYMBOL",
        kept: || (Desk::plain(), buy("0.25", "100")),
        broken: || (Desk::plain(), of_symbol(buy("0.25", "100"), "BTC/USDC")),
    },
    Boundary {
        code: "PRICE_RANGE",
        kept: || (Desk::plain(), buy("1000000", "1")),
        broken: || (Desk::plain(), buy("1000000.0001", "1")),
    },
    Boundary {
        code: "SIZE_RANGE",
        kept: || (Desk::plain(), buy("0.25", "1000000")),
        broken: || (Desk::plain(), buy("0.25", "1000001")),
    },
    Boundary {
        code: "TICK",
        kept: || (Desk::plain(), buy("0.2501", "100")),
        broken: || (Desk::plain(), buy("0.25011", "100")),
    },
    Boundary {
        code: "LOT",
        kept: || (Desk::plain(), buy("0.25", "100")),
        broken: || (Desk::plain(), buy("0.25", "100.1")),
    },
    Boundary {
        code: "NOTIONAL_MIN",
        kept: || (Desk::plain(), buy("0.25", "4")),
        broken: || (Desk::plain(), buy("0.25", "3")),
    },
    Boundary {
        code: "REFERENCE_MISSING",
        kept: || (Desk::plain(), buy("0.25", "100")),
        broken: || {
            let desk = Desk::plain();
            desk.position(&"BTC/USDC".to_owned().try_into().unwrap(), "1");
            (desk, buy("0.25", "100"))
        },
    },
    Boundary {
        code: "REFERENCE_CROSSED",
        kept: || (quoted("0.25", "0.25"), buy("0.25", "100")),
        broken: || (quoted("0.2501", "0.25"), buy("0.25", "100")),
    },
    Boundary {
        code: "REFERENCE_STALE",
        kept: || (aged(2_000), buy("0.25", "100")),
        broken: || (aged(2_001), buy("0.25", "100")),
    },
    Boundary {
        code: "PRICE_COLLAR",
        kept: || (Desk::plain(), buy("0.2625", "100")),
        broken: || (Desk::plain(), buy("0.2626", "100")),
    },
    Boundary {
        code: "PRICE_COLLAR_SOFT",
        kept: || (Desk::plain(), buy("0.2550", "100")),
        broken: || (Desk::plain(), buy("0.2551", "100")),
    },
    Boundary {
        code: "ORDER_NOTIONAL",
        kept: || (Desk::plain(), sell("0.2400", "4000")),
        broken: || (Desk::plain(), sell("0.2400", "4001")),
    },
    Boundary {
        code: "REDUCE_ONLY",
        kept: || (reducing("100"), sell("0.25", "100")),
        broken: || (reducing("100"), sell("0.25", "101")),
    },
    Boundary {
        code: "POSITION_LIMIT",
        kept: || (holding("7000"), buy("0.25", "1000")),
        broken: || (holding("7000"), buy("0.25", "1001")),
    },
    Boundary {
        code: "GROSS_EXPOSURE",
        kept: || {
            let desk = holding("3000");
            desk.position(&eth(), "1.2");
            (desk, buy("0.25", "1000"))
        },
        broken: || {
            let desk = holding("3000");
            desk.position(&eth(), "1.2");
            (desk, buy("0.25", "1001"))
        },
    },
    Boundary {
        code: "OPEN_ORDERS",
        kept: || {
            (
                Desk::new(|limits| limits.open_orders_max = 1),
                buy("0.25", "4"),
            )
        },
        broken: || {
            let desk = Desk::new(|limits| limits.open_orders_max = 1);
            desk.keep(&buy("0.25", "4"), 1).unwrap();
            (desk, buy("0.25", "4"))
        },
    },
    Boundary {
        code: "ORDERS_IN_DOUBT",
        kept: || (in_doubt(3), buy("0.25", "4")),
        broken: || (in_doubt(4), buy("0.25", "4")),
    },
    Boundary {
        code: "SELF_TRADE",
        kept: || (with_a_sell(), buy("0.2509", "10")),
        broken: || (with_a_sell(), buy("0.2510", "10")),
    },
    Boundary {
        code: "KEY_UNUSABLE",
        kept: || (Desk::plain(), buy("0.25", "4")),
        broken: || {
            let keys = KeyUse::Unusable {
                key: "venue",
                why: "x",
            };
            let desk = Desk {
                keys,
                ..Desk::plain()
            };
            (desk, buy("0.25", "4"))
        },
    },
    Boundary {
        code: "ORDER_RATE",
        kept: || (limited(2), buy("0.25", "4")),
        broken: || (limited(1), buy("0.25", "4")),
    },
];

#[test]
fn every_rule_holds_exactly_up_to_its_boundary() {
    for row in RULES.iter().filter(|row| row.effect != Effect::Discards) {
        let cases: Vec<_> = BOUNDARIES.iter().filter(|b| b.code == row.code).collect();
        let [case] = cases[..] else {
            panic!(
                "{} has {} boundaries here; it needs one",
                row.code,
                cases.len()
            )
        };
        let found = |(desk, request): (Desk, OrderRequest)| {
            let findings = desk.check(&request).findings;
            let of = findings.into_iter().find(|(code, _)| *code == row.code);
            of.unwrap().1
        };
        let is_broken = |finding: &Finding| match row.effect {
            Effect::Denies => matches!(finding, Finding::Denied(_)),
            Effect::Marks => matches!(finding, Finding::Marked(_)),
            Effect::Discards => unreachable!(),
        };
        let (kept, broken) = (found((case.kept)()), found((case.broken)()));
        assert!(!is_broken(&kept), "{}: {kept:?}", row.code);
        assert!(is_broken(&broken), "{}: {broken:?}", row.code);
    }
    assert_eq!(
        BOUNDARIES.len() + 1,
        RULES.len(),
        "a boundary of no rule, or a rule besides the last hop that is not judged"
    );
}

/// The words in capitals of `Denial::code`, read from the source, so that a new variant is seen.
#[test]
fn every_denial_has_a_row_and_every_row_that_denies_a_denial() {
    let source = include_str!("../domain/denial.rs");
    let (_, body) = source.split_once("pub const fn code").unwrap();
    let (body, _) = body.split_once("\n    }\n").unwrap();
    let denials: BTreeSet<&str> = body.split('"').skip(1).step_by(2).collect();
    let denying = RULES.iter().filter(|row| row.effect == Effect::Denies);
    let rows: BTreeSet<&str> = denying.map(|row| row.code).collect();
    assert_eq!(denials, rows);
    let all: BTreeSet<&str> = RULES.iter().map(|row| row.code).collect();
    assert_eq!(all.len(), RULES.len(), "a code is there twice");
}

#[test]
fn what_a_rule_denies_has_the_rules_own_code() {
    for case in BOUNDARIES {
        let (desk, request) = (case.broken)();
        for (code, finding) in desk.check(&request).findings {
            if let Finding::Denied(denial) = finding {
                assert_eq!(denial.code(), code);
            }
        }
    }
}

#[test]
fn an_order_that_cannot_be_judged_whole_is_always_denied() {
    let orders = [buy("0.25", "100"), market(Side::Sell, "100"), buy("0", "0")];
    let unknown = |order: &OrderRequest| of_symbol(order.clone(), "X/Y");
    let all = orders.iter().cloned().chain(orders.iter().map(unknown));
    for request in all {
        for desk in [
            Desk::plain(),
            aged(9_999),
            quoted("0", "0.25"),
            holding("1"),
        ] {
            let checked = desk.check(&request);
            let unjudged = |f: &Finding| matches!(f, Finding::Unjudged(_));
            if checked
                .findings
                .iter()
                .any(|(_, finding)| unjudged(finding))
            {
                assert!(!checked.is_admitted(), "{request:?}: {checked:?}");
                assert!(!desk.codes(&request).is_empty(), "{request:?}");
            }
        }
    }
}
