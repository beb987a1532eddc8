//! The one writer: a thread that makes what is queued durable, a group at a time.
//!
//! One fsync for everything that waits, at once. A commit that fails, a file that is not the one
//! that was opened, or a panic ends the writing for the life of this process (J3): what waits and
//! what comes later is refused, and `on_dead` is told once, before anybody else. What is on the disk
//! then is found out by the next start. The writer decides nothing about trading.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::ack::{self, Ack, Promise};
use super::checkpoint::CheckpointSigner;
use super::encoding::{self, EncodeError, Encoded};
use super::opening::{self, Opened};
use super::queue::{Ended, Manner, Queue, Request, Waiting, Work};
use super::record::{Committed, Entry, Fact};
use super::tree::Frontier;
use crate::domain::clock::{SharedClock, SharedEntropy, UnixMicros};
use crate::domain::order::OrderId;
use crate::ports::journal::{
    Claim, Head, Identity, JournalStore, RawCheckpoint, Snapshot, StoreError,
};

/// An identity is remembered for so long: 24 h.
pub const IDENTITY_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// What can be set about writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterSettings {
    /// Below so many free bytes `on_low_space` is called and no intent is taken.
    /// `journal.reserve_mib`, 64 MiB.
    pub reserve_bytes: u64,
    /// A checkpoint is signed after so many records.
    pub checkpoint_records: u64,
    /// A checkpoint is signed so long after the last one, if there are new records.
    pub checkpoint_every_ms: u64,
    /// Most identities held; beyond it intents are refused with [`AppendError::ClientIdsFull`].
    pub identities_max: u64,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            reserve_bytes: 64 << 20,
            checkpoint_records: 10_000,
            checkpoint_every_ms: 60_000,
            identities_max: 5_000_000,
        }
    }
}

/// Who is told when writing is in danger. Called on the writer's thread.
pub struct Hooks {
    /// The writer is dead, for this reason (for logs, not for callers). Trading must halt.
    pub on_dead: Box<dyn FnOnce(&str) + Send>,
    /// So few bytes are free. Once per episode. Trading must halt while that can be written.
    pub on_low_space: Box<dyn FnMut(u64) + Send>,
}

impl Hooks {
    /// Nobody is told.
    pub fn none() -> Self {
        Self {
            on_dead: Box::new(|_| ()),
            on_low_space: Box::new(|_| ()),
        }
    }
}

/// Why an entry is not in the journal.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Nothing can be written any more until a restart. The reason is for logs.
    #[error("the journal cannot be written")]
    Dead(Arc<str>),
    /// The journal was closed in order.
    #[error("the journal is closed")]
    Closed,
    /// Too much waits already.
    #[error("too many records wait for the journal")]
    Full,
    /// Too little space is free for anything that adds risk.
    #[error("the journal's disk is almost full")]
    LowSpace,
    /// The identity belongs to an earlier record.
    #[error("the client order id is bound to record {seq}")]
    AlreadyBound {
        /// That record.
        seq: u64,
        /// Its order.
        order_id: OrderId,
        /// Its content.
        content_hash: String,
    },
    /// Too many identities of the last 24 h are held.
    #[error("too many client order ids are held")]
    ClientIdsFull,
    /// The entry itself is at fault.
    #[error("the entry cannot be recorded")]
    Unwritable(#[source] Arc<EncodeError>),
}

impl AppendError {
    /// The text for logs.
    pub fn internal(&self) -> String {
        match self {
            Self::Dead(why) => format!("{self}: {why}"),
            Self::Unwritable(why) => format!("{self}: {why}"),
            other => other.to_string(),
        }
    }
}

/// What the writer says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalStatus {
    /// Committed so far.
    pub head: Head,
    /// Records covered by the last checkpoint.
    pub checkpoint_size: u64,
    /// Entries that wait.
    pub queued: usize,
    /// Groups committed by this process.
    pub groups: u64,
    /// Identities held.
    pub identities: u64,
    /// Less space is free than is reserved.
    pub low_space: bool,
    /// Why it cannot write any more; for logs.
    pub dead: Option<String>,
}

