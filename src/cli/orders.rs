//! `orders`: place, check, list, show, cancel and resolve.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{Page, Tone, show};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Place an order
    Place(Place),
    /// Hold an order against every rule without placing it
    Check(Place),
    /// List orders, newest first
    List(List),
    /// Show one order
    Show {
        /// Its id
        id: String,
    },
    /// Cancel one order, or all open ones
    Cancel(Cancel),
    /// Say what became of an order in doubt, where the venue cannot prove it
    Resolve(Resolve),
}

#[derive(Debug, Args)]
struct Resolve {
    /// Its id
    id: String,
    /// What became of it
    #[arg(long, value_parser = ["not_placed", "rejected", "cancelled"])]
    status: String,
    /// How you know: it stands in the journal with your name
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
struct Place {
    /// Market, such as SEI/USDC
    #[arg(long)]
    symbol: String,
    /// Buy or sell
    #[arg(long, value_parser = ["buy", "sell"])]
    side: String,
    /// Limit price, exact; a market order has none
    #[arg(long)]
    price: Option<String>,
    /// Size in base currency, exact
    #[arg(long)]
    size: String,
    /// How it meets the book
    #[arg(long = "type", value_name = "TYPE", value_parser = ["limit", "post_only", "ioc", "market"])]
    order_type: Option<String>,
    /// Your own id: with one, the same command again answers with this order
    #[arg(long, value_name = "ID")]
    client_order_id: Option<String>,
}

#[derive(Debug, Args)]
struct List {
    /// Only orders of this status
    #[arg(long)]
    status: Option<String>,
    /// Only the order of this client order id
    #[arg(long, value_name = "ID")]
    client_order_id: Option<String>,
    /// Orders at most
    #[arg(long)]
    limit: Option<u32>,
    /// Go on behind this one: the `next` of an earlier answer
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false)]
struct Which {
    /// Its id
    #[arg(group = "which")]
    id: Option<String>,
    /// All open ones
    #[arg(long, group = "which")]
    all: bool,
}

#[derive(Debug, Args)]
struct Cancel {
    #[command(flatten)]
    which: Which,
    /// With --all: only of this market
    #[arg(long, requires = "all")]
    symbol: Option<String>,
}

/// Does what is asked.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.what {
        What::Place(place) => self::place(context, place),
        What::Check(place) => check(context, place),
        What::List(list) => self::list(context, list),
        What::Show { id } => self::one(context, id),
        What::Cancel(cancel) => self::cancel(context, cancel),
        What::Resolve(resolve) => self::resolve(context, resolve),
    }
}

/// The order as both placing and checking take it.
fn body(place: &Place) -> Value {
    let mut body = Map::new();
    let mut add = |name: &str, text: &str| body.insert(name.to_owned(), text.into());
    add("symbol", &place.symbol);
    add("side", &place.side);
    add("size", &place.size);
    if let Some(price) = &place.price {
        add("price", price);
    }
    if let Some(order_type) = &place.order_type {
        add("order_type", order_type);
    }
    if let Some(id) = &place.client_order_id {
        add("client_order_id", id);
    }
    Value::Object(body)
}

/// Admitted ends with 0, refused with 3.
fn check(context: &Context, place: &Place) -> Result<Exit, Failure> {
    let answer = context
        .remote()?
        .post("/trading/orders/check", &body(place))?;
    let answer = &answer.body;
    let admitted = answer.get("admitted") == Some(&Value::Bool(true));
    context.output.result(answer, |page| {
        let rules = answer.get("rules").and_then(Value::as_array);
        let rows: Vec<_> = rules.into_iter().flatten().map(finding).collect();
        page.table(["rule", "outcome", "numbers"], &rows);
        let (tone, word) = match admitted {
            true => (Tone::Good, "admitted"),
            false => (Tone::Bad, "refused"),
        };
        let trading = show(answer, "trading");
        page.toned(tone, word, &format!("(trading is {trading})"));
        page.pairs(&["preimage", "digest", "note"].map(|name| (name, show(answer, name))));
    });
    Ok(if admitted { Exit::Done } else { Exit::Refused })
}

/// A rule, what it found, and its numbers.
fn finding(rule: &Value) -> [String; 3] {
    let fields = rule.as_object().into_iter().flatten();
    let numbers = fields
        .filter(|(name, _)| !["code", "outcome", "message"].contains(&name.as_str()))
        .map(|(name, _)| format!("{name}={}", show(rule, name)));
    let numbers: Vec<_> = numbers.collect();
    [show(rule, "code"), show(rule, "outcome"), numbers.join(" ")]
}

fn place(context: &Context, place: &Place) -> Result<Exit, Failure> {
    let answer = context.remote()?.post("/trading/orders", &body(place));
    let answer = answer.map_err(denied)?;
    let in_doubt = answer.status == 202;
    context.output.result(&answer.body, |page| {
        order(page, &answer.body);
        if in_doubt {
            page.toned(Tone::Warn, "in doubt:", "the venue has not answered");
            page.line("retry with the same --client-order-id, never with a new one");
        }
    });
    Ok(if in_doubt {
        Exit::Unconfirmed
    } else {
        Exit::Done
    })
}

