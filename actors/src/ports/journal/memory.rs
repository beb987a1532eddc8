//! The journal's store in memory: for tests and for embedders who say so. Nothing survives the
//! process.
//!
//! Faults can be injected: a failing commit behaves like a disk whose last write is unknown.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    Claim, Hash, Head, Identity, JournalReader, JournalReaders, JournalStore, Meta, Nodes,
    RawCheckpoint, RawPayload, RawRecord, RecordRow, Snapshot, StoreError,
};
use crate::domain::clock::UnixMicros;

/// A journal in memory. Clones share it; [`MemoryJournal::store`] gives the writer's side.
#[derive(Debug, Clone)]
pub struct MemoryJournal(Arc<Mutex<Inner>>);

#[derive(Debug, Clone, Default)]
struct Contents {
    records: Vec<RawRecord>,
    identities: BTreeMap<Identity, u64>,
    checkpoints: BTreeMap<u64, RawCheckpoint>,
    snapshots: BTreeMap<String, Snapshot>,
    nodes: Vec<Hash>,
}

#[derive(Debug)]
struct Inner {
    meta: Meta,
    committed: Contents,
    faults: Faults,
    commits: u64,
    gate: Arc<Mutex<()>>,
}

/// What goes wrong, on demand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// So many commits succeed, then every one fails.
    pub commits_left: Option<u64>,
    /// The next insert panics.
    pub panic_on_insert: bool,
    /// The files are gone.
    pub replaced: bool,
    /// Free bytes; `None` = plenty.
    pub free_bytes: Option<u64>,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new(meta: Meta) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            meta,
            committed: Contents::default(),
            faults: Faults::default(),
            commits: 0,
            gate: Arc::default(),
        })))
    }

    /// The writer's side. One at a time.
    pub fn store(&self) -> MemoryStore {
        MemoryStore {
            shared: self.clone(),
            group: None,
        }
    }

    /// Sets what goes wrong from now on.
    pub fn fail(&self, faults: Faults) {
        self.0.lock().faults = faults;
    }

    /// While it is locked, commits do not end: a slow disk.
    pub fn gate(&self) -> Arc<Mutex<()>> {
        self.0.lock().gate.clone()
    }

    /// Changes a stored record behind the writer's back: what an attacker would do.
    pub fn tamper(&self, seq: usize, change: impl FnOnce(&mut RawRecord)) {
        if let Some(record) = self.0.lock().committed.records.get_mut(seq) {
            change(record);
        }
    }

    /// Groups committed so far.
    pub fn commits(&self) -> u64 {
        self.0.lock().commits
    }

    fn read<T>(&self, what: impl FnOnce(&Contents) -> T) -> T {
        what(&self.0.lock().committed)
    }
}

/// The writer's side of a [`MemoryJournal`].
#[derive(Debug)]
pub struct MemoryStore {
    shared: MemoryJournal,
    group: Option<Group>,
}

/// What one group adds.
#[derive(Debug, Default)]
struct Group {
    records: Vec<RawRecord>,
    identities: Vec<(Identity, u64)>,
    nodes: Vec<Hash>,
    checkpoints: Vec<RawCheckpoint>,
    snapshots: Vec<Snapshot>,
}

fn injected(doing: &'static str) -> StoreError {
    StoreError::Unavailable {
        doing,
        cause: Box::new(io::Error::other("injected")),
    }
}

/// How many nodes the first `leaves` leaves complete.
const fn nodes_before(leaves: u64) -> u64 {
    2 * leaves - leaves.count_ones() as u64
}

impl Nodes for MemoryJournal {
    fn node(&self, level: u32, index: u64) -> Result<Hash, StoreError> {
        let missing = || StoreError::corrupt(format!("no node {level}/{index}"));
        let last_leaf = (index + 1)
            .checked_shl(level)
            .and_then(|end| end.checked_sub(1))
            .ok_or_else(missing)?;
        let at = nodes_before(last_leaf) + u64::from(level);
        self.read(|c| {
            usize::try_from(at)
                .ok()
                .and_then(|at| c.nodes.get(at))
                .copied()
        })
        .ok_or_else(missing)
    }
}

