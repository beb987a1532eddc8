//! `serve`: the service. Without any other verb this is what runs.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use flashguard_actors::key_manager::{KeyError, Seeds};
use flashguard_actors::ports::journal::StoreError;
use serde_json::json;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::init::{as_json, chain, make, seed_variables, system, take_lock};
use super::output::Tone;
use crate::application::OpenError;
use crate::control::DataDirectory;
use crate::init::{Standing, make_directory, standing};
use crate::seed_variables::notices;
use crate::settings::{Profile, Settings};
use crate::startup::{Ready, ServeError, ServeOptions, serve};
use crate::telemetry;

#[derive(Debug, Default, Args)]
pub struct Arguments {
    /// Address of the HTTP API [default: server.listen]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// The first API keys, when there is no terminal to show them on.
const INITIAL_KEYS: &str = "initial-keys.json";

/// Serves until it is told to stop.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let listen = arguments
        .listen
        .map(|address| ("server.listen", "--listen", address.to_string()));
    let settings = context.settings(listen.into_iter().collect())?;
    let louder = i8::try_from(context.globals.verbose).unwrap_or(i8::MAX);
    telemetry::start(
        &settings.log,
        if context.globals.quiet { -4 } else { louder },
    );
    let directory = directory(context, &settings)?;
    let lock = take_lock(&directory)?;
    let mut seeds = seed_variables()?;
    for notice in notices(|name| std::env::var_os(name)) {
        tracing::warn!("{notice}: {}", notice.mend());
    }
    if standing(&directory) != Standing::Taken {
        let seeds = std::mem::take(&mut seeds).seeds;
        initialise(context, &settings, &directory, &lock, seeds)?;
    }
    let (clock, entropy) = system();
    let options = ServeOptions {
        directory: Arc::new(directory),
        lock,
        settings,
        seeds,
        clock,
        entropy,
    };
    let report = serve(options, |ready| told(context, ready)).map_err(|error| failed(&error))?;
    if report.unconfirmed > 0 || report.orders_unanswered > 0 {
        context.output.note(&format!(
            "stopped; {} orders still rest, {} are in doubt: the next start finds out",
            report.unconfirmed, report.orders_unanswered
        ));
        return Ok(Exit::Unconfirmed);
    }
    Ok(Exit::Done)
}

/// The data directory. Development makes one; production names what is missing.
fn directory(context: &Context, settings: &Settings) -> Result<DataDirectory, Failure> {
    if settings.profile == Profile::Development {
        return make_directory(context.data_path()).map_err(|error| {
            Failure::new(Exit::Usage, "DATA_DIRECTORY", chain(&error))
                .next("name another one with --data-dir")
        });
    }
    let directory = context.data_directory()?;
    if standing(&directory) == Standing::Taken {
        return Ok(directory);
    }
    let message = format!("{} is not initialised", context.data_path().display());
    Err(Failure::new(Exit::Usage, "NOT_INITIALISED", message)
        .next("flashguard --profile production init --owner NAME --owner NAME"))
}

/// Development on an empty directory: makes everything, and hands out the first API keys once.
fn initialise(
    context: &Context,
    settings: &Settings,
    directory: &DataDirectory,
    lock: &crate::control::Lock,
    seeds: Seeds,
) -> Result<(), Failure> {
    let keys = make(settings, directory, lock, Vec::new(), seeds)?;
    let value = as_json(&keys);
    if std::io::stdout().is_terminal() && !context.globals.json {
        context.output.result(&value, |page| {
            page.line("These API keys are shown once; keep them now:");
            let pairs = value.as_object().into_iter().flatten();
            let pairs: Vec<(&str, String)> = pairs
                .map(|(name, key)| (name.as_str(), key.as_str().unwrap_or_default().to_owned()))
                .collect();
            page.pairs(&pairs);
            page.line("");
        });
        return Ok(());
    }
    let mut text = value.to_string();
    text.push('\n');
    directory
        .replace(INITIAL_KEYS, text.as_bytes(), 0o600)
        .map_err(|error| {
            let message = format!("{INITIAL_KEYS} cannot be written ({})", error.kind());
            Failure::new(Exit::Internal, "INITIAL_KEYS", message)
                .next("make new keys with `flashguard apikeys create`")
        })?;
    let path = directory.path().join(INITIAL_KEYS);
    let note = format!(
        "the first API keys are in {}: keep them, and remove it",
        path.display()
    );
    context.output.note(&note);
    Ok(())
}

fn told(context: &Context, ready: &Ready) {
    let value = json!(ready);
    context.output.result(&value, |page| {
        page.toned(
            Tone::Good,
            "flashguard",
            concat!(env!("CARGO_PKG_VERSION"), " is up"),
        );
        page.pairs(&[
            ("API", format!("http://{}/api/v1", ready.listen)),
            ("control", format!("http://{}", ready.control)),
            (
                "venue",
                ready
                    .venue
                    .clone()
                    .unwrap_or_else(|| "in memory".to_owned()),
            ),
        ]);
        page.line("stop everything with `flashguard halt --reason …`; end this with Ctrl-C");
    });
}

fn failed(error: &ServeError) -> Failure {
    let (exit, code, next) = match error {
        ServeError::Listen { .. } => (
            Exit::Usage,
            "LISTEN",
            "another program has it, or it is not an address of this machine",
        ),
        ServeError::Open(OpenError::PaperListen { .. }) => (
            Exit::Usage,
            "LISTEN",
            "set paper.listen to a free address, or to port 0",
        ),
        ServeError::Open(OpenError::NoVenueUrl | OpenError::Connect(_)) => {
            (Exit::Usage, "VENUE", "look at venue.url and venue.ca_file")
        }
        ServeError::Open(OpenError::MasterKey(_)) => (
            Exit::Usage,
            "MASTER_KEY",
            "put the master key where keys.master_key_file says; without it no key can be opened",
        ),
        ServeError::Open(OpenError::Journal(
            StoreError::Corrupt { .. } | StoreError::Newer { .. },
        )) => (
            Exit::Integrity,
            "INTEGRITY",
            "flashguard audit verify says what differs",
        ),
        ServeError::Open(OpenError::Key(KeyError::Missing { .. })) => (
            Exit::Usage,
            "KEY_MISSING",
            "flashguard keys import NAME --file FILE, or from standard input",
        ),
        ServeError::Open(OpenError::Key(_) | OpenError::ServiceKey(_)) => (
            Exit::Integrity,
            "KEYS",
            "put the folder `keys` back, or import the key again",
        ),
        _ => (
            Exit::Internal,
            "START",
            "flashguard doctor looks at every component",
        ),
    };
    Failure::new(exit, code, chain(error)).next(next)
}
