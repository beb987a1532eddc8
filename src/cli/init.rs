//! `init`: makes a data directory, whole or not at all, and shows its API keys once.

use std::sync::Arc;

use clap::Args;
use flashguard_actors::domain::clock::{SharedClock, SharedEntropy, SystemClock, SystemEntropy};
use flashguard_actors::domain::identity::Owner;
use flashguard_actors::key_manager::Seeds;
use serde_json::{Map, Value};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::Tone;
use crate::control::{DataDirectory, Lock, LockError};
use crate::init::{InitError, InitKeys, InitRequest, init, make_directory};
use crate::seed_variables::{self, SeedVariables};
use crate::settings::Settings;
use crate::stores::master_key;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A person who gets an admin key; twice for two, which production needs
    #[arg(long = "owner", value_name = "NAME", value_parser = owner)]
    owners: Vec<Owner>,
}

/// Reads the name of a person.
pub(super) fn owner(text: &str) -> Result<Owner, String> {
    Owner::try_from(text.to_owned()).map_err(|error| error.to_string())
}

/// Makes the data directory.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let directory = make_directory(context.data_path()).map_err(|error| failed(&error))?;
    let lock = take_lock(&directory)?;
    let seeds = seed_variables()?.seeds;
    for notice in seed_variables::notices(|name| std::env::var_os(name)) {
        let note = format!("{notice}: {}", notice.mend());
        context.output.note(&note);
    }
    let settings = context.settings_for_init()?;
    let owners = arguments.owners.clone();
    let keys = make(&settings, &directory, &lock, owners, seeds)?;
    context.output.result(&as_json(&keys), |page| {
        page.toned(
            Tone::Good,
            "initialised",
            &context.data_path().display().to_string(),
        );
        page.line("");
        page.line("These API keys are shown once; keep them now:");
        page.pairs(&named(&keys).map(|(name, key)| (name, key.unwrap_or_default())));
        page.line("");
        page.line("The journal is verified with this key; keep a copy elsewhere:");
        page.line(&keys.verifier_key);
        if keys.admin2.is_none() {
            page.line("");
            page.line("A halt ends only when two people agree. Make the second one's key with:");
            page.line("  flashguard apikeys create --role admin --owner NAME");
        }
    });
    Ok(Exit::Done)
}

/// Initialises `directory` for `owners` with keys from outside.
pub(super) fn make(
    settings: &Settings,
    directory: &DataDirectory,
    lock: &Lock,
    owners: Vec<Owner>,
    seeds: Seeds,
) -> Result<InitKeys, Failure> {
    let (clock, entropy) = system();
    let place = master_key::place(directory.path(), settings);
    let request = InitRequest {
        profile: settings.profile,
        owners,
        master_key: Some(place.map_err(|error| failed(&error.into()))?),
        seeds,
    };
    init(directory, lock, &request, &clock, &entropy).map_err(|error| failed(&error))
}

/// What the seed's variables hold.
pub(super) fn seed_variables() -> Result<SeedVariables, Failure> {
    let (_, entropy) = system();
    seed_variables::read(|name| std::env::var_os(name), &*entropy).map_err(|error| {
        Failure::new(Exit::Usage, "SEED_VARIABLE", chain(&error)).next("mend it, or take it away")
    })
}

/// The lock of a data directory; refused, exit 3 with the pid of whoever has it.
pub(super) fn take_lock(directory: &DataDirectory) -> Result<Lock, Failure> {
    Lock::take(directory).map_err(|error| match error {
        LockError::Held { .. } => {
            Failure::new(Exit::Refused, "LOCKED", error.to_string()).next("stop it first")
        }
        LockError::Unusable(ref cause) => {
            let message = format!("{error} ({})", cause.kind());
            Failure::new(Exit::Internal, "LOCK", message)
        }
    })
}

/// Time and randomness of this machine.
pub(super) fn system() -> (SharedClock, SharedEntropy) {
    (Arc::new(SystemClock), Arc::new(SystemEntropy))
}

fn named(keys: &InitKeys) -> [(&'static str, Option<String>); 4] {
    let text = |key: &flashguard_actors::auth::ApiKey| {
        String::from_utf8_lossy(key.to_text().expose()).into_owned()
    };
    [
        ("admin", Some(text(&keys.admin))),
        ("admin2", keys.admin2.as_ref().map(text)),
        ("readonly", Some(text(&keys.readonly))),
        ("system", Some(text(&keys.system))),
    ]
}

/// The keys as the contract's JSON has them.
pub(super) fn as_json(keys: &InitKeys) -> Value {
    let fields: Map<String, Value> = named(keys)
        .into_iter()
        .filter_map(|(name, key)| Some((name.to_owned(), key?.into())))
        .collect();
    Value::Object(fields)
}

fn failed(error: &InitError) -> Failure {
    let (exit, code, next) = match error {
        InitError::Taken { .. } => (
            Exit::Refused,
            "TAKEN",
            "nothing was changed; name another directory with --data-dir",
        ),
        InitError::TwoOwners | InitError::TooManyOwners => (
            Exit::Usage,
            "OWNERS",
            "flashguard --profile production init --owner NAME --owner NAME",
        ),
        InitError::MasterKey(_) => (
            Exit::Usage,
            "MASTER_KEY",
            "look at keys.master_key_file and the file it names",
        ),
        InitError::Directory { .. } => (
            Exit::Usage,
            "DATA_DIRECTORY",
            "look who owns the directory above, and its free space",
        ),
        _ => (Exit::Internal, "INIT", "nothing was made; try again"),
    };
    Failure::new(exit, code, chain(error)).next(next)
}

/// An error with its causes, for somebody with access to this machine.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}
