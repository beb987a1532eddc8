//! `venue-sim`: the paper venue as a process of its own, with a credential that it makes itself.
//!
//! The credential is made at the first start and written to [`CREDENTIAL_FILE`], 0600, from where
//! it can be imported into the service; a file that is there already is used. The signer has to be
//! named (`--signer`): a venue that trusted whoever signs first could not show that it refuses a
//! stranger's signature.
//!
//! What goes wrong on purpose is a plan (`faults.rs`), given at the start and changed through control
//! routes (`control.rs`). The paper venue inside the service has neither.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flashguard_actors::domain::clock::{EntropyFailed, SharedClock, SharedEntropy};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use super::auth::{Enrolment, Scope};
use super::control;
use super::faults::Plan;
use super::server::{
    Listening, PaperSettings, PaperVenue, PaperVenueParts, ServeError, random_hex, serve_with,
};
use super::switch::Switch;
use super::tls::{self, TlsError};

/// Name of the file that holds the simulator's credential.
pub const CREDENTIAL_FILE: &str = "venue-credential.json";

/// The account of the simulator's credential.
const ACCOUNT: &str = "paper";

/// Most bytes of a credential file.
const CREDENTIAL_BYTES_MAX: u64 = 4_096;

/// How a simulator is started.
pub struct SimulatorParts {
    /// Where its files lie.
    pub directory: PathBuf,
    /// Where it listens.
    pub listener: TcpListener,
    /// Where its control routes listen; only loopback is taken.
    pub control: TcpListener,
    /// What goes wrong from the start.
    pub faults: Plan,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The addresses whose order signatures it accepts, besides those it was told before.
    pub signers: Vec<[u8; 20]>,
    /// How it behaves.
    pub settings: PaperSettings,
    /// Its clock.
    pub clock: SharedClock,
    /// Its randomness.
    pub entropy: SharedEntropy,
}

/// A running simulator.
pub struct Simulator {
    /// The venue.
    pub venue: PaperVenue,
    /// Its address as a URL, for `venue.url`.
    pub url: String,
    /// The control routes.
    pub control: Listening,
    /// The address of the control routes as a URL.
    pub control_url: String,
    /// Where its credential lies.
    pub credential_file: PathBuf,
    /// The certificate to trust, for `venue.ca_file`.
    pub ca_file: Option<PathBuf>,
}

/// Why a simulator cannot run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimulatorError {
    /// The directory or the credential file cannot be used.
    #[error("the simulator's files cannot be used")]
    File(#[source] std::io::Error),
    /// The credential file holds something else.
    #[error("venue-credential.json must hold api_key and secret_key, both texts and not empty")]
    Credential(#[source] Option<serde_json::Error>),
    /// There is no randomness for a credential.
    #[error("the system gave no randomness for a credential")]
    Entropy(#[from] EntropyFailed),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The venue cannot run.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credential {
    api_key: String,
    secret_key: String,
}

impl Drop for Credential {
    fn drop(&mut self) {
        self.secret_key.zeroize();
    }
}

/// Starts a simulator.
///
/// # Errors
///
/// [`SimulatorError`], when its files, certificates or listener cannot be used.
pub fn start(parts: SimulatorParts) -> Result<Simulator, SimulatorError> {
    std::fs::create_dir_all(&parts.directory).map_err(SimulatorError::File)?;
    let credential_file = parts.directory.join(CREDENTIAL_FILE);
    let credential = credential(&credential_file, &parts.entropy)?;
    let tls = parts
        .tls
        .then(|| tls::load_or_make(&parts.directory))
        .transpose()?;
    let (config, ca_file) = tls.map(|tls| (tls.config, tls.ca_file)).unzip();
    let enrolment = Enrolment {
        account: ACCOUNT.to_owned(),
        api_key: credential.api_key.clone(),
        secret: Zeroizing::new(credential.secret_key.clone()),
        signers: parts.signers,
        scopes: vec![Scope::Read, Scope::Trade],
    };
    let switch = Switch::new(parts.faults);
    let venue = PaperVenueParts {
        listener: parts.listener,
        tls: config,
        directory: parts.directory.clone(),
        settings: parts.settings,
        enrolments: vec![enrolment],
        clock: parts.clock,
        entropy: parts.entropy,
    };
    let venue = serve_with(venue, Some(Arc::clone(&switch)))?;
    let control = control::serve(parts.control, parts.directory, switch)?;
    let scheme = if ca_file.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", venue.address());
    let control_url = format!("http://{}", control.address());
    Ok(Simulator {
        venue,
        url,
        control,
        control_url,
        credential_file,
        ca_file,
    })
}

fn credential(path: &Path, entropy: &SharedEntropy) -> Result<Credential, SimulatorError> {
    if path.exists() {
        return read_credential(path);
    }
    let mut id = [0; 8];
    entropy.fill(&mut id)?;
    let credential = Credential {
        api_key: format!("paper-{}", hex::encode(id)),
        secret_key: random_hex(entropy)?,
    };
    let text = serde_json::to_vec_pretty(&credential);
    let text = Zeroizing::new(text.map_err(|error| SimulatorError::Credential(Some(error)))?);
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    let written = file.and_then(|mut file| {
        file.write_all(&text)?;
        file.sync_all()
    });
    written.map_err(SimulatorError::File)?;
    Ok(credential)
}

fn read_credential(path: &Path) -> Result<Credential, SimulatorError> {
    let length = std::fs::metadata(path).map_err(SimulatorError::File)?.len();
    if length > CREDENTIAL_BYTES_MAX {
        return Err(SimulatorError::Credential(None));
    }
    let text = Zeroizing::new(std::fs::read(path).map_err(SimulatorError::File)?);
    let credential: Credential =
        serde_json::from_slice(&text).map_err(|error| SimulatorError::Credential(Some(error)))?;
    if credential.api_key.is_empty() || credential.secret_key.is_empty() {
        return Err(SimulatorError::Credential(None));
    }
    Ok(credential)
}
