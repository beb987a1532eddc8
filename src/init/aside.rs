//! Entries built aside in `.init` and moved into the data directory all or none.
//!
//! Order: everything synced → manifest durable → each entry renamed, never over another → manifest
//! removed → `.init` removed. While the manifest lies there, an entry that it names and that is no
//! longer in `.init` was moved, and undoing takes it away; without a manifest nothing was moved, or
//! everything was and counts.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, RenameFlags, renameat_with, statat};

use crate::control::DataDirectory;

/// Where a data directory is built.
pub(super) const PLACE: &str = ".init";
const MANIFEST: &str = "manifest";
/// The directory of sealed secrets.
pub(super) const KEYS: &str = "keys";
/// The sentinel at rest.
pub(super) const SENTINEL_ARMED: &str = "halt.armed";
/// The sentinel when halted.
pub(super) const SENTINEL_HALTED: &str = "halt";

/// A directory's content on its way.
pub(super) struct Aside<'a> {
    directory: &'a DataDirectory,
    place: PathBuf,
}

impl<'a> Aside<'a> {
    /// An empty place beside the directory's content.
    pub(super) fn begin(directory: &'a DataDirectory) -> io::Result<Self> {
        let place = directory.path().join(PLACE);
        DirBuilder::new().mode(0o700).create(&place)?;
        sync(directory.path())?;
        Ok(Self { directory, place })
    }

    /// Where an entry is built.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// An empty file, only for its owner.
    pub(super) fn touch(&self, name: &str) -> io::Result<()> {
        new_file(&self.path(name))?.sync_all()
    }

    /// Moves everything into the directory, durable when this returns.
    pub(super) fn move_into_place(&self) -> io::Result<()> {
        let names = names(&self.place)?;
        sync(&self.place)?;
        let mut manifest = new_file(&self.path(MANIFEST))?;
        manifest.write_all(names.join("\n").as_bytes())?;
        manifest.sync_all()?;
        sync(&self.place)?;
        // SAFETY-ORDER: the manifest is durable before the first entry moves, and goes after the
        // last one has arrived.
        for name in &names {
            let to = self.directory.path().join(name);
            renameat_with(CWD, self.path(name), CWD, to, RenameFlags::NOREPLACE)?;
            fault(name)?;
        }
        sync(self.directory.path())?;
        fs::remove_file(self.path(MANIFEST))?;
        fault(MANIFEST)?;
        fs::remove_dir(&self.place)?;
        sync(self.directory.path())
    }
}

/// Takes back an initialisation that was interrupted. Without one it does nothing. To be called with
/// the lock held.
///
/// # Errors
///
/// The system's; the directory is still interrupted then.
pub fn undo(directory: &DataDirectory) -> io::Result<()> {
    let place = directory.path().join(PLACE);
    if !directory.has(PLACE) {
        return Ok(());
    }
    for name in read_manifest(&place)? {
        let still_aside = exists(&place.join(&name));
        if !still_aside {
            remove(&directory.path().join(&name))?;
        }
    }
    sync(directory.path())?;
    // SAFETY-ORDER: the manifest goes last, so that an interrupted undoing can be undone.
    for name in names(&place)? {
        remove(&place.join(name))?;
    }
    remove(&place.join(MANIFEST))?;
    fs::remove_dir(&place)?;
    sync(directory.path())
}

/// The entries that the manifest names; none when it is not there or was not whole, since nothing is
/// moved before it is.
fn read_manifest(place: &Path) -> io::Result<Vec<String>> {
    let text = match fs::read_to_string(place.join(MANIFEST)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let plain = |name: &&str| !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    Ok(text.lines().filter(plain).map(str::to_owned).collect())
}

/// What lies in `place` but the manifest, sorted.
fn names(place: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(place)? {
        let name = entry?.file_name();
        let name = name.into_string().map_err(|_| io::ErrorKind::InvalidData)?;
        if name != MANIFEST {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn exists(path: &Path) -> bool {
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Removes an entry, whole; links themselves, never what they lead to.
fn remove(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    if metadata.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes a directory that only its owner may enter, durable, or closes the one that is there.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
            sync(parent.unwrap_or(Path::new(".")))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path)?.permissions().mode();
            if mode & 0o077 == 0 {
                return Ok(());
            }
            fs::set_permissions(path, Permissions::from_mode(0o700))
        }
        Err(error) => Err(error),
    }
}

#[cfg(not(test))]
fn fault(_after: &str) -> io::Result<()> {
    Ok(())
}

/// Tests end the process, so to say, after one of the steps.
#[cfg(test)]
fn fault(after: &str) -> io::Result<()> {
    tests::FAULT_AFTER.with_borrow(|wanted| match wanted.as_deref() {
        Some(wanted) if wanted == after => Err(io::Error::other("a fault for a test")),
        _ => Ok(()),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;

    thread_local! {
        /// After which step the next move into place fails.
        pub(crate) static FAULT_AFTER: RefCell<Option<String>> = const { RefCell::new(None) };
    }
}
