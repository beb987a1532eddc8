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
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::init::{chain, seed_variables};
use crate::control::DataDirectory;
use crate::init::{Standing, standing};
use crate::seed_variables::Notice;
use crate::settings::{Profile, Settings};
use crate::stores::master_key::{self, MasterKeyError};
use crate::stores::sqlite::JOURNAL_FILE;
use crate::stores::sqlite::journal::SqliteReader;

/// Opens every key that the journal says is in use, and forgets it again.
///
/// The hot keys are for the question to the venue.
pub(super) fn look(
    context: &Context,
    directory: &DataDirectory,
) -> (Vec<Finding>, Option<HotKeys>) {
    if standing(directory) != Standing::Taken {
        let found = "unknown: the data directory is not initialised";
        let finding = Finding::warn("keys", found, "make it with `flashguard init`");
        return (vec![finding], None);
    }
    let Ok(settings) = context.settings(Vec::new()) else {
        let found = "unknown: the settings say where the master key is, and they are not valid";
        let finding = Finding::warn("keys", found, "mend the settings first");
        return (vec![finding], None);
    };
    let mut findings = vec![master_key(&settings, directory)];
    let entropy: SharedEntropy = Arc::new(SystemEntropy);
    let vault = match open_vault(directory, &settings, &entropy) {
        Ok(vault) => vault,
        // Told of by the line above.
        Err(OpenError::MasterKey(_)) => return (findings, None),
        Err(error) => {
            let found = format!("no key can be opened: {}", chain(&error));
            let mend = "put the folder `keys` back";
            findings.push(Finding::bad("keys", Exit::Integrity, found, mend));
            return (findings, None);
        }
    };
    let journal = directory.path().join(JOURNAL_FILE);
    let read =
        read_state(&journal).and_then(|state| Ok((state, SqliteReader::open(&journal)?.meta()?)));
    let (keys, origin) = match read {
        Ok((state, meta)) => (state.keys, meta.origin),
        Err(error) => {
            let found = format!("unknown: {}", chain(&error));
            let mend = "the journal names the keys in use; flashguard audit verify looks at it";
            findings.push(Finding::bad("keys", Exit::Integrity, found, mend));
            return (findings, None);
        }
    };
    let (opened, hot) = opened(&vault, &keys, &origin);
    findings.extend(opened);
    findings.extend(variables(&vault, &keys));
    (findings, hot)
}

/// Where the master key lies, and whether it can be read there.
fn master_key(settings: &Settings, directory: &DataDirectory) -> Finding {
    let what = "master key";
    let bad = |error: &MasterKeyError| {
        let mend = "docs/operations.md, First keys, has both ways";
        Finding::bad(what, Exit::Usage, chain(error), mend)
    };
    let place = match master_key::place(directory.path(), settings) {
        Ok(place) => place,
        Err(error) => return bad(&error),
    };
    if let Err(error) = master_key::read(&place) {
        return bad(&error);
    }
    let shown = place.display();
    if !master_key::lies_in(directory.path(), &place) {
        return Finding::good(what, format!("{shown}, outside of the data directory"));
    }
    let found = format!("{shown}, beside what it protects");
    match settings.profile {
        Profile::Development => Finding::good(what, format!("{found}, as development takes it")),
        Profile::Production => Finding::warn(
            what,
            format!("{found}: accepted by keys.master_key_in_data_dir"),
            "move it, and name its place in keys.master_key_file",
        ),
    }
}

fn opened(vault: &Vault, keys: &KeysFold, origin: &str) -> (Vec<Finding>, Option<HotKeys>) {
    let mut findings = Vec::new();
    let mut bad = |exit, error: &dyn std::error::Error, mend: &str| {
        findings.push(Finding::bad("keys", exit, chain(error), mend));
    };
    let mut hot = None;
    match HotKeys::open(vault, keys) {
        Ok(opened) => hot = Some(opened),
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
    (findings, hot)
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
