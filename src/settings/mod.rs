//! Settings: one table says which exist, and it loads, validates, prints and documents them.
//!
//! Sources, the later wins: the table's default, the file (TOML), the environment
//! (`FLASHGUARD__SECTION__KEY`), an option of the command line. Every mistake of every source is
//! reported at once, with its place, the key and what would be right; nothing unknown is ignored.
//! A setting exists only when something reads it.
//!
//! It does not hold secrets (the key store does), and it opens no listener and no connection: what
//! is wrong with the world outside is found at start (`startup`) or by `doctor`.

mod auth;
mod document;
mod emergency;
mod environment;
mod file;
mod gate;
mod journal;
mod keys;
mod limits_page;
mod log;
mod mistake;
mod paper;
mod rules;
mod server;
mod table;
mod value;
mod venue;

use std::ffi::OsString;
use std::path::PathBuf;

pub use auth::Auth;
pub use document::{configuration_page, reference_file};
pub use emergency::Emergency;
pub use gate::Gate;
pub use journal::Journal;
pub use keys::{Keys, MasterKeyInDataDir};
pub use limits_page::limits_page;
pub use log::{Log, LogFormat, LogLevel};
pub use mistake::{Mistake, Mistakes, Place};
pub use paper::Paper;
pub use server::{OnStop, PlainHttp, Server};
pub use table::{Setting, Shape, settings};
pub use value::{AbsolutePath, BaseUrl};
pub use venue::{Adapter, Venue};

use table::Reader;

/// What kind of place this is: it decides what is refused at start, and no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Initialises itself, trades on paper.
    #[default]
    Development,
    /// Refuses to start on anything missing.
    Production,
}

impl Profile {
    /// As it is written on the command line and in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

/// Where settings are looked for.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Decides which rules hold.
    pub profile: Profile,
    /// `--config`: must exist.
    pub file: Option<PathBuf>,
    /// Read when it exists and `file` is not given: `flashguard.toml` in the data directory.
    pub file_if_present: Option<PathBuf>,
    /// The process's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Options of the command line: setting, option as written, value.
    pub options: Vec<(&'static str, &'static str, String)>,
}

/// Every setting, valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which rules held.
    pub profile: Profile,
    /// Who may connect, and how much.
    pub server: Server,
    /// What is told on stderr.
    pub log: Log,
    /// What an order must keep to.
    pub gate: Gate,
    /// Where orders go.
    pub venue: Venue,
    /// The paper venue.
    pub paper: Paper,
    /// Tokens.
    pub auth: Auth,
    /// The master key.
    pub keys: Keys,
    /// Halts and lifts.
    pub emergency: Emergency,
    /// The journal.
    pub journal: Journal,
}

impl Settings {
    /// Reads all sources and checks every value and what must fit together.
    ///
    /// # Errors
    ///
    /// [`Mistakes`]: every one that was found, at least one.
    pub fn load(sources: &Sources) -> Result<Self, Mistakes> {
        Self::load_with_places(sources).map(|(settings, _)| settings)
    }

    /// As [`load`](Self::load), and where each setting got its value, in the order of the table.
    ///
    /// # Errors
    ///
    /// [`Mistakes`]: every one that was found, at least one.
    pub fn load_with_places(sources: &Sources) -> Result<(Self, Vec<Place>), Mistakes> {
        let mut reader = Reader::default();
        file::read(sources, &mut reader);
        environment::read(&sources.environment, &mut reader);
        for (name, option, text) in &sources.options {
            reader.give(name, text.clone(), Place::Option(option));
        }
        let found = Self::read(sources.profile, &mut reader);
        if let Some(settings) = &found {
            rules::check(settings, &mut reader);
        }
        match found {
            Some(found) if reader.mistakes().is_empty() => {
                let places = settings().map(|setting| reader.place(setting.name));
                Ok((found, places.collect()))
            }
            _ => Err(Mistakes(reader.into_mistakes())),
        }
    }

    fn read(profile: Profile, reader: &mut Reader) -> Option<Self> {
        let server = Server::read(reader);
        let log = Log::read(reader);
        let gate = Gate::read(reader);
        let venue = Venue::read(reader);
        let paper = Paper::read(reader);
        let auth = Auth::read(reader);
        let keys = Keys::read(reader);
        let emergency = Emergency::read(reader);
        let journal = Journal::read(reader);
        Some(Self {
            profile,
            server: server?,
            log: log?,
            gate: gate?,
            venue: venue?,
            paper: paper?,
            auth: auth?,
            keys: keys?,
            emergency: emergency?,
            journal: journal?,
        })
    }

    /// Every setting with its value as text, in the order of the table; a secret's value is hidden.
    pub fn print(&self) -> Vec<(&'static Setting, String)> {
        let texts = [
            self.server.texts(),
            self.log.texts(),
            self.gate.texts(),
            self.venue.texts(),
            self.paper.texts(),
            self.auth.texts(),
            self.keys.texts(),
            self.emergency.texts(),
            self.journal.texts(),
        ];
        settings()
            .zip(texts.into_iter().flatten())
            .map(|(setting, text)| {
                let hidden = setting.secret && !text.is_empty();
                (setting, if hidden { "(secret)".to_owned() } else { text })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
