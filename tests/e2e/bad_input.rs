//! What is wrong is named, with the contract's status, and changes nothing.

use std::io::Write;

use serde_json::json;

use super::daemon::{Daemon, filling};
use super::http;

#[test]
fn a_wrong_field_of_an_order_is_named() {
    let daemon = Daemon::spawn();
    let bot = daemon.caller("system");
    let cases = [
        (r#"{"side":"buy","price":"0.25","size":"1"}"#, "symbol"),
        (
            r#"{"symbol":"SEI/USDC","side":"hold","price":"0.25","size":"1"}"#,
            "side",
        ),
        (
            r#"{"symbol":"SEI/USDC","side":"buy","price":0.25,"size":"1"}"#,
            "price",
        ),
        (
            r#"{"symbol":"SEI/USDC","side":"buy","price":"NaN","size":"1"}"#,
            "price",
        ),
        (
            r#"{"symbol":"SEI/USDC","side":"buy","price":"1E-400","size":"1"}"#,
            "price",
        ),
        (
            r#"{"symbol":"SEI/USDC","side":"buy","price":"0.25","size":"1e999"}"#,
            "size",
        ),
        (
            r#"{"symbol":"SEI/USDC","side":"buy","price":"0.25","size":"1","leverage":"9"}"#,
            "leverage",
        ),
        (
            r#"{"symbol":"SEI/USDC","side":"buy","side":"sell","price":"0.25","size":"1"}"#,
            "side",
        ),
        (
            r#"{"symbol":"SEI/USDC","side":"buy","price":"0.25","size":"1","order_type":"iceberg"}"#,
            "order_type",
        ),
        (
            r#"{"symbol":"SEI/USDC","side":"buy","price":"0.25","size":"1","client_order_id":"a b"}"#,
            "client_order_id",
        ),
        (
            r#"{"symbol":"SEI/USDC","side":"buy","price":"0.25","size":"1","client_order_id":""}"#,
            "client_order_id",
        ),
    ];
    for (body, field) in cases {
        let reply = bot.send("POST", "/trading/orders", Some(body)).unwrap();
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        let error = reply.json()["error"].clone();
        assert!(
            error["details"]
                .to_string()
                .contains(&format!("\"{field}\"")),
            "{field} is not named for {body}: {error}"
        );
    }
    for body in ["", "{", "[]", "null", "\"order\"", "{}x", "\u{0}"] {
        let reply = bot.send("POST", "/trading/orders", Some(body)).unwrap();
        assert_eq!(reply.status, 400, "{body:?}: {reply:?}");
        assert!(!reply.code().is_empty(), "{body:?}: {reply:?}");
    }
    assert!(daemon.venue().accepted().is_empty());
    bot.order(&filling("goes-on")).expect(201);
}

#[test]
fn a_body_over_64_kib_is_refused() {
    let daemon = Daemon::spawn();
    let mut order = filling("large-1");
    order["note"] = json!("x".repeat(64 * 1024));
    let reply = daemon.caller("system").order(&order);
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(!reply.code().is_empty(), "{reply:?}");
}

#[test]
fn every_error_comes_in_the_one_envelope_with_its_request_id() {
    let daemon = Daemon::spawn();
    let (bot, nobody) = (daemon.caller("system"), daemon.caller("system").bearing(""));
    let replies = [
        (404, bot.get("/nothing/here")),
        (404, bot.get("/rotations")),
        (405, bot.send("PUT", "/trading/orders", Some("{}")).unwrap()),
        (401, nobody.get("/trading/status")),
        (401, nobody.bearing("not.a.token").get("/trading/status")),
        (
            401,
            nobody.post("/auth/login", &json!({"api_key": "fg_wrong_wrong"})),
        ),
        (
            400,
            nobody.post("/auth/login", &json!({"key": "fg_wrong_wrong"})),
        ),
        (403, bot.post("/admin/pause", &json!({"reason": "no"}))),
        (400, bot.get("/trading/orders?limit=many")),
        (404, bot.get("/trading/orders/not-an-id")),
    ];
    for (status, reply) in replies {
        assert_eq!(reply.status, status, "{reply:?}");
        let error = &reply.json()["error"];
        for name in ["code", "message", "timestamp", "request_id"] {
            assert!(error[name].is_string(), "{name} is missing: {reply:?}");
        }
        assert!(error["details"].is_object(), "{reply:?}");
        assert_eq!(
            reply.header("x-request-id"),
            error["request_id"].as_str(),
            "{reply:?}"
        );
    }
}

#[test]
fn what_is_not_http_is_closed_and_the_service_goes_on() {
    let daemon = Daemon::spawn();
    let address = daemon.addresses().listen;
    let lines: [&[u8]; 5] = [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /api/v1/trading/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /api/v1/trading/orders HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
    ];
    for line in lines {
        let mut stream = http::connect(address).unwrap();
        stream.write_all(line).unwrap();
        let reply = http::read_reply(&mut stream);
        assert!(
            matches!(&reply, Ok(reply) if reply.status == 400) || reply.is_err(),
            "{reply:?}"
        );
    }
    daemon
        .caller("system")
        .order(&filling("goes-on"))
        .expect(201);
}

#[test]
fn all_mistakes_of_the_configuration_are_told_at_once() {
    let mut daemon = Daemon::initialised(&[]);
    daemon.set("GATE__NOPE", "1");
    daemon.set("GATE__PRICE_COLLAR_HARD_PCT", "wide");
    let file = daemon.data().join("flashguard.toml");
    std::fs::write(&file, "[venue]\nadaptor = \"paper\"\ntimeout_ms = -1\n").unwrap();
    let output = daemon.serve_refused();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "FLASHGUARD__GATE__NOPE",
        "price_collar_hard_pct",
        "venue.adaptor",
        "venue.timeout_ms",
        "flashguard.toml",
    ] {
        assert!(
            told.to_lowercase().contains(&part.to_lowercase()),
            "{part} is missing: {told}"
        );
    }
}
