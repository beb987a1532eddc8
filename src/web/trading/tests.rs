//! Orders over real connections, and each status of the contract.

use flashguard_actors::domain::identity::Role::{Admin, Readonly, System};
use serde_json::{Value, json};

use crate::web::testing::Running;

fn order(client_order_id: &str) -> Value {
    json!({
        "symbol": "SEI/USDC", "side": "buy", "price": "0.2510", "size": "100",
        "client_order_id": client_order_id,
    })
}

#[test]
fn a_placed_order_is_answered_with_its_signature_and_found_again() {
    let server = Running::start();
    let placed = server
        .post(System, "/trading/orders", &order("a-1"))
        .expect(201);
    for name in [
        "order_id",
        "status",
        "digest",
        "signature",
        "signer",
        "key_id",
        "signed_at_us",
        "expires_at_ms",
        "venue_order_id",
        "journal_seq",
    ] {
        assert!(!placed[name].is_null(), "{name} in {placed}");
    }
    assert_eq!(placed["client_order_id"], "a-1");
    let id = placed["order_id"].as_str().unwrap();
    let found = server
        .get(Readonly, &format!("/trading/orders/{id}"))
        .expect(200);
    assert_eq!(
        (&found["price"], &found["size"]),
        (&json!("0.251"), &json!("100"))
    );
    assert!(found["signature"].is_null(), "{found}");
    let listed = server
        .get(Admin, "/trading/orders?client_order_id=a-1&limit=1")
        .expect(200);
    assert_eq!(listed["orders"][0]["order_id"], placed["order_id"]);
}

#[test]
fn the_same_order_again_is_replayed_and_another_with_its_id_is_refused() {
    let server = Running::start();
    let first = server
        .post(System, "/trading/orders", &order("a-1"))
        .expect(201);
    let again = server
        .post(System, "/trading/orders", &order("a-1"))
        .expect(200);
    assert_eq!(
        (&again["replayed"], &again["order_id"]),
        (&json!(true), &first["order_id"])
    );
    assert_eq!(again["signature"], first["signature"]);
    let mut other = order("a-1");
    other["size"] = json!("101");
    let details = server
        .post(System, "/trading/orders", &other)
        .expect_error(409, "DUPLICATE_ORDER");
    assert_eq!(details["order_id"], first["order_id"]);
}

#[test]
fn every_denial_stands_in_the_answer_with_its_numbers() {
    let server = Running::start();
    let wild = json!({"symbol": "SEI/USDC", "side": "buy", "price": "0.30005", "size": "20000.5"});
    let answer = server.post(System, "/trading/orders", &wild);
    assert_eq!(answer.status, 422, "{}", answer.body);
    let error = answer.error();
    let denials = error["details"]["denials"].as_array().unwrap();
    let codes: Vec<_> = denials
        .iter()
        .map(|d| d["code"].as_str().unwrap())
        .collect();
    for code in ["TICK", "LOT", "PRICE_COLLAR"] {
        assert!(codes.contains(&code), "{codes:?}");
    }
    assert_eq!(error["code"], codes[0]);
    let tick = denials.iter().find(|d| d["code"] == "TICK").unwrap();
    assert_eq!(
        (&tick["price"], &tick["tick"]),
        (&json!("0.30005"), &json!("0.0001"))
    );
    let unknown = json!({"symbol": "ABC/DEF", "side": "buy", "price": "1", "size": "1"});
    server
        .post(System, "/trading/orders", &unknown)
        .expect_error(422, "UNKNOWN_SYMBOL");
}

#[test]
fn paused_and_halted_trading_says_so_and_a_replay_then_holds_no_signature() {
    let server = Running::start();
    server
        .post(System, "/trading/orders", &order("a-1"))
        .expect(201);
    server
        .post(Admin, "/admin/pause", &json!({"reason": "lunch"}))
        .expect(200);
    server
        .post(System, "/trading/orders", &order("a-2"))
        .expect_error(503, "TRADING_PAUSED");
    assert_eq!(
        server.get(Readonly, "/trading/status").expect(200)["status"],
        "paused"
    );
    server
        .post(Admin, "/admin/resume", &json!({"reason": "back"}))
        .expect(200);
    server.stop_everything();
    server
        .post(System, "/trading/orders", &order("a-2"))
        .expect_error(503, "TRADING_HALTED");
    let replay = server
        .post(System, "/trading/orders", &order("a-1"))
        .expect(200);
    assert!(replay["signature"].is_null(), "{replay}");
}

