//! The two HTTP listeners, each with threads and runtimes of its own, so that a busy API cannot
//! delay the control routes (K5).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};

use super::envelope::{HEADERS_TIMEOUT, envelope};
use super::lane::WorkerLane;
use super::rate;
use super::routes::{Listener, register};
use super::shared::Shared;

/// Threads that serve the main listener at most.
const MAIN_WORKERS_MAX: usize = 8;

/// Threads of each worker that read the journal and its views.
const BLOCKING_THREADS_MAX: usize = 4;

/// Open connections per worker; more wait in the kernel's queue.
const CONNECTIONS_PER_WORKER_MAX: usize = 4_096;

/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a stop waits for requests that are being answered, in seconds.
const STOP_WAIT_S: u64 = 5;

/// One running listener.
pub struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    thread: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Binds `address` and serves the routes of `listener` there.
    ///
    /// # Errors
    ///
    /// The kernel's, when the address cannot be had.
    pub fn start(
        listener: Listener,
        address: SocketAddr,
        shared: web::Data<Shared>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        let address = socket.local_addr()?;
        let (tell, told) = mpsc::sync_channel(1);
        let name = match listener {
            Listener::Main => "http",
            Listener::Control => "http-control",
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                actix_rt::System::new().block_on(async move {
                    let server = build(listener, socket, shared)?;
                    let _ = tell.send(server.handle());
                    server.await
                })
            })?;
        match told.recv() {
            Ok(handle) => Ok(Self {
                address,
                handle,
                thread,
            }),
            Err(_) => Err(match thread.join() {
                Ok(Err(error)) => error,
                _ => io::Error::other("the listener's thread ended"),
            }),
        }
    }

    /// The address it really has.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new connection, waits for what is being answered (bounded), and ends.
    ///
    /// # Errors
    ///
    /// The server's own, when it did not end in order.
    pub fn stop(self) -> io::Result<()> {
        // The command is queued when `stop` is called; its future only waits for the end.
        drop(self.handle.stop(true));
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the listener's thread panicked")))
    }
}

fn build(
    listener: Listener,
    socket: TcpListener,
    shared: web::Data<Shared>,
) -> io::Result<actix_web::dev::Server> {
    let workers = match listener {
        Listener::Main => std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(MAIN_WORKERS_MAX),
        Listener::Control => 1,
    };
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .app_data(WorkerLane::default())
            .configure(|config| register(config, listener))
            .wrap(from_fn(rate::limit))
            .wrap(from_fn(envelope))
    });
    Ok(server
        .workers(workers)
        .worker_max_blocking_threads(BLOCKING_THREADS_MAX)
        .max_connections(CONNECTIONS_PER_WORKER_MAX)
        .client_request_timeout(HEADERS_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(STOP_WAIT_S)
        .disable_signals()
        .listen(socket)?
        .run())
}

#[cfg(test)]
mod tests;
