//! The listener over real connections: what every answer has, whatever was asked.

use std::net::TcpStream;

use crate::web::testing::Running;

#[test]
fn every_answer_has_an_id_and_the_rate_and_is_not_stored() {
    let server = Running::with_rate(10);
    let answer = server.ask("GET", "/healthz", None, "");
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(answer.header("x-ratelimit-limit"), Some("10"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("9"));
    assert!(
        answer
            .header("x-ratelimit-reset")
            .is_some_and(|at| at.parse::<u64>().is_ok())
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let next = server.ask("GET", "/healthz", None, "");
    assert_ne!(
        answer.header("x-request-id").unwrap(),
        next.header("x-request-id").unwrap()
    );
}

#[test]
fn an_unknown_path_and_a_wrong_method_answer_with_the_envelope() {
    let server = Running::start();
    for path in [
        "/",
        "/nowhere",
        "/api/v1",
        "/healthz/",
        "/%00",
        "/api/v1/../healthz",
    ] {
        let answer = server.ask("GET", path, None, "");
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "NOT_FOUND"),
            "{path}"
        );
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "FROB"] {
        let answer = server.ask(method, "/healthz", None, "");
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (405, "METHOD_NOT_ALLOWED")
        );
        assert_eq!(answer.header("allow"), Some("GET"));
    }
}

#[test]
fn past_the_rate_the_answer_is_429_with_retry_after_before_anything_is_parsed() {
    let server = Running::with_rate(1);
    let answers: Vec<_> = (0..20)
        .map(|_| server.ask("POST", "/nowhere", None, "{"))
        .collect();
    let refused = answers
        .iter()
        .find(|answer| answer.status == 429)
        .expect("none refused");
    assert_eq!(refused.code(), "RATE_LIMIT_EXCEEDED");
    assert!(refused.error()["details"]["retry_after_ms"].is_u64());
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
}

#[test]
fn what_is_not_http_ends_the_connection_and_the_next_one_is_served() {
    let server = Running::start();
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000));
    for nonsense in [
        "\x16\x03\x01\x02\x00\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        &long,
    ] {
        let answer = server.raw(nonsense.as_bytes());
        let fine = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(fine, "{answer}");
    }
    assert_eq!(server.ask("GET", "/healthz", None, "").status, 200);
}

#[test]
fn a_body_past_64_kib_or_of_another_kind_is_refused_with_the_envelope() {
    let server = Running::start();
    let login = "/api/v1/auth/login";
    let fits = format!("{{\"api_key\":\"{}\"}}", "x".repeat(64 * 1024 - 14));
    assert_eq!(fits.len(), 64 * 1024);
    assert_eq!(
        server.ask("POST", login, None, &fits).code(),
        "INVALID_REQUEST"
    );
    let large = server.ask("POST", login, None, &format!("{fits} "));
    assert_eq!(
        (large.status, large.code().as_str()),
        (400, "BODY_TOO_LARGE")
    );
    assert_eq!(large.error()["details"]["field"], "body");
    let form = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b";
    let answer = server.raw(form.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 415 ") && answer.contains("UNSUPPORTED_MEDIA_TYPE"));
}

#[test]
fn a_body_that_ends_early_or_lies_about_its_encoding_does_no_harm() {
    let server = Running::start();
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    for rest in [
        "Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let answer = server.raw(format!("{head}{rest}").as_bytes());
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(server.ask("GET", "/healthz", None, "").status, 200);
}

#[test]
fn it_stops_when_told_although_a_connection_idles() {
    let server = Running::start();
    let idle = TcpStream::connect(server.address()).unwrap();
    drop(server);
    drop(idle);
}
