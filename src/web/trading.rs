//! `/trading`: the state, orders, fills, positions.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::domain::market::Symbol;
use flashguard_actors::domain::order::{OrderId, OrderStatus};
use flashguard_actors::ports::journal::StoreError;
use flashguard_actors::ports::venue::VenueError;
use flashguard_actors::ports::views::{FillFilter, OrderFilter, PAGE_ITEMS_MAX, Views};
use flashguard_actors::system::CallFailed;
use flashguard_actors::trading::cancel::Cancelled;
use flashguard_actors::trading::resolve::{ResolveRefused, Word};
use serde_json::{Value, json};

use super::body::Body;
use super::caller::Identified;
use super::fields::{Fields, text, wrong_type};
use super::lane::WorkerLane;
use super::order_list::{self, Listed};
use super::order_request::{self, client_order_id};
use super::problem::Problem;
use super::shared::Shared;
use super::time::{TIME_RIGHT, time};
use super::{order_answer, status};

/// How long a list waits for what is journaled already to be in the views.
const VIEWS_WAIT: Duration = Duration::from_millis(250);

/// Items of one list, when the caller does not say.
const PAGE_ITEMS_DEFAULT: u64 = 100;

/// `GET /trading/status`.
pub async fn status(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(status::of(&shared.system))
}

/// `POST /trading/orders`.
pub async fn place(
    request: HttpRequest,
    shared: web::Data<Shared>,
    caller: Identified,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let order = order_request::parse(&body.0)?;
    let lane = request
        .app_data::<WorkerLane>()
        .ok_or_else(|| Problem::internal("a worker without a lane"))?
        .get(&shared.system)?;
    let placed = lane
        .place(&caller.0, order)
        .await
        .map_err(order_answer::refused)?;
    let now = shared.clock.now();
    let state = shared.system.floor().door.state(now);
    let (status, body) = order_answer::placed(&placed, state);
    Ok(HttpResponse::build(status).json(body))
}

/// `GET /trading/orders`.
pub async fn orders(
    request: HttpRequest,
    shared: web::Data<Shared>,
) -> Result<HttpResponse, Problem> {
    let filter = order_filter(request.query_string())?;
    let floor = shared.system.floor().clone();
    let page = read(&shared, move |views| {
        order_list::list(views, &floor, &filter)
    })
    .await?;
    let orders: Vec<Value> = page
        .items
        .iter()
        .map(|listed| match listed {
            Listed::Viewed(view, present) => order_answer::of_view(view, present.as_deref()),
            Listed::Present(state) => order_answer::of_state(state),
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({
        "orders": orders,
        "next": page.next.map(|next| next.to_string()),
        "as_of": page.as_of,
    })))
}

/// `GET /trading/orders/{id}`.
pub async fn order(
    id: web::Path<String>,
    shared: web::Data<Shared>,
) -> Result<HttpResponse, Problem> {
    let id = OrderId::parse(&id).ok_or_else(no_such_order)?;
    match find_order(&shared, id).await? {
        Some(order) => Ok(HttpResponse::Ok().json(order)),
        None => Err(no_such_order()),
    }
}

async fn find_order(shared: &Shared, id: OrderId) -> Result<Option<Value>, Problem> {
    let view = read(shared, move |views| views.order(id)).await?;
    let present = shared.system.floor().order(&id);
    Ok(match (view, present) {
        (Some(view), present) => Some(order_answer::of_view(&view, present.as_ref())),
        (None, Some(present)) => Some(order_answer::of_state(&present)),
        (None, None) => None,
    })
}

fn no_such_order() -> Problem {
    Problem::not_found("order")
}

fn order_filter(query: &str) -> Result<OrderFilter, Problem> {
    let mut fields = Fields::from_query(query)?;
    let words = OrderStatus::ALL.map(OrderStatus::as_str).join(", ");
    let status = fields.optional("status", &format!("one of {words}"), |value| {
        value
            .as_str()
            .and_then(OrderStatus::parse)
            .ok_or_else(|| "it is another word".to_owned())
    });
    let client_order_id = fields.optional(
        "client_order_id",
        "1 to 64 of A-Z a-z 0-9 . _ : -",
        client_order_id,
    );
    let (after, limit) = page_of(&mut fields);
    fields.finish()?;
    Ok(OrderFilter {
        status,
        client_order_id,
        client: None,
        after,
        limit,
    })
}

