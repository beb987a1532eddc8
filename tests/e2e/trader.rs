//! A client of the venue that shares nothing with the service's own: it signs orders and requests
//! by itself and sees what happens to the bytes of each connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, keccak256};
use alloy_sol_types::{SolStruct, eip712_domain, sol};
use hmac::{Hmac, KeyInit, Mac};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};
use serde_json::{Value, json};
use sha2::Sha256;

use super::http::{self, Reply, Stream};
use super::simulator::Simulator;

sol! {
    struct Order {
        string market;
        string side;
        string orderType;
        string price;
        string size;
        string orderId;
        uint64 expiresAtMs;
    }
}

/// How long an order may take to be accepted, when a test says nothing else.
const EXPIRY_MS: u64 = 60_000;

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// A whole answer.
    Answered(Reply),
    /// The connection was closed after so many bytes, which are no whole answer.
    Closed(usize),
    /// The connection was reset after these bytes.
    Reset(Vec<u8>),
}

impl Outcome {
    /// The body of an answer with that status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        match self {
            Self::Answered(reply) => reply.expect(status),
            other => panic!("{other:?} instead of {status}"),
        }
    }

    /// Nothing came before the connection was closed.
    #[track_caller]
    pub fn expect_closed(&self) {
        assert!(matches!(self, Self::Closed(0)), "{self:?}");
    }
}

/// One account at a simulator.
pub struct Trader {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    api_key: String,
    secret: String,
}

/// The key that signs the orders.
fn key() -> SecretKey {
    SecretKey::from_secret_bytes([7; 32]).unwrap()
}

/// The address of the key that signs the orders.
pub fn signer() -> String {
    let key = PublicKey::from_secret_key(&key()).serialize_uncompressed();
    Address::from_slice(&keccak256(&key[1..])[12..]).to_string()
}

/// Now, Unix ms.
pub fn now_ms() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a client stands outside and has a clock of its own"
    )]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

impl Trader {
    /// The account of a simulator, by the credential that it wrote.
    pub fn at(simulator: &Simulator) -> Self {
        let credential = std::fs::read(simulator.credential_file()).unwrap();
        let credential: Value = serde_json::from_slice(&credential).unwrap();
        let text = |name: &str| credential[name].as_str().unwrap().to_owned();
        Self {
            address: simulator.address(),
            tls: simulator.ready["ca_file"].as_str().map(trusting),
            api_key: text("api_key"),
            secret: text("secret_key"),
        }
    }

    /// Signs with another secret from now on.
    pub fn forget_secret(&mut self) {
        self.secret = "another".to_owned();
    }

    /// A connection, plain or TLS as the simulator speaks.
    pub fn connect(&self) -> Box<dyn Stream> {
        self.over(http::connect(self.address).unwrap())
    }

    fn over(&self, tcp: TcpStream) -> Box<dyn Stream> {
        match &self.tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::from(self.address.ip());
                let session = ClientConnection::new(Arc::clone(config), name).unwrap();
                Box::new(StreamOwned::new(session, tcp))
            }
        }
    }

    /// The bytes of a signed request.
    fn request(&self, method: &str, target: &str, body: &str) -> String {
        self.request_with("Connection: close", method, target, body)
    }

    fn request_with(&self, headers: &str, method: &str, target: &str, body: &str) -> String {
        let at_ms = now_ms();
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(format!("{at_ms}{method}{target}{body}").as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        format!(
            "{method} {target} HTTP/1.1\r\nHost: venue\r\n{headers}\r\n\
             X-API-Key: {}\r\nX-Timestamp: {at_ms}\r\nX-Signature: {signature}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.api_key,
            body.len()
        )
    }

    /// Sends a request and leaves the connection open, its answer unread.
    pub fn begin(&self, method: &str, target: &str, body: &str) -> Box<dyn Stream> {
        let mut stream = self.connect();
        let request = self.request(method, target, body);
        // A venue that is down may be gone before all is written.
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.flush();
        stream
    }

    /// A connection that was used and stays open for more.
    pub fn begin_idle(&self) -> Box<dyn Stream> {
        let mut stream = self.connect();
        stream
            .write_all(b"GET /account HTTP/1.1\r\nHost: venue\r\n\r\n")
            .unwrap();
        let (mut seen, mut part) = (Vec::new(), [0; 4_096]);
        while http::parse(&seen).is_none() {
            let length = stream.read(&mut part).unwrap();
            assert_ne!(length, 0, "closed in the middle of an answer");
            seen.extend_from_slice(&part[..length]);
        }
        stream
    }

    /// Sends a request and sees what becomes of it.
    pub fn call(&self, method: &str, target: &str, body: &str) -> Outcome {
        finish(self.begin(method, target, body))
    }

    /// Opens the feed; the first two messages are the best prices of both markets.
    pub fn feed(&self) -> Feed {
        let tcp = http::connect(self.address).unwrap();
        let mut stream = self.over(tcp.try_clone().unwrap());
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let request = self.request_with(upgrade, "GET", "/ws", "");
        stream.write_all(request.as_bytes()).unwrap();
        stream.flush().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // RFC 6455, section 1.3: the answer to this very key.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Feed { stream, tcp }
    }

    /// Places an order that is filled at once.
    pub fn fill(&self, id: &str) -> Outcome {
        let body = order(id, "0.251", now_ms() + EXPIRY_MS);
        self.call("POST", "/orders", &body)
    }

    /// Places an order that rests.
    pub fn place(&self, id: &str) -> Outcome {
        self.call("POST", "/orders", &resting(id, now_ms() + EXPIRY_MS))
    }

    /// As [`Self::place`], but leaves the answer unread.
    pub fn begin_place(&self, id: &str) -> Box<dyn Stream> {
        self.begin("POST", "/orders", &resting(id, now_ms() + EXPIRY_MS))
    }
}

