//! The sealed keys: whether each opens as the journal says, and whether the seed's variables agree.

use std::sync::Arc;

use flashguard_actors::domain::clock::{SharedEntropy, SystemEntropy};
use flashguard_actors::key_manager::{
    HotKeys, KeyError, KeysFold, Vault, differing, open_journal_signer, open_token_key,
    open_verifiers,
};
use flashguard_actors::ports::journal::JournalReader;

use super::Finding;
use crate::application::{OpenError, open_vault, read_state};
use crate::cli::exit::Exit;
use crate::cli::init::{chain, seed_variables};
use crate::control::DataDirectory;
use crate::init::{Standing, standing};
use crate::seed_variables::Notice;
use crate::stores::sqlite::JOURNAL_FILE;
use crate::stores::sqlite::journal::SqliteReader;

/// Opens every key that the journal says is in use, and forgets it again.
pub(super) fn look(directory: &DataDirectory) -> Vec<Finding> {
    if standing(directory) != Standing::Taken {
        return vec![Finding::warn(
            "keys",
            "unknown: the data directory is not initialised",
            "make it with `flashguard init`",
        )];
    }
    let entropy: SharedEntropy = Arc::new(SystemEntropy);
    let vault = match open_vault(directory, &entropy) {
        Ok(vault) => vault,
        Err(error) => return vec![no_vault(&error)],
    };
    let journal = directory.path().join(JOURNAL_FILE);
    let read =
        read_state(&journal).and_then(|state| Ok((state, SqliteReader::open(&journal)?.meta()?)));
    let (keys, origin) = match read {
        Ok((state, meta)) => (state.keys, meta.origin),
        Err(error) => {
            let found = format!("unknown: {}", chain(&error));
            let mend = "the journal names the keys in use; flashguard audit verify looks at it";
            return vec![Finding::bad("keys", Exit::Integrity, found, mend)];
        }
    };
    let mut findings = opened(&vault, &keys, &origin);
    findings.extend(variables(&vault, &keys));
    findings
}

fn no_vault(error: &OpenError) -> Finding {
    let found = format!("no key can be opened: {}", chain(error));
    match error {
        OpenError::MasterKey(_) => Finding::bad(
            "keys",
            Exit::Usage,
            found,
            "put the master key back, chmod 0600",
        ),
        _ => Finding::bad("keys", Exit::Integrity, found, "put the folder `keys` back"),
    }
}

fn opened(vault: &Vault, keys: &KeysFold, origin: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut bad = |exit, error: &dyn std::error::Error, mend: &str| {
        findings.push(Finding::bad("keys", exit, chain(error), mend));
    };
    match HotKeys::open(vault, keys) {
        Ok(_) => {}
        Err(error @ KeyError::Missing { .. }) => {
            bad(
                Exit::Usage,
                &error,
                "flashguard keys import NAME --file FILE",
            );
        }
        Err(error) => {
            let mend = "put the folder `keys` back, or import the key again";
            bad(Exit::Integrity, &error, mend);
        }
    }
    let own = [
        open_token_key(vault, keys).err(),
        open_journal_signer(vault, origin).err(),
    ];
    for error in own.into_iter().flatten() {
        bad(Exit::Integrity, &error, "put the folder `keys` back");
    }
    let (_, problems) = open_verifiers(vault, keys);
    for error in problems {
        let mend = "put the folder `keys` back, or revoke that API key and make another";
        bad(Exit::Integrity, &error, mend);
    }
    if findings.is_empty() {
        let held = keys.all().filter(|(_, state)| state.current.is_some());
        let found = format!("{} in use, each opens", held.count());
        findings.push(Finding::good("keys", found));
    }
    findings
}

/// Whether the seed's variables hold what is in use. They are never used instead of it.
fn variables(vault: &Vault, keys: &KeysFold) -> Vec<Finding> {
    let given = match seed_variables() {
        Ok(given) => given,
        Err(failure) => {
            let mend = "mend it, or take it away: a start refuses it";
            return vec![Finding::bad(
                "environment",
                failure.exit,
                failure.message,
                mend,
            )];
        }
    };
    // What does not open was told of above.
    let names = differing(vault, keys, &given.seeds).unwrap_or_default();
    let notice = |key| {
        let variables = given.variables_of(key).to_owned();
        let notice = Notice::Differs { variables, key };
        Finding::warn("environment", notice.to_string(), notice.mend())
    };
    names.into_iter().map(notice).collect()
}
