//! A running listener for tests: the real server, the real access checks, a journal in memory.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use flashguard_actors::auth::{Access, AuthFold, NewApiKey, TokenKey};
use flashguard_actors::domain::clock::{ManualClock, SeededEntropy, SystemEntropy, UnixMicros};
use flashguard_actors::domain::identity::{Owner, Role};
use flashguard_actors::domain::secret::SecretBytes;
use flashguard_actors::journal::Journal;
use flashguard_actors::journal::checkpoint::CheckpointSigner;
use flashguard_actors::journal::record::Record;
use flashguard_actors::journal::writer::{Hooks, WriterSettings};
use flashguard_actors::ports::journal::Meta;
use flashguard_actors::ports::journal::memory::{Faults, MemoryJournal};
use serde_json::Value;

use super::health::Readiness;
use super::rate::RequestRate;
use super::routes::Listener;
use super::server::Server;
use super::shared::Shared;
use crate::settings::Profile;

/// The time of every test: 2026-11-24T11:25:33.123Z.
pub const NOW: UnixMicros = UnixMicros(1_795_519_533_123_456);

/// A server that ends with its test.
pub struct Running {
    server: Option<Server>,
    keys: HashMap<Role, String>,
    journal: MemoryJournal,
}

/// One answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(prefix.as_str()))
    }

    /// The error, after checking what every error must have.
    pub fn error(&self) -> Value {
        let error = self.json()["error"].clone();
        assert_eq!(
            error["request_id"].as_str(),
            self.header("x-request-id"),
            "{}",
            self.body
        );
        assert_eq!(error["timestamp"], NOW.to_rfc3339(), "{}", self.body);
        assert!(
            error["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{}",
            self.body
        );
        assert!(error["details"].is_object(), "{}", self.body);
        error
    }

    pub fn code(&self) -> String {
        self.error()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Running {
    pub fn start() -> Self {
        Self::with_rate(1_000_000)
    }

    pub fn with_rate(per_s: u32) -> Self {
        let clock = ManualClock::at(NOW);
        let (access, keys) = access();
        let journal = MemoryJournal::new(Meta {
            origin: "flashguard.test/web".to_owned(),
            verifier_key: signer().key().to_string(),
        });
        let (writer, _) = Journal::open(
            Box::new(journal.store()),
            signer(),
            clock.clone(),
            Arc::new(SystemEntropy),
            WriterSettings::default(),
            Hooks::none(),
        )
        .unwrap();
        let shared = web::Data::new(Shared {
            clock: clock.clone(),
            entropy: SeededEntropy::new(1),
            profile: Profile::Development,
            started: NOW,
            readiness: Readiness::default(),
            request_rate: RequestRate::per_second(per_s),
            access,
            journal: writer,
        });
        let any = "127.0.0.1:0".parse().unwrap();
        let server = Some(Server::start(Listener::Main, any, shared).unwrap());
        Self {
            server,
            keys,
            journal,
        }
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    pub fn key(&self, role: Role) -> &str {
        &self.keys[&role]
    }

    /// Makes every commit fail from now on.
    pub fn break_journal(&self) {
        self.journal.fail(Faults {
            commits_left: Some(0),
            ..Faults::default()
        });
    }

    /// Sends raw bytes on a connection of their own and reads all that comes back.
    pub fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Asks with a credential (or none) and a body (or none).
    pub fn ask(&self, method: &str, path: &str, bearer: Option<&str>, body: &str) -> Answer {
        let credential =
            bearer.map_or_else(String::new, |b| format!("Authorization: Bearer {b}\r\n"));
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/json\r\n"
        };
        let answer = self.raw(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\
                 {kind}{credential}\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or((answer.as_str(), ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .expect(&answer);
        Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().unwrap();
        }
    }
}

fn signer() -> CheckpointSigner {
    CheckpointSigner::from_seed("flashguard.test/web", &[7; 32]).unwrap()
}

/// Access with one key for each role.
fn access() -> (Arc<Access>, HashMap<Role, String>) {
    let secret = SecretBytes::random(32, &SystemEntropy).unwrap();
    let token_key = TokenKey::new("jwt/1".into(), secret).unwrap();
    let fold = AuthFold::default();
    let access = Access::new(
        fold,
        HashMap::new(),
        token_key,
        3_600,
        Arc::new(SystemEntropy),
    );
    let mut keys = HashMap::new();
    for (seq, role) in (0..).zip(Role::ALL) {
        let new = NewApiKey {
            owner: Owner::try_from("ann".to_owned()).unwrap(),
            client: None,
            role,
            local: true,
            expires: None,
        };
        let (key, fact) = new.make(&SystemEntropy).unwrap();
        access.add_verifier(key.id().as_str(), key.verifier());
        access.apply(&Record {
            seq,
            time: NOW,
            fact,
            private: None,
            actor: "auth".into(),
            principal: None,
            correlation: None,
        });
        keys.insert(
            role,
            String::from_utf8(key.to_text().expose().to_vec()).unwrap(),
        );
    }
    (Arc::new(access), keys)
}
