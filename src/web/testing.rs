//! A running service for tests: everything real on a directory of its own, the venue in memory.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use flashguard_actors::domain::clock::{SharedClock, SharedEntropy, SystemClock, SystemEntropy};
use flashguard_actors::domain::identity::{Owner, Role};
use flashguard_actors::key_manager::Seeds;
use flashguard_actors::system::Handle;
use serde_json::{Value, json};

use super::rate::RequestRate;
use super::routes::Listener;
use super::server::Server;
use super::shared::Shared;
use crate::application::{Application, Options};
use crate::control::{DataDirectory, Lock};
use crate::init::{InitRequest, init};
use crate::settings::{Profile, Settings, Sources};

/// A service that ends with its test.
pub struct Running {
    server: Option<Server>,
    control: Option<Server>,
    application: Option<Application>,
    runtime: tokio::runtime::Runtime,
    keys: HashMap<&'static str, String>,
    _place: tempfile::TempDir,
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
        let time = crate::web::time::time(&error["timestamp"]);
        assert!(time.is_ok(), "{}", self.body);
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

    /// The body of an answer of this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.json()
    }

    /// An error of this status and code.
    #[track_caller]
    pub fn expect_error(&self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{}",
            self.body
        );
        self.error()["details"].clone()
    }
}

impl Running {
    pub fn start() -> Self {
        Self::with(1_000_000, &[])
    }

    pub fn with_rate(per_s: u32) -> Self {
        Self::with(per_s, &[])
    }

    /// With these settings (section and key, value) on top of those that a test needs.
    pub fn with(per_s: u32, settings: &[(&'static str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let directory = Arc::new(DataDirectory::open(place.path()).unwrap());
        let lock = Lock::take(&directory).unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let entropy: SharedEntropy = Arc::new(SystemEntropy);
        let keys = initialise(&directory, &lock, &clock, &entropy);
        let option = |(name, value): &(&'static str, &str)| (*name, "test", (*value).to_owned());
        let memory = [("venue.adapter", "memory")];
        let options = memory.iter().chain(settings).map(option).collect();
        let settings = Settings::load(&Sources {
            options,
            ..Sources::default()
        })
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let options = Options {
            directory,
            lock,
            settings,
            seeds: Default::default(),
            clock,
            entropy,
        };
        let application = runtime.block_on(Application::open(options)).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let listen = |which| {
            let clock = application.clock().clone();
            let shared = web::Data::new(Shared {
                system: application.handle(),
                access: application.access().clone(),
                keys: application.staff().keys.clone(),
                started: clock.now(),
                clock,
                entropy: application.entropy().clone(),
                settings: application.settings().print().into(),
                profile: Profile::Development,
                request_rate: RequestRate::per_second(per_s),
            });
            Some(Server::start(which, any, shared).unwrap())
        };
        let (server, control) = (listen(Listener::Main), listen(Listener::Control));
        let application = Some(application);
        let this = Self {
            server,
            control,
            application,
            runtime,
            keys,
            _place: place,
        };
        let ready = (0..2_000).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            this.system().is_ready() && this.system().floor().door.is_open()
        });
        assert!(ready, "trading did not open");
        this
    }

    pub fn system(&self) -> Handle {
        self.application.as_ref().unwrap().handle()
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    /// The key of a role; `second_admin` is another person's.
    pub fn key(&self, role: Role) -> &str {
        &self.keys[role.as_str()]
    }

    pub fn second_admin(&self) -> &str {
        &self.keys["admin2"]
    }

    /// Nothing can be journaled from now on.
    pub fn break_journal(&self) {
        self.system().floor().journal.close().unwrap();
    }

    /// Sends raw bytes on a connection of their own and reads all that comes back.
    pub fn raw(&self, request: &[u8]) -> String {
        raw(self.address(), request)
    }

    /// Asks with a credential (or none) and a body (or none).
    pub fn ask(&self, method: &str, path: &str, bearer: Option<&str>, body: &str) -> Answer {
        ask(self.address(), method, path, bearer, body)
    }

    /// The same on the control listener.
    pub fn ask_control(
        &self,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        body: &str,
    ) -> Answer {
        ask(
            self.control.as_ref().unwrap().address(),
            method,
            path,
            bearer,
            body,
        )
    }

    /// A `GET` below `/api/v1` as this role.
    pub fn get(&self, role: Role, path: &str) -> Answer {
        self.ask("GET", &format!("/api/v1{path}"), Some(self.key(role)), "")
    }

    /// A `POST` below `/api/v1` as this role.
    pub fn post(&self, role: Role, path: &str, body: &Value) -> Answer {
        self.ask(
            "POST",
            &format!("/api/v1{path}"),
            Some(self.key(role)),
            &body.to_string(),
        )
    }

    /// A `DELETE` below `/api/v1` as this role.
    pub fn delete(&self, role: Role, path: &str) -> Answer {
        self.ask(
            "DELETE",
            &format!("/api/v1{path}"),
            Some(self.key(role)),
            "",
        )
    }

    /// Stops everything as the admin.
    pub fn stop_everything(&self) -> Value {
        let body = json!({"confirmation": "EMERGENCY_STOP_CONFIRMED", "reason": "test"});
        self.post(Role::Admin, "/admin/emergency-stop", &body)
            .expect(200)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for server in [self.server.take(), self.control.take()]
            .into_iter()
            .flatten()
        {
            server.stop().unwrap();
        }
        if let Some(application) = self.application.take() {
            self.runtime.block_on(application.stop());
        }
    }
}

fn raw(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn ask(
    address: std::net::SocketAddr,
    method: &str,
    path: &str,
    bearer: Option<&str>,
    body: &str,
) -> Answer {
    let credential = bearer.map_or_else(String::new, |b| format!("Authorization: Bearer {b}\r\n"));
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    let answer = raw(
        address,
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

fn initialise(
    directory: &DataDirectory,
    lock: &Lock,
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> HashMap<&'static str, String> {
    let owner = |name: &str| Owner::try_from(name.to_owned()).unwrap();
    let request = InitRequest {
        profile: Profile::Development,
        owners: vec![owner("ann"), owner("ben")],
        master_key: None,
        seeds: Seeds::default(),
    };
    let keys = init(directory, lock, &request, clock, entropy).unwrap();
    let text = |key: &flashguard_actors::auth::ApiKey| {
        String::from_utf8(key.to_text().expose().to_vec()).unwrap()
    };
    HashMap::from([
        ("admin", text(&keys.admin)),
        ("admin2", text(keys.admin2.as_ref().unwrap())),
        ("readonly", text(&keys.readonly)),
        ("system", text(&keys.system)),
    ])
}
