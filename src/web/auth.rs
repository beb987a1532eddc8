//! `/auth`: a key becomes a token, a token is taken back, and who am I.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use flashguard_actors::auth::{Access, AuthError};
use flashguard_actors::journal::AppendError;
use flashguard_actors::journal::record::Entry;
use serde_json::json;
use zeroize::Zeroizing;

use super::body::Body;
use super::caller::{Identified, bearer, count_failed, origin, refused};
use super::fields::{Fields, text};
use super::problem::Problem;
use super::shared::Shared;

/// Longest API key, in characters.
const API_KEY_CHARS_MAX: usize = 512;

/// `POST /auth/login`: the record of it is durable before the token is given out.
pub async fn login(
    request: HttpRequest,
    shared: web::Data<Shared>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::from_json(&body.0)?;
    let api_key = fields.required("api_key", "an API key such as fg_<id>_<secret>", |value| {
        text(value, API_KEY_CHARS_MAX)
    });
    let api_key = Zeroizing::new(fields.finish_with(api_key)?);
    let now = shared.clock.now();
    let login = match shared.access.login(&api_key, now) {
        Ok(login) => login,
        Err(error) => return Err(login_refused(&request, &shared, error)),
    };
    let entry = Entry::of("auth", login.fact)
        .by(login.caller.principal.clone())
        .with(origin(&request));
    shared
        .system
        .floor()
        .journal
        .append(entry)
        .await
        .map_err(unwritable)?;
    Ok(HttpResponse::Ok().json(json!({
        "access_token": login.token,
        "token_type": "bearer",
        "expires_in": login.expires_in_s,
        "role": login.caller.role,
        "permissions": Access::permissions_of(login.caller.role),
    })))
}

/// Counts the failure, and journals it when its episode asks for that.
fn login_refused(request: &HttpRequest, shared: &Shared, error: AuthError) -> Problem {
    count_failed(request, shared, error);
    if error == AuthError::Unavailable {
        return refused(error);
    }
    let message = "this API key is not valid";
    Problem::new(StatusCode::UNAUTHORIZED, error.login_code(), message)
}

/// `POST /auth/logout`: the token counts no more, also after a restart.
pub async fn logout(
    request: HttpRequest,
    shared: web::Data<Shared>,
    caller: Identified,
) -> Result<HttpResponse, Problem> {
    let fact = bearer(&request)
        .and_then(|token| shared.access.logout(token, shared.clock.now()))
        .map_err(|error| match error {
            AuthError::Malformed => Problem::new(
                StatusCode::CONFLICT,
                "NOT_A_TOKEN",
                "an API key is not logged out; revoke it with `flashguard apikeys revoke`",
            ),
            other => refused(other),
        })?;
    let entry = Entry::of("auth", fact)
        .by(caller.0.principal)
        .with(origin(&request));
    shared
        .system
        .floor()
        .journal
        .append(entry)
        .await
        .map_err(unwritable)?;
    Ok(HttpResponse::Ok().json(json!({"status": "logged_out"})))
}

/// `GET /auth/me`.
pub async fn me(caller: Identified) -> HttpResponse {
    let caller = caller.0;
    HttpResponse::Ok().json(json!({
        "principal": caller.principal,
        "owner": caller.owner,
        "client": caller.client,
        "role": caller.role,
        "permissions": Access::permissions_of(caller.role),
        "key_created_at": caller.key_created_us.to_rfc3339(),
        "key_made_locally": caller.key_made_locally,
    }))
}

/// What is said when a record that an answer depends on could not be written.
pub(super) fn unwritable(error: AppendError) -> Problem {
    let message = "the journal cannot be written, and nothing is done without its record";
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "JOURNAL_UNAVAILABLE",
        message,
    )
    .because(error.internal())
}

#[cfg(test)]
mod tests;
