//! The tables of `journal.db`, and how a store of an older version becomes one of this.
//!
//! A migration is a step from one `user_version` to the next, applied whole or not at all. A step is
//! never changed once released.

use flashguard_actors::ports::journal::StoreError;
use rusqlite::Connection;

use super::while_doing;

/// Says that a file is a journal of this program: `FGJ1`.
pub(super) const APPLICATION_ID: i64 = 0x4647_4A31;

/// Step `n` makes version `n + 1` out of version `n`.
const MIGRATIONS: [&str; 1] = [
    // `segment` is for sealed read-only segments; so far everything is in segment 0.
    // `record` has no index but its order; `client_order` grows at its end when ids grow with time.
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE record (
        seq INTEGER PRIMARY KEY,
        time_us INTEGER NOT NULL,
        segment INTEGER NOT NULL DEFAULT 0,
        commitment BLOB,
        header BLOB NOT NULL
    ) STRICT;
    CREATE TABLE payload (
        seq INTEGER PRIMARY KEY,
        class TEXT NOT NULL,
        salt BLOB NOT NULL,
        bytes BLOB NOT NULL
    ) STRICT;
    CREATE TABLE nodes (first_seq INTEGER PRIMARY KEY, hashes BLOB NOT NULL) STRICT;
    CREATE TABLE checkpoint (
        size INTEGER PRIMARY KEY,
        time_us INTEGER NOT NULL,
        note BLOB NOT NULL
    ) STRICT;
    CREATE TABLE client_order (
        seq INTEGER PRIMARY KEY,
        client TEXT NOT NULL,
        client_order_id TEXT NOT NULL,
        UNIQUE (client, client_order_id)
    ) STRICT;
    CREATE TABLE snapshot (
        fold TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        size INTEGER NOT NULL,
        root BLOB NOT NULL,
        bytes BLOB NOT NULL
    ) STRICT;
    CREATE TABLE cursor (consumer TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    ",
];

/// The version that this program writes.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

fn pragma(db: &Connection, name: &str) -> Result<i64, StoreError> {
    db.pragma_query_value(None, name, |row| row.get(0))
        .map_err(while_doing("reading the journal's version"))
}

/// Whether the file is a journal that this program can read.
///
/// # Errors
///
/// [`StoreError::Newer`] for one of a later program, [`StoreError::Corrupt`] for anything else.
pub(super) fn check(db: &Connection) -> Result<u32, StoreError> {
    let found = u32::try_from(pragma(db, "user_version")?).unwrap_or(u32::MAX);
    if pragma(db, "application_id")? != APPLICATION_ID || found == 0 {
        return Err(StoreError::corrupt("the file is not a journal"));
    }
    if found > VERSION {
        return Err(StoreError::Newer {
            found,
            known: VERSION,
        });
    }
    Ok(found)
}

/// Makes the tables in an empty file.
///
/// # Errors
///
/// [`StoreError`] when it cannot.
pub(super) fn create(db: &Connection) -> Result<(), StoreError> {
    // Fixed for the life of the file: freed pages can be given back, and are overwritten first (J5).
    db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")
        .map_err(while_doing("creating the journal"))?;
    migrate(db, 0, &MIGRATIONS)
}

/// Brings a store up to this program's version.
///
/// # Errors
///
/// [`StoreError`] when it cannot; the store is then as it was.
pub(super) fn upgrade(db: &Connection) -> Result<(), StoreError> {
    let found = check(db)?;
    migrate(db, found, &MIGRATIONS)
}

fn migrate(db: &Connection, from: u32, steps: &[&str]) -> Result<(), StoreError> {
    for (version, step) in (0u32..).zip(steps).skip_while(|(v, _)| *v < from) {
        let sql = format!(
            "BEGIN IMMEDIATE; {step}
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}; COMMIT;",
            version + 1
        );
        db.execute_batch(&sql).map_err(|error| {
            // Dropping the connection would undo it too; this leaves it usable for the caller.
            let _ = db.execute_batch("ROLLBACK");
            super::store_error("migrating the journal", error)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_that_fails_half_way_leaves_the_store_as_it_was() {
        let db = Connection::open_in_memory().unwrap();
        create(&db).unwrap();
        let steps = [
            MIGRATIONS[0],
            "CREATE TABLE one (a INTEGER) STRICT; CREATE TABLE one (a INTEGER) STRICT;",
        ];
        assert!(migrate(&db, 1, &steps).is_err());
        assert_eq!(check(&db).unwrap(), 1);
        let made = db.prepare("SELECT * FROM one");
        assert!(made.is_err(), "half a migration is there");
        migrate(
            &db,
            1,
            &[MIGRATIONS[0], "CREATE TABLE two (a INTEGER) STRICT;"],
        )
        .unwrap();
        assert!(matches!(
            check(&db),
            Err(StoreError::Newer { found: 2, known: 1 })
        ));
    }
}
