//! The way in for people on this machine: the data directory, its lock, `run.json`, and the control
//! socket.
//!
//! Whoever owns the data directory (or is root) may stop, read and manage keys here without a
//! credential; nobody may lift here. The socket is served by threads of its own, so that it answers
//! while the API is busy (K5). What a request does is the service's business ([`Control`]).

pub mod directory;
pub mod lock;
pub mod protocol;
pub mod run_file;
pub mod service;
pub mod socket;

pub use directory::DataDirectory;
pub use lock::{Lock, LockError};
pub use protocol::{Blame, Failure, Progress, Reply, Request};
pub use run_file::RunFile;
pub use socket::{Control, ControlClient, ControlSocket, DialError};
