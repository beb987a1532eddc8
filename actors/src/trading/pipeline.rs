//! An order's path on one screen: identity → door → gate → journal → ticket → signature → venue →
//! outcome. Step by step as `docs/architecture.md` walks it; the types keep the order of the steps.

use std::rc::Rc;
use std::sync::Arc;

use flashguard_latch::{Incarnation, Ticket};

use super::door::Closed;
use super::floor::Floor;
use super::identity::{self, Begun};
use super::orders::OrderState;
use crate::domain::clock::UnixMicros;
use crate::domain::denial::Denials;
use crate::domain::identity::Caller;
use crate::domain::order::{ClientOrderId, OrderId, OrderRequest, OrderStatus, VenueOrderId};
use crate::gate::{Admitted, Asked, Recorded};
use crate::journal::AppendError;
use crate::journal::record::{Entry, Fact, SignatureFact};
use crate::ports::journal::{Identity, JournalReader, StoreError};
use crate::ports::venue::{OrderAnswer, OrderLane, Signed, Verdict};

/// How long a client order id stays bound (G): a day.
pub const IDENTITY_HELD_MS: u64 = 24 * 3_600 * 1_000;
/// Repeats of one id that are looked at again after their first ended without binding it.
const REPEATS_MAX: usize = 1_024;

/// What became of an order that was placed, or of one that was placed before under the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its present state: placed, partly or wholly filled, in doubt; or, replayed, any.
    pub state: OrderState,
    /// The id was bound before: nothing was signed or sent now.
    pub replayed: bool,
}

/// Why an order was not placed. In every case but the first two the answer says what is bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Rules it breaks. Nothing is bound.
    #[error("the order breaks {} rule(s)", .0.broken.len())]
    Denied(Denials),
    /// The door is closed. Nothing is bound.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The id belongs to another order.
    #[error("client_order_id is bound to another order")]
    Duplicate {
        /// That order.
        order_id: OrderId,
    },
    /// The venue said no. The id stays bound.
    #[error("the venue rejected the order")]
    VenueRejected {
        /// The order.
        state: Box<OrderState>,
        /// The venue's words, bounded.
        message: String,
    },
    /// No byte of it left. The id stays bound to the discarded order.
    #[error("the venue cannot be reached; no part of the order left")]
    NothingLeft {
        /// The order.
        state: Box<OrderState>,
    },
    /// Trading was halted after the intent was durable and before it left. The id stays bound.
    #[error("trading was halted before the order left")]
    HaltedOnTheWay {
        /// The halt's epoch.
        epoch: u64,
        /// The order.
        state: Box<OrderState>,
    },
    /// The journal does not write. Nothing was signed.
    #[error("the journal cannot be written")]
    JournalUnavailable,
    /// Too many client order ids are held.
    #[error("too many client order ids are held")]
    ClientIdsFull,
    /// The system lacks what it needs; for the log.
    #[error("the service cannot sign orders now")]
    Unavailable {
        /// What was missing.
        internal: String,
    },
}

/// One worker's order path. It stays on the thread that made it.
#[derive(Clone)]
pub struct Lane {
    floor: Arc<Floor>,
    venue: Rc<dyn OrderLane>,
    reader: Rc<dyn JournalReader>,
    incarnation: Incarnation,
}

impl Lane {
    /// A lane for the calling thread, under the incarnation of whoever owns it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the journal cannot be read.
    pub fn new(floor: Arc<Floor>, incarnation: Incarnation) -> Result<Self, StoreError> {
        let venue = Rc::from(floor.desk.venue().lane());
        let reader = Rc::from(floor.readers.open()?);
        Ok(Self {
            floor,
            venue,
            reader,
            incarnation,
        })
    }

    /// What the lane shares with all others.
    pub fn floor(&self) -> &Arc<Floor> {
        &self.floor
    }

    /// Places an order for `caller`. It goes to its end even when the returned future is dropped.
    ///
    /// # Errors
    ///
    /// [`Refusal`] says why it was not placed, and what is bound to its id.
    pub async fn place(&self, caller: &Caller, request: OrderRequest) -> Result<Placed, Refusal> {
        let (lane, caller) = (self.clone(), caller.clone());
        let order = actix_rt::spawn(async move { lane.run(&caller, request).await });
        order.await.unwrap_or_else(|ended| {
            Err(Refusal::Unavailable {
                internal: format!("the order's task ended: {ended}"),
            })
        })
    }

