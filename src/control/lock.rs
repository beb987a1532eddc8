//! One process at a time works on a data directory: `flock` on the file `lock`.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::directory::DataDirectory;

/// The file's name.
const NAME: &str = "lock";

/// Holds the lock; dropped or with the process's end it is free again.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error("another flashguard works on this data directory{}", pid.map_or_else(String::new, |p| format!(" (pid {p})")))]
    Held {
        /// Its process id, when it can be read.
        pid: Option<u32>,
    },
    /// The file cannot be had.
    #[error("the file `lock` of the data directory cannot be used")]
    Unusable(#[source] io::Error),
}

impl Lock {
    /// Takes the lock without waiting and writes this process's id into it.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] with the holder's pid, or [`LockError::Unusable`].
    pub fn take(directory: &DataDirectory) -> Result<Self, LockError> {
        let flags = OFlags::RDWR | OFlags::CREATE;
        let mut file = directory
            .open_file(NAME, flags, 0o600)
            .map_err(LockError::Unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::Held {
                    pid: read_pid(&mut file),
                });
            }
            Err(error) => return Err(LockError::Unusable(error.into())),
        }
        write_pid(&mut file).map_err(LockError::Unusable)?;
        Ok(Self { _file: file })
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_refused_and_told_who_has_it_until_the_first_lets_go() {
        let place = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(place.path()).unwrap();
        let held = Lock::take(&directory).unwrap();
        match Lock::take(&directory) {
            Err(LockError::Held { pid }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(held);
        assert!(Lock::take(&directory).is_ok());
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("precious");
        std::fs::write(&target, "x").unwrap();
        std::os::unix::fs::symlink(&target, place.path().join(NAME)).unwrap();
        let directory = DataDirectory::open(place.path()).unwrap();
        assert!(matches!(
            Lock::take(&directory),
            Err(LockError::Unusable(_))
        ));
        assert_eq!(std::fs::read_to_string(target).unwrap(), "x");
    }
}
