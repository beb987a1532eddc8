use serde_json::{Value, json};

use super::*;

const ID: &str = "01935f5e-0000-7000-8000-000000000001";

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn refusal(code: &str) -> Vec<u8> {
    bytes(&json!({ "error": { "code": code, "message": "no" } }))
}

fn order_json() -> Value {
    json!({
        "order_id": "P1", "client_order_id": ID, "market_id": "SEI/USDC", "side": "buy",
        "order_type": "limit", "price": "0.25", "quantity": "100", "filled": "40",
        "status": "partially_filled", "anything": [1, 2],
    })
}

fn asked() -> OrderId {
    OrderId::parse(ID).unwrap()
}

fn is_unreadable(query: &Query, body: &Value) -> bool {
    matches!(
        reply(query, 200, &bytes(body)),
        Err(VenueError::Unreadable { .. })
    )
}

#[test]
fn a_clear_yes_is_placed_in_the_state_that_it_names() {
    for word in ["open", "partially_filled", "filled", "cancelled"] {
        let body = bytes(&json!({ "order_id": "P1", "status": word }));
        let OrderAnswer::Placed {
            venue_order_id,
            status,
        } = order_answer(201, &body)
        else {
            panic!("{word} is not placed")
        };
        assert_eq!((venue_order_id.as_str(), status.as_str()), ("P1", word));
    }
    let body = bytes(&json!({ "order_id": "P1", "status": "rejected" }));
    assert!(matches!(
        order_answer(200, &body),
        OrderAnswer::Rejected { .. }
    ));
}

#[test]
fn what_is_no_clear_yes_is_never_placed() {
    for body in [
        json!({ "order_id": "", "status": "open" }),
        json!({ "order_id": "P 1", "status": "open" }),
        json!({ "order_id": 1, "status": "open" }),
        json!({ "order_id": "P1", "status": "in_doubt" }),
        json!({ "order_id": "P1", "status": "OPEN" }),
        json!({ "order_id": "P1" }),
        json!({ "status": "open" }),
        json!([]),
    ] {
        assert_eq!(
            order_answer(200, &bytes(&body)),
            OrderAnswer::Unclear { status: 200 },
            "{body}"
        );
    }
    let yes = bytes(&json!({ "order_id": "P1", "status": "open" }));
    for status in [
        0, 100, 202, 204, 301, 302, 400, 409, 422, 429, 500, 502, 503, 999,
    ] {
        assert_eq!(order_answer(status, &yes), OrderAnswer::Unclear { status });
    }
}

#[test]
fn only_a_refusal_in_the_envelope_is_a_rejection() {
    let rejected = OrderAnswer::Rejected {
        code: "TICK_SIZE".into(),
        message: "no".into(),
    };
    for status in [400, 401, 403, 422] {
        assert_eq!(order_answer(status, &refusal("TICK_SIZE")), rejected);
        assert_eq!(
            order_answer(status, b"<html>"),
            OrderAnswer::Unclear { status }
        );
        assert_eq!(
            order_answer(status, &refusal("")),
            OrderAnswer::Unclear { status }
        );
    }
    for status in [200, 408, 409, 425, 429, 500, 503] {
        assert_eq!(
            order_answer(status, &refusal("NO")),
            OrderAnswer::Unclear { status }
        );
    }
}

#[test]
fn the_words_of_a_rejection_are_bounded_and_plain() {
    let long =
        bytes(&json!({ "error": { "code": "C\n".repeat(100), "message": "é\u{7}".repeat(300) } }));
    let OrderAnswer::Rejected { code, message } = order_answer(422, &long) else {
        panic!("unclear")
    };
    assert_eq!((code, message), ("C".repeat(64), "é".repeat(256)));
}

#[test]
fn a_lookup_says_absent_only_when_the_venue_does() {
    let lookup = Query::OrderById(asked());
    assert_eq!(
        reply(&lookup, 404, &refusal("UNKNOWN_ORDER")),
        Ok(Reply::Order(None))
    );
    for body in [refusal("NOT_FOUND"), b"not found".to_vec(), Vec::new()] {
        assert!(matches!(
            reply(&lookup, 404, &body),
            Err(VenueError::Unreadable { .. })
        ));
    }
    assert!(reply(&Query::OpenOrders, 404, &refusal("UNKNOWN_ORDER")).is_err());
}

