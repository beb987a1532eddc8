//! What is looked at before a journal is written to: its end, and its last checkpoint.
//!
//! A process that was killed leaves a journal that is whole up to its last commit; that is normal
//! and not noticed here. Anything that was written differently is [`StoreError::Corrupt`]. The whole
//! journal is `audit verify`'s business.

use super::checkpoint::{Checkpoint, VerifierKey};
use super::encoding::{self, DecodeError};
use super::tree::{self, Frontier};
use crate::ports::journal::{Head, JournalReader, Meta, RawRecord, StoreError};

/// Records at the end that are hashed again at every start, beside those since the last checkpoint.
pub const TAIL_RECORDS_MIN: u64 = 256;

/// Most records that are hashed again at a start.
pub const TAIL_RECORDS_MAX: u64 = 20_000;

/// Records read at once.
const READ_RECORDS: usize = 1_024;

/// A journal whose end was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What was decided when it was made.
    pub meta: Meta,
    /// Where it ends.
    pub head: Head,
    /// The tree's root.
    pub root: crate::ports::journal::Hash,
    /// The last signed root.
    pub checkpoint: Option<Checkpoint>,
}

impl From<DecodeError> for StoreError {
    fn from(error: DecodeError) -> Self {
        Self::corrupt(error.to_string())
    }
}

/// The hash of a stored record, from the bytes as they lie there.
///
/// # Errors
///
/// [`StoreError::Corrupt`] when the payload is not the one that was committed to.
pub fn leaf_of(raw: &RawRecord) -> Result<crate::ports::journal::Hash, StoreError> {
    let nothing = tree::commitment(&[], &[]);
    let inner = match &raw.commitment {
        None => nothing,
        Some(bytes) => bytes.as_slice().try_into().map_err(|_| {
            StoreError::corrupt(format!(
                "record {} has a commitment of another length",
                raw.seq
            ))
        })?,
    };
    let carried = raw.payload.as_ref();
    let carried = carried.map(|p| tree::commitment(&p.salt, &p.bytes));
    if carried.is_some_and(|carried| carried != inner || raw.commitment.is_none()) {
        let what = format!(
            "record {} has another payload than it was written with",
            raw.seq
        );
        return Err(StoreError::Corrupt { what });
    }
    Ok(tree::leaf_hash(&raw.header, &inner))
}

/// Verifies the end of a journal: records since the last checkpoint (bounded by
/// [`TAIL_RECORDS_MAX`]) against the tree's nodes, and the checkpoint's signature and root.
///
/// # Errors
///
/// [`StoreError::Corrupt`] with the first thing that does not fit.
pub fn verify_end(store: &(impl JournalReader + ?Sized)) -> Result<(Opened, Frontier), StoreError> {
    let meta = store.meta()?;
    let head = store.head()?;
    let frontier = Frontier::load(store, head.size)?;
    let checkpoint = verify_checkpoint(store, &meta, head.size)?;
    let covered = checkpoint.as_ref().map_or(0, |c| c.size);
    let from = covered
        .min(head.size.saturating_sub(TAIL_RECORDS_MIN))
        .max(head.size.saturating_sub(TAIL_RECORDS_MAX));
    verify_tail(store, from, head, &frontier)?;
    let opened = Opened {
        meta,
        head,
        root: frontier.root(),
        checkpoint,
    };
    Ok((opened, frontier))
}

fn verify_checkpoint(
    store: &(impl JournalReader + ?Sized),
    meta: &Meta,
    size: u64,
) -> Result<Option<Checkpoint>, StoreError> {
    let key = VerifierKey::parse(&meta.verifier_key);
    let key = key.map_err(|error| StoreError::corrupt(error.to_string()))?;
    let Some(raw) = store.last_checkpoint()? else {
        return Ok(None);
    };
    let signed = key.verify(&raw.note);
    let signed = signed.map_err(|error| StoreError::corrupt(error.to_string()))?;
    if signed.size != raw.size || signed.size > size {
        let what = format!("checkpoint of {} records, journal of {size}", signed.size);
        return Err(StoreError::Corrupt { what });
    }
    if tree::root_at(store, signed.size)? != signed.root {
        let what = format!(
            "the root of the first {} records is not the one signed",
            signed.size
        );
        return Err(StoreError::Corrupt { what });
    }
    Ok(Some(signed))
}

fn verify_tail(
    store: &(impl JournalReader + ?Sized),
    from: u64,
    head: Head,
    frontier: &Frontier,
) -> Result<(), StoreError> {
    let mut rebuilt = Frontier::load(store, from)?;
    let mut completed = Vec::new();
    let mut last_time = None;
    while rebuilt.size() < head.size {
        let records = store.records(rebuilt.size(), READ_RECORDS)?;
        if records.is_empty() {
            return Err(StoreError::corrupt("the journal ends early"));
        }
        for raw in &records {
            if raw.seq != rebuilt.size() {
                return Err(StoreError::corrupt(format!(
                    "record {} is missing",
                    rebuilt.size()
                )));
            }
            encoding::decode(raw)?;
            if last_time.is_some_and(|last| raw.time <= last) {
                let what = format!("record {} is not later than the one before", raw.seq);
                return Err(StoreError::Corrupt { what });
            }
            last_time = Some(raw.time);
            completed.clear();
            rebuilt.push(leaf_of(raw)?, &mut completed);
        }
    }
    if rebuilt != *frontier {
        let what = format!("a record from {from} on is not the one that was hashed");
        return Err(StoreError::Corrupt { what });
    }
    Ok(())
}
