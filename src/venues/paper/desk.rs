//! The venue's one thread: takes calls in turn, changes the exchange, commits, and only then answers.
//!
//! Everything that waits when a call comes is done in one group with one commit. When a commit
//! fails, nobody of the group is answered and the desk ends: what it holds in memory is then ahead
//! of what it remembers. A venue made anew on the same directory knows what was committed.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use alloy_sol_types::Eip712Domain;
use flashguard_actors::domain::clock::SharedClock;
use serde_json::Value;
use tokio::sync::oneshot;

use super::answer::{self, Answer};
use super::auth::Key;
use super::call::{Call, OrderBody, Problem};
use super::exchange::Exchange;
use super::feed::{Cause, Feeds, Subscriber, Subscription, subscription};
use super::order::{NewOrder, Order, Status};
use super::reference::STEP_MS;
use super::store::{Store, StoreError};
use super::verify::{Signed, digest, recover};

/// Most calls that wait for the desk; one more is answered 503.
const WAITING_CALLS_MAX: usize = 4_096;

/// Most calls in one group, that is, in one commit.
const GROUP_CALLS_MAX: usize = 256;

/// How long a closed order is found by its sender's id, in milliseconds: 24 hours.
pub const CLOSED_ORDER_KNOWN_MS: u64 = 24 * 60 * 60 * 1_000;

/// A call with its account, on its way to the desk.
enum Task {
    Place {
        account: Arc<str>,
        terms: Box<NewOrder>,
    },
    Other {
        account: Arc<str>,
        call: Call,
    },
    /// A cancel that is answered as `call` would be, and does less. Only a simulator does this.
    Feign {
        account: Arc<str>,
        call: Call,
        share_pct: u64,
    },
    Subscribe(Subscriber),
}

/// A call that was read and checked, ready to be done or answered already.
pub struct Errand(Result<Task, Answer>);

impl Errand {
    /// The same, but only this share of a cancel is really done; anything else stays as it is.
    pub fn feigned(self, share_pct: u64) -> Self {
        Self(self.0.map(|task| match task {
            Task::Other {
                account,
                call: call @ (Call::Cancel(_) | Call::CancelAll),
            } => Task::Feign {
                account,
                call,
                share_pct,
            },
            task => task,
        }))
    }
}

struct Waiting {
    task: Task,
    reply: oneshot::Sender<Answer>,
}

/// Where calls are handed in. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Counter {
    tasks: SyncSender<Waiting>,
    domain: Arc<Eip712Domain>,
}

impl Counter {
    /// Makes an errand of a call by the owner of a key; the signature of an order is checked here.
    pub fn prepare(&self, key: &Key, call: Call) -> Errand {
        let account = Arc::clone(&key.account);
        Errand(match call {
            Call::Markets => Err(answer::markets()),
            Call::Account => Err(answer::account(key)),
            Call::Place(body) => match verified(&self.domain, key, *body) {
                Ok(terms) => Ok(Task::Place {
                    account,
                    terms: Box::new(terms),
                }),
                Err(problem) => Err(problem.into()),
            },
            call => Ok(Task::Other { account, call }),
        })
    }

    /// Lets the owner of a key be told what happens.
    ///
    /// # Errors
    ///
    /// [`Problem`], 403 for a key that may not read, 503 when too many are told already.
    pub async fn subscribe(&self, key: &Key) -> Result<Subscription, Problem> {
        if !key.may(Call::Account.needs()) {
            let message = "the API key lacks the scope that the feed needs";
            return Err(Problem::new(403, "SCOPE", message));
        }
        let (subscriber, subscription) = subscription(Arc::clone(&key.account));
        match self.carry(Errand(Ok(Task::Subscribe(subscriber)))).await {
            Answer { status: 200, .. } => Ok(subscription),
            _ => Err(Problem::new(503, "OVERLOADED", "too many feeds are open")),
        }
    }

    /// Does an errand and waits for the answer, which is already stored.
    pub async fn carry(&self, errand: Errand) -> Answer {
        let task = match errand.0 {
            Ok(task) => task,
            Err(answer) => return answer,
        };
        let (reply, answer) = oneshot::channel();
        match self.tasks.try_send(Waiting { task, reply }) {
            Ok(()) => answer.await.unwrap_or_else(|_| out_of_order()),
            Err(TrySendError::Full(_)) => {
                Problem::new(503, "OVERLOADED", "too many requests wait; try again").into()
            }
            Err(TrySendError::Disconnected(_)) => out_of_order(),
        }
    }
}

