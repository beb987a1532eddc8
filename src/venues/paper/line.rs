//! The TCP connection under a request, so that a fault, or a feed that nobody reads, can really be cut.
//!
//! A second descriptor of the same socket is kept beside the web server's own. Shutting the socket
//! down through it takes effect at once, below HTTP and TLS: nothing that the server writes after
//! it leaves this machine, and a TLS peer gets no farewell either.

use std::any::Any;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::rt::net::TcpStream as Accepted;
use parking_lot::Mutex;

/// One connection that was accepted.
#[derive(Debug)]
pub struct Line {
    socket: Mutex<Option<TcpStream>>,
    cut: AtomicBool,
}

impl Line {
    /// Takes hold of a connection of the web server's, plain or TLS. `None` when it is of another
    /// kind or there is no descriptor left.
    pub fn of(connection: &dyn Any) -> Option<Arc<Self>> {
        let plain = connection.downcast_ref::<Accepted>();
        let tls = connection.downcast_ref::<TlsStream<Accepted>>();
        let accepted = plain.or_else(|| tls.map(|tls| tls.get_ref().0))?;
        let socket = TcpStream::from(accepted.as_fd().try_clone_to_owned().ok()?);
        // What was written before a reset must not wait here for an acknowledgement and be lost.
        socket.set_nodelay(true).ok()?;
        Some(Arc::new(Self {
            socket: Mutex::new(Some(socket)),
            cut: AtomicBool::new(false),
        }))
    }

    /// Closes the connection in both directions, at once.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        if let Some(socket) = self.socket.lock().take() {
            // It fails only when the peer closed it before.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Makes the close of the web server, which has to follow, a reset.
    pub fn reset_when_closed(&self) {
        self.cut.store(true, Ordering::SeqCst);
        if let Some(socket) = self.socket.lock().take() {
            let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        }
    }

    /// Whether it was cut. What had arrived before can still be read, and must not be acted upon.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }
}

/// Every connection that is open.
#[derive(Debug, Default)]
pub struct Lines(Mutex<Vec<Weak<Line>>>);

impl Lines {
    /// Adds one, and forgets those that are gone.
    pub fn add(&self, line: &Arc<Line>) {
        let mut lines = self.0.lock();
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(line));
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        let lines = self.0.lock();
        lines.iter().filter(|line| line.strong_count() > 0).count()
    }

    /// Cuts all of them.
    pub fn cut_all(&self) {
        let lines = std::mem::take(&mut *self.0.lock());
        lines.iter().filter_map(Weak::upgrade).for_each(|l| l.cut());
    }
}
