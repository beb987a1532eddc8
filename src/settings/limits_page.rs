//! `docs/limits.md`: the gate's table of rules, each with its limit as the table of settings has it.
//! A test keeps the page equal to what lies in `docs/`.

use std::fmt::Write as _;

use flashguard_actors::gate::{Effect, Limit, RULES, Rule};

use super::table::find;

/// The page.
pub fn limits_page() -> String {
    let mut out = String::from(INTRODUCTION);
    out.push_str("| code | protects | limit | effect |\n|---|---|---|---|\n");
    for rule in RULES {
        let exits = if rule.lets_exits_pass {
            "; an exit passes"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {}{exits} |",
            rule.code,
            rule.protects,
            limit(rule),
            effect(rule),
        );
    }
    out.push_str(NOTES);
    out
}

fn limit(rule: &Rule) -> String {
    match rule.limit {
        Limit::Setting(name) => match find(name) {
            Some(row) => format!("`{name}`, by default {}; {}", row.default, row.range()),
            None => format!("`{name}`"),
        },
        Limit::Venue(what) => format!("the venue's: {what}"),
        Limit::Fixed(what) => format!("fixed: {what}"),
        Limit::Book(what) => format!("our book's: {what}"),
    }
}

fn effect(rule: &Rule) -> &'static str {
    match rule.effect {
        Effect::Denies => "422, nothing is reserved",
        Effect::Marks => "admitted, marked in `order.intent`, counted",
        Effect::Discards => "after the intent: not signed, `discarded`",
    }
}

const INTRODUCTION: &str = "# Limits

Made from the gate's table of rules (`actors/src/gate/rules.rs`) and the table of settings (`src/settings`); a test \
keeps it so.

Every order is held against every rule, and all that it breaks are told together, in this order, each with its \
code and the numbers that decided. Exactly on a limit is admitted. What cannot be known (no market, no reference) \
denies and is named; the rules that would need it say nothing then. `flashguard orders check` shows what each rule \
finds of an order without placing it.

";

const NOTES: &str = "
## Exits

An *exit* is an order whose size, with everything open, pending or in doubt on its side, is at most the position \
that this side reduces. It cannot make anything larger, whatever fills in whatever order; so rules that bound growth \
let it pass, while trading is active as well as while it only reduces. What is open counts in whole: also orders that \
rest at the venue and are not in the journal, and orders that ended there and whose fills are not read yet.

Rules that judge the order itself (its numbers, its price, its value, its keys, its rate, whom it would meet) hold \
for exits too. Cancels pass no gate at all.

## Market orders

`order_type: \"market\"` has no `price`. It becomes an `ioc` whose limit price is the hard collar \
(`gate.price_collar_hard_pct`), rounded inward to the tick: a buy down, a sell up. It is valued, reserved and signed \
at that price, so it needs a fresh reference, and it meets an own order anywhere within the collar.

## Reference

The middle of the venue's best bid and ask. Its age counts from the moment the book was asked for, not from the \
answer, and by the time since boot, so that no step of the clock makes it younger.

## The venue's health

Every call to the venue counts for `venue.health_window_s`, orders and queries alike. Failed are those that could \
not be delivered, got no answer in time, an answer of 5xx or 429, or left an order in doubt; a rejected order is an \
answer. From `venue.health_calls_min` calls on, `venue.health_degraded_pct` of failures make the venue degraded, and \
`venue.health_broken_pct` halt trading: at the failing call that reaches it, while trading is open. After a lift the \
window still knows the calls of its time, and only another failed call halts again.

## Versions

The limits in force have a version, 1 for those of the settings. It stands in every `order.intent`, in every \
`order.denied`, and in the answer to a denied order (`details.limits_v`).
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_that_is_a_setting_is_in_the_table_of_settings() {
        for rule in RULES {
            if let Limit::Setting(name) = rule.limit {
                assert!(find(name).is_some(), "{}: {name}", rule.code);
            }
        }
    }

    #[test]
    fn the_limits_page_is_made_from_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/limits.md");
        let text = limits_page();
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            found, text,
            "docs/limits.md is not current: run the tests with BLESS=1"
        );
    }
}
