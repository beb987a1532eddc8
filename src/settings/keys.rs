//! `keys.*`: the master key, which opens all others.

use super::table::{Shape, section};
use super::value::{AbsolutePath, choice};

section! {
    /// The master key, which opens every sealed key.
    "keys" Keys {
        /// The master key's file. `init` makes it where there is none. Empty is `master.key` in the
        /// data directory.
        master_key_file: Option<AbsolutePath> = "", "", Shape::Path;
        /// Whether production works with a master key that lies in the data directory: whoever gets
        /// a copy of that directory, a backup of it too, then has every key.
        master_key_in_data_dir: MasterKeyInDataDir = "refuse", "", Shape::Choice(MasterKeyInDataDir::WORDS);
    }
}

choice! {
    /// Whether production works with a master key that lies in the data directory.
    MasterKeyInDataDir {
        /// It neither initialises nor starts.
        Refuse = "refuse",
        /// It lies beside what it protects, and somebody wants that.
        Accept = "accept-beside-the-data",
    }
}
