//! Logging in and out over real connections.

use flashguard_actors::domain::identity::Role;
use serde_json::{Value, json};

use crate::web::testing::Running;

fn login(server: &Running, key: &str) -> crate::web::testing::Answer {
    server.ask(
        "POST",
        "/api/v1/auth/login",
        None,
        &format!("{{\"api_key\":\"{key}\"}}"),
    )
}

#[test]
fn a_key_becomes_a_token_that_says_who_it_is_until_it_is_logged_out() {
    let server = Running::start();
    let answer = login(&server, server.key(Role::System));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    assert_eq!(
        (body["token_type"].as_str(), body["expires_in"].as_u64()),
        (Some("bearer"), Some(3_600))
    );
    assert_eq!(body["role"], "system");
    let token = body["access_token"].as_str().unwrap();
    let me = server.ask("GET", "/api/v1/auth/me", Some(token), "");
    assert_eq!((me.status, me.json()["owner"].as_str()), (200, Some("ann")));
    assert_eq!(
        server
            .ask("POST", "/api/v1/auth/logout", Some(token), "")
            .status,
        200
    );
    let after = server.ask("GET", "/api/v1/auth/me", Some(token), "");
    assert_eq!(
        (after.status, after.code().as_str()),
        (401, "UNAUTHENTICATED")
    );
    assert_eq!(after.header("www-authenticate"), Some("Bearer"));
}

#[test]
fn every_wrong_key_is_answered_alike_and_nothing_of_it_comes_back() {
    let server = Running::start();
    let mut other = server.key(Role::Admin).to_owned();
    let last = if other.ends_with('0') { "1" } else { "0" };
    other.replace_range(other.len() - 1.., last);
    let answers: Vec<_> = [other.as_str(), "fg_0123456789ab_x", "nonsense"]
        .map(|key| login(&server, key))
        .into();
    for answer in &answers {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "INVALID_CREDENTIALS")
        );
        assert_eq!(answer.error()["message"], answers[0].error()["message"]);
        assert!(!answer.body.contains(&other) && !answer.body.contains("nonsense"));
    }
}

#[test]
fn a_body_without_the_key_names_the_field() {
    let server = Running::start();
    for (body, field) in [
        ("{}", "api_key"),
        ("{\"api_key\":1}", "api_key"),
        ("{\"api_key\":\"x\",\"user\":\"ann\"}", "user"),
        ("", "body"),
    ] {
        let answer = server.ask("POST", "/api/v1/auth/login", None, body);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "INVALID_REQUEST"),
            "{body}"
        );
        assert_eq!(answer.error()["details"]["field"], field, "{body}");
    }
}

#[test]
fn a_token_is_not_given_out_when_its_login_cannot_be_recorded() {
    let server = Running::start();
    server.break_journal();
    let answer = login(&server, server.key(Role::Admin));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "JOURNAL_UNAVAILABLE")
    );
    assert!(!answer.body.contains("access_token"));
}

#[test]
fn an_api_key_is_a_credential_itself_and_is_not_logged_out() {
    let server = Running::start();
    let key = server.key(Role::Readonly);
    assert_eq!(
        server.ask("GET", "/api/v1/auth/me", Some(key), "").status,
        200
    );
    let answer = server.ask("POST", "/api/v1/auth/logout", Some(key), "");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (409, "NOT_A_TOKEN")
    );
    assert_eq!(
        server.ask("GET", "/api/v1/auth/me", Some(key), "").status,
        200
    );
}

/// What the journal knows of a kind of refusal, once each has its first record.
fn events(running: &Running, kind: &str) -> Vec<Value> {
    let path = format!("/audit/events?kind={kind}");
    for _ in 0..2_000 {
        let events = running.get(Role::Admin, &path).expect(200)["events"].clone();
        if events.as_array().is_some_and(|events| !events.is_empty()) {
            return events.as_array().unwrap().clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("no {kind} in the journal")
}

#[test]
fn a_request_without_the_permission_is_journaled_with_who_asked_for_what() {
    let running = Running::start();
    let key = running.get(Role::Readonly, "/auth/me").expect(200)["principal"].clone();
    running
        .post(Role::Readonly, "/admin/pause", &json!({"reason": "x"}))
        .expect_error(403, "FORBIDDEN");
    let events = events(&running, "auth.denied");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["principal"], key);
    let data =
        json!({"route": "POST /api/v1/admin/pause", "permission": "trading.pause", "count": 1});
    assert_eq!(events[0]["data"], data);
    assert_eq!(events[0]["private"]["address"], "127.0.0.1");
}

#[test]
fn a_credential_that_nobody_stands_behind_is_journaled_with_its_address() {
    let running = Running::start();
    for bearer in [Some("no.such.token"), None] {
        let stranger = running.ask("GET", "/api/v1/keys", bearer, "");
        stranger.expect_error(401, "UNAUTHENTICATED");
    }
    let events = events(&running, "auth.failed");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["data"]["count"], 1);
    assert_eq!(events[0]["private"]["address"], "127.0.0.1");
}

/// J6: whatever is refused, the journal grows by records per window, not per request.
#[test]
fn floods_of_refusals_grow_the_journal_by_a_few_records() {
    const FLOOD: usize = 1_000;
    /// The first of each kind, and a count of each for every second that the flood may take.
    const RECORDS_MAX: u64 = 60;
    let limits = [
        ("gate.order_rate_per_s", "1000000"),
        ("gate.order_rate_burst", "1000000"),
    ];
    let running = Running::with(1_000_000, &limits);
    let size = || running.system().floor().journal.head().size;
    let before = size();
    let wrong = json!({"api_key": format!("fg_{}_{}", "0".repeat(12), "0".repeat(64))});
    let order = json!({"symbol": "NO/SUCH", "side": "buy", "price": "1", "size": "1"});
    for _ in 0..FLOOD {
        let path = "/trading/orders";
        running
            .post(Role::Readonly, path, &order)
            .expect_error(403, "FORBIDDEN");
        running
            .post(Role::System, path, &order)
            .expect_error(422, "UNKNOWN_SYMBOL");
        let login = running.ask("POST", "/api/v1/auth/login", None, &wrong.to_string());
        login.expect_error(401, "INVALID_CREDENTIALS");
        let stranger = running.ask("GET", "/api/v1/keys", Some("no.such.token"), "");
        stranger.expect_error(401, "UNAUTHENTICATED");
    }
    for kind in ["auth.denied", "auth.failed", "order.denied"] {
        let events = events(&running, kind);
        assert!(events.len() < 30, "{kind}: {} records", events.len());
    }
    let grown = size() - before;
    assert!(grown <= RECORDS_MAX, "{grown} records");
}
