//! The seed's variables, each also as `<NAME>_FILE`, the recommended form.
//!
//! `SEI_PRIVATE_KEY`, `CAMBRIAN_API_KEY` and `CAMBRIAN_SECRET_KEY` are read at `init` and at every
//! start, and taken in once (`key_manager::import_once`). The others have nothing in this version
//! that would read them: whoever sets one is told so ([`notices`]). A secret in a plain variable can
//! be seen by whoever may look at the process, so it is told of; its value never is.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;

use flashguard_actors::domain::clock::Entropy;
use flashguard_actors::domain::secret::{NotASecretText, Redacted};
use flashguard_actors::key_manager::{
    ChainKey, HotKeys, NotAChainKey, NotACredential, Seeds, VenueCredential,
};

const CHAIN_KEY: &str = "SEI_PRIVATE_KEY";
const VENUE_API_KEY: &str = "CAMBRIAN_API_KEY";
const VENUE_SECRET: &str = "CAMBRIAN_SECRET_KEY";
/// Those that are taken in; all of them are secrets.
const TAKEN_IN: [&str; 3] = [CHAIN_KEY, VENUE_API_KEY, VENUE_SECRET];

/// Those that nothing reads: name, whether it is a secret, and what there is instead.
const UNUSED: [(&str, bool, &str); 13] = [
    (
        "MASTER_ENCRYPTION_KEY",
        true,
        "the master key is a file that `init` makes",
    ),
    (
        "JWT_SECRET_KEY",
        true,
        "`init` makes the secret that signs tokens",
    ),
    ("ADMIN_API_KEY", true, API_KEYS),
    ("READONLY_API_KEY", true, API_KEYS),
    ("GRAFANA_API_KEY_ENCRYPTED", true, NOTHING),
    ("TWITTER_TOKEN_ENCRYPTED", true, NOTHING),
    ("INFLUXDB_TOKEN_ENCRYPTED", true, NOTHING),
    ("SLACK_WEBHOOK_URL", true, "this version sends no alerts"),
    (
        "REDIS_URL",
        false,
        "everything is stored in the data directory",
    ),
    (
        "DATABASE_URL",
        false,
        "everything is stored in the data directory",
    ),
    ("INFLUXDB_URL", false, NOTHING),
    ("INFLUXDB_ORG", false, NOTHING),
    ("INFLUXDB_BUCKET", false, NOTHING),
];
const API_KEYS: &str = "API keys are made by `init` and `flashguard apikeys create`";
const NOTHING: &str = "nothing in this version would read it";

/// What the variables hold, and which of them are set.
#[derive(Default)]
pub struct SeedVariables {
    /// The keys themselves.
    pub seeds: Seeds,
    chain_from: String,
    venue_from: String,
}

impl SeedVariables {
    /// The variables that `key` (`sei`, `venue`) came from, as they were set.
    pub fn variables_of(&self, key: &str) -> &str {
        if key == HotKeys::CHAIN {
            &self.chain_from
        } else {
            &self.venue_from
        }
    }
}

/// Something about a variable that whoever set it should know. It holds a name and no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// It holds a secret in the open, where its `_FILE` form would not.
    InTheOpen {
        /// The variable.
        name: &'static str,
    },
    /// It is set, and nothing reads it.
    Unused {
        /// The variable, with `_FILE` where that form is set.
        name: String,
        /// What there is instead.
        instead: &'static str,
        /// It holds a secret in the open on top.
        in_the_open: bool,
    },
    /// It holds another secret than the key in use, which stays the one in use.
    Differs {
        /// The variables, as they were set.
        variables: String,
        /// The key's name: `sei`, `venue`.
        key: &'static str,
    },
}

impl Notice {
    /// What to do about it.
    pub fn mend(&self) -> String {
        match self {
            Self::InTheOpen { name } => {
                format!("put it into a file of mode 0600 and name that in {name}_FILE")
            }
            Self::Unused { instead, .. } => format!("take it away: {instead}"),
            Self::Differs { variables, key } => format!(
                "take {variables} away; or, to replace the key: flashguard keys import {key}"
            ),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InTheOpen { name } => write!(f, "{name} is a secret in a plain variable"),
            Self::Unused {
                name, in_the_open, ..
            } => {
                write!(f, "{name} is set and not used in this version")?;
                if *in_the_open {
                    write!(f, ", and it is a secret in a plain variable")?;
                }
                Ok(())
            }
            Self::Differs { variables, key } => write!(
                f,
                "{variables}: another secret than the key {key} in the store; the store's is used"
            ),
        }
    }
}