/// The journal, for everybody who has something to record. Clones are the same journal; it works
/// from plain threads and from any runtime.
#[derive(Clone)]
pub struct Journal(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    entropy: SharedEntropy,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Shared {
    queue: Queue,
    progress: Mutex<Progress>,
    committed: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    head: Head,
    checkpoint_size: u64,
    groups: u64,
    identities: u64,
    low_space: bool,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Journal").field(&self.status()).finish()
    }
}

impl Drop for Handle {
    /// The last handle is gone: nothing more can come.
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Journal {
    /// Verifies the end of the journal and starts its writer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read, its end is not what was written, or `signer`
    /// is not the one it was made with.
    pub fn open(
        store: Box<dyn JournalStore>,
        signer: CheckpointSigner,
        clock: SharedClock,
        entropy: SharedEntropy,
        settings: WriterSettings,
        hooks: Hooks,
    ) -> Result<(Self, Opened), StoreError> {
        let (opened, frontier) = opening::verify_end(&*store)?;
        if opened.meta.verifier_key != signer.key().to_string() {
            return Err(StoreError::corrupt("the signing key is not the journal's"));
        }
        let checkpoint_size = opened.checkpoint.as_ref().map_or(0, |c| c.size);
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            progress: Mutex::new(Progress {
                head: opened.head,
                checkpoint_size,
                identities: store.identities_held()?,
                ..Progress::default()
            }),
            committed: Condvar::new(),
        });
        let writer = Writer {
            frontier,
            last_time: opened.head.last_time,
            checkpoint_size,
            checkpoint_boot_ms: clock.boot_millis(),
            identities: store.identities_held()?,
            low_space: false,
            nodes: Vec::new(),
            promises: Vec::new(),
            verdicts: Vec::new(),
            asked: Vec::new(),
            store,
            signer,
            clock,
            settings,
            on_low_space: hooks.on_low_space,
            shared: shared.clone(),
        };
        let on_dead = hooks.on_dead;
        let thread = std::thread::Builder::new()
            .name("journal-writer".into())
            .spawn(move || live(writer, on_dead))
            .map_err(|cause| StoreError::Unavailable {
                doing: "starting the writer",
                cause: Box::new(cause),
            })?;
        let handle = Handle {
            shared,
            entropy,
            thread: Mutex::new(Some(thread)),
        };
        Ok((Self(Arc::new(handle)), opened))
    }

    /// Records an entry; the answer comes when it is durable.
    pub fn append(&self, entry: Entry) -> Ack<Committed> {
        self.put(&entry, None, Manner::Loud)
    }

    /// Records an order's intent and binds its identity, in one transaction. The unique index is
    /// the arbiter: an identity that is bound refuses this entry alone.
    pub fn append_intent(&self, entry: Entry, identity: Identity) -> Ack<Committed> {
        self.put(&entry, Some(identity), Manner::Loud)
    }

    /// Records an entry before everything that waits: for halts.
    pub fn append_urgently(&self, entry: Entry) -> Ack<Committed> {
        self.put(&entry, None, Manner::Urgent)
    }

    /// Records an entry that nobody waits for. It does not wake the writer but rides with the next
    /// group, within 5 ms.
    ///
    /// # Errors
    ///
    /// [`AppendError`] when it will not be recorded. `Ok` means queued, not durable: a crash within
    /// these 5 ms loses it, and the next start finds out what became of the order.
    pub fn append_quietly(&self, entry: Entry) -> Result<(), AppendError> {
        let encoded = self.encode(&entry)?;
        let waiting = Waiting {
            encoded,
            identity: None,
            promise: None,
        };
        self.0.shared.queue.push(waiting, Manner::Quiet)
    }

    /// Signs the root now.
    pub fn checkpoint(&self) -> Ack<RawCheckpoint> {
        let (promise, ack) = ack::pair();
        // A refusal is in the answer.
        let _ = self.0.shared.queue.ask(Request::Checkpoint(promise));
        ack
    }

    /// Keeps a fold's state with the next group. A cache: nobody waits for it, and it may be lost.
    ///
    /// # Errors
    ///
    /// [`AppendError`] when it will not be kept.
    pub fn keep_snapshot(&self, snapshot: Snapshot) -> Result<(), AppendError> {
        let request = Request::Snapshot(Box::new(snapshot));
        self.0.shared.queue.ask(request)
    }

    /// Where the journal ends now.
    pub fn head(&self) -> Head {
        self.0.shared.progress.lock().head
    }

    /// Waits on this thread until there are more than `size` records, the writer ended, or `limit`
    /// passed; returns where the journal ends.
    pub fn wait_beyond(&self, size: u64, limit: Duration) -> Head {
        let shared = &self.0.shared;
        let until = Instant::now() + limit;
        let mut progress = shared.progress.lock();
        while progress.head.size <= size && shared.queue.ended().is_none() {
            if shared
                .committed
                .wait_until(&mut progress, until)
                .timed_out()
            {
                break;
            }
        }
        progress.head
    }

    /// What the writer says of itself.
    pub fn status(&self) -> JournalStatus {
        let shared = &self.0.shared;
        let dead = match shared.queue.ended() {
            Some(Ended::Dead(why)) => Some(why),
            _ => None,
        };
        let progress = shared.progress.lock();
        JournalStatus {
            head: progress.head,
            checkpoint_size: progress.checkpoint_size,
            queued: shared.queue.len(),
            groups: progress.groups,
            identities: progress.identities,
            low_space: progress.low_space,
            dead,
        }
    }

    /// Writes what waits, signs the root, leaves the store tidy and ends the writer. Everything
    /// appended from now on is refused.
    ///
    /// # Errors
    ///
    /// [`AppendError::Dead`] when the writer had died.
    pub fn close(&self) -> Result<(), AppendError> {
        self.0.shared.queue.close();
        if let Some(thread) = self.0.thread.lock().take() {
            let _ = thread.join();
        }
        match self.0.shared.queue.ended() {
            Some(Ended::Dead(why)) => Err(AppendError::Dead(why.into())),
            _ => Ok(()),
        }
    }

    fn encode(&self, entry: &Entry) -> Result<encoding::Encoded, AppendError> {
        encoding::encode(entry, &*self.0.entropy)
            .map_err(|error| AppendError::Unwritable(Arc::new(error)))
    }

    fn put(&self, entry: &Entry, identity: Option<Identity>, manner: Manner) -> Ack<Committed> {
        let (promise, ack) = ack::pair();
        let encoded = match self.encode(entry) {
            Ok(encoded) => encoded,
            Err(error) => {
                promise.keep(Err(error));
                return ack;
            }
        };
        let waiting = Waiting {
            encoded,
            identity,
            promise: Some(promise),
        };
        // A refusal is in the answer.
        let _ = self.0.shared.queue.push(waiting, manner);
        ack
    }
}

