//! The sentinel as a file in the data directory: `halt.armed` or `halt` (K3).
//!
//! A rename within one directory works on a full disk, and the directory's fsync makes it durable.
//! The directory is held open, so that a path replaced meanwhile changes nothing.

use std::fs::File;
use std::io;
use std::path::Path;

use flashguard_actors::ports::sentinel::{Look, Sentinel};
use rustix::fs::{AtFlags, Mode, OFlags, fsync, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

const RAISED: &str = "halt";
const ARMED: &str = "halt.armed";

/// The two names in one directory.
pub struct FileSentinel {
    directory: File,
}

impl FileSentinel {
    /// The sentinel of a data directory that exists.
    ///
    /// # Errors
    ///
    /// The directory cannot be opened.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            directory: File::open(directory)?,
        })
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        match statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes `to` lie there and `from` not, by a rename where `from` lies there.
    fn change(&self, from: &str, to: &str) -> io::Result<()> {
        match renameat(&self.directory, from, &self.directory, to) {
            Ok(()) => {}
            Err(Errno::NOENT) => {
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = openat(&self.directory, to, flags, Mode::RUSR | Mode::WUSR)?;
                fsync(&file)?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(fsync(&self.directory)?)
    }
}

impl Sentinel for FileSentinel {
    fn look(&self) -> io::Result<Look> {
        Ok(if self.exists(RAISED)? {
            Look::Raised
        } else if self.exists(ARMED)? {
            Look::Armed
        } else {
            Look::Missing
        })
    }

    fn raise(&self) -> io::Result<()> {
        if self.exists(RAISED)? {
            // Somebody may have made it without an fsync.
            return Ok(fsync(&self.directory)?);
        }
        self.change(ARMED, RAISED)
    }

    fn arm(&self) -> io::Result<()> {
        self.change(RAISED, ARMED)?;
        // Where both lay, the rename took one over the other; where a directory of that name stands
        // in the way, it failed above.
        match unlinkat(&self.directory, RAISED, AtFlags::empty()) {
            Ok(()) => Ok(fsync(&self.directory)?),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn raising_and_arming_rename_one_file_to_and_fro() {
        let directory = tempfile::tempdir().unwrap();
        let sentinel = FileSentinel::open(directory.path()).unwrap();
        assert_eq!(sentinel.look().unwrap(), Look::Missing);
        sentinel.arm().unwrap();
        assert_eq!(
            (sentinel.look().unwrap(), names(directory.path())),
            (Look::Armed, vec![ARMED.into()])
        );
        for _ in 0..2 {
            sentinel.raise().unwrap();
            assert_eq!(names(directory.path()), [RAISED]);
            assert_eq!(sentinel.look().unwrap(), Look::Raised);
        }
        sentinel.arm().unwrap();
        assert_eq!(names(directory.path()), [ARMED]);
    }

    #[test]
    fn where_both_lie_halt_counts_and_arming_leaves_one() {
        let directory = tempfile::tempdir().unwrap();
        let sentinel = FileSentinel::open(directory.path()).unwrap();
        std::fs::write(directory.path().join(ARMED), "").unwrap();
        std::fs::write(directory.path().join(RAISED), "").unwrap();
        assert_eq!(sentinel.look().unwrap(), Look::Raised);
        sentinel.arm().unwrap();
        assert_eq!(names(directory.path()), [ARMED]);
    }

    #[test]
    fn raising_works_from_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let sentinel = FileSentinel::open(directory.path()).unwrap();
        sentinel.raise().unwrap();
        assert_eq!(sentinel.look().unwrap(), Look::Raised);
    }
}
