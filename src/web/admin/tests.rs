//! Pause, stop and lift over real connections.

use flashguard_actors::domain::identity::Role::{Admin, Readonly, System};
use serde_json::{Value, json};

use crate::web::testing::{Answer, Running};

fn lift(server: &Running, bearer: &str, body: &Value) -> Answer {
    server.ask(
        "POST",
        "/api/v1/admin/emergency/lift",
        Some(bearer),
        &body.to_string(),
    )
}

#[test]
fn a_stop_without_its_word_or_reason_is_refused_and_stops_nothing() {
    let server = Running::start();
    for (body, field) in [
        (
            json!({"confirmation": "yes", "reason": "x"}),
            "confirmation",
        ),
        (json!({"reason": "x"}), "confirmation"),
        (
            json!({"confirmation": "EMERGENCY_STOP_CONFIRMED"}),
            "reason",
        ),
        (
            json!({"confirmation": "EMERGENCY_STOP_CONFIRMED", "reason": " "}),
            "reason",
        ),
        (
            json!({"confirmation": "EMERGENCY_STOP_CONFIRMED", "reason": "x", "flatten": true}),
            "flatten",
        ),
    ] {
        let answer = server.post(Admin, "/admin/emergency-stop", &body);
        assert_eq!(
            answer.expect_error(400, "INVALID_REQUEST")["field"],
            field,
            "{body}"
        );
    }
    assert_eq!(
        server.get(Admin, "/trading/status").expect(200)["status"],
        "active"
    );
}

#[test]
fn a_stop_reports_and_stays_and_a_resume_does_not_end_it() {
    let server = Running::start();
    let report = server.stop_everything();
    assert_eq!(report["status"], "emergency_stopped");
    assert_eq!(
        (&report["durable"], &report["epoch"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(report["orders_unconfirmed"], 0, "{report}");
    for step in report["steps"].as_array().unwrap() {
        assert!(
            step["name"].is_string() && step["outcome"].is_string(),
            "{step}"
        );
    }
    let again = server.stop_everything();
    assert_eq!(
        (&again["epoch"], &again["incident_id"]),
        (&json!(1), &report["incident_id"])
    );
    let refused = server.post(Admin, "/admin/resume", &json!({"reason": "x"}));
    assert_eq!(refused.expect_error(409, "HALTED")["epoch"], 1);
    let emergency = server.get(Readonly, "/admin/emergency").expect(200);
    assert_eq!(
        (&emergency["halted"], &emergency["epoch"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(
        emergency["reasons"].as_array().unwrap().len(),
        2,
        "{emergency}"
    );
    assert_eq!(
        server.ask("GET", "/readyz", None, "").expect(200)["trading"],
        "emergency_shutdown"
    );
}

#[test]
fn two_people_lift_and_one_twice_does_not() {
    let server = Running::start();
    let epoch = server.stop_everything()["epoch"].clone();
    let (ann, ben) = (server.key(Admin), server.second_admin());
    let wish = json!({"epoch": epoch, "reason": "checked"});
    let waiting = lift(&server, ann, &wish).expect(202);
    assert_eq!(
        (&waiting["owners"], &waiting["missing"]),
        (&json!(["ann"]), &json!(1))
    );
    assert!(
        waiting["next"]
            .as_str()
            .unwrap()
            .contains("flashguard lift --epoch 1")
    );
    assert_eq!(
        lift(&server, ann, &wish).expect(202)["owners"],
        json!(["ann"])
    );
    let other = json!({"epoch": 7, "reason": "x"});
    assert_eq!(
        lift(&server, ben, &other).expect_error(409, "OTHER_EPOCH")["epoch"],
        1
    );
    assert_eq!(lift(&server, ben, &wish).expect(200)["status"], "active");
    lift(&server, ben, &wish).expect_error(409, "NOT_HALTED");
}

#[test]
fn what_is_wrong_with_a_lift_is_named() {
    let server = Running::start();
    let key = server.key(Admin);
    for (body, field) in [
        (json!({"reason": "x"}), "epoch"),
        (json!({"epoch": "1", "reason": "x"}), "epoch"),
        (json!({"epoch": 1}), "reason"),
        (json!({"epoch": 1, "reason": "x", "to": "paused"}), "to"),
        (
            json!({"epoch": 1, "reason": "x", "accept_open_orders": "a"}),
            "accept_open_orders",
        ),
        (
            json!({"epoch": 1, "reason": "x", "accept_open_orders": [1]}),
            "accept_open_orders",
        ),
    ] {
        let details = lift(&server, key, &body).expect_error(400, "INVALID_REQUEST");
        assert_eq!(details["field"], field, "{body}");
    }
}

#[test]
fn a_pause_ends_by_itself_when_that_was_asked() {
    let server = Running::start();
    let body = json!({"reason": "x", "duration_seconds": 1});
    let paused = server.post(Admin, "/admin/pause", &body).expect(200);
    assert_eq!(paused["status"], "paused");
    assert!(paused["until"].is_string());
    let ended = (0..1_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        server.get(Readonly, "/trading/status").expect(200)["status"] == "active"
    });
    assert!(ended);
    let zero = json!({"reason": "x", "duration_seconds": 0});
    let details = server
        .post(Admin, "/admin/pause", &zero)
        .expect_error(400, "INVALID_REQUEST");
    assert_eq!(details["field"], "duration_seconds");
}

#[test]
fn the_control_listener_stops_and_places_no_orders() {
    let server = Running::start();
    let (admin, bot) = (server.key(Admin), server.key(System));
    server
        .ask_control("GET", "/api/v1/trading/status", Some(admin), "")
        .expect(200);
    server.ask_control("GET", "/healthz", None, "").expect(200);
    server
        .ask_control("POST", "/api/v1/trading/orders", Some(bot), "{}")
        .expect_error(404, "NOT_FOUND");
    let stop = json!({"confirmation": "EMERGENCY_STOP_CONFIRMED", "reason": "x"}).to_string();
    let path = "/api/v1/admin/emergency-stop?wait=false";
    server
        .ask_control("POST", path, None, &stop)
        .expect_error(401, "UNAUTHENTICATED");
    let report = server
        .ask_control("POST", path, Some(bot), &stop)
        .expect(200);
    assert_eq!(report["status"], "emergency_stopped");
    assert_eq!(
        server.get(Admin, "/trading/status").expect(200)["status"],
        "emergency_shutdown"
    );
}

#[test]
fn keys_and_the_journal_are_read_by_those_who_may() {
    let server = Running::start();
    let keys = server.get(Readonly, "/keys").expect(200);
    let list = keys["keys"].as_array().unwrap();
    for id in ["sei/1", "venue/1"] {
        assert!(
            list.iter()
                .any(|key| key["id"] == id && key["in_use"] == true),
            "{keys}"
        );
    }
    server.stop_everything();
    let events = server
        .get(Admin, "/audit/events?kind=halt.raised")
        .expect(200);
    assert_eq!(events["events"].as_array().unwrap().len(), 1, "{events}");
    assert_eq!(events["events"][0]["kind"], "halt.raised");
    let checkpoint = server.get(Admin, "/audit/checkpoint");
    assert!(
        [200, 404].contains(&checkpoint.status),
        "{}",
        checkpoint.body
    );
}
