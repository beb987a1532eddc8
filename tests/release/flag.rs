//! The double that must be caught: a flag, looked at just before each write, and a halt that sets
//! it and returns. It keeps everything else of the real mechanism: epochs, connections that belong
//! to one, byte counts, verdicts. What it lacks is the section, so a writer that has looked and not
//! yet written is not waited for.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use flashguard_actors::ports::venue::{Framed, Verdict};
use flashguard_latch::OrderTag;
use futures_util::future::LocalBoxFuture;
use tokio::{io::AsyncReadExt, net::TcpStream, sync::Semaphore};

use crate::{
    drive::{Halt, Lane, Mechanism},
    server::Server,
};

const CONNECTIONS_MAX: usize = 2;

pub struct Flag {
    shared: Arc<Shared>,
    port: u16,
}

struct Shared {
    /// `epoch << 1 | halted`.
    word: AtomicU64,
    counters: Mutex<Vec<Arc<Counter>>>,
}

/// What the halt can see of a connection.
struct Counter {
    port: u16,
    epoch: u64,
    sent: AtomicU64,
    order: Mutex<Option<OrderTag>>,
}

struct Connection {
    io: TcpStream,
    counter: Arc<Counter>,
}

#[derive(Clone)]
pub struct FlagLane(Rc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    port: u16,
    turns: Semaphore,
    idle: RefCell<Vec<Connection>>,
}

impl Flag {
    pub fn to(server: &Server) -> Self {
        let shared = Shared {
            word: AtomicU64::new(0),
            counters: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            port: server.port(),
        }
    }
}

impl Mechanism for Flag {
    type Ticket = u64;
    type Lane = FlagLane;

    fn lane(&self) -> FlagLane {
        FlagLane(Rc::new(Inner {
            shared: Arc::clone(&self.shared),
            port: self.port,
            turns: Semaphore::new(CONNECTIONS_MAX),
            idle: RefCell::default(),
        }))
    }

    fn ticket(&self) -> Option<(u64, u64)> {
        let word = self.shared.word.load(SeqCst);
        (word & 1 == 0).then_some((word, word >> 1))
    }

    fn halt(&self) -> Halt {
        let word = self.shared.word.load(SeqCst);
        let epoch = (word >> 1) + 1;
        self.shared.word.store(epoch << 1 | 1, SeqCst);
        let mut counters = self.shared.counters.lock().unwrap();
        let open: Vec<_> = counters
            .drain(..)
            .filter(|c| c.epoch + 1 == epoch)
            .collect();
        Halt {
            epoch,
            connections: open.iter().map(|c| (c.port, c.sent.load(SeqCst))).collect(),
            forced: Default::default(),
            in_doubt: open
                .iter()
                .filter_map(|c| *c.order.lock().unwrap())
                .collect(),
        }
    }

    fn lift(&self, epoch: u64) {
        self.shared.word.store(epoch << 1, SeqCst);
    }
}

impl Lane for FlagLane {
    type Ticket = u64;

    fn send(
        &self,
        word: u64,
        framed: &Framed,
        order: OrderTag,
    ) -> LocalBoxFuture<'static, Verdict> {
        let request = written(framed);
        let inner = Rc::clone(&self.0);
        let task =
            tokio::task::spawn_local(async move { inner.carry(word, &request, order).await });
        Box::pin(async move { task.await.unwrap() })
    }
}

impl Inner {
    async fn carry(&self, word: u64, request: &[u8], order: OrderTag) -> Verdict {
        let _turn = self.turns.acquire().await.unwrap();
        if self.shared.word.load(SeqCst) != word {
            return Verdict::NothingLeft { why: "halted" };
        }
        let mut connection = match self.take(word).await {
            Ok(connection) => connection,
            Err(_) => {
                return Verdict::NothingLeft {
                    why: "no connection",
                };
            }
        };
        let counter = Arc::clone(&connection.counter);
        *counter.order.lock().unwrap() = Some(order);
        let base = counter.sent.load(SeqCst);
        let answer = self.converse(&mut connection, word, request).await;
        *counter.order.lock().unwrap() = None;
        match answer {
            Ok(()) => {
                self.idle.borrow_mut().push(connection);
                Verdict::Answered {
                    status: 200,
                    body: Default::default(),
                }
            }
            Err(_) if counter.sent.load(SeqCst) == base => Verdict::NothingLeft { why: "refused" },
            Err(_) => Verdict::InDoubt { why: "no answer" },
        }
    }

    async fn take(&self, word: u64) -> io::Result<Connection> {
        {
            let mut idle = self.idle.borrow_mut();
            idle.retain(|connection| connection.counter.epoch == word >> 1);
            if let Some(connection) = idle.pop() {
                return Ok(connection);
            }
        }
        let io = TcpStream::connect(("127.0.0.1", self.port)).await?;
        io.set_nodelay(true)?;
        let counter = Arc::new(Counter {
            port: io.local_addr()?.port(),
            epoch: word >> 1,
            sent: AtomicU64::new(0),
            order: Mutex::default(),
        });
        let mut counters = self.shared.counters.lock().unwrap();
        counters.push(Arc::clone(&counter));
        Ok(Connection { io, counter })
    }

    async fn converse(&self, to: &mut Connection, word: u64, request: &[u8]) -> io::Result<()> {
        loop {
            to.io.writable().await?;
            // The hole: between this look and the count after the write nobody waits for anybody.
            if self.shared.word.load(SeqCst) != word {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            match to.io.try_write(request) {
                Ok(sent) => {
                    to.counter.sent.fetch_add(sent as u64, SeqCst);
                    if sent < request.len() {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            if to.io.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

fn written(framed: &Framed) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\n", framed.method, framed.target);
    for (name, value) in &framed.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n", framed.body.len());
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&framed.body);
    bytes
}
