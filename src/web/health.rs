//! Alive and ready, for load balancers and for people; no credential is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::HttpResponse;
use serde_json::json;

/// Set once by the start when the journal is folded, the state is known, the ports are open, and the
/// venue has been read or was found unreachable.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on the service is ready.
    pub fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// From now on it is not: it is stopping.
    pub fn close(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether it is ready.
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// `GET /healthz`: the process answers.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "alive"}))
}
