use std::fs;

use flashguard_actors::journal::opening::verify_end;
use flashguard_actors::journal::record::Fact;
use flashguard_actors::journal::writer::{AppendError, IDENTITY_KEPT_MS};
use flashguard_actors::journal::{encoding, tree};

use super::*;
use crate::stores::sqlite::testing::{LONG, fill, identity, intent, meta, note, open, order_id};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    (folder, path)
}

fn log_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", path.display()))
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart_and_the_end_verifies() {
    let (_folder, path) = folder();
    let (journal, _) = open(&path);
    fill(&journal, 120);
    let head = journal.head();
    assert_eq!(head.size, 120 * 2 + 12 + 1);
    journal.close().unwrap();
    assert!(!log_of(&path).exists(), "closed, and the log is left");
    let reader = SqliteReader::open(&path).unwrap();
    let (opened, _) = verify_end(&reader).unwrap();
    assert_eq!((opened.head, &opened.meta), (head, &meta()));
    assert_eq!(opened.checkpoint.unwrap().size, head.size);
    let (journal, _) = open(&path);
    let next = journal.append(note(1)).wait(LONG).unwrap().unwrap();
    assert_eq!(next.seq(), head.size);
}

#[test]
fn a_reader_reads_records_identities_and_proofs_beside_the_writer() {
    let (_folder, path) = folder();
    let (journal, _) = open(&path);
    fill(&journal, 30);
    let reader = SqliteReaders::new(&path).open().unwrap();
    let size = reader.head().unwrap().size;
    let records = reader.records(0, 1_000).unwrap();
    assert_eq!(records.len() as u64, size);
    let root = tree::root_at(&*reader, size).unwrap();
    for raw in &records {
        let record = encoding::decode(raw).unwrap();
        let carries = matches!(record.fact, Fact::HaltReasonAdded { .. });
        assert_eq!(record.private.is_some(), carries);
        let leaf = flashguard_actors::journal::opening::leaf_of(raw).unwrap();
        let proof = tree::inclusion(&*reader, raw.seq, size).unwrap();
        assert!(tree::verify_inclusion(&leaf, raw.seq, size, &proof, &root));
    }
    assert!(
        reader
            .headers(0, 1_000)
            .unwrap()
            .iter()
            .all(|r| r.payload.is_none())
    );
    let bound = reader.identity(&identity("bot", 7)).unwrap().unwrap();
    let record = encoding::decode(&reader.records(bound, 1).unwrap()[0]).unwrap();
    match record.fact {
        Fact::OrderIntent { order, .. } => assert_eq!(order.order_id, order_id(7)),
        other => panic!("{other:?}"),
    }
    assert_eq!(reader.identities(0, 100).unwrap().len(), 30);
    journal.append(note(9)).wait(LONG).unwrap().unwrap();
    assert_eq!(reader.head().unwrap().size, size + 1);
}

#[test]
fn what_lies_on_the_disk_at_any_moment_is_a_whole_journal() {
    let (_folder, path) = folder();
    let (journal, _) = open(&path);
    fill(&journal, 50);
    let head = journal.head();
    // What a killed process leaves: the database and its log, no tidy end.
    let (_copies, copy) = folder();
    fs::copy(&path, &copy).unwrap();
    fs::copy(log_of(&path), log_of(&copy)).unwrap();
    let reader = SqliteReader::open(&copy).unwrap();
    assert_eq!(verify_end(&reader).unwrap().0.head, head);
    drop(reader);
    let (again, _) = open(&copy);
    assert_eq!(
        again.append(note(1)).wait(LONG).unwrap().unwrap().seq(),
        head.size
    );
}

#[test]
fn files_that_are_not_a_journal_of_this_version_are_refused_by_kind() {
    let (_folder, path) = folder();
    let both = |path: &Path| {
        let write = SqliteStore::open(path).err();
        let read = SqliteReader::open(path).err();
        assert_eq!(
            write.as_ref().map(std::mem::discriminant),
            read.as_ref().map(std::mem::discriminant)
        );
        read.unwrap()
    };
    assert!(matches!(both(&path), StoreError::Missing));
    fs::write(&path, b"").unwrap();
    assert!(matches!(both(&path), StoreError::Corrupt { .. }));
    fs::write(
        &path,
        b"not a database at all, but long enough to look at it".repeat(99),
    )
    .unwrap();
    assert!(matches!(both(&path), StoreError::Corrupt { .. }));
    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE t (a); PRAGMA user_version = 1;")
        .unwrap();
    drop(other);
    assert!(matches!(both(&path), StoreError::Corrupt { .. }));
    fs::remove_file(&path).unwrap();

    let (journal, _) = open(&path);
    fill(&journal, 50);
    journal.close().unwrap();
    assert!(matches!(create(&path, &meta()), Err(StoreError::Exists)));
    let whole = fs::read(&path).unwrap();
    for keep in [100, 512, 4_096, 3 * 4_096, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..keep]).unwrap();
        let opened = SqliteStore::open(&path).and_then(|store| verify_end(&store).map(drop));
        assert!(
            matches!(opened, Err(StoreError::Corrupt { .. })),
            "{keep}: {opened:?}"
        );
    }
    fs::write(&path, &whole).unwrap();
    let db = Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA user_version = 9").unwrap();
    drop(db);
    assert!(matches!(
        both(&path),
        StoreError::Newer { found: 9, known: 1 }
    ));
}

