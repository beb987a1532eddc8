//! The system: starts everything in order, stops it in reverse, and the handle that programs hold.
//!
//! This is the only wiring inside the library. Stores, venue, keys and settings come in as
//! [`Parts`]; what goes out is a [`System`], which owns the threads, and [`Handle`]s, which are
//! `Send`, cheap to clone and usable from any runtime.

mod alarm;
mod handle;
mod start;
mod state;

pub use alarm::JournalAlarm;
pub use handle::{CallFailed, Handle, Status};
pub use start::{Parts, StartFailed, StopReport, System, SystemSettings};
pub use state::{Decision, Run, State, decide};
