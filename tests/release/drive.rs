//! The load: senders on several threads, each thread with its own connections, and one thread that
//! halts and lifts. It runs any [`Mechanism`] in the same way and hands what happened to the judge.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use flashguard_actors::ports::venue::{Framed, Verdict};
use flashguard_latch::OrderTag;
use futures_util::future::LocalBoxFuture;
use tokio::task::LocalSet;

use crate::{
    judge::{self, Findings},
    server::Server,
};

/// A way to stop orders: the product's, or one that must be caught.
pub trait Mechanism: Send + Sync + 'static {
    type Ticket: Clone + 'static;
    type Lane: Lane<Ticket = Self::Ticket>;

    /// The connections of the calling thread.
    fn lane(&self) -> Self::Lane;
    /// Leave to send in the present epoch, and which it is; nothing while halted.
    fn ticket(&self) -> Option<(Self::Ticket, u64)>;
    fn halt(&self) -> Halt;
    fn lift(&self, epoch: u64);
}

/// Sends orders for one thread.
pub trait Lane: Clone + 'static {
    type Ticket;
    fn send(
        &self,
        ticket: Self::Ticket,
        framed: &Framed,
        order: OrderTag,
    ) -> LocalBoxFuture<'static, Verdict>;
}

/// What a halt knew when it returned.
#[derive(Debug)]
pub struct Halt {
    pub epoch: u64,
    /// Local port and bytes sent of every connection that was opened in the epoch it ended.
    pub connections: Vec<(u16, u64)>,
    /// Ports of connections that were forced or cut: their count may lag behind, or run ahead.
    pub forced: HashSet<u16>,
    pub in_doubt: HashSet<OrderTag>,
}

/// One order as its sender saw it.
#[derive(Debug)]
pub struct Sent {
    pub order: OrderTag,
    pub epoch: u64,
    /// Begun when a halt of a later epoch had returned already.
    pub stale: bool,
    /// Nothing if the sender went away.
    pub verdict: Option<Verdict>,
}

/// How much is done: by this many senders, between this many halts, each after a random while.
pub struct Load {
    halts: u64,
    threads: u64,
    senders_per_thread: u64,
    /// Shapes the load only: no count depends on it.
    trading_us: (u64, u64),
}

impl Load {
    pub fn new(halts: u64) -> Self {
        Self {
            halts,
            threads: 4,
            senders_per_thread: 16,
            trading_us: (200, 5_000),
        }
    }

    /// With time for the handshakes that follow each lift.
    pub fn over_tls(halts: u64) -> Self {
        Self {
            trading_us: (2_000, 30_000),
            ..Self::new(halts)
        }
    }
}

struct Shared<M> {
    mechanism: M,
    /// The epoch of the last halt that has returned.
    returned: AtomicU64,
    over: AtomicBool,
    sent: Mutex<Vec<Sent>>,
}

/// Runs the load to its end, stops the server, and judges.
pub fn run<M: Mechanism>(mechanism: M, server: Server, load: Load) -> Findings {
    let shared = Arc::new(Shared {
        mechanism,
        returned: AtomicU64::new(0),
        over: AtomicBool::new(false),
        sent: Mutex::default(),
    });
    let mut halts = Vec::new();
    thread::scope(|scope| {
        for number in 0..load.threads {
            let shared = Arc::clone(&shared);
            scope.spawn(move || worker(number, load.senders_per_thread, &shared));
        }
        for _ in 0..load.halts {
            let (least, most) = load.trading_us;
            thread::sleep(Duration::from_micros(random(least, most)));
            let halt = shared.mechanism.halt();
            shared.returned.store(halt.epoch, SeqCst);
            thread::sleep(Duration::from_micros(random(0, 400)));
            server.halt_returned(halt.epoch);
            if halts.len() as u64 + 1 == load.halts {
                shared.over.store(true, SeqCst);
            }
            shared.mechanism.lift(halt.epoch);
            halts.push(halt);
        }
        // Orders that are held in the last epoch are let go as well.
        server.halt_returned(u64::MAX);
    });
    let sent = std::mem::take(&mut *shared.sent.lock().unwrap());
    judge::judge(&server.stop(), &halts, &sent)
}

/// One thread with its senders and its connections.
fn worker<M: Mechanism>(number: u64, senders: u64, shared: &Arc<Shared<M>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tasks = LocalSet::new();
    let lane = shared.mechanism.lane();
    for sender in 0..senders {
        let (lane, shared) = (lane.clone(), Arc::clone(shared));
        let first = (u128::from(number) << 96) | (u128::from(sender) << 64);
        tasks.spawn_local(async move { send_until_over(first, lane, &shared).await });
    }
    drop(lane);
    runtime.block_on(tasks);
}

async fn send_until_over<M: Mechanism>(first: u128, lane: M::Lane, shared: &Shared<M>) {
    let mut mine = Vec::new();
    let mut held: Option<(M::Ticket, u64)> = None;
    for order in first.. {
        if shared.over.load(SeqCst) {
            break;
        }
        // Every other time a ticket is kept, and tried once more although it may have died.
        if held.is_none() || random(0, 2) == 0 {
            held = shared.mechanism.ticket();
        }
        let Some((ticket, epoch)) = held.clone() else {
            tokio::time::sleep(Duration::from_micros(200)).await;
            continue;
        };
        let stale = shared.returned.load(SeqCst) > epoch;
        let tag = order.to_be_bytes();
        let sending = lane.send(ticket, &framed(order, epoch), tag);
        let verdict = if random(0, 64) == 0 {
            drop(sending);
            tokio::task::yield_now().await;
            None
        } else {
            Some(sending.await)
        };
        mine.push(Sent {
            order: tag,
            epoch,
            stale,
            verdict,
        });
        if stale {
            tokio::task::yield_now().await;
        }
    }
    shared.sent.lock().unwrap().append(&mut mine);
}

fn framed(order: u128, epoch: u64) -> Framed {
    Framed {
        method: http::Method::POST,
        target: "/orders".to_owned(),
        headers: vec![
            ("x-order", format!("{order:032x}")),
            ("x-epoch", epoch.to_string()),
        ],
        body: Bytes::from(vec![b'.'; 300]),
    }
}

/// A number from `low` up to `high`, without it; it shapes the load and decides nothing.
fn random(low: u64, high: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    low + u64::from_le_bytes(bytes) % (high - low)
}
