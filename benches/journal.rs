//! What the journal does on this machine, beside a bare fdatasync loop of the same run.
//!
//! `cargo bench --bench journal` (optimised), or with `--profile test` for a rough look. It prints
//! figures and judges nothing: a ratio says more than a number, and the machine is shared.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measuring program of its own, which ends when anything fails"
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flashguard::stores::sqlite::journal::{SqliteReader, SqliteStore, create};
use flashguard_actors::domain::clock::{SystemClock, SystemEntropy};
use flashguard_actors::domain::identity::{Client, Principal};
use flashguard_actors::domain::order::ClientOrderId;
use flashguard_actors::journal::Journal;
use flashguard_actors::journal::ack::Ack;
use flashguard_actors::journal::checkpoint::CheckpointSigner;
use flashguard_actors::journal::fold::{self, Folding, Running};
use flashguard_actors::journal::record::{Committed, Entry, Fact, Fold, Record};
use flashguard_actors::journal::tree;
use flashguard_actors::journal::writer::{Hooks, WriterSettings};
use flashguard_actors::ports::journal::{Identity, JournalReader as _, Meta};
use serde::{Deserialize, Serialize};

const LONG: Duration = Duration::from_secs(60);
const ORIGIN: &str = "flashguard.bench/journal";

#[derive(Default, Serialize, Deserialize)]
struct Counted(u64);

impl Fold for Counted {
    const VERSION: u32 = 1;
    fn apply(&mut self, _: &Record) {
        self.0 += 1;
    }
}

/// About 400 bytes, as an order's intent has.
fn entry(number: u64) -> Entry {
    let fact = Fact::KeySealed {
        name: "x".repeat(230),
        version: 1,
        fingerprint: format!("{number:016x}"),
    };
    Entry::of("bench", fact)
        .by(Principal::local(0))
        .about("bench")
}

fn open(folder: &Path) -> Journal {
    let signer = CheckpointSigner::from_seed(ORIGIN, &[7; 32]).unwrap();
    let path = folder.join("journal.db");
    if !path.exists() {
        let meta = Meta {
            origin: ORIGIN.into(),
            verifier_key: signer.key().to_string(),
        };
        create(&path, &meta).unwrap();
    }
    let store = Box::new(SqliteStore::open(&path).unwrap());
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let settings = WriterSettings::default();
    Journal::open(store, signer, clock, entropy, settings, Hooks::none())
        .unwrap()
        .0
}

fn wait(acks: impl IntoIterator<Item = Ack<Committed>>) {
    acks.into_iter().for_each(|ack| {
        ack.wait(LONG).unwrap().unwrap();
    });
}

fn percentile(samples: &mut [Duration], part: f64) -> Duration {
    samples.sort_unstable();
    samples[((samples.len() - 1) as f64 * part) as usize]
}

/// Appends `bytes` and syncs, again and again: what the disk gives to anybody.
fn bare(folder: &Path, bytes: usize) -> (f64, Duration) {
    let mut file = File::create(folder.join("bare")).unwrap();
    let block = vec![7; bytes];
    let (began, mut samples) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(1) {
        let at = Instant::now();
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        samples.push(at.elapsed());
    }
    let rate = samples.len() as f64 / began.elapsed().as_secs_f64();
    (rate, percentile(&mut samples, 0.99))
}

fn batches(folder: &Path) {
    let journal = open(folder);
    println!(
        "{:>9} {:>12} {:>10} {:>10} {:>14} {:>8}",
        "batch", "records/s", "p50 us", "p99 us", "bare syncs/s", "ratio"
    );
    for batch in [1, 8, 64, 256, 1_024] {
        let (bare_rate, _) = bare(folder, 400 * batch);
        let (began, mut samples) = (Instant::now(), Vec::new());
        while began.elapsed() < Duration::from_secs(1) {
            let at = Instant::now();
            let acks: Vec<_> = (0..batch as u64)
                .map(|n| journal.append(entry(n)))
                .collect();
            wait(acks);
            samples.push(at.elapsed());
        }
        let groups = samples.len() as f64 / began.elapsed().as_secs_f64();
        println!(
            "{batch:>9} {:>12.0} {:>10} {:>10} {bare_rate:>14.0} {:>8.2}",
            groups * batch as f64,
            percentile(&mut samples, 0.5).as_micros(),
            percentile(&mut samples, 0.99).as_micros(),
            groups / bare_rate,
        );
    }
    journal.close().unwrap();
}

