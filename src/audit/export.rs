//! One self-contained file: every record, every checkpoint, the key. JSON, one object a line;
//! `docs/journal-format.md` says it exactly.

use std::io::{self, BufRead, Write};
use std::path::Path;

use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::journal::opening::leaf_of;
use flashguard_actors::journal::tree::Frontier;
use flashguard_actors::ports::journal::{Hash, JournalReader, RawPayload, RawRecord, StoreError};
use serde::{Deserialize, Serialize};

use super::{AuditError, OnProgress, open};

/// What the first line calls itself.
pub(super) const FORMAT: &str = "flashguard-journal-export";

/// The format's version.
pub(super) const VERSION: u32 = 1;

/// Longest line that is read: the largest record, escaped.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Records read at once.
const READ_RECORDS: usize = 1_024;

/// One line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Line {
    Begin {
        format: String,
        version: u32,
        origin: String,
        verifier_key: String,
        records: u64,
    },
    Record {
        header: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commitment: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        salt: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<String>,
    },
    Checkpoint {
        checkpoint: String,
    },
    End {
        end: u64,
        root: String,
    },
}

/// What an export holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Records.
    pub records: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// The root over all records.
    pub root: Hash,
}

/// Writes the journal in `data_dir` into `to`, as it is at this moment. Nothing is verified but
/// what must be read anyway: use [`super::verify`] on the result.
///
/// # Errors
///
/// [`AuditError`] when the journal cannot be read or `to` not written.
pub fn export(
    data_dir: &Path,
    to: &mut dyn Write,
    on_progress: OnProgress<'_>,
) -> Result<Exported, AuditError> {
    let reader = open(data_dir)?;
    reader.freeze()?;
    let write = |to: &mut dyn Write, line: &Line| {
        let written = serde_json::to_writer(&mut *to, line).map_err(io::Error::from);
        written
            .and_then(|()| to.write_all(b"\n"))
            .map_err(|cause| AuditError::File {
                doing: "write",
                path: "the export".into(),
                cause,
            })
    };
    let (meta, size) = (reader.meta()?, reader.head()?.size);
    let begin = Line::Begin {
        format: FORMAT.to_owned(),
        version: VERSION,
        origin: meta.origin,
        verifier_key: meta.verifier_key,
        records: size,
    };
    write(to, &begin)?;
    let mut frontier = Frontier::default();
    let mut checkpoints = 0;
    let mut next_checkpoint = reader.checkpoints(0, 1)?.pop();
    loop {
        while let Some(checkpoint) = next_checkpoint.take_if(|c| c.size <= frontier.size()) {
            let line = Line::Checkpoint {
                checkpoint: text(checkpoint.note, "a checkpoint")?,
            };
            write(to, &line)?;
            checkpoints += 1;
            next_checkpoint = reader.checkpoints(checkpoint.size + 1, 1)?.pop();
        }
        let until = next_checkpoint.as_ref().map_or(size, |c| c.size.min(size));
        let count = usize::try_from(until.saturating_sub(frontier.size())).unwrap_or(usize::MAX);
        let records = reader.records(frontier.size(), count.min(READ_RECORDS))?;
        if records.is_empty() {
            break;
        }
        for raw in records {
            frontier.push(leaf_of(&raw)?, &mut Vec::new());
            write(to, &line_of(raw)?)?;
        }
        on_progress(frontier.size(), size);
    }
    let end = Line::End {
        end: frontier.size(),
        root: hex::encode(frontier.root()),
    };
    write(to, &end)?;
    Ok(Exported {
        records: frontier.size(),
        checkpoints,
        root: frontier.root(),
    })
}

fn text(bytes: Vec<u8>, what: &str) -> Result<String, StoreError> {
    String::from_utf8(bytes).map_err(|_| StoreError::corrupt(format!("{what} is not text")))
}

fn line_of(raw: RawRecord) -> Result<Line, StoreError> {
    let what = format!("record {}", raw.seq);
    let (salt, payload) = match raw.payload {
        None => (None, None),
        Some(payload) => {
            let bytes = text(payload.bytes, &what)?;
            (Some(hex::encode(payload.salt)), Some(bytes))
        }
    };
    Ok(Line::Record {
        header: text(raw.header, &what)?,
        commitment: raw.commitment.map(hex::encode),
        salt,
        payload,
    })
}

/// The lines of an export, one after the other.
pub(super) struct Lines<R> {
    from: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, number: 0 }
    }

    /// Which line was read last, from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The next line; `None` at the end of the file; the text says what is wrong with it.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<Line, String>>> {
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut self.from, LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.pop() != Some(b'\n') {
            return Ok(Some(Err("does not end".to_owned())));
        }
        let parsed = serde_json::from_slice(&line);
        Ok(Some(
            parsed.map_err(|_| "is not a line of an export".to_owned()),
        ))
    }
}

/// The first fields of a header, which a store has in columns.
#[derive(Deserialize)]
struct Place {
    seq: u64,
    time_us: UnixMicros,
    class: String,
}

/// A record as it would lie in a store.
pub(super) fn raw_of(
    header: String,
    commitment: Option<&str>,
    salt: Option<&str>,
    payload: Option<String>,
) -> Result<RawRecord, String> {
    let bytes = |hex_text: Option<&str>| match hex_text {
        None => Ok(None),
        Some(text) if text.bytes().any(|b| b.is_ascii_uppercase()) => Err("is not lower-case hex"),
        Some(text) => hex::decode(text).map(Some).map_err(|_| "is not hex"),
    };
    let place: Place =
        serde_json::from_str(&header).map_err(|_| "has a header without its place".to_owned())?;
    let payload = match (bytes(salt)?, payload) {
        (None, None) => None,
        (Some(salt), Some(payload)) => Some(RawPayload {
            class: place.class,
            salt,
            bytes: payload.into_bytes(),
        }),
        _ => return Err("has a salt without a payload, or the reverse".to_owned()),
    };
    Ok(RawRecord {
        seq: place.seq,
        time: place.time_us,
        header: header.into_bytes(),
        commitment: bytes(commitment)?,
        payload,
    })
}
