//! The service: the [`Application`] with its doors to the outside (two HTTP listeners, the control
//! socket, signals, `run.json`), opened in this order and closed in reverse.
//!
//! Control opens once the latch's state is known; trading opens by itself when the venue was read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix_web::web::Data;
use flashguard_actors::domain::clock::{SharedClock, SharedEntropy};
use flashguard_actors::domain::identity::Principal;
use flashguard_actors::emergency::halt::{HaltOrder, Trigger};
use flashguard_actors::system::{Handle, StopReport};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::administration::{Administration, AdministrationError};
use crate::application::{Application, OpenError, Options};
use crate::control::service::ServiceControl;
use crate::control::{ControlSocket, DataDirectory, Lock, RunFile};
use crate::seed_variables::SeedVariables;
use crate::settings::Settings;
use crate::web::{Listener, RequestRate, Server, Shared};

/// What a service is made of.
pub struct ServeOptions {
    /// An initialised data directory.
    pub directory: Arc<DataDirectory>,
    /// Held as long as the service runs.
    pub lock: Lock,
    /// All settings, valid.
    pub settings: Settings,
    /// Keys from outside, to be taken in once.
    pub seeds: SeedVariables,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
}

/// Where a running service is reached. Written to `run.json`, and told when it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// The HTTP API.
    pub listen: SocketAddr,
    /// The control listener.
    pub control: SocketAddr,
    /// The venue's base address.
    pub venue: Option<String>,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The application did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A listener cannot be had.
    #[error("{setting}: {address} cannot be listened on")]
    Listen {
        /// Which setting names it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The control socket cannot be had.
    #[error("the control socket cannot be opened in the data directory")]
    ControlSocket(#[source] io::Error),
    /// `run.json` cannot be written.
    #[error("run.json cannot be written in the data directory")]
    RunFile(#[source] io::Error),
    /// Keys cannot be managed.
    #[error(transparent)]
    Administration(#[from] AdministrationError),
    /// A thread, a runtime or the signal handlers cannot be had.
    #[error("the system gives no {what}")]
    System {
        /// What.
        what: &'static str,
        /// Its words.
        #[source]
        source: io::Error,
    },
}

/// Serves until SIGTERM or SIGINT; `ready` is called once when the doors are open.
///
/// # Errors
///
/// [`ServeError`] names what is missing or in the way; nothing runs then.
pub fn serve(options: ServeOptions, ready: impl FnOnce(&Ready)) -> Result<StopReport, ServeError> {
    let no = |what| move |source| ServeError::System { what, source };
    // First, so that a signal that comes during the start is not lost, and does not end the process.
    let signals = Signals::new([SIGTERM, SIGINT, SIGUSR1]).map_err(no("signals"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(no("runtime"))?;
    let ServeOptions {
        directory,
        lock,
        settings,
        seeds,
        clock,
        entropy,
    } = options;
    let application = runtime.block_on(Application::open(Options {
        directory,
        lock,
        settings,
        seeds,
        clock,
        entropy,
    }))?;
    match Doors::open(&application, signals) {
        Ok(doors) => {
            ready(&doors.ready);
            doors.wait();
            // Nothing new comes in; what is on its way is answered first.
            application.handle().floor().door.close();
            doors.close(application.directory());
            Ok(runtime.block_on(application.stop()))
        }
        Err(error) => {
            runtime.block_on(application.stop());
            Err(error)
        }
    }
}

/// What is open to the outside.
struct Doors {
    ready: Ready,
    main: Server,
    control: Server,
    socket: ControlSocket,
    stop: mpsc::Receiver<()>,
    signals: signal_hook::iterator::Handle,
    signal_thread: JoinHandle<()>,
}

impl Doors {
    fn open(application: &Application, mut signals: Signals) -> Result<Self, ServeError> {
        let no = |what| move |source| ServeError::System { what, source };
        let handle = application.handle();
        let (tell_stop, stop) = mpsc::sync_channel(1);
        let (system, close) = (handle.clone(), signals.handle());
        let signal_thread = std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    if signal == SIGUSR1 {
                        halt_by_signal(&system);
                    } else {
                        let _ = tell_stop.try_send(());
                    }
                }
            })
            .map_err(no("thread"))?;
        let administration = Administration::of_service(application)?;
        let socket = ControlSocket::open(
            application.directory().clone(),
            Arc::new(ServiceControl::new(handle, administration)),
        )
        .map_err(ServeError::ControlSocket)?;
        let server = &application.settings().server;
        let control = listener(
            application,
            Listener::Control,
            "server.control_listen",
            server.control_listen,
        )?;
        let main = listener(application, Listener::Main, "server.listen", server.listen)?;
        let ready = Ready {
            listen: main.address(),
            control: control.address(),
            venue: venue_of(application),
        };
        let run = RunFile {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: ready.listen,
            control: ready.control,
            venue: ready.venue.clone(),
        };
        run.write(application.directory())
            .map_err(ServeError::RunFile)?;
        Ok(Self {
            ready,
            main,
            control,
            socket,
            stop,
            signals: close,
            signal_thread,
        })
    }

    /// Waits to be told to stop.
    fn wait(&self) {
        // An end of the other side is a wish to stop too: the signals' thread is gone.
        let _ = self.stop.recv();
    }

    fn close(self, directory: &DataDirectory) {
        for server in [self.main, self.control] {
            if let Err(error) = server.stop() {
                tracing::warn!(%error, "a listener did not end in order");
            }
        }
        drop(self.socket);
        self.signals.close();
        let _ = self.signal_thread.join();
        if let Err(error) = RunFile::remove(directory) {
            tracing::warn!(%error, "run.json could not be removed");
        }
    }
}

fn listener(
    application: &Application,
    which: Listener,
    setting: &'static str,
    address: SocketAddr,
) -> Result<Server, ServeError> {
    let settings = application.settings();
    let clock = application.clock().clone();
    let shared = Shared {
        system: application.handle(),
        access: application.access().clone(),
        keys: application.staff().keys.clone(),
        started: clock.now(),
        clock,
        entropy: application.entropy().clone(),
        settings: settings.print().into(),
        profile: settings.profile,
        request_rate: RequestRate::per_second(settings.server.request_rate_per_s),
    };
    Server::start(which, address, Data::new(shared)).map_err(|source| ServeError::Listen {
        setting,
        address,
        source,
    })
}

fn venue_of(application: &Application) -> Option<String> {
    let paper = application
        .paper_address()
        .map(|address| format!("http://{address}"));
    let url = application.settings().venue.url.as_ref();
    paper.or_else(|| url.map(|url| url.as_str().to_owned()))
}

fn halt_by_signal(system: &Handle) {
    system.halt_now(&HaltOrder {
        trigger: Trigger::Signal,
        by: Principal::local(rustix::process::geteuid().as_raw()),
        reason: "SIGUSR1".to_owned(),
    });
}
