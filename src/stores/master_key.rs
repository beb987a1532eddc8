//! The master key's file: 64 hexadecimal digits that only the service's user may read.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flashguard_actors::domain::secret::{NotASecretText, Redacted};
use flashguard_actors::key_manager::{MasterKey, NotAMasterKey};
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::settings::{MasterKeyInDataDir, Profile, Settings};

/// The file's name in a data directory.
pub const FILE: &str = "master.key";

/// Why there is no master key. No path and nothing of the key is in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MasterKeyError {
    /// There is no such file.
    #[error("there is no master key file")]
    Missing,
    /// Others than the service's user can read or change it.
    #[error("the master key file has mode {mode:04o}: only its owner may read it (chmod 0600)")]
    TooOpen {
        /// As it is.
        mode: u32,
    },
    /// Production, and it lies beside what it protects.
    #[error(
        "the master key lies in the data directory, beside what it protects, and production refuses \
         that: name a file elsewhere in keys.master_key_file, or set keys.master_key_in_data_dir to \
         accept-beside-the-data"
    )]
    BesideTheData,
    /// A directory, a pipe, a device.
    #[error("the master key is not a file")]
    NotAFile,
    /// One exists, and it is never overwritten.
    #[error("there is a master key file already")]
    AlreadyThere,
    /// What is in it is no text.
    #[error("the master key file: {0}")]
    NotText(#[source] NotASecretText),
    /// What is in it is no key.
    #[error(transparent)]
    NotAKey(#[from] NotAMasterKey),
    /// The system refused a call.
    #[error("the master key file could not be {done}")]
    Failed {
        /// `read`, `written`.
        done: &'static str,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

/// Where the master key of `directory` lies or is to lie.
///
/// # Errors
///
/// [`MasterKeyError::BesideTheData`] where production is not told to accept that.
pub fn place(directory: &Path, settings: &Settings) -> Result<PathBuf, MasterKeyError> {
    let keys = &settings.keys;
    let path = match &keys.master_key_file {
        Some(file) => file.as_ref().to_owned(),
        None => directory.join(FILE),
    };
    let refuses = settings.profile == Profile::Production
        && keys.master_key_in_data_dir == MasterKeyInDataDir::Refuse;
    if refuses && lies_in(directory, &path) {
        return Err(MasterKeyError::BesideTheData);
    }
    Ok(path)
}

/// Whether a file lies below a directory, whatever links and dots the paths have. A link in the
/// directory that leads out of it does not.
pub fn lies_in(directory: &Path, file: &Path) -> bool {
    let directory = resolved(directory);
    resolved(file).starts_with(directory)
}

/// The path without links and dots, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(whole) = path.canonicalize() {
        return whole;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => resolved(parent).join(name),
        (_, Some(name)) => resolved(Path::new(".")).join(name),
        _ => path.to_owned(),
    }
}

/// Reads the master key. A link to it is followed, as mounted secrets are links; what counts is the
/// file it leads to.
///
/// # Errors
///
/// [`MasterKeyError`]; a file that a group or everybody could read is refused.
pub fn read(path: &Path) -> Result<MasterKey, MasterKeyError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Err(MasterKeyError::Missing),
        opened => opened.map_err(failed("read"))?,
    };
    let stat = fs::fstat(&file).map_err(failed("read"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(MasterKeyError::NotAFile);
    }
    if stat.st_mode & 0o077 != 0 {
        let mode = stat.st_mode & 0o7777;
        return Err(MasterKeyError::TooOpen { mode });
    }
    let text = Redacted::read(File::from(file)).map_err(MasterKeyError::NotText)?;
    Ok(MasterKey::parse(&text)?)
}

/// Writes the master key to a new file, durable when this returns.
///
/// # Errors
///
/// [`MasterKeyError::AlreadyThere`] when there is a file; nothing is changed then.
pub fn write_new(path: &Path, key: &MasterKey) -> Result<(), MasterKeyError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = match fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::EXIST) => return Err(MasterKeyError::AlreadyThere),
        opened => opened.map_err(failed("written"))?,
    };
    let text = key.to_text();
    let mut file = File::from(file);
    let written = file
        .write_all(text.expose())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_directory_of(path));
    written.map_err(|source| {
        // Only what was just made here.
        let _ = std::fs::remove_file(path);
        MasterKeyError::Failed {
            done: "written",
            source,
        }
    })
}

