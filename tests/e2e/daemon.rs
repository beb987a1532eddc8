//! One running service on its own data directory, stopped and checked when it goes out of scope.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{self, Reply};
use super::until::{UNTIL_MAX, until};
use super::venue::Venue;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_flashguard");

/// Settings of every daemon: a still book without end, and room for tests that send fast. Each test
/// adds the limits that it is about.
const SETTINGS: [(&str, &str); 10] = [
    ("SERVER__LISTEN", "127.0.0.1:0"),
    ("SERVER__CONTROL_LISTEN", "127.0.0.1:0"),
    ("SERVER__REQUEST_RATE_PER_S", "1000000"),
    ("GATE__ORDER_RATE_PER_S", "1000000"),
    ("GATE__ORDER_RATE_BURST", "1000000"),
    ("GATE__OPEN_ORDERS_MAX", "100000"),
    ("GATE__POSITION_LIMIT_USDC", "100000000"),
    ("GATE__GROSS_EXPOSURE_MAX_USDC", "100000000"),
    ("PAPER__VOLATILITY_BPS_PER_S", "0"),
    ("PAPER__DEPTH_PER_LEVEL", "0"),
];

/// Most lines of the log that a failed test prints.
const LOG_LINES_MAX: usize = 200;

/// Where the service answers.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The API.
    pub listen: SocketAddr,
    /// The control listener.
    pub control: SocketAddr,
}

/// One data directory and, most of the time, the service that runs on it.
pub struct Daemon {
    directory: TempDir,
    settings: Vec<(String, String)>,
    keys: Value,
    running: Option<Running>,
}

struct Running {
    child: Child,
    addresses: Addresses,
}

impl Daemon {
    /// A new data directory with two owners, and the service on it, trading on the paper venue.
    pub fn spawn() -> Self {
        Self::spawn_with(&[])
    }

    /// As [`spawn`](Self::spawn), with settings such as `("GATE__ORDER_RATE_PER_S", "10")`.
    pub fn spawn_with(settings: &[(&str, &str)]) -> Self {
        let mut daemon = Self::initialised(settings);
        daemon.start();
        daemon
    }

    /// A new data directory with two owners, and nothing running on it.
    pub fn initialised(settings: &[(&str, &str)]) -> Self {
        let mut daemon = Self::empty(settings);
        let output = daemon.cli(["init", "--owner", "ann", "--owner", "ben", "--json"]);
        daemon.keys = json_of(&output);
        daemon
    }

    /// An empty directory.
    pub fn empty(settings: &[(&str, &str)]) -> Self {
        let of_all = SETTINGS.iter().chain(settings);
        Self {
            directory: tempfile::tempdir().unwrap(),
            settings: of_all
                .map(|(name, value)| (format!("FLASHGUARD__{name}"), (*value).to_owned()))
                .collect(),
            keys: Value::Null,
            running: None,
        }
    }

