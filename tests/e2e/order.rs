//! An order from the caller to the venue and back.

use std::collections::HashSet;
use std::thread;

use serde_json::{Value, json};

use super::daemon::{Caller, Daemon, filling, resting};
use super::until::until;

/// Waits until the order stands so.
#[track_caller]
fn until_status(caller: &Caller, order_id: &str, wanted: &str) -> Value {
    until(&format!("the order is {wanted}"), || {
        let order = caller
            .get(&format!("/trading/orders/{order_id}"))
            .expect(200);
        if order["status"] == wanted {
            Ok(order)
        } else {
            Err(order.to_string())
        }
    })
}

fn order_id(answer: &Value) -> String {
    answer["order_id"].as_str().unwrap().to_owned()
}

#[test]
fn an_order_travels_the_whole_way_to_a_fill_and_a_position() {
    let daemon = Daemon::spawn();
    let bot = daemon.login("system");

    let answer = bot.order(&filling("first-1")).expect(201);
    for name in [
        "order_id",
        "client_order_id",
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
        assert!(!answer[name].is_null(), "{name} is missing: {answer}");
    }
    let signature = answer["signature"]
        .as_str()
        .unwrap()
        .trim_start_matches("0x");
    assert_eq!(signature.len(), 130, "r, s and v in hex: {signature}");
    assert!(
        signature.ends_with("1b") || signature.ends_with("1c"),
        "v is 27 or 28: {signature}"
    );

    let id = order_id(&answer);
    until_status(&bot, &id, "filled");
    until("the position is there", || {
        let positions = bot.get("/trading/positions").expect(200);
        let list = positions["positions"].as_array().unwrap();
        let ours = list
            .iter()
            .find(|position| position["symbol"] == "SEI/USDC");
        match ours {
            Some(position) if position.to_string().contains("\"100\"") => Ok(()),
            _ => Err(positions.to_string()),
        }
    });
    until("the fill is listed", || {
        let fills = bot.get("/trading/fills?symbol=SEI%2FUSDC").expect(200);
        match fills["fills"].as_array().unwrap().len() {
            1 => Ok(()),
            _ => Err(fills.to_string()),
        }
    });
    let listed = bot
        .get("/trading/orders?client_order_id=first-1")
        .expect(200);
    assert_eq!(
        listed["orders"][0]["order_id"], answer["order_id"],
        "{listed}"
    );
    assert_eq!(daemon.venue().accepted(), [id]);
}

#[test]
fn the_same_order_again_is_answered_with_the_first_and_sent_once() {
    let daemon = Daemon::spawn();
    let bot = daemon.caller("system");
    let first = bot.order(&filling("again-1")).expect(201);
    let again = bot.order(&filling("again-1")).expect(200);
    assert_eq!(again["replayed"], true, "{again}");
    assert_eq!(again["order_id"], first["order_id"]);

    let mut other = filling("again-1");
    other["size"] = json!("101");
    bot.order(&other).expect_error(409, "DUPLICATE_ORDER");
    assert_eq!(daemon.venue().accepted(), [order_id(&first)]);
}

#[test]
fn of_many_callers_with_one_id_at_once_one_order_is_placed_and_all_are_told_of_it() {
    let daemon = Daemon::spawn();
    let bot = daemon.caller("system");
    let replies: Vec<_> = thread::scope(|scope| {
        let callers: Vec<_> = (0..32)
            .map(|_| scope.spawn(|| bot.order(&filling("same"))))
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    });
    let ids: HashSet<_> = replies
        .iter()
        .map(|reply| order_id(&reply.json()))
        .collect();
    assert_eq!(ids.len(), 1, "{replies:?}");
    let count = |status| {
        replies
            .iter()
            .filter(|reply| reply.status == status)
            .count()
    };
    assert_eq!((count(201), count(200)), (1, 31), "{replies:?}");
    assert_eq!(daemon.venue().accepted().len(), 1);
}

#[test]
fn an_id_of_which_a_denied_order_made_use_is_free() {
    let daemon = Daemon::spawn();
    let bot = daemon.caller("system");
    let mut far = filling("free-1");
    far["price"] = json!("0.5000");
    bot.order(&far).expect_error(422, "PRICE_COLLAR");
    bot.order(&filling("free-1")).expect(201);
}

