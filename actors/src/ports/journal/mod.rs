//! Where the journal's bytes lie: one store that writes, and readers beside it.
//!
//! Bytes only. What they mean (records, tree, notes) is `journal`'s; a store keeps them, in order,
//! durable when [`JournalStore::commit`] returns, and arbitrates identities with a unique index.

pub mod memory;

use std::error::Error;

use crate::domain::clock::UnixMicros;
use crate::domain::identity::Client;
use crate::domain::order::ClientOrderId;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Random bytes that hide a payload behind its commitment.
pub const SALT_BYTES: usize = 16;

/// What was decided about a journal when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The log's name in its checkpoints and of its key: no space, no `+`.
    pub origin: String,
    /// C2SP verifier key, `<origin>+<id>+<base64>`: what checkpoints are verified with.
    pub verifier_key: String,
}

/// One record on its way to the disk.
#[derive(Debug, Clone, Copy)]
pub struct RecordRow<'a> {
    /// Position, from 0, without a gap.
    pub seq: u64,
    /// Grows strictly with `seq`.
    pub time: UnixMicros,
    /// Retention class of the payload.
    pub class: &'static str,
    /// The header as it is hashed, never encoded again.
    pub header: &'a [u8],
    /// Payload and what proves it.
    pub payload: Option<PayloadRow<'a>>,
}

/// A record's payload on its way to the disk.
#[derive(Debug, Clone, Copy)]
pub struct PayloadRow<'a> {
    /// SHA-256 of salt and bytes: stays when they are erased.
    pub commitment: &'a Hash,
    /// Random.
    pub salt: &'a [u8; SALT_BYTES],
    /// As it is hashed.
    pub bytes: &'a [u8],
}

/// One record as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Position, from 0, without a gap.
    pub seq: u64,
    /// When, as the store's column says.
    pub time: UnixMicros,
    /// As it was hashed.
    pub header: Vec<u8>,
    /// `None`: this record never had a payload.
    pub commitment: Option<Vec<u8>>,
    /// `None` also when it was erased.
    pub payload: Option<RawPayload>,
}

/// A payload as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPayload {
    /// Retention class, as the store's column says.
    pub class: String,
    /// [`SALT_BYTES`] random bytes.
    pub salt: Vec<u8>,
    /// As they were hashed.
    pub bytes: Vec<u8>,
}

/// The name of an order in its client's words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Whose.
    pub client: Client,
    /// The caller's id.
    pub client_order_id: ClientOrderId,
}

/// A signed root as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawCheckpoint {
    /// Records it covers.
    pub size: u64,
    /// The time of the last record it covers.
    pub time: UnixMicros,
    /// C2SP signed note.
    pub note: Vec<u8>,
}

/// A fold's state, cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The fold's name.
    pub fold: String,
    /// The fold's version.
    pub version: u32,
    /// Records it has taken in.
    pub size: u64,
    /// The tree's root over them.
    pub root: Hash,
    /// The state, serialised.
    pub bytes: Vec<u8>,
}

/// What the journal's end looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Records committed.
    pub size: u64,
    /// The last record's time; zero when there is none.
    pub last_time: UnixMicros,
}

/// The answer to a claim of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is this record's from now on, if the transaction commits.
    Claimed,
    /// The same, and the record it was bound to before had expired.
    Renewed,
    /// It belongs to this record already.
    Taken(u64),
}

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk or the database said no.
    #[error("the journal's store failed while {doing}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// Stored data is not what was written.
    #[error("the journal is corrupt: {what}")]
    Corrupt {
        /// What does not fit.
        what: String,
    },
    /// Written by a later version of this program.
    #[error("the journal has version {found}; this program knows versions up to {known}")]
    Newer {
        /// The store's version.
        found: u32,
        /// The latest known.
        known: u32,
    },
    /// No journal there.
    #[error("there is no journal")]
    Missing,
    /// There is one already.
    #[error("there is a journal already")]
    Exists,
    /// A file was removed or replaced under the running process (J3).
    #[error("{file} was removed or replaced while in use")]
    Replaced {
        /// Its name, without the folder.
        file: &'static str,
    },
}

