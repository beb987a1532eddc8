//! Who asks: the credential of a request becomes a [`Caller`], once, before anything else of it is
//! read, and a route's permission is asked of it. Handlers take [`Identified`] and decide nothing.

use std::future::{Ready, ready};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, USER_AGENT};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};
use flashguard_actors::auth::{AuthError, Refused, bearer_of};
use flashguard_actors::domain::identity::{Caller, Permission};
use flashguard_actors::journal::record::{Entry, Private};

use super::problem::Problem;
use super::routes::Needs;
use super::shared::Shared;

/// Longest user agent that is kept, in characters.
const USER_AGENT_CHARS_MAX: usize = 256;

/// The caller of a route that asks for one.
#[derive(Debug, Clone)]
pub struct Identified(pub Caller);

impl FromRequest for Identified {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = request.extensions().get::<Self>().cloned();
        ready(
            found.ok_or_else(|| Problem::internal("a handler wants a caller, its route asks none")),
        )
    }
}

/// Lets a request pass whose caller may do what the route needs.
pub async fn authorize(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    needs: Needs,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match identify(request.request(), needs) {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(Identified(caller));
            }
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(problem) => Ok(request.error_response(problem)),
    }
}

fn identify(request: &HttpRequest, needs: Needs) -> Result<Option<Caller>, Problem> {
    if needs == Needs::Nothing {
        return Ok(None);
    }
    let Some(shared) = request.app_data::<web::Data<Shared>>() else {
        return Err(Problem::internal("a listener without shared state"));
    };
    let caller = bearer(request)
        .and_then(|bearer| shared.access.caller(bearer, shared.clock.now()))
        .map_err(|error| {
            count_failed(request, shared, error);
            refused(error)
        })?;
    match needs {
        Needs::Permission(permission) if !caller.role.may(permission) => {
            denied(request, shared, &caller, permission);
            let message = format!("this needs the permission {}", permission.as_str());
            Err(Problem::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
                .with("permission", permission.as_str())
                .with("role", caller.role.as_str()))
        }
        _ => Ok(Some(caller)),
    }
}

/// Counts a request without the permission for it, and journals it when its episode asks for that.
fn denied(request: &HttpRequest, shared: &Shared, caller: &Caller, permission: Permission) {
    let pattern = request.match_pattern().unwrap_or_default();
    let refused = Refused {
        route: format!("{} {pattern}", request.method()),
        permission: permission.as_str().to_owned(),
    };
    let now = shared.clock.now();
    let refusals = shared.access.refusals();
    if let Some(entry) = refusals.denied(&caller.principal, refused, now) {
        record_refusal(shared, entry.with(origin(request)));
    }
}

/// Counts a credential that nobody stands behind, at a login or at any other route, and journals it
/// when its episode asks for that.
pub(super) fn count_failed(request: &HttpRequest, shared: &Shared, error: AuthError) {
    if error == AuthError::Unavailable {
        return;
    }
    let from = request.peer_addr().map(|address| address.ip());
    let refusals = shared.access.refusals();
    let entry = from.and_then(|from| refusals.login_failed(from, shared.clock.now()));
    if let Some(entry) = entry {
        record_refusal(shared, entry.with(origin(request)));
    }
}

/// Journals a refusal. The answer does not wait for it.
pub(super) fn record_refusal(shared: &Shared, entry: Entry) {
    if let Err(error) = shared.system.floor().journal.append_quietly(entry) {
        tracing::warn!(error = error.internal(), "a refusal was not recorded");
    }
}

/// The bearer credential of a request.
pub(super) fn bearer(request: &HttpRequest) -> Result<&str, AuthError> {
    let header = match request.headers().get(AUTHORIZATION) {
        Some(value) => Some(value.to_str().map_err(|_| AuthError::Malformed)?),
        None => None,
    };
    bearer_of(header)
}

/// What is said when nobody stands behind a credential: the same for every reason.
pub(super) fn refused(error: AuthError) -> Problem {
    if error == AuthError::Unavailable {
        return Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error.code(),
            "credentials cannot be checked now",
        )
        .because(error.to_string());
    }
    let message = "a valid credential is needed: Authorization: Bearer <token or API key>";
    Problem::new(StatusCode::UNAUTHORIZED, error.code(), message)
}

/// Where a request came from, as it really was, for the journal (J6).
pub(super) fn origin(request: &HttpRequest) -> Private {
    let agent = request
        .headers()
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok());
    Private {
        address: request.peer_addr().map(|address| address.ip().to_string()),
        user_agent: agent.map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect()),
        ..Private::default()
    }
}
