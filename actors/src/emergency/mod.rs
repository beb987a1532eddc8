//! The emergency: halting from anywhere, the procedure after it, and the lift by two people.
//!
//! A halt is the latch's word first, on the calling thread; [`halt::Emergency`] then makes it
//! durable and hands the rest to the [`actor`], whose steps are data in [`procedure`]. Who may lift,
//! and what must be true first, is decided by [`lift`]; what the journal remembers is [`state`].
//!
//! What it does not do: it never resumes anything by itself, and it holds no order back that a lift
//! has not ended.

pub mod actor;
mod cancel_all;
pub mod halt;
pub mod lift;
pub mod messages;
pub mod procedure;
pub mod state;
pub mod watch;