fn sync_directory_of(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn failed(done: &'static str) -> impl Fn(Errno) -> MasterKeyError {
    move |errno| MasterKeyError::Failed {
        done,
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Sources;
    use flashguard_actors::domain::clock::SystemEntropy;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn settings(profile: Profile, given: &[(&'static str, &str)]) -> Settings {
        let http = [
            ("venue.adapter", "http"),
            ("venue.url", "http://127.0.0.1:1"),
        ];
        let all = http.iter().chain(given);
        let option = |(name, value): &(&'static str, &str)| (*name, "test", (*value).to_owned());
        Settings::load(&Sources {
            profile,
            options: all.map(option).collect(),
            ..Sources::default()
        })
        .unwrap()
    }

    const FILE_SETTING: &str = "keys.master_key_file";
    const ACCEPT: (&str, &str) = ("keys.master_key_in_data_dir", "accept-beside-the-data");

    #[test]
    fn production_refuses_a_key_beside_the_data_unless_it_is_told_to_accept_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let elsewhere = dir.path().join("elsewhere.key");
        let text = elsewhere.to_str().unwrap();
        let at = |profile, given: &[_]| place(&data, &settings(profile, given));
        let inside = data.join(FILE);

        assert_eq!(at(Profile::Development, &[]).unwrap(), inside);
        assert_eq!(at(Profile::Production, &[ACCEPT]).unwrap(), inside);
        let refused = at(Profile::Production, &[]).unwrap_err();
        assert!(matches!(refused, MasterKeyError::BesideTheData));
        for way_out in [FILE_SETTING, ACCEPT.0, ACCEPT.1] {
            assert!(refused.to_string().contains(way_out), "{refused}");
        }
        let named = [(FILE_SETTING, text)];
        assert_eq!(at(Profile::Production, &named).unwrap(), elsewhere);
    }

    #[test]
    fn what_lies_in_the_data_directory_is_seen_through_links_and_dots() {
        let dir = tempfile::tempdir().unwrap();
        let (data, beside) = (dir.path().join("data"), dir.path().join("beside"));
        std::fs::create_dir_all(data.join("deep")).unwrap();
        std::fs::create_dir(&beside).unwrap();
        let link = |to: &Path, name: PathBuf| {
            std::os::unix::fs::symlink(to, &name).unwrap();
            name
        };
        let into = link(&data, beside.join("into"));
        let key = data.join("a.key");
        std::fs::write(&key, "x").unwrap();
        let key_link = link(&key, beside.join("b.key"));
        for inside in [
            key,
            key_link,
            data.join("not-yet.key"),
            data.join("deep/not-yet.key"),
            data.join("not-yet/not-yet.key"),
            beside.join("../data/not-yet.key"),
            into.join("not-yet.key"),
        ] {
            assert!(lies_in(&data, &inside), "{}", inside.display());
            assert!(lies_in(&into, &inside), "{}", inside.display());
        }
        let outside = beside.join("c.key");
        std::fs::write(&outside, "x").unwrap();
        for outside in [
            link(&outside, data.join("mounted.key")),
            outside,
            beside.join("not-yet.key"),
            dir.path().join("data-2.key"),
            data.join("../not-yet.key"),
        ] {
            assert!(!lies_in(&data, &outside), "{}", outside.display());
        }
    }

    #[test]
    fn it_is_read_as_it_was_written_and_only_its_owner_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let key = MasterKey::generate(&SystemEntropy).unwrap();
        write_new(&path, &key).unwrap();
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert_eq!(read(&path).map(|k| k.id()).ok(), Some(key.id()));
        assert!(matches!(
            write_new(&path, &key),
            Err(MasterKeyError::AlreadyThere)
        ));
        symlink(&path, dir.path().join("mounted")).unwrap();
        assert!(read(&dir.path().join("mounted")).is_ok());
    }

    #[test]
    fn a_file_that_others_could_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        write_new(&path, &MasterKey::generate(&SystemEntropy).unwrap()).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601, 0o644, 0o666] {
            chmod(&path, mode);
            assert!(matches!(read(&path), Err(MasterKeyError::TooOpen { mode: m }) if m == mode));
        }
        for mode in [0o600, 0o400] {
            chmod(&path, mode);
            assert!(read(&path).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_master_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        assert!(matches!(read(&path), Err(MasterKeyError::Missing)));
        assert!(matches!(read(dir.path()), Err(MasterKeyError::NotAFile)));
        let put = |text: &str| {
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, text).unwrap();
            chmod(&path, 0o600);
            read(&path).map(|_| ())
        };
        assert!(matches!(put(""), Err(MasterKeyError::NotText(_))));
        assert!(matches!(put("canary"), Err(MasterKeyError::NotAKey(_))));
        assert!(matches!(
            put(&"0".repeat(63)),
            Err(MasterKeyError::NotAKey(_))
        ));
        assert!(put(&"0".repeat(64)).is_ok());
    }
}