#[test]
fn every_rule_that_an_order_breaks_is_told_at_once_with_its_numbers() {
    let daemon = Daemon::spawn_with(&[
        ("GATE__POSITION_LIMIT_USDC", "2000"),
        ("GATE__GROSS_EXPOSURE_MAX_USDC", "4000"),
    ]);
    let reply = daemon.caller("system").order(&json!({
        "symbol": "SEI/USDC", "side": "buy", "price": "0.30005", "size": "20000.5",
    }));
    assert_eq!(reply.status, 422, "{reply:?}");
    for code in [
        "TICK",
        "LOT",
        "PRICE_COLLAR",
        "ORDER_NOTIONAL",
        "POSITION_LIMIT",
        "GROSS_EXPOSURE",
    ] {
        assert!(
            reply.body.contains(&format!("\"{code}\"")),
            "{code} is missing: {}",
            reply.body
        );
    }
    for number in ["0.30005", "20000.5", "2000", "4000"] {
        assert!(
            reply.body.contains(&format!("\"{number}\"")),
            "{number} is missing: {}",
            reply.body
        );
    }
    assert!(daemon.venue().accepted().is_empty());
}

#[test]
fn who_may_not_trade_is_refused_and_nothing_leaves() {
    let daemon = Daemon::spawn();
    for name in ["readonly", "admin", "admin2"] {
        assert_eq!(
            daemon.caller(name).order(&filling("no")).status,
            403,
            "{name}"
        );
        assert_eq!(
            daemon.login(name).order(&filling("no")).status,
            403,
            "{name} with a token"
        );
    }
    let nobody = daemon.caller("system").bearing("");
    assert_eq!(nobody.order(&filling("no")).status, 401);
    assert_eq!(
        nobody
            .bearing("fg_nobody_0000")
            .order(&filling("no"))
            .status,
        401
    );
    assert!(daemon.venue().accepted().is_empty());
}

#[test]
fn a_token_is_refused_after_the_logout() {
    let daemon = Daemon::spawn();
    let bot = daemon.login("system");
    assert_eq!(bot.get("/auth/me").expect(200)["role"], "system");
    let reply = bot.post("/auth/logout", &json!({}));
    assert!(reply.status < 300, "{reply:?}");
    assert_eq!(bot.get("/auth/me").status, 401);
    assert_eq!(bot.order(&filling("no")).status, 401);
}

#[test]
fn orders_at_once_never_exceed_a_limit_together() {
    // 100 x 0.2400 = 24 USDC each; a hundred of them land exactly on the limit.
    let daemon = Daemon::spawn_with(&[("GATE__POSITION_LIMIT_USDC", "2400")]);
    let bot = daemon.caller("system");
    let replies: Vec<_> = thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let bot = &bot;
                scope.spawn(move || -> Vec<_> {
                    (0..25)
                        .map(|n| bot.order(&resting(&format!("limit-{sender}-{n}"))))
                        .collect()
                })
            })
            .collect();
        senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect()
    });
    let count = |status| {
        replies
            .iter()
            .filter(|reply| reply.status == status)
            .count()
    };
    assert_eq!((count(201), count(422)), (100, 100));
    let denied = replies.iter().find(|reply| reply.status == 422).unwrap();
    denied.expect_error(422, "POSITION_LIMIT");
    assert_eq!(daemon.venue().open().len(), 100);
}

#[test]
fn a_client_that_sends_too_fast_is_told_when_to_go_on_and_may_still_cancel() {
    let daemon = Daemon::spawn_with(&[
        ("GATE__ORDER_RATE_PER_S", "1"),
        ("GATE__ORDER_RATE_BURST", "3"),
    ]);
    let bot = daemon.caller("system");
    let first = bot.order(&resting("rate-0")).expect(201);
    let denied = until("an order is denied for its rate", || {
        let mut order = resting("");
        order.as_object_mut().unwrap().remove("client_order_id");
        let reply = bot.order(&order);
        if reply.status == 422 {
            Ok(reply)
        } else {
            Err(format!("{reply:?}"))
        }
    });
    denied.expect_error(422, "ORDER_RATE");
    assert!(denied.body.contains("retry_after_ms"), "{denied:?}");
    let cancelled = bot
        .delete(&format!("/trading/orders/{}", order_id(&first)))
        .expect(200);
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
}