/// Reads a connection to its end.
pub fn finish(mut stream: Box<dyn Stream>) -> Outcome {
    let (mut seen, mut part) = (Vec::new(), [0; 4_096]);
    let error = loop {
        match stream.read(&mut part) {
            Ok(0) => break None,
            Ok(length) => seen.extend_from_slice(&part[..length]),
            Err(error) => break Some(error.kind()),
        }
    };
    match (http::parse(&seen), error) {
        (Some(reply), _) => Outcome::Answered(reply),
        // The latter is a TLS peer that closes without a farewell.
        (None, None | Some(ErrorKind::UnexpectedEof)) => Outcome::Closed(seen.len()),
        (None, Some(ErrorKind::ConnectionReset)) => Outcome::Reset(seen),
        (None, Some(other)) => panic!("{other} after {} bytes", seen.len()),
    }
}

/// An open feed. It reads frames by itself, so that every byte is seen.
pub struct Feed {
    stream: Box<dyn Stream>,
    tcp: TcpStream,
}

/// A frame of the server.
#[derive(Debug, PartialEq)]
pub struct Frame {
    /// 1 text, 8 close, 9 ping, 10 pong.
    pub kind: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Feed {
    /// The next frame.
    ///
    /// # Errors
    ///
    /// When the connection ends, or nothing comes in time.
    pub fn frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        assert_eq!(head[0] & 0xf0, 0x80, "whole frames only");
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length)?;
                usize::from(u16::from_be_bytes(length))
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        let kind = head[0] & 0x0f;
        Ok(Frame { kind, payload })
    }

    /// The next message; pings in between are passed over.
    ///
    /// # Errors
    ///
    /// As [`Self::frame`].
    pub fn message(&mut self) -> io::Result<Value> {
        loop {
            let frame = self.frame()?;
            match frame.kind {
                1 => return Ok(serde_json::from_slice(&frame.payload).unwrap()),
                9 => {}
                _ => panic!("{frame:?}"),
            }
        }
    }

    /// The next so many messages, as their types and numbers.
    pub fn numbers<const N: usize>(&mut self) -> [(String, u64); N] {
        std::array::from_fn(|_| {
            let message = self.message().unwrap();
            let kind = message["type"].as_str().unwrap().to_owned();
            (kind, message["seq"].as_u64().unwrap())
        })
    }

    /// Sends a frame, masked as a client must.
    pub fn send(&mut self, kind: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).unwrap();
        assert!(length < 126);
        let mask = [1, 2, 3, 4];
        let mut frame = vec![0x80 | kind, 0x80 | length];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        self.stream.write_all(&frame).unwrap();
        self.stream.flush().unwrap();
    }

    /// Nothing comes for a while, and the connection stays open.
    #[track_caller]
    pub fn expect_silence(&mut self) {
        const A_WHILE: Duration = Duration::from_millis(200);
        let before = self.tcp.read_timeout().unwrap();
        self.tcp.set_read_timeout(Some(A_WHILE)).unwrap();
        let error = self.message().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
        self.tcp.set_read_timeout(before).unwrap();
    }

    /// The connection ends without a close frame.
    #[track_caller]
    pub fn expect_cut(&mut self) {
        let error = self.message().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    }
}

/// A signed order to buy that rests: below the bid.
pub fn resting(id: &str, expires_at_ms: u64) -> String {
    order(id, "0.24", expires_at_ms)
}

/// A signed order to buy.
fn order(id: &str, price: &str, expires_at_ms: u64) -> String {
    let order = Order {
        market: "SEI/USDC".into(),
        side: "buy".into(),
        orderType: "limit".into(),
        price: price.into(),
        size: "100".into(),
        orderId: id.into(),
        expiresAtMs: expires_at_ms,
    };
    let domain = eip712_domain! { name: "FlashGuard", version: "1", chain_id: 1329, };
    let digest = Message::from_digest(order.eip712_signing_hash(&domain).0);
    let signature = RecoverableSignature::sign_ecdsa_recoverable(digest, &key());
    let (recovery, compact) = signature.serialize_compact();
    json!({
        "market_id": order.market, "side": order.side, "order_type": order.orderType,
        "price": order.price, "quantity": order.size, "client_order_id": id,
        "expires_at_ms": expires_at_ms, "signer": signer(),
        "signature": format!("0x{}{:02x}", hex::encode(compact), 27 + recovery.to_u8()),
    })
    .to_string()
}

/// Trusts what a certificate file vouches for, and nothing else.
fn trusting(ca_file: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca_file).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}