/// `after` and `limit` of a list.
pub(super) fn page_of(fields: &mut Fields) -> (Option<u64>, usize) {
    let after = fields.integer("after", 0, u64::MAX);
    let most = u64::try_from(PAGE_ITEMS_MAX).unwrap_or(u64::MAX);
    let limit = fields
        .integer("limit", 1, most)
        .unwrap_or(PAGE_ITEMS_DEFAULT);
    (after, usize::try_from(limit).unwrap_or(PAGE_ITEMS_MAX))
}

/// `GET /trading/fills`.
pub async fn fills(
    request: HttpRequest,
    shared: web::Data<Shared>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::from_query(request.query_string())?;
    let since = fields.optional("since", TIME_RIGHT, time);
    let symbol = fields.optional("symbol", SYMBOL_RIGHT, symbol);
    let (after, limit) = page_of(&mut fields);
    fields.finish()?;
    let filter = FillFilter {
        since,
        symbol,
        after,
        limit,
    };
    let page = read(&shared, move |views| views.fills(&filter)).await?;
    let fills: Vec<Value> = page.items.iter().map(order_answer::of_fill).collect();
    Ok(HttpResponse::Ok().json(json!({
        "fills": fills,
        "next": page.next.map(|next| next.to_string()),
        "as_of": page.as_of,
    })))
}

/// `GET /trading/positions`.
pub async fn positions(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"positions": status::positions(&shared.system)}))
}

/// `DELETE /trading/orders/{id}`: in every state.
pub async fn cancel(
    id: web::Path<String>,
    shared: web::Data<Shared>,
    caller: Identified,
) -> Result<HttpResponse, Problem> {
    let id = OrderId::parse(&id).ok_or_else(no_such_order)?;
    match shared
        .system
        .cancel(id, &caller.0.principal)
        .await
        .map_err(call_failed)?
    {
        Some(Cancelled::Confirmed(state)) => {
            Ok(HttpResponse::Ok().json(order_answer::of_state(&state)))
        }
        Some(Cancelled::Unconfirmed(state)) => {
            Ok(HttpResponse::Accepted().json(order_answer::of_state(&state)))
        }
        // It ended long ago: there is nothing to cancel, and that is its state.
        None => match find_order(&shared, id).await? {
            Some(order) => Ok(HttpResponse::Ok().json(order)),
            None => Err(no_such_order()),
        },
    }
}

