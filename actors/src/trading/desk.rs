//! Conversations with the venue besides placing orders: typed questions, typed answers.
//!
//! Each one is framed by the key manager and travels on a connection that is not an order
//! connection, so that cancels and re-reads pass in every state (K1, K12). Nothing is resent here.

use std::sync::Arc;

use crate::domain::clock::SharedClock;
use crate::domain::market::{Market, Symbol};
use crate::domain::order::{OrderId, VenueOrderId};
use crate::key_manager::KeyManager;
use crate::ports::venue::{
    Account, Query, Quote, Reply, SharedVenue, VenueError, VenueFill, VenueOrder, VenuePosition,
};

/// One venue and the keys to talk to it.
#[derive(Clone)]
pub struct Desk {
    venue: SharedVenue,
    keys: Arc<KeyManager>,
    clock: SharedClock,
}

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
        Self { venue, keys, clock }
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

    async fn ask(&self, query: Query) -> Result<Reply, VenueError> {
        let now = self.clock.now();
        let framed = self.keys.frame_query(self.venue.framing(), &query, now);
        self.venue.ask(query, framed).await
    }
}

fn mismatch() -> VenueError {
    VenueError::Unreadable {
        internal: "an answer to another question".into(),
    }
}