#[test]
fn an_order_is_read_and_another_than_the_one_asked_for_is_not() {
    let found = reply(&Query::OrderById(asked()), 200, &bytes(&order_json()));
    let Ok(Reply::Order(Some(order))) = found else {
        panic!("{found:?}")
    };
    assert_eq!(
        (order.order_id, order.filled),
        (Some(asked()), Decimal::from(40))
    );
    let other = OrderId::parse("01935f5e-0000-7000-8000-000000000002").unwrap();
    assert!(is_unreadable(&Query::OrderById(other), &order_json()));
    let mut foreign = order_json();
    foreign["client_order_id"] = json!("by hand");
    let open = reply(
        &Query::OpenOrders,
        200,
        &bytes(&json!({ "orders": [foreign] })),
    );
    let Ok(Reply::OpenOrders(orders)) = open else {
        panic!("{open:?}")
    };
    assert_eq!(
        orders[0].order_id, None,
        "an order that is not ours is still an order"
    );
}

#[test]
fn one_bad_order_spoils_the_list() {
    for (field, value) in [
        ("price", json!("0")),
        ("price", json!("-1")),
        ("price", json!(0.25)),
        ("price", json!("1e3")),
        ("quantity", json!("NaN")),
        ("filled", json!("101")),
        ("filled", json!("-1")),
        ("status", json!("not_placed")),
        ("side", json!("BUY")),
        ("market_id", json!("sei")),
        ("order_id", json!("")),
    ] {
        let mut bad = order_json();
        bad[field] = value;
        assert!(
            is_unreadable(
                &Query::OpenOrders,
                &json!({ "orders": [order_json(), bad] })
            ),
            "{field}"
        );
    }
}

#[test]
fn a_list_that_says_that_more_follows_is_not_all_that_rests() {
    let whole = json!({ "orders": [order_json()], "next": null });
    assert!(!is_unreadable(&Query::OpenOrders, &whole));
    let part = json!({ "orders": [order_json()], "next": 7 });
    assert!(is_unreadable(&Query::OpenOrders, &part));
}

#[test]
fn a_cancel_is_accepted_or_had_nothing_to_do() {
    let cancel = Query::Cancel(VenueOrderId::try_from("P1".to_owned()).unwrap());
    let answered = |word: &str| {
        reply(
            &cancel,
            200,
            &bytes(&json!({ "order_id": "P1", "status": word })),
        )
        .unwrap()
    };
    assert_eq!(answered("cancelled"), Reply::CancelAccepted);
    assert_eq!(
        answered("open"),
        Reply::CancelAccepted,
        "accepted is not done"
    );
    assert_eq!(answered("filled"), Reply::NothingToCancel);
    assert_eq!(
        reply(&cancel, 404, &refusal("UNKNOWN_ORDER")),
        Ok(Reply::NothingToCancel)
    );
    let all = reply(&Query::CancelAll, 200, b"{\"cancelled\":[]}");
    assert_eq!(all, Ok(Reply::CancelAllAccepted));
    assert!(reply(&Query::CancelAll, 200, b"<html>").is_err());
}

