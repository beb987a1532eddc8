//! `/audit`: the journal's events, and its signed checkpoint.

use actix_web::{HttpRequest, HttpResponse, web};
use flashguard_actors::ports::views::{EventFilter, EventView};
use serde_json::{Value, json};

use super::fields::{Fields, text};
use super::problem::Problem;
use super::shared::Shared;
use super::time::{TIME_RIGHT, time};
use super::trading::{journal_unavailable, page_of, read};

/// Longest text of a filter, in characters.
const FILTER_CHARS_MAX: usize = 128;

/// `GET /audit/events`.
pub async fn events(
    request: HttpRequest,
    shared: web::Data<Shared>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::from_query(request.query_string())?;
    let mut word =
        |name, right| fields.optional(name, right, |value| text(value, FILTER_CHARS_MAX));
    let kind = word(
        "kind",
        "a kind such as halt.raised, or the beginning of some such as halt.",
    );
    let principal = word("principal", "a credential's id");
    let correlation = word("correlation", "a request, order or incident id");
    let text = word("text", "a text of at most 128 characters");
    let since = fields.optional("since", TIME_RIGHT, time);
    let until = fields.optional("until", TIME_RIGHT, time);
    let (after, limit) = page_of(&mut fields);
    fields.finish()?;
    let filter = EventFilter {
        kind,
        principal,
        correlation,
        since,
        until,
        text,
        after,
        limit,
    };
    let page = read(&shared, move |views| views.events(&filter)).await?;
    let events: Vec<Value> = page.items.iter().map(of_event).collect();
    Ok(HttpResponse::Ok().json(json!({
        "events": events,
        "next": page.next.map(|next| next.to_string()),
        "as_of": page.as_of,
    })))
}

/// A record for people.
pub fn of_event(event: &EventView) -> Value {
    json!({
        "seq": event.seq,
        "time": event.time.to_rfc3339(),
        "kind": event.kind,
        "class": event.class,
        "actor": event.actor,
        "principal": event.principal,
        "correlation": event.correlation,
        "data": event.data,
        "private": event.private,
    })
}

/// `GET /audit/checkpoint`: the latest one that was signed.
pub async fn checkpoint(shared: web::Data<Shared>) -> Result<HttpResponse, Problem> {
    let readers = shared.system.floor().readers.clone();
    let found = web::block(move || {
        let reader = readers.open()?;
        Ok((reader.meta()?, reader.last_checkpoint()?))
    });
    let found = found
        .await
        .map_err(|error| Problem::internal(error.to_string()))?;
    let (meta, checkpoint) =
        found.map_err(|error: flashguard_actors::ports::journal::StoreError| {
            journal_unavailable(error.to_string())
        })?;
    let checkpoint = checkpoint.ok_or_else(|| Problem::not_found("checkpoint yet"))?;
    Ok(HttpResponse::Ok().json(json!({
        "origin": meta.origin,
        "verifier_key": meta.verifier_key,
        "size": checkpoint.size,
        "time": checkpoint.time.to_rfc3339(),
        "note": String::from_utf8_lossy(&checkpoint.note),
    })))
}