    async fn run(&self, caller: &Caller, request: OrderRequest) -> Result<Placed, Refusal> {
        let floor = &*self.floor;
        let order_id = OrderId::make(floor.clock.now(), &*floor.entropy).map_err(unavailable)?;
        let content_hash = identity::content_hash(&request);
        let client_order_id = match &request.client_order_id {
            Some(id) => id.clone(),
            None => ClientOrderId::try_from(order_id.to_string()).map_err(unavailable)?,
        };
        let identity = Identity {
            client: caller.client.clone(),
            client_order_id,
        };

        // 2. identity, in every state of the latch; an id that was made just now is nobody else's
        let _first = match request.client_order_id {
            None => None,
            Some(_) => match self.identify(&identity, &content_hash).await? {
                Identified::Bound(placed) => return Ok(*placed),
                Identified::New(first) => Some(first),
            },
        };
        // 3. door
        let now = floor.clock.now();
        let (ticket, mode) = floor.door.enter(&self.incarnation, now)?;
        // 4. gate: from here on `admitted` owns the exposure
        let expires_at_ms = now.as_millis().saturating_add(floor.times.send_ttl_ms);
        let admitted = floor
            .gate
            .admit(&Asked {
                request: &request,
                client: &caller.client,
                mode,
                keys: floor.keys.for_orders(),
                order_id,
                expires_at_ms,
            })
            .map_err(|denials| self.denied(caller, denials))?;
        // 5. intent durable: from here on only a terminal fact frees the exposure
        let recorded = match self
            .record(admitted, &identity, content_hash.clone(), caller, &ticket)
            .await?
        {
            Some(recorded) => recorded,
            None => {
                return self
                    .bound(&identity, &content_hash)?
                    .ok_or_else(lost_identity);
            }
        };
        // 6. the ticket again
        if !floor.latch.is_current(&ticket) {
            return Err(self.discard(&recorded, "halted"));
        }
        // 7. signature, on this thread
        let now = floor.clock.now();
        let framing = floor.desk.venue().framing();
        let signed = match floor.keys.sign(&recorded, framing, now) {
            Ok(signed) => Arc::new(signed),
            Err(error) => {
                tracing::error!(%error, order.id = %order_id, "an admitted order was not signed");
                return Err(self.discard(&recorded, "not_signed"));
            }
        };
        // 8. the one write, under the latch's permit
        let verdict = self.venue.send(ticket.clone(), signed.clone()).await;
        floor.desk.sent(&verdict, floor.latch.is_current(&ticket));
        // 9. and 10.
        self.conclude(&recorded, &signed, verdict)
    }

    /// Whether the id is bound already. While another order of this id is on its way, waits for it.
    async fn identify(&self, id: &Identity, content: &str) -> Result<Identified, Refusal> {
        for _ in 0..REPEATS_MAX {
            match self.floor.in_flight.begin(id) {
                Begun::Repeat(first) => {
                    identity::over(first).await;
                    if let Some(placed) = self.bound(id, content)? {
                        return Ok(Identified::Bound(Box::new(placed)));
                    }
                }
                Begun::First(first) => {
                    return Ok(match self.bound(id, content)? {
                        Some(placed) => Identified::Bound(Box::new(placed)),
                        None => Identified::New(first),
                    });
                }
            }
        }
        Err(Refusal::Unavailable {
            internal: "a client order id is contended".into(),
        })
    }

    /// The order that an id is bound to, when it is.
    fn bound(&self, id: &Identity, content: &str) -> Result<Option<Placed>, Refusal> {
        let now = self.floor.clock.now();
        let Some((seq, fresh)) = bound_record(&*self.reader, id, now).map_err(unavailable)? else {
            return Ok(None);
        };
        let state = self.floor.order_of_intent(&*self.reader, seq);
        // After 24 h the id is free again, unless its order may still become true.
        let held = |state: &Result<OrderState, StoreError>| matches!(state, Ok(s) if !s.settled);
        if !fresh && !held(&state) {
            return Ok(None);
        }
        let state = state.map_err(unavailable)?;
        if state.content_hash != content {
            return Err(Refusal::Duplicate {
                order_id: state.order.order_id,
            });
        }
        Ok(Some(Placed {
            state,
            replayed: true,
        }))
    }

    fn denied(&self, caller: &Caller, denials: Denials) -> Refusal {
        let now = self.floor.clock.now();
        if let Some(entry) = self.floor.denials.denied(caller, &denials, now) {
            self.floor.write_quietly(entry);
        }
        Refusal::Denied(denials)
    }

    /// Makes the intent durable. `None`: the id was bound by somebody else meanwhile.
    async fn record(
        &self,
        admitted: Admitted,
        identity: &Identity,
        content_hash: String,
        caller: &Caller,
        ticket: &Ticket,
    ) -> Result<Option<Recorded>, Refusal> {
        let (keys, judged) = (self.floor.keys.identity(), admitted.judged());
        let fact = Fact::OrderIntent {
            order: admitted.order().clone(),
            client: identity.client.clone(),
            client_order_id: identity.client_order_id.clone(),
            content_hash,
            reserved_usdc: admitted.reserved_usdc(),
            limits_v: judged.limits_v,
            reference: judged.reference.normalize(),
            marks: judged.marks.iter().map(|&mark| mark.to_owned()).collect(),
            at_market: judged.at_market,
            epoch: ticket.epoch(),
            key_id: keys.key_id.clone(),
            credential_generation: keys.credential_generation,
        };
        let entry = Entry::of("gate", fact.clone())
            .by(caller.principal.clone())
            .about(admitted.order().order_id.to_string());
        match self
            .floor
            .journal
            .append_intent(entry, identity.clone())
            .await
        {
            Ok(committed) => {
                let by = Some(&caller.principal);
                self.floor
                    .apply(&fact, committed.seq(), committed.time(), by);
                Ok(Some(admitted.recorded(committed)))
            }
            Err(AppendError::AlreadyBound { .. }) => Ok(None),
            Err(AppendError::ClientIdsFull) => Err(Refusal::ClientIdsFull),
            Err(_) => Err(Refusal::JournalUnavailable),
        }
    }

