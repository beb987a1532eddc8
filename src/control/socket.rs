//! `control.sock`: its listener, which knows who is at the other end, and its client.

use std::io::{self, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flashguard_actors::domain::identity::Principal;
use rustix::fs::Mode;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use super::directory::DataDirectory;
use super::protocol::{
    ANSWER_BYTES_MAX, Blame, Failure, Line, LineError, Progress, REQUEST_BYTES_MAX, Reply, Request,
    read_line, write_line,
};

/// The socket's name.
const NAME: &str = "control.sock";

/// Conversations at a time; more are ended at once.
const CONVERSATIONS_MAX: usize = 16;

/// How long the next request of a conversation is waited for.
const REQUEST_WAIT: Duration = Duration::from_secs(5);

/// How long a line may take to be taken by the other side.
const WRITE_WAIT: Duration = Duration::from_secs(5);

/// Connections that the kernel keeps until they are taken.
const BACKLOG: i32 = 64;

/// What the service does for people on this machine.
pub trait Control: Send + Sync + 'static {
    /// Does what `request` asks, for `by`. Called on a thread of the conversation; may take as long
    /// as the work takes, and may tell of its progress.
    fn handle(&self, request: Request, by: Principal, tell: &mut dyn FnMut(Progress)) -> Reply;
}

/// The listening socket. Dropped, it ends and takes the file away.
#[derive(Debug)]
pub struct ControlSocket {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    directory: Arc<DataDirectory>,
}

impl ControlSocket {
    /// Listens in `directory`, whose lock the caller holds: a socket left there by a killed process
    /// is replaced.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn open(directory: Arc<DataDirectory>, control: Arc<dyn Control>) -> io::Result<Self> {
        let owner = directory.owner_uid()?;
        directory.remove(NAME)?;
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // The file gets the socket's own mode at `bind`, so it is never open to others.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
        bind(&socket, &SocketAddrUnix::new(directory.short_path(NAME))?)?;
        listen(&socket, BACKLOG)?;
        let listener = UnixListener::from(socket);
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("control-socket".to_owned())
            .spawn(move || accept(&listener, &stopping, owner, &control))?;
        Ok(Self {
            stop,
            thread: Some(thread),
            directory,
        })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread out of `accept`; if that fails it is stuck there until the process ends.
        if dial(&self.directory).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
        let _ = self.directory.remove(NAME);
    }
}

fn accept(listener: &UnixListener, stop: &AtomicBool, owner: u32, control: &Arc<dyn Control>) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(error = %error, "the control socket could not take a connection");
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
        };
        if stop.load(Ordering::Acquire) {
            return;
        }
        let _ = stream.set_read_timeout(Some(REQUEST_WAIT));
        let _ = stream.set_write_timeout(Some(WRITE_WAIT));
        let Some(by) = admitted(&stream, owner) else {
            continue;
        };
        if open.fetch_add(1, Ordering::AcqRel) >= CONVERSATIONS_MAX {
            open.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (control, counted) = (Arc::clone(control), Counted(Arc::clone(&open)));
        let spawned = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                let _counted = counted;
                converse(&stream, by, control.as_ref());
            });
        if let Err(error) = spawned {
            tracing::warn!(error = %error, "the control socket could not start a thread");
        }
    }
}

/// One of the conversations that are open.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Who is at the other end, if it is the directory's owner or root; another is told so.
fn admitted(stream: &UnixStream, owner: u32) -> Option<Principal> {
    let uid = socket_peercred(stream).ok()?.uid.as_raw();
    if may_use(uid, owner) {
        return Some(Principal::local(uid));
    }
    tracing::warn!(peer.uid = uid, "the control socket refused another user");
    let refusal = Failure {
        blame: Blame::Refused,
        code: "FORBIDDEN".to_owned(),
        message: "only the data directory's owner and root may use its control socket".to_owned(),
    };
    let _ = write_line(&mut &*stream, &Line::Reply(Reply::Failed(refusal)));
    None
}

/// The directory's owner and root.
const fn may_use(uid: u32, owner: u32) -> bool {
    uid == owner || uid == 0
}

fn converse(stream: &UnixStream, by: Principal, control: &dyn Control) {
    let mut reader = BufReader::new(stream);
    loop {
        let reply = match read_line::<Request>(&mut reader, REQUEST_BYTES_MAX) {
            Ok(request) => answer(stream, request, by.clone(), control),
            Err(LineError::Ended | LineError::Broken(_)) => return,
            Err(error) => Reply::Failed(Failure {
                blame: Blame::Misuse,
                code: "INVALID_REQUEST".to_owned(),
                message: error.to_string(),
            }),
        };
        let misuse = matches!(&reply, Reply::Failed(failure) if failure.blame == Blame::Misuse);
        if write_line(&mut &*stream, &Line::Reply(reply)).is_err() || misuse {
            return;
        }
    }
}