/// The writer's thread: runs until the end, and tells why when it is not an orderly one.
fn live(mut writer: Writer, on_dead: Box<dyn FnOnce(&str) + Send>) {
    let shared = writer.shared.clone();
    let ended = catch_unwind(AssertUnwindSafe(|| writer.run()));
    let why = match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.internal()),
        Err(panic) => Some(format!("the writer panicked: {}", panic_text(&*panic))),
    };
    if let Some(why) = why {
        let (waiting, requests) = shared.queue.die(&why);
        // SAFETY-ORDER: trading halts before anybody learns that his record is not there.
        let told = catch_unwind(AssertUnwindSafe(|| on_dead(&why)));
        if told.is_err() {
            tracing::error!("the hook for a dead journal panicked");
        }
        refuse_all(
            &mut writer,
            waiting,
            requests,
            &AppendError::Dead(why.into()),
        );
    }
    let progress = shared.progress.lock();
    shared.committed.notify_all();
    drop(progress);
}

fn refuse_all(
    writer: &mut Writer,
    waiting: Vec<Waiting>,
    requests: Vec<Request>,
    error: &AppendError,
) {
    let in_flight = writer.promises.drain(..);
    let queued = waiting.into_iter().map(|w| w.promise);
    let records = in_flight.chain(queued).flatten();
    records.for_each(|promise| promise.keep(Err(error.clone())));
    let queued = requests.into_iter().filter_map(|request| match request {
        Request::Checkpoint(promise) => Some(promise),
        Request::Snapshot(_) => None,
    });
    let checkpoints = writer.asked.drain(..).chain(queued);
    checkpoints.for_each(|promise| promise.keep(Err(error.clone())));
}

