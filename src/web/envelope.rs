//! Around every request: its id, and the one place where an error becomes the envelope.

use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use flashguard_actors::domain::clock::Entropy;

use super::problem::Problem;
use super::shared::Shared;

/// Names a request in its answer, in the log and in the journal.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

impl RequestId {
    /// An unpredictable id; without randomness the nil one, since a halt must not fail on it.
    pub fn make(entropy: &dyn Entropy) -> Self {
        let mut random = [0; 16];
        let made = entropy.fill(&mut random);
        let id = made.map_or(uuid::Uuid::nil(), |()| {
            uuid::Builder::from_random_bytes(random).into_uuid()
        });
        Self(id.hyphenated().to_string())
    }
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request its id, answers it, and writes the envelope of an error.
pub async fn envelope(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(shared) = request.app_data::<web::Data<Shared>>().cloned() else {
        return next
            .call(request)
            .await
            .map(ServiceResponse::map_into_boxed_body);
    };
    let id = RequestId::make(shared.entropy.as_ref());
    request.extensions_mut().insert(id.clone());
    // Routing needs the only reference to the request, so none is kept here. An error does not come
    // this way: handlers' and extractors' errors are responses already, and what wraps routes here
    // answers with `error_response`.
    let response = next.call(request).await?.map_into_boxed_body();
    let status = response.status();
    let mut response = if status.is_client_error() || status.is_server_error() {
        enveloped(response, &shared, &id)
    } else {
        response
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(X_REQUEST_ID, value);
    }
    Ok(response)
}

/// The same response with the envelope as its body; headers that were set on the way are kept.
fn enveloped(
    response: ServiceResponse<BoxBody>,
    shared: &Shared,
    id: &RequestId,
) -> ServiceResponse<BoxBody> {
    let unknown;
    let problem = match response
        .response()
        .error()
        .and_then(|e| e.as_error::<Problem>())
    {
        Some(problem) => problem,
        None => {
            unknown = match response.response().error() {
                Some(error) => Problem::of_status(error.as_response_error().status_code())
                    .because(error.to_string()),
                None => Problem::of_status(response.status()),
            };
            &unknown
        }
    };
    if let Some(internal) = problem
        .internal_text()
        .filter(|_| problem.status().is_server_error())
    {
        tracing::error!(
            request.id = %id.0,
            error.code = problem.code(),
            error.internal = internal,
            "a request failed"
        );
    }
    let timestamp = shared.clock.now().to_rfc3339();
    let mut answer = problem.response(&timestamp, &id.0);
    for (name, value) in response.headers() {
        if !answer.headers().contains_key(name) {
            answer.headers_mut().append(name.clone(), value.clone());
        }
    }
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, answer)
}

/// Longest time for a request's headers to arrive.
pub const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);
