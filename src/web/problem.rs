//! Errors as callers see them: one envelope, at every status.
//!
//! A [`Problem`] has two texts: the message is for the caller and holds no secret, no path and no
//! cause; the internal one goes to the log and is reached only by name. The envelope itself, with its
//! time and request id, is written in one place (`super::envelope`).

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value};

/// Why a request was not answered as asked.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    code: Cow<'static, str>,
    message: String,
    details: Map<String, Value>,
    internal: Option<String>,
    retry_after_s: Option<u64>,
    allow: Option<String>,
}

impl Problem {
    /// A problem with a stable code and a sentence for the caller.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self(Box::new(Parts {
            status,
            code: code.into(),
            message: message.into(),
            details: Map::new(),
            internal: None,
            retry_after_s: None,
            allow: None,
        }))
    }

    /// 400: the request breaks the contract; says where and what would be right.
    pub fn invalid(field: &str, problem: &str, right: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            format!("{field}: {problem}; {right}"),
        )
        .with("field", field)
        .with("right", right)
    }

    /// 404: there is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            format!("there is no such {what}"),
        )
    }

    /// 500: a fault of this program. `internal` is for the log.
    pub fn internal(internal: impl Into<String>) -> Self {
        let message = "the service failed; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message).because(internal)
    }

    /// A status that nothing more is known about, such as one that the server itself made.
    pub fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => "NOT_FOUND",
            StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
            StatusCode::PAYLOAD_TOO_LARGE => "BODY_TOO_LARGE",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "UNSUPPORTED_MEDIA_TYPE",
            status if status.is_client_error() => "INVALID_REQUEST",
            _ => "INTERNAL",
        };
        Self::new(
            status,
            code,
            status.canonical_reason().unwrap_or("error").to_lowercase(),
        )
    }

    /// Adds a deciding number or name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.details.insert(name.to_owned(), value.into());
        self
    }

    /// Adds what is for the log only.
    #[must_use]
    pub fn because(mut self, internal: impl Into<String>) -> Self {
        self.0.internal = Some(internal.into());
        self
    }

    /// Says when to try again, in whole seconds.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Says which methods the path has.
    #[must_use]
    pub fn allow(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The deciding numbers and names.
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    /// For the log; never for the caller.
    pub fn internal_text(&self) -> Option<&str> {
        self.0.internal.as_deref()
    }

    /// The response, its envelope completed with time and request id.
    pub(super) fn response(&self, timestamp: &str, request_id: &str) -> HttpResponse {
        let mut builder = HttpResponse::build(self.0.status);
        if let Some(seconds) = self.0.retry_after_s {
            builder.insert_header(("Retry-After", seconds.to_string()));
        }
        if let Some(methods) = &self.0.allow {
            builder.insert_header(("Allow", methods.as_str()));
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            builder.insert_header(("WWW-Authenticate", "Bearer"));
        }
        builder.json(serde_json::json!({
            "error": {
                "code": self.0.code,
                "message": self.0.message,
                "details": self.0.details,
                "timestamp": timestamp,
                "request_id": request_id,
            }
        }))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    /// Bare: `super::envelope` writes the body.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.0.status)
    }
}