    /// No byte of it left.
    fn discard(&self, recorded: &Recorded, why: &str) -> Refusal {
        let why = Some(why.to_owned());
        let state = match self.outcome(recorded, OrderStatus::Discarded, None, why) {
            Ok(state) => Box::new(state),
            Err(refusal) => return refusal,
        };
        let latch = self.floor.latch.state();
        if latch.halted {
            Refusal::HaltedOnTheWay {
                epoch: latch.epoch,
                state,
            }
        } else {
            Refusal::NothingLeft { state }
        }
    }

    fn conclude(
        &self,
        recorded: &Recorded,
        signed: &Signed,
        verdict: Verdict,
    ) -> Result<Placed, Refusal> {
        let placed = |state| Placed {
            state,
            replayed: false,
        };
        let (status, body) = match verdict {
            Verdict::NothingLeft { why } => return Err(self.discard(recorded, why)),
            Verdict::InDoubt { why } => return self.in_doubt(recorded, signed, why).map(placed),
            Verdict::Answered { status, body } => (status, body),
        };
        match self
            .floor
            .desk
            .venue()
            .framing()
            .read_order_answer(status, &body)
        {
            OrderAnswer::Placed {
                venue_order_id,
                status,
            } => {
                let left = Some((signed, Some(venue_order_id)));
                self.outcome(recorded, status, left, None).map(placed)
            }
            OrderAnswer::Rejected { code, message } => {
                let left = Some((signed, None));
                let state = self.outcome(recorded, OrderStatus::Rejected, left, Some(code))?;
                Err(Refusal::VenueRejected {
                    state: Box::new(state),
                    message,
                })
            }
            OrderAnswer::Unclear { status } => {
                tracing::warn!(status, order.id = %recorded.order().order_id, "unclear answer");
                self.in_doubt(recorded, signed, "unclear_answer")
                    .map(placed)
            }
        }
    }

    fn outcome(
        &self,
        recorded: &Recorded,
        status: OrderStatus,
        left: Option<(&Signed, Option<VenueOrderId>)>,
        why: Option<String>,
    ) -> Result<OrderState, Refusal> {
        let (signature, venue_order_id) = match left {
            Some((signed, id)) => (Some(signature_fact(signed)), id),
            None => (None, None),
        };
        let order_id = recorded.order().order_id;
        self.settle(
            Fact::OrderOutcome {
                order_id,
                status,
                venue_order_id,
                signature,
                why,
            },
            order_id,
        )
    }

    fn in_doubt(
        &self,
        recorded: &Recorded,
        signed: &Signed,
        why: &str,
    ) -> Result<OrderState, Refusal> {
        let order_id = recorded.order().order_id;
        let signature = Some(signature_fact(signed));
        self.settle(
            Fact::OrderInDoubt {
                order_id,
                signature,
                why: why.into(),
            },
            order_id,
        )
    }

    /// Takes an outcome in, journals it without waiting, and gives the state it led to.
    fn settle(&self, fact: Fact, order_id: OrderId) -> Result<OrderState, Refusal> {
        self.floor.apply_now(&fact);
        self.floor
            .write_quietly(Entry::of("trading", fact).about(order_id.to_string()));
        self.floor.order(&order_id).ok_or_else(lost_identity)
    }
}

/// The latest intent of an id, and whether it is younger than [`IDENTITY_HELD_MS`].
fn bound_record(
    reader: &dyn JournalReader,
    id: &Identity,
    now: UnixMicros,
) -> Result<Option<(u64, bool)>, StoreError> {
    let Some(seq) = reader.identity(id)? else {
        return Ok(None);
    };
    let record = reader.records(seq, 1)?;
    let fresh = |time: UnixMicros| now.millis_since(time) < IDENTITY_HELD_MS;
    Ok(record.first().map(|record| (seq, fresh(record.time))))
}

enum Identified {
    Bound(Box<Placed>),
    New(identity::First),
}

fn signature_fact(signed: &Signed) -> SignatureFact {
    SignatureFact {
        digest: signed.signature().digest.clone(),
        signature: signed.signature().signature.clone(),
        signer: signed.signature().signer.clone(),
        key_id: signed.key_id().to_owned(),
        signed_at_us: signed.signed_at(),
    }
}

fn unavailable(error: impl std::fmt::Display) -> Refusal {
    Refusal::Unavailable {
        internal: error.to_string(),
    }
}

fn lost_identity() -> Refusal {
    Refusal::Unavailable {
        internal: "a bound client order id has no order".into(),
    }
}
