//! A record's bytes: encoded once, on the producer's thread; hashed and stored as they are.
//!
//! The header is one JSON object; its first two fields, `seq` and `time_us`, are put in front by the
//! writer, the rest is ready before it. The payload is JSON too, behind a random salt. Decoding goes
//! by (kind, version); what is unknown refuses to be read (exit code 6), it is never skipped.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::record::{Class, Entry, Fact, Private, Record};
use super::tree;
use crate::domain::clock::{Entropy, EntropyFailed, UnixMicros};
use crate::domain::identity::Principal;
use crate::ports::journal::{Hash, PayloadRow, RawRecord, RecordRow, SALT_BYTES};

/// The version of every kind's fields so far.
pub const VERSION: u16 = 1;

/// Longest header. A fact is decisions and numbers: far below.
pub const HEADER_BYTES_MAX: usize = 256 * 1024;

/// Longest payload.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Room for `{"seq":…,"time_us":…,` with the largest numbers: 59 bytes.
const PREFIX_BYTES_MAX: usize = 64;

/// Why an entry could not be encoded: the caller's mistake, or no randomness.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// No salt, no record.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// Larger than a record may be.
    #[error("a record's {part} would have {bytes} bytes; {max} are allowed")]
    TooLong {
        /// `header` or `payload`.
        part: &'static str,
        /// How long it would be.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// It cannot be written as JSON.
    #[error("a record could not be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Why stored bytes could not be read. All of them mean: stop (exit code 6).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Written by a later version of this program, or not by it.
    #[error("record {seq} has the unknown kind {kind:?}, version {version}")]
    Unknown {
        /// Which record.
        seq: u64,
        /// As it stands there.
        kind: String,
        /// As it stands there.
        version: u64,
    },
    /// Not what any version writes.
    #[error("record {seq} cannot be read: {why}")]
    Malformed {
        /// Which record.
        seq: u64,
        /// What the parser said.
        why: String,
    },
    /// The header says something else than the store's columns.
    #[error("record {seq} does not agree with the store about its {field}")]
    Disagrees {
        /// Which record.
        seq: u64,
        /// `seq`, `time_us` or `class`.
        field: &'static str,
    },
}

/// The header's fields after `seq` and `time_us`, as they are written.
#[derive(Serialize)]
struct Tail<'a> {
    v: u16,
    class: Class,
    actor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a Principal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<&'a str>,
    fact: &'a Fact,
}

/// The header as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    seq: u64,
    time_us: UnixMicros,
    v: u16,
    class: Class,
    actor: String,
    principal: Option<Principal>,
    correlation: Option<String>,
    fact: Fact,
}

/// A record that lacks nothing but its place and time.
#[derive(Debug)]
pub struct Encoded {
    /// `PREFIX_BYTES_MAX` bytes of room, then the header without its opening brace.
    bytes: Vec<u8>,
    class: Class,
    payload: Option<Payload>,
}

#[derive(Debug)]
struct Payload {
    commitment: Hash,
    salt: [u8; SALT_BYTES],
    bytes: Vec<u8>,
}

/// Encodes an entry. Costs the caller's time, not the writer's.
///
/// # Errors
///
/// [`EncodeError`] when it is too long or there is no randomness.
pub fn encode(entry: &Entry, entropy: &dyn Entropy) -> Result<Encoded, EncodeError> {
    let class = entry.fact.class();
    let mut bytes = Vec::with_capacity(768);
    bytes.resize(PREFIX_BYTES_MAX - 1, 0);
    let tail = Tail {
        v: VERSION,
        class,
        actor: entry.actor,
        principal: entry.principal.as_ref(),
        correlation: entry.correlation.as_deref(),
        fact: &entry.fact,
    };
    // The opening brace falls on the last byte of the room, where the writer's comma will stand.
    serde_json::to_writer(&mut bytes, &tail)?;
    within("header", bytes.len(), HEADER_BYTES_MAX)?;
    let payload = match &entry.private {
        None => None,
        Some(private) => Some(seal(private, entropy)?),
    };
    Ok(Encoded {
        bytes,
        class,
        payload,
    })
}

fn seal(private: &Private, entropy: &dyn Entropy) -> Result<Payload, EncodeError> {
    let bytes = serde_json::to_vec(private)?;
    within("payload", bytes.len(), PAYLOAD_BYTES_MAX)?;
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt)?;
    Ok(Payload {
        commitment: tree::commitment(&salt, &bytes),
        salt,
        bytes,
    })
}

const fn within(part: &'static str, bytes: usize, max: usize) -> Result<(), EncodeError> {
    if bytes > max {
        return Err(EncodeError::TooLong { part, bytes, max });
    }
    Ok(())
}

