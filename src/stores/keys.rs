//! Sealed secrets as files: `keys/<name>/<version>`, written once, never changed (S4).
//!
//! A version is a temporary file, written, synced, renamed to its name and its directory synced; a
//! crash at any point leaves no version or a whole one. Directories are 0700, files 0600; links are
//! never followed. Everything is reached from the open directory, so that nothing can be put in its
//! place meanwhile. What is in the files is the key manager's: this store sees sealed bytes.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use flashguard_actors::ports::key_store::{KeyName, KeyStore, KeyStoreError, SEALED_BYTES_MAX};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::RDONLY);
const DIRECTORY_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Entries looked at in one directory: far above what a service has.
const ENTRIES_MAX: usize = 100_000;

/// The key store of a data directory.
pub struct FileKeyStore {
    root: OwnedFd,
    #[cfg(test)]
    fault: std::sync::Mutex<Option<Fault>>,
}

/// The system calls of a write, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    MakeDirectory,
    SyncRoot,
    OpenDirectory,
    CreateTemporary,
    Write,
    SyncFile,
    Rename,
    SyncDirectory,
}

impl Call {
    const fn doing(self) -> &'static str {
        match self {
            Self::MakeDirectory => "made a directory",
            Self::SyncRoot | Self::SyncDirectory => "synced a directory",
            Self::OpenDirectory => "opened a directory",
            Self::CreateTemporary => "made a file",
            Self::Write => "wrote a file",
            Self::SyncFile => "synced a file",
            Self::Rename => "renamed a file",
        }
    }
}

/// What a test makes of one call: it fails, and perhaps the process ends right there.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
struct Fault {
    at: Call,
    /// Nothing is tidied up afterwards.
    crash: bool,
}

/// Something in the store is not as this store makes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreProblem {
    /// Others than the service's user could read or change it.
    #[error("{what} has mode {mode:04o}; it must be {wanted:04o}")]
    TooOpen {
        /// `keys`, `keys/<name>` or `keys/<name>/<version>`.
        what: String,
        /// As it is.
        mode: u32,
        /// As it must be.
        wanted: u32,
    },
    /// It belongs to another user.
    #[error("{what} belongs to user {uid}")]
    OtherOwner {
        /// As above.
        what: String,
        /// Whose it is.
        uid: u32,
    },
    /// A link, or an entry with a foreign name. It is not used.
    #[error("{what} is not a key of this store")]
    Foreign {
        /// As above.
        what: String,
    },
}

impl FileKeyStore {
    /// Makes an empty store at `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::Failed`] with the system's reason.
    pub fn create(path: &Path) -> Result<Self, KeyStoreError> {
        fs::mkdir(path, DIRECTORY_MODE).map_err(failed("made a directory"))?;
        Self::open(path)
    }

    /// Opens the store at `path`.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError`] when there is no directory, or a link in its place.
    pub fn open(path: &Path) -> Result<Self, KeyStoreError> {
        let root = match fs::open(path, DIRECTORY, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => Err(foreign("keys".to_owned())),
            opened => opened.map_err(failed("opened a directory")),
        }?;
        Ok(Self {
            root,
            #[cfg(test)]
            fault: std::sync::Mutex::default(),
        })
    }

    /// Everything in the store that is not as it should be: for a start to report and `doctor` to
    /// show. It changes nothing.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::Failed`] when the store cannot be read.
    pub fn problems(&self) -> Result<Vec<KeyStoreProblem>, KeyStoreError> {
        let mut problems = Vec::new();
        look(&self.root, "keys", DIRECTORY_MODE, &mut problems)?;
        for entry in entries(&self.root)? {
            let what = format!("keys/{entry}");
            let directory = KeyName::parse(&entry)
                .ok()
                .map(|name| self.directory(&name));
            let Some(Ok(Some(directory))) = directory else {
                problems.push(KeyStoreProblem::Foreign { what });
                continue;
            };
            look(&directory, &what, DIRECTORY_MODE, &mut problems)?;
            for entry in entries(&directory)?
                .into_iter()
                .filter(|e| !is_temporary(e))
            {
                let what = format!("{what}/{entry}");
                let file = version_of(&entry).map(|version| open_file(&directory, version));
                let Some(Ok(Some(file))) = file else {
                    problems.push(KeyStoreProblem::Foreign { what });
                    continue;
                };
                look(&file, &what, FILE_MODE, &mut problems)?;
            }
        }
        Ok(problems)
    }

