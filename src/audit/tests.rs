use std::fs;
use std::path::PathBuf;
use std::process::Command;

use flashguard_actors::domain::order::OrderStatus;
use flashguard_actors::journal::Journal;
use flashguard_actors::journal::checkpoint::{CheckpointSigner, VerifierKey};
use flashguard_actors::journal::fold::{Folding, Running};
use flashguard_actors::journal::record::{Fold, Record};
use flashguard_actors::journal::tree::{self, Frontier};
use flashguard_actors::ports::journal::{
    JournalStore as _, PayloadRow, RawCheckpoint, RawRecord, RecordRow,
};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::*;
use crate::stores::sqlite::journal::{self, SqliteStore};
use crate::stores::sqlite::testing::{
    LONG, ORIGIN, fill, identity, intent, meta, note, open as open_journal, outcome, signer,
};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    records: u64,
}

impl Fold for Counted {
    const VERSION: u32 = 1;
    fn apply(&mut self, _: &Record) {
        self.records += 1;
    }
}

fn quiet(_: u64, _: u64) {}

fn check(path: &Path) -> Result<Verified, AuditError> {
    check_against(path, Expectation::default())
}

fn check_against(path: &Path, mut expectation: Expectation) -> Result<Verified, AuditError> {
    expectation.folds = vec![Box::new(Folding::<Counted>::new("counted"))];
    verify(path, expectation, &mut quiet)
}

fn holding(note: &[u8]) -> Expectation {
    Expectation {
        checkpoints: vec![note.to_vec()],
        ..Expectation::default()
    }
}

/// Some orders, a checkpoint, more orders, a snapshot, a checkpoint, and some records unsigned.
fn build(folder: &Path) -> (Journal, RawCheckpoint) {
    let path = folder.join("journal.db");
    let (journal, _) = open_journal(&path);
    fill(&journal, 8);
    journal.checkpoint().wait(LONG).unwrap().unwrap();
    for number in 100..104 {
        let (entry, identity) = intent("maker", number);
        journal
            .append_intent(entry, identity)
            .wait(LONG)
            .unwrap()
            .unwrap();
        journal
            .append(outcome(number, OrderStatus::Rejected))
            .wait(LONG)
            .unwrap()
            .unwrap();
    }
    let reader = SqliteReader::open(&path).unwrap();
    let mut fold = Folding::<Counted>::new("counted");
    flashguard_actors::journal::fold::load(&mut [&mut fold], &reader).unwrap();
    let root = tree::root_at(&reader, fold.size()).unwrap();
    journal.keep_snapshot(fold.snapshot(root).unwrap()).unwrap();
    journal.append(note(1)).wait(LONG).unwrap().unwrap();
    let held = journal.checkpoint().wait(LONG).unwrap().unwrap();
    for epoch in 0..3 {
        journal.append(note(epoch)).wait(LONG).unwrap().unwrap();
    }
    (journal, held)
}

/// A journal of a process that is gone, with its log left, as `kill -9` leaves it.
fn killed() -> (tempfile::TempDir, RawCheckpoint) {
    let (live, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_journal, held) = build(live.path());
    for file in ["journal.db", "journal.db-wal"] {
        fs::copy(live.path().join(file), copy.path().join(file)).unwrap();
    }
    (copy, held)
}

fn exported(data_dir: &Path) -> (PathBuf, Exported) {
    let path = data_dir.join("export.jsonl");
    let mut file = fs::File::create(&path).unwrap();
    let exported = export(data_dir, &mut file, &mut quiet).unwrap();
    (path, exported)
}

#[test]
fn a_journal_verifies_beside_its_writer_after_a_kill_and_after_an_orderly_end() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, held) = build(folder.path());
    let running = check_against(folder.path(), holding(&held.note)).unwrap();
    assert_eq!((running.records, running.signed), (30, 27));
    assert_eq!((running.checkpoints, running.expected_checkpoints), (2, 1));
    assert_eq!(
        (running.identities, running.snapshots, running.payloads),
        (12, 1, 6)
    );
    assert_eq!(running.kinds["order.intent"], 12);
    journal.append(note(9)).wait(LONG).unwrap().unwrap();
    journal.close().unwrap();
    let closed = check_against(folder.path(), holding(&held.note)).unwrap();
    assert_eq!(
        (closed.records, closed.signed, closed.checkpoints),
        (31, 31, 3)
    );

    let (folder, held) = killed();
    let after_kill = check_against(folder.path(), holding(&held.note)).unwrap();
    assert_eq!(
        (after_kill.records, after_kill.root),
        (running.records, running.root)
    );
}

