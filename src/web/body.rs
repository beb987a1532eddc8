//! A request's body: JSON, at most 64 KiB, in a bounded time.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;

use super::problem::Problem;

/// Largest body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Longest time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The bytes of a body that says it is JSON or does not say what it is.
pub struct Body(pub Bytes);

impl FromRequest for Body {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let kind = request.content_type().to_ascii_lowercase();
        let json = kind.is_empty() || kind == "application/json" || kind.ends_with("+json");
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move {
            if !json {
                let message = "the body must be application/json";
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                return Err(Problem::new(status, "UNSUPPORTED_MEDIA_TYPE", message));
            }
            let payload = payload.await.map_err(|_| broken())?;
            match tokio::time::timeout(BODY_TIMEOUT, collect(payload)).await {
                Ok(body) => body.map(Self),
                Err(_) => Err(Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "REQUEST_TIMEOUT",
                    "the body did not arrive in time",
                )),
            }
        })
    }
}

async fn collect(mut payload: web::Payload) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| broken())?;
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "BODY_TOO_LARGE",
                "body: it is too large; send 65536 bytes at most",
            )
            .with("field", "body")
            .with("limit_bytes", BODY_BYTES_MAX));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn broken() -> Problem {
    Problem::invalid(
        "body",
        "it ended early or its encoding is broken",
        "send it whole",
    )
}
