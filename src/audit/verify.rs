//! Verifying a whole journal or an export: every record hashed from its stored bytes, the tree
//! rebuilt, every signed root compared.
//!
//! What an attacker with the files *and* the signing key could do is only seen against a checkpoint
//! that somebody else holds: give it as [`Expectation`].

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::journal::checkpoint::{Checkpoint, VerifierKey};
use flashguard_actors::journal::encoding;
use flashguard_actors::journal::fold::Running;
use flashguard_actors::journal::opening::leaf_of;
use flashguard_actors::journal::record::{Fact, Record};
use flashguard_actors::journal::tree::{Frontier, commitment};
use flashguard_actors::journal::writer::IDENTITY_KEPT_MS;
use flashguard_actors::ports::journal::{
    Hash, Identity, JournalReader, RawCheckpoint, RawRecord, SALT_BYTES, Snapshot, StoreError,
};

use super::export::{FORMAT, Line, Lines, VERSION, raw_of};
use super::{AuditError, OnProgress, open};
use crate::stores::sqlite::journal::SqliteReader;

/// Records read at once.
const READ_RECORDS: usize = 1_024;

/// The first thing that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The record it is about, if it is about one.
    pub seq: Option<u64>,
    /// What is different.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seq {
            Some(seq) => write!(f, "record {seq}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

fn different<T>(seq: Option<u64>, what: impl Into<String>) -> Result<T, AuditError> {
    Err(AuditError::Different(Difference {
        seq,
        what: what.into(),
    }))
}

/// What a journal is verified against, beside itself.
#[derive(Default)]
pub struct Expectation {
    /// The verifier key that its owner printed (`audit key`), kept elsewhere.
    pub key: Option<VerifierKey>,
    /// Signed checkpoints kept elsewhere.
    pub checkpoints: Vec<Vec<u8>>,
    /// Folds that have taken nothing in: refolded from record one and compared with their snapshots.
    /// Not for exports, which hold none.
    pub folds: Vec<Box<dyn Running>>,
}

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The log's name.
    pub origin: String,
    /// The key that its checkpoints were verified with.
    pub verifier_key: String,
    /// Records, every one hashed.
    pub records: u64,
    /// The root over all of them.
    pub root: Hash,
    /// Checkpoints of the journal, every signature and root compared.
    pub checkpoints: u64,
    /// Records that the last of them covers; what follows nobody has signed yet.
    pub signed: u64,
    /// Checkpoints from outside, every one compared.
    pub expected_checkpoints: u64,
    /// Payloads, every one compared with its commitment.
    pub payloads: u64,
    /// Identities compared with their intents.
    pub identities: u64,
    /// Snapshots compared with their folds.
    pub snapshots: u64,
    /// First and last record's time.
    pub times: Option<(UnixMicros, UnixMicros)>,
    /// Records of each kind.
    pub kinds: BTreeMap<String, u64>,
}

/// Verifies the journal in a data directory, or an export.
///
/// # Errors
///
/// [`AuditError::Different`] with the first difference, or what made it impossible to read.
pub fn verify(
    path: &Path,
    expectation: Expectation,
    on_progress: OnProgress<'_>,
) -> Result<Verified, AuditError> {
    if path.is_dir() {
        let verified = directory(path, expectation, on_progress);
        // What cannot be read because of its content is a difference like any other.
        return match verified {
            Err(AuditError::Store(StoreError::Corrupt { what })) => different(None, what),
            other => other,
        };
    }
    let unreadable = |cause| AuditError::File {
        doing: "read",
        path: path.to_owned(),
        cause,
    };
    let file = File::open(path).map_err(unreadable)?;
    export_file(BufReader::new(file), expectation, on_progress, &unreadable)
}

/// The walk over a journal: what is known after each record.
struct Walk {
    key: VerifierKey,
    frontier: Frontier,
    completed: Vec<u8>,
    last_time: Option<UnixMicros>,
    expected: BTreeMap<u64, Vec<Checkpoint>>,
    verified: Verified,
}

impl Walk {
    fn new(origin: &str, key: &str, expectation: &Expectation) -> Result<Self, AuditError> {
        let Ok(key) = VerifierKey::parse(key) else {
            return different(None, "the journal's verifier key is not one");
        };
        if key.origin() != origin {
            return different(None, "the journal's name is not that of its key");
        }
        if expectation
            .key
            .as_ref()
            .is_some_and(|expected| *expected != key)
        {
            return different(None, "the journal's verifier key is not the expected one");
        }
        let mut expected: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for note in &expectation.checkpoints {
            let checkpoint = key.verify(note).map_err(AuditError::Expectation)?;
            expected
                .entry(checkpoint.size)
                .or_default()
                .push(checkpoint);
        }
        let verified = Verified {
            origin: origin.to_owned(),
            verifier_key: key.to_string(),
            records: 0,
            root: Frontier::default().root(),
            checkpoints: 0,
            signed: 0,
            expected_checkpoints: 0,
            payloads: 0,
            identities: 0,
            snapshots: 0,
            times: None,
            kinds: BTreeMap::new(),
        };
        Ok(Self {
            key,
            frontier: Frontier::default(),
            completed: Vec::new(),
            last_time: None,
            expected,
            verified,
        })
    }

