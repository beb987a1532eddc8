//! Orders and fills as JSON, and the contract's status for each way an order can end.

use actix_web::http::StatusCode;
use flashguard_actors::domain::denial::{Denial, Denials};
use flashguard_actors::domain::order::OrderStatus;
use flashguard_actors::domain::status::TradingState;
use flashguard_actors::ports::views::{FillView, OrderView};
use flashguard_actors::trading::door::Closed;
use flashguard_actors::trading::orders::OrderState;
use flashguard_actors::trading::pipeline::{Placed, Refusal};
use serde_json::{Map, Value, json};

use super::problem::Problem;

/// The answer to a placed order: 201, 202 in doubt, 200 replayed. A replayed one carries its signature
/// only if its bytes left and trading is active.
pub fn placed(placed: &Placed, trading: TradingState) -> (StatusCode, Value) {
    let order = &placed.state;
    let in_doubt = order.status == OrderStatus::InDoubt;
    let signed = order.signature.as_ref();
    let shown =
        signed.filter(|_| !placed.replayed || (trading == TradingState::Active && !in_doubt));
    let mut body = Map::new();
    let mut add = |name: &str, value: Value| body.insert(name.to_owned(), value);
    add("order_id", json!(order.order.order_id.to_string()));
    add("client_order_id", json!(order.client_order_id));
    add("status", json!(order.status.as_str()));
    add("digest", json!(signed.map(|s| &s.digest)));
    add("signature", json!(shown.map(|s| &s.signature)));
    add("signer", json!(signed.map(|s| &s.signer)));
    add("key_id", json!(signed.map(|s| &s.key_id)));
    add("signed_at_us", json!(signed.map(|s| s.signed_at_us)));
    add("expires_at_ms", json!(order.order.expires_at_ms));
    if !in_doubt {
        add("venue_order_id", json!(order.venue_order_id));
    }
    add("journal_seq", json!(order.journal_seq));
    if let Some(why) = &order.why {
        add("why", json!(why));
    }
    if placed.replayed {
        add("replayed", json!(true));
    }
    let status = match (placed.replayed, in_doubt) {
        (true, _) => StatusCode::OK,
        (false, true) => StatusCode::ACCEPTED,
        (false, false) => StatusCode::CREATED,
    };
    (status, Value::Object(body))
}

/// An order that is at hand. Its signature is shown to nobody but its sender.
pub fn of_state(order: &OrderState) -> Value {
    let signed = order.signature.as_ref();
    json!({
        "order_id": order.order.order_id.to_string(),
        "client_order_id": order.client_order_id,
        "client": order.client,
        "status": order.status.as_str(),
        "symbol": order.order.symbol,
        "side": order.order.side,
        "order_type": order.order.order_type,
        "price": order.order.price.normalize(),
        "size": order.order.size.normalize(),
        "filled": order.filled.normalize(),
        "venue_order_id": order.venue_order_id,
        "digest": signed.map(|s| &s.digest),
        "signer": signed.map(|s| &s.signer),
        "key_id": signed.map(|s| &s.key_id),
        "signed_at_us": signed.map(|s| s.signed_at_us),
        "expires_at_ms": order.order.expires_at_ms,
        "why": order.why,
        "by": order.principal,
        "created_at": order.created_us.to_rfc3339(),
        "journal_seq": order.journal_seq,
    })
}

