//! The sentinel: a file whose name says whether trading is halted, for when nothing else can be
//! written.
//!
//! `halt.armed` is made at `init`; a halt renames it to `halt`, which works on a full disk (K3).
//! Anybody who can write to the data directory can halt by creating `halt`; removing it lifts
//! nothing, since the journal remembers.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

/// What the files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// `halt.armed` lies there alone.
    Armed,
    /// `halt` lies there, alone or beside `halt.armed`.
    Raised,
    /// Neither does.
    Missing,
}

/// The sentinel, wherever it lies. Each change is durable when the call returns.
pub trait Sentinel: Send + Sync + 'static {
    /// What the files say now.
    ///
    /// # Errors
    ///
    /// The directory cannot be read: whoever asks must take that for halted.
    fn look(&self) -> io::Result<Look>;

    /// Makes it say halted: `halt.armed` is renamed, or `halt` made where neither lies. Idempotent.
    ///
    /// # Errors
    ///
    /// It could not be made durable; it may say halted all the same.
    fn raise(&self) -> io::Result<()>;

    /// Makes it say armed: `halt` is renamed, or `halt.armed` made where neither lies. Idempotent.
    ///
    /// # Errors
    ///
    /// It could not be made durable: a lift must not go on.
    fn arm(&self) -> io::Result<()>;
}

/// A shared sentinel.
pub type SharedSentinel = Arc<dyn Sentinel>;

/// A sentinel that is forgotten with the process: for tests and in-memory embedding.
#[derive(Debug)]
pub struct MemorySentinel(Mutex<Look>);

impl MemorySentinel {
    /// One that says `look`.
    pub fn saying(look: Look) -> Arc<Self> {
        Arc::new(Self(Mutex::new(look)))
    }
}

impl Sentinel for MemorySentinel {
    fn look(&self) -> io::Result<Look> {
        Ok(*self.0.lock())
    }

    fn raise(&self) -> io::Result<()> {
        *self.0.lock() = Look::Raised;
        Ok(())
    }

    fn arm(&self) -> io::Result<()> {
        *self.0.lock() = Look::Armed;
        Ok(())
    }
}
