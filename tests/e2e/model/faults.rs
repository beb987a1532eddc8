//! Fault plans for the simulator: every kind of fault, alone and mixed.

use serde_json::{Value, json};

use super::chance::Chance;

/// All kinds of faults.
pub const WORDS: [&str; 15] = [
    "latency",
    "throttle",
    "status",
    "status_after",
    "drop_before",
    "drop_after",
    "reset_mid_answer",
    "hold",
    "hang",
    "late",
    "partial_cancel",
    "cancel_ignored",
    "garbage",
    "empty_object",
    "down",
];

/// Calls that a fault of any call is tried at.
const CALLS: [&str; 11] = [
    "orders.place",
    "orders.place",
    "orders.place",
    "orders.cancel",
    "orders.cancel_all",
    "orders.open",
    "orders.by_client_id",
    "fills",
    "positions",
    "book",
    "*",
];

/// Longer than `venue.timeout_ms` of a run or not, in ms.
const SLOW_MS: [u64; 3] = [40, 150, 700];

/// One to three rules.
pub fn plan(chance: &mut Chance) -> Value {
    let rules: Vec<Value> = (0..chance.between(1, 3)).map(|_| rule(chance)).collect();
    json!({ "seed": chance.between(0, 1_000_000), "rules": rules })
}

fn rule(chance: &mut Chance) -> Value {
    let fault = chance.one_of(&WORDS);
    let call = match fault {
        "late" => "orders.place",
        "partial_cancel" => "orders.cancel_all",
        "cancel_ignored" => chance.one_of(&["orders.cancel", "orders.cancel_all"]),
        "down" => "*",
        _ => chance.one_of(&CALLS),
    };
    let mut rule = json!({ "calls": [call], "fault": fault });
    match fault {
        "latency" | "hold" => rule["ms"] = json!(chance.one_of(&SLOW_MS)),
        "late" => rule["ms"] = json!(chance.between(20, 1_500)),
        "throttle" => rule["retry_after_s"] = json!(chance.between(0, 1)),
        "status" | "status_after" => rule["code"] = json!(chance.one_of(&[500_u64, 502, 503, 504])),
        "partial_cancel" => rule["fraction_pct"] = json!(chance.between(0, 99)),
        _ => {}
    }
    // All of them strike; or some; or so many in a row.
    match chance.between(0, 3) {
        0 => rule["probability"] = json!(0.3),
        1 => rule["times"] = json!(chance.between(1, 4)),
        2 => {
            rule["skip"] = json!(chance.between(1, 3));
            rule["times"] = json!(chance.between(1, 4));
        }
        _ => {}
    }
    rule
}