impl Encoded {
    /// Bytes it will take on the disk, about.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len() + self.payload.as_ref().map_or(0, |p| p.bytes.len())
    }

    /// Gives it its place and time: the row to store and the hash of its leaf.
    pub fn stamp(&mut self, seq: u64, time: UnixMicros) -> (RecordRow<'_>, Hash) {
        let mut prefix = [0; PREFIX_BYTES_MAX];
        let mut rest = prefix.as_mut_slice();
        // Cannot fail: the room holds the largest numbers.
        let written = write!(rest, "{{\"seq\":{seq},\"time_us\":{},", time.0);
        debug_assert!(written.is_ok(), "the room holds the largest numbers");
        let length = PREFIX_BYTES_MAX - rest.len();
        let start = PREFIX_BYTES_MAX - length;
        if let (Some(room), Some(prefix)) = (
            self.bytes.get_mut(start..PREFIX_BYTES_MAX),
            prefix.get(..length),
        ) {
            room.copy_from_slice(prefix);
        }
        let header = self.bytes.get(start..).unwrap_or_default();
        let payload = self.payload.as_ref();
        let inner = payload.map_or_else(|| tree::commitment(&[], &[]), |p| p.commitment);
        let row = RecordRow {
            seq,
            time,
            class: self.class.as_str(),
            header,
            payload: payload.map(|p| PayloadRow {
                commitment: &p.commitment,
                salt: &p.salt,
                bytes: &p.bytes,
            }),
        };
        (row, tree::leaf_hash(header, &inner))
    }
}

/// Reads a stored record.
///
/// # Errors
///
/// [`DecodeError`]: the store holds something that this program did not write.
pub fn decode(raw: &RawRecord) -> Result<Record, DecodeError> {
    let seq = raw.seq;
    let header: Header = match serde_json::from_slice(&raw.header) {
        Ok(header) => header,
        Err(error) => return Err(why_not(raw, &error)),
    };
    if header.v != VERSION {
        return Err(DecodeError::Unknown {
            seq,
            kind: header.fact.kind().to_owned(),
            version: header.v.into(),
        });
    }
    let agree = |same: bool, field| {
        same.then_some(())
            .ok_or(DecodeError::Disagrees { seq, field })
    };
    agree(header.seq == seq, "seq")?;
    agree(header.time_us == raw.time, "time_us")?;
    let private = match &raw.payload {
        None => None,
        Some(payload) => {
            agree(payload.class == header.class.as_str(), "class")?;
            let read = serde_json::from_slice(&payload.bytes);
            Some(read.map_err(|error| malformed(seq, &error))?)
        }
    };
    Ok(Record {
        seq,
        time: header.time_us,
        fact: header.fact,
        private,
        actor: header.actor,
        principal: header.principal,
        correlation: header.correlation,
    })
}

fn malformed(seq: u64, error: &serde_json::Error) -> DecodeError {
    DecodeError::Malformed {
        seq,
        why: error.to_string(),
    }
}

