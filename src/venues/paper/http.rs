//! The paper venue's HTTP door: one handler that believes nobody, reads the call and asks the desk.
//!
//! Routes are told apart in [`super::call`], not by the web server, since what counts is the target
//! exactly as it was sent and signed. A simulator's faults strike between the two: what is not
//! believed or not understood is answered as ever and counts for no rule.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpRequest, HttpResponse, web};
use flashguard_actors::domain::clock::SharedClock;

use super::answer::Answer;
use super::auth::{AuthError, Claim, Key, Keys};
use super::call::{BODY_BYTES_MAX, Problem, read};
use super::desk::{Counter, Errand};
use super::faults::CallName;
use super::feed_socket;
use super::injection::Injection;
use super::line::Line;
use super::switch::Switch;

/// What the handler needs. One for all workers.
#[derive(Clone)]
pub struct Door {
    /// Who is known.
    pub keys: Arc<Keys>,
    /// Where calls go.
    pub counter: Counter,
    /// The venue's clock.
    pub clock: SharedClock,
    /// What goes wrong on purpose; `None` where nothing can.
    pub faults: Option<Arc<Switch>>,
}

/// Sets up an application so that every request comes to the one handler, but for the feed's upgrade.
pub fn configure(door: Door) -> impl Fn(&mut web::ServiceConfig) + Clone {
    move |config| {
        config
            .app_data(web::Data::new(door.clone()))
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .service(
                web::resource("/ws")
                    .route(web::get().to(feed_socket::open))
                    .default_service(web::to(handle)),
            )
            .default_service(web::to(handle));
    }
}

async fn handle(
    request: HttpRequest,
    door: web::Data<Door>,
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    let line = request.conn_data::<Arc<Line>>();
    if line.is_some_and(|line| line.is_cut()) {
        // It had arrived before the cut; this answer cannot leave any more.
        return HttpResponse::InternalServerError().finish();
    }
    let (name, errand) = match understood(&request, &door, body) {
        Ok(understood) => understood,
        Err(problem) => return respond(&problem.into()),
    };
    let strike = door.faults.as_ref().and_then(|faults| {
        let strike = faults.called(name)?;
        Some((faults, strike))
    });
    let Some((faults, strike)) = strike else {
        return respond(&door.counter.carry(errand).await);
    };
    let injection = Injection {
        faults,
        counter: &door.counter,
        line,
    };
    injection.answer(strike, errand).await
}

/// An answer as a response.
pub fn respond(answer: &Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((RETRY_AFTER, "1"));
    }
    response.json(&answer.body)
}

/// Believes the sender, reads the call, and makes it ready to be done.
fn understood(
    request: &HttpRequest,
    door: &Door,
    body: Result<web::Bytes, actix_web::Error>,
) -> Result<(CallName, Errand), Problem> {
    let body = body.map_err(|_| {
        let message = format!("body: must be complete and at most {BODY_BYTES_MAX} bytes");
        Problem::new(413, "BODY_TOO_LARGE", message)
    })?;
    let key = believed(request, door, &body)?;
    let call = read(request.method().as_str(), target(request), &body)?;
    if !key.may(call.needs()) {
        let message = "the API key lacks the scope that this call needs";
        return Err(Problem::new(403, "SCOPE", message));
    }
    let name = CallName::of(&call);
    Ok((name, door.counter.prepare(key, call)))
}

/// The key that signed a request.
///
/// # Errors
///
/// [`Problem`], 401.
pub fn believed<'a>(
    request: &HttpRequest,
    door: &'a Door,
    body: &[u8],
) -> Result<&'a Key, Problem> {
    let header = |name| {
        request
            .headers()
            .get(name)
            .map_or(&b""[..], |value| value.as_bytes())
    };
    let claim = Claim {
        api_key: header("X-API-Key"),
        timestamp: header("X-Timestamp"),
        signature: header("X-Signature"),
        method: request.method().as_str(),
        target: target(request),
        body,
    };
    let now_ms = door.clock.now().as_millis();
    let key = door.keys.authenticate(&claim, now_ms);
    key.map_err(unauthorized)
}

/// The request target as it was sent.
fn target(request: &HttpRequest) -> &str {
    let target = request.uri().path_and_query();
    target.map_or("", |target| target.as_str())
}

fn unauthorized(error: AuthError) -> Problem {
    let code = match error {
        AuthError::InvalidCredentials => "INVALID_CREDENTIALS",
        AuthError::ClockWindow { .. } => "CLOCK_WINDOW",
    };
    Problem::new(401, code, error.to_string())
}