/// What runs on the venue's thread.
pub struct Desk {
    exchange: Exchange,
    store: Store,
    clock: SharedClock,
    tasks: Receiver<Waiting>,
    /// Whether the reference walks while nobody calls.
    walks: bool,
    feeds: Feeds,
}

/// Makes the desk and the counter in front of it. The desk ends when every counter is gone.
pub fn open(
    exchange: Exchange,
    store: Store,
    clock: SharedClock,
    domain: Eip712Domain,
    walks: bool,
) -> (Desk, Counter) {
    let (sender, tasks) = sync_channel(WAITING_CALLS_MAX);
    let counter = Counter {
        tasks: sender,
        domain: Arc::new(domain),
    };
    (
        Desk {
            exchange,
            store,
            clock,
            tasks,
            walks,
            feeds: Feeds::default(),
        },
        counter,
    )
}

impl Desk {
    /// Serves until every counter is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when something could not be stored; nobody was told of it.
    pub fn run(mut self) -> Result<(), StoreError> {
        loop {
            let first = match self.next() {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            self.group(first)?;
        }
    }

    fn next(&self) -> Result<Option<Waiting>, RecvTimeoutError> {
        if self.walks {
            return self
                .tasks
                .recv_timeout(Duration::from_millis(STEP_MS))
                .map(Some);
        }
        self.tasks
            .recv()
            .map(Some)
            .map_err(|_| RecvTimeoutError::Disconnected)
    }

    /// Does everything that waits, commits once, answers all.
    fn group(&mut self, first: Option<Waiting>) -> Result<(), StoreError> {
        let now_ms = self.clock.now().as_millis();
        let walked = self.exchange.advance(now_ms);
        self.store.write(&walked)?;
        self.feeds.note(&walked, Cause::Reference);
        let mut answers = Vec::new();
        let mut next = first;
        while let Some(Waiting { task, reply }) = next {
            let answer = match task {
                Task::Place { account, terms } => self.place(&account, *terms, now_ms)?,
                Task::Other { account, call } => self.other(&account, call, now_ms)?,
                Task::Feign {
                    account,
                    call,
                    share_pct,
                } => self.feign(&account, call, share_pct, now_ms)?,
                Task::Subscribe(subscriber) => match self.feeds.join(subscriber) {
                    true => Answer::ok(Value::Null),
                    false => out_of_order(),
                },
            };
            answers.push((reply, answer));
            let more = answers.len() < GROUP_CALLS_MAX;
            next = if more {
                self.tasks.try_recv().ok()
            } else {
                None
            };
        }
        self.store.commit(self.exchange.references())?;
        self.feeds.publish(&self.exchange, now_ms);
        for (reply, answer) in answers {
            // A caller who went away has lost only the answer; the order stands.
            let _ = reply.send(answer);
        }
        Ok(())
    }

    fn place(
        &mut self,
        account: &Arc<str>,
        terms: NewOrder,
        now_ms: u64,
    ) -> Result<Answer, StoreError> {
        if let Some(known) = self
            .store
            .order_by_client_id(account, &terms.client_order_id)?
        {
            let same = known.terms.digest == terms.digest && known.terms.signer == terms.signer;
            let other = "client_order_id belongs to another order of this account";
            return Ok(if same {
                answer::placed(&known, true)
            } else {
                Problem::new(409, "DUPLICATE_CLIENT_ORDER_ID", other).into()
            });
        }
        let (order, changes) = self.exchange.place(account, terms, now_ms);
        self.store.write(&changes)?;
        self.feeds.note(&changes, Cause::Order);
        Ok(answer::placed(&order, false))
    }

    fn other(&mut self, account: &str, call: Call, now_ms: u64) -> Result<Answer, StoreError> {
        Ok(match call {
            Call::Cancel(number) => self.cancel(account, number, now_ms)?,
            Call::CancelAll => {
                let (orders, changes) = self.exchange.cancel_all(account, now_ms);
                self.store.write(&changes)?;
                answer::all_cancelled(&orders)
            }
            Call::OpenOrders => answer::orders(self.exchange.live_orders(account), None),
            Call::AllOrders { after, limit } => {
                let orders = self.store.orders(account, after, limit)?;
                answer::orders(orders.iter(), orders.last().map(|order| order.number))
            }
            Call::OrderByClientId(id) => {
                let known = self.store.order_by_client_id(account, &id)?;
                match known.filter(|order| is_remembered(order, now_ms)) {
                    Some(order) => Answer::ok(answer::order(&order)),
                    None => unknown_order(),
                }
            }
            Call::Positions => {
                let held = self.exchange.positions(account);
                answer::positions(held.iter().map(|(index, position)| (*index, position)))
            }
            Call::Fills { since, limit } => {
                answer::fills(&self.store.fills(account, since, limit)?, since)
            }
            Call::Book(index) => match self.exchange.book(index) {
                Some((bids, asks)) => answer::book(index, &bids, &asks, now_ms),
                None => Problem::new(404, "UNKNOWN_MARKET", "no such market").into(),
            },
            // Answered at the counter; here only so that every call has an arm.
            Call::Place(_) | Call::Account | Call::Markets => out_of_order(),
        })
    }

    /// Answers a cancel as if it were done, and does the given share of it: of one order nothing, of
    /// all the oldest, rounded down.
    fn feign(
        &mut self,
        account: &str,
        call: Call,
        share_pct: u64,
        now_ms: u64,
    ) -> Result<Answer, StoreError> {
        let live = self.exchange.live_orders(account).cloned();
        let live = live.collect::<Vec<_>>();
        if let Call::Cancel(number) = call {
            let named = live.into_iter().find(|order| order.number == number);
            let Some(mut order) = named else {
                return self.other(account, call, now_ms);
            };
            order.status = Status::Cancelled;
            return Ok(answer::cancelled(&order));
        }
        let share = u64::try_from(live.len()).unwrap_or(u64::MAX);
        let share = share.saturating_mul(share_pct) / 100;
        for order in live.iter().take(usize::try_from(share).unwrap_or(0)) {
            if let Some((_, changes)) = self.exchange.cancel(account, order.number, now_ms) {
                self.store.write(&changes)?;
            }
        }
        Ok(answer::all_cancelled(&live))
    }

    fn cancel(&mut self, account: &str, number: u64, now_ms: u64) -> Result<Answer, StoreError> {
        if let Some((order, changes)) = self.exchange.cancel(account, number, now_ms) {
            self.store.write(&changes)?;
            return Ok(answer::cancelled(&order));
        }
        let closed = self.store.order(account, number)?;
        Ok(closed.map_or_else(unknown_order, |order| answer::cancelled(&order)))
    }
}

/// Whether an order is still found by its sender's id: while it lives, and 24 hours after.
fn is_remembered(order: &Order, now_ms: u64) -> bool {
    order
        .closed_at_ms
        .is_none_or(|at_ms| now_ms.saturating_sub(at_ms) <= CLOSED_ORDER_KNOWN_MS)
}

/// Checks an order's own signature and that the account accepts its signer.
fn verified(domain: &Eip712Domain, key: &Key, body: OrderBody) -> Result<NewOrder, Problem> {
    let signed = Signed {
        market: &body.market,
        side: body.side.word(),
        order_type: body.kind.word(),
        price: &body.price,
        size: &body.quantity,
        order_id: &body.client_order_id,
        expires_at_ms: body.expires_at_ms,
    };
    let digest = digest(domain, &signed);
    let signer = recover(digest, &body.signature)
        .map_err(|error| Problem::new(422, "BAD_ORDER_SIGNATURE", error.to_string()))?;
    if signer != body.signer {
        let message = "signature was not made by signer over this order";
        return Err(Problem::new(422, "BAD_ORDER_SIGNATURE", message));
    }
    if !key.signers.contains(&body.signer) {
        let message = format!("{signer} is not registered for this account");
        return Err(Problem::new(422, "UNKNOWN_SIGNER", message));
    }
    Ok(NewOrder {
        market: body.market,
        side: body.side,
        kind: body.kind,
        price: body.price,
        quantity: body.quantity,
        client_order_id: body.client_order_id,
        expires_at_ms: body.expires_at_ms,
        signer: body.signer,
        signature: body.signature,
        digest: digest.0,
    })
}

fn unknown_order() -> Answer {
    Problem::new(404, "UNKNOWN_ORDER", "the account has no such order").into()
}

fn out_of_order() -> Answer {
    Problem::new(503, "OUT_OF_ORDER", "the venue could not store what it did").into()
}
