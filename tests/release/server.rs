//! The venue's side of the stress: it logs each whole order and every byte of each connection until
//! its end. Some orders it holds until the halt has returned, some it reads and hangs up on.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    thread::JoinHandle,
    time::Duration,
};

use flashguard_latch::OrderTag;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

/// One order in this many is held, and one in this many is read and hung up on.
const SPECIAL_ONE_IN: u64 = 32;

/// What the server does with an order, decided by the order itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Answer,
    /// Answers when a halt later than the order's epoch has returned.
    HoldUntilHalted,
    HangUp,
}

impl Manner {
    pub fn of(order: OrderTag) -> Self {
        match number_of(order) % SPECIAL_ONE_IN {
            7 => Self::HoldUntilHalted,
            23 => Self::HangUp,
            _ => Self::Answer,
        }
    }
}

/// Mixes the bytes of an order, so that each sender meets every manner.
fn number_of(order: OrderTag) -> u64 {
    order.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    }) >> 16
}

/// One connection at its end.
#[derive(Debug)]
pub struct Heard {
    pub peer_port: u16,
    pub bytes: u64,
    /// That of its orders, if a whole one arrived.
    pub epoch: Option<u64>,
}

/// Everything that arrived.
#[derive(Debug, Default)]
pub struct Log {
    /// Whole orders, and how often each arrived.
    pub orders: HashMap<OrderTag, u64>,
    pub connections: Vec<Heard>,
}

pub struct Server {
    port: u16,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    log: Mutex<Log>,
    open: AtomicUsize,
    stop: AtomicBool,
    /// The epoch of the last halt that has returned.
    halted: watch::Sender<u64>,
}

impl Server {
    pub fn start(tls: Option<TlsAcceptor>) -> Self {
        let shared = Arc::new(Shared {
            log: Mutex::default(),
            open: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            halted: watch::Sender::new(0),
        });
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve(listener, tls, &shared)
        });
        Self {
            port,
            shared,
            thread,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Says that a halt has returned, which lets go of the orders held in earlier epochs.
    pub fn halt_returned(&self, epoch: u64) {
        self.shared.halted.send_replace(epoch);
    }

    /// Waits until every connection has ended, and gives the log.
    pub fn stop(self) -> Log {
        self.shared.stop.store(true, SeqCst);
        self.thread.join().unwrap();
        std::mem::take(&mut *self.shared.log.lock().unwrap())
    }
}

fn serve(listener: std::net::TcpListener, tls: Option<TlsAcceptor>, shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let next = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
            match next {
                Ok(accepted) => {
                    let (io, peer) = accepted.unwrap();
                    shared.open.fetch_add(1, SeqCst);
                    let (shared, tls) = (Arc::clone(shared), tls.clone());
                    tokio::spawn(async move {
                        let heard = hear(io, peer.port(), tls, &shared).await;
                        shared.log.lock().unwrap().connections.push(heard);
                        shared.open.fetch_sub(1, SeqCst);
                    });
                }
                Err(_) if shared.stop.load(SeqCst) && shared.open.load(SeqCst) == 0 => return,
                Err(_) => {}
            }
        }
    });
}

/// Serves one connection to its end, and counts the bytes that came in below TLS.
async fn hear(io: TcpStream, peer_port: u16, tls: Option<TlsAcceptor>, shared: &Shared) -> Heard {
    let mut epoch = None;
    let bytes = Arc::new(AtomicU64::new(0));
    let counting = Counting {
        io,
        bytes: Arc::clone(&bytes),
    };
    let mut counting = match tls {
        None => {
            let mut counting = counting;
            converse(&mut counting, shared, &mut epoch).await;
            counting
        }
        Some(tls) => match tls.accept(counting).into_fallible().await {
            Ok(mut stream) => {
                converse(&mut stream, shared, &mut epoch).await;
                stream.into_inner().0
            }
            Err((_, counting)) => counting,
        },
    };
    // The conversation is over; what else arrives counts all the same.
    let _ = counting.io.shutdown().await;
    let mut rest = [0; 4096];
    while matches!(counting.read(&mut rest).await, Ok(n) if n > 0) {}
    Heard {
        peer_port,
        bytes: bytes.load(SeqCst),
        epoch,
    }
}

/// Reads orders and answers them; ends when either side hangs up.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    shared: &Shared,
    first_epoch: &mut Option<u64>,
) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let (order, epoch) = loop {
            if let Some((order, epoch, length)) = whole_order(&buffer) {
                buffer.drain(..length);
                break (order, epoch);
            }
            if io.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        first_epoch.get_or_insert(epoch);
        *shared.log.lock().unwrap().orders.entry(order).or_default() += 1;
        match Manner::of(order) {
            Manner::Answer => {}
            Manner::HangUp => return None,
            Manner::HoldUntilHalted => {
                let mut halted = shared.halted.subscribe();
                halted.wait_for(|halted| *halted > epoch).await.ok()?;
            }
        }
        io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .ok()?;
    }
}

/// The order at the front of the buffer, its epoch, and the length of its request.
fn whole_order(buffer: &[u8]) -> Option<(OrderTag, u64, usize)> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).unwrap().to_lowercase();
    let header = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).trim()
    };
    let length = head + header("content-length:").parse::<usize>().unwrap();
    let order = u128::from_str_radix(header("x-order:"), 16).unwrap();
    let epoch = header("x-epoch:").parse().unwrap();
    (buffer.len() >= length).then_some((order.to_be_bytes(), epoch, length))
}

/// Counts what is read.
struct Counting {
    io: TcpStream,
    bytes: Arc<AtomicU64>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        let read = (buf.filled().len() - before) as u64;
        self.bytes.fetch_add(read, SeqCst);
        polled
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
