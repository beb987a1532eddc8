//! The product's mechanism: the latch, and a pool of order connections for each thread.

use std::{sync::Arc, time::Duration};

use flashguard::venues::{
    endpoint::Endpoint,
    pool::{Pool, Target},
    tls,
};
use flashguard_actors::ports::venue::{Framed, Verdict};
use flashguard_latch::{Beat, Fence, Incarnation, Latch, OrderTag, Section, State, Ticket};
use futures_util::future::LocalBoxFuture;
use rustls::ClientConfig;
use tokio_rustls::TlsAcceptor;

use crate::{
    drive::{Halt, Lane, Mechanism},
    server::Server,
};

/// How long a halt waits before it forces. Longer than the product's 10 ms: a loaded machine must
/// not make connections that cannot be compared.
const LIMIT: Duration = Duration::from_millis(500);

pub struct Product {
    latch: Arc<Latch>,
    lane: Incarnation,
    target: Arc<Target>,
}

/// Over plain HTTP.
pub fn plain(server: &Server) -> Product {
    let url = format!("http://127.0.0.1:{}", server.port());
    product(&url, certificate().1)
}

/// Over TLS, to a server whose certificate is for `localhost`.
pub fn over_tls(server: &Server, client: Arc<ClientConfig>) -> Product {
    product(&format!("https://localhost:{}", server.port()), client)
}

/// A fresh certificate for `localhost`: its server, and a client that trusts only it.
pub fn certificate() -> (TlsAcceptor, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, made.cert.pem()).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let client = tls::client_config(Some(&path)).unwrap();
    (TlsAcceptor::from(Arc::new(server)), client)
}

fn product(url: &str, tls: Arc<ClientConfig>) -> Product {
    let beat = Beat::new(Duration::from_secs(3_600));
    let target = Target {
        endpoint: Endpoint::parse(url).unwrap(),
        tls,
        timeout: Duration::from_secs(600),
        connections_max: 2,
    };
    Product {
        latch: Arc::new(Latch::new(State::open(0), beat)),
        lane: Fence::new().incarnate(),
        target: Arc::new(target),
    }
}

impl Mechanism for Product {
    type Ticket = Ticket;
    type Lane = Pool;

    fn lane(&self) -> Pool {
        Pool::new(Arc::clone(&self.latch), Arc::clone(&self.target))
    }

    fn ticket(&self) -> Option<(Ticket, u64)> {
        let ticket = self.latch.ticket(&self.lane).ok()?;
        let epoch = ticket.epoch();
        Some((ticket, epoch))
    }

    fn halt(&self) -> Halt {
        let stopped = self.latch.halt(LIMIT);
        let port = |section: &Arc<Section>| section.local_port().unwrap();
        // Sections of earlier epochs may still be listed; their own halt has counted them.
        let ended = |s: &&Arc<Section>| s.ticket().epoch() + 1 == stopped.epoch;
        let snapshot = stopped.sections.iter().filter(ended);
        let snapshot = snapshot.map(|s| (port(s), s.sent()));
        let doubtful = stopped.forced.iter().chain(&stopped.cut_unsent);
        Halt {
            epoch: stopped.epoch,
            connections: snapshot.collect(),
            forced: doubtful.map(port).collect(),
            in_doubt: stopped.in_doubt.iter().map(|doubt| doubt.order).collect(),
        }
    }

    fn lift(&self, epoch: u64) {
        assert!(self.latch.lift(epoch));
    }
}

impl Lane for Pool {
    type Ticket = Ticket;

    fn send(
        &self,
        ticket: Ticket,
        framed: &Framed,
        order: OrderTag,
    ) -> LocalBoxFuture<'static, Verdict> {
        self.exchange(ticket, 1, framed, order)
    }
}
