//! A thread of the library's own that runs an actix `System`.
//!
//! An arbiter made where no `System` runs panics, and the embedder's threads are not ours to
//! decorate. So the library brings its own: [`SystemThread::start`]. Supervisors run on it, actors
//! run on arbiters made from it, and nothing that could block does.

use super::timers::Timers;
use actix_rt::{Arbiter, ArbiterHandle, System};
use parking_lot::Mutex;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for the thread, or for an arbiter, to come up.
pub const THREAD_START_LIMIT_MS: u64 = 5_000;
/// Pause between two looks at threads that are ending.
const END_POLL_MS: u64 = 2;

/// A thread that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadError {
    /// The operating system refused a thread or its event loop.
    #[error("cannot start a thread for actors")]
    Start(#[source] io::Error),
    /// It did not come up within [`THREAD_START_LIMIT_MS`].
    #[error("a thread for actors did not come up in time")]
    Late,
    /// The system thread has stopped, or been stopped.
    #[error("the system thread has stopped")]
    Stopped,
}

/// The owner of the system thread. Dropping it asks the thread to stop, [`SystemThread::stop`] also
/// waits for it.
#[derive(Debug)]
pub struct SystemThread {
    handle: SystemHandle,
    /// Taken by `stop`.
    thread: Option<JoinHandle<()>>,
}

/// Makes arbiters and supervisors on a system thread, from any thread or runtime. Cheap to clone.
#[derive(Clone)]
pub struct SystemHandle {
    system: System,
    timers: Arc<Timers>,
    /// All arbiters that were made, so that `stop` can join them.
    arbiters: Arc<Mutex<Vec<Arbiter>>>,
}

impl std::fmt::Debug for SystemHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SystemHandle")
            .field(&self.system.id())
            .finish()
    }
}

/// What [`SystemThread::stop`] left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopReport {
    /// Threads that were still busy at the limit: stuck in a hung actor.
    pub unfinished_threads: usize,
}

impl SystemThread {
    /// Starts a thread called `name` with an actix `System` on it.
    ///
    /// # Errors
    ///
    /// [`ThreadError::Start`] when the operating system refuses, [`ThreadError::Late`] when the
    /// thread does not come up in time.
    pub fn start(name: &str) -> Result<Self, ThreadError> {
        let timers = Timers::start(name).map_err(ThreadError::Start)?;
        let (up, is_up) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run_system(&up))
            .map_err(ThreadError::Start)?;
        let system = is_up
            .recv_timeout(Duration::from_millis(THREAD_START_LIMIT_MS))
            .map_err(|_| ThreadError::Late)?
            .map_err(ThreadError::Start)?;
        let handle = SystemHandle {
            system,
            timers,
            arbiters: Arc::new(Mutex::new(Vec::new())),
        };
        Ok(Self {
            handle,
            thread: Some(thread),
        })
    }

    /// A handle to give away.
    #[must_use]
    pub fn handle(&self) -> SystemHandle {
        self.handle.clone()
    }

    /// Stops the system and all its arbiters and joins their threads, for at most `limit`.
    ///
    /// It blocks: call it from a plain thread. Threads that are stuck in a hung actor are left and
    /// counted; only an actor whose `Drop` never returns holds it up.
    #[must_use]
    pub fn stop(mut self, limit: Duration) -> StopReport {
        let until = Instant::now() + limit;
        self.handle.system.stop();
        let mut unfinished = 0;
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(END_POLL_MS));
            }
            unfinished += usize::from(!thread.is_finished() || thread.join().is_err());
        }
        let arbiters = std::mem::take(&mut *self.handle.arbiters.lock());
        for arbiter in arbiters {
            arbiter.stop();
            while arbiter.alive() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(END_POLL_MS));
            }
            unfinished += usize::from(arbiter.alive() || arbiter.join().is_err());
        }
        StopReport {
            unfinished_threads: unfinished,
        }
    }
}

impl Drop for SystemThread {
    fn drop(&mut self) {
        self.handle.system.stop();
    }
}

/// The life of the system thread.
fn run_system(up: &mpsc::Sender<io::Result<System>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            // The starter may have given up waiting; then nobody needs to know.
            let _ = up.send(Err(error));
            return;
        }
    };
    let runner = System::with_tokio_rt(|| runtime);
    if up.send(Ok(System::current())).is_err() {
        return;
    }
    if let Err(error) = runner.run() {
        tracing::error!(%error, "the system thread ended with an error");
    }
}

impl SystemHandle {
    /// Makes an arbiter: a thread with an event loop for actors. It blocks for a fraction of a
    /// millisecond, and may be called from any thread, inside or outside a runtime.
    ///
    /// # Errors
    ///
    /// [`ThreadError`] when the system thread has stopped or the thread cannot be made.
    pub fn new_arbiter(&self) -> Result<ArbiterHandle, ThreadError> {
        let here = System::try_current().is_some_and(|here| here.id() == self.system.id());
        let arbiter = if here {
            Arbiter::try_new()
        } else {
            let (made, is_made) = mpsc::channel();
            let asked = self.system.arbiter().spawn_fn(move || {
                // The asker may have given up waiting; the arbiter then ends with its last handle.
                let _ = made.send(Arbiter::try_new());
            });
            if !asked {
                return Err(ThreadError::Stopped);
            }
            is_made
                .recv_timeout(Duration::from_millis(THREAD_START_LIMIT_MS))
                .map_err(|error| match error {
                    mpsc::RecvTimeoutError::Timeout => ThreadError::Late,
                    mpsc::RecvTimeoutError::Disconnected => ThreadError::Stopped,
                })?
        }
        .map_err(ThreadError::Start)?;
        let handle = arbiter.handle();
        let mut arbiters = self.arbiters.lock();
        arbiters.retain(Arbiter::alive);
        arbiters.push(arbiter);
        Ok(handle)
    }

    /// The arbiter of the system thread itself: for supervisors, never for what could block.
    pub(crate) fn root(&self) -> &ArbiterHandle {
        self.system.arbiter()
    }

    pub(crate) fn timers(&self) -> &Arc<Timers> {
        &self.timers
    }
}
