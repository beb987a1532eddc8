//! A thread that reads committed records in order, keeps `views.db` and hands the folds' snapshots
//! to the writer.
//!
//! It has a cursor and no say: when it is slow or its file is broken, views are older and the next
//! start folds more, nothing else. It works a small part of the time, so that orders do not pay for
//! it, unless somebody waits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flashguard_actors::journal::fold::{self, Running};
use flashguard_actors::journal::record::Record;
use flashguard_actors::journal::writer::Journal;
use flashguard_actors::journal::{encoding, tree};
use flashguard_actors::ports::journal::{JournalReader, JournalReaders, StoreError};

use super::views::{Progress, SqliteViews, ViewsWriter, remove};

/// Records taken in by one transaction.
const BATCH_RECORDS: usize = 2_048;

/// Least pause between two batches: records of the meantime share a transaction.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// Pauses last so many times the work before them: a twentieth of one core at most.
const PAUSE_PER_WORK: u32 = 19;

/// Longest sleep while nothing happens; only a stop could be noticed later.
const IDLE_WAIT: Duration = Duration::from_millis(250);

/// A snapshot of each fold is handed over after so many records.
pub const SNAPSHOT_RECORDS: u64 = 5_000;

/// First and longest pause after trouble.
const TROUBLE_PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// The thread and what it is told.
pub struct Follower {
    progress: Arc<Progress>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Follower {
    /// Starts to follow. `folds` are copies for the snapshots, with nothing taken in.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the thread cannot be started. Trouble with the files is
    /// reported by [`SqliteViews::trouble`].
    pub fn start(
        views: &Path,
        readers: Arc<dyn JournalReaders>,
        journal: Journal,
        folds: Vec<Box<dyn Running>>,
    ) -> Result<(Self, SqliteViews), StoreError> {
        let progress = Arc::new(Progress::default());
        let questions = SqliteViews::new(views.to_owned(), readers.clone(), progress.clone());
        let worker = Worker {
            path: views.to_owned(),
            readers,
            journal,
            folds,
            folds_loaded: false,
            handed_over: 0,
            progress: progress.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("views".into())
            .spawn(move || worker.live())
            .map_err(|cause| StoreError::Unavailable {
                doing: "starting the views",
                cause: Box::new(cause),
            })?;
        let follower = Self {
            progress,
            thread: Some(thread),
        };
        Ok((follower, questions))
    }

    /// Takes in what is committed, hands over the snapshots and ends. Called before the journal is
    /// closed.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.progress.state.lock().stop = true;
        self.progress.moved.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.end();
    }
}

struct Worker {
    path: PathBuf,
    readers: Arc<dyn JournalReaders>,
    journal: Journal,
    folds: Vec<Box<dyn Running>>,
    folds_loaded: bool,
    handed_over: u64,
    progress: Arc<Progress>,
}

impl Worker {
    fn live(mut self) {
        let mut pause = TROUBLE_PAUSES.0;
        loop {
            let before = self.progress.state.lock().as_of;
            let followed = catch_unwind(AssertUnwindSafe(|| self.follow()));
            let why = match followed {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.internal(),
                Err(_) => "it panicked".to_owned(),
            };
            tracing::warn!(error = why, "the views cannot follow the journal");
            let mut place = self.progress.state.lock();
            place.trouble = Some(why);
            if place.as_of > before {
                pause = TROUBLE_PAUSES.0;
            }
            if place.stop {
                return;
            }
            let _ = self.progress.moved.wait_for(&mut place, pause);
            pause = (pause * 2).min(TROUBLE_PAUSES.1);
        }
    }

    fn follow(&mut self) -> Result<(), StoreError> {
        let reader = self.readers.open()?;
        if !self.folds_loaded {
            let mut folds: Vec<&mut dyn Running> = Vec::new();
            for fold in &mut self.folds {
                folds.push(&mut **fold);
            }
            fold::load(&mut folds, &*reader)?;
            self.folds_loaded = true;
            self.handed_over = self.folds_size();
        }
        let (mut views, made) = ViewsWriter::open(&self.path, &*reader)?;
        {
            let mut place = self.progress.state.lock();
            place.as_of = views.size();
            place.generation += u64::from(made);
        }
        loop {
            let began = Instant::now();
            let more = match self.batch(&mut views, &*reader) {
                Ok(more) => more,
                Err(error) => {
                    let broken = views.broken;
                    drop(views);
                    if broken {
                        remove(&self.path)?;
                    }
                    return Err(error);
                }
            };
            if self.rest(began.elapsed(), more) {
                return self.hand_over(&*reader);
            }
        }
    }

    /// Takes a batch in; whether there may be more.
    fn batch(
        &mut self,
        views: &mut ViewsWriter,
        reader: &dyn JournalReader,
    ) -> Result<bool, StoreError> {
        let from = self.folds_size().min(views.size());
        let raw = reader.headers(from, BATCH_RECORDS)?;
        let records = raw.iter().map(encoding::decode);
        let records: Vec<Record> = records.collect::<Result<_, _>>()?;
        if let Some(last) = records.last() {
            let root = tree::root_at(reader, last.seq + 1)?;
            for record in &records {
                self.folds.iter_mut().for_each(|fold| fold.take(record));
            }
            views.take(&records, &root)?;
        }
        let mut place = self.progress.state.lock();
        place.as_of = views.size();
        place.trouble = None;
        drop(place);
        self.progress.moved.notify_all();
        if self.folds_size() >= self.handed_over + SNAPSHOT_RECORDS {
            self.hand_over(reader)?;
        }
        Ok(raw.len() == BATCH_RECORDS)
    }

    fn folds_size(&self) -> u64 {
        let least = self.folds.iter().map(|fold| fold.size()).min();
        least.unwrap_or(u64::MAX)
    }

    /// Gives the folds' states to the writer. A snapshot is a cache: one that is refused is missed.
    fn hand_over(&mut self, reader: &dyn JournalReader) -> Result<(), StoreError> {
        for fold in &self.folds {
            if fold.size() == 0 {
                continue;
            }
            let root = tree::root_at(reader, fold.size())?;
            if let Err(refused) = self.journal.keep_snapshot(fold.snapshot(root)?) {
                tracing::debug!(fold = fold.name(), %refused, "a snapshot was not kept");
            }
        }
        self.handed_over = self.folds_size();
        Ok(())
    }

    /// Waits for more to do; `true` when it is time to end and nothing is left.
    fn rest(&self, worked: Duration, more: bool) -> bool {
        let pause = (worked * PAUSE_PER_WORK).max(PAUSE_MIN);
        let until = Instant::now() + pause;
        let mut place = self.progress.state.lock();
        while !place.stop && place.wanted <= place.as_of {
            if self
                .progress
                .moved
                .wait_until(&mut place, until)
                .timed_out()
            {
                break;
            }
        }
        let (as_of, stop) = (place.as_of, place.stop);
        drop(place);
        if more {
            return false;
        }
        if stop {
            return self.journal.head().size <= as_of;
        }
        self.journal.wait_beyond(as_of, IDLE_WAIT);
        false
    }
}

#[cfg(test)]
#[path = "follower_tests.rs"]
mod tests;