/// A refusal by the gate, with every rule on a line of its own.
fn denied(mut failure: Failure) -> Failure {
    let denials = failure.details.get("denials").and_then(Value::as_array);
    let lines: Vec<String> = denials
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .map(|denial| {
            let code = denial.get("code").and_then(Value::as_str).unwrap_or("?");
            let rest = denial
                .iter()
                .filter(|(name, _)| !["code", "message"].contains(&name.as_str()));
            let text = |value: &Value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            };
            let rest: Vec<String> = rest
                .map(|(name, value)| format!("{name}={}", text(value)))
                .collect();
            format!("  {code} {}", rest.join(" "))
        })
        .collect();
    if !lines.is_empty() {
        failure.message = format!("the order breaks these rules:\n{}", lines.join("\n"));
    }
    failure
}

fn list(context: &Context, list: &List) -> Result<Exit, Failure> {
    let limit = list.limit.map(|limit| limit.to_string());
    let query = query(&[
        ("status", list.status.as_deref()),
        ("client_order_id", list.client_order_id.as_deref()),
        ("limit", limit.as_deref()),
        ("after", list.after.as_deref()),
    ]);
    let answer = context.remote()?.get(&format!("/trading/orders{query}"))?;
    context.output.result(&answer.body, |page| {
        let orders = answer.body.get("orders").and_then(Value::as_array);
        let row = |order: &Value| {
            [
                "order_id",
                "symbol",
                "side",
                "price",
                "size",
                "filled",
                "status",
                "client_order_id",
            ]
            .map(|name| show(order, name))
        };
        let rows: Vec<_> = orders.into_iter().flatten().map(row).collect();
        if rows.is_empty() {
            page.line("no orders");
            return;
        }
        let heading = [
            "order",
            "market",
            "side",
            "price",
            "size",
            "filled",
            "status",
            "client id",
        ];
        page.table(heading, &rows);
        let next = show(&answer.body, "next");
        if !next.is_empty() {
            page.line(&format!("more: --after {next}"));
        }
    });
    Ok(Exit::Done)
}

fn one(context: &Context, id: &str) -> Result<Exit, Failure> {
    let answer = context
        .remote()?
        .get(&format!("/trading/orders/{}", encoded(id)))?;
    context
        .output
        .result(&answer.body, |page| order(page, &answer.body));
    Ok(Exit::Done)
}

fn cancel(context: &Context, cancel: &Cancel) -> Result<Exit, Failure> {
    let path = match &cancel.which.id {
        Some(id) => format!("/trading/orders/{}", encoded(id)),
        None => format!(
            "/trading/orders{}",
            query(&[("symbol", cancel.symbol.as_deref())])
        ),
    };
    let answer = context
        .remote()?
        .ask(reqwest::Method::DELETE, &path, None)?;
    let confirmed = answer.status == 200;
    context.output.result(&answer.body, |page| {
        if cancel.which.all {
            page.pairs(&[
                ("cancelled", show(&answer.body, "cancelled")),
                ("not confirmed", show(&answer.body, "unconfirmed")),
            ]);
        } else {
            page.line(&show(&answer.body, "status"));
        }
        if !confirmed {
            page.line("the venue has not confirmed it yet: look with `flashguard orders list`");
        }
    });
    Ok(if confirmed {
        Exit::Done
    } else {
        Exit::Unconfirmed
    })
}

fn resolve(context: &Context, resolve: &Resolve) -> Result<Exit, Failure> {
    let path = format!("/trading/orders/{}/resolve", encoded(&resolve.id));
    let body = json!({"status": resolve.status, "reason": resolve.reason});
    let answer = context.remote()?.post(&path, &body)?;
    context
        .output
        .result(&answer.body, |page| order(page, &answer.body));
    Ok(Exit::Done)
}

fn order(page: &mut Page, order: &Value) {
    let names = [
        "order_id",
        "status",
        "symbol",
        "side",
        "price",
        "size",
        "filled",
        "order_type",
        "client_order_id",
        "venue_order_id",
        "signer",
        "key_id",
        "signature",
        "journal_seq",
        "why",
    ];
    page.pairs(&names.map(|name| (name, show(order, name))));
}

/// `?name=value&…` of what is set.
fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let set = pairs
        .iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)));
    let texts: Vec<String> = set
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    if texts.is_empty() {
        String::new()
    } else {
        format!("?{}", texts.join("&"))
    }
}

/// Percent-encoded: only what RFC 3986 calls unreserved stays.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_holds_what_is_set_and_nothing_in_it_can_add_more() {
        assert_eq!(query(&[("a", None)]), "");
        let text = query(&[("symbol", Some("SEI/USDC")), ("status", Some("open&x=1 %"))]);
        assert_eq!(text, "?symbol=SEI%2FUSDC&status=open%26x%3D1%20%25");
    }

    #[test]
    fn every_broken_rule_has_its_line() {
        let details = serde_json::json!({"denials": [
            {"code": "TICK", "price": "0.1", "tick": "0.01"},
            {"code": "OPEN_ORDERS", "open": 3, "limit": 3},
        ]});
        let failure = denied(Failure::new(Exit::Refused, "TICK", "x").with(details));
        let expected = "the order breaks these rules:\n  TICK price=0.1 tick=0.01\n  OPEN_ORDERS open=3 limit=3";
        assert_eq!(failure.message, expected);
    }
}