#[test]
fn an_export_verifies_on_its_own_and_says_the_same() {
    let (folder, held) = killed();
    let (path, exported) = exported(folder.path());
    let of_directory = check(folder.path()).unwrap();
    let of_export = check_against(&path, holding(&held.note)).unwrap();
    assert_eq!((exported.records, exported.checkpoints), (30, 2));
    assert_eq!(of_export.root, of_directory.root);
    assert_eq!(of_export.kinds, of_directory.kinds);
    assert_eq!((of_export.signed, of_export.expected_checkpoints), (27, 1));
    let wrong = CheckpointSigner::from_seed(ORIGIN, &[9; 32])
        .unwrap()
        .key()
        .clone();
    let refused = check_against(
        &path,
        Expectation {
            key: Some(wrong),
            ..Expectation::default()
        },
    );
    assert!(
        matches!(refused, Err(AuditError::Different(_))),
        "{refused:?}"
    );
    let right = VerifierKey::parse(&key(folder.path()).unwrap()).unwrap();
    check_against(
        &path,
        Expectation {
            key: Some(right),
            ..Expectation::default()
        },
    )
    .unwrap();
}

#[test]
fn fifty_lines_of_python_verify_an_export_and_notice_a_change() {
    let (folder, _) = killed();
    let (path, exported) = exported(folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/verify_export.py");
    let run = |path: &Path| {
        Command::new("python3")
            .arg(&script)
            .arg(path)
            .output()
            .unwrap()
    };
    let good = run(&path);
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(
        good.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&good.stderr)
    );
    let root = hex::encode(exported.root);
    assert_eq!(
        said.trim(),
        format!("verified: 30 records, 27 of them signed, root {root}")
    );
    let whole = fs::read_to_string(&path).unwrap();
    let signature = |line: &str| {
        line.replacen(
            "\u{2014} flashguard.test/sqlite ",
            "\u{2014} flashguard.test/sqlite A",
            1,
        )
    };
    for changed in [
        whole.replacen("because of 0", "because of 1", 1),
        whole.replacen("rejected", "filled", 1),
        signature(&whole),
        whole
            .lines()
            .take(whole.lines().count() - 1)
            .collect::<Vec<_>>()
            .join("\n"),
    ] {
        assert_ne!(changed, whole);
        fs::write(&path, changed).unwrap();
        assert!(!run(&path).status.success());
    }
}

#[test]
fn tail_search_and_key_read_beside_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = build(folder.path());
    let mut tail = Tail::open(folder.path(), 2).unwrap();
    let seqs = |tail: &mut Tail| {
        tail.read_on()
            .unwrap()
            .iter()
            .map(|e| e.seq)
            .collect::<Vec<_>>()
    };
    assert_eq!(seqs(&mut tail), [28, 29]);
    assert_eq!(seqs(&mut tail), [] as [u64; 0]);
    journal.append(note(4)).wait(LONG).unwrap().unwrap();
    assert_eq!(seqs(&mut tail), [30]);
    let filter = EventFilter {
        kind: Some("order.outcome".into()),
        limit: 3,
        ..EventFilter::default()
    };
    let page = search(folder.path(), &filter).unwrap();
    assert_eq!(page.items.len(), 3);
    assert!(page.items.iter().all(|e| e.kind == "order.outcome") && page.next.is_some());
    assert_eq!(key(folder.path()).unwrap(), signer().key().to_string());
    assert!(matches!(
        key(Path::new("/nowhere")),
        Err(AuditError::Store(StoreError::Missing))
    ));
}

/// One way to change a stored journal, and how to undo it.
struct Mutation {
    class: &'static str,
    name: String,
    change: Vec<(String, Vec<rusqlite::types::Value>)>,
    undo: Vec<(String, Vec<rusqlite::types::Value>)>,
}

fn flipped(bytes: &[u8], at: usize, bit: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << bit;
    bytes
}