    /// Takes the next record; afterwards `completed` holds the nodes that it completed.
    fn record(&mut self, raw: &RawRecord) -> Result<Record, AuditError> {
        let seq = Some(raw.seq);
        let next = self.frontier.size();
        if raw.seq != next {
            return different(
                Some(next),
                format!("missing: {} stands in its place", raw.seq),
            );
        }
        let record = match encoding::decode(raw) {
            Ok(record) => record,
            Err(error) => return different(seq, error.to_string()),
        };
        if self.last_time.is_some_and(|last| raw.time <= last) {
            return different(seq, "not later than the one before");
        }
        match (&raw.commitment, &raw.payload) {
            (Some(_), None) => {
                return different(
                    seq,
                    "its payload is gone, and no record says that it was erased",
                );
            }
            (Some(kept), Some(payload)) => {
                if payload.salt.len() != SALT_BYTES {
                    return different(seq, "its salt has another length");
                }
                if kept.as_slice() != commitment(&payload.salt, &payload.bytes) {
                    return different(seq, "its payload is not the one that was committed to");
                }
                self.verified.payloads += 1;
            }
            (None, Some(_)) => return different(seq, "it has a payload that nothing commits to"),
            (None, None) => {}
        }
        self.completed.clear();
        self.frontier.push(leaf_of(raw)?, &mut self.completed);
        self.last_time = Some(raw.time);
        let first = self.verified.times.map_or(raw.time, |(first, _)| first);
        self.verified.times = Some((first, raw.time));
        let kind = record.fact.kind();
        match self.verified.kinds.get_mut(kind) {
            Some(count) => *count += 1,
            None => {
                self.verified.kinds.insert(kind.to_owned(), 1);
            }
        }
        self.compare_expected()?;
        Ok(record)
    }

    fn compare_expected(&mut self) -> Result<(), AuditError> {
        let size = self.frontier.size();
        for checkpoint in self.expected.remove(&size).unwrap_or_default() {
            if checkpoint.root != self.frontier.root() {
                let what = format!("the first {size} records are not those of the checkpoint held");
                return different(None, what);
            }
            self.verified.expected_checkpoints += 1;
        }
        Ok(())
    }

    /// Takes a checkpoint that stands right after the last record it covers.
    fn checkpoint(&mut self, note: &[u8]) -> Result<Checkpoint, AuditError> {
        let checkpoint = match self.key.verify(note) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return different(None, error.to_string()),
        };
        let size = self.frontier.size();
        if checkpoint.size != size {
            let what = format!(
                "a checkpoint of {} records stands after {size}",
                checkpoint.size
            );
            return different(None, what);
        }
        if self.verified.checkpoints > 0 && checkpoint.size <= self.verified.signed {
            return different(None, format!("a second checkpoint of {size} records"));
        }
        if checkpoint.root != self.frontier.root() {
            let what = format!("the first {size} records are not those that were signed");
            return different(None, what);
        }
        self.verified.checkpoints += 1;
        self.verified.signed = size;
        Ok(checkpoint)
    }

    fn end(mut self) -> Result<Verified, AuditError> {
        self.verified.records = self.frontier.size();
        self.verified.root = self.frontier.root();
        if let Some((size, _)) = self.expected.first_key_value() {
            let what = format!(
                "the journal has {} records; the checkpoint held covers {size}",
                self.verified.records
            );
            return different(None, what);
        }
        Ok(self.verified)
    }
}

/// Reads rows in order beside the records, a bounded number at once.
struct Beside<T> {
    waiting: std::collections::VecDeque<(u64, T)>,
    next: u64,
    ended: bool,
}

impl<T> Beside<T> {
    fn new() -> Self {
        Self {
            waiting: std::collections::VecDeque::new(),
            next: 0,
            ended: false,
        }
    }

    /// The row whose place is not above `at`, if there is one.
    fn up_to(
        &mut self,
        at: u64,
        more: impl FnOnce(u64) -> Result<Vec<(u64, T)>, StoreError>,
    ) -> Result<Option<(u64, T)>, StoreError> {
        if self.waiting.is_empty() && !self.ended {
            self.waiting = more(self.next)?.into();
            self.ended = self.waiting.is_empty();
            self.next = self.waiting.back().map_or(self.next, |(at, _)| at + 1);
        }
        let due = self.waiting.front().is_some_and(|(place, _)| *place <= at);
        Ok(if due { self.waiting.pop_front() } else { None })
    }
}

