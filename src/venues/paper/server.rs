//! Runs the paper venue: its store, its desk and its HTTP listener, each on a thread of its own.
//!
//! The same function serves the listener inside the service and the one of `venue-sim`; only the
//! latter can be given faults.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use flashguard_actors::domain::clock::{EntropyFailed, SharedClock, SharedEntropy};
use rustls::ServerConfig;
use thiserror::Error;
use zeroize::Zeroizing;

use super::auth::{Enrolment, Keys};
use super::desk;
use super::exchange::{Behaviour, Exchange};
use super::http::{Door, configure};
use super::line::Line;
use super::record::{self, Accepted};
use super::store::{Store, StoreError};
use super::switch::Switch;
use super::verify::domain;

/// Most connections at one time.
const CONNECTIONS_MAX: usize = 1_024;

/// How long an idle connection stays open. Longer than any client here keeps one unused, so that it
/// is not the venue that closes a connection under an order.
const KEEP_ALIVE_S: u64 = 75;

/// Largest volatility that is taken, in basis points a second.
pub const VOLATILITY_BPS_PER_S_MAX: u32 = 1_000;

/// How the paper venue behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaperSettings {
    /// Standard deviation of the reference price after one second, in basis points. 0
    /// stands still; at most [`VOLATILITY_BPS_PER_S_MAX`].
    pub volatility_bps_per_s: u32,
    /// What each level of the reference book offers, in whole units of the base currency, until the
    /// reference moves. 0 is unlimited.
    pub depth_per_level: u64,
    /// Chain id of the domain of order signatures; 1329 is Sei.
    pub chain_id: u64,
}

/// Everything that a paper venue is made of.
pub struct PaperVenueParts {
    /// Where it listens; bound by the caller, so that the address is known.
    pub listener: TcpListener,
    /// TLS, or plain HTTP for loopback.
    pub tls: Option<ServerConfig>,
    /// Where `paper.db` lies.
    pub directory: PathBuf,
    /// How it behaves.
    pub settings: PaperSettings,
    /// Credentials to let in; those let in before stay.
    pub enrolments: Vec<Enrolment>,
    /// The venue's clock.
    pub clock: SharedClock,
    /// Seeds the reference's walk.
    pub entropy: SharedEntropy,
}

/// Why a paper venue cannot run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A setting is out of its range.
    #[error("paper.volatility_bps_per_s is {value}; 0 to {VOLATILITY_BPS_PER_S_MAX} is allowed")]
    Volatility {
        /// The value given.
        value: u32,
    },
    /// Its memory cannot be used.
    #[error("the paper venue's memory cannot be used")]
    Store(#[from] StoreError),
    /// There is no randomness.
    #[error("the paper venue has no randomness for its walk")]
    Entropy(#[from] EntropyFailed),
    /// The control routes would be reachable from elsewhere.
    #[error("the control address {address} is not a loopback address")]
    ControlNotLoopback {
        /// The address given.
        address: SocketAddr,
    },
    /// The listener or a thread cannot be used.
    #[error("the paper venue cannot listen")]
    Listen(#[source] std::io::Error),
}

/// A running paper venue. Stops when dropped.
pub struct PaperVenue {
    listening: Listening,
    directory: PathBuf,
    desk: Option<JoinHandle<()>>,
}

/// A running HTTP listener on a thread of its own. Stops when dropped.
pub struct Listening {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

/// Starts a paper venue; it takes orders when this returns.
///
/// # Errors
///
/// [`ServeError`], when a setting, the store or the listener cannot be used.
pub fn serve(parts: PaperVenueParts) -> Result<PaperVenue, ServeError> {
    serve_with(parts, None)
}

/// As [`serve`], with what goes wrong on purpose.
///
/// # Errors
///
/// [`ServeError`], when a setting, the store or the listener cannot be used.
pub(super) fn serve_with(
    parts: PaperVenueParts,
    faults: Option<Arc<Switch>>,
) -> Result<PaperVenue, ServeError> {
    let PaperVenueParts {
        listener,
        tls,
        directory,
        settings,
        enrolments,
        clock,
        entropy,
    } = parts;
    let value = settings.volatility_bps_per_s;
    if value > VOLATILITY_BPS_PER_S_MAX {
        return Err(ServeError::Volatility { value });
    }
    let mut store = Store::open(&directory)?;
    enrolments
        .iter()
        .try_for_each(|enrolment| store.enrol(enrolment))?;
    let keys = Arc::new(Keys::new(
        store.keys()?,
        Zeroizing::new(random_hex(&entropy)?),
    ));
    let mut seed = [0; 8];
    entropy.fill(&mut seed)?;
    let behaviour = Behaviour {
        volatility_bps_per_s: value,
        depth_per_level: settings.depth_per_level,
        seed: u64::from_le_bytes(seed),
    };
    let now_ms = clock.now().as_millis();
    let (exchange, changes) = Exchange::restore(store.remembered()?, behaviour, now_ms);
    store.write(&changes)?;
    store.commit(exchange.references())?;
    let chain = domain(settings.chain_id);
    let (desk, counter) = desk::open(exchange, store, Arc::clone(&clock), chain, value > 0);
    let work = move || {
        if let Err(error) = desk.run() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the paper venue stopped: it could not store what it did"
            );
        }
    };
    let desk_thread = spawn("paper-desk", work)?;
    let door = Door {
        keys,
        counter,
        clock,
        faults: faults.clone(),
    };
    let listening = listen("paper-http", listener, tls, faults, configure(door))?;
    Ok(PaperVenue {
        listening,
        directory,
        desk: Some(desk_thread),
    })
}

impl PaperVenue {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// The venue's own log of what it accepted: at most `limit` lines above `after`, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the log cannot be read.
    pub fn accepted(&self, after: u64, limit: u32) -> Result<Vec<Accepted>, StoreError> {
        record::accepted(&self.directory, after, limit)
    }

    /// Stops listening, finishes what is at the desk, and waits for both.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        // The desk ends when nobody is left who could ask it.
        self.listening.halt();
        join(&mut self.desk);
    }
}