impl JournalReader for MemoryJournal {
    fn meta(&self) -> Result<Meta, StoreError> {
        Ok(self.0.lock().meta.clone())
    }

    fn head(&self) -> Result<Head, StoreError> {
        Ok(self.read(|c| Head {
            size: c.records.len() as u64,
            last_time: c.records.last().map(|r| r.time).unwrap_or_default(),
        }))
    }

    fn records(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(self.read(|c| c.records.iter().skip(from).take(max).cloned().collect()))
    }

    fn headers(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError> {
        let mut records = self.records(from, max)?;
        records.iter_mut().for_each(|record| record.payload = None);
        Ok(records)
    }

    fn identity(&self, identity: &Identity) -> Result<Option<u64>, StoreError> {
        Ok(self.read(|c| c.identities.get(identity).copied()))
    }

    fn identities(&self, from: u64, max: usize) -> Result<Vec<(u64, Identity)>, StoreError> {
        let mut held: Vec<_> = self.read(|c| {
            let later = c.identities.iter().filter(|(_, seq)| **seq >= from);
            later.map(|(id, seq)| (*seq, id.clone())).collect()
        });
        held.sort();
        held.truncate(max);
        Ok(held)
    }

    fn last_checkpoint(&self) -> Result<Option<RawCheckpoint>, StoreError> {
        Ok(self.read(|c| c.checkpoints.values().next_back().cloned()))
    }

    fn checkpoints(&self, from_size: u64, max: usize) -> Result<Vec<RawCheckpoint>, StoreError> {
        Ok(self.read(|c| {
            let later = c.checkpoints.range(from_size..);
            later.take(max).map(|(_, note)| note.clone()).collect()
        }))
    }

    fn snapshot(&self, fold: &str) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.read(|c| c.snapshots.get(fold).cloned()))
    }
}

impl JournalReaders for MemoryJournal {
    fn open(&self) -> Result<Box<dyn JournalReader>, StoreError> {
        Ok(Box::new(self.clone()))
    }
}

impl MemoryStore {
    fn group(&mut self) -> Result<&mut Group, StoreError> {
        self.group
            .as_mut()
            .ok_or_else(|| injected("adding to no group"))
    }
}

impl Nodes for MemoryStore {
    fn node(&self, level: u32, index: u64) -> Result<Hash, StoreError> {
        self.shared.node(level, index)
    }
}

