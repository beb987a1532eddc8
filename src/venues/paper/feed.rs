//! What the venue tells by itself as it happens: best prices, trades, and an account's own fills.
//!
//! The desk notes what its changes mean, and hands it out once they are committed. Each subscriber has
//! a bounded queue; who lets it fill up is dismissed, and waits for nobody. How a subscriber is
//! spoken to is `feed_socket.rs`.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::answer;
use super::exchange::{Change, Exchange};
use super::faults::CallName;
use super::market::{MARKETS, units_text};
use super::order::{Fill, Liquidity, Side};

/// Most messages that wait for one subscriber; one more and it is dismissed.
pub const WAITING_MESSAGES_MAX: usize = 1_024;

/// Most subscribers at one time.
pub const SUBSCRIBERS_MAX: usize = 64;

/// Best bid and ask of a market, in ticks; `None` where that side is empty.
type Top = (Option<u64>, Option<u64>);

/// One thing that is told.
#[derive(Debug, Clone)]
pub enum Message {
    /// The best prices of a market are now these.
    Book {
        /// Index of the market.
        market: usize,
        /// Best bid and ask.
        top: Top,
        /// When, Unix ms.
        at_ms: u64,
    },
    /// Something was traded.
    Trade(Arc<Fill>, Side),
    /// An order of the subscriber's account was filled.
    Fill(Arc<Fill>),
}

impl Message {
    /// The name in plans and counts.
    pub fn name(&self) -> CallName {
        match self {
            Self::Book { .. } => CallName::FeedBook,
            Self::Trade(..) => CallName::FeedTrade,
            Self::Fill(_) => CallName::FeedFill,
        }
    }

    /// The message as JSON, with its number on its connection; `None` when its market is none.
    pub fn to_json(&self, seq: u64) -> Option<Value> {
        match self {
            Self::Book { market, top, at_ms } => {
                let market = MARKETS.get(*market)?;
                let price = |ticks: Option<u64>| {
                    ticks.map(|ticks| units_text(i128::from(ticks), market.price_decimals))
                };
                Some(json!({
                    "seq": seq, "type": "book", "symbol": market.symbol,
                    "bid": price(top.0), "ask": price(top.1), "ts": at_ms,
                }))
            }
            Self::Trade(fill, taker_side) => {
                let market = MARKETS.get(fill.market)?;
                Some(json!({
                    "seq": seq, "type": "trade", "symbol": market.symbol,
                    "side": taker_side.word(),
                    "price": units_text(i128::from(fill.ticks), market.price_decimals),
                    "quantity": units_text(i128::from(fill.lots), market.size_decimals),
                    "ts": fill.at_ms,
                }))
            }
            Self::Fill(fill) => {
                let mut message = json!({ "seq": seq, "type": "fill" });
                let fields = answer::fill(fill)?;
                if let (Some(message), Value::Object(fields)) = (message.as_object_mut(), fields) {
                    message.extend(fields);
                }
                Some(message)
            }
        }
    }
}

/// The desk's end of a subscription.
pub struct Subscriber {
    account: Arc<str>,
    queue: mpsc::Sender<Message>,
    /// Held so that its drop tells the other end at once, whatever waits in the queue.
    _held: oneshot::Sender<()>,
}

/// The receiving end of a subscription.
pub struct Subscription {
    /// What is told, in order.
    pub messages: mpsc::Receiver<Message>,
    /// Ends when the subscriber was dismissed or the venue stopped.
    pub dismissed: oneshot::Receiver<()>,
}

/// Makes both ends of a subscription of an account.
pub fn subscription(account: Arc<str>) -> (Subscriber, Subscription) {
    let (queue, messages) = mpsc::channel(WAITING_MESSAGES_MAX);
    let (held, dismissed) = oneshot::channel();
    let subscriber = Subscriber {
        account,
        queue,
        _held: held,
    };
    let subscription = Subscription {
        messages,
        dismissed,
    };
    (subscriber, subscription)
}

/// Whose doing a change was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// An order that came: who took is told of as the trade.
    Order,
    /// The reference moved over resting orders: it took.
    Reference,
}

/// Everyone who is told, and what is to be told after the next commit.
#[derive(Default)]
pub struct Feeds {
    subscribers: Vec<Subscriber>,
    joining: Vec<Subscriber>,
    told: Vec<Top>,
    noted: Vec<Message>,
}

impl Feeds {
    /// Lets a subscriber in from the next commit on. `false`: there are too many.
    pub fn join(&mut self, subscriber: Subscriber) -> bool {
        self.subscribers.retain(|other| !other.queue.is_closed());
        let room = self.subscribers.len() + self.joining.len() < SUBSCRIBERS_MAX;
        if room {
            self.joining.push(subscriber);
        }
        room
    }

    /// Notes what changes mean for those who are told.
    pub fn note(&mut self, changes: &[Change], cause: Cause) {
        if self.subscribers.is_empty() {
            return;
        }
        for change in changes {
            let Change::Fill(fill) = change else { continue };
            let fill = Arc::new(fill.clone());
            let took = match (cause, fill.liquidity) {
                (_, Liquidity::Taker) => Some(fill.side),
                (Cause::Reference, Liquidity::Maker) => Some(fill.side.opposite()),
                // The other side of a trade that is told of by its taker.
                (Cause::Order, Liquidity::Maker) => None,
            };
            if let Some(side) = took {
                self.noted.push(Message::Trade(Arc::clone(&fill), side));
            }
            self.noted.push(Message::Fill(fill));
        }
    }

    /// Tells everyone what was noted and which best prices are new; comes after the commit. Who
    /// joins is told all best prices first.
    pub fn publish(&mut self, exchange: &Exchange, now_ms: u64) {
        if self.subscribers.is_empty() && self.joining.is_empty() {
            return;
        }
        let tops = (0..MARKETS.len()).map(|market| top(exchange, market));
        let tops = tops.collect::<Vec<_>>();
        let book = |(market, top): (usize, &Top)| Message::Book {
            market,
            top: *top,
            at_ms: now_ms,
        };
        let mut messages = std::mem::take(&mut self.noted);
        let changed = |(market, top): &(usize, &Top)| self.told.get(*market) != Some(*top);
        messages.extend(tops.iter().enumerate().filter(changed).map(book));
        self.subscribers
            .retain(|subscriber| messages.iter().all(|message| subscriber.tell(message)));
        for subscriber in self.joining.drain(..) {
            if tops
                .iter()
                .enumerate()
                .map(book)
                .all(|m| subscriber.tell(&m))
            {
                self.subscribers.push(subscriber);
            }
        }
        self.told = tops;
    }
}

impl Subscriber {
    /// Queues a message, if it is for this one. `false`: it does not keep up, or has gone.
    fn tell(&self, message: &Message) -> bool {
        match message {
            Message::Fill(fill) if fill.account != self.account => true,
            message => self.queue.try_send(message.clone()).is_ok(),
        }
    }
}

fn top(exchange: &Exchange, market: usize) -> Top {
    exchange.book(market).map_or((None, None), |(bids, asks)| {
        (
            bids.first().map(|level| level.ticks),
            asks.first().map(|level| level.ticks),
        )
    })
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
