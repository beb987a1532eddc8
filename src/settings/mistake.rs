//! What is wrong with the settings: the place, the key, the problem, and what would be right.

use std::fmt;
use std::path::PathBuf;

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The table of settings.
    Default,
    /// A file, with the line and column of the value (from 1; 0 = the file as a whole).
    File {
        /// As it was found.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// An environment variable.
    Variable(String),
    /// An option of the command line.
    Option(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Self::File { path, line, column } => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Self::Variable(name) => f.write_str(name),
            Self::Option(option) => f.write_str(option),
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// Which setting; empty when the place as a whole is wrong.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.problem, self.right)
    }
}

impl Serialize for Mistake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Mistake", 4)?;
        out.serialize_field("place", &self.place.to_string())?;
        out.serialize_field("key", &self.key)?;
        out.serialize_field("problem", &self.problem)?;
        out.serialize_field("right", &self.right)?;
        out.end()
    }
}

/// Every mistake in the settings, at least one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 mistake in the settings")?,
            n => write!(f, "{n} mistakes in the settings")?,
        }
        for mistake in &self.0 {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Longest text of a wrong value that is shown again, in characters.
const SHOWN_CHARS_MAX: usize = 64;

/// `text` quoted and shortened, for a message.
pub(super) fn shown(text: &str) -> String {
    if text.chars().count() > SHOWN_CHARS_MAX {
        let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        format!("{start:?}…")
    } else {
        format!("{text:?}")
    }
}

/// The known word that was probably meant, if one is near.
pub(super) fn did_you_mean<'a>(
    wrong: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    /// A word is near when at most a third of it differs.
    const NEAR_SHARE: usize = 3;
    known
        .map(|word| (strsim::osa_distance(wrong, word), word))
        .filter(|(distance, word)| distance * NEAR_SHARE <= word.len())
        .min()
        .map(|(_, word)| word)
}