#[test]
fn the_files_pragmas_are_those_that_durability_and_erasure_need() {
    let (_folder, path) = folder();
    create(&path, &meta()).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let value = |pragma: &str| -> String {
        let sql = format!("SELECT CAST(({pragma}) AS TEXT) FROM pragma_{pragma}");
        store
            .reader
            .db
            .query_row(&sql, [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(value("journal_mode"), "wal");
    assert_eq!(value("synchronous"), "2");
    assert_eq!(value("auto_vacuum"), "2");
    assert_eq!(value("secure_delete"), "1");
    assert_eq!(value("locking_mode"), "normal");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_unlinked_or_replaced_file_ends_the_writing() {
    for victim in ["journal.db", "journal.db-wal"] {
        for replace in [false, true] {
            let (folder, path) = folder();
            let (journal, _) = open(&path);
            fill(&journal, 3);
            let size = journal.head().size;
            let victim = folder.path().join(victim);
            let bytes = fs::read(&victim).unwrap();
            fs::remove_file(&victim).unwrap();
            if replace {
                // Keeps the old inode number from being given to the copy.
                let _other = fs::write(folder.path().join("other"), b"x");
                fs::write(&victim, bytes).unwrap();
            }
            let answer = journal.append(note(1)).wait(LONG).unwrap();
            assert!(
                matches!(answer, Err(AppendError::Dead(_))),
                "{victim:?} {answer:?}"
            );
            let why = journal.status().dead.unwrap();
            assert!(why.contains("removed or replaced"), "{why}");
            assert_eq!(journal.head().size, size);
        }
    }
}

#[test]
fn an_identity_is_bound_once_also_over_restarts_and_free_after_24_hours() {
    let (_folder, path) = folder();
    let (journal, _) = open(&path);
    let bind = |journal: &flashguard_actors::journal::Journal| {
        let (entry, identity) = intent("bot", 1);
        journal.append_intent(entry, identity).wait(LONG).unwrap()
    };
    bind(&journal).unwrap();
    journal.close().unwrap();
    let (journal, clock) = open(&path);
    match bind(&journal) {
        Err(AppendError::AlreadyBound {
            seq, order_id: id, ..
        }) => {
            assert_eq!((seq, id), (0, order_id(1)));
        }
        other => panic!("{other:?}"),
    }
    clock.advance_millis(IDENTITY_KEPT_MS + 1);
    let again = bind(&journal).unwrap();
    let reader = SqliteReader::open(&path).unwrap();
    let held = reader.identity(&identity("bot", 1)).unwrap();
    assert_eq!((held, again.seq()), (Some(1), 1));
    assert!(matches!(
        bind(&journal),
        Err(AppendError::AlreadyBound { seq: 1, .. })
    ));
}

#[test]
fn expired_identities_are_removed_in_small_steps_while_nothing_waits() {
    let (_folder, path) = folder();
    let (journal, clock) = open(&path);
    fill(&journal, 1_200);
    journal.close().unwrap();
    let mut store = SqliteStore::open(&path).unwrap();
    let after = UnixMicros(u64::MAX >> 1);
    let _ = clock;
    assert_eq!(store.maintain(false, after).unwrap(), 0);
    let steps: Vec<_> = (0..4)
        .map(|_| store.maintain(true, after).unwrap())
        .collect();
    assert_eq!(steps, [500, 500, 200, 0]);
    assert_eq!(store.identities_held().unwrap(), 0);
    assert_eq!(store.maintain(true, UnixMicros(0)).unwrap(), 0);
}

#[test]
fn the_log_stays_bounded_while_records_keep_coming() {
    let (_folder, path) = folder();
    let (journal, _) = open(&path);
    for _ in 0..40 {
        let acks: Vec<_> = (0..500).map(|n| journal.append(note(n))).collect();
        assert!(acks.iter().all(|ack| ack.wait(LONG).unwrap().is_ok()));
    }
    let bytes = fs::metadata(log_of(&path)).unwrap().len();
    assert!(bytes < 16 << 20, "{bytes}");
    assert!(
        fs::metadata(&path).unwrap().len() > 1 << 20,
        "the log was never folded in"
    );
}