    /// The directory of one name; `None` when there is none.
    fn directory(&self, name: &KeyName) -> Result<Option<OwnedFd>, KeyStoreError> {
        match fs::openat(&self.root, name.as_str(), DIRECTORY, Mode::empty()) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(foreign(format!("keys/{name}"))),
            Err(errno) => Err(failed("opened a directory")(errno)),
        }
    }

    fn call<T>(
        &self,
        call: Call,
        run: impl FnOnce() -> rustix::io::Result<T>,
    ) -> Result<T, KeyStoreError> {
        #[cfg(test)]
        if self.fault().is_some_and(|fault| fault.at == call) {
            return Err(failed(call.doing())(Errno::IO));
        }
        run().map_err(failed(call.doing()))
    }

    #[cfg(test)]
    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap()
    }

    fn write_temporary(
        &self,
        directory: &OwnedFd,
        temporary: &str,
        sealed: &[u8],
    ) -> Result<(), KeyStoreError> {
        // What an earlier crash left behind.
        let _ = fs::unlinkat(directory, temporary, AtFlags::empty());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.call(Call::CreateTemporary, || {
            fs::openat(directory, temporary, flags, FILE_MODE)
        })?;
        let mut file = File::from(file);
        let half = sealed.len() / 2;
        let (first, second) = sealed.split_at_checked(half).unwrap_or((sealed, &[]));
        let in_words = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        // In two pieces, so that the fault between them is one that can be tried.
        file.write_all(first)
            .map_err(in_words)
            .map_err(failed(Call::Write.doing()))?;
        self.call(Call::Write, || file.write_all(second).map_err(in_words))?;
        self.call(Call::SyncFile, || fs::fsync(&file))
    }
}

impl KeyStore for FileKeyStore {
    fn list(&self) -> Result<Vec<(KeyName, u32)>, KeyStoreError> {
        let mut versions = Vec::new();
        for entry in entries(&self.root)? {
            let Ok(name) = KeyName::parse(&entry) else {
                continue;
            };
            let Ok(Some(directory)) = self.directory(&name) else {
                continue;
            };
            let held = entries(&directory)?;
            versions.extend(
                held.iter()
                    .filter_map(|e| Some((name.clone(), version_of(e)?))),
            );
        }
        versions.sort();
        Ok(versions)
    }

    fn read(&self, name: &KeyName, version: u32) -> Result<Option<Vec<u8>>, KeyStoreError> {
        let Some(directory) = self.directory(name)? else {
            return Ok(None);
        };
        let Some(file) = open_file(&directory, version)? else {
            return Ok(None);
        };
        let mut sealed = Vec::new();
        let limit = SEALED_BYTES_MAX as u64 + 1;
        File::from(file)
            .take(limit)
            .read_to_end(&mut sealed)
            .map_err(|source| KeyStoreError::Failed {
                doing: "read a file",
                source,
            })?;
        if sealed.len() > SEALED_BYTES_MAX {
            return Err(foreign(format!("keys/{name}/{version}")));
        }
        Ok(Some(sealed))
    }

