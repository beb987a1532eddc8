//! The body of `POST /trading/orders`, read into an [`OrderRequest`]: shapes only, no rule.

use flashguard_actors::domain::order::{ClientOrderId, OrderRequest, OrderType, Side, Terms};
use rust_decimal::Decimal;
use serde_json::Value;

use super::fields::{Fields, decimal, text, wrong_type};
use super::problem::Problem;

/// Longest symbol that is read, in characters; the gate knows which exist.
const SYMBOL_CHARS_MAX: usize = 32;

/// Reads an order.
///
/// # Errors
///
/// 400 with every field that is unknown, doubled, missing or wrong.
pub fn parse(body: &[u8]) -> Result<OrderRequest, Problem> {
    let mut fields = Fields::from_json(body)?;
    let symbol = fields.required("symbol", "a market such as \"SEI/USDC\"", |value| {
        text(value, SYMBOL_CHARS_MAX)
    });
    let side = fields.required("side", "\"buy\" or \"sell\"", side);
    let order_type = fields.optional(
        "order_type",
        "\"limit\", \"post_only\", \"ioc\" or \"market\"",
        order_type,
    );
    let kind = order_type.unwrap_or(Kind::Priced(OrderType::Limit));
    let terms = terms(&mut fields, kind);
    let size = fields.required("size", "a decimal in a string such as \"100\"", decimal);
    let client_order_id = fields.optional(
        "client_order_id",
        "1 to 64 of A-Z a-z 0-9 . _ : -",
        client_order_id,
    );
    let request = (|| {
        Some(OrderRequest {
            symbol: symbol?,
            side: side?,
            size: size?,
            terms: terms?,
            client_order_id,
        })
    })();
    fields.finish_with(request)
}

fn side(value: &Value) -> Result<Side, String> {
    match value.as_str() {
        Some("buy") => Ok(Side::Buy),
        Some("sell") => Ok(Side::Sell),
        Some(_) => Err("it is another word".to_owned()),
        None => Err(wrong_type(value)),
    }
}

/// What `order_type` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// At the caller's price.
    Priced(OrderType),
    /// Without one.
    Market,
}

fn order_type(value: &Value) -> Result<Kind, String> {
    let word = value.as_str().ok_or_else(|| wrong_type(value))?;
    if word == Terms::MARKET {
        return Ok(Kind::Market);
    }
    [OrderType::Limit, OrderType::PostOnly, OrderType::Ioc]
        .into_iter()
        .find(|order_type| order_type.as_str() == word)
        .map(Kind::Priced)
        .ok_or_else(|| "it is another word".to_owned())
}

/// A market order has no price, every other one has.
fn terms(fields: &mut Fields, kind: Kind) -> Option<Terms> {
    match kind {
        Kind::Priced(order_type) => {
            let right = "a decimal in a string such as \"0.2501\"";
            let price = fields.required("price", right, decimal)?;
            Some(Terms::Priced { order_type, price })
        }
        Kind::Market => {
            let refuse = |_: &Value| Err("a market order has no price".to_owned());
            let right = "absent, or another order_type";
            let _: Option<Decimal> = fields.optional("price", right, refuse);
            Some(Terms::Market)
        }
    }
}

