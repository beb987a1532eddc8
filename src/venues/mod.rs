//! The service's side of a venue: the connections that orders and queries travel over, and the
//! adapters. What an adapter must be able to do is the port's (`flashguard_actors::ports::venue`).

pub mod connected;
mod dial;
pub mod endpoint;
mod feed;
pub mod http;
pub mod paper;
pub mod pool;
pub mod query;
pub mod tls;
pub mod wire;
