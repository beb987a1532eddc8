//! The seed's key variables: `SEI_PRIVATE_KEY`, `CAMBRIAN_API_KEY`, `CAMBRIAN_SECRET_KEY`, each also
//! as `<NAME>_FILE`, the recommended form.
//!
//! Read at `init` and at every start, taken in once (`key_manager::import_once`). A secret in a plain
//! variable can be seen by whoever may look at the process, so it is told of; its value never is.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;

use flashguard_actors::domain::clock::Entropy;
use flashguard_actors::domain::secret::{NotASecretText, Redacted};
use flashguard_actors::key_manager::{
    ChainKey, NotAChainKey, NotACredential, Seeds, VenueCredential,
};

const CHAIN_KEY: &str = "SEI_PRIVATE_KEY";
const VENUE_API_KEY: &str = "CAMBRIAN_API_KEY";
const VENUE_SECRET: &str = "CAMBRIAN_SECRET_KEY";

/// What the variables hold.
#[derive(Default)]
pub struct SeedVariables {
    /// The keys themselves.
    pub seeds: Seeds,
    /// Variables that hold a secret in the open, where the `_FILE` form would not: for the start and
    /// `doctor` to tell.
    pub in_the_open: Vec<&'static str>,
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
    let mut in_the_open = Vec::new();
    let mut read = |name| secret(&lookup, name, &mut in_the_open);
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
    Ok(SeedVariables {
        seeds: Seeds { chain, venue },
        in_the_open,
    })
}

fn secret(
    lookup: &impl Fn(&str) -> Option<OsString>,
    name: &'static str,
    in_the_open: &mut Vec<&'static str>,
) -> Result<Option<Redacted>, SeedVariableError> {
    let not_a_secret = |source| SeedVariableError::NotASecret { name, source };
    let read = match (lookup(name), lookup(&format!("{name}_FILE"))) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(SeedVariableError::BothForms { name }),
        (Some(value), None) => {
            in_the_open.push(name);
            Redacted::taken_from(value.into_encoded_bytes())
        }
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

    fn read(set: &[(&str, &str)]) -> Result<SeedVariables, String> {
        let lookup = |name: &str| {
            let found = set.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| OsString::from(value))
        };
        super::read(lookup, &SystemEntropy).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_is_nothing_read() {
        let read = read(&[]).unwrap_or_else(|e| panic!("{e}"));
        assert!(read.seeds.chain.is_none() && read.seeds.venue.is_none());
        assert!(read.in_the_open.is_empty());
    }

    #[test]
    fn plain_variables_work_and_are_told_of() {
        let set = [
            ("SEI_PRIVATE_KEY", KEY),
            ("CAMBRIAN_API_KEY", "k"),
            ("CAMBRIAN_SECRET_KEY", "s"),
        ];
        let read = read(&set).unwrap_or_else(|e| panic!("{e}"));
        let address = read.seeds.chain.map(|key| key.address().to_owned());
        assert_eq!(
            address.as_deref(),
            Some("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
        );
        assert_eq!(
            read.seeds.venue.map(|c| c.view().secret.to_vec()),
            Some(b"s".to_vec())
        );
        assert_eq!(
            read.in_the_open,
            ["SEI_PRIVATE_KEY", "CAMBRIAN_API_KEY", "CAMBRIAN_SECRET_KEY"]
        );
    }

    #[test]
    fn files_work_without_their_last_newline_and_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sei");
        std::fs::write(&path, format!("0x{KEY}\n")).unwrap();
        let read = read(&[("SEI_PRIVATE_KEY_FILE", path.to_str().unwrap())]);
        let read = read.unwrap_or_else(|e| panic!("{e}"));
        assert!(read.seeds.chain.is_some());
        assert!(read.in_the_open.is_empty());
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