fn producers(folder: &Path) {
    let journal = open(folder);
    for (count, identities) in [(1, false), (16, false), (16, true)] {
        let began = Instant::now();
        let threads: Vec<_> = (0..count)
            .map(|thread| {
                let journal = journal.clone();
                std::thread::spawn(move || {
                    let mut sent = 0_u64;
                    while began.elapsed() < Duration::from_secs(2) {
                        let acks: Vec<_> = (0..64)
                            .map(|n| {
                                let number = sent + n;
                                if !identities {
                                    return journal.append(entry(number));
                                }
                                let identity = Identity {
                                    client: Client::try_from(format!("t{thread}")).unwrap(),
                                    client_order_id: ClientOrderId::try_from(format!(
                                        "{number:012}"
                                    ))
                                    .unwrap(),
                                };
                                journal.append_intent(entry(number), identity)
                            })
                            .collect();
                        wait(acks);
                        sent += 64;
                    }
                    sent
                })
            })
            .collect();
        let sent: u64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
        let rate = sent as f64 / began.elapsed().as_secs_f64();
        let with = if identities {
            ", each with an identity"
        } else {
            ""
        };
        println!("{count:>2} producers of 64 records at a time{with}: {rate:.0} records/s");
    }
    journal.close().unwrap();
}

fn start(folder: &Path) {
    let journal = open(folder);
    let mut sent = journal.head().size;
    while sent < 100_000 {
        wait(
            (0..1_000)
                .map(|n| journal.append(entry(n)))
                .collect::<Vec<_>>(),
        );
        sent += 1_000;
    }
    journal.close().unwrap();
    let path = folder.join("journal.db");
    let mut folding = Folding::<Counted>::new("counted");
    let began = Instant::now();
    let reader = SqliteReader::open(&path).unwrap();
    fold::load(&mut [&mut folding], &reader).unwrap();
    println!(
        "fold of {} records from the first: {:?}",
        folding.size(),
        began.elapsed()
    );

    let journal = open(folder);
    let root = tree::root_at(&reader, folding.size()).unwrap();
    journal
        .keep_snapshot(folding.snapshot(root).unwrap())
        .unwrap();
    wait(
        (0..1_000)
            .map(|n| journal.append(entry(n)))
            .collect::<Vec<_>>(),
    );
    journal.close().unwrap();
    let began = Instant::now();
    let journal = open(folder);
    let opened = began.elapsed();
    let reader = SqliteReader::open(&path).unwrap();
    let mut folding = Folding::<Counted>::new("counted");
    fold::load(&mut [&mut folding], &reader).unwrap();
    println!(
        "start with {} records, 1,000 of them after the snapshot: {:?}, of which the writer's opening {opened:?}",
        reader.head().unwrap().size,
        began.elapsed()
    );
    journal.close().unwrap();
    let began = Instant::now();
    let expectation = flashguard::audit::Expectation::default();
    let verified = flashguard::audit::verify(folder, expectation, &mut |_, _| ()).unwrap();
    let rate = verified.records as f64 / began.elapsed().as_secs_f64();
    println!("audit verify: {rate:.0} records/s");
}

fn main() {
    // `cargo test` runs benches once, to see that they still build.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let here = std::env::current_dir().unwrap().join("target");
    let folder = || tempfile::tempdir_in(&here).unwrap();
    let bare_folder = folder();
    let (rate, p99) = bare(bare_folder.path(), 1_024);
    println!("bare loop, 1 KiB and fdatasync: {rate:.0}/s, p99 {p99:?}");
    batches(folder().path());
    producers(folder().path());
    start(folder().path());
}
