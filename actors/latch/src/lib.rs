//! The kill switch: a latch that every thread reads as a value, and the permit around the one
//! write of an order.
//!
//! # What it promises
//!
//! Once [`Latch::halt`] has returned, no byte of an order is handed to the kernel any more, on any
//! thread and any connection, until somebody lifts; and what was opened before the halt stays dead
//! after the lift. The caller of `halt` needs nothing from the threads that carry orders: a worker
//! that hangs delays it by the given limit at most, then its socket is cut.
//!
//! # How
//!
//! Each order connection owns a [`Section`], listed in the latch before its first write. A writer
//! *announces* itself in its section, then *looks* at the latch, and only then writes; the halt
//! *closes* the latch, then *waits* until it has seen each section empty. Whichever comes first,
//! one of the two sees the other. A flag that is only checked before the write cannot give this:
//! the writer may lose its core between the check and the write (the models in this crate show it).
//!
//! ```
//! use flashguard_latch::{Beat, Fence, Latch, State};
//! use std::{sync::Arc, time::Duration};
//!
//! let latch = Arc::new(Latch::new(State::open(0), Beat::new(Duration::from_secs(1))));
//! let lane = Fence::new().incarnate();
//! let ticket = latch.ticket(&lane)?; // at admission
//! let mut writer = latch.register(ticket, None); // a connection of this epoch
//!
//! writer.permit()?.wrote(120); // around one non-blocking write
//! let stopped = latch.halt(Duration::from_millis(10));
//! assert!(stopped.first && stopped.forced.is_empty());
//! assert!(writer.permit().is_err());
//! assert!(latch.lift(stopped.epoch));
//! assert!(writer.permit().is_err(), "a connection from before the halt stays dead");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does not do
//!
//! It stores nothing: that a halt survives a restart is the journal's and the sentinel's part, and
//! [`Latch::new`] is told the state to start in. It asks nobody whether a lift is allowed. It starts
//! no thread: somebody else beats ([`Latch::beat`]) and halts when a beat was missed. Bytes that the
//! kernel has *sent* cannot be recalled; bytes that it still holds are cut ([`Stopped::cut_unsent`]).

mod beat;
mod latch;
#[cfg(test)]
#[cfg(loom)]
mod models;
mod section;
mod socket;
mod sync;
mod ticket;

pub use beat::{Beat, Missed};
pub use latch::{Doubt, Halted, InDoubt, Latch, State, Stopped};
pub use section::{OrderTag, Permit, Refused, Section, Tagged, Writer};
pub use socket::boottime_us;
pub use ticket::{Fence, Incarnation, Ticket};
