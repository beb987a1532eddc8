//! What a supervisor tells the rest of the system: exits, restarts, escalations.
//!
//! Events are facts and carry no secret: the text of a panic is reached only by name
//! ([`Exit::internal`]), cut to a bound and freed of control characters.

use std::fmt;
use std::sync::Arc;

/// Longest name of an actor, in bytes.
pub const NAME_LENGTH_MAX_BYTES: usize = 64;
/// Longest text of a panic or of a failed start that is kept, in bytes.
pub const EXIT_TEXT_MAX_BYTES: usize = 256;

/// The name of a supervised actor: unique under its supervisor, the same over all restarts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorName(Arc<str>);

impl ActorName {
    /// Takes a name of 1 to 64 bytes of ASCII letters, digits, `-`, `_`, `.`, `:` and `/`.
    ///
    /// # Errors
    ///
    /// [`NameError`] when it is empty, longer or holds anything else.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let fits = (1..=NAME_LENGTH_MAX_BYTES).contains(&name.len());
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b);
        if fits && name.bytes().all(allowed) {
            Ok(Self(name.into()))
        } else {
            Err(NameError)
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A name that cannot be an actor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an actor's name has 1 to 64 ASCII letters, digits or any of - _ . : /")]
pub struct NameError;

/// Why an incarnation ended.
///
/// `Display` gives the kind only; the text of a panic or of a failed start is for the log, by
/// [`Exit::internal`].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// The actor stopped itself.
    Stopped,
    /// A handler, an asynchronous step, a timer or `started` panicked.
    Panicked(String),
    /// The factory refused or panicked.
    StartFailed(String),
    /// Its thread went away, or was abandoned because a neighbour on it hung.
    ThreadLost,
    /// It gave no beat for as long as the policy allows.
    Hung,
    /// The supervisor ended it: dismissed, or restarted together with a neighbour.
    Ended,
}

impl Exit {
    /// One word for journals and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Panicked(_) => "panicked",
            Self::StartFailed(_) => "start_failed",
            Self::ThreadLost => "thread_lost",
            Self::Hung => "hung",
            Self::Ended => "ended",
        }
    }

    /// The text of the panic or of the failed start, for the log; never for a caller.
    #[must_use]
    pub fn internal(&self) -> Option<&str> {
        match self {
            Self::Panicked(text) | Self::StartFailed(text) => Some(text),
            Self::Stopped | Self::ThreadLost | Self::Hung | Self::Ended => None,
        }
    }

    /// The text of an unwinding panic, bounded; a payload without text is named as such.
    pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        bounded(text.unwrap_or("a payload without text"))
    }
}

/// Cuts `text` to the bound, at a character, and replaces control characters.
pub(crate) fn bounded(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if out.len() + c.len_utf8() > EXIT_TEXT_MAX_BYTES {
            break;
        }
        out.push(c);
    }
    out
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An incarnation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorExited {
    /// Whose.
    pub name: ActorName,
    /// The generation that ended; 1 is the first.
    pub generation: u64,
    /// Why.
    pub why: Exit,
}

/// A new incarnation serves after an earlier one ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorRestarted {
    /// Whose.
    pub name: ActorName,
    /// The generation that serves now.
    pub generation: u64,
    /// Times this actor has been restarted since it was registered, this one included.
    pub restarts: u64,
}

/// The supervisor gave up: all its children are gone for good. Sent once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalated {
    /// The child whose failure was one too many.
    pub name: ActorName,
    /// How that child ended.
    pub why: Exit,
    /// Which bound was passed.
    pub bound: Bound,
}

/// The bound that an escalation passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// More failures within the window than the policy restarts.
    Restarts,
    /// More threads stuck in hung children than the policy allows.
    AbandonedThreads,
    /// No thread could be made for a child.
    Threads,
}

/// One event of a supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// See [`ActorExited`].
    ActorExited(ActorExited),
    /// See [`ActorRestarted`].
    ActorRestarted(ActorRestarted),
    /// See [`Escalated`].
    Escalated(Escalated),
}

/// Is told of every event, on the supervisor's thread.
///
/// It must not block: hand the event on and return. A panic in it is caught and logged, and
/// disturbs nobody.
pub trait Observer: Send + Sync + 'static {
    /// Takes one event.
    fn observe(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_panic_is_cut_at_a_character_and_shows_only_by_name() {
        let long = "é".repeat(200) + "\n";
        let text = bounded(&long);
        assert_eq!(text.len(), EXIT_TEXT_MAX_BYTES);
        assert_eq!(bounded("a\nb\u{1b}[31m"), "a b [31m");
        let exit = Exit::Panicked("key=abc".into());
        assert!(!format!("{exit} {exit:?}").contains("abc"));
        assert_eq!(exit.internal(), Some("key=abc"));
    }

    #[test]
    fn a_name_of_64_bytes_is_taken_and_one_of_65_or_with_a_space_is_not() {
        assert!(ActorName::new(&"n".repeat(64)).is_ok());
        assert!(ActorName::new(&"n".repeat(65)).is_err());
        assert!(ActorName::new("").is_err());
        assert!(ActorName::new("two words").is_err());
        assert!(ActorName::new("trading/BTC-USDC.1:x_y").is_ok());
    }
}
