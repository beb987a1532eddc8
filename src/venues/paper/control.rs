//! The simulator's own control routes: faults switched, counts and the venue's whole record read.
//!
//! ```text
//! GET    /sim/faults                   the plan at work
//! PUT    /sim/faults                   replaces it, answers with it
//! DELETE /sim/faults                   no faults
//! GET    /sim/calls                    counts: asked, and each fault done
//! GET    /sim/accepted?after=&limit=   the log of what was accepted
//! GET    /sim/orders?after=&limit=     every order ever, as it is now
//! GET    /sim/fills?after=&limit=      every fill ever
//! ```
//!
//! They have a listener and a thread of their own, plain HTTP, so that no fault can reach them:
//! `down` closes connections before it can know what they would ask for, and calls that hang hold
//! the connections of the venue. They ask for no credential and so listen on loopback only.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::call::{Problem, order_id, read_page};
use super::faults::{PLAN_BYTES_MAX, Plan};
use super::http::respond;
use super::order::{Fill, Order};
use super::record::{self, Accepted};
use super::server::{Listening, ServeError, listen};
use super::store::StoreError;
use super::switch::Switch;

#[derive(Clone)]
struct Room {
    faults: Arc<Switch>,
    directory: PathBuf,
}

/// Serves the control routes of the venue whose record lies in a directory.
///
/// # Errors
///
/// [`ServeError`], when the listener is not on loopback or cannot be used.
pub fn serve(
    listener: TcpListener,
    directory: PathBuf,
    faults: Arc<Switch>,
) -> Result<Listening, ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listen)?;
    if !address.ip().is_loopback() {
        return Err(ServeError::ControlNotLoopback { address });
    }
    let room = Room { faults, directory };
    let configure = move |config: &mut web::ServiceConfig| {
        config
            .app_data(web::Data::new(room.clone()))
            .app_data(web::PayloadConfig::new(PLAN_BYTES_MAX))
            .default_service(web::to(handle));
    };
    listen("paper-control", listener, None, None, configure)
}

async fn handle(
    request: HttpRequest,
    room: web::Data<Room>,
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    let answer = match body {
        Ok(body) => room.answer(request.method().as_str(), request.uri(), &body),
        Err(_) => {
            let message = format!("body: must be complete and at most {PLAN_BYTES_MAX} bytes");
            Err(Problem::new(413, "BODY_TOO_LARGE", message))
        }
    };
    respond(&answer.unwrap_or_else(Answer::from))
}

impl Room {
    fn answer(
        &self,
        method: &str,
        target: &actix_web::http::Uri,
        body: &[u8],
    ) -> Result<Answer, Problem> {
        let page = || read_page(target.query().unwrap_or_default());
        match (method, target.path()) {
            ("GET", "/sim/faults") => Ok(self.plan()),
            ("PUT", "/sim/faults") => match Plan::read(body) {
                Ok(plan) => Ok(self.replace(plan)),
                Err(mistakes) => Ok(Answer {
                    status: 400,
                    body: json!({ "error": {
                        "code": "BAD_PLAN", "message": mistakes.to_string(), "details": mistakes.0,
                    }}),
                }),
            },
            ("DELETE", "/sim/faults") => Ok(self.replace(Plan::default())),
            ("GET", "/sim/calls") => Ok(Answer::ok(self.faults.counts())),
            ("GET", "/sim/accepted") => {
                let (after, limit) = page()?;
                let lines = record::accepted(&self.directory, after, limit);
                let next = |line: &Accepted| line.n;
                listing("accepted", lines, after, next, |line| Some(accepted(line)))
            }
            ("GET", "/sim/orders") => {
                let (after, limit) = page()?;
                let orders = record::orders(&self.directory, after, limit);
                let order = |order: &Order| Some(owned(answer::order(order), &order.account));
                listing("orders", orders, after, |order| order.number, order)
            }
            ("GET", "/sim/fills") => {
                let (after, limit) = page()?;
                let fills = record::fills(&self.directory, after, limit);
                let fill = |fill: &Fill| Some(owned(answer::fill(fill)?, &fill.account));
                listing("fills", fills, after, |fill| fill.id, fill)
            }
            (_, "/sim/faults" | "/sim/calls" | "/sim/accepted" | "/sim/orders" | "/sim/fills") => {
                Err(Problem::new(
                    405,
                    "METHOD_NOT_ALLOWED",
                    "this route lacks that method",
                ))
            }
            _ => Err(Problem::new(404, "NOT_FOUND", "no such route")),
        }
    }

    fn plan(&self) -> Answer {
        Answer::ok(self.faults.plan().to_json())
    }

    fn replace(&self, plan: Plan) -> Answer {
        self.faults.replace(plan);
        self.plan()
    }
}

/// A page of a record; `next` is the `after` of the following page.
fn listing<T>(
    name: &str,
    rows: Result<Vec<T>, StoreError>,
    after: u64,
    cursor: impl Fn(&T) -> u64,
    value: impl Fn(&T) -> Option<Value>,
) -> Result<Answer, Problem> {
    let rows = rows.map_err(|error| Problem::new(500, "RECORD", error.to_string()))?;
    let next = rows.last().map_or(after, cursor);
    let values = rows.iter().filter_map(value).collect::<Vec<_>>();
    Ok(Answer::ok(json!({ name: values, "next": next })))
}

fn accepted(line: &Accepted) -> Value {
    json!({
        "seq": line.n,
        "order_id": order_id(line.number),
        "client_order_id": line.client_order_id,
        "account": line.account,
        "signer": format!("0x{}", hex::encode(line.signer)),
        "market_id": line.market,
        "side": line.side,
        "price": line.price,
        "quantity": line.quantity,
        "accepted_at_ms": line.at_ms,
        "expires_at_ms": line.expires_at_ms,
    })
}

/// What the venue tells its owner, with the owner.
fn owned(mut value: Value, account: &str) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.insert("account".to_owned(), account.into());
    }
    value
}
