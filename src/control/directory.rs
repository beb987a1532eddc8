//! The data directory, held open, so that what is done in it stays in it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, fsync, openat, renameat, statat, unlinkat};

/// The data directory.
#[derive(Debug)]
pub struct DataDirectory {
    fd: OwnedFd,
    path: PathBuf,
}

impl DataDirectory {
    /// Opens an existing directory.
    ///
    /// # Errors
    ///
    /// The kernel's: there is none, it is no directory, or it may not be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The user that owns it.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn owner_uid(&self) -> io::Result<u32> {
        Ok(rustix::fs::fstat(&self.fd)?.st_uid)
    }

    /// Its permission bits.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn mode(&self) -> io::Result<u32> {
        Ok(rustix::fs::fstat(&self.fd)?.st_mode & 0o7777)
    }

    /// Whether it holds an entry of that name.
    pub fn has(&self, name: &str) -> bool {
        statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// A path to an entry that does not depend on how long the directory's own path is: socket paths
    /// end at 107 bytes.
    pub fn short_path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd()))
    }

    /// Opens an entry; links are not followed.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn open_file(&self, name: &str, flags: OFlags, mode: u32) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(openat(&self.fd, name, flags, Mode::from_raw_mode(mode))?.into())
    }

    /// Replaces an entry at once: temporary file, fsync, rename, fsync of the directory (S4).
    ///
    /// # Errors
    ///
    /// The kernel's; the old content is then still there.
    pub fn replace(&self, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let temporary = format!(".{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let mut file = self.open_file(&temporary, flags, mode)?;
        file.write_all(content)?;
        file.sync_all()?;
        renameat(&self.fd, &temporary, &self.fd, name)?;
        Ok(fsync(&self.fd)?)
    }

    /// Renames an entry and makes that durable.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        renameat(&self.fd, from, &self.fd, to)?;
        Ok(fsync(&self.fd)?)
    }

    /// Creates an empty entry, or leaves the one that is there, and makes that durable.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn touch(&self, name: &str, mode: u32) -> io::Result<()> {
        self.open_file(name, OFlags::WRONLY | OFlags::CREATE, mode)?;
        Ok(fsync(&self.fd)?)
    }

    /// Removes an entry if it is there.
    ///
    /// # Errors
    ///
    /// The kernel's, except that there was none.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            other => Ok(other?),
        }
    }
}

impl AsFd for DataDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
