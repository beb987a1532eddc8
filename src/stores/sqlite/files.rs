//! Whether the journal's files are still the ones that were opened, and how much room is left.
//!
//! After an unlink SQLite goes on committing into a file that nobody will find again (J3), so the
//! names are compared with what was opened before each commit.

use std::path::{Path, PathBuf};

use flashguard_actors::ports::journal::StoreError;

/// Which file a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

fn id_of(path: &Path) -> Option<FileId> {
    let found = rustix::fs::stat(path).ok()?;
    Some(FileId {
        device: found.st_dev,
        inode: found.st_ino,
    })
}

/// The two files of a journal that is open.
#[derive(Debug)]
pub(super) struct OpenFiles {
    database: PathBuf,
    log: PathBuf,
    database_id: FileId,
    log_id: FileId,
}

impl OpenFiles {
    /// Remembers the files. The database must have been read once, so that its log exists.
    pub(super) fn remember(database: &Path) -> Result<Self, StoreError> {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        let log = PathBuf::from(log);
        let database_id = id_of(database).ok_or(StoreError::Replaced { file: DATABASE })?;
        let log_id = id_of(&log).ok_or(StoreError::Replaced { file: LOG })?;
        Ok(Self {
            database: database.to_owned(),
            log,
            database_id,
            log_id,
        })
    }

    /// Compares names and files; says how many bytes are free for this process.
    pub(super) fn check(&self) -> Result<u64, StoreError> {
        if id_of(&self.database) != Some(self.database_id) {
            return Err(StoreError::Replaced { file: DATABASE });
        }
        if id_of(&self.log) != Some(self.log_id) {
            return Err(StoreError::Replaced { file: LOG });
        }
        let space = rustix::fs::statvfs(&self.database);
        let space = space.map_err(|cause| StoreError::Unavailable {
            doing: "asking for free space",
            cause: Box::new(cause),
        })?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

const DATABASE: &str = "journal.db";
const LOG: &str = "journal.db-wal";
