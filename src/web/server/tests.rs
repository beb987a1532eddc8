//! The listener over real connections: what every answer has, whatever was asked.

use std::io::{Read, Write};
use std::net::TcpStream;

use flashguard_actors::domain::clock::{ManualClock, SeededEntropy, UnixMicros};

use super::*;
use crate::settings::Profile;
use crate::web::health::Readiness;
use crate::web::rate::RequestRate;

struct Running(Option<Server>);

impl Running {
    fn with_rate(per_s: u32) -> Self {
        let shared = web::Data::new(Shared {
            clock: ManualClock::at(UnixMicros(1_795_519_533_123_456)),
            entropy: SeededEntropy::new(1),
            profile: Profile::Development,
            started: UnixMicros(0),
            readiness: Readiness::default(),
            request_rate: RequestRate::per_second(per_s),
        });
        let any = "127.0.0.1:0".parse().unwrap();
        Self(Some(Server::start(Listener::Main, any, shared).unwrap()))
    }

    /// Sends raw bytes on a connection of their own and reads all that comes back.
    fn raw(&self, request: &[u8]) -> String {
        let address = self.0.as_ref().unwrap().address();
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn ask(&self, method: &str, path: &str, rest: &str) -> String {
        self.raw(
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{rest}")
                .as_bytes(),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.take().unwrap().stop().unwrap();
    }
}

/// The envelope of an answer, after checking what every answer must have.
fn envelope_of(answer: &str) -> serde_json::Value {
    let (head, body) = answer.split_once("\r\n\r\n").expect(answer);
    let id = head
        .lines()
        .find_map(|l| l.strip_prefix("x-request-id: "))
        .expect(head);
    let body: serde_json::Value = serde_json::from_str(body).expect(answer);
    let error = body["error"].clone();
    assert_eq!(error["request_id"], id);
    assert_eq!(error["timestamp"], "2026-11-24T11:25:33.123Z");
    assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()));
    assert!(error["details"].is_object());
    error
}

#[test]
fn every_answer_has_an_id_and_the_rate_and_is_not_stored() {
    let server = Running::with_rate(10);
    let answer = server.ask("GET", "/healthz", "\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for header in [
        "x-request-id: ",
        "x-ratelimit-limit: 10\r\n",
        "x-ratelimit-remaining: 9\r\n",
        "x-ratelimit-reset: 1795519534\r\n",
        "cache-control: no-store\r\n",
    ] {
        assert!(answer.contains(header), "{header} not in {answer}");
    }
    assert_ne!(answer, server.ask("GET", "/healthz", "\r\n"));
}

#[test]
fn an_unknown_path_and_a_wrong_method_answer_with_the_envelope() {
    let server = Running::with_rate(1_000);
    for path in [
        "/",
        "/nowhere",
        "/api/v1",
        "/healthz/",
        "/%00",
        "/api/v1/../healthz",
    ] {
        let answer = server.ask("GET", path, "\r\n");
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        assert_eq!(envelope_of(&answer)["code"], "NOT_FOUND", "{path}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "FROB"] {
        let answer = server.ask(method, "/healthz", "Content-Length: 0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 405 "), "{method}: {answer}");
        assert_eq!(envelope_of(&answer)["code"], "METHOD_NOT_ALLOWED");
        assert!(answer.contains("allow: GET\r\n"), "{answer}");
    }
}

#[test]
fn past_the_rate_the_answer_is_429_with_retry_after_before_anything_is_parsed() {
    let server = Running::with_rate(1);
    let answers: Vec<String> = (0..20)
        .map(|_| server.ask("POST", "/nowhere", "Content-Length: 1\r\n\r\n{"))
        .collect();
    let refused = answers
        .iter()
        .find(|a| a.starts_with("HTTP/1.1 429 "))
        .expect("none refused");
    let error = envelope_of(refused);
    assert_eq!(error["code"], "RATE_LIMIT_EXCEEDED");
    assert!(error["details"]["retry_after_ms"].is_u64());
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    assert!(
        refused.contains("x-ratelimit-remaining: 0\r\n"),
        "{refused}"
    );
}

#[test]
fn what_is_not_http_ends_the_connection_and_the_next_one_is_served() {
    let server = Running::with_rate(1_000);
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
    assert!(
        server
            .ask("GET", "/healthz", "\r\n")
            .starts_with("HTTP/1.1 200 ")
    );
}

#[test]
fn it_stops_when_told_although_a_connection_idles() {
    let server = Running::with_rate(1_000);
    let idle = TcpStream::connect(server.0.as_ref().unwrap().address()).unwrap();
    drop(server);
    drop(idle);
}
