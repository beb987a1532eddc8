//! Folds with their place in the journal: made from a snapshot where it fits, else from record one,
//! and kept up by reading on.
//!
//! A snapshot is a cache. It fits when its fold's version is this program's, the tree had its root
//! at its size, and its bytes are those that were written; otherwise the fold is made again. Only
//! facts are folded: payloads may have been erased (J5).

use sha2::{Digest, Sha256};

use super::encoding;
use super::record::{Fold, Record};
use super::tree;
use crate::ports::journal::{Hash, JournalReader, Snapshot, StoreError};

/// Records read at once.
const READ_RECORDS: usize = 1_024;

/// A fold of any kind, with its place.
pub trait Running: Send {
    /// The fold's name: its snapshot is kept under it.
    fn name(&self) -> &'static str;
    /// Records taken in.
    fn size(&self) -> u64;
    /// Takes the next record in; one that is not the next is ignored.
    fn take(&mut self, record: &Record);
    /// Takes a snapshot's state; `false` when it does not fit.
    fn restore(&mut self, snapshot: &Snapshot) -> bool;
    /// The state as a snapshot; `root` is the tree's at this size.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the state cannot be written as JSON.
    fn snapshot(&self, root: Hash) -> Result<Snapshot, StoreError>;
}

/// A fold and its place.
#[derive(Debug)]
pub struct Folding<F> {
    name: &'static str,
    size: u64,
    /// The state after `size` records.
    pub state: F,
}

impl<F: Fold> Folding<F> {
    /// A fold that has taken nothing in.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            size: 0,
            state: F::default(),
        }
    }
}

impl<F: Fold> Running for Folding<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn take(&mut self, record: &Record) {
        if record.seq == self.size {
            self.state.apply(record);
            self.size += 1;
        }
    }

    fn restore(&mut self, snapshot: &Snapshot) -> bool {
        if snapshot.version != F::VERSION || snapshot.fold != self.name {
            return false;
        }
        let state = unseal(&snapshot.bytes).and_then(|json| serde_json::from_slice(json).ok());
        let Some(state) = state else { return false };
        (self.state, self.size) = (state, snapshot.size);
        true
    }

    fn snapshot(&self, root: Hash) -> Result<Snapshot, StoreError> {
        let json = serde_json::to_vec(&self.state).map_err(|cause| StoreError::Unavailable {
            doing: "writing a fold's state",
            cause: Box::new(cause),
        })?;
        Ok(Snapshot {
            fold: self.name.to_owned(),
            version: F::VERSION,
            size: self.size,
            root,
            bytes: seal(&json),
        })
    }
}

/// SHA-256 of the state, then the state: a damaged cache is not taken for a state.
fn seal(json: &[u8]) -> Vec<u8> {
    let mut bytes = Sha256::digest(json).to_vec();
    bytes.extend_from_slice(json);
    bytes
}

fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (hash, json) = bytes.split_at_checked(32)?;
    (Sha256::digest(json).as_slice() == hash).then_some(json)
}

/// Brings folds to the journal's end: each from its snapshot where it fits, then all of them over
/// one reading of the records. Returns the names of those that started from record one although a
/// snapshot was there.
///
/// # Errors
///
/// [`StoreError`] when the journal cannot be read, or holds what this program does not know.
pub fn load(
    folds: &mut [&mut dyn Running],
    reader: &dyn JournalReader,
) -> Result<Vec<&'static str>, StoreError> {
    let head = reader.head()?;
    let mut refolded = Vec::new();
    for fold in folds.iter_mut() {
        let Some(snapshot) = reader.snapshot(fold.name())? else {
            continue;
        };
        let fits = snapshot.size <= head.size
            && tree::root_at(reader, snapshot.size)? == snapshot.root
            && fold.restore(&snapshot);
        if !fits {
            refolded.push(fold.name());
        }
    }
    catch_up(folds, reader)?;
    Ok(refolded)
}