/// Every byte (with a stride) of a column of each row of a table, one bit each.
fn byte_mutations(
    db: &Connection,
    table: &'static str,
    key: &str,
    column: &str,
    stride: usize,
) -> Vec<Mutation> {
    let sql =
        format!("SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY {key}");
    let mut statement = db.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| {
        let value: rusqlite::types::Value = row.get(1)?;
        Ok((row.get::<_, rusqlite::types::Value>(0)?, value))
    });
    let mut mutations = Vec::new();
    for (row, (place, value)) in rows.unwrap().map(Result::unwrap).enumerate() {
        use rusqlite::types::Value as V;
        let (bytes, text) = match &value {
            V::Blob(bytes) => (bytes.clone(), false),
            V::Text(text) => (text.clone().into_bytes(), true),
            other => panic!("{other:?}"),
        };
        for at in (row % stride..bytes.len()).step_by(stride) {
            let changed = flipped(&bytes, at, (at % 7) as u32);
            let changed = if text {
                V::Text(String::from_utf8(changed).unwrap())
            } else {
                V::Blob(changed)
            };
            let update = format!("UPDATE {table} SET {column} = ?1 WHERE {key} = ?2");
            mutations.push(Mutation {
                class: "edit",
                name: format!("{table}.{column} of {place:?}, byte {at}"),
                change: vec![(update.clone(), vec![changed, place.clone()])],
                undo: vec![(update, vec![value.clone(), place.clone()])],
            });
        }
    }
    mutations
}