/// Tells a record of a later version from one that is broken.
fn why_not(raw: &RawRecord, error: &serde_json::Error) -> DecodeError {
    let seq = raw.seq;
    let Ok(header) = serde_json::from_slice::<serde_json::Value>(&raw.header) else {
        return malformed(seq, error);
    };
    let version = header.get("v").and_then(serde_json::Value::as_u64);
    let kind = header.pointer("/fact/kind").and_then(|k| k.as_str());
    match (version, kind) {
        (Some(version), Some(kind))
            if version != u64::from(VERSION) || !Fact::KINDS.contains(&kind) =>
        {
            DecodeError::Unknown {
                seq,
                kind: kind.to_owned(),
                version,
            }
        }
        _ => malformed(seq, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SeededEntropy;
    use crate::ports::journal::RawPayload;

    fn entry() -> Entry {
        Entry::of(
            "emergency",
            Fact::HaltRaised {
                epoch: 3,
                incident_id: "i-1".into(),
                trigger: "http".into(),
            },
        )
        .by(Principal::local(7))
        .about("req-1")
        .with(Private {
            reason: Some("because \"so\"".into()),
            ..Private::default()
        })
    }

    fn stored(entry: &Entry, seq: u64, time: UnixMicros) -> (RawRecord, Hash) {
        let mut encoded = encode(entry, SeededEntropy::new(1).as_ref()).unwrap();
        let (row, leaf) = encoded.stamp(seq, time);
        let raw = RawRecord {
            seq,
            time,
            header: row.header.to_vec(),
            commitment: row.payload.map(|p| p.commitment.to_vec()),
            payload: row.payload.map(|p| RawPayload {
                class: row.class.to_owned(),
                salt: p.salt.to_vec(),
                bytes: p.bytes.to_vec(),
            }),
        };
        (raw, leaf)
    }

    #[test]
    fn a_header_is_json_that_reads_as_it_was_written() {
        let (raw, leaf) = stored(&entry(), 17, UnixMicros(1_795_519_533_123_456));
        assert_eq!(
            String::from_utf8(raw.header.clone()).unwrap(),
            r#"{"seq":17,"time_us":1795519533123456,"v":1,"class":"audit_logs","actor":"emergency","principal":"local:7","correlation":"req-1","fact":{"kind":"halt.raised","data":{"epoch":3,"incident_id":"i-1","trigger":"http"}}}"#
        );
        let payload = raw.payload.clone().unwrap();
        let inner = tree::commitment(&payload.salt, &payload.bytes);
        assert_eq!(raw.commitment.as_deref(), Some(inner.as_slice()));
        assert_eq!(leaf, tree::leaf_hash(&raw.header, &inner));
        let record = decode(&raw).unwrap();
        assert_eq!((record.seq, record.fact), (17, entry().fact));
        assert_eq!(record.private, entry().private);
    }

    #[test]
    fn the_largest_numbers_fit_in_front() {
        let (raw, _) = stored(&entry(), u64::MAX, UnixMicros(u64::MAX));
        assert_eq!(decode(&raw).unwrap().seq, u64::MAX);
        let (raw, _) = stored(&entry(), 0, UnixMicros(0));
        assert_eq!(decode(&raw).unwrap().seq, 0);
    }

    #[test]
    fn an_unknown_kind_or_version_is_told_from_a_broken_record() {
        let (raw, _) = stored(&entry(), 1, UnixMicros(1));
        let with = |from: &str, to: &str| {
            let header = String::from_utf8(raw.header.clone()).unwrap();
            let header = header.replace(from, to).into_bytes();
            decode(&RawRecord {
                header,
                ..raw.clone()
            })
            .unwrap_err()
        };
        let unknown = |kind: &str, version| DecodeError::Unknown {
            seq: 1,
            kind: kind.into(),
            version,
        };
        assert_eq!(
            with("halt.raised", "halt.raided"),
            unknown("halt.raided", 1)
        );
        assert_eq!(with("\"v\":1", "\"v\":2"), unknown("halt.raised", 2));
        assert!(matches!(
            with("epoch", "epoxy"),
            DecodeError::Malformed { seq: 1, .. }
        ));
        assert!(matches!(with("{", "["), DecodeError::Malformed { .. }));
        assert!(matches!(
            with("\"v\":1", "\"v\":1,\"w\":1"),
            DecodeError::Malformed { .. }
        ));
    }

    #[test]
    fn a_header_that_disagrees_with_the_store_is_not_read() {
        let (raw, _) = stored(&entry(), 5, UnixMicros(9));
        let disagrees = |raw: RawRecord| match decode(&raw) {
            Err(DecodeError::Disagrees { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            disagrees(RawRecord {
                seq: 6,
                ..raw.clone()
            }),
            "seq"
        );
        assert_eq!(
            disagrees(RawRecord {
                time: UnixMicros(8),
                ..raw.clone()
            }),
            "time_us"
        );
        let mut other = raw;
        other.payload.as_mut().unwrap().class = "user_data".into();
        assert_eq!(disagrees(other), "class");
    }

    #[test]
    fn an_entry_that_is_too_long_is_refused() {
        let mut entry = entry();
        entry.private = Some(Private {
            reason: Some("x".repeat(PAYLOAD_BYTES_MAX)),
            ..Private::default()
        });
        let refused = encode(&entry, SeededEntropy::new(1).as_ref());
        assert!(matches!(
            refused,
            Err(EncodeError::TooLong {
                part: "payload",
                ..
            })
        ));
    }

    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn no_bytes_make_the_decoder_panic(header in prop::collection::vec(any::<u8>(), 0..200), seq: u64) {
                let raw = RawRecord { seq, time: UnixMicros(0), header, commitment: None, payload: None };
                prop_assert!(decode(&raw).is_err());
            }

            #[test]
            fn texts_survive_as_they_are(reason in ".*", actor_correlation in ".*", seq: u64, time: u64) {
                let mut entry = entry().about(actor_correlation.clone());
                entry.private = Some(Private { reason: Some(reason.clone()), ..Private::default() });
                let (raw, _) = stored(&entry, seq, UnixMicros(time));
                let record = decode(&raw).unwrap();
                prop_assert_eq!(record.correlation, Some(actor_correlation));
                prop_assert_eq!(record.private.unwrap().reason, Some(reason));
            }
        }
    }
}
