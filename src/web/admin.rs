//! `/admin`: pause, resume, stop, and the end of a halt.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use flashguard_actors::domain::status::TradingState;
use flashguard_actors::emergency::halt::{HaltOrder, Trigger};
use flashguard_actors::emergency::lift::{LiftRefused, LiftRequest};
use flashguard_actors::emergency::messages::Lift;
use flashguard_actors::emergency::procedure::HaltReport;
use flashguard_actors::system::Handle;
use serde_json::{Value, json};

use super::body::Body;
use super::caller::Identified;
use super::fields::{Fields, text, wrong_type};
use super::problem::Problem;
use super::shared::Shared;
use super::trading::call_failed;

/// Longest pause that ends by itself: 30 days.
const PAUSE_S_MAX: u64 = 30 * 86_400;

/// Open orders that one lift may accept.
const ACCEPTED_ORDERS_MAX: usize = 1_000;

/// What an emergency stop must say, so that it is never sent by mistake.
const STOP_WORD: &str = "EMERGENCY_STOP_CONFIRMED";

/// `POST /admin/pause`.
pub async fn pause(
    shared: web::Data<Shared>,
    caller: Identified,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::from_json(&body.0)?;
    let reason = fields.reason();
    let duration_s = fields.integer("duration_seconds", 1, PAUSE_S_MAX);
    let reason = fields.finish_with(reason)?;
    let begun = shared.clock.now();
    shared
        .system
        .pause(&caller.0.principal, reason, duration_s)
        .await
        .map_err(call_failed)?;
    let until = duration_s.map(|s| begun.plus_millis(s.saturating_mul(1_000)).to_rfc3339());
    let status = shared.system.status().state.as_str();
    Ok(HttpResponse::Ok().json(json!({"status": status, "until": until})))
}

/// `POST /admin/reduce-only`.
pub async fn reduce_only(
    shared: web::Data<Shared>,
    caller: Identified,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::from_json(&body.0)?;
    let reason = fields.reason();
    let reason = fields.finish_with(reason)?;
    shared
        .system
        .reduce_only(&caller.0.principal, reason)
        .await
        .map_err(call_failed)?;
    Ok(HttpResponse::Ok().json(held(&shared.system)))
}

/// What trading may do now, and the tokens that hold it back.
fn held(system: &Handle) -> Value {
    let status = system.status();
    json!({"status": status.state.as_str(), "held_by": status.held_by})
}

/// `POST /admin/resume`: never ends a halt.
pub async fn resume(
    shared: web::Data<Shared>,
    caller: Identified,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::from_json(&body.0)?;
    let reason = fields.reason();
    let reason = fields.finish_with(reason)?;
    shared
        .system
        .resume(&caller.0.principal, reason)
        .await
        .map_err(call_failed)?;
    Ok(HttpResponse::Ok().json(held(&shared.system)))
}

/// `POST /admin/emergency-stop`.
pub async fn emergency_stop(
    request: HttpRequest,
    shared: web::Data<Shared>,
    caller: Identified,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let mut query = Fields::from_query(request.query_string())?;
    let wait = query.boolean("wait").unwrap_or(true);
    query.finish()?;
    let mut fields = Fields::from_json(&body.0)?;
    let confirmation =
        fields.required(
            "confirmation",
            "\"EMERGENCY_STOP_CONFIRMED\"",
            |value| match value.as_str() {
                Some(STOP_WORD) => Ok(()),
                Some(_) => Err("it is another word".to_owned()),
                None => Err(wrong_type(value)),
            },
        );
    let reason = fields.reason();
    let reason = fields.finish_with(confirmation.and(reason))?;
    let order = HaltOrder {
        trigger: Trigger::Http,
        by: caller.0.principal,
        reason,
    };
    let report = shared.system.halt(&order, wait).await;
    Ok(HttpResponse::Ok().json(stopped(report.as_ref())))
}

/// The answer to a stop: the same for HTTP and for the control socket.
pub fn stopped(report: Option<&HaltReport>) -> Value {
    let mut answer = json!({"status": "emergency_stopped"});
    add_report(&mut answer, report);
    answer
}

fn add_report(answer: &mut Value, report: Option<&HaltReport>) {
    let report = report.and_then(|report| serde_json::to_value(report).ok());
    if let (Some(answer), Some(Value::Object(report))) = (answer.as_object_mut(), report) {
        answer.extend(report);
    }
}