/// The journal of a data directory, read as it is at one moment.
struct Directory {
    reader: SqliteReader,
    walk: Walk,
    identities: Beside<Identity>,
    nodes: Beside<Vec<u8>>,
    checkpoints: Beside<RawCheckpoint>,
    /// The stored group of nodes that the last record is in, and how much of it is compared.
    group: Option<(Vec<u8>, usize)>,
    /// Identities of records from this time on must be held.
    held_from: UnixMicros,
    folds: Vec<Box<dyn Running>>,
    snapshots: Vec<Snapshot>,
}

fn directory(
    path: &Path,
    expectation: Expectation,
    on_progress: OnProgress<'_>,
) -> Result<Verified, AuditError> {
    let reader = open(path)?;
    reader.freeze()?;
    reader.check_structure()?;
    let (meta, head) = (reader.meta()?, reader.head()?);
    let mut snapshots = Vec::new();
    for name in reader.snapshot_names()? {
        snapshots.extend(reader.snapshot(&name)?);
    }
    let mut directory = Directory {
        walk: Walk::new(&meta.origin, &meta.verifier_key, &expectation)?,
        reader,
        identities: Beside::new(),
        nodes: Beside::new(),
        checkpoints: Beside::new(),
        group: None,
        held_from: UnixMicros(head.last_time.0.saturating_sub(IDENTITY_KEPT_MS * 1_000)),
        folds: expectation.folds,
        snapshots,
    };
    directory.walk.compare_expected()?;
    loop {
        let from = directory.walk.frontier.size();
        let records = directory.reader.records(from, READ_RECORDS)?;
        if records.is_empty() {
            break;
        }
        for raw in &records {
            directory.record(raw)?;
        }
        on_progress(directory.walk.frontier.size(), head.size);
    }
    directory.end()
}

impl Directory {
    fn record(&mut self, raw: &RawRecord) -> Result<(), AuditError> {
        let record = self.walk.record(raw)?;
        self.compare_nodes(raw.seq)?;
        self.compare_identity(&record)?;
        self.compare_checkpoint(raw)?;
        self.folds.iter_mut().for_each(|fold| fold.take(&record));
        self.compare_snapshots()
    }

    /// Stored groups of nodes must be the rebuilt ones, end to end.
    fn compare_nodes(&mut self, seq: u64) -> Result<(), AuditError> {
        let reader = &self.reader;
        if self.group.is_none() {
            let next = self
                .nodes
                .up_to(seq, |from| reader.node_groups(from, 256))?;
            self.group = next
                .filter(|(first, _)| *first == seq)
                .map(|(_, stored)| (stored, 0));
        }
        let Some((stored, compared)) = &mut self.group else {
            return different(Some(seq), "its tree nodes are missing");
        };
        let completed = &self.walk.completed;
        let end = *compared + completed.len();
        if stored.get(*compared..end) != Some(completed.as_slice()) {
            return different(
                Some(seq),
                "its stored tree nodes are not those of the records",
            );
        }
        *compared = end;
        if end == stored.len() {
            self.group = None;
        }
        Ok(())
    }

    /// An identity belongs to the intent it names, and every intent of the last 24 h has one.
    fn compare_identity(&mut self, record: &Record) -> Result<(), AuditError> {
        let (reader, seq) = (&self.reader, record.seq);
        let held = self
            .identities
            .up_to(seq, |from| reader.identities(from, READ_RECORDS))?;
        let of_record = match &record.fact {
            Fact::OrderIntent {
                client,
                client_order_id,
                ..
            } => Some(Identity {
                client: client.clone(),
                client_order_id: client_order_id.clone(),
            }),
            _ => None,
        };
        match (held, of_record) {
            (None, None) => Ok(()),
            (None, Some(_)) if record.time < self.held_from => Ok(()),
            (None, Some(_)) => different(Some(seq), "its identity is not held"),
            (Some((_, held)), Some(own)) if held == own => {
                self.verified_identity();
                Ok(())
            }
            (Some(_), _) => different(Some(seq), "an identity is bound to it that is not its own"),
        }
    }

    fn verified_identity(&mut self) {
        self.walk.verified.identities += 1;
    }

    fn compare_checkpoint(&mut self, raw: &RawRecord) -> Result<(), AuditError> {
        let (reader, size) = (&self.reader, raw.seq + 1);
        let row = self
            .checkpoints
            .up_to(size, |from| checkpoint_rows(reader, from))?;
        let Some((_, row)) = row else { return Ok(()) };
        let checkpoint = self.walk.checkpoint(&row.note)?;
        if row.size != checkpoint.size || row.time != raw.time {
            return different(
                None,
                format!("the checkpoint of {size} records is filed wrongly"),
            );
        }
        Ok(())
    }

