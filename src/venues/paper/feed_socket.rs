//! Speaks to one subscriber of the feed over a WebSocket, `GET /ws`.
//!
//! The upgrade request is signed as any other. Messages go one way; a subscriber sends pings, pongs
//! and a close only. Each message has a number that grows by one on its connection, so that what a
//! fault leaves out, doubles or swaps is seen. Who is slow or silent is cut off.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{CloseCode, CloseReason, Message as Frame, MessageStream, Session};
use tokio::time::MissedTickBehavior;

use super::call::Problem;
use super::faults::Fault;
use super::feed::{Message, Subscription};
use super::http::{Door, believed, respond};
use super::line::Line;
use super::switch::Switch;

/// How often a subscriber is pinged, in seconds.
const PING_EVERY_S: u64 = 10;

/// How many pings in a row may stay without any sign of the subscriber.
const UNANSWERED_PINGS_MAX: u32 = 3;

/// Largest frame of a subscriber, in bytes: it has nothing to say.
const FRAME_BYTES_MAX: usize = 1_024;

/// Answers an upgrade request and speaks to the subscriber from then on.
pub async fn open(
    request: HttpRequest,
    payload: web::Payload,
    door: web::Data<Door>,
) -> HttpResponse {
    match upgrade(&request, payload, &door).await {
        Ok(response) => response,
        Err(problem) => respond(&problem.into()),
    }
}

async fn upgrade(
    request: &HttpRequest,
    payload: web::Payload,
    door: &Door,
) -> Result<HttpResponse, Problem> {
    let key = believed(request, door, b"")?;
    let Some(line) = request.conn_data::<Arc<Line>>().cloned() else {
        return Err(Problem::new(503, "OVERLOADED", "no descriptor is left"));
    };
    let upgraded = actix_ws::handle(request, payload);
    let (response, session, frames) =
        upgraded.map_err(|error| Problem::new(400, "UPGRADE", error.to_string()))?;
    let subscription = door.counter.subscribe(key).await?;
    let socket = Socket {
        session,
        faults: door.faults.clone(),
        line,
        seq: 0,
        held: None,
        unanswered_pings: 0,
    };
    actix_web::rt::spawn(socket.run(subscription, frames.max_frame_size(FRAME_BYTES_MAX)));
    Ok(response)
}

/// How a conversation ends.
enum End {
    /// The subscriber left, or broke the protocol: with a close frame.
    Close(Option<CloseReason>),
    /// It is cut off.
    Cut,
}

struct Socket {
    session: Session,
    faults: Option<Arc<Switch>>,
    line: Arc<Line>,
    seq: u64,
    /// A message that a fault makes wait for the next.
    held: Option<String>,
    unanswered_pings: u32,
}

impl Socket {
    async fn run(mut self, subscription: Subscription, frames: MessageStream) {
        let Subscription {
            mut messages,
            dismissed,
        } = subscription;
        let end = tokio::select! {
            Err(end) = self.talk(&mut messages, frames) => end,
            // Also while a send waits for a subscriber that does not read.
            _ = dismissed => End::Cut,
        };
        match end {
            End::Close(reason) => drop(self.session.close(reason).await),
            End::Cut => self.line.cut(),
        }
    }

    async fn talk(
        &mut self,
        messages: &mut tokio::sync::mpsc::Receiver<Message>,
        mut frames: MessageStream,
    ) -> Result<(), End> {
        let mut pings = tokio::time::interval(Duration::from_secs(PING_EVERY_S));
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.tell(&message).await?,
                    None => return Err(End::Cut),
                },
                frame = frames.recv() => self.hear(frame.and_then(Result::ok)).await?,
                _ = pings.tick() => self.ping().await?,
            }
        }
    }

    /// Sends one message, or what a fault makes of it.
    async fn tell(&mut self, message: &Message) -> Result<(), End> {
        self.seq += 1;
        let Some(json) = message.to_json(self.seq) else {
            return Ok(());
        };
        let text = json.to_string();
        let faults = self.faults.as_ref();
        if let Some(mut strike) = faults.and_then(|faults| faults.called(message.name())) {
            match strike.fault {
                Fault::FeedGap => return Ok(()),
                Fault::FeedDuplicate => self.text(text.clone()).await?,
                Fault::FeedReorder if self.held.is_none() => {
                    self.held = Some(text);
                    return Ok(());
                }
                Fault::FeedStall { ms } => strike.wait(Some(ms)).await,
                Fault::FeedCut => return Err(End::Cut),
                // A message that is held already is swapped with this one; no other fault strikes here.
                _ => {}
            }
        }
        self.text(text).await?;
        match self.held.take() {
            Some(held) => self.text(held).await,
            None => Ok(()),
        }
    }

    async fn text(&mut self, text: String) -> Result<(), End> {
        self.session.text(text).await.map_err(|_| End::Cut)
    }

    async fn hear(&mut self, frame: Option<Frame>) -> Result<(), End> {
        self.unanswered_pings = 0;
        match frame {
            Some(Frame::Ping(bytes)) => self.session.pong(&bytes).await.map_err(|_| End::Cut),
            Some(Frame::Pong(_) | Frame::Nop) => Ok(()),
            Some(Frame::Close(reason)) => Err(End::Close(reason)),
            Some(Frame::Text(_) | Frame::Binary(_) | Frame::Continuation(_)) => {
                let reason = "the feed takes no messages".to_owned();
                Err(End::Close(Some((CloseCode::Policy, reason).into())))
            }
            None => Err(End::Close(None)),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.unanswered_pings >= UNANSWERED_PINGS_MAX {
            return Err(End::Cut);
        }
        self.unanswered_pings += 1;
        self.session.ping(b"").await.map_err(|_| End::Cut)
    }
}