/// `GET /admin/emergency`: the halt in force or the last one, and who wants it to end.
pub async fn emergency(shared: web::Data<Shared>) -> HttpResponse {
    let (emergency, status) = (shared.system.emergency(), shared.system.status());
    let halts = emergency.state();
    let halted = status.state == TradingState::Halted;
    let info = halts.halt.as_ref().filter(|_| halted);
    let reasons = info.map(|info| {
        info.reasons
            .iter()
            .map(|reason| {
                json!({
                    "trigger": reason.trigger,
                    "by": reason.by,
                    "reason": reason.reason,
                    "at": reason.at_us.to_rfc3339(),
                })
            })
            .collect::<Vec<_>>()
    });
    let mut answer = json!({
        "status": status.state.as_str(),
        "halted": halted,
        "since": info.map(|info| info.since_us.to_rfc3339()),
        "reasons": reasons.unwrap_or_default(),
        "proposal": info.and_then(|info| info.proposal.as_ref()),
    });
    add_report(&mut answer, emergency.report().as_ref());
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("epoch".to_owned(), status.epoch.into());
    }
    HttpResponse::Ok().json(answer)
}

/// `POST /admin/emergency/lift`.
pub async fn lift(
    shared: web::Data<Shared>,
    caller: Identified,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let request = lift_request(&body.0)?;
    let epoch = request.epoch;
    match shared
        .system
        .lift(&caller.0, request)
        .await
        .map_err(call_failed)?
    {
        Ok(Lift::Lifted { epoch, to }) => {
            Ok(HttpResponse::Ok().json(json!({"status": to.as_str(), "epoch": epoch})))
        }
        Ok(Lift::Waiting { missing, owners }) => {
            Ok(HttpResponse::Accepted().json(waiting(epoch, &owners, Some(missing))))
        }
        Err(refused) => lift_refused(&shared.system, epoch, &refused),
    }
}

fn lift_request(body: &[u8]) -> Result<LiftRequest, Problem> {
    let mut fields = Fields::from_json(body)?;
    let epoch = fields.integer("epoch", 0, u64::MAX);
    if epoch.is_none() {
        fields.missing(
            "epoch",
            "the epoch of the halt, as GET /admin/emergency shows it",
        );
    }
    let reason = fields.reason();
    let right = "\"active\" or \"reduce_only\"";
    let to = fields.optional("to", right, |value| match value.as_str() {
        Some("active") => Ok(TradingState::Active),
        Some("reduce_only") => Ok(TradingState::ReduceOnly),
        Some(_) => Err("it is another word".to_owned()),
        None => Err(wrong_type(value)),
    });
    let accepted = fields.optional(
        "accept_open_orders",
        "a list of at most 1000 order ids",
        |value| {
            let list = value.as_array().ok_or_else(|| wrong_type(value))?;
            if list.len() > ACCEPTED_ORDERS_MAX {
                return Err("there are too many".to_owned());
            }
            list.iter()
                .map(|id| text(id, 128))
                .collect::<Result<Vec<_>, _>>()
        },
    );
    let request = epoch.zip(reason).map(|(epoch, reason)| LiftRequest {
        epoch,
        reason,
        to: to.unwrap_or(TradingState::Active),
        accept_open_orders: accepted.unwrap_or_default(),
    });
    fields.finish_with(request)
}

/// The owners that agree so far.
fn agreed(system: &Handle) -> Vec<String> {
    let halts = system.emergency().state();
    let proposal = halts.halt.and_then(|halt| halt.proposal);
    proposal.map_or_else(Vec::new, |p| {
        p.owners.iter().map(ToString::to_string).collect()
    })
}

/// What is missing, and the command that supplies it.
fn waiting(epoch: u64, owners: &[String], missing: Option<usize>) -> Value {
    json!({
        "status": TradingState::Halted.as_str(),
        "epoch": epoch,
        "owners": owners,
        "missing": missing,
        "next": format!("another owner agrees with: flashguard lift --epoch {epoch} --reason …"),
    })
}

fn lift_refused(
    system: &Handle,
    epoch: u64,
    refused: &LiftRefused,
) -> Result<HttpResponse, Problem> {
    let problem = |status, code: &'static str| Problem::new(status, code, refused.to_string());
    Err(match refused {
        // They agree already: the same answer as before.
        LiftRefused::SameOwner => {
            return Ok(HttpResponse::Accepted().json(waiting(epoch, &agreed(system), None)));
        }
        LiftRefused::NotHalted => problem(StatusCode::CONFLICT, "NOT_HALTED"),
        LiftRefused::OtherEpoch { epoch } => {
            problem(StatusCode::CONFLICT, "OTHER_EPOCH").with("epoch", *epoch)
        }
        LiftRefused::KeyTooYoung => problem(StatusCode::FORBIDDEN, "KEY_TOO_YOUNG"),
        LiftRefused::Unready(checks) => {
            let checks = serde_json::to_value(checks).unwrap_or_default();
            problem(StatusCode::CONFLICT, "NOT_READY").with("checks", checks)
        }
        LiftRefused::NotDurable => problem(StatusCode::SERVICE_UNAVAILABLE, "JOURNAL_UNAVAILABLE"),
        LiftRefused::Withdrawn => problem(StatusCode::CONFLICT, "AGREEMENT_WITHDRAWN"),
        LiftRefused::HaltedAgain => problem(StatusCode::CONFLICT, "HALTED_AGAIN"),
    })
}

#[cfg(test)]
mod tests;
