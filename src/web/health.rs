//! Alive and ready, for load balancers and for people; no credential is asked for.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use flashguard_actors::domain::status::TradingState;
use serde_json::json;

use super::problem::Problem;
use super::shared::Shared;

/// `GET /healthz`: the process answers.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "alive"}))
}

/// `GET /readyz`: the journal is folded, the state is known, the ports are open, and the venue has
/// been read or was found unreachable. A halted service is ready.
pub async fn ready(shared: web::Data<Shared>) -> Result<HttpResponse, Problem> {
    if !shared.system.is_ready() {
        let message = "the venue has not been read yet";
        return Err(
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_READY", message).retry_after_s(1),
        );
    }
    let trading = shared.system.status().state.as_str();
    Ok(HttpResponse::Ok().json(json!({"status": "ready", "trading": trading})))
}

/// `GET /health`: what works, in FlashMM's words.
pub async fn health(shared: web::Data<Shared>) -> HttpResponse {
    let system = &shared.system;
    let (status, journal) = (system.status(), system.floor().journal.status());
    let journal_works = journal.dead.is_none() && !journal.low_space;
    let actors_up = status
        .actors
        .iter()
        .all(|actor| actor.state == flashguard_actors::supervision::ChildState::Up);
    let venue_read = system.floor().door.is_open();
    let word = |works: bool| if works { "healthy" } else { "unhealthy" };
    let all = journal_works && actors_up && venue_read && status.state != TradingState::Halted;
    let now = shared.clock.now();
    HttpResponse::Ok().json(json!({
        "status": if all { "healthy" } else { "degraded" },
        "timestamp": now.to_rfc3339(),
        "version": env!("CARGO_PKG_VERSION"),
        "environment": shared.profile.as_str(),
        "trading": status.state.as_str(),
        "components": {
            "journal": word(journal_works),
            "actors": word(actors_up),
            "venue": word(venue_read),
        },
        "uptime_seconds": now.millis_since(shared.started) / 1_000,
    }))
}
