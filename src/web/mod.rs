//! HTTP: one table of routes builds the servers, the API page and the authorization test.
//!
//! A request passes, in this order: its id and envelope, the request rate of its address, the
//! permission of its route, its parser, its handler. Handlers decide nothing: they call the system's
//! handle and write its replies.

pub(crate) mod admin;
mod audit;
mod auth;
mod body;
mod caller;
mod config;
mod document;
mod envelope;
mod fields;
mod health;
mod keys;
mod lane;
mod order_answer;
mod order_check;
mod order_list;
mod order_request;
mod problem;
mod rate;
mod routes;
mod server;
mod shared;
pub(crate) mod status;
#[cfg(test)]
mod testing;
mod time;
mod trading;

pub use audit::of_event as event;
pub use body::BODY_BYTES_MAX;
pub use caller::Identified;
pub use document::api_page;
pub use envelope::RequestId;
pub use order_request::parse as parse_order;
pub use problem::Problem;
pub use rate::RequestRate;
pub use routes::{Listener, Method, Needs, ROUTES, RouteRow};
pub use server::Server;
pub use shared::Shared;
pub use time::time;