/// Takes in all records that the journal has beyond each fold; returns where it ended.
///
/// # Errors
///
/// [`StoreError`] when the journal cannot be read, or holds what this program does not know.
pub fn catch_up(
    folds: &mut [&mut dyn Running],
    reader: &dyn JournalReader,
) -> Result<u64, StoreError> {
    let mut at = folds.iter().map(|f| f.size()).min().unwrap_or(0);
    loop {
        let records = reader.headers(at, READ_RECORDS)?;
        if records.is_empty() {
            return Ok(at);
        }
        for raw in &records {
            if raw.seq != at {
                return Err(StoreError::corrupt(format!("record {at} is missing")));
            }
            let record = encoding::decode(raw)?;
            folds.iter_mut().for_each(|fold| fold.take(&record));
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::domain::clock::{SeededEntropy, UnixMicros};
    use crate::journal::record::{Entry, Fact};
    use crate::journal::tree::Frontier;
    use crate::ports::journal::memory::MemoryJournal;
    use crate::ports::journal::{JournalStore as _, Meta};

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Epochs {
        sum: u64,
        records: u64,
    }

    impl Fold for Epochs {
        const VERSION: u32 = 2;
        fn apply(&mut self, record: &Record) {
            self.records += 1;
            if let Fact::HaltReasonAdded { epoch, .. } = record.fact {
                self.sum += epoch;
            }
        }
    }

    fn journal(records: u64) -> MemoryJournal {
        let memory = MemoryJournal::new(Meta {
            origin: "t".into(),
            verifier_key: String::new(),
        });
        let mut store = memory.store();
        let (mut frontier, mut nodes) = (Frontier::default(), Vec::new());
        store.begin().unwrap();
        for seq in 0..records {
            let fact = Fact::HaltReasonAdded {
                epoch: seq,
                trigger: "http".into(),
            };
            let entry = Entry::of("test", fact);
            let mut encoded = encoding::encode(&entry, SeededEntropy::new(1).as_ref()).unwrap();
            let (row, leaf) = encoded.stamp(seq, UnixMicros(seq + 1));
            store.insert(&row).unwrap();
            frontier.push(leaf, &mut nodes);
        }
        store.insert_nodes(0, &nodes).unwrap();
        store.commit().unwrap();
        memory
    }

    fn keep(memory: &MemoryJournal, snapshot: &Snapshot) {
        let mut store = memory.store();
        store.begin().unwrap();
        store.put_snapshot(snapshot).unwrap();
        store.commit().unwrap();
    }

    fn loaded(memory: &MemoryJournal) -> (Folding<Epochs>, Vec<&'static str>) {
        let mut fold = Folding::<Epochs>::new("epochs");
        let refolded = load(&mut [&mut fold], memory).unwrap();
        (fold, refolded)
    }

    #[test]
    fn a_fold_from_a_snapshot_is_the_one_from_record_one() {
        let memory = journal(10);
        let (whole, _) = loaded(&memory);
        assert_eq!(
            whole.state,
            Epochs {
                sum: 45,
                records: 10
            }
        );

        let mut early = Folding::<Epochs>::new("epochs");
        let reader: &dyn JournalReader = &memory;
        for raw in reader.headers(0, 4).unwrap() {
            early.take(&encoding::decode(&raw).unwrap());
        }
        let root = tree::root_at(reader, 4).unwrap();
        keep(&memory, &early.snapshot(root).unwrap());
        // Changed before the snapshot: only a fold that starts from it does not see it.
        memory.tamper(0, |r| r.header = r.header.replace_epoch(0, 7));
        let (fold, refolded) = loaded(&memory);
        assert_eq!((fold.state, fold.size), (whole.state, 10));
        assert!(refolded.is_empty());
    }

    trait ReplaceEpoch {
        fn replace_epoch(&self, from: u64, to: u64) -> Vec<u8>;
    }
    impl ReplaceEpoch for Vec<u8> {
        fn replace_epoch(&self, from: u64, to: u64) -> Vec<u8> {
            let text = String::from_utf8(self.clone()).unwrap();
            text.replace(&format!("\"epoch\":{from}"), &format!("\"epoch\":{to}"))
                .into_bytes()
        }
    }

    #[test]
    fn a_snapshot_that_does_not_fit_is_not_used() {
        let memory = journal(10);
        let (whole, _) = loaded(&memory);
        let good = whole.snapshot(tree::root_at(&memory, 10).unwrap()).unwrap();
        let refolds = |snapshot: Snapshot| {
            keep(&memory, &snapshot);
            let (fold, refolded) = loaded(&memory);
            assert_eq!((&fold.state, fold.size), (&whole.state, 10));
            refolded == ["epochs"]
        };
        assert!(!refolds(good.clone()));
        assert!(refolds(Snapshot {
            version: 1,
            ..good.clone()
        }));
        assert!(refolds(Snapshot {
            root: [0; 32],
            ..good.clone()
        }));
        assert!(refolds(Snapshot {
            size: 11,
            ..good.clone()
        }));
        let mut damaged = good.clone();
        *damaged.bytes.last_mut().unwrap() ^= 1;
        assert!(refolds(damaged));
        assert!(refolds(Snapshot {
            bytes: vec![],
            ..good
        }));
    }

    #[test]
    fn an_unknown_kind_is_not_skipped() {
        let memory = journal(3);
        memory.tamper(1, |r| {
            let text = String::from_utf8(r.header.clone()).unwrap();
            r.header = text
                .replace("halt.reason_added", "halt.reason_lost")
                .into_bytes();
        });
        let mut fold = Folding::<Epochs>::new("epochs");
        let refused = load(&mut [&mut fold], &memory);
        assert!(
            matches!(refused, Err(StoreError::Corrupt { .. })),
            "{refused:?}"
        );
    }
}
