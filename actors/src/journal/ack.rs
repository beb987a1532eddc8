//! What an append gives back: a promise that can be awaited, or waited for on a plain thread.
//!
//! No runtime is needed on either side. Dropping it loses nothing but the answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::writer::AppendError;

/// The writer's answer about one request.
#[derive(Debug)]
pub struct Ack<T>(Arc<Cell<T>>);

/// The writer's end.
#[derive(Debug)]
pub(super) struct Promise<T>(Option<Arc<Cell<T>>>);

#[derive(Debug)]
struct Cell<T> {
    state: Mutex<State<T>>,
    answered: Condvar,
}

#[derive(Debug)]
struct State<T> {
    answer: Option<Result<T, AppendError>>,
    waker: Option<Waker>,
}

/// A promise and who waits for it.
pub(super) fn pair<T>() -> (Promise<T>, Ack<T>) {
    let cell = Arc::new(Cell {
        state: Mutex::new(State {
            answer: None,
            waker: None,
        }),
        answered: Condvar::new(),
    });
    (Promise(Some(cell.clone())), Ack(cell))
}

impl<T> Promise<T> {
    /// Gives the answer.
    pub(super) fn keep(mut self, answer: Result<T, AppendError>) {
        if let Some(cell) = self.0.take() {
            cell.answer(answer);
        }
    }
}

impl<T> Drop for Promise<T> {
    /// A promise that nobody kept: the writer is gone.
    fn drop(&mut self) {
        if let Some(cell) = self.0.take() {
            cell.answer(Err(AppendError::Dead("the writer is gone".into())));
        }
    }
}

impl<T> Cell<T> {
    fn answer(&self, answer: Result<T, AppendError>) {
        let waker = {
            let mut state = self.state.lock();
            state.answer = Some(answer);
            state.waker.take()
        };
        self.answered.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T: Clone> Ack<T> {
    /// Waits on this thread, at most `limit`. `None`: no answer yet; the request stands, and
    /// waiting again is allowed. Not for async threads.
    pub fn wait(&self, limit: Duration) -> Option<Result<T, AppendError>> {
        let until = Instant::now() + limit;
        let mut state = self.0.state.lock();
        while state.answer.is_none() {
            if self.0.answered.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.answer.clone()
    }
}

impl<T: Clone> Future for Ack<T> {
    type Output = Result<T, AppendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state.lock();
        match &state.answer {
            Some(answer) => Poll::Ready(answer.clone()),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