/// What is to be told of the variables that are set, without reading a file: each at most once.
pub fn notices(lookup: impl Fn(&str) -> Option<OsString>) -> Vec<Notice> {
    let is_set = |name: &str| lookup(name).is_some_and(|value| !value.is_empty());
    let open = TAKEN_IN.into_iter().filter(|name| is_set(name));
    let open = open.map(|name| Notice::InTheOpen { name });
    let unused = UNUSED.into_iter().flat_map(|(name, secret, instead)| {
        [name.to_owned(), format!("{name}_FILE")]
            .into_iter()
            .filter(|form| is_set(form))
            .map(move |form| Notice::Unused {
                in_the_open: secret && form == name,
                name: form,
                instead,
            })
            .collect::<Vec<_>>()
    });
    open.chain(unused).collect()
}

/// Why a variable is not taken. It names the variable, never its value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeedVariableError {
    /// Both forms are set.
    #[error("{name} and {name}_FILE are both set: keep one of them, better the file")]
    BothForms {
        /// The variable.
        name: &'static str,
    },
    /// The file cannot be opened.
    #[error("the file that {name}_FILE names cannot be opened")]
    Unreadable {
        /// The variable.
        name: &'static str,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// It is empty, far too long or no text.
    #[error("{name}: {source}")]
    NotASecret {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        source: NotASecretText,
    },
    /// One half of the venue credential without the other.
    #[error("{missing} is not set, but {given} is: the venue credential needs both")]
    Half {
        /// The one that is set.
        given: &'static str,
        /// The other.
        missing: &'static str,
    },
    /// Not a private key.
    #[error("SEI_PRIVATE_KEY: {0}")]
    ChainKey(#[source] NotAChainKey),
    /// Not a credential.
    #[error("CAMBRIAN_API_KEY, CAMBRIAN_SECRET_KEY: {0}")]
    Credential(#[source] NotACredential),
}

/// Reads the variables through `lookup` (the process environment, as a parameter).
///
/// # Errors
///
/// [`SeedVariableError`] for the first variable that is not right.
pub fn read(
    lookup: impl Fn(&str) -> Option<OsString>,
    entropy: &dyn Entropy,
) -> Result<SeedVariables, SeedVariableError> {
    let read = |name| secret(&lookup, name);
    let chain = read(CHAIN_KEY)?;
    let (api_key, venue_secret) = (read(VENUE_API_KEY)?, read(VENUE_SECRET)?);
    let half = |given, missing| SeedVariableError::Half { given, missing };
    let venue = match (api_key, venue_secret) {
        (Some(key), Some(secret)) => VenueCredential::new(key.expose(), secret.expose())
            .map(Some)
            .map_err(SeedVariableError::Credential)?,
        (None, None) => None,
        (Some(_), None) => return Err(half(VENUE_API_KEY, VENUE_SECRET)),
        (None, Some(_)) => return Err(half(VENUE_SECRET, VENUE_API_KEY)),
    };
    let chain = chain
        .map(|text| ChainKey::parse(&text, entropy))
        .transpose()
        .map_err(SeedVariableError::ChainKey)?;
    let set_forms = |names: &[&str]| {
        let forms = names
            .iter()
            .flat_map(|name| [(*name).to_owned(), format!("{name}_FILE")]);
        let set: Vec<_> = forms.filter(|form| lookup(form).is_some()).collect();
        set.join(", ")
    };
    Ok(SeedVariables {
        seeds: Seeds { chain, venue },
        chain_from: set_forms(&[CHAIN_KEY]),
        venue_from: set_forms(&[VENUE_API_KEY, VENUE_SECRET]),
    })
}

fn secret(
    lookup: &impl Fn(&str) -> Option<OsString>,
    name: &'static str,
) -> Result<Option<Redacted>, SeedVariableError> {
    let not_a_secret = |source| SeedVariableError::NotASecret { name, source };
    let read = match (lookup(name), lookup(&format!("{name}_FILE"))) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(SeedVariableError::BothForms { name }),
        (Some(value), None) => Redacted::taken_from(value.into_encoded_bytes()),
        (None, Some(path)) => {
            let unreadable = |source| SeedVariableError::Unreadable { name, source };
            Redacted::read(File::open(PathBuf::from(path)).map_err(unreadable)?)
        }
    };
    read.map(Some).map_err(not_a_secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flashguard_actors::domain::clock::SystemEntropy;

    const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    fn lookup(set: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| {
            let found = set.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| OsString::from(value))
        }
    }

    fn read(set: &[(&str, &str)]) -> Result<SeedVariables, String> {
        super::read(lookup(set), &SystemEntropy).map_err(|error| error.to_string())
    }

    /// What is told, and what to do about it.
    fn told(set: &[(&str, &str)]) -> Vec<(String, String)> {
        let notices = notices(lookup(set)).into_iter();
        notices
            .map(|notice| (notice.to_string(), notice.mend()))
            .collect()
    }

    #[test]
    fn nothing_set_is_nothing_read() {
        let read = read(&[]).unwrap_or_else(|e| panic!("{e}"));
        assert!(read.seeds.chain.is_none() && read.seeds.venue.is_none());
        assert_eq!(told(&[]), []);
    }

    #[test]
    fn plain_variables_work_and_are_told_of() {
        let set = [
            ("SEI_PRIVATE_KEY", KEY),
            ("CAMBRIAN_API_KEY", "k"),
            ("CAMBRIAN_SECRET_KEY", "s"),
        ];
        let read = read(&set).unwrap_or_else(|e| panic!("{e}"));
        let address = read
            .seeds
            .chain
            .as_ref()
            .map(|key| key.address().to_owned());
        assert_eq!(
            address.as_deref(),
            Some("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
        );
        assert_eq!(
            read.seeds.venue.as_ref().map(|c| c.view().secret.to_vec()),
            Some(b"s".to_vec())
        );
        assert_eq!(read.variables_of("sei"), "SEI_PRIVATE_KEY");
        assert_eq!(
            read.variables_of("venue"),
            "CAMBRIAN_API_KEY, CAMBRIAN_SECRET_KEY"
        );
        let open = notices(lookup(&set));
        let names = ["SEI_PRIVATE_KEY", "CAMBRIAN_API_KEY", "CAMBRIAN_SECRET_KEY"];
        assert_eq!(open, names.map(|name| Notice::InTheOpen { name }));
    }

    #[test]
    fn files_work_without_their_last_newline_and_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sei");
        std::fs::write(&path, format!("0x{KEY}\n")).unwrap();
        let set = [("SEI_PRIVATE_KEY_FILE", path.to_str().unwrap())];
        let read = read(&set).unwrap_or_else(|e| panic!("{e}"));
        assert!(read.seeds.chain.is_some());
        assert_eq!(read.variables_of("sei"), "SEI_PRIVATE_KEY_FILE");
        assert_eq!(told(&set), []);
    }

    #[test]
    fn a_variable_that_nothing_reads_is_told_of_and_its_value_is_not() {
        for (name, secret, _) in UNUSED {
            let [(said, mend)] = &told(&[(name, "canary")])[..] else {
                panic!("{name} is told of once")
            };
            assert!(said.starts_with(name), "{said}");
            assert!(
                said.contains("is set and not used in this version"),
                "{said}"
            );
            assert_eq!(said.contains("plain variable"), secret, "{said}");
            assert!(!format!("{said}{mend}").contains("canary"), "{said} {mend}");
            let file = format!("{name}_FILE");
            let [(said, _)] = &told(&[(&file, "/x")])[..] else {
                panic!("{file} is told of once")
            };
            assert_eq!(*said, format!("{file} is set and not used in this version"));
            assert_eq!(told(&[(name, "")]), [], "empty is not set");
        }
    }

    #[test]
    fn mistakes_name_the_variable_and_never_its_value() {
        let canary = "canary".repeat(20);
        let said = |set: &[(&str, &str)]| read(set).err().unwrap_or_default();
        let cases = [
            (
                vec![("SEI_PRIVATE_KEY", &*canary)],
                "SEI_PRIVATE_KEY: a private key has hexadecimal digits only",
            ),
            (
                vec![("SEI_PRIVATE_KEY", "")],
                "SEI_PRIVATE_KEY: the secret is empty",
            ),
            (
                vec![("SEI_PRIVATE_KEY", KEY), ("SEI_PRIVATE_KEY_FILE", "/x")],
                "SEI_PRIVATE_KEY and SEI_PRIVATE_KEY_FILE are both set: keep one of them, better the file",
            ),
            (
                vec![("CAMBRIAN_API_KEY", &*canary)],
                "CAMBRIAN_SECRET_KEY is not set, but CAMBRIAN_API_KEY is: the venue credential needs both",
            ),
            (
                vec![("CAMBRIAN_SECRET_KEY", &*canary)],
                "CAMBRIAN_API_KEY is not set, but CAMBRIAN_SECRET_KEY is: the venue credential needs both",
            ),
            (
                vec![("SEI_PRIVATE_KEY_FILE", "/nonexistent/canary")],
                "the file that SEI_PRIVATE_KEY_FILE names cannot be opened",
            ),
            (
                vec![("CAMBRIAN_API_KEY", "a b"), ("CAMBRIAN_SECRET_KEY", "s")],
                "CAMBRIAN_API_KEY, CAMBRIAN_SECRET_KEY: a venue API key is 1 to 256 visible ASCII characters",
            ),
        ];
        for (set, expected) in cases {
            assert_eq!(said(&set), expected);
        }
    }
}
