//! `POST /trading/orders/check`: what the gate would say of an order, without placing it.

use actix_web::{HttpResponse, web};
use flashguard_actors::domain::status::TradingState;
use flashguard_actors::gate::{Finding, Measured};
use flashguard_actors::trading::dry_run::{DryRun, dry_run};
use serde_json::{Value, json};

use super::body::Body;
use super::caller::Identified;
use super::problem::Problem;
use super::shared::Shared;
use super::{order_answer, order_request};

/// Said with every preimage.
const NOTE: &str = "nothing was reserved, counted, journaled or signed; the order id was made for this \
    check, so the digest of an order that is placed is another one";

/// Holds an order against every rule.
pub async fn check(
    shared: web::Data<Shared>,
    caller: Identified,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let order = order_request::parse(&body.0)?;
    let found = dry_run(shared.system.floor(), &caller.0, &order)
        .map_err(|error| Problem::internal(error.to_string()))?;
    Ok(HttpResponse::Ok().json(answer(&found)))
}

fn answer(found: &DryRun) -> Value {
    let closed = matches!(found.trading, TradingState::Halted | TradingState::Paused);
    let preimage = found.preimage.as_ref();
    let rules = found.checked.findings.iter();
    json!({
        "admitted": found.checked.is_admitted() && !closed,
        "trading": found.trading.as_str(),
        "limits_v": found.checked.limits_v,
        "rules": rules.map(|(code, finding)| rule(code, finding)).collect::<Vec<_>>(),
        "preimage": preimage.map(|preimage| &preimage.typed_data),
        "digest": preimage.map(|preimage| &preimage.digest),
        "note": NOTE,
    })
}

fn rule(code: &str, finding: &Finding) -> Value {
    let measured = |outcome: &str, Measured { value, limit }: &Measured| {
        json!({
            "code": code,
            "outcome": outcome,
            "value": value.normalize(),
            "limit": limit.normalize(),
        })
    };
    match finding {
        Finding::Pass(None) => json!({"code": code, "outcome": "pass"}),
        Finding::Pass(Some(numbers)) => measured("pass", numbers),
        Finding::Exit(numbers) => measured("exit", numbers),
        Finding::Marked(numbers) => measured("marked", numbers),
        Finding::Unjudged(why) => json!({"code": code, "outcome": "unjudged", "why": why}),
        Finding::Denied(denial) => {
            let mut denied = order_answer::of_denial(denial);
            if let Some(fields) = denied.as_object_mut() {
                fields.insert("outcome".to_owned(), "denied".into());
            }
            denied
        }
    }
}
