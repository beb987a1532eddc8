//! One event to many actors, and the names of those that did not answer.
//!
//! Nobody can hold up the others: all are sent to before any answer is awaited, and the deadline
//! is one for all. A broadcast goes beyond the in-flight budget, so that a busy actor hears it too;
//! it stands behind what waits in the mailbox already. An actor that is restarting is named and not
//! waited for: it learns the present state from its factory.

use super::events::ActorName;
use super::stable::{CallError, StableRecipient};
use actix::Message;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Subscribers that one broadcast takes.
pub const SUBSCRIBERS_MAX: usize = 16_384;

/// Sends one kind of event to its subscribers. Cheap to clone.
pub struct Broadcast<M: Message + Send + 'static>
where
    M::Result: Send,
{
    subscribers: Arc<RwLock<BTreeMap<ActorName, StableRecipient<M>>>>,
}

impl<M: Message + Send + 'static> Clone for Broadcast<M>
where
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self {
            subscribers: Arc::clone(&self.subscribers),
        }
    }
}

impl<M: Message + Send + 'static> fmt::Debug for Broadcast<M>
where
    M::Result: Send,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("subscribers", &self.subscribers.read().len())
            .finish()
    }
}

impl<M: Message + Send + 'static> Default for Broadcast<M>
where
    M::Result: Send,
{
    fn default() -> Self {
        Self {
            subscribers: Arc::default(),
        }
    }
}

/// What became of a broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<R> {
    /// Who answered, with the answer, in the order in which the answers came.
    pub acknowledged: Vec<(ActorName, R)>,
    /// Who did not, by name.
    pub laggards: Vec<Laggard>,
}

/// A subscriber without an answer at the deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laggard {
    /// Its name.
    pub name: ActorName,
    /// Why: [`CallError::Timeout`] when it was simply silent.
    pub why: CallError,
}

/// The broadcast has as many subscribers as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a broadcast takes at most {SUBSCRIBERS_MAX} subscribers")]
pub struct TooManySubscribers;

impl<M: Message + Clone + Send + 'static> Broadcast<M>
where
    M::Result: Send,
{
    /// A broadcast without subscribers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subscriber; one of the same name is replaced.
    ///
    /// # Errors
    ///
    /// [`TooManySubscribers`] beyond [`SUBSCRIBERS_MAX`].
    pub fn subscribe(&self, subscriber: StableRecipient<M>) -> Result<(), TooManySubscribers> {
        let mut subscribers = self.subscribers.write();
        let name = subscriber.name();
        if subscribers.len() >= SUBSCRIBERS_MAX && !subscribers.contains_key(name) {
            return Err(TooManySubscribers);
        }
        subscribers.insert(name.clone(), subscriber);
        Ok(())
    }

    /// Removes a subscriber; true when it was there.
    pub fn unsubscribe(&self, name: &ActorName) -> bool {
        self.subscribers.write().remove(name).is_some()
    }

    /// Sends `event` to all subscribers and collects their answers until all have answered or
    /// `limit` has passed.
    pub async fn send(&self, event: M, limit: Duration) -> Delivery<M::Result> {
        let mut delivery = Delivery {
            acknowledged: Vec::new(),
            laggards: Vec::new(),
        };
        // A copy: no lock is held while answers are awaited.
        let subscribers: Vec<_> = self.subscribers.read().values().cloned().collect();
        let Some(timers) = subscribers.first().map(|first| Arc::clone(first.timers())) else {
            return delivery;
        };
        let mut silent = BTreeSet::new();
        let mut waiting = FuturesUnordered::new();
        for subscriber in subscribers {
            let name = subscriber.name().clone();
            match subscriber.send_beyond_budget(event.clone()) {
                Ok(sent) => {
                    silent.insert(name.clone());
                    waiting.push(async move { (name, sent.await) });
                }
                Err(why) => delivery.laggards.push(Laggard { name, why }),
            }
        }
        let mut deadline = std::pin::pin!(timers.sleep(limit));
        loop {
            let (name, answer) = tokio::select! {
                biased;
                answered = waiting.next() => match answered {
                    Some(answered) => answered,
                    None => break,
                },
                () = &mut deadline => break,
            };
            silent.remove(&name);
            match answer {
                Ok(answer) => delivery.acknowledged.push((name, answer)),
                Err(why) => delivery.laggards.push(Laggard { name, why }),
            }
        }
        let why = CallError::Timeout;
        let late = silent.into_iter().map(|name| Laggard { name, why });
        delivery.laggards.extend(late);
        delivery
    }
}