/// `DELETE /trading/orders?symbol=`: all open ones, in every state.
pub async fn cancel_many(
    request: HttpRequest,
    shared: web::Data<Shared>,
    caller: Identified,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::from_query(request.query_string())?;
    let symbol = fields.optional("symbol", SYMBOL_RIGHT, symbol);
    fields.finish()?;
    let count = shared
        .system
        .cancel_many(symbol, &caller.0.principal)
        .await
        .map_err(call_failed)?;
    let status = if count.unconfirmed == 0 {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok(HttpResponse::build(status)
        .json(json!({"cancelled": count.cancelled, "unconfirmed": count.unconfirmed})))
}

/// `POST /trading/orders/{id}/resolve`: a person's word on an order in doubt.
pub async fn resolve(
    id: web::Path<String>,
    shared: web::Data<Shared>,
    caller: Identified,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let words = Word::ALL.map(|word| word.status().as_str()).join(", ");
    let mut fields = Fields::from_json(&body.0)?;
    let word = fields.required("status", &format!("one of {words}"), |value| {
        let word = value.as_str().ok_or_else(|| wrong_type(value))?;
        Word::parse(word).ok_or_else(|| "it is another word".to_owned())
    });
    let reason = fields.reason();
    let (word, reason) = fields.finish_with(word.zip(reason))?;
    let id = OrderId::parse(&id).ok_or_else(no_such_order)?;
    let by = &caller.0.principal;
    let resolved = shared.system.resolve_order(id, word, by, reason).await;
    match resolved.map_err(call_failed)?.map_err(not_resolved)? {
        Some(order) => Ok(HttpResponse::Ok().json(order_answer::of_state(&order))),
        None => match find_order(&shared, id).await? {
            Some(order) => {
                let status = order.get("status").cloned().unwrap_or_default();
                Err(not_in_doubt().with("status", status))
            }
            None => Err(no_such_order()),
        },
    }
}

fn not_in_doubt() -> Problem {
    let message = "the order is not in doubt";
    Problem::new(StatusCode::CONFLICT, "NOT_IN_DOUBT", message)
}

fn not_resolved(refused: ResolveRefused) -> Problem {
    let message = refused.to_string();
    let conflict = |code: &'static str| Problem::new(StatusCode::CONFLICT, code, message.clone());
    match refused {
        ResolveRefused::NotInDoubt(order) => not_in_doubt().with("status", order.status.as_str()),
        ResolveRefused::VenueProves { at_ms } => {
            let at = UnixMicros(at_ms.saturating_mul(1_000)).to_rfc3339();
            conflict("VENUE_PROVES").with("provable_at", at)
        }
        ResolveRefused::VenueShows(order) => {
            conflict("VENUE_SHOWS").with("status", order.status.as_str())
        }
        ResolveRefused::Venue(error) => venue_failed(&error),
        ResolveRefused::Journal => call_failed(CallFailed::Journal),
        other => Problem::internal(other.to_string()),
    }
}

const SYMBOL_RIGHT: &str = "a market such as SEI/USDC";

fn symbol(value: &Value) -> Result<Symbol, String> {
    Symbol::parse(&text(value, 32)?).map_err(|error| error.to_string())
}

/// Reads views off the async threads, with everything in them that is journaled by now if that does
/// not take long.
pub(super) async fn read<T: Send + 'static>(
    shared: &Shared,
    question: impl FnOnce(&dyn Views) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let floor = shared.system.floor().clone();
    let answer = web::block(move || {
        let size = floor.journal.head().size;
        floor.views.wait_for(size, VIEWS_WAIT)?;
        question(&*floor.views)
    });
    match answer.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(journal_unavailable(error.to_string())),
        Err(error) => Err(Problem::internal(format!("reading views: {error}"))),
    }
}

/// What is said when the journal or its views cannot be read.
pub(super) fn journal_unavailable(internal: String) -> Problem {
    let message = "the journal cannot be read";
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "JOURNAL_UNAVAILABLE",
        message,
    )
    .because(internal)
}

/// What is said when the system did not answer in its own words.
pub(super) fn call_failed(error: CallFailed) -> Problem {
    let unavailable = |code: &'static str, message: &str| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    };
    match error {
        CallFailed::Halted { epoch } => {
            let message = "trading is halted; a halt ends by a lift, with two people";
            Problem::new(StatusCode::CONFLICT, "HALTED", message).with("epoch", epoch)
        }
        CallFailed::Journal => {
            let message =
                "the journal cannot be written; what was asked may not last over a restart";
            unavailable("JOURNAL_UNAVAILABLE", message)
        }
        CallFailed::Venue(error) => venue_failed(&error),
        CallFailed::Actor(error) => {
            let message = "the part that would do it is being restarted; ask again";
            unavailable("UNAVAILABLE", message).because(error.to_string())
        }
        other => Problem::internal(other.to_string()),
    }
}

fn venue_failed(error: &VenueError) -> Problem {
    let message = format!("{error}; nothing is known of what was asked, so ask again");
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "VENUE_UNAVAILABLE",
        message,
    );
    match error {
        VenueError::Throttled {
            retry_after_ms: Some(ms),
        } => problem
            .with("retry_after_ms", *ms)
            .retry_after_s(ms.div_ceil(1_000).max(1)),
        VenueError::Unreachable { internal } | VenueError::Unreadable { internal } => {
            problem.because(internal.clone())
        }
        _ => problem,
    }
}

#[cfg(test)]
mod tests;