/// Reads a caller's id of an order.
pub(super) fn client_order_id(value: &Value) -> Result<ClientOrderId, String> {
    let text = value.as_str().ok_or_else(|| wrong_type(value))?;
    ClientOrderId::try_from(text.to_owned()).map_err(|_| "it is not such an id".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse_json(value: &Value) -> Result<OrderRequest, Problem> {
        parse(value.to_string().as_bytes())
    }

    fn good() -> Value {
        json!({"symbol": "SEI/USDC", "side": "buy", "price": "0.2501", "size": "100"})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body = good();
        body[name] = value;
        body
    }

    /// The fields that a refusal names.
    fn named(problem: &Problem) -> Vec<String> {
        let body = problem.details();
        body.get("fields").and_then(Value::as_array).map_or_else(
            || vec![body["field"].as_str().unwrap().to_owned()],
            |list| {
                list.iter()
                    .map(|m| m["field"].as_str().unwrap().to_owned())
                    .collect()
            },
        )
    }

    #[test]
    fn an_order_is_read_exactly_as_written() {
        let order = parse_json(&with("client_order_id", json!("a-1"))).unwrap();
        assert_eq!(order.symbol, "SEI/USDC");
        assert_eq!(order.side, Side::Buy);
        assert_eq!(order.terms, Terms::limit(Decimal::new(2_501, 4)));
        assert_eq!(order.size.to_string(), "100");
        assert_eq!(order.client_order_id.unwrap().as_str(), "a-1");
        assert!(
            parse_json(&with("client_order_id", Value::Null))
                .unwrap()
                .client_order_id
                .is_none()
        );
    }

    #[test]
    fn a_price_that_is_not_a_plain_decimal_in_a_string_is_refused() {
        for bad in [
            json!(0.25),
            json!(1),
            json!("1e3"),
            json!("1E-400"),
            json!("NaN"),
            json!("inf"),
            json!(""),
            json!(" 1"),
            json!("1_000"),
            json!("+1"),
            json!(".5"),
            json!("5."),
            json!("0x10"),
            json!("1,5"),
            json!("0.00000000000000000000000000001"),
            json!("99999999999999999999999999999999"),
            json!("1".repeat(33)),
            json!(true),
            json!(["1"]),
            json!({}),
            Value::Null,
        ] {
            let problem = parse_json(&with("price", bad.clone())).unwrap_err();
            assert_eq!(problem.status(), 400, "{bad}");
            assert_eq!(named(&problem), ["price"], "{bad}");
        }
        let longest = "0.0000000000000000000000000001";
        assert_eq!(
            parse_json(&with("price", json!(longest)))
                .unwrap()
                .terms
                .price()
                .unwrap()
                .to_string(),
            longest
        );
    }

    #[test]
    fn unknown_doubled_missing_and_wrong_fields_are_all_named_at_once() {
        let body =
            br#"{"symbol":"SEI/USDC","symbol":"ETH/USDC","side":"hold","prize":"1","size":7}"#;
        let problem = parse(body).unwrap_err();
        assert_eq!(
            named(&problem),
            ["symbol", "side", "price", "size", "prize"]
        );
        assert!(
            problem.to_string().starts_with("symbol: it is there twice"),
            "{problem}"
        );
    }

    #[test]
    fn a_body_that_is_not_one_json_object_is_refused() {
        for bad in [
            "",
            "null",
            "[]",
            "\"x\"",
            "{",
            "{}{}",
            "{\"a\":1}x",
            "\u{feff}{}",
            "\0",
        ] {
            let problem = parse(bad.as_bytes()).unwrap_err();
            assert_eq!(
                (problem.status().as_u16(), named(&problem)),
                (400, vec!["body".to_owned()]),
                "{bad:?}"
            );
        }
        assert_eq!(parse(b"\xff\xfe").unwrap_err().status(), 400);
        let deep = format!("{{\"symbol\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(parse(deep.as_bytes()).unwrap_err().status(), 400);
    }

    #[test]
    fn a_market_order_has_no_price_and_every_other_one_has() {
        let market = with("order_type", json!("market"));
        let refused = parse_json(&market).unwrap_err();
        assert_eq!(
            (refused.status().as_u16(), named(&refused)),
            (400, vec!["price".to_owned()])
        );
        let mut without = market;
        without.as_object_mut().unwrap().remove("price");
        assert_eq!(parse_json(&without).unwrap().terms, Terms::Market);
        without["price"] = Value::Null;
        assert_eq!(parse_json(&without).unwrap().terms, Terms::Market);
        for other in ["limit", "post_only", "ioc"] {
            without["order_type"] = json!(other);
            assert_eq!(
                named(&parse_json(&without).unwrap_err()),
                ["price"],
                "{other}"
            );
        }
    }

    #[test]
    fn only_the_four_order_types_are_known() {
        for good in ["limit", "post_only", "ioc"] {
            assert_eq!(
                parse_json(&with("order_type", json!(good)))
                    .unwrap()
                    .terms
                    .as_str(),
                good
            );
        }
        for bad in ["MARKET", "LIMIT", ""] {
            assert!(
                parse_json(&with("order_type", json!(bad))).is_err(),
                "{bad:?}"
            );
        }
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        fn any_json() -> impl Strategy<Value = Value> {
            let leaf = prop_oneof![
                Just(Value::Null),
                any::<bool>().prop_map(Value::from),
                any::<f64>().prop_map(Value::from),
                any::<i64>().prop_map(Value::from),
                "(?s).{0,40}".prop_map(Value::from),
                "-?[0-9]{0,30}\\.?[0-9]{0,30}".prop_map(Value::from),
            ];
            leaf.prop_recursive(3, 16, 4, |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                    prop::collection::hash_map("[a-z]{0,6}", inner, 0..4)
                        .prop_map(|map| Value::Object(map.into_iter().collect())),
                ]
            })
        }

        proptest! {
            #[test]
            fn no_bytes_make_it_panic_and_each_refusal_is_a_400_with_a_field(
                body in prop::collection::vec(any::<u8>(), 0..200),
            ) {
                if let Err(problem) = parse(&body) {
                    prop_assert_eq!(problem.status().as_u16(), 400);
                    prop_assert!(!named(&problem).is_empty());
                }
            }

            #[test]
            fn a_field_of_any_json_is_read_or_named(
                name in prop::sample::select(vec![
                    "symbol", "side", "price", "size", "order_type", "client_order_id", "other",
                ]),
                value in any_json(),
            ) {
                if let Err(problem) = parse_json(&with(name, value)) {
                    prop_assert_eq!(problem.status().as_u16(), 400);
                    prop_assert_eq!(named(&problem), vec![name.to_owned()]);
                }
            }

            #[test]
            fn what_is_read_is_what_was_written(whole in 0_u64..1_000_000_000, fraction in "[0-9]{1,10}") {
                let text = format!("{whole}.{fraction}");
                let read = parse_json(&with("price", json!(text))).unwrap().terms.price();
                prop_assert_eq!(read.unwrap().to_string(), text);
            }
        }
    }
}