    fn write_new(&self, name: &KeyName, version: u32, sealed: &[u8]) -> Result<(), KeyStoreError> {
        self.call(Call::MakeDirectory, || {
            match fs::mkdirat(&self.root, name.as_str(), DIRECTORY_MODE) {
                Err(Errno::EXIST) => Ok(()),
                made => made,
            }
        })?;
        // Also when it was there: a crash may have come between its making and its sync.
        self.call(Call::SyncRoot, || fs::fsync(&self.root))?;
        self.call(Call::OpenDirectory, || Ok(()))?;
        let directory = self
            .directory(name)?
            .ok_or_else(|| foreign(format!("keys/{name}")))?;
        let (temporary, version_name) = (format!(".{version}.new"), version.to_string());
        // SAFETY-ORDER: written, synced, named, and the name synced.
        let named = self
            .write_temporary(&directory, &temporary, sealed)
            .and_then(|()| {
                self.call(Call::Rename, || {
                    let kept = RenameFlags::NOREPLACE;
                    fs::renameat_with(&directory, &temporary, &directory, &version_name, kept)
                })
            });
        if let Err(error) = named {
            #[cfg(test)]
            if self.fault().is_some_and(|fault| fault.crash) {
                return Err(error);
            }
            let _ = fs::unlinkat(&directory, &temporary, AtFlags::empty());
            return Err(already_there(error, name, version));
        }
        self.call(Call::SyncDirectory, || fs::fsync(&directory))
    }
}

fn already_there(error: KeyStoreError, name: &KeyName, version: u32) -> KeyStoreError {
    match error {
        KeyStoreError::Failed { source, .. }
            if source.kind() == std::io::ErrorKind::AlreadyExists =>
        {
            KeyStoreError::AlreadyThere {
                name: name.clone(),
                version,
            }
        }
        other => other,
    }
}

/// One version's file, a plain one; `None` when there is none.
fn open_file(directory: &OwnedFd, version: u32) -> Result<Option<OwnedFd>, KeyStoreError> {
    // Without `NONBLOCK` a pipe in its place would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match fs::openat(directory, version.to_string(), flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(foreign("a link".to_owned())),
        Err(errno) => return Err(failed("opened a file")(errno)),
    };
    let stat = fs::fstat(&file).map_err(failed("looked at a file"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(foreign("something that is no file".to_owned()));
    }
    Ok(Some(file))
}

/// The names in a directory, without the two that every one has.
fn entries(directory: &OwnedFd) -> Result<Vec<String>, KeyStoreError> {
    let read = failed("read a directory");
    let open = fs::Dir::read_from(directory).map_err(failed("read a directory"))?;
    let names = open.take(ENTRIES_MAX).map(|entry| {
        let text = |name: &CStr| name.to_string_lossy().into_owned();
        entry.map(|entry| text(entry.file_name()))
    });
    let names: rustix::io::Result<Vec<String>> = names.collect();
    let mut names = names.map_err(read)?;
    names.retain(|name| name != "." && name != "..");
    Ok(names)
}

fn is_temporary(entry: &str) -> bool {
    entry.starts_with('.') && entry.ends_with(".new")
}

/// A version in its one spelling.
fn version_of(entry: &str) -> Option<u32> {
    let version: u32 = entry.parse().ok()?;
    (version > 0 && version.to_string() == entry).then_some(version)
}

fn look(
    at: impl AsFd,
    what: &str,
    wanted: Mode,
    problems: &mut Vec<KeyStoreProblem>,
) -> Result<(), KeyStoreError> {
    let stat = fs::fstat(at).map_err(failed("looked at a file"))?;
    let (mode, wanted) = (stat.st_mode & 0o7777, wanted.as_raw_mode());
    if mode & !wanted != 0 {
        let what = what.to_owned();
        problems.push(KeyStoreProblem::TooOpen { what, mode, wanted });
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        let (what, uid) = (what.to_owned(), stat.st_uid);
        problems.push(KeyStoreProblem::OtherOwner { what, uid });
    }
    Ok(())
}

fn failed(doing: &'static str) -> impl Fn(Errno) -> KeyStoreError {
    move |errno| KeyStoreError::Failed {
        doing,
        source: errno.into(),
    }
}

fn foreign(what: String) -> KeyStoreError {
    KeyStoreError::Foreign { what }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