impl JournalReader for MemoryStore {
    fn meta(&self) -> Result<Meta, StoreError> {
        self.shared.meta()
    }
    fn head(&self) -> Result<Head, StoreError> {
        self.shared.head()
    }
    fn records(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError> {
        let mut found = self.shared.records(from, max)?;
        if let Some(group) = &self.group {
            let own = group.records.iter().filter(|r| r.seq >= from).cloned();
            found.extend(own.take(max - found.len()));
        }
        Ok(found)
    }
    fn headers(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError> {
        self.shared.headers(from, max)
    }
    fn identity(&self, identity: &Identity) -> Result<Option<u64>, StoreError> {
        self.shared.identity(identity)
    }
    fn identities(&self, from: u64, max: usize) -> Result<Vec<(u64, Identity)>, StoreError> {
        self.shared.identities(from, max)
    }
    fn last_checkpoint(&self) -> Result<Option<RawCheckpoint>, StoreError> {
        self.shared.last_checkpoint()
    }
    fn checkpoints(&self, from_size: u64, max: usize) -> Result<Vec<RawCheckpoint>, StoreError> {
        self.shared.checkpoints(from_size, max)
    }
    fn snapshot(&self, fold: &str) -> Result<Option<Snapshot>, StoreError> {
        self.shared.snapshot(fold)
    }
}

impl JournalStore for MemoryStore {
    fn identities_held(&self) -> Result<u64, StoreError> {
        Ok(self.shared.read(|c| c.identities.len() as u64))
    }

    fn check_files(&mut self) -> Result<u64, StoreError> {
        let faults = self.shared.0.lock().faults;
        if faults.replaced {
            return Err(StoreError::Replaced { file: "memory" });
        }
        Ok(faults.free_bytes.unwrap_or(u64::MAX))
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.group = Some(Group::default());
        Ok(())
    }

    fn claim(
        &mut self,
        identity: &Identity,
        seq: u64,
        expired_before: UnixMicros,
    ) -> Result<Claim, StoreError> {
        let in_group = self.group()?.identities.iter().rev();
        let in_group = in_group.clone().find(|(id, _)| id == identity);
        let held = match in_group {
            Some((_, seq)) => Some(*seq),
            None => self.shared.identity(identity)?,
        };
        if let Some(bound) = held {
            let at = self.records(bound, 1)?.first().map(|r| r.time);
            if at.is_none_or(|at| at >= expired_before) {
                return Ok(Claim::Taken(bound));
            }
        }
        self.group()?.identities.push((identity.clone(), seq));
        Ok(match held {
            None => Claim::Claimed,
            Some(_) => Claim::Renewed,
        })
    }

    fn insert(&mut self, row: &RecordRow<'_>) -> Result<(), StoreError> {
        let panics = self.shared.0.lock().faults.panic_on_insert;
        assert!(!panics, "injected");
        self.group()?.records.push(RawRecord {
            seq: row.seq,
            time: row.time,
            header: row.header.to_vec(),
            commitment: row.payload.map(|p| p.commitment.to_vec()),
            payload: row.payload.map(|p| RawPayload {
                class: row.class.to_owned(),
                salt: p.salt.to_vec(),
                bytes: p.bytes.to_vec(),
            }),
        });
        Ok(())
    }

    fn insert_nodes(&mut self, _first_seq: u64, hashes: &[u8]) -> Result<(), StoreError> {
        let (hashes, _) = hashes.as_chunks::<32>();
        self.group()?.nodes.extend_from_slice(hashes);
        Ok(())
    }

    fn insert_checkpoint(&mut self, checkpoint: &RawCheckpoint) -> Result<(), StoreError> {
        self.group()?.checkpoints.push(checkpoint.clone());
        Ok(())
    }

    fn put_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.group()?.snapshots.push(snapshot.clone());
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let gate = self.shared.gate();
        let _slow = gate.lock();
        let group = self.group.take().unwrap_or_default();
        let mut inner = self.shared.0.lock();
        if let Some(left) = &mut inner.faults.commits_left {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| injected("committing a group"))?;
        }
        inner.commits += 1;
        let to = &mut inner.committed;
        to.records.extend(group.records);
        to.identities.extend(group.identities);
        to.nodes.extend(group.nodes);
        let checkpoints = group.checkpoints.into_iter();
        to.checkpoints.extend(checkpoints.map(|c| (c.size, c)));
        let snapshots = group.snapshots.into_iter();
        to.snapshots.extend(snapshots.map(|s| (s.fold.clone(), s)));
        Ok(())
    }

    fn maintain(&mut self, idle: bool, expired_before: UnixMicros) -> Result<u64, StoreError> {
        if !idle {
            return Ok(0);
        }
        let mut inner = self.shared.0.lock();
        let Contents {
            records,
            identities,
            ..
        } = &mut inner.committed;
        let before = identities.len();
        identities.retain(|_, seq| {
            usize::try_from(*seq)
                .ok()
                .and_then(|seq| records.get(seq))
                .is_none_or(|record| record.time >= expired_before)
        });
        Ok((before - identities.len()) as u64)
    }

    fn close(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
