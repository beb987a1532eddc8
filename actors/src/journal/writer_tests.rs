use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;

use rust_decimal::Decimal;

use super::*;
use crate::domain::clock::{ManualClock, SeededEntropy};
use crate::domain::identity::Client;
use crate::domain::market::{Lots, Symbol, Ticks};
use crate::domain::order::{ClientOrderId, Order, OrderType, Side};
use crate::journal::checkpoint::VerifierKey;
use crate::journal::queue::QUEUE_ENTRIES_MAX;
use crate::ports::journal::memory::{Faults, MemoryJournal};
use crate::ports::journal::{JournalReader as _, Meta};

const LONG: Duration = Duration::from_secs(30);
const START: UnixMicros = UnixMicros(1_795_519_533_000_000);

fn signer() -> CheckpointSigner {
    CheckpointSigner::from_seed("flashguard.test/writer", &[5; 32]).unwrap()
}

fn memory() -> MemoryJournal {
    MemoryJournal::new(Meta {
        origin: "flashguard.test/writer".into(),
        verifier_key: signer().key().to_string(),
    })
}

struct Bench {
    memory: MemoryJournal,
    clock: Arc<ManualClock>,
    journal: Journal,
    deaths: Arc<AtomicUsize>,
    low: Arc<AtomicUsize>,
}

fn start(memory: &MemoryJournal, settings: WriterSettings) -> Bench {
    let clock = ManualClock::at(START);
    let (deaths, low) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (on_dead, on_low) = (deaths.clone(), low.clone());
    let hooks = Hooks {
        on_dead: Box::new(move |_| {
            on_dead.fetch_add(1, Ordering::SeqCst);
        }),
        on_low_space: Box::new(move |_| {
            on_low.fetch_add(1, Ordering::SeqCst);
        }),
    };
    let entropy = SeededEntropy::new(3);
    let store = Box::new(memory.store());
    let (journal, _) =
        Journal::open(store, signer(), clock.clone(), entropy, settings, hooks).unwrap();
    Bench {
        memory: memory.clone(),
        clock,
        journal,
        deaths,
        low,
    }
}

fn bench() -> Bench {
    start(&memory(), WriterSettings::default())
}

fn note(epoch: u64) -> Entry {
    Entry::of(
        "test",
        Fact::HaltReasonAdded {
            epoch,
            trigger: "http".into(),
        },
    )
}

fn identity(client: &str, id: &str) -> Identity {
    Identity {
        client: Client::try_from(client.to_owned()).unwrap(),
        client_order_id: ClientOrderId::try_from(id.to_owned()).unwrap(),
    }
}

fn intent(identity: &Identity, hash: &str) -> Entry {
    let order_id = OrderId::make(START, SeededEntropy::new(hash.len() as u64).as_ref()).unwrap();
    Entry::of(
        "gate",
        Fact::OrderIntent {
            order: Order {
                order_id,
                symbol: Symbol::parse("SEI/USDC").unwrap(),
                side: Side::Buy,
                order_type: OrderType::Limit,
                price_ticks: Ticks(2_500),
                price: Decimal::new(25, 2),
                size_lots: Lots(4),
                size: Decimal::from(4),
                expires_at_ms: 1,
            },
            client: identity.client.clone(),
            client_order_id: identity.client_order_id.clone(),
            content_hash: hash.to_owned(),
            reserved_usdc: Decimal::ONE,
            limits_v: 1,
            reference: Decimal::ONE,
            marks: vec![],
            at_market: false,
            epoch: 0,
            key_id: "sei/1".into(),
            credential_generation: 1,
        },
    )
}

fn bound(journal: &Journal, id: &Identity, hash: &str) -> Result<Committed, AppendError> {
    let ack = journal.append_intent(intent(id, hash), id.clone());
    ack.wait(LONG).unwrap()
}

