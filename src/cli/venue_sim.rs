//! `venue-sim`: the paper venue as a process of its own, in a directory of its own.

use std::net::{SocketAddr, TcpListener};

use clap::Args;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::init::{chain, system};
use super::output::{Tone, show};
use crate::telemetry;
use crate::venues::paper::PaperSettings;
use crate::venues::paper::simulator::{SimulatorParts, start};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where it listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Speak TLS with a certificate of its own
    #[arg(long)]
    tls: bool,
    /// An address whose order signatures are accepted, as `flashguard keys list` shows it; can be
    /// given several times
    #[arg(long = "signer", value_name = "ADDRESS", value_parser = signer)]
    signers: Vec<[u8; 20]>,
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
    let listener = TcpListener::bind(arguments.listen).map_err(|error| {
        let message = format!(
            "{} cannot be listened on ({})",
            arguments.listen,
            error.kind()
        );
        Failure::new(Exit::Usage, "LISTEN", message).next("name a free address with --listen")
    })?;
    let (clock, entropy) = system();
    let simulator = start(SimulatorParts {
        directory: context.data_path().to_owned(),
        listener,
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
    .map_err(|error| internal(chain(&error)))?;
    let value = json!({
        "url": simulator.url,
        "credential_file": simulator.credential_file,
        "ca_file": simulator.ca_file,
    });
    context.output.result(&value, |page| {
        page.toned(Tone::Good, "venue", &simulator.url);
        page.pairs(&["credential_file", "ca_file"].map(|name| (name, show(&value, name))));
        page.line("import the credential with `flashguard keys import venue --file …`");
    });
    let _ = signals.forever().next();
    simulator.venue.stop();
    Ok(Exit::Done)
}