    fn compare_snapshots(&mut self) -> Result<(), AuditError> {
        let size = self.walk.frontier.size();
        for snapshot in self.snapshots.iter().filter(|s| s.size == size) {
            if snapshot.root != self.walk.frontier.root() {
                let what = format!("the snapshot of {} is of another journal", snapshot.fold);
                return different(None, what);
            }
            let fold = self.folds.iter().find(|fold| fold.name() == snapshot.fold);
            let Some(fold) = fold else { continue };
            let own = fold.snapshot(snapshot.root)?;
            if own.version == snapshot.version && !same_state(&own.bytes, &snapshot.bytes) {
                let what = format!(
                    "the snapshot of {} is not what its records give",
                    snapshot.fold
                );
                return different(None, what);
            }
            self.walk.verified.snapshots += 1;
        }
        Ok(())
    }

    fn end(mut self) -> Result<Verified, AuditError> {
        let size = self.walk.frontier.size();
        let reader = &self.reader;
        if let Some((seq, _)) = self
            .identities
            .up_to(u64::MAX, |from| reader.identities(from, 1))?
        {
            return different(Some(seq), "an identity is bound to it, and it is not there");
        }
        let left = self
            .nodes
            .up_to(u64::MAX, |from| reader.node_groups(from, 1))?;
        if left.is_some() || self.group.is_some() {
            return different(None, format!("tree nodes of more than {size} records"));
        }
        if let Some((covered, _)) = self
            .checkpoints
            .up_to(u64::MAX, |from| checkpoint_rows(reader, from))?
        {
            let what = format!("a checkpoint of {covered} records; there are {size}");
            return different(None, what);
        }
        if let Some(snapshot) = self.snapshots.iter().find(|s| s.size > size || s.size == 0) {
            let what = format!(
                "the snapshot of {} is of {} records",
                snapshot.fold, snapshot.size
            );
            return different(None, what);
        }
        self.walk.end()
    }
}

fn checkpoint_rows(
    reader: &SqliteReader,
    from: u64,
) -> Result<Vec<(u64, RawCheckpoint)>, StoreError> {
    let rows = reader.checkpoints(from, 64)?;
    Ok(rows.into_iter().map(|row| (row.size, row)).collect())
}

/// Whether two sealed states are the same JSON.
fn same_state(one: &[u8], other: &[u8]) -> bool {
    let json = |bytes: &[u8]| -> Option<serde_json::Value> {
        serde_json::from_slice(bytes.get(32..)?).ok()
    };
    one == other || (json(one).is_some() && json(one) == json(other))
}

fn export_file(
    file: impl BufRead,
    expectation: Expectation,
    on_progress: OnProgress<'_>,
    unreadable: &dyn Fn(std::io::Error) -> AuditError,
) -> Result<Verified, AuditError> {
    let mut lines = Lines::new(file);
    let at = |number: u64, what: &str| different(None, format!("line {number} {what}"));
    let first = lines.next().map_err(unreadable)?;
    let Some(Ok(Line::Begin {
        format,
        version,
        origin,
        verifier_key,
        records,
    })) = first
    else {
        return at(1, "does not begin an export");
    };
    if format != FORMAT || version != VERSION {
        return at(1, "begins an export of another format or version");
    }
    let mut walk = Walk::new(&origin, &verifier_key, &expectation)?;
    walk.compare_expected()?;
    loop {
        let Some(line) = lines.next().map_err(unreadable)? else {
            return at(lines.number() + 1, "is missing: the export does not end");
        };
        match line {
            Err(what) => return at(lines.number(), &what),
            Ok(Line::Begin { .. }) => return at(lines.number(), "begins another export"),
            Ok(Line::Record {
                header,
                commitment,
                salt,
                payload,
            }) => {
                match raw_of(header, commitment.as_deref(), salt.as_deref(), payload) {
                    Ok(raw) => walk.record(&raw)?,
                    Err(what) => return at(lines.number(), &what),
                };
                if walk.frontier.size().is_multiple_of(READ_RECORDS as u64) {
                    on_progress(walk.frontier.size(), records);
                }
            }
            Ok(Line::Checkpoint { checkpoint }) => {
                walk.checkpoint(checkpoint.as_bytes())?;
            }
            Ok(Line::End { end, root }) => {
                let size = walk.frontier.size();
                if end != size || records != size || root != hex::encode(walk.frontier.root()) {
                    return at(lines.number(), "does not fit the records before it");
                }
                break;
            }
        }
    }
    if lines.next().map_err(unreadable)?.is_some() {
        return different(None, "something stands after the end of the export");
    }
    walk.end()
}
