//! The command line: one file per verb.
//!
//! *Remote* verbs talk HTTP with a credential, *local* ones talk to the control socket, *reading*
//! ones open the store. Every verb ends with one of the contract's exit codes; with `--json` stdout
//! holds one JSON value and nothing else.

mod apikeys;
mod audit;
mod config;
mod context;
mod doctor;
mod exit;
mod halt;
mod init;
mod keys;
mod lift;
mod local;
mod orders;
mod output;
mod pause;
mod reduce_only;
mod remote;
mod resume;
mod serve;
mod status;
mod venue_sim;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::settings::Profile;
use context::Context;
pub use exit::{Exit, Failure};

/// Holds the keys of a trading system, decides what may be signed, records it first, and stops
/// everything for certain.
#[derive(Debug, Parser)]
#[command(
    name = "flashguard",
    version,
    max_term_width = 100,
    propagate_version = true
)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
struct Globals {
    /// Settings file [default: flashguard.toml in the data directory, when it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "FLASHGUARD_DATA_DIR",
        default_value = "./data"
    )]
    data_dir: PathBuf,
    /// What kind of place this is
    #[arg(long, global = true, value_enum, default_value_t = Profile::Development)]
    profile: Profile,
    /// Address of the service, for verbs that talk to it over HTTP [default: from run.json]
    #[arg(long, global = true, value_name = "URL", env = "FLASHGUARD_URL")]
    url: Option<String>,
    /// One JSON value on stdout and nothing else there
    #[arg(long, global = true)]
    json: bool,
    /// Say more on stderr
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    quiet: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the service (also what happens without a verb)
    Serve(serve::Arguments),
    /// Make a data directory, and show its API keys once
    Init(init::Arguments),
    /// The state of trading
    Status(status::Arguments),
    /// Refuse new orders until `resume`
    Pause(pause::Arguments),
    /// Let in only orders that reduce a position, until `resume`
    ReduceOnly(reduce_only::Arguments),
    /// Take back what operators hold: pause and reduce-only; never ends a halt
    Resume(resume::Arguments),
    /// Stop everything, without a credential, with or without a running service
    Halt(halt::Arguments),
    /// Agree to end a halt; it ends when enough owners agreed
    Lift(lift::Arguments),
    /// Place, list, show and cancel orders
    Orders(orders::Arguments),
    /// List keys, and take one in from outside
    Keys(keys::Arguments),
    /// Make, list and take away API keys
    Apikeys(apikeys::Arguments),
    /// Read the journal, and prove it
    Audit(audit::Arguments),
    /// Show every setting and where it was set, and check them all
    Config(config::Arguments),
    /// Look at every component, and say how to mend what is wrong
    Doctor(doctor::Arguments),
    /// The paper venue as a process of its own
    VenueSim(venue_sim::Arguments),
}

/// Reads the arguments, does what they ask, and says how it ended.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let context = Context::new(cli.globals);
    let verb = cli
        .verb
        .unwrap_or_else(|| Verb::Serve(serve::Arguments::default()));
    let ended = match verb {
        Verb::Serve(arguments) => serve::run(&context, &arguments),
        Verb::Init(arguments) => init::run(&context, &arguments),
        Verb::Status(arguments) => status::run(&context, &arguments),
        Verb::Pause(arguments) => pause::run(&context, &arguments),
        Verb::ReduceOnly(arguments) => reduce_only::run(&context, &arguments),
        Verb::Resume(arguments) => resume::run(&context, &arguments),
        Verb::Halt(arguments) => halt::run(&context, &arguments),
        Verb::Lift(arguments) => lift::run(&context, &arguments),
        Verb::Orders(arguments) => orders::run(&context, &arguments),
        Verb::Keys(arguments) => keys::run(&context, &arguments),
        Verb::Apikeys(arguments) => apikeys::run(&context, &arguments),
        Verb::Audit(arguments) => audit::run(&context, &arguments),
        Verb::VenueSim(arguments) => venue_sim::run(&context, &arguments),
        Verb::Config(arguments) => config::run(&context, &arguments),
        Verb::Doctor(arguments) => doctor::run(&context, &arguments),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            context.output.failure(&failure);
            failure.exit.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
