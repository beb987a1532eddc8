//! Deadlines that hold whatever the caller's runtime does.
//!
//! A handle may be used from any executor, or from none that has timers, so deadlines are kept by
//! a thread of their own on which nothing else runs: no blocked actor can delay them. The thread
//! ends when the last handle that refers to it is gone.

use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// The thread of deadlines. Shared by every stable handle of a system.
pub(crate) struct Timers {
    handle: Handle,
    /// Dropped with the last owner: then the thread ends.
    _running: oneshot::Sender<()>,
}

impl Timers {
    /// Starts the thread.
    pub(crate) fn start(name: &str) -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name(format!("{name}-timers"))
            .spawn(move || {
                // An error is the signal: the last owner has dropped the sender.
                let _ = runtime.block_on(ended);
            })?;
        Ok(Arc::new(Self {
            handle,
            _running: running,
        }))
    }

    /// A sleep that any executor can poll.
    ///
    /// It must not be polled after the last owner of `self` is gone: whoever holds the sleep holds
    /// `self` too.
    pub(crate) fn sleep(&self, span: Duration) -> Sleep {
        let _entered = self.handle.enter();
        tokio::time::sleep(span)
    }

    /// Lets `rest` come to its end on the thread of deadlines. It must never block.
    pub(crate) fn finish(&self, rest: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(rest);
    }
}
