//! The way to a venue for questions and cancels: plain requests on connections of their own, open in
//! every state of the latch (K12).
//!
//! Each request gets its own connection, on the runtime of whoever asks, so that a caller that is
//! stuck holds nothing that another's cancel would need. Nothing is sent twice, no redirect is
//! followed, no proxy is used; one deadline covers everything, and an answer is bounded. Orders do
//! not travel here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flashguard_actors::ports::venue::{Framed, Framing, Query, Reply, VenueError};
use futures_util::future::BoxFuture;
use http::header::{DATE, RETRY_AFTER};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rustls::ClientConfig;

use super::endpoint::{Endpoint, Scheme};

/// Longest answer that is read, in bytes. 5,000 open orders take less than half of it.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest wait that a venue can ask for, in milliseconds. The port says so.
const RETRY_AFTER_MAX_MS: u64 = 60_000;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryClientError {
    /// The library refused the configuration.
    #[error("the client for the venue's questions cannot be made")]
    Library(#[source] reqwest::Error),
    /// The endpoint's parts make no URL.
    #[error("the venue's URL cannot be used")]
    Url,
}

/// Asks one venue. Cheap to clone, usable from any tokio runtime.
#[derive(Clone)]
pub struct QueryClient {
    client: Client,
    /// Scheme and authority, as in `https://api.example.com`.
    origin: Url,
    framing: Arc<dyn Framing>,
    timeout: Duration,
}

impl QueryClient {
    /// Makes a client for an endpoint. `tls` is that of `tls::client_config`; `timeout` is
    /// `venue.timeout_ms`, from the first byte to the last of the answer.
    ///
    /// # Errors
    ///
    /// [`QueryClientError`], when the parts do not fit together.
    pub fn new(
        endpoint: &Endpoint,
        tls: &ClientConfig,
        framing: Arc<dyn Framing>,
        timeout: Duration,
    ) -> Result<Self, QueryClientError> {
        let scheme = match endpoint.scheme() {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let origin = Url::parse(&format!("{scheme}://{}", endpoint.authority()));
        let client = Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .https_only(endpoint.scheme() == Scheme::Https)
            .dns_resolver(Arc::new(AllowedOnly(endpoint.clone())))
            .http1_only()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .timeout(timeout)
            .build()
            .map_err(QueryClientError::Library)?;
        Ok(Self {
            client,
            origin: origin.map_err(|_| QueryClientError::Url)?,
            framing,
            timeout,
        })
    }

    /// Sends a framed question or cancel and reads its answer.
    ///
    /// The future resolves to [`VenueError`] for everything that is not a clear answer; after
    /// `Unreachable` or `Unreadable` a cancel may or may not have been done.
    pub fn ask(
        &self,
        query: Query,
        framed: Framed,
    ) -> BoxFuture<'static, Result<Reply, VenueError>> {
        let this = self.clone();
        Box::pin(async move {
            let asked = tokio::time::timeout(this.timeout, this.exchange(&query, framed)).await;
            asked.unwrap_or_else(|_| {
                let waited_ms = this.timeout.as_millis();
                Err(unreachable(format!("no answer within {waited_ms} ms")))
            })
        })
    }

    /// The `Date` header of whatever answers to a `GET` of `target` without a credential.
    pub async fn date(&self, target: &str) -> Option<String> {
        let url = self.url(target).ok()?;
        let response = self.client.get(url).send().await.ok()?;
        let text = response.headers().get(DATE)?.to_str().ok()?;
        Some(text.to_owned())
    }

    async fn exchange(&self, query: &Query, framed: Framed) -> Result<Reply, VenueError> {
        let url = self.url(&framed.target)?;
        let mut request = self.client.request(framed.method, url).body(framed.body);
        for (name, value) in framed.headers {
            request = request.header(name, value);
        }
        let mut response = request
            .send()
            .await
            .map_err(|error| unreachable(told(&error)))?;
        let status = response.status().as_u16();
        let retry_after_ms = retry_after_ms(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| unreachable(told(&e)))? {
            if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                let internal = format!("the answer is longer than {ANSWER_BYTES_MAX} bytes");
                return Err(VenueError::Unreadable { internal });
            }
            body.extend_from_slice(&chunk);
        }
        match self.framing.read(query, status, &body) {
            Err(VenueError::Throttled {
                retry_after_ms: None,
            }) => Err(VenueError::Throttled { retry_after_ms }),
            answer => answer,
        }
    }

    /// The URL of a target that goes out exactly as it was signed, or not at all.
    fn url(&self, target: &str) -> Result<Url, VenueError> {
        let altered = || VenueError::Unreadable {
            internal: "the request target would not be sent as it was signed".to_owned(),
        };
        let url = Url::parse(&format!(
            "{}{target}",
            self.origin.as_str().trim_end_matches('/')
        ))
        .map_err(|_| altered())?;
        let sent = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let same_origin = url.origin() == self.origin.origin() && url.username().is_empty();
        if sent == target && same_origin && url.fragment().is_none() {
            Ok(url)
        } else {
            Err(altered())
        }
    }
}

/// Looks names up and keeps only addresses that the endpoint allows: for plain HTTP this machine's.
struct AllowedOnly(Endpoint);

impl Resolve for AllowedOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let endpoint = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = found.filter(|address| endpoint.allows(address.ip()));
            let allowed = allowed.collect::<Vec<SocketAddr>>();
            if allowed.is_empty() {
                return Err("the name leads to no address that may be used".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// `Retry-After` in seconds, bounded. A date is passed over: the venue's protocol has seconds.
pub(super) fn retry_after_ms(headers: &http::HeaderMap) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Too many digits for a number are simply very long.
    let seconds = text.parse().unwrap_or(u64::MAX);
    plain.then(|| seconds.saturating_mul(1_000).min(RETRY_AFTER_MAX_MS))
}

fn unreachable(internal: String) -> VenueError {
    VenueError::Unreachable { internal }
}

/// An error and its causes, without the URL.
fn told(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "the exchange broke".to_owned()
    };
    let mut cause = std::error::Error::source(error);
    for _ in 0..8 {
        let Some(error) = cause else { break };
        text = format!("{text} <- {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