#[test]
fn a_book_gives_its_best_prices_and_0_for_a_side_that_is_empty() {
    let sei = Symbol::parse("SEI/USDC").unwrap();
    let book = |symbol: &str, bids: Value, asks: Value| json!({ "symbol": symbol, "bids": bids, "asks": asks });
    let good = book(
        "SEI/USDC",
        json!([["0.2499", "1"]]),
        json!([["0.2501", "1"]]),
    );
    let d = |text| Decimal::from_str_exact(text).unwrap();
    let quote = |bid, ask| {
        Ok(Reply::Book(Quote {
            bid: d(bid),
            ask: d(ask),
        }))
    };
    let read = |book: &Value| reply(&Query::Book(sei.clone()), 200, &bytes(book));
    assert_eq!(read(&good), quote("0.2499", "0.2501"));
    let empty = book("SEI/USDC", json!([]), json!([["0.2501", "1"]]));
    assert_eq!(read(&empty), quote("0", "0.2501"));
    let crossed = book("SEI/USDC", json!([["0.26", "1"]]), json!([["0.25", "1"]]));
    assert_eq!(read(&crossed), quote("0.26", "0.25"));
    for bad in [
        book(
            "ETH/USDC",
            json!([["0.2499", "1"]]),
            json!([["0.2501", "1"]]),
        ),
        book("SEI/USDC", json!([["0", "1"]]), json!([["0.2501", "1"]])),
    ] {
        assert!(is_unreadable(&Query::Book(sei.clone()), &bad), "{bad}");
    }
}

#[test]
fn who_is_to_blame_is_told_apart() {
    let ask = |status| reply(&Query::Positions, status, &refusal("X")).unwrap_err();
    assert_eq!(ask(401), VenueError::CredentialRejected);
    assert_eq!(ask(403), VenueError::CredentialRejected);
    assert_eq!(
        ask(429),
        VenueError::Throttled {
            retry_after_ms: None
        }
    );
    assert!(matches!(ask(503), VenueError::Unreachable { .. }));
    assert!(matches!(ask(301), VenueError::Unreadable { .. }));
    assert!(matches!(ask(422), VenueError::Unreadable { .. }));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn any_query() -> impl Strategy<Value = Query> {
        prop::sample::select(vec![
            Query::Account,
            Query::OpenOrders,
            Query::OrderById(asked()),
            Query::Cancel(VenueOrderId::try_from("P1".to_owned()).unwrap()),
            Query::CancelAll,
            Query::Positions,
            Query::Fills { since: None },
            Query::Markets,
            Query::Book(Symbol::parse("SEI/USDC").unwrap()),
        ])
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_never_a_placed_order(
            status in any::<u16>(), body in prop::collection::vec(any::<u8>(), 0..200), query in any_query(),
        ) {
            let placed = matches!(order_answer(status, &body), OrderAnswer::Placed { .. });
            prop_assert!(!placed);
            let _ = reply(&query, status, &body);
        }

        #[test]
        fn a_yes_that_is_cut_short_or_bent_is_no_yes(
            cut in 0_usize..50, at in 0_usize..48, byte in any::<u8>(),
        ) {
            let yes = br#"{"order_id":"P12345","status":"partially_filled"}"#;
            if let Some(short) = yes.get(..cut).filter(|short| short.len() < yes.len()) {
                prop_assert_eq!(order_answer(201, short), OrderAnswer::Unclear { status: 201 });
            }
            let mut bent = yes.to_vec();
            bent[at] = byte;
            if let OrderAnswer::Placed { status, .. } = order_answer(201, &bent) {
                prop_assert_eq!(status, OrderStatus::PartiallyFilled, "bent into another state");
            }
        }

        #[test]
        fn fields_of_any_kind_are_read_or_refused(
            texts in prop::collection::vec(".{0,40}", 8), number in any::<u64>(), query in any_query(),
        ) {
            let order = json!({
                "order_id": texts[0], "client_order_id": texts[1], "market_id": texts[2],
                "side": "buy", "price": texts[3], "quantity": texts[4], "filled": texts[5],
                "status": texts[6], "fill_id": texts[0], "fee": texts[7], "symbol": "SEI/USDC",
                "at_ms": number, "tick": texts[3], "lot": texts[4], "least_notional": texts[5],
                "size": texts[6], "account": texts[0], "scopes": [texts[1]],
            });
            let all = json!({
                "orders": [order], "fills": [order], "markets": [order], "positions": [order],
                "symbol": "SEI/USDC", "bids": [[texts[3], texts[4]]], "asks": [[texts[5], texts[6]]],
            });
            let _ = reply(&query, 200, &bytes(&all));
            let _ = reply(&query, 200, &bytes(&order));
        }
    }
}
