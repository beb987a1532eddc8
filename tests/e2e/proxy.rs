//! A TCP proxy before a venue: it passes bytes on, or takes connections and says nothing on them.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// A running proxy. Its threads end with the test's process.
pub struct Proxy {
    address: SocketAddr,
    stalled: Arc<AtomicBool>,
    kept: Arc<AtomicUsize>,
}

impl Proxy {
    /// One that passes on to `venue`.
    pub fn before(venue: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            stalled: Arc::default(),
            kept: Arc::default(),
        };
        let (stalled, kept) = (this.stalled.clone(), this.kept.clone());
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if stalled.load(Ordering::SeqCst) {
                    silent.push(stream);
                    kept.fetch_add(1, Ordering::SeqCst);
                } else if let Ok(there) = TcpStream::connect(venue) {
                    pass_on(&stream, &there);
                }
            }
        });
        this
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that come from now on are taken, and nothing is said or passed on.
    pub fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::SeqCst);
    }

    /// How many connections were taken and left in silence.
    pub fn silent(&self) -> usize {
        self.kept.load(Ordering::SeqCst)
    }
}

fn pass_on(here: &TcpStream, there: &TcpStream) {
    for (from, to) in [(here, there), (there, here)] {
        let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
            return;
        };
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.flush();
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}