impl StoreError {
    /// Stored data is not what was written.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    /// The text with all causes, for logs.
    pub fn internal(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        text
    }
}

/// Hashes of the tree's inner nodes, for proofs.
pub trait Nodes {
    /// The hash of the complete subtree over leaves `index << level` to `(index + 1) << level`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when it is not there.
    fn node(&self, level: u32, index: u64) -> Result<Hash, StoreError>;
}

/// Reads what is committed. Each call sees one consistent state; calls after another may see more.
pub trait JournalReader: Nodes + Send {
    /// What was decided when the journal was made.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn meta(&self) -> Result<Meta, StoreError>;

    /// Where the journal ends.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn head(&self) -> Result<Head, StoreError>;

    /// Up to `max` records from `from` on, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn records(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError>;

    /// As [`records`](Self::records), without their payloads: cheaper, and all that folds may use.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn headers(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError>;

    /// The record an identity is bound to, also when that was longer ago than 24 h.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn identity(&self, identity: &Identity) -> Result<Option<u64>, StoreError>;

    /// Up to `max` identities bound to records from `from` on, in order of their records.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn identities(&self, from: u64, max: usize) -> Result<Vec<(u64, Identity)>, StoreError>;

    /// The latest checkpoint.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn last_checkpoint(&self) -> Result<Option<RawCheckpoint>, StoreError>;

    /// Up to `max` checkpoints of `from_size` records or more, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn checkpoints(&self, from_size: u64, max: usize) -> Result<Vec<RawCheckpoint>, StoreError>;

    /// The cached state of a fold.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn snapshot(&self, fold: &str) -> Result<Option<Snapshot>, StoreError>;
}

/// Opens readers: cheap, as many as wanted, from any thread.
pub trait JournalReaders: Send + Sync + 'static {
    /// A reader of its own.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be opened.
    fn open(&self) -> Result<Box<dyn JournalReader>, StoreError>;
}

/// The one writer's side. Used from one thread; any error ends the writing of this process (J3).
pub trait JournalStore: JournalReader {
    /// Identities held.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be counted.
    fn identities_held(&self) -> Result<u64, StoreError>;

    /// Makes sure that the files are still the ones that were opened, and says how many bytes are
    /// free on their disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Replaced`] when one was removed or replaced.
    fn check_files(&mut self) -> Result<u64, StoreError>;

    /// Begins a group.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot begin.
    fn begin(&mut self) -> Result<(), StoreError>;

    /// Binds an identity to record `seq` of this group. One bound to a record older than
    /// `expired_before` is free again.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the index cannot be asked.
    fn claim(
        &mut self,
        identity: &Identity,
        seq: u64,
        expired_before: UnixMicros,
    ) -> Result<Claim, StoreError>;

    /// Adds a record to this group.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be written.
    fn insert(&mut self, row: &RecordRow<'_>) -> Result<(), StoreError>;

    /// Adds the node hashes that this group's records complete, in order of completion.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be written.
    fn insert_nodes(&mut self, first_seq: u64, hashes: &[u8]) -> Result<(), StoreError>;

    /// Adds a checkpoint to this group.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be written.
    fn insert_checkpoint(&mut self, checkpoint: &RawCheckpoint) -> Result<(), StoreError>;

    /// Replaces a fold's snapshot with this group.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be written.
    fn put_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), StoreError>;

    /// Makes the group durable: when this returns `Ok`, it survives a power loss.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: whether the group is on the disk is unknown until the store is opened again.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Work that nobody waits for, after a commit was acknowledged. `idle` is true when nothing
    /// waits: then log files may be folded in, and up to a bounded number of identities bound
    /// before `expired_before` removed. Returns how many were.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be done.
    fn maintain(&mut self, idle: bool, expired_before: UnixMicros) -> Result<u64, StoreError>;

    /// The last call: leaves the store tidy.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be.
    fn close(&mut self) -> Result<(), StoreError>;
}