    /// Sets one more setting, for the next start and the next verb.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings
            .push((format!("FLASHGUARD__{name}"), value.to_owned()));
    }

    /// Sets a variable of the environment that is no setting, for the next start and the next verb.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Leaves data directory and log where they are when it goes; where that is.
    pub fn keep(&mut self) -> PathBuf {
        self.directory.disable_cleanup(true);
        self.directory.path().to_owned()
    }

    /// The paper venue's own record.
    pub fn venue(&self) -> Venue {
        Venue::in_directory(&self.data())
    }

    /// The API key that `init` made: `admin`, `admin2`, `readonly` or `system`.
    #[track_caller]
    pub fn key(&self, name: &str) -> String {
        let key = self.keys[name].as_str();
        key.unwrap_or_else(|| panic!("init made no key `{name}`"))
            .to_owned()
    }

    /// The whole program with these arguments on this directory, run to its end.
    pub fn cli<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        run_bounded(self.command().args(arguments))
    }

    /// As [`cli`](Self::cli), with an API key for the verbs that talk HTTP.
    pub fn cli_as<A: AsRef<OsStr>>(
        &self,
        key: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Output {
        run_bounded(
            self.command()
                .env("FLASHGUARD_API_KEY", self.key(key))
                .args(arguments),
        )
    }

    /// The program on this directory, with nothing of the caller's environment that could steer it.
    fn command(&self) -> Command {
        let mut command = program();
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.arg("--data-dir").arg(self.data());
        command
    }

    /// Starts the service and waits until it is ready.
    #[track_caller]
    pub fn start(&mut self) {
        self.start_with(&[]);
        let address = self.addresses().listen;
        until("the service is ready", || {
            match http::send(address, "GET", "/readyz", &[], None) {
                Ok(reply) if reply.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// Starts `serve` with more arguments, and waits until it has said where it listens.
    #[track_caller]
    pub fn start_with(&mut self, arguments: &[&str]) {
        assert!(self.running.is_none(), "already running");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .unwrap();
        let mut child = self
            .command()
            .args(["serve", "--json"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (line_to, line_from) = mpsc::channel();
        // Reads on to the end, so that the service never waits for a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = line_to.send(line);
            }
        });
        let ready: Value = match line_from.recv_timeout(UNTIL_MAX) {
            Ok(line) => {
                serde_json::from_str(&line).unwrap_or_else(|_| panic!("ready line: {line}"))
            }
            Err(_) => {
                let _ = child.kill();
                panic!(
                    "serve ended with {:?} and no ready line:\n{}",
                    child.wait(),
                    self.log()
                );
            }
        };
        let address = |name: &str| -> SocketAddr { ready[name].as_str().unwrap().parse().unwrap() };
        let addresses = Addresses {
            listen: address("listen"),
            control: address("control"),
        };
        self.running = Some(Running { child, addresses });
    }

    /// Runs `serve` where it is expected to refuse: its end and what it said on stderr.
    pub fn serve_refused(&self) -> Output {
        run_bounded(self.command().args(["serve", "--json"]))
    }

    /// Where the running service answers.
    #[track_caller]
    pub fn addresses(&self) -> Addresses {
        self.running.as_ref().expect("not running").addresses
    }

    /// The running service's process id.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("not running").child.id()
    }

    /// Sends a signal to the running service.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Says one line on the control socket; the reply that ends what is answered.
    #[track_caller]
    pub fn control(&self, request: &Value) -> Value {
        let mut stream = UnixStream::connect(self.data().join("control.sock")).unwrap();
        stream.set_read_timeout(Some(UNTIL_MAX)).unwrap();
        writeln!(stream, "{request}").unwrap();
        for line in BufReader::new(stream).lines() {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if !line["reply"].is_null() {
                return line["reply"].clone();
            }
        }
        panic!("the control socket ended without a reply to {request}")
    }

    /// Kills the service without any warning, and waits for its end.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Tells the service to stop, and waits for its end.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for the service's end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("not running");
        match wait_bounded(&mut running.child) {
            Some(status) => status,
            None => {
                let _ = running.child.kill();
                let _ = running.child.wait();
                panic!("the service had to be killed: it did not end in {UNTIL_MAX:?}")
            }
        }
    }

    /// Kills the service without any warning and starts it again on the same directory.
    #[track_caller]
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.start();
    }

    /// `audit verify` on the data directory holds.
    #[track_caller]
    pub fn verify(&self) {
        let output = self.cli(["audit", "verify"]);
        assert!(output.status.success(), "audit verify: {output:?}");
    }

    /// A caller that bears the API key that `init` made under this name.
    #[track_caller]
    pub fn caller(&self, key: &str) -> Caller {
        Caller {
            address: self.addresses().listen,
            bearer: self.key(key),
        }
    }

    /// A caller that logged in with that key and bears the token.
    #[track_caller]
    pub fn login(&self, key: &str) -> Caller {
        let anyone = Caller {
            address: self.addresses().listen,
            bearer: String::new(),
        };
        let token = anyone
            .post("/auth/login", &json!({"api_key": self.key(key)}))
            .expect(200);
        let bearer = token["access_token"].as_str().unwrap().to_owned();
        Caller { bearer, ..anyone }
    }

    /// Waits until the service says that it is halted.
    #[track_caller]
    pub fn until_halted(&self) -> Value {
        let caller = self.caller("admin");
        until("the service is halted", || {
            let status = caller.status();
            if status["status"] == "emergency_shutdown" {
                Ok(status)
            } else {
                Err(status.to_string())
            }
        })
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// The last lines that the service wrote on stderr, over all its starts.
    pub fn log(&self) -> String {
        tail(&self.log_file())
    }
}

impl Drop for Daemon {
    /// Stops the service by its pid. A test fails when that takes force, or when the journal does
    /// not verify afterwards; a test that failed already prints the log.
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let mut complaint = None;
        if let Some(mut running) = self.running.take() {
            let pid = Pid::from_raw(running.child.id().try_into().unwrap_or(0));
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
            if wait_bounded(&mut running.child).is_none() {
                let _ = running.child.kill();
                let _ = running.child.wait();
                complaint = Some(format!(
                    "the service had to be killed: SIGTERM did not end it in {UNTIL_MAX:?}"
                ));
            }
        }
        if complaint.is_none() && self.data().join("journal.db").exists() {
            let output = self.cli(["audit", "verify"]);
            if !output.status.success() {
                complaint = Some(format!("audit verify: {output:?}"));
            }
        }
        if failed || complaint.is_some() {
            eprintln!("-- log of {}\n{}--", self.data().display(), self.log());
        }
        match complaint {
            Some(complaint) if !failed => panic!("{complaint}"),
            Some(complaint) => eprintln!("also: {complaint}"),
            None => {}
        }
    }
}

