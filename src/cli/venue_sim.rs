//! `venue-sim`: the paper venue as a process of its own, in a directory of its own.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::init::{chain, system};
use super::output::{Tone, show};
use crate::telemetry;
use crate::venues::paper::faults::{PLAN_BYTES_MAX, Plan};
use crate::venues::paper::simulator::{SimulatorError, SimulatorParts, start};
use crate::venues::paper::{PaperSettings, ServeError};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where it listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where its control routes listen: a loopback address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// What goes wrong from the start: a fault plan, JSON
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Speak TLS with a certificate of its own
    #[arg(long)]
    tls: bool,
    /// An address whose order signatures are accepted, as `flashguard keys list` shows it; can be
    /// given several times
    #[arg(long = "signer", value_name = "ADDRESS", value_parser = signer)]
    signers: Vec<[u8; 20]>,
}

/// Binds a listener that an option names.
fn bind(option: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        let message = format!("{address} cannot be listened on ({})", error.kind());
        let next = format!("name a free address with {option}");
        Failure::new(Exit::Usage, "LISTEN", message).next(&next)
    })
}

/// The plan in a file, or one without faults.
fn plan(file: Option<&Path>) -> Result<Plan, Failure> {
    let Some(file) = file else {
        return Ok(Plan::default());
    };
    let wrong = |message: String| {
        let message = format!("--faults {}: {message}", file.display());
        Failure::new(Exit::Usage, "FAULTS", message).next("docs/venue-sim.md lists every fault")
    };
    let opened = File::open(file).map_err(|error| wrong(error.kind().to_string()))?;
    let mut text = Vec::new();
    // One byte more than is allowed, so that a longer file is seen to be longer.
    let most = u64::try_from(PLAN_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let read = opened.take(most).read_to_end(&mut text);
    read.map_err(|error| wrong(error.kind().to_string()))?;
    Plan::read(&text).map_err(|mistakes| wrong(mistakes.to_string()))
}

fn signer(text: &str) -> Result<[u8; 20], String> {
    let mut address = [0; 20];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut address)
        .map_err(|_| "an address is 0x and 40 hexadecimal digits".to_owned())?;
    Ok(address)
}

/// Serves until it is told to stop.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let settings = context.settings(Vec::new())?;
    telemetry::start(
        &settings.log,
        i8::try_from(context.globals.verbose).unwrap_or(i8::MAX),
    );
    let internal = |message: String| Failure::new(Exit::Internal, "VENUE_SIM", message);
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|error| internal(error.to_string()))?;
    let faults = plan(arguments.faults.as_deref())?;
    let listener = bind("--listen", arguments.listen)?;
    let control = bind("--control", arguments.control)?;
    let (clock, entropy) = system();
    let simulator = start(SimulatorParts {
        directory: context.data_path().to_owned(),
        listener,
        control,
        faults,
        tls: arguments.tls,
        signers: arguments.signers.clone(),
        settings: PaperSettings {
            volatility_bps_per_s: settings.paper.volatility_bps_per_s,
            depth_per_level: settings.paper.depth_per_level,
            chain_id: settings.venue.chain_id,
        },
        clock,
        entropy,
    })
    .map_err(|error| match error {
        SimulatorError::Serve(ServeError::ControlNotLoopback { .. }) => {
            Failure::new(Exit::Usage, "CONTROL", format!("--control: {error}"))
                .next("the control routes ask for no credential: name 127.0.0.1 or ::1")
        }
        error => internal(chain(&error)),
    })?;
    let value = json!({
        "url": simulator.url,
        "control": simulator.control_url,
        "credential_file": simulator.credential_file,
        "ca_file": simulator.ca_file,
    });
    context.output.result(&value, |page| {
        page.toned(Tone::Good, "venue", &simulator.url);
        page.pairs(
            &["control", "credential_file", "ca_file"].map(|name| (name, show(&value, name))),
        );
        page.line("import the credential with `flashguard keys import venue --file …`");
    });
    let _ = signals.forever().next();
    simulator.venue.stop();
    Ok(Exit::Done)
}
