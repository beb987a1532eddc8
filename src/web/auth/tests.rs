//! Logging in and out over real connections.

use flashguard_actors::domain::identity::Role;

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