#[test]
fn fills_and_positions_follow_an_order() {
    let server = Running::start();
    server
        .post(System, "/trading/orders", &order("a-1"))
        .expect(201);
    let held = (0..1_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let all = server.get(Readonly, "/trading/positions").expect(200);
        all["positions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|p| p["size"] == "100")
    });
    assert!(held, "no position");
    // The position moves when the fill is counted; its record rides with the next commit.
    let listed = (0..1_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let all = server
            .get(Readonly, "/trading/fills?symbol=SEI%2FUSDC")
            .expect(200);
        let fills = all["fills"].as_array().unwrap();
        fills.len() == 1 && fills[0]["size"] == "100"
    });
    assert!(listed, "no fill");
}

#[test]
fn an_order_that_does_not_exist_is_not_found() {
    let server = Running::start();
    let unknown = "/trading/orders/01930000-0000-7000-8000-000000000000";
    server.get(Readonly, unknown).expect_error(404, "NOT_FOUND");
    server
        .delete(System, unknown)
        .expect_error(404, "NOT_FOUND");
    server
        .get(Readonly, "/trading/orders/nonsense")
        .expect_error(404, "NOT_FOUND");
    let all = server
        .delete(System, "/trading/orders?symbol=SEI%2FUSDC")
        .expect(200);
    assert_eq!(all, json!({"cancelled": 0, "unconfirmed": 0}));
}

#[test]
fn a_query_is_read_strictly() {
    let server = Running::start();
    for (query, field) in [
        ("limit=many", "limit"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("status=OPEN", "status"),
        ("status=open&status=open", "status"),
        ("colour=red", "colour"),
        ("after=-1", "after"),
        ("client_order_id=a%20b", "client_order_id"),
    ] {
        let answer = server.get(Readonly, &format!("/trading/orders?{query}"));
        let details = answer.expect_error(400, "INVALID_REQUEST");
        assert_eq!(details["field"], field, "{query}");
    }
    let bad = server.get(Readonly, "/trading/fills?since=yesterday&symbol=sei");
    let fields = bad.expect_error(400, "INVALID_REQUEST")["fields"].clone();
    assert_eq!(fields.as_array().unwrap().len(), 2, "{fields}");
}

#[test]
fn a_check_tells_what_each_rule_finds_and_what_would_be_signed_and_changes_nothing() {
    let server = Running::with(1_000_000, &[("gate.order_rate_burst", "1")]);
    let head = || server.system().floor().journal.head().size;
    let path = "/trading/orders/check";
    let before = head();
    for _ in 0..5 {
        let good = server.post(System, path, &order("a-1")).expect(200);
        assert_eq!(good["admitted"], true, "{good}");
        let rules = good["rules"].as_array().unwrap();
        assert!(rules.iter().all(|rule| rule["outcome"] == "pass"), "{good}");
        let notional = rules.iter().find(|rule| rule["code"] == "ORDER_NOTIONAL");
        assert_eq!(
            (&notional.unwrap()["value"], &notional.unwrap()["limit"]),
            (&json!("25.1"), &json!("1000"))
        );
        assert_eq!(good["preimage"]["message"]["price"], "0.251");
        assert_eq!(good["digest"].as_str().unwrap().len(), 66);
    }
    let mut far = order("a-1");
    far["price"] = json!("0.5");
    let bad = server.post(System, path, &far).expect(200);
    assert_eq!(bad["admitted"], false, "{bad}");
    let rules = bad["rules"].as_array().unwrap();
    let collar = rules.iter().find(|rule| rule["code"] == "PRICE_COLLAR");
    let collar = collar.unwrap();
    assert_eq!(
        (&collar["outcome"], &collar["limit_pct"]),
        (&json!("denied"), &json!("5"))
    );
    server
        .post(System, path, &json!({"symbol": "SEI/USDC"}))
        .expect_error(400, "INVALID_REQUEST");
    assert_eq!(head(), before, "nothing is journaled");
    server
        .post(System, "/trading/orders", &order("a-1"))
        .expect(201);
    server
        .post(Admin, "/admin/pause", &json!({"reason": "lunch"}))
        .expect(200);
    let paused = server.post(System, path, &order("a-2")).expect(200);
    assert_eq!(
        (&paused["admitted"], &paused["trading"]),
        (&json!(false), &json!("paused"))
    );
}

#[test]
fn a_market_order_is_priced_by_the_gate_and_sent_as_an_ioc() {
    let server = Running::start();
    let market =
        json!({"symbol": "SEI/USDC", "side": "buy", "size": "100", "order_type": "market"});
    let placed = server.post(System, "/trading/orders", &market).expect(201);
    let id = placed["order_id"].as_str().unwrap();
    let found = server
        .get(Readonly, &format!("/trading/orders/{id}"))
        .expect(200);
    assert_eq!(
        (&found["price"], &found["order_type"]),
        (&json!("0.2625"), &json!("ioc"))
    );
    let mut priced = market;
    priced["price"] = json!("0.25");
    let details = server
        .post(System, "/trading/orders", &priced)
        .expect_error(400, "INVALID_REQUEST");
    assert_eq!(details["field"], "price");
}
