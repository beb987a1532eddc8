//! A venue over HTTP: an adapter's pure functions, order connections under the latch, and a client
//! of its own for questions and cancels, and the feed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flashguard_actors::ports::venue::{
    FeedConnection, Framed, Framing, OrderLane, Query, Reply, Venue, VenueError,
};
use flashguard_latch::Latch;
use futures_util::future::BoxFuture;
use thiserror::Error;

use super::endpoint::{Endpoint, EndpointError};
use super::feed;
use super::http::HttpAdapter;
use super::pool::{Pool, Target};
use super::query::{QueryClient, QueryClientError};
use super::tls::{TlsError, client_config};

/// Order connections of one worker.
const CONNECTIONS_PER_WORKER: usize = 4;

/// Why a venue cannot be talked to at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Its address is not one.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// `venue.ca_file` or the system's roots cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The client for questions cannot be made.
    #[error(transparent)]
    Query(#[from] QueryClientError),
}

/// The venue.
pub struct HttpVenue {
    framing: Arc<HttpAdapter>,
    questions: QueryClient,
    target: Arc<Target>,
    latch: Arc<Latch>,
}

impl HttpVenue {
    /// A venue at `url`; no connection is made yet. `name` is that of `venue.adapter`.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] names what does not fit.
    pub fn new(
        name: &'static str,
        url: &str,
        ca_file: Option<&Path>,
        timeout: Duration,
        latch: Arc<Latch>,
    ) -> Result<Self, ConnectError> {
        let endpoint = Endpoint::parse(url)?;
        let tls = client_config(ca_file)?;
        let framing = Arc::new(HttpAdapter::new(name, endpoint.base_path()));
        let questions = QueryClient::new(&endpoint, &tls, framing.clone(), timeout)?;
        let connections_max = CONNECTIONS_PER_WORKER;
        let target = Arc::new(Target {
            endpoint,
            tls,
            timeout,
            connections_max,
        });
        Ok(Self {
            framing,
            questions,
            target,
            latch,
        })
    }

    /// What time the venue says it is: the `Date` header of an answer to a question without a
    /// credential. `None` when there is no answer or no such header.
    pub async fn date(&self) -> Option<String> {
        let target = format!("{}/markets", self.target.endpoint.base_path());
        self.questions.date(&target).await
    }
}

impl Venue for HttpVenue {
    fn framing(&self) -> &dyn Framing {
        &*self.framing
    }

    fn ask(&self, query: Query, framed: Framed) -> BoxFuture<'static, Result<Reply, VenueError>> {
        self.questions.ask(query, framed)
    }

    fn lane(&self) -> Box<dyn OrderLane> {
        Box::new(Pool::new(self.latch.clone(), self.target.clone()))
    }

    fn feed(
        &self,
        framed: Framed,
    ) -> BoxFuture<'static, Result<Box<dyn FeedConnection>, VenueError>> {
        let framing: Arc<dyn Framing> = self.framing.clone();
        Box::pin(feed::open(self.target.clone(), framing, framed))
    }
}
