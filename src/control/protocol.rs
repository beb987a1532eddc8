//! What is said over the control socket: one JSON object per line, a request and then its answer.
//!
//! While it works on a request the service may send [`Line::Progress`] lines: a client that hears
//! nothing at all can so tell a dead service from a slow one. Every line is bounded.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::domain::identity::{Client, Owner, Role};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Longest request, in bytes with its newline.
pub const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// Longest answer, in bytes with its newline.
pub const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What can be asked. There is no lift here: it needs two people, and this door knows only a user id.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The state of trading, as `GET /api/v1/trading/status` has it.
    Status {},
    /// Stop everything.
    Halt {
        /// 1 to 500 characters saying why.
        reason: String,
    },
    /// The hot keys in use.
    KeysList {},
    /// Take in a hot key from outside.
    KeysImport {
        /// `sei` or `venue`.
        name: String,
        /// As it lies in its file.
        secret: String,
    },
    /// Every API key, without what proves it.
    ApikeysList {},
    /// Make an API key; the answer is the only place where it stands.
    ApikeysCreate {
        /// What it may do.
        role: Role,
        /// The person.
        owner: Owner,
        /// The bot or script; without one it gets one of its own.
        #[serde(default)]
        client: Option<Client>,
        /// It ends by itself then, Unix µs.
        #[serde(default)]
        expires_us: Option<UnixMicros>,
    },
    /// Take an API key away.
    ApikeysRevoke {
        /// Its public part.
        id: String,
    },
}

/// Which request it is; what it holds may be a secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status {} => "Status",
            Self::Halt { .. } => "Halt",
            Self::KeysList {} => "KeysList",
            Self::KeysImport { .. } => "KeysImport",
            Self::ApikeysList {} => "ApikeysList",
            Self::ApikeysCreate { .. } => "ApikeysCreate",
            Self::ApikeysRevoke { .. } => "ApikeysRevoke",
        })
    }
}

/// What the service says before the answer is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The request was read and is being worked on.
    Heard,
}

/// Who is to blame for a failure: decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The caller broke the contract.
    Misuse,
    /// A rule or a permission said no.
    Refused,
    /// Something outside failed; later it may work.
    Unavailable,
    /// Stored data is not what was written.
    Corrupt,
    /// The service itself failed.
    Internal,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Who is to blame.
    pub blame: Blame,
    /// A stable code, as the HTTP API has it.
    pub code: String,
    /// For the caller.
    pub message: String,
}

/// The end of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Done; the same object as the HTTP route answers.
    Done(serde_json::Value),
    /// Not done.
    Failed(Failure),
}

/// A line that the service sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The answer is not ready yet.
    Progress(Progress),
    /// The answer: nothing follows for this request.
    Reply(Reply),
}

/// Why a line could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The other side ended.
    #[error("the other side ended the conversation")]
    Ended,
    /// Longer than anything that is said here.
    #[error("the line is longer than {max_bytes} bytes")]
    TooLong {
        /// The bound.
        max_bytes: u64,
    },
    /// Not what is said here.
    #[error("the line is not understood")]
    NotUnderstood(#[source] serde_json::Error),
    /// The connection failed or was silent for too long.
    #[error("the connection failed")]
    Broken(#[source] io::Error),
}

/// Reads one line of at most `max_bytes`.
///
/// # Errors
///
/// [`LineError`].
pub fn read_line<T: DeserializeOwned>(
    source: &mut impl BufRead,
    max_bytes: u64,
) -> Result<T, LineError> {
    let mut line = Vec::new();
    source
        .take(max_bytes)
        .read_until(b'\n', &mut line)
        .map_err(LineError::Broken)?;
    match line.last() {
        None => Err(LineError::Ended),
        Some(b'\n') => serde_json::from_slice(&line).map_err(LineError::NotUnderstood),
        Some(_) if line.len() as u64 >= max_bytes => Err(LineError::TooLong { max_bytes }),
        Some(_) => Err(LineError::Ended),
    }
}

/// Writes one line.
///
/// # Errors
///
/// The connection's, or that a value has no JSON form.
pub fn write_line(sink: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    sink.write_all(&line)?;
    sink.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Request, LineError> {
        read_line(&mut io::Cursor::new(text), 64)
    }

    #[test]
    fn requests_are_written_on_the_wire_as_documented() {
        let halt = Request::Halt {
            reason: "why".to_owned(),
        };
        let mut wire = Vec::new();
        write_line(&mut wire, &halt).unwrap();
        assert_eq!(wire, b"{\"request\":\"halt\",\"reason\":\"why\"}\n");
        assert_eq!(read(&wire).unwrap(), halt);
        assert_eq!(
            read(b"{\"request\":\"status\"}\n").unwrap(),
            Request::Status {}
        );
    }

    #[test]
    fn a_line_is_bounded_whole_and_known() {
        assert!(matches!(read(b""), Err(LineError::Ended)));
        assert!(matches!(
            read(b"{\"request\":\"status\"}"),
            Err(LineError::Ended)
        ));
        assert!(matches!(
            read(&[b'x'; 64]),
            Err(LineError::TooLong { max_bytes: 64 })
        ));
        for bad in [
            "{}\n",
            "x\n",
            "\n",
            "{\"request\":\"lift\"}\n",
            "{\"request\":\"status\",\"x\":1}\n",
        ] {
            assert!(
                matches!(read(bad.as_bytes()), Err(LineError::NotUnderstood(_))),
                "{bad:?}"
            );
        }
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
                let _ = read(&bytes);
                let _: Result<Line, _> = read_line(&mut io::Cursor::new(&bytes), 64);
            }
        }
    }
}