/// Waits until `seen` holds; the bound only ends a test that has failed.
fn eventually(seen: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if seen() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("did not happen");
}

#[test]
fn records_are_numbered_without_a_gap_and_their_times_grow_on_a_standing_clock() {
    let b = bench();
    let acks: Vec<_> = (0..100).map(|i| b.journal.append(note(i))).collect();
    for (i, ack) in (0..).zip(&acks) {
        let committed = ack.wait(LONG).unwrap().unwrap();
        assert_eq!(committed.seq(), i);
        assert_eq!(committed.time(), UnixMicros(START.0 + i));
    }
    b.clock.set_wall(UnixMicros(5));
    let later = b.journal.append(note(0)).wait(LONG).unwrap().unwrap();
    assert_eq!(later.time(), UnixMicros(START.0 + 100));
    assert_eq!(b.memory.head().unwrap().size, 101);
    assert_eq!(b.journal.head(), b.memory.head().unwrap());
}

#[test]
fn an_append_can_be_awaited_from_any_runtime() {
    let b = bench();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let committed = runtime.block_on(async { b.journal.append(note(1)).await });
    assert_eq!(committed.unwrap().seq(), 0);
}

#[test]
fn everything_that_waits_shares_one_commit_and_an_answer_comes_only_after_it() {
    let b = bench();
    let gate = b.memory.gate();
    let slow = gate.lock();
    let first = b.journal.append(note(0));
    eventually(|| b.journal.status().queued == 0);
    let rest: Vec<_> = (0..500).map(|i| b.journal.append(note(i))).collect();
    assert!(first.wait(Duration::from_millis(1)).is_none());
    drop(slow);
    for ack in &rest {
        ack.wait(LONG).unwrap().unwrap();
    }
    assert_eq!(b.memory.commits(), 2);
}

#[test]
fn a_quiet_entry_is_written_although_nobody_wakes_the_writer() {
    let b = bench();
    b.journal.append_quietly(note(1)).unwrap();
    assert_eq!(b.journal.wait_beyond(0, LONG).size, 1);
    // Also after the writer went to sleep.
    sleep(Duration::from_millis(300));
    b.journal.append_quietly(note(2)).unwrap();
    assert_eq!(b.journal.wait_beyond(1, LONG).size, 2);
}

#[test]
fn an_urgent_entry_is_committed_before_those_that_wait() {
    let b = bench();
    let gate = b.memory.gate();
    let slow = gate.lock();
    let first = b.journal.append(note(0));
    eventually(|| b.journal.status().queued == 0);
    let loud = b.journal.append(note(1));
    let urgent = b.journal.append_urgently(note(2));
    drop(slow);
    let seq = |ack: Ack<Committed>| ack.wait(LONG).unwrap().unwrap().seq();
    assert_eq!((seq(first), seq(urgent), seq(loud)), (0, 1, 2));
}

#[test]
fn a_full_queue_refuses_what_adds_risk_and_takes_outcomes_and_halts() {
    let b = bench();
    let gate = b.memory.gate();
    let slow = gate.lock();
    b.journal.append(note(0));
    eventually(|| b.journal.status().queued == 0);
    let acks: Vec<_> = (0..QUEUE_ENTRIES_MAX)
        .map(|_| b.journal.append(note(1)))
        .collect();
    let refused = b.journal.append(note(2)).wait(LONG).unwrap();
    assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
    b.journal.append_quietly(note(3)).unwrap();
    let urgent = b.journal.append_urgently(note(4));
    drop(slow);
    assert_eq!(urgent.wait(LONG).unwrap().unwrap().seq(), 1);
    assert!(acks.iter().all(|ack| ack.wait(LONG).unwrap().is_ok()));
}