/// Somebody who calls the API.
#[derive(Debug, Clone)]
pub struct Caller {
    address: SocketAddr,
    bearer: String,
}

impl Caller {
    /// The same caller at another address, such as the control listener's.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self {
            address,
            ..self.clone()
        }
    }

    /// The same address with another credential; empty = none.
    pub fn bearing(&self, bearer: &str) -> Self {
        Self {
            bearer: bearer.to_owned(),
            ..self.clone()
        }
    }

    /// Sends a request below `/api/v1`, with any body; an error means that no whole answer came.
    ///
    /// # Errors
    ///
    /// As [`http::send`].
    pub fn send(&self, method: &str, path: &str, body: Option<&str>) -> std::io::Result<Reply> {
        let bearer = format!("Bearer {}", self.bearer);
        let credential = [("Authorization", bearer.as_str())];
        let headers: &[_] = if self.bearer.is_empty() {
            &[]
        } else {
            &credential
        };
        http::send(
            self.address,
            method,
            &format!("/api/v1{path}"),
            headers,
            body,
        )
    }

    /// A `GET` that is answered.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None).unwrap()
    }

    /// A `POST` that is answered.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, Some(&body.to_string())).unwrap()
    }

    /// A `DELETE` that is answered.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None).unwrap()
    }

    /// Posts an order that is answered.
    #[track_caller]
    pub fn order(&self, order: &Value) -> Reply {
        self.post("/trading/orders", order)
    }

    /// Posts an order to a service that may be killed or halted meanwhile.
    ///
    /// # Errors
    ///
    /// When no whole answer came.
    pub fn try_order(&self, order: &Value) -> std::io::Result<Reply> {
        self.send("POST", "/trading/orders", Some(&order.to_string()))
    }

    /// The trading status.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.get("/trading/status").expect(200)
    }

    /// Stops everything; the report.
    #[track_caller]
    pub fn emergency_stop(&self, reason: &str) -> Value {
        let body = json!({"confirmation": "EMERGENCY_STOP_CONFIRMED", "reason": reason});
        self.post("/admin/emergency-stop", &body).expect(200)
    }
}

/// A buy that fills at once: above the paper venue's ask of 0.2501.
pub fn filling(client_order_id: &str) -> Value {
    json!({
        "symbol": "SEI/USDC", "side": "buy", "price": "0.2510", "size": "100",
        "client_order_id": client_order_id,
    })
}

/// A buy that rests: below the paper venue's bid of 0.2499 and inside the collar.
pub fn resting(client_order_id: &str) -> Value {
    json!({
        "symbol": "SEI/USDC", "side": "buy", "price": "0.2400", "size": "100",
        "client_order_id": client_order_id,
    })
}

/// The program, with nothing of the caller's environment that could steer it.
pub fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"FLASHGUARD") {
            command.env_remove(name);
        }
    }
    command
}

/// What a verb printed with `--json`, when it succeeded.
#[track_caller]
pub fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("not JSON: {output:?}"))
}

/// Runs a program to its end, without input; kills it after [`UNTIL_MAX`].
#[track_caller]
pub fn run_bounded(command: &mut Command) -> Output {
    let piped = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let read = |pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = BufReader::new(pipe).read_to_end(&mut bytes);
            bytes
        })
    };
    let stdout = read(Box::new(child.stdout.take().unwrap()));
    let stderr = read(Box::new(child.stderr.take().unwrap()));
    let status = wait_bounded(&mut child);
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let Some(status) = status else {
        panic!(
            "{command:?} did not end in {UNTIL_MAX:?}: {}",
            String::from_utf8_lossy(&stderr)
        );
    };
    Output {
        status,
        stdout,
        stderr,
    }
}

fn wait_bounded(child: &mut Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < UNTIL_MAX {
        if let Some(status) = child.try_wait().ok()? {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

fn tail(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES_MAX);
    lines[from..]
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}