fn structural(db: &Connection) -> Vec<Mutation> {
    let mut mutations = Vec::new();
    let tables = [
        ("record", "seq, time_us, segment, commitment, header"),
        ("payload", "seq, class, salt, bytes"),
        ("nodes", "first_seq, hashes"),
        ("client_order", "seq, client, client_order_id"),
    ];
    let mut add = |class, name: String, change: Vec<String>, touched: &[&str]| {
        let mut undo = Vec::new();
        for (table, columns) in tables.iter().filter(|(t, _)| touched.contains(t)) {
            undo.push((format!("DELETE FROM {table}"), vec![]));
            undo.push((
                format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM kept_{table}"),
                vec![],
            ));
        }
        let change = change.into_iter().map(|sql| (sql, vec![])).collect();
        mutations.push(Mutation {
            class,
            name,
            change,
            undo,
        });
    };
    for (table, columns) in tables {
        db.execute_batch(&format!(
            "CREATE TEMP TABLE kept_{table} AS SELECT {columns} FROM {table}"
        ))
        .unwrap();
    }
    let seqs = |sql: &str| -> Vec<i64> {
        let mut statement = db.prepare(sql).unwrap();
        statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let all = seqs("SELECT seq FROM record ORDER BY seq");
    let size = all.len() as i64;
    for seq in &all {
        let s = seq.to_string();
        add(
            "delete",
            format!("record {s}"),
            vec![
                format!("DELETE FROM record WHERE seq = {s}"),
                format!("DELETE FROM payload WHERE seq = {s}"),
            ],
            &["record", "payload"],
        );
        add(
            "delete",
            format!("record {s}, the rest closing up"),
            vec![
                format!("DELETE FROM payload WHERE seq = {s}"),
                format!("DELETE FROM record WHERE seq = {s}"),
                format!("UPDATE record SET seq = -seq WHERE seq > {s}"),
                "UPDATE record SET seq = -seq - 1 WHERE seq < 0".into(),
                format!("UPDATE payload SET seq = -seq WHERE seq > {s}"),
                "UPDATE payload SET seq = -seq - 1 WHERE seq < 0".into(),
            ],
            &["record", "payload"],
        );
        add(
            "edit",
            format!("time of {s}"),
            vec![format!(
                "UPDATE record SET time_us = time_us + 1 WHERE seq = {s}"
            )],
            &["record"],
        );
        add(
            "edit",
            format!("segment of {s}"),
            vec![format!("UPDATE record SET segment = 1 WHERE seq = {s}")],
            &["record"],
        );
        add(
            "truncate",
            format!("from {s} on"),
            vec![
                format!("DELETE FROM record WHERE seq >= {s}"),
                format!("DELETE FROM payload WHERE seq >= {s}"),
            ],
            &["record", "payload"],
        );
        add(
            "duplicate",
            format!("record {s} at the end"),
            vec![format!(
                "INSERT INTO record SELECT {size}, time_us, segment, commitment, header FROM record WHERE seq = {s}"
            )],
            &["record"],
        );
        if *seq > 0 {
            add(
                "reorder",
                format!("{s} and the one before"),
                vec![
                    format!("UPDATE record SET seq = -1 WHERE seq = {s}"),
                    format!("UPDATE record SET seq = {s} WHERE seq = {s} - 1"),
                    format!("UPDATE record SET seq = {s} - 1 WHERE seq = -1"),
                ],
                &["record"],
            );
            add(
                "reorder",
                format!("the contents of {s} and the one before"),
                vec![
                    format!(
                        "UPDATE record SET (commitment, header) = (SELECT commitment, header FROM kept_record k WHERE k.seq = {s} - 1) WHERE seq = {s}"
                    ),
                    format!(
                        "UPDATE record SET (commitment, header) = (SELECT commitment, header FROM kept_record k WHERE k.seq = {s}) WHERE seq = {s} - 1"
                    ),
                ],
                &["record"],
            );
        }
    }
    for s in seqs("SELECT seq FROM payload") {
        add(
            "delete",
            format!("payload of {s}"),
            vec![format!("DELETE FROM payload WHERE seq = {s}")],
            &["payload"],
        );
        add(
            "delete",
            format!("payload and commitment of {s}"),
            vec![
                format!("DELETE FROM payload WHERE seq = {s}"),
                format!("UPDATE record SET commitment = NULL WHERE seq = {s}"),
            ],
            &["payload", "record"],
        );
        add(
            "edit",
            format!("class of {s}"),
            vec![format!(
                "UPDATE payload SET class = 'system_logs' WHERE seq = {s}"
            )],
            &["payload"],
        );
        add(
            "edit",
            format!("border of salt and payload of {s}"),
            vec![format!(
                "UPDATE payload SET salt = CAST(salt || substr(bytes, 1, 1) AS BLOB), bytes = CAST(substr(bytes, 2) AS BLOB) WHERE seq = {s}"
            )],
            &["payload"],
        );
    }
    for s in seqs("SELECT seq FROM record WHERE commitment IS NULL") {
        add(
            "insert",
            format!("a payload for {s}"),
            vec![format!(
                "INSERT INTO payload VALUES ({s}, 'audit_logs', zeroblob(16), x'7b7d')"
            )],
            &["payload"],
        );
    }
    add(
        "insert",
        "a payload of no record".into(),
        vec!["INSERT INTO payload VALUES (999, 'audit_logs', zeroblob(16), x'7b7d')".into()],
        &["payload"],
    );
    for s in seqs("SELECT first_seq FROM nodes") {
        add(
            "delete",
            format!("nodes at {s}"),
            vec![format!("DELETE FROM nodes WHERE first_seq = {s}")],
            &["nodes"],
        );
        add(
            "truncate",
            format!("nodes at {s}"),
            vec![format!(
                "UPDATE nodes SET hashes = substr(hashes, 1, length(hashes) - 32) WHERE first_seq = {s}"
            )],
            &["nodes"],
        );
    }
    add(
        "insert",
        "nodes of no record".into(),
        vec!["INSERT INTO nodes VALUES (999, zeroblob(32))".into()],
        &["nodes"],
    );
    for s in seqs("SELECT seq FROM client_order") {
        add(
            "delete",
            format!("identity of {s}"),
            vec![format!("DELETE FROM client_order WHERE seq = {s}")],
            &["client_order"],
        );
        add(
            "edit",
            format!("identity of {s} given to another"),
            vec![format!(
                "UPDATE client_order SET client = 'thief' WHERE seq = {s}"
            )],
            &["client_order"],
        );
        add(
            "edit",
            format!("identity of {s} bound elsewhere"),
            vec![format!("UPDATE client_order SET seq = 500 WHERE seq = {s}")],
            &["client_order"],
        );
    }
    add(
        "insert",
        "an identity of an outcome".into(),
        vec!["INSERT INTO client_order VALUES (2, 'bot', 'free')".into()],
        &["client_order"],
    );
    mutations
}

/// `tests/run --full` sets it to 1: every byte. Here a sample, another one for each column.
fn stride() -> usize {
    std::env::var("FLASHGUARD_MUTATION_STRIDE")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(23)
}

#[test]
fn every_change_to_a_stored_journal_is_noticed_and_none_is_imagined() {
    let (folder, held) = killed();
    let db = Connection::open(folder.path().join("journal.db")).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0")
        .unwrap();
    let stride = stride();
    let mut mutations = structural(&db);
    for (table, key, column) in [
        ("record", "seq", "header"),
        ("record", "seq", "commitment"),
        ("payload", "seq", "salt"),
        ("payload", "seq", "bytes"),
        ("nodes", "first_seq", "hashes"),
        ("checkpoint", "size", "note"),
        ("meta", "key", "value"),
        ("client_order", "seq", "client"),
        ("client_order", "seq", "client_order_id"),
        ("snapshot", "fold", "root"),
    ] {
        mutations.extend(byte_mutations(&db, table, key, column, stride));
    }
    for (sql, undo) in [
        (
            "UPDATE checkpoint SET size = size + 1",
            "UPDATE checkpoint SET size = size - 1",
        ),
        (
            "UPDATE checkpoint SET time_us = time_us + 1",
            "UPDATE checkpoint SET time_us = time_us - 1",
        ),
        (
            "UPDATE snapshot SET size = 0",
            "UPDATE snapshot SET size = 26",
        ),
        (
            "UPDATE snapshot SET size = 25",
            "UPDATE snapshot SET size = 26",
        ),
        (
            "UPDATE snapshot SET size = 999",
            "UPDATE snapshot SET size = 26",
        ),
    ] {
        mutations.push(Mutation {
            class: "edit",
            name: sql.to_owned(),
            change: vec![(sql.to_owned(), vec![])],
            undo: vec![(undo.to_owned(), vec![])],
        });
    }
    let state: Vec<u8> = db
        .query_row("SELECT bytes FROM snapshot", [], |row| row.get(0))
        .unwrap();
    let text = String::from_utf8(state[32..].to_vec()).unwrap();
    let other = [&state[..32], text.replace("26", "27").as_bytes()].concat();
    assert_ne!(other, state);
    let set = |bytes: Vec<u8>| {
        vec![(
            "UPDATE snapshot SET bytes = ?1".to_owned(),
            vec![bytes.into()],
        )]
    };
    mutations.push(Mutation {
        class: "edit",
        name: "a fold's state".to_owned(),
        change: set(other),
        undo: set(state),
    });
    let run = |steps: &[(String, Vec<rusqlite::types::Value>)]| {
        for (sql, values) in steps {
            db.execute(sql, rusqlite::params_from_iter(values))
                .unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
    };
    let mut counts = std::collections::BTreeMap::new();
    for mutation in &mutations {
        run(&mutation.change);
        let seen = check_against(folder.path(), holding(&held.note));
        let noticed = seen.as_ref().is_err_and(AuditError::is_integrity);
        assert!(noticed, "{} {}: {seen:?}", mutation.class, mutation.name);
        run(&mutation.undo);
        *counts.entry(mutation.class).or_insert(0) += 1;
    }
    check_against(folder.path(), holding(&held.note)).unwrap();
    println!("{} mutations, all noticed: {counts:?}", mutations.len());
}

#[test]
fn every_changed_byte_and_every_missing_end_of_an_export_is_noticed() {
    let (folder, held) = killed();
    let (path, _) = exported(folder.path());
    let whole = fs::read(&path).unwrap();
    let mut noticed = 0;
    let mut see = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let seen = check_against(&path, holding(&held.note));
        assert!(
            seen.as_ref().is_err_and(AuditError::is_integrity),
            "{what}: {seen:?}"
        );
        noticed += 1;
    };
    for at in (0..whole.len()).step_by(stride()) {
        see(&flipped(&whole, at, (at % 8) as u32), &format!("byte {at}"));
    }
    let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
    for at in 0..lines.len() {
        see(&lines[..at].concat(), &format!("cut before line {at}"));
        see(
            &[
                lines[..at].concat(),
                lines[at][..lines[at].len() / 2].to_vec(),
            ]
            .concat(),
            &format!("cut in line {at}"),
        );
        let is_checkpoint = lines[at].starts_with(b"{\"checkpoint\"");
        if !is_checkpoint {
            // Without a checkpoint, what it proved is still proven by the one held.
            see(
                &[lines[..at].concat(), lines[at + 1..].concat()].concat(),
                &format!("line {at} gone"),
            );
        }
        see(
            &[lines[..=at].concat(), lines[at..].concat()].concat(),
            &format!("line {at} twice"),
        );
        if at > 0 {
            see(
                &[
                    &lines[..at - 1],
                    &[lines[at], lines[at - 1]],
                    &lines[at + 1..],
                ]
                .concat()
                .concat(),
                &format!("line {at} before its time"),
            );
        }
    }
    fs::write(&path, &whole).unwrap();
    check_against(&path, holding(&held.note)).unwrap();
    println!("{noticed} changes of an export, all noticed");
}

/// Writes a history as somebody would who has all files and the signing key.
fn forge(folder: &Path, records: &[RawRecord], signer: &CheckpointSigner) {
    let path = folder.join("journal.db");
    let meta = Meta {
        origin: ORIGIN.into(),
        verifier_key: signer.key().to_string(),
    };
    journal::create(&path, &meta).unwrap();
    let mut store = SqliteStore::open(&path).unwrap();
    let (mut frontier, mut nodes) = (Frontier::default(), Vec::new());
    store.begin().unwrap();
    for raw in records {
        let payload = raw.payload.as_ref();
        let salt: Option<[u8; 16]> = payload.map(|p| p.salt.as_slice().try_into().unwrap());
        let inner = payload.map_or_else(
            || tree::commitment(b"", b""),
            |p| tree::commitment(&p.salt, &p.bytes),
        );
        let class = payload.map_or("", |p| p.class.as_str());
        store
            .insert(&RecordRow {
                seq: raw.seq,
                time: raw.time,
                class: ["trading_data", "audit_logs"]
                    .into_iter()
                    .find(|c| *c == class)
                    .unwrap_or(""),
                header: &raw.header,
                payload: payload.map(|p| PayloadRow {
                    commitment: &inner,
                    salt: salt.as_ref().unwrap(),
                    bytes: &p.bytes,
                }),
            })
            .unwrap();
        frontier.push(tree::leaf_hash(&raw.header, &inner), &mut nodes);
    }
    store.insert_nodes(0, &nodes).unwrap();
    let last = records.last().unwrap();
    let note = signer.sign(frontier.size(), frontier.root()).unwrap();
    store
        .insert_checkpoint(&RawCheckpoint {
            size: frontier.size(),
            time: last.time,
            note,
        })
        .unwrap();
    store.commit().unwrap();
    let db = Connection::open(&path).unwrap();
    for raw in records {
        let Ok(record) = flashguard_actors::journal::encoding::decode(raw) else {
            continue;
        };
        if let flashguard_actors::journal::record::Fact::OrderIntent {
            client,
            client_order_id,
            ..
        } = record.fact
        {
            let values = params![raw.seq, client.as_str(), client_order_id.as_str()];
            db.execute("INSERT INTO client_order VALUES (?1, ?2, ?3)", values)
                .unwrap();
        }
    }
}

use flashguard_actors::ports::journal::Meta;

#[test]
fn a_history_rewritten_with_the_signing_key_is_seen_by_who_holds_a_checkpoint() {
    let (folder, held) = killed();
    let reader = SqliteReader::open(&folder.path().join("journal.db")).unwrap();
    let records = reader.records(0, 1_000).unwrap();
    let expect = |records: &[RawRecord], alone: bool, against: bool| {
        let forged = tempfile::tempdir().unwrap();
        forge(forged.path(), records, &signer());
        assert_eq!(check(forged.path()).is_ok(), alone);
        let seen = check_against(forged.path(), holding(&held.note));
        assert_eq!(seen.is_ok(), against, "{seen:?}");
    };
    // The forger is good: the true history passes.
    expect(&records, true, true);
    let mut edited = records.clone();
    let text = String::from_utf8(edited[1].header.clone()).unwrap();
    edited[1].header = text.replace("v-0", "w-0").into_bytes();
    assert!(edited != records);
    expect(&edited, true, false);
    // An older copy, or an end cut off.
    expect(&records[..20], true, false);
    // Only what nobody had signed can be cut off unseen.
    expect(&records[..27], true, true);
    // With another key the journal is not this one at all.
    let forged = tempfile::tempdir().unwrap();
    let other = CheckpointSigner::from_seed(ORIGIN, &[9; 32]).unwrap();
    forge(forged.path(), &records, &other);
    assert!(check(forged.path()).is_ok());
    let seen = check_against(forged.path(), holding(&held.note));
    assert!(matches!(seen, Err(AuditError::Expectation(_))), "{seen:?}");
    let key = Some(signer().key().clone());
    let seen = check_against(
        forged.path(),
        Expectation {
            key,
            ..Expectation::default()
        },
    );
    assert!(matches!(seen, Err(AuditError::Different(_))), "{seen:?}");
}

#[test]
fn an_export_of_the_largest_and_strangest_texts_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_journal(&folder.path().join("journal.db"));
    for reason in [
        "",
        "\u{0}\u{1f}\"\\\n\u{2028}\u{10ffff}é",
        &"\u{1}".repeat(150_000),
    ] {
        let mut entry = note(1);
        entry.private.as_mut().unwrap().reason = Some(reason.to_owned());
        journal.append(entry).wait(LONG).unwrap().unwrap();
    }
    let (path, exported) = exported(folder.path());
    assert_eq!(check(&path).unwrap().root, exported.root);
    let _ = (identity("bot", 1), meta());
}
