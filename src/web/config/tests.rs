//! Limits that change over real connections.

use flashguard_actors::domain::identity::Role::{Admin, Readonly, System};
use serde_json::{Value, json};

use crate::web::testing::{Answer, Running};

const NOTIONAL: &str = "gate.order_notional_max_usdc";

fn patch(server: &Running, bearer: &str, body: &Value) -> Answer {
    let path = "/api/v1/config/limits";
    server.ask("PATCH", path, Some(bearer), &body.to_string())
}

fn wish(name: &str, value: &Value) -> Value {
    json!({"limits": {name: value}, "reason": "test"})
}

/// The limit's row as `GET /config` shows it.
fn row(server: &Running, name: &str) -> Value {
    let config = server.get(Readonly, "/config").expect(200);
    let rows = config["limits"]["values"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap().clone()
}

fn version(server: &Running) -> u64 {
    let config = server.get(Readonly, "/config").expect(200);
    config["limits"]["version"].as_u64().unwrap()
}

/// 400 SEI at 0.25 are 100 USDC.
fn order(id: &str) -> Value {
    json!({"symbol": "SEI/USDC", "side": "buy", "price": "0.2400", "size": "400", "client_order_id": id})
}

#[test]
fn one_person_tightens_at_once_and_two_are_needed_to_loosen() {
    let server = Running::start();
    let (ann, ben) = (
        server.key(Admin).to_owned(),
        server.second_admin().to_owned(),
    );
    server
        .post(System, "/trading/orders", &order("a"))
        .expect(201);

    let tightened = patch(&server, &ann, &wish(NOTIONAL, &json!("99"))).expect(200);
    assert_eq!(tightened["version"], 2);
    let denied = server.post(System, "/trading/orders", &order("b"));
    denied.expect_error(422, "ORDER_NOTIONAL");
    assert_eq!(
        row(&server, NOTIONAL),
        json!({"name": NOTIONAL, "value": "99", "unit": "USDC", "settings_value": "1000", "adjusted": true})
    );

    let loosen = wish(NOTIONAL, &json!("100.5"));
    for _ in 0..2 {
        let waiting = patch(&server, &ann, &loosen).expect(202);
        assert_eq!(waiting["loosened"], json!([NOTIONAL]));
        assert_eq!(
            (&waiting["missing"], &waiting["owners"]),
            (&json!(1), &json!(["ann"]))
        );
    }
    let still = server.post(System, "/trading/orders", &order("c"));
    still.expect_error(422, "ORDER_NOTIONAL");
    let loosened = patch(&server, &ben, &loosen).expect(200);
    assert_eq!(
        (&loosened["version"], &loosened["owners"]),
        (&json!(3), &json!(["ann", "ben"]))
    );
    server
        .post(System, "/trading/orders", &order("d"))
        .expect(201);
}

#[test]
fn another_wish_begins_anew_and_a_change_in_between_voids_a_proposal() {
    let server = Running::start();
    let (ann, ben) = (
        server.key(Admin).to_owned(),
        server.second_admin().to_owned(),
    );
    patch(&server, &ann, &wish(NOTIONAL, &json!("1100"))).expect(202);
    let other = patch(&server, &ben, &wish(NOTIONAL, &json!("1200"))).expect(202);
    assert_eq!(other["owners"], json!(["ben"]));
    let tighter = wish("gate.open_orders_max", &json!("10"));
    patch(&server, &ann, &tighter).expect(200);
    let again = patch(&server, &ann, &wish(NOTIONAL, &json!("1200"))).expect(202);
    assert_eq!(
        again["owners"],
        json!(["ann"]),
        "bound to the version that was seen"
    );
    assert_eq!(version(&server), 2);
}

#[test]
fn an_adjustment_that_is_taken_away_leaves_what_the_settings_say() {
    let server = Running::start();
    let ann = server.key(Admin).to_owned();
    patch(&server, &ann, &wish(NOTIONAL, &json!("50"))).expect(200);
    let body = wish(NOTIONAL, &Value::Null);
    patch(&server, &ann, &body).expect(202);
    patch(&server, server.second_admin(), &body).expect(200);
    let row = row(&server, NOTIONAL);
    assert_eq!(
        (&row["value"], &row["adjusted"]),
        (&json!("1000"), &json!(false))
    );
    patch(&server, &ann, &body).expect(200);
    assert_eq!(version(&server), 3, "what holds already is no change");
}

#[test]
fn a_version_that_does_not_hold_any_more_is_refused() {
    let server = Running::start();
    let ann = server.key(Admin).to_owned();
    let mut body = wish(NOTIONAL, &json!("50"));
    body["version"] = json!(1);
    patch(&server, &ann, &body).expect(200);
    body["limits"][NOTIONAL] = json!("40");
    let refused = patch(&server, &ann, &body).expect_error(409, "OTHER_VERSION");
    assert_eq!(refused["version"], 2);
}

#[test]
fn every_mistake_in_a_change_is_named_and_nothing_changes() {
    let server = Running::start();
    let ann = server.key(Admin).to_owned();
    let body = json!({
        "limits": {
            "gate.symbols": "SEI/USDC", "gate.open_orders_max": "1.5",
            "gate.position_limit_usdc": 1500, "gate.order_rate_per_s": "0",
        },
        "reason": "test", "when": "now",
    });
    let error = patch(&server, &ann, &body).expect_error(400, "INVALID_REQUEST");
    let named: Vec<_> = error["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mistake| mistake["field"].as_str().unwrap().to_owned())
        .collect();
    for field in [
        "limits.gate.symbols",
        "limits.gate.open_orders_max",
        "limits.gate.position_limit_usdc",
        "limits.gate.order_rate_per_s",
        "when",
    ] {
        assert!(named.iter().any(|name| name == field), "{field}: {named:?}");
    }
    for body in [
        json!({"limits": {}, "reason": "x"}),
        json!({"limits": {NOTIONAL: "5"}}),
    ] {
        patch(&server, &ann, &body).expect_error(400, "INVALID_REQUEST");
    }
    assert_eq!(version(&server), 1);
}

#[test]
fn a_dead_journal_loosens_nothing() {
    let server = Running::start();
    let ann = server.key(Admin).to_owned();
    let body = wish(NOTIONAL, &json!("2000"));
    patch(&server, &ann, &body).expect(202);
    server.break_journal();
    let answer = patch(&server, server.second_admin(), &body);
    answer.expect_error(503, "JOURNAL_UNAVAILABLE");
    assert_eq!(row(&server, NOTIONAL)["value"], "1000");
}