#[test]
fn an_order_that_the_venue_refuses_is_told_as_such() {
    let daemon = Daemon::spawn();
    let mut crossing = filling("cross-1");
    crossing["order_type"] = json!("post_only");
    daemon
        .caller("system")
        .order(&crossing)
        .expect_error(422, "VENUE_REJECTED");
    assert!(daemon.venue().open().is_empty());
}

#[test]
fn what_an_ioc_cannot_fill_is_cancelled() {
    let daemon = Daemon::spawn();
    let bot = daemon.caller("system");
    let mut ioc = resting("ioc-1");
    ioc["order_type"] = json!("ioc");
    let answer = bot.order(&ioc).expect(201);
    until_status(&bot, &order_id(&answer), "cancelled");
    assert!(daemon.venue().open().is_empty());
}

#[test]
fn cancelled_orders_are_gone_from_the_venue() {
    let daemon = Daemon::spawn();
    let (bot, admin) = (daemon.caller("system"), daemon.caller("admin"));
    let ids: Vec<_> = (0..4)
        .map(|n| order_id(&bot.order(&resting(&format!("rest-{n}"))).expect(201)))
        .collect();
    assert_eq!(daemon.venue().open(), ids);

    let one = bot
        .delete(&format!("/trading/orders/{}", ids[0]))
        .expect(200);
    assert_eq!(one["status"], "cancelled", "{one}");
    assert_eq!(daemon.venue().open(), ids[1..]);

    assert_eq!(
        daemon
            .caller("readonly")
            .delete("/trading/orders?symbol=SEI%2FUSDC")
            .status,
        403
    );
    let rest = admin
        .delete("/trading/orders?symbol=SEI%2FUSDC")
        .expect(200);
    assert_eq!(rest["unconfirmed"], 0, "{rest}");
    assert!(daemon.venue().open().is_empty());
    until_status(&bot, &ids[3], "cancelled");
    assert_eq!(
        bot.delete("/trading/orders/00000000-0000-7000-8000-000000000000")
            .status,
        404
    );
}

#[test]
fn a_pause_stops_orders_but_no_cancels_and_a_resume_ends_it() {
    let daemon = Daemon::spawn();
    let (bot, admin) = (daemon.caller("system"), daemon.caller("admin"));
    let id = order_id(&bot.order(&resting("pause-1")).expect(201));
    admin
        .post("/admin/pause", &json!({"reason": "lunch"}))
        .expect(200);
    assert_eq!(admin.status()["status"], "paused");
    bot.order(&filling("pause-2"))
        .expect_error(503, "TRADING_PAUSED");
    bot.delete(&format!("/trading/orders/{id}")).expect(200);

    daemon
        .caller("readonly")
        .post("/admin/resume", &json!({"reason": "no"}))
        .expect_error(403, "FORBIDDEN");
    admin
        .post("/admin/resume", &json!({"reason": "back"}))
        .expect(200);
    assert_eq!(admin.status()["status"], "active");
    bot.order(&filling("pause-2")).expect(201);
}

#[test]
fn an_order_stands_in_the_very_next_listing() {
    const ORDERS: usize = 100;
    let daemon = Daemon::spawn();
    let caller = daemon.caller("system");
    for n in 0..ORDERS {
        let placed = caller.order(&resting(&format!("listed-{n}"))).expect(201);
        let listed = caller
            .get("/trading/orders?status=open&limit=3")
            .expect(200);
        let newest = &listed["orders"][0];
        assert_eq!(
            newest["order_id"], placed["order_id"],
            "order {n}: {listed}"
        );
        assert_eq!(newest["status"], "open", "order {n}: {listed}");
        assert!(newest["fees"].is_string(), "order {n}: {listed}");
    }
    let id = "/trading/orders?client_order_id=listed-7";
    let cancelled = caller.get(id).expect(200)["orders"][0].clone();
    let path = format!(
        "/trading/orders/{}",
        cancelled["order_id"].as_str().unwrap()
    );
    caller.delete(&path).expect(200);
    let mut open = 0;
    let mut after = String::new();
    for _ in 0..ORDERS {
        let page = caller.get(&format!("/trading/orders?status=open&limit=7{after}"));
        let page = page.expect(200);
        open += page["orders"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(open, ORDERS - 1, "all but the cancelled one, each once");
}
