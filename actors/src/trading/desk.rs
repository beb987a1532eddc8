//! Conversations with the venue besides placing orders: typed questions, typed answers.
//!
//! Each one is framed by the key manager and travels on a connection that is not an order
//! connection, so that cancels and re-reads pass in every state (K1, K12). Nothing is resent here.

use std::sync::Arc;

use super::health::{self, CallEnd};
use crate::domain::clock::SharedClock;
use crate::domain::market::{Market, Symbol};
use crate::domain::order::{OrderId, VenueOrderId};
use crate::key_manager::KeyManager;
use crate::ports::venue::{
    Account, FeedConnection, Query, Quote, Reply, SharedVenue, VenueError, VenueFill, VenueOrder,
    VenuePosition, Verdict,
};

/// One venue and the keys to talk to it.
#[derive(Clone)]
pub struct Desk {
    venue: SharedVenue,
    keys: Arc<KeyManager>,
    clock: SharedClock,
    watch: CallWatch,
}

/// Is told how every call to the venue ended, orders and queries alike.
pub type CallWatch = Arc<dyn Fn(CallEnd) + Send + Sync>;

macro_rules! question {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $answer:ty,
        $query:expr, $reply:pat => $value:expr) => {
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// [`VenueError`] for everything that is not a clear answer.
        pub async fn $name(&self, $($arg: $type),*) -> Result<$answer, VenueError> {
            match self.ask($query).await? {
                $reply => Ok($value),
                _ => Err(mismatch()),
            }
        }
    };
}

impl Desk {
    /// A desk at `venue`.
    pub fn new(venue: SharedVenue, keys: Arc<KeyManager>, clock: SharedClock) -> Self {
        Self {
            venue,
            keys,
            clock,
            watch: Arc::new(|_| {}),
        }
    }

    /// The same desk, of whose calls `watch` is told.
    #[must_use]
    pub fn watched_by(mut self, watch: CallWatch) -> Self {
        self.watch = watch;
        self
    }

    /// An order was sent, with this verdict; its ticket was current then, or not any more.
    pub fn sent(&self, verdict: &Verdict, ticket_is_current: bool) {
        if let Some(end) = health::end_of_order(verdict, ticket_is_current) {
            (self.watch)(end);
        }
    }

    /// The venue.
    pub fn venue(&self) -> &SharedVenue {
        &self.venue
    }

    question!(
        /// Who the credential is, with which scopes.
        account() -> Account, Query::Account, Reply::Account(account) => account);
    question!(
        /// Everything that rests, also what this process does not know.
        open_orders() -> Vec<VenueOrder>, Query::OpenOrders, Reply::OpenOrders(orders) => orders);
    question!(
        /// One order by our id; `None` when the venue does not have it.
        order(id: OrderId) -> Option<VenueOrder>,
        Query::OrderById(id), Reply::Order(order) => order);
    question!(
        /// Positions, signed.
        positions() -> Vec<VenuePosition>, Query::Positions, Reply::Positions(all) => all);
    question!(
        /// Fills behind the cursor, oldest first.
        fills(since: Option<String>) -> Vec<VenueFill>,
        Query::Fills { since }, Reply::Fills(fills) => fills);
    question!(
        /// Which markets there are.
        markets() -> Vec<Market>, Query::Markets, Reply::Markets(markets) => markets);
    question!(
        /// Best bid and ask.
        book(symbol: Symbol) -> Quote, Query::Book(symbol), Reply::Book(quote) => quote);
    question!(
        /// Asks to cancel everything. Accepted is not confirmed.
        cancel_all() -> (), Query::CancelAll, Reply::CancelAllAccepted => ());

    /// Asks to cancel one order. Accepted, or not resting any more, is not confirmed either way.
    ///
    /// # Errors
    ///
    /// [`VenueError`] for everything that is not a clear answer.
    pub async fn cancel(&self, id: VenueOrderId) -> Result<(), VenueError> {
        match self.ask(Query::Cancel(id)).await? {
            Reply::CancelAccepted | Reply::NothingToCancel => Ok(()),
            _ => Err(mismatch()),
        }
    }

    /// Opens the venue's feed.
    ///
    /// # Errors
    ///
    /// [`VenueError`] where there is none, or it does not open.
    pub async fn feed(&self) -> Result<Box<dyn FeedConnection>, VenueError> {
        let now = self.clock.now();
        let Some(framed) = self.keys.frame_feed(self.venue.framing(), now) else {
            let internal = "this venue has no feed".to_owned();
            return Err(VenueError::Unreachable { internal });
        };
        self.venue.feed(framed).await
    }

    async fn ask(&self, query: Query) -> Result<Reply, VenueError> {
        let now = self.clock.now();
        let framed = self.keys.frame_query(self.venue.framing(), &query, now);
        let answer = self.venue.ask(query, framed).await;
        (self.watch)(health::end_of_query(&answer));
        match &answer {
            Ok(_) => self.keys.credential_answered(true),
            Err(VenueError::CredentialRejected) => self.keys.credential_answered(false),
            Err(_) => {}
        }
        answer
    }
}

fn mismatch() -> VenueError {
    VenueError::Unreadable {
        internal: "an answer to another question".into(),
    }
}