/// What was bound before this is free at `time`. Counted in the records' own times, which only grow:
/// a clock that jumps cannot forget an identity that the journal still holds.
const fn expired_at(time: UnixMicros) -> UnixMicros {
    UnixMicros(time.0.saturating_sub(IDENTITY_KEPT_MS * 1_000))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

struct Writer {
    store: Box<dyn JournalStore>,
    signer: CheckpointSigner,
    clock: SharedClock,
    settings: WriterSettings,
    on_low_space: Box<dyn FnMut(u64) + Send>,
    shared: Arc<Shared>,
    frontier: Frontier,
    last_time: UnixMicros,
    checkpoint_size: u64,
    checkpoint_boot_ms: u64,
    identities: u64,
    low_space: bool,
    /// Node hashes that the present group completes.
    nodes: Vec<u8>,
    /// Who waits for the present group, entry by entry; kept after the commit, never before.
    promises: Vec<Option<Promise<Committed>>>,
    /// What becomes of each entry of the group, if the commit succeeds.
    verdicts: Vec<Result<Committed, AppendError>>,
    /// Who waits for a checkpoint.
    asked: Vec<Promise<RawCheckpoint>>,
}

impl Writer {
    fn run(&mut self) -> Result<(), StoreError> {
        loop {
            match self.shared.queue.next(self.checkpoint_due_at()) {
                Work::Group(group, requests) => self.work(group, requests)?,
                Work::Idle => self.look_after_store()?,
                Work::Timer => self.sign_if_due()?,
                Work::Close => {
                    self.sign_root()?;
                    return self.store.close();
                }
            }
        }
    }

    fn work(&mut self, group: Vec<Waiting>, requests: Vec<Request>) -> Result<(), StoreError> {
        let mut entries = Vec::with_capacity(group.len());
        for waiting in group {
            self.promises.push(waiting.promise);
            entries.push((waiting.encoded, waiting.identity));
        }
        self.check_files()?;
        let mut snapshots = Vec::new();
        for request in requests {
            match request {
                Request::Checkpoint(promise) => self.asked.push(promise),
                Request::Snapshot(snapshot) => snapshots.push(snapshot),
            }
        }
        if !entries.is_empty() || !snapshots.is_empty() {
            self.commit(entries, &snapshots)?;
        }
        if self.asked.is_empty() {
            self.sign_if_due()?;
        } else {
            let checkpoint = self.sign_root()?;
            self.asked
                .drain(..)
                .for_each(|promise| promise.keep(Ok(checkpoint.clone())));
        }
        self.store.maintain(false, expired_at(self.last_time))?;
        Ok(())
    }

    fn check_files(&mut self) -> Result<(), StoreError> {
        let free = self.store.check_files()?;
        let low = free < self.settings.reserve_bytes;
        if low && !self.low_space {
            (self.on_low_space)(free);
        }
        self.low_space = low;
        Ok(())
    }

    /// One group: one transaction, one fsync.
    fn commit(
        &mut self,
        entries: Vec<(Encoded, Option<Identity>)>,
        snapshots: &[Box<Snapshot>],
    ) -> Result<(), StoreError> {
        let first = self.frontier.size();
        let now = self.clock.now();
        self.nodes.clear();
        self.verdicts.clear();
        self.store.begin()?;
        for (encoded, identity) in entries {
            let verdict = self.write(encoded, identity.as_ref(), now)?;
            self.verdicts.push(verdict);
        }
        if !self.nodes.is_empty() {
            self.store.insert_nodes(first, &self.nodes)?;
        }
        for snapshot in snapshots {
            self.store.put_snapshot(snapshot)?;
        }
        self.store.commit()?;
        // SAFETY-ORDER: only from here on is anything durable; no promise is kept before.
        self.publish();
        for (promise, verdict) in self.promises.drain(..).zip(self.verdicts.drain(..)) {
            if let Some(promise) = promise {
                promise.keep(verdict);
            }
        }
        Ok(())
    }

    fn write(
        &mut self,
        mut encoded: Encoded,
        identity: Option<&Identity>,
        now: UnixMicros,
    ) -> Result<Result<Committed, AppendError>, StoreError> {
        let seq = self.frontier.size();
        let time = now.max(UnixMicros(self.last_time.0.saturating_add(1)));
        if let Some(identity) = identity
            && let Err(refused) = self.claim(identity, seq, time)?
        {
            return Ok(Err(refused));
        }
        let (row, leaf) = encoded.stamp(seq, time);
        self.store.insert(&row)?;
        self.frontier.push(leaf, &mut self.nodes);
        self.last_time = time;
        Ok(Ok(Committed::new(seq, time)))
    }

    fn claim(
        &mut self,
        identity: &Identity,
        seq: u64,
        time: UnixMicros,
    ) -> Result<Result<(), AppendError>, StoreError> {
        if self.low_space {
            return Ok(Err(AppendError::LowSpace));
        }
        let full = self.identities >= self.settings.identities_max;
        if full && self.store.identity(identity)?.is_none() {
            return Ok(Err(AppendError::ClientIdsFull));
        }
        Ok(match self.store.claim(identity, seq, expired_at(time))? {
            Claim::Claimed => {
                self.identities += 1;
                Ok(())
            }
            Claim::Renewed => Ok(()),
            Claim::Taken(bound) => Err(self.already_bound(bound)?),
        })
    }

    fn already_bound(&self, bound: u64) -> Result<AppendError, StoreError> {
        let records = self.store.records(bound, 1)?;
        let raw = records.first().filter(|raw| raw.seq == bound);
        let raw = raw.ok_or_else(|| StoreError::corrupt(format!("record {bound} is missing")))?;
        match encoding::decode(raw)?.fact {
            Fact::OrderIntent {
                order,
                content_hash,
                ..
            } => Ok(AppendError::AlreadyBound {
                seq: bound,
                order_id: order.order_id,
                content_hash,
            }),
            other => {
                let what = format!("an order id is bound to record {bound}, a {}", other.kind());
                Err(StoreError::Corrupt { what })
            }
        }
    }

    fn publish(&mut self) {
        let mut progress = self.shared.progress.lock();
        progress.head = Head {
            size: self.frontier.size(),
            last_time: self.last_time,
        };
        progress.groups += 1;
        progress.identities = self.identities;
        progress.low_space = self.low_space;
        self.shared.committed.notify_all();
    }

    fn look_after_store(&mut self) -> Result<(), StoreError> {
        let removed = self.store.maintain(true, expired_at(self.last_time))?;
        self.identities = self.identities.saturating_sub(removed);
        if removed > 0 {
            self.shared.progress.lock().identities = self.identities;
            self.shared.queue.look_again();
        }
        Ok(())
    }

    /// When the next checkpoint is due by time; `None` while nothing is new.
    fn checkpoint_due_at(&self) -> Option<Instant> {
        (self.frontier.size() > self.checkpoint_size)
            .then(|| Instant::now() + Duration::from_millis(self.checkpoint_due_in_ms().max(1)))
    }

    fn checkpoint_due_in_ms(&self) -> u64 {
        let since = self
            .clock
            .boot_millis()
            .saturating_sub(self.checkpoint_boot_ms);
        self.settings.checkpoint_every_ms.saturating_sub(since)
    }

    fn sign_if_due(&mut self) -> Result<(), StoreError> {
        let new = self.frontier.size() - self.checkpoint_size;
        let due = new >= self.settings.checkpoint_records || self.checkpoint_due_in_ms() == 0;
        if new > 0 && due {
            self.sign_root()?;
        }
        Ok(())
    }

    /// Signs the root and keeps the note. It is not a record of the log: a record would change the
    /// root that it tells, and call for the next.
    fn sign_root(&mut self) -> Result<RawCheckpoint, StoreError> {
        let size = self.frontier.size();
        let signed = self.signer.sign(size, self.frontier.root());
        let checkpoint = RawCheckpoint {
            size,
            time: self.last_time,
            note: signed.map_err(|error| StoreError::Unavailable {
                doing: "signing a checkpoint",
                cause: Box::new(error),
            })?,
        };
        if size > self.checkpoint_size {
            self.store.begin()?;
            self.store.insert_checkpoint(&checkpoint)?;
            self.store.commit()?;
            self.checkpoint_size = size;
            self.shared.progress.lock().checkpoint_size = size;
        }
        self.checkpoint_boot_ms = self.clock.boot_millis();
        Ok(checkpoint)
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
