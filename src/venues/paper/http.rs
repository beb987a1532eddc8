//! The paper venue's HTTP door: one handler that believes nobody, reads the call and asks the desk.
//!
//! Routes are told apart in [`super::call`], not by the web server, since what counts is the target
//! exactly as it was sent and signed.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpRequest, HttpResponse, web};
use flashguard_actors::domain::clock::SharedClock;

use super::answer::Answer;
use super::auth::{AuthError, Claim, Keys};
use super::call::{BODY_BYTES_MAX, Problem, read};
use super::desk::Counter;

/// What the handler needs. One for all workers.
#[derive(Clone)]
pub struct Door {
    /// Who is known.
    pub keys: Arc<Keys>,
    /// Where calls go.
    pub counter: Counter,
    /// The venue's clock.
    pub clock: SharedClock,
}

/// Sets up an application so that every request comes to the one handler.
pub fn configure(door: Door) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config
            .app_data(web::Data::new(door))
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .default_service(web::to(handle));
    }
}

async fn handle(
    request: HttpRequest,
    door: web::Data<Door>,
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    let answer = match body {
        Ok(body) => answer(&request, &door, &body).await,
        Err(_) => {
            let message = format!("body: must be complete and at most {BODY_BYTES_MAX} bytes");
            Problem::new(413, "BODY_TOO_LARGE", message).into()
        }
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((RETRY_AFTER, "1"));
    }
    response.json(answer.body)
}

async fn answer(request: &HttpRequest, door: &Door, body: &[u8]) -> Answer {
    let header = |name| {
        request
            .headers()
            .get(name)
            .map_or(&b""[..], |value| value.as_bytes())
    };
    let target = request
        .uri()
        .path_and_query()
        .map_or("", |target| target.as_str());
    let claim = Claim {
        api_key: header("X-API-Key"),
        timestamp: header("X-Timestamp"),
        signature: header("X-Signature"),
        method: request.method().as_str(),
        target,
        body,
    };
    let key = match door.keys.authenticate(&claim, door.clock.now().as_millis()) {
        Ok(key) => key,
        Err(error) => return unauthorized(error).into(),
    };
    let call = match read(claim.method, target, body) {
        Ok(call) => call,
        Err(problem) => return problem.into(),
    };
    if !key.may(call.needs()) {
        let message = "the API key lacks the scope that this call needs";
        return Problem::new(403, "SCOPE", message).into();
    }
    door.counter.ask(key, call).await
}

fn unauthorized(error: AuthError) -> Problem {
    let code = match error {
        AuthError::InvalidCredentials => "INVALID_CREDENTIALS",
        AuthError::ClockWindow { .. } => "CLOCK_WINDOW",
    };
    Problem::new(401, code, error.to_string())
}