/// An order as the views have it; `present` is what is true now, when it is at hand.
pub fn of_view(view: &OrderView, present: Option<&OrderState>) -> Value {
    let (status, filled) =
        present.map_or((view.status, view.filled), |now| (now.status, now.filled));
    let venue_order_id = present.and_then(|now| now.venue_order_id.as_ref());
    let why = present.map_or(&view.why, |now| &now.why);
    json!({
        "order_id": view.order.order_id.to_string(),
        "client_order_id": view.client_order_id,
        "client": view.client,
        "status": status.as_str(),
        "symbol": view.order.symbol,
        "side": view.order.side,
        "order_type": view.order.order_type,
        "price": view.order.price.normalize(),
        "size": view.order.size.normalize(),
        "filled": filled.normalize(),
        "fees": view.fees.normalize(),
        "venue_order_id": venue_order_id.or(view.venue_order_id.as_ref()),
        "digest": view.digest,
        "signer": view.signer,
        "key_id": view.key_id,
        "signed_at_us": view.signed_at_us,
        "expires_at_ms": view.order.expires_at_ms,
        "why": why,
        "by": view.principal,
        "created_at": view.created.to_rfc3339(),
        "updated_at": view.updated.to_rfc3339(),
        "journal_seq": view.journal_seq,
    })
}

/// A fill.
pub fn of_fill(fill: &FillView) -> Value {
    json!({
        "fill_id": fill.fill_id,
        "order_id": fill.order_id.map(|id| id.to_string()),
        "symbol": fill.symbol,
        "side": fill.side,
        "price": fill.price,
        "size": fill.size,
        "fee": fill.fee,
        "realised_profit": fill.realised,
        "filled_at": fill.filled_at.to_rfc3339(),
        "journal_seq": fill.journal_seq,
    })
}

/// What is said about an order that was not placed.
pub fn refused(refusal: Refusal) -> Problem {
    let unavailable = |code: &'static str, message: &str| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, message.to_owned())
    };
    let message = refusal.to_string();
    match refusal {
        Refusal::Denied(denials) => denied(&denials),
        Refusal::Closed(Closed::Halted { epoch }) => {
            unavailable("TRADING_HALTED", &message).with("epoch", epoch)
        }
        Refusal::Closed(Closed::Paused { token }) => {
            unavailable("TRADING_PAUSED", &message).with("token", token)
        }
        Refusal::Closed(Closed::NotOpenYet) => unavailable("TRADING_PAUSED", &message),
        Refusal::Duplicate { order_id } => {
            Problem::new(StatusCode::CONFLICT, "DUPLICATE_ORDER", message)
                .with("order_id", order_id.to_string())
        }
        Refusal::VenueRejected {
            state,
            message: words,
        } => {
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "VENUE_REJECTED", message);
            bound(problem, &state).with("venue_message", words)
        }
        Refusal::NothingLeft { state } => bound(unavailable("VENUE_UNAVAILABLE", &message), &state),
        Refusal::HaltedOnTheWay { epoch, state } => {
            bound(unavailable("TRADING_HALTED", &message), &state).with("epoch", epoch)
        }
        Refusal::JournalUnavailable => unavailable("JOURNAL_UNAVAILABLE", &message),
        Refusal::ClientIdsFull => unavailable("CLIENT_IDS_FULL", &message),
        Refusal::Unavailable { internal } => unavailable("UNAVAILABLE", &message).because(internal),
        other => Problem::internal(other.to_string()),
    }
}

/// The order that the client order id is bound to from now on.
fn bound(problem: Problem, order: &OrderState) -> Problem {
    problem
        .with("order_id", order.order.order_id.to_string())
        .with("client_order_id", order.client_order_id.as_str())
        .with("status", order.status.as_str())
        .with("why", json!(order.why))
}

fn denied(denials: &Denials) -> Problem {
    let code = denials.broken.first().map_or("DENIED", Denial::code);
    let list: Vec<Value> = denials.broken.iter().map(of_denial).collect();
    let message = match &denials.broken[..] {
        [one] => one.to_string(),
        all => format!("the order breaks {} rules", all.len()),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
        .with("denials", list)
        .with("limits_v", denials.limits_v)
}

/// A denial: its code, its numbers, and both in a sentence.
pub(super) fn of_denial(denial: &Denial) -> Value {
    let mut value = serde_json::to_value(denial).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("message".to_owned(), denial.to_string().into());
    }
    value
}