fn answer(stream: &UnixStream, request: Request, by: Principal, control: &dyn Control) -> Reply {
    let mut tell = |progress: Progress| {
        let _ = write_line(&mut &*stream, &Line::Progress(progress));
    };
    tell(Progress::Heard);
    let handled = catch_unwind(AssertUnwindSafe(|| control.handle(request, by, &mut tell)));
    handled.unwrap_or_else(|_| {
        Reply::Failed(Failure {
            blame: Blame::Internal,
            code: "INTERNAL".to_owned(),
            message: "the service failed; its log says why".to_owned(),
        })
    })
}

/// Why there is no conversation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No service runs on this data directory.
    #[error("no service runs on this data directory")]
    NobodyThere,
    /// This user may not.
    #[error("only the data directory's owner and root may use its control socket")]
    NotAllowed,
    /// There is a socket, and nobody takes the connection or says anything.
    #[error("the service does not answer")]
    Silent(#[source] io::Error),
}

/// The client's end of a conversation.
#[derive(Debug)]
pub struct ControlClient {
    stream: BufReader<UnixStream>,
}

impl ControlClient {
    /// Connects to the service that runs on `directory`. Never waits.
    ///
    /// # Errors
    ///
    /// [`DialError`].
    pub fn dial(directory: &DataDirectory) -> Result<Self, DialError> {
        match dial(directory) {
            Ok(stream) => Ok(Self {
                stream: BufReader::new(stream),
            }),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    DialError::NobodyThere
                }
                io::ErrorKind::PermissionDenied => DialError::NotAllowed,
                _ => DialError::Silent(error),
            }),
        }
    }

    /// Asks, and waits at most `first` for any sign and at most `last` for the answer.
    ///
    /// # Errors
    ///
    /// [`DialError::Silent`] when either passes or the conversation breaks.
    pub fn ask(
        &mut self,
        request: &Request,
        first: Duration,
        last: Duration,
    ) -> Result<Reply, DialError> {
        let begun = Instant::now();
        let silent = |error: io::Error| DialError::Silent(error);
        self.stream
            .get_ref()
            .set_write_timeout(Some(first))
            .map_err(silent)?;
        let mut wire = Vec::new();
        write_line(&mut wire, request).map_err(silent)?;
        self.stream.get_mut().write_all(&wire).map_err(silent)?;
        let mut allowed = first;
        loop {
            let left = allowed.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(DialError::Silent(io::ErrorKind::TimedOut.into()));
            }
            self.stream
                .get_ref()
                .set_read_timeout(Some(left))
                .map_err(silent)?;
            match read_line::<Line>(&mut self.stream, ANSWER_BYTES_MAX) {
                Ok(Line::Reply(reply)) => return Ok(reply),
                Ok(Line::Progress(_)) => allowed = last,
                Err(error) => return Err(DialError::Silent(io::Error::other(error))),
            }
        }
    }
}

