//! Trading: an order's path, what is open, and the actors that a halt stops.
//!
//! [`pipeline`] is an order from top to bottom; [`floor`] is what every lane shares; [`orders`],
//! [`ledger`], [`door`] and [`restraints`] are pure state; [`settle`] and [`cancel`] make the book
//! true from the venue's; [`doubt`] and [`resolve`] say what became of an order without an answer. The
//! actors are thin shells: the [`engine`] carries the orders of a strategy in the same
//! process, the [`order_manager`] settles and resolves, the [`feed`] publishes references.
//!
//! What it does not do: decide whether an order may pass (`gate`), sign (`key_manager`), halt
//! (`emergency`).

pub mod cancel;
pub(crate) mod denials;
pub mod desk;
pub mod door;
pub mod doubt;
pub mod dry_run;
pub mod engine;
pub mod feed;
pub(crate) mod feed_line;
pub mod feed_state;
pub mod fills;
pub mod floor;
pub mod health;
pub mod identity;
pub mod ledger;
pub mod limits;
pub mod messages;
pub mod opening;
pub mod order_manager;
pub mod orders;
pub mod patience;
pub mod pipeline;
pub mod positions;
pub mod reconcile;
pub mod resolve;
pub mod restrain;
pub mod restraints;
pub mod settle;
pub(crate) mod strays;
#[cfg(test)]
pub(crate) mod testing;
