//! Limits that people change: over a kill, over a changed file, and in the journal.

use serde_json::{Value, json};

use super::daemon::{Daemon, json_of, resting};

const NOTIONAL: &str = "gate.order_notional_max_usdc";

fn patch(daemon: &Daemon, key: &str, limits: &Value) -> Value {
    let body = json!({"limits": limits, "reason": "test"});
    let caller = daemon.caller(key);
    let reply = caller.send("PATCH", "/config/limits", Some(&body.to_string()));
    reply.unwrap().expect(200)
}

fn limits(daemon: &Daemon) -> Value {
    daemon.caller("admin").get("/config").expect(200)["limits"].clone()
}

#[test]
fn a_tightened_limit_outlives_a_kill_and_each_version_is_explained_in_the_journal() {
    let mut daemon = Daemon::spawn();
    assert_eq!(limits(&daemon)["version"], 1);
    patch(&daemon, "admin", &json!({NOTIONAL: "20"}));
    // 100 SEI at 0.24 are worth 25 USDC at the reference.
    let system = daemon.caller("system");
    system
        .order(&resting("a"))
        .expect_error(422, "ORDER_NOTIONAL");
    daemon.kill_and_restart();
    let system = daemon.caller("system");
    system
        .order(&resting("b"))
        .expect_error(422, "ORDER_NOTIONAL");
    assert_eq!(
        limits(&daemon)["version"],
        2,
        "a restart alone changes nothing"
    );

    let shown = json_of(&daemon.cli(["config", "show", "--json"]));
    let shown = shown["settings"].as_array().unwrap();
    let row = shown.iter().find(|row| row["name"] == NOTIONAL).unwrap();
    assert_eq!(
        (&row["value"], &row["adjusted"]),
        (&json!("1000"), &json!("20"))
    );

    daemon.set("GATE__OPEN_ORDERS_MAX", "7");
    daemon.kill_and_restart();
    let now = limits(&daemon);
    assert_eq!(
        now["version"], 3,
        "other settings are another version: {now}"
    );
    assert_eq!(now["owners"], json!([]));
    let changes = json_of(&daemon.cli(["audit", "search", "--kind", "limits.changed", "--json"]));
    let changes = changes["events"].as_array().unwrap().clone();
    let versions: Vec<_> = changes
        .iter()
        .map(|event| event["data"]["v"].clone())
        .collect();
    assert_eq!(versions, [3, 2, 1]);
    assert_eq!(changes[0]["data"]["values"]["gate.open_orders_max"], "7");
    assert_eq!(changes[0]["data"]["adjustments"], json!({NOTIONAL: "20"}));
    assert_eq!(changes[1]["data"]["owners"], json!(["ann"]));
    daemon.verify();
}