impl Drop for PaperVenue {
    fn drop(&mut self) {
        self.halt();
    }
}

impl Listening {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn halt(&mut self) {
        // The command is sent at once; the future only waits for it, as does the join.
        drop(self.handle.stop(false));
        join(&mut self.thread);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.halt();
    }
}

fn join(thread: &mut Option<JoinHandle<()>>) {
    if let Some(thread) = thread.take()
        && thread.join().is_err()
    {
        tracing::error!("a thread of the paper venue panicked");
    }
}

/// Starts an HTTP server on a thread and a runtime of its own.
pub(super) fn listen(
    name: &str,
    listener: TcpListener,
    tls: Option<ServerConfig>,
    faults: Option<Arc<Switch>>,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> Result<Listening, ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listen)?;
    let (sender, started) = mpsc::channel();
    let work = move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(move || App::new().configure(configure.clone()))
                .workers(1)
                .max_connections(CONNECTIONS_MAX)
                .keep_alive(Duration::from_secs(KEEP_ALIVE_S))
                .disable_signals();
            // A caller that hangs up frees a call that a fault holds.
            let server = server.h1_allow_half_closed(faults.is_none());
            let server = server.on_connect(move |connection, extensions| {
                if let Some(line) = Line::of(connection) {
                    if let Some(faults) = &faults {
                        faults.connected(&line);
                    }
                    extensions.insert(line);
                }
            });
            let bound = match tls {
                Some(tls) => server.listen_rustls_0_23(listener, tls),
                None => server.listen(listener),
            };
            let server = match bound {
                Ok(server) => server.run(),
                Err(error) => return drop(sender.send(Err(error))),
            };
            if sender.send(Ok(server.handle())).is_ok()
                && let Err(error) = server.await
            {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the paper venue's listener failed");
            }
        });
    };
    let thread = spawn(name, work)?;
    let gone = || std::io::Error::other("the listener's thread ended");
    let started = started.recv().map_err(|_| ServeError::Listen(gone()))?;
    Ok(Listening {
        address,
        handle: started.map_err(ServeError::Listen)?,
        thread: Some(thread),
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, ServeError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map_err(ServeError::Listen)
}

/// 32 random bytes in hex.
pub fn random_hex(entropy: &SharedEntropy) -> Result<String, EntropyFailed> {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(bytes.as_mut_slice())?;
    Ok(hex::encode(*bytes))
}
