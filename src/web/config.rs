//! `/config`: what is set, which limits are in force, and changing them.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use flashguard_actors::gate::{ADJUSTABLE, Adjustable, NotALimit, adjustable};
use flashguard_actors::system::Handle;
use flashguard_actors::trading::limits::{LOOSEN_APPROVALS, LimitsChange, LimitsRefused};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::body::Body;
use super::caller::Identified;
use super::fields::{Fields, decimal, wrong_type};
use super::problem::Problem;
use super::shared::Shared;
use super::trading::call_failed;

/// `GET /config`: the limits in force with what the settings say of each, and every other setting.
pub async fn show(shared: web::Data<Shared>) -> HttpResponse {
    let settings: Vec<Value> = shared
        .settings
        .iter()
        .map(|(setting, value)| json!({"name": setting.name, "value": value, "unit": setting.unit}))
        .collect();
    HttpResponse::Ok().json(json!({
        "profile": shared.profile.as_str(),
        "limits": limits(&shared.system).await,
        "settings": settings,
    }))
}

/// The limits in force, as both routes show them.
async fn limits(system: &Handle) -> Value {
    let (now, settings) = (
        system.floor().gate.limits(),
        system.floor().settings_limits.clone(),
    );
    let fold = system.limits().await;
    let row = |one: &Adjustable| {
        json!({
            "name": one.name,
            "value": one.of(&now).normalize(),
            "unit": one.unit,
            "settings_value": one.of(&settings).normalize(),
            "adjusted": fold.adjustments.contains_key(one.name),
        })
    };
    let proposal = fold.proposal(system.floor().clock.now());
    json!({
        "version": now.version,
        "since": fold.since_us.to_rfc3339(),
        "owners": fold.owners,
        "values": ADJUSTABLE.iter().map(row).collect::<Vec<_>>(),
        "proposal": proposal.map(|agreement| json!({
            "id": agreement.id,
            "adjustments": agreement.subject.adjustments,
            "owners": agreement.owners,
        })),
    })
}

/// `PATCH /config/limits`.
pub async fn change_limits(
    shared: web::Data<Shared>,
    caller: Identified,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let Patch {
        limits: patch,
        version,
        reason,
    } = parse(&body.0)?;
    let changed = shared
        .system
        .change_limits(&caller.0, patch, version, reason)
        .await
        .map_err(call_failed)?;
    match changed {
        Ok(LimitsChange::Changed { .. } | LimitsChange::Unchanged { .. }) => {
            Ok(HttpResponse::Ok().json(limits(&shared.system).await))
        }
        Ok(LimitsChange::Waiting {
            agreement,
            loosened,
        }) => Ok(HttpResponse::Accepted().json(json!({
            "version": agreement.subject.from_v,
            "loosened": loosened,
            "owners": agreement.owners,
            "missing": agreement.missing(LOOSEN_APPROVALS),
            "next": "another owner sends the same PATCH /config/limits within a day",
        }))),
        Err(LimitsRefused::OtherVersion { v }) => {
            let message = format!("the limits in force are version {v}; look at them again");
            Err(Problem::new(StatusCode::CONFLICT, "OTHER_VERSION", message).with("version", v))
        }
        Err(_) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "JOURNAL_UNAVAILABLE",
            "the journal cannot be written; the limits are as before",
        )),
    }
}

struct Patch {
    limits: Vec<(String, Option<Decimal>)>,
    version: Option<u64>,
    reason: String,
}

fn parse(body: &[u8]) -> Result<Patch, Problem> {
    let mut fields = Fields::from_json(body)?;
    let version = fields.integer("version", 1, u64::MAX);
    let reason = fields.reason();
    let right = "an object of limits by the names of their settings, each a decimal as a string, \
                 or null for what the settings say";
    let given = fields.required("limits", right, |value| match value {
        Value::Object(given) if given.is_empty() => Err("it is empty".to_owned()),
        Value::Object(given) => Ok(given.clone()),
        other => Err(wrong_type(other)),
    });
    let mut limits = Vec::new();
    for (name, value) in given.into_iter().flatten() {
        match limit(&name, &value) {
            Ok(value) => limits.push((name, value)),
            Err((problem, right)) => fields.wrong(&format!("limits.{name}"), problem, right),
        }
    }
    let patch = reason.map(|reason| Patch {
        limits,
        version,
        reason,
    });
    fields.finish_with(patch)
}

/// One limit's new value; what is wrong with it, and what would be right.
fn limit(name: &str, value: &Value) -> Result<Option<Decimal>, (String, String)> {
    let Some(one) = adjustable(name) else {
        let known: Vec<_> = ADJUSTABLE.iter().map(|one| one.name).collect();
        let right = format!("known are {}", known.join(", "));
        return Err((NotALimit::Unknown.to_string(), right));
    };
    if value.is_null() {
        return Ok(None);
    }
    let (least, most) = one.range;
    let kind = if one.whole { "whole number" } else { "decimal" };
    let right = || {
        format!(
            "must be a {kind} from {least} to {most} ({}), as a string",
            one.unit
        )
    };
    let value = decimal(value).map_err(|problem| (problem, right()))?;
    match one.check(value) {
        Ok(()) => Ok(Some(value)),
        Err(problem) => Err((problem.to_string(), right())),
    }
}

#[cfg(test)]
mod tests;