#[test]
fn a_bound_identity_refuses_its_entry_alone_and_says_what_it_is_bound_to() {
    let b = bench();
    let id = identity("bot", "1");
    let first = bound(&b.journal, &id, "hash-a").unwrap();
    let gate = b.memory.gate();
    let slow = gate.lock();
    let blocker = b.journal.append(note(0));
    eventually(|| b.journal.status().queued == 0);
    let before = b.journal.append(note(1));
    let again = b.journal.append_intent(intent(&id, "hash-bb"), id.clone());
    let fresh = identity("other", "1");
    let other = b
        .journal
        .append_intent(intent(&fresh, "hash-ccc"), fresh.clone());
    let twin = b
        .journal
        .append_intent(intent(&fresh, "hash-dddd"), fresh.clone());
    drop(slow);
    let seq = |ack: &Ack<Committed>| ack.wait(LONG).unwrap().unwrap().seq();
    assert_eq!((seq(&blocker), seq(&before), seq(&other)), (1, 2, 3));
    match again.wait(LONG).unwrap() {
        Err(AppendError::AlreadyBound {
            seq, content_hash, ..
        }) => {
            assert_eq!((seq, content_hash.as_str()), (first.seq(), "hash-a"));
        }
        other => panic!("{other:?}"),
    }
    match twin.wait(LONG).unwrap() {
        Err(AppendError::AlreadyBound {
            seq, content_hash, ..
        }) => {
            assert_eq!((seq, content_hash.as_str()), (3, "hash-ccc"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(b.memory.head().unwrap().size, 4);
    assert_eq!(b.memory.identity(&fresh).unwrap(), Some(3));
}

#[test]
fn an_identity_is_kept_for_24_hours_and_free_after_them() {
    let b = bench();
    let id = identity("bot", "1");
    bound(&b.journal, &id, "a").unwrap();
    b.clock.advance_millis(IDENTITY_KEPT_MS);
    let refused = bound(&b.journal, &id, "a");
    assert!(
        matches!(refused, Err(AppendError::AlreadyBound { .. })),
        "{refused:?}"
    );
    b.clock.advance_millis(1);
    // Either the claim finds it expired, or it has been removed while nothing waited.
    bound(&b.journal, &id, "b").unwrap();
    eventually(|| b.journal.status().identities == 1);
    b.clock.advance_millis(2 * IDENTITY_KEPT_MS);
    b.journal.append(note(1)).wait(LONG).unwrap().unwrap();
    eventually(|| b.journal.status().identities == 0);
    assert_eq!(b.memory.identity(&id).unwrap(), None);
}

#[test]
fn identities_are_bounded_and_a_bound_one_still_answers_when_full() {
    let settings = WriterSettings {
        identities_max: 2,
        ..WriterSettings::default()
    };
    let b = start(&memory(), settings);
    let (one, two, three) = (
        identity("bot", "1"),
        identity("bot", "2"),
        identity("bot", "3"),
    );
    bound(&b.journal, &one, "a").unwrap();
    bound(&b.journal, &two, "a").unwrap();
    assert!(matches!(
        bound(&b.journal, &three, "a"),
        Err(AppendError::ClientIdsFull)
    ));
    assert!(matches!(
        bound(&b.journal, &one, "a"),
        Err(AppendError::AlreadyBound { .. })
    ));
    assert_eq!(b.memory.head().unwrap().size, 2);
}

#[test]
fn after_a_failed_commit_the_writer_is_dead_even_if_the_disk_would_work_again() {
    let b = bench();
    b.journal.append(note(0)).wait(LONG).unwrap().unwrap();
    let fails = |commits_left| {
        b.memory.fail(Faults {
            commits_left,
            ..Faults::default()
        })
    };
    let gate = b.memory.gate();
    let slow = gate.lock();
    let deaths_seen = b.deaths.clone();
    fails(Some(0));
    let lost = b.journal.append(note(1));
    eventually(|| b.journal.status().queued == 0);
    let waiting = b.journal.append(note(2));
    drop(slow);
    for ack in [lost, waiting] {
        let answer = ack.wait(LONG).unwrap();
        assert!(matches!(answer, Err(AppendError::Dead(_))), "{answer:?}");
        assert_eq!(
            deaths_seen.load(Ordering::SeqCst),
            1,
            "told after the refusal"
        );
    }
    fails(None);
    assert!(matches!(
        b.journal.append(note(3)).wait(LONG),
        Some(Err(AppendError::Dead(_)))
    ));
    assert!(matches!(
        b.journal.append_urgently(note(3)).wait(LONG),
        Some(Err(AppendError::Dead(_)))
    ));
    assert!(matches!(
        b.journal.append_quietly(note(4)),
        Err(AppendError::Dead(_))
    ));
    assert!(matches!(
        b.journal.checkpoint().wait(LONG),
        Some(Err(AppendError::Dead(_)))
    ));
    assert!(b.journal.status().dead.unwrap().contains("injected"));
    assert!(matches!(b.journal.close(), Err(AppendError::Dead(_))));
    assert_eq!(b.memory.head().unwrap().size, 1);
    assert_eq!(b.deaths.load(Ordering::SeqCst), 1);
}

#[test]
fn a_panic_in_the_writer_is_death_and_leaves_nobody_waiting() {
    let b = bench();
    b.memory.fail(Faults {
        panic_on_insert: true,
        ..Faults::default()
    });
    let answer = b.journal.append(note(1)).wait(LONG).unwrap();
    assert!(matches!(answer, Err(AppendError::Dead(_))), "{answer:?}");
    assert_eq!(b.deaths.load(Ordering::SeqCst), 1);
    assert_eq!(b.journal.wait_beyond(0, LONG).size, 0);
}

#[test]
fn a_replaced_file_is_death_before_anything_is_written_to_it() {
    let b = bench();
    b.memory.fail(Faults {
        replaced: true,
        ..Faults::default()
    });
    let answer = b.journal.append(note(1)).wait(LONG).unwrap();
    assert!(matches!(answer, Err(AppendError::Dead(_))), "{answer:?}");
    assert_eq!(
        (b.memory.commits(), b.deaths.load(Ordering::SeqCst)),
        (0, 1)
    );
}

#[test]
fn below_the_reserve_intents_are_refused_while_halts_and_outcomes_are_written() {
    let b = bench();
    let reserve = WriterSettings::default().reserve_bytes;
    let free = |bytes| {
        b.memory.fail(Faults {
            free_bytes: Some(bytes),
            ..Faults::default()
        });
    };
    let id = identity("bot", "1");
    free(reserve - 1);
    assert!(matches!(
        bound(&b.journal, &id, "a"),
        Err(AppendError::LowSpace)
    ));
    b.journal
        .append_urgently(note(1))
        .wait(LONG)
        .unwrap()
        .unwrap();
    b.journal.append(note(2)).wait(LONG).unwrap().unwrap();
    assert_eq!(
        (
            b.low.load(Ordering::SeqCst),
            b.deaths.load(Ordering::SeqCst)
        ),
        (1, 0)
    );
    free(reserve);
    bound(&b.journal, &id, "a").unwrap();
    free(0);
    b.journal.append(note(3)).wait(LONG).unwrap().unwrap();
    assert_eq!(b.low.load(Ordering::SeqCst), 2);
}

#[test]
fn checkpoints_are_signed_on_demand_after_n_records_after_a_minute_and_at_the_end() {
    let memory = memory();
    let settings = WriterSettings {
        checkpoint_records: 10,
        ..WriterSettings::default()
    };
    let b = start(&memory, settings);
    let key = VerifierKey::parse(&signer().key().to_string()).unwrap();
    let last = || {
        memory
            .last_checkpoint()
            .unwrap()
            .map(|c| key.verify(&c.note).unwrap().size)
    };
    for i in 0..9 {
        b.journal.append(note(i)).wait(LONG).unwrap().unwrap();
    }
    assert_eq!(last(), None);
    b.journal.append(note(9)).wait(LONG).unwrap().unwrap();
    eventually(|| last() == Some(10));
    b.journal.append(note(10)).wait(LONG).unwrap().unwrap();
    let asked = b.journal.checkpoint().wait(LONG).unwrap().unwrap();
    assert_eq!((asked.size, last()), (11, Some(11)));
    b.journal.append(note(11)).wait(LONG).unwrap().unwrap();
    b.clock.advance_millis(60_000);
    b.journal.append(note(12)).wait(LONG).unwrap().unwrap();
    // Whether the writer saw the minute pass before or with this record is its own affair.
    eventually(|| last() >= Some(12));
    b.journal.append_quietly(note(13)).unwrap();
    b.journal.close().unwrap();
    assert_eq!(last(), Some(14));
    assert!(matches!(
        b.journal.append(note(14)).wait(LONG),
        Some(Err(AppendError::Closed))
    ));
    assert_eq!(b.deaths.load(Ordering::SeqCst), 0);
}

#[test]
fn an_idle_journal_signs_no_further_checkpoints() {
    let b = bench();
    b.journal.append(note(1)).wait(LONG).unwrap().unwrap();
    b.journal.checkpoint().wait(LONG).unwrap().unwrap();
    let commits = b.memory.commits();
    b.clock.advance_millis(600_000);
    b.journal.checkpoint().wait(LONG).unwrap().unwrap();
    assert_eq!(b.memory.commits(), commits);
}

#[test]
fn a_journal_that_is_opened_again_goes_on_where_it_ended() {
    let memory = memory();
    let b = start(&memory, WriterSettings::default());
    for i in 0..5 {
        b.journal.append(note(i)).wait(LONG).unwrap().unwrap();
    }
    b.journal.close().unwrap();
    let b = start(&memory, WriterSettings::default());
    let next = b.journal.append(note(5)).wait(LONG).unwrap().unwrap();
    assert_eq!((next.seq(), next.time()), (5, UnixMicros(START.0 + 5)));
    b.journal.close().unwrap();
    opening::verify_end(&memory).unwrap();
}

#[test]
fn an_end_that_is_not_what_was_written_does_not_open() {
    let memory = memory();
    let b = start(&memory, WriterSettings::default());
    for i in 0..5 {
        b.journal.append(note(i)).wait(LONG).unwrap().unwrap();
    }
    b.journal.close().unwrap();
    memory.tamper(3, |record| {
        let changed = String::from_utf8(record.header.clone()).unwrap();
        record.header = changed.replace("\"epoch\":3", "\"epoch\":4").into_bytes();
    });
    let refused = opening::verify_end(&memory);
    assert!(
        matches!(refused, Err(StoreError::Corrupt { .. })),
        "{refused:?}"
    );
    let other = CheckpointSigner::from_seed("flashguard.test/writer", &[6; 32]).unwrap();
    let clock = ManualClock::at(START);
    let memory = self::memory();
    let store = Box::new(memory.store());
    let entropy = SeededEntropy::new(1);
    let settings = WriterSettings::default();
    let refused = Journal::open(store, other, clock, entropy, settings, Hooks::none());
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })));
}

#[test]
fn many_producers_lose_nothing_and_each_sees_its_own_order() {
    let b = bench();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let journal = b.journal.clone();
            std::thread::spawn(move || {
                let acks: Vec<_> = (0..200).map(|i| journal.append(note(i))).collect();
                let seqs: Vec<_> = acks
                    .iter()
                    .map(|a| a.wait(LONG).unwrap().unwrap().seq())
                    .collect();
                assert!(seqs.is_sorted());
                seqs
            })
        })
        .collect();
    let mut all: Vec<_> = threads
        .into_iter()
        .flat_map(|t| t.join().unwrap())
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..1_600).collect::<Vec<u64>>());
}
