//! `run.json`: what a running service tells other programs on this machine. It holds no secret.

use std::io::{self, Read};
use std::net::SocketAddr;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::directory::DataDirectory;

/// The file's name.
const NAME: &str = "run.json";

/// Largest file that is read.
const BYTES_MAX: u64 = 64 * 1024;

/// The addresses that a running service really has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// Its process id.
    pub pid: u32,
    /// The program's version.
    pub version: String,
    /// The HTTP API.
    pub listen: SocketAddr,
    /// The control listener.
    pub control: SocketAddr,
    /// The venue's base address, when it has one.
    pub venue: Option<String>,
}

impl RunFile {
    /// Writes it, replacing one that a killed process left.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn write(&self, directory: &DataDirectory) -> io::Result<()> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        directory.replace(NAME, &text, 0o644)
    }

    /// Reads it; a killed process leaves it behind, so its addresses may answer no more.
    ///
    /// # Errors
    ///
    /// The kernel's, or that it is not what was written.
    pub fn read(directory: &DataDirectory) -> io::Result<Self> {
        let file = directory.open_file(NAME, OFlags::RDONLY, 0)?;
        let mut text = String::new();
        file.take(BYTES_MAX).read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Takes it away at the end of the service.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn remove(directory: &DataDirectory) -> io::Result<()> {
        directory.remove(NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let place = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(place.path()).unwrap();
        assert!(RunFile::read(&directory).is_err());
        let file = RunFile {
            pid: 7,
            version: "0.1.0".to_owned(),
            listen: "127.0.0.1:8000".parse().unwrap(),
            control: "[::1]:8001".parse().unwrap(),
            venue: Some("http://127.0.0.1:9000".to_owned()),
        };
        file.write(&directory).unwrap();
        assert_eq!(RunFile::read(&directory).unwrap(), file);
        RunFile::remove(&directory).unwrap();
        RunFile::remove(&directory).unwrap();
        assert!(RunFile::read(&directory).is_err());
    }

    #[test]
    fn a_broken_file_is_an_error_and_not_a_panic() {
        let place = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(place.path()).unwrap();
        for bad in ["", "{", "[]", "{\"pid\":-1}", "\u{0}"] {
            std::fs::write(place.path().join(NAME), bad).unwrap();
            assert!(RunFile::read(&directory).is_err(), "{bad:?}");
        }
    }
}
