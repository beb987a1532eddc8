//! Does a fault to one call: with `feed_socket.rs`, for the messages of a feed, the only place where the
//! venue does not do what it should.
//!
//! What each fault means stands at [`Fault`]. The exchange knows of none of it; the desk only of a
//! cancel that is feigned.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, SizedStream, to_bytes};
use actix_web::http::header::{ContentType, RETRY_AFTER};
use actix_web::web::Bytes;
use futures_util::StreamExt;
use futures_util::stream::once;
use serde_json::json;

use super::answer::Answer;
use super::call::Problem;
use super::desk::{Counter, Errand};
use super::faults::Fault;
use super::http::respond;
use super::line::Line;
use super::switch::{Strike, Switch};

/// What a proxy in between might say.
const PAGE: &str = "<html><head><title>Welcome</title></head><body>It works!</body></html>\n";

/// What a fault is done with.
pub struct Injection<'a> {
    /// Counts what is still under way.
    pub faults: &'a Arc<Switch>,
    /// Where the effect is had.
    pub counter: &'a Counter,
    /// The connection of the call.
    pub line: Option<&'a Arc<Line>>,
}

impl Injection<'_> {
    /// Does the fault, and the call as far as the fault lets it; gives what is sent, if anything is.
    pub async fn answer(self, mut strike: Strike, errand: Errand) -> HttpResponse {
        match strike.fault {
            Fault::Latency { ms } => self.delayed(ms, strike, errand).await,
            Fault::Throttle { retry_after_s } => throttled(retry_after_s),
            Fault::Status { code } => failed(code),
            Fault::StatusAfter { code } => {
                self.carry(errand).await;
                failed(code)
            }
            Fault::DropBefore | Fault::Down => self.cut(),
            Fault::DropAfter => {
                self.carry(errand).await;
                self.cut()
            }
            Fault::ResetMidAnswer => self.torn(respond(&self.carry(errand).await)).await,
            Fault::Hold { ms } => {
                let answer = self.carry(errand).await;
                strike.wait(Some(ms)).await;
                respond(&answer)
            }
            Fault::Hang => {
                strike.wait(None).await;
                self.cut()
            }
            Fault::Late { ms } => {
                self.late(ms, errand);
                self.cut()
            }
            Fault::PartialCancel { fraction_pct } => {
                respond(&self.carry(errand.feigned(fraction_pct)).await)
            }
            Fault::CancelIgnored => respond(&self.carry(errand.feigned(0)).await),
            Fault::Garbage => {
                self.carry(errand).await;
                let mut page = HttpResponse::Ok();
                page.insert_header(ContentType::html()).body(PAGE)
            }
            Fault::EmptyObject => {
                self.carry(errand).await;
                respond(&Answer::ok(json!({})))
            }
            // No plan that was read lets these strike a call.
            Fault::FeedGap
            | Fault::FeedDuplicate
            | Fault::FeedReorder
            | Fault::FeedStall { .. }
            | Fault::FeedCut => respond(&self.carry(errand).await),
        }
    }

    async fn carry(&self, errand: Errand) -> Answer {
        self.counter.carry(errand).await
    }

    /// Waits, then does the call, in a task of its own: a caller who goes away stops nothing.
    async fn delayed(&self, ms: u64, mut strike: Strike, errand: Errand) -> HttpResponse {
        let (counter, under_way) = (self.counter.clone(), self.faults.under_way());
        let task = actix_web::rt::spawn(async move {
            strike.wait(Some(ms)).await;
            let answer = counter.carry(errand).await;
            drop(under_way);
            answer
        });
        match task.await {
            Ok(answer) => respond(&answer),
            Err(_) => failed(500),
        }
    }

    /// Lets an order arrive later. What is on its way no change of the plan takes back.
    fn late(&self, ms: u64, errand: Errand) {
        let (counter, under_way) = (self.counter.clone(), self.faults.under_way());
        actix_web::rt::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
            counter.carry(errand).await;
            drop(under_way);
        });
    }

    /// Closes the connection. What is returned is written to a closed socket and reaches nobody.
    fn cut(&self) -> HttpResponse {
        match self.line {
            Some(line) => line.cut(),
            None => tracing::error!("a fault could not close a connection: no descriptor was left"),
        }
        failed(500)
    }

    /// Sends the head and half of the body, then resets the connection.
    async fn torn(&self, whole: HttpResponse) -> HttpResponse {
        let Some(line) = self.line.cloned() else {
            return self.cut();
        };
        let (head, body) = whole.into_parts();
        let body = to_bytes(body).await.unwrap_or_default();
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let half = body.slice(..body.len() / 2);
        let tear = async move {
            // Lets the server flush the half first: it does so when the stream is not ready.
            tokio::task::yield_now().await;
            line.reset_when_closed();
            Err(std::io::Error::other("torn on purpose"))
        };
        let stream = once(async { Ok::<Bytes, std::io::Error>(half) }).chain(once(tear));
        head.set_body(BoxBody::new(SizedStream::new(length, Box::pin(stream))))
    }
}

fn throttled(retry_after_s: u64) -> HttpResponse {
    let problem = Problem::new(429, "THROTTLED", "too many requests; injected");
    let answer = Answer::from(problem);
    HttpResponse::TooManyRequests()
        .insert_header((RETRY_AFTER, retry_after_s))
        .json(&answer.body)
}

fn failed(code: u64) -> HttpResponse {
    let code = u16::try_from(code).unwrap_or(500);
    respond(&Problem::new(code, "INJECTED", "the venue failed on purpose").into())
}
