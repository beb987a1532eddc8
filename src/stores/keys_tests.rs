//! The key store on a real file system, each call of a write made to fail in turn.

use super::*;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

const CALLS: [Call; 8] = [
    Call::MakeDirectory,
    Call::SyncRoot,
    Call::OpenDirectory,
    Call::CreateTemporary,
    Call::Write,
    Call::SyncFile,
    Call::Rename,
    Call::SyncDirectory,
];

fn name(text: &str) -> KeyName {
    KeyName::parse(text).unwrap()
}

fn made() -> (tempfile::TempDir, PathBuf, FileKeyStore) {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("keys");
    let store = FileKeyStore::create(&path).unwrap();
    (data, path, store)
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_version_is_a_file_of_its_own_that_only_the_owner_reads() {
    let (_data, path, store) = made();
    store.write_new(&name("sei"), 1, b"one").unwrap();
    store.write_new(&name("sei"), 2, b"two").unwrap();
    store.write_new(&name("venue"), 1, b"").unwrap();
    assert_eq!(std::fs::read(path.join("sei/2")).unwrap(), b"two");
    assert_eq!((mode(&path), mode(&path.join("sei"))), (0o700, 0o700));
    assert_eq!(mode(&path.join("sei/1")), 0o600);
    assert_eq!(
        store.list().unwrap(),
        [(name("sei"), 1), (name("sei"), 2), (name("venue"), 1)]
    );
    let read = |at: &str, version| store.read(&name(at), version).unwrap();
    assert_eq!(read("sei", 1).as_deref(), Some(&b"one"[..]));
    assert_eq!((read("sei", 3), read("jwt", 1)), (None, None));
    assert_eq!(store.problems().unwrap(), []);
    assert_eq!(
        std::fs::read_dir(path.join("sei")).unwrap().count(),
        2,
        "nothing left over"
    );
}

#[test]
fn a_version_is_never_overwritten() {
    let (_data, _path, store) = made();
    store.write_new(&name("sei"), 1, b"one").unwrap();
    let again = store.write_new(&name("sei"), 1, b"two");
    assert!(matches!(
        again,
        Err(KeyStoreError::AlreadyThere { version: 1, .. })
    ));
    assert_eq!(
        store.read(&name("sei"), 1).unwrap().as_deref(),
        Some(&b"one"[..])
    );
}

#[test]
fn a_failure_at_any_call_leaves_no_version_or_a_whole_one_and_the_older_ones_alone() {
    for crash in [false, true] {
        for at in CALLS {
            let (_data, path, store) = made();
            store.write_new(&name("sei"), 1, b"the older one").unwrap();
            *store.fault.lock().unwrap() = Some(Fault { at, crash });
            let failed = store.write_new(&name("sei"), 2, b"the newer one");
            assert!(
                matches!(failed, Err(KeyStoreError::Failed { .. })),
                "{at:?}"
            );
            drop(store);

            let store = FileKeyStore::open(&path).unwrap();
            let read = |version| store.read(&name("sei"), version).unwrap();
            assert_eq!(read(1).as_deref(), Some(&b"the older one"[..]), "{at:?}");
            let whole = at == Call::SyncDirectory;
            assert_eq!(read(2).is_some(), whole, "{at:?}");
            assert_eq!(
                store.list().unwrap().len(),
                if whole { 2 } else { 1 },
                "{at:?}"
            );
            if !whole {
                store.write_new(&name("sei"), 2, b"again").unwrap();
                assert_eq!(read(2).as_deref(), Some(&b"again"[..]), "{at:?}");
            }
            assert_eq!(store.problems().unwrap(), [], "{at:?}");
        }
    }
}

#[test]
fn a_failing_first_write_of_a_name_leaves_no_version() {
    for at in CALLS {
        let (_data, path, store) = made();
        *store.fault.lock().unwrap() = Some(Fault { at, crash: true });
        assert!(store.write_new(&name("sei"), 1, b"first").is_err());
        let store = FileKeyStore::open(&path).unwrap();
        let whole = at == Call::SyncDirectory;
        assert_eq!(
            store.read(&name("sei"), 1).unwrap().is_some(),
            whole,
            "{at:?}"
        );
    }
}

#[test]
fn links_are_not_followed() {
    let (data, path, store) = made();
    let elsewhere = data.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("1"), b"planted").unwrap();
    symlink(&elsewhere, path.join("sei")).unwrap();
    let planted = store.read(&name("sei"), 1);
    assert!(matches!(planted, Err(KeyStoreError::Foreign { .. })));
    let written = store.write_new(&name("sei"), 2, b"x");
    assert!(matches!(written, Err(KeyStoreError::Foreign { .. })));
    assert!(!elsewhere.join("2").exists());

    store.write_new(&name("venue"), 1, b"one").unwrap();
    symlink(elsewhere.join("1"), path.join("venue/2")).unwrap();
    let planted = store.read(&name("venue"), 2);
    assert!(matches!(planted, Err(KeyStoreError::Foreign { .. })));
    let over_it = store.write_new(&name("venue"), 2, b"x");
    assert!(matches!(over_it, Err(KeyStoreError::AlreadyThere { .. })));
    assert_eq!(std::fs::read(elsewhere.join("1")).unwrap(), b"planted");

    symlink(&path, data.path().join("linked")).unwrap();
    let linked = FileKeyStore::open(&data.path().join("linked"));
    assert!(matches!(linked, Err(KeyStoreError::Foreign { .. })));
    let foreign = |what: &str| KeyStoreProblem::Foreign { what: what.into() };
    let mut problems = store.problems().unwrap();
    problems.sort_by_key(|p| p.to_string());
    assert_eq!(problems, [foreign("keys/sei"), foreign("keys/venue/2")]);
}

#[test]
fn what_is_no_plain_file_is_not_read_and_does_not_block() {
    let (_data, path, store) = made();
    store.write_new(&name("sei"), 1, b"one").unwrap();
    fs::mknodat(fs::CWD, path.join("sei/2"), FileType::Fifo, FILE_MODE, 0).unwrap();
    std::fs::create_dir(path.join("sei/3")).unwrap();
    std::fs::write(path.join("sei/4"), vec![0; SEALED_BYTES_MAX + 1]).unwrap();
    for version in [2, 3, 4] {
        let read = store.read(&name("sei"), version);
        assert!(
            matches!(read, Err(KeyStoreError::Foreign { .. })),
            "{version}"
        );
    }
}

#[test]
fn wrong_permissions_and_foreign_entries_are_reported() {
    let (_data, path, store) = made();
    store.write_new(&name("sei"), 1, b"one").unwrap();
    std::fs::write(path.join("sei/01"), b"").unwrap();
    std::fs::write(path.join("README.md"), b"").unwrap();
    let open = |at: &str, mode| {
        std::fs::set_permissions(path.join(at), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open("", 0o750);
    open("sei", 0o701);
    open("sei/1", 0o644);
    let mut said: Vec<String> = store
        .problems()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    said.sort();
    assert_eq!(
        said,
        [
            "keys has mode 0750; it must be 0700",
            "keys/README.md is not a key of this store",
            "keys/sei has mode 0701; it must be 0700",
            "keys/sei/01 is not a key of this store",
            "keys/sei/1 has mode 0644; it must be 0600",
        ]
    );
    assert_eq!(store.list().unwrap(), [(name("sei"), 1)]);
}