fn dial(directory: &DataDirectory) -> io::Result<UnixStream> {
    // Non-blocking, since connecting to a full backlog would wait for the other side.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(directory.short_path(NAME))?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Answers a halt with who asked, hangs and panics on demand.
    struct Parrot;

    impl Control for Parrot {
        fn handle(&self, request: Request, by: Principal, _: &mut dyn FnMut(Progress)) -> Reply {
            match request {
                Request::Halt { reason } if reason == "panic" => panic!("as asked"),
                Request::Halt { reason } if reason == "hang" => {
                    std::thread::sleep(Duration::from_secs(3));
                    Reply::Done(serde_json::Value::Null)
                }
                Request::Halt { .. } => Reply::Done(by.as_str().into()),
                _ => Reply::Done("status".into()),
            }
        }
    }

    /// A directory whose own path is longer than a socket path may be.
    fn deep_directory() -> (tempfile::TempDir, Arc<DataDirectory>) {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let directory = Arc::new(DataDirectory::open(&deep).unwrap());
        (place, directory)
    }

    fn halt(reason: &str) -> Request {
        Request::Halt {
            reason: reason.to_owned(),
        }
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn only_the_owner_and_root_may_use_it() {
        assert!(may_use(1000, 1000));
        assert!(may_use(0, 1000));
        assert!(!may_use(1001, 1000));
        assert!(!may_use(1000, 0));
    }

    #[test]
    fn who_asks_is_known_by_user_id_and_the_file_is_closed_to_others() {
        let (_place, directory) = deep_directory();
        let _socket = ControlSocket::open(Arc::clone(&directory), Arc::new(Parrot)).unwrap();
        let mode = std::fs::metadata(directory.short_path(NAME))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut client = ControlClient::dial(&directory).unwrap();
        let uid = rustix::process::getuid().as_raw();
        let reply = client.ask(&halt("x"), LONG, LONG).unwrap();
        assert_eq!(reply, Reply::Done(format!("local:{uid}").into()));
        let again = client.ask(&Request::Status {}, LONG, LONG).unwrap();
        assert_eq!(again, Reply::Done("status".into()));
    }

    #[test]
    fn a_handler_that_panics_is_told_and_the_next_request_is_served() {
        let (_place, directory) = deep_directory();
        let _socket = ControlSocket::open(Arc::clone(&directory), Arc::new(Parrot)).unwrap();
        let mut client = ControlClient::dial(&directory).unwrap();
        let Reply::Failed(failure) = client.ask(&halt("panic"), LONG, LONG).unwrap() else {
            panic!("done")
        };
        assert_eq!(failure.blame, Blame::Internal);
        assert!(matches!(
            client.ask(&Request::Status {}, LONG, LONG),
            Ok(Reply::Done(_))
        ));
    }

    #[test]
    fn a_service_that_says_nothing_is_silent_and_one_that_works_is_waited_for() {
        let (_place, directory) = deep_directory();
        let _socket = ControlSocket::open(Arc::clone(&directory), Arc::new(Parrot)).unwrap();
        let mut client = ControlClient::dial(&directory).unwrap();
        let short = Duration::from_millis(200);
        assert!(matches!(
            client.ask(&halt("hang"), LONG, short),
            Err(DialError::Silent(_))
        ));
        let mut client = ControlClient::dial(&directory).unwrap();
        assert!(matches!(
            client.ask(&halt("hang"), LONG, LONG),
            Ok(Reply::Done(_))
        ));
    }

    #[test]
    fn a_listener_that_takes_nothing_is_silent() {
        let (_place, directory) = deep_directory();
        let _listener = UnixListener::bind(directory.short_path(NAME)).unwrap();
        let mut client = ControlClient::dial(&directory).unwrap();
        let short = Duration::from_millis(200);
        assert!(matches!(
            client.ask(&halt("x"), short, LONG),
            Err(DialError::Silent(_))
        ));
    }

    #[test]
    fn without_a_service_nobody_is_there_even_if_a_killed_one_left_its_file() {
        let (_place, directory) = deep_directory();
        assert!(matches!(
            ControlClient::dial(&directory),
            Err(DialError::NobodyThere)
        ));
        drop(UnixListener::bind(directory.short_path(NAME)).unwrap());
        assert!(matches!(
            ControlClient::dial(&directory),
            Err(DialError::NobodyThere)
        ));
        let socket = ControlSocket::open(Arc::clone(&directory), Arc::new(Parrot)).unwrap();
        assert!(ControlClient::dial(&directory).is_ok());
        drop(socket);
        assert!(matches!(
            ControlClient::dial(&directory),
            Err(DialError::NobodyThere)
        ));
        assert!(!directory.has(NAME));
    }

    #[test]
    fn too_many_conversations_do_not_keep_later_ones_out() {
        let (_place, directory) = deep_directory();
        let _socket = ControlSocket::open(Arc::clone(&directory), Arc::new(Parrot)).unwrap();
        let idle: Vec<_> = (0..CONVERSATIONS_MAX * 2)
            .map(|_| ControlClient::dial(&directory).unwrap())
            .collect();
        drop(idle);
        let served = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            let mut client = ControlClient::dial(&directory).unwrap();
            matches!(
                client.ask(&Request::Status {}, LONG, LONG),
                Ok(Reply::Done(_))
            )
        });
        assert!(served);
    }

    #[test]
    fn what_is_not_a_request_is_told_what_is_wrong_and_ends_the_conversation() {
        let (_place, directory) = deep_directory();
        let _socket = ControlSocket::open(Arc::clone(&directory), Arc::new(Parrot)).unwrap();
        for bad in [
            "nonsense\n",
            "{\"request\":\"lift\"}\n",
            "{\"request\":\"halt\"}\n",
        ] {
            let mut stream = dial(&directory).unwrap();
            stream.write_all(bad.as_bytes()).unwrap();
            let line: Line = read_line(&mut BufReader::new(&stream), ANSWER_BYTES_MAX).unwrap();
            let Line::Reply(Reply::Failed(failure)) = line else {
                panic!("{line:?}")
            };
            assert_eq!(failure.blame, Blame::Misuse, "{bad}");
        }
    }
}
