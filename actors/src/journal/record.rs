//! What the journal holds: one [`Fact`] per record, with who did it and what belongs to it.
//!
//! A fact carries decisions and numbers, never inputs to decide again, and never a secret. What is
//! personal or free text (reasons, addresses, user agents) goes into the [`Private`] payload, which
//! retention may erase; every fold lives on the facts alone (J5). Kinds and fields are written to
//! disk: a variant is never changed, a new version of it is a new variant.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::clock::UnixMicros;
use crate::domain::identity::{Client, Owner, Principal, Role};
use crate::domain::market::{Lots, Symbol};
use crate::domain::order::{ClientOrderId, Order, OrderId, OrderStatus, Side, VenueOrderId};
use crate::domain::status::TradingState;

/// How long a record's payload is kept (seed, *Data Retention Policy*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Orders, fills, positions: 7 years.
    TradingData,
    /// Halts, keys, logins, limits: 7 years.
    AuditLogs,
    /// What names a person or an address: 1 year.
    UserData,
    /// Starts, stops, restarts of actors: 3 months.
    SystemLogs,
}

impl Class {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TradingData => "trading_data",
            Self::AuditLogs => "audit_logs",
            Self::UserData => "user_data",
            Self::SystemLogs => "system_logs",
        }
    }
}

/// What happened. The serialised `kind` and `data` are the stored form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data")]
#[non_exhaustive]
pub enum Fact {
    /// A data directory was made.
    #[serde(rename = "system.initialised")]
    SystemInitialised {
        /// `development` or `production`.
        profile: String,
    },
    /// A process opened the journal.
    #[serde(rename = "system.started")]
    SystemStarted {
        /// The program's version.
        version: String,
        /// Trading began halted because of this, not because of the fold.
        halted_by: Option<String>,
    },
    /// A process closed the journal in order.
    #[serde(rename = "system.stopped")]
    SystemStopped,
    /// The first start after a process that did not close it.
    #[serde(rename = "system.recovered")]
    SystemRecovered {
        /// Orders whose outcome had to be asked of the venue.
        orders_in_doubt: u64,
    },
    /// A supervised actor ended and was made again, or was given up.
    #[serde(rename = "system.actor_exited")]
    ActorExited {
        /// The actor's name.
        name: String,
        /// The generation that ended.
        generation: u64,
        /// `panic`, `hung`, `stopped`, `start_failed`, `thread_gone`.
        why: String,
        /// Past the bound: not made again, trading halts.
        escalated: bool,
    },
    /// An order was admitted and may be signed from now on.
    #[serde(rename = "order.intent")]
    OrderIntent {
        /// In ticks and lots.
        order: Order,
        /// Whose ids and rate it counts against.
        client: Client,
        /// The caller's id.
        client_order_id: ClientOrderId,
        /// SHA-256 of the request's content, hex: tells a retry from another order.
        content_hash: String,
        /// Exposure reserved, in USDC.
        reserved_usdc: Decimal,
        /// The version of the limits that it was judged by.
        limits_v: u64,
        /// The reference price that it was judged by, in quote currency.
        reference: Decimal,
        /// Codes of the rules that marked it, such as `PRICE_COLLAR_SOFT`.
        marks: Vec<String>,
        /// It was a market order: the price is the gate's, at the hard collar.
        at_market: bool,
        /// The latch's epoch at the door.
        epoch: u64,
        /// Signing key, such as `sei/1`.
        key_id: String,
        /// Venue credential's generation.
        credential_generation: u64,
    },
    /// What became of an order at its sending.
    #[serde(rename = "order.outcome")]
    OrderOutcome {
        /// Which.
        order_id: OrderId,
        /// `in_doubt` is written as [`Fact::OrderInDoubt`].
        status: OrderStatus,
        /// When it was placed.
        venue_order_id: Option<VenueOrderId>,
        /// When it was signed and its bytes left.
        signature: Option<SignatureFact>,
        /// Why it was discarded or rejected: a code.
        why: Option<String>,
    },
    /// An order's bytes may have left, and there is no answer.
    #[serde(rename = "order.in_doubt")]
    OrderInDoubt {
        /// Which.
        order_id: OrderId,
        /// The signature that may have left.
        signature: Option<SignatureFact>,
        /// A code.
        why: String,
    },
    /// The venue said what became of an order in doubt.
    #[serde(rename = "order.resolved")]
    OrderResolved {
        /// Which.
        order_id: OrderId,
        /// Its state from now on.
        status: OrderStatus,
        /// When the venue has it.
        venue_order_id: Option<VenueOrderId>,
    },
    /// Somebody asked to cancel.
    #[serde(rename = "order.cancel_asked")]
    OrderCancelAsked {
        /// Which; `None` = all, or all of `symbol`.
        order_id: Option<OrderId>,
        /// All of this market.
        symbol: Option<Symbol>,
    },
    /// The venue confirmed that an order no longer rests.
    #[serde(rename = "order.cancelled")]
    OrderCancelled {
        /// Which.
        order_id: OrderId,
    },
    /// A fill of an order of ours, counted once by its id.
    #[serde(rename = "fill")]
    Fill {
        /// The venue's id of it.
        fill_id: String,
        /// Where reading goes on after it; `None` when the feed told it, which moves no cursor.
        cursor: Option<String>,
        /// Our order.
        order_id: OrderId,
        /// The venue's id of the order. Absent in records from before it was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        venue_order_id: Option<VenueOrderId>,
        /// The market.
        symbol: Symbol,
        /// Buy or sell.
        side: Side,
        /// Exact price.
        price: Decimal,
        /// Exact size.
        size: Decimal,
        /// The size in lots.
        lots: Lots,
        /// Fee in quote currency.
        fee: Decimal,
        /// When, as the venue says.
        filled_at_us: UnixMicros,
        /// The order's state after it, when it is at hand.
        order_status: Option<OrderStatus>,
    },
    /// The re-read came past fills that the feed had told: they are counted already, and reading goes on
    /// after them.
    #[serde(rename = "fills.read")]
    FillsRead {
        /// Where reading goes on.
        cursor: String,
        /// The venue's ids of those fills.
        fill_ids: Vec<String>,
    },
    /// A position changed in a way that no order of ours explains.
    #[serde(rename = "position.reconciled")]
    PositionReconciled {
        /// The market.
        symbol: Symbol,
        /// Signed, before.
        from: Decimal,
        /// Signed, after.
        to: Decimal,
        /// The fill of somebody else's order on the account. `None`: the venue showed this position
        /// twice running, and no fill says why.
        fill: Option<ForeignFill>,
        /// Without a fill: the reference price of that moment, at which what came is valued.
        reference: Option<Decimal>,
    },
    /// Refusals of one client, bounded: the first of an episode, then counts per window.
    #[serde(rename = "order.denied")]
    OrderDenied {
        /// Whose; `None` = of many clients.
        client: Option<Client>,
        /// Codes of the rules broken by the last of them.
        codes: Vec<String>,
        /// The version of the limits that the last of them was judged by; absent for a sum over many
        /// clients.
        limits_v: Option<u64>,
        /// How many orders this record stands for.
        count: u64,
    },
    /// Trading was stopped.
    #[serde(rename = "halt.raised")]
    HaltRaised {
        /// Raised by this halt.
        epoch: u64,
        /// Names this halt in reports and evidence.
        incident_id: String,
        /// `http`, `cli`, `control_socket`, `sentinel`, `signal`, `escalation`, `journal`, `beat`, `start`,
        /// `venue_health`, `lift_failed`, `embedder`.
        trigger: String,
    },
    /// Somebody stopped what was already stopped: approvals given so far are void.
    #[serde(rename = "halt.reason_added")]
    HaltReasonAdded {
        /// The halt's epoch.
        epoch: u64,
        /// As in `halt.raised`.
        trigger: String,
    },
    /// One step of the procedure ended.
    #[serde(rename = "halt.step")]
    HaltStep {
        /// The halt's epoch.
        epoch: u64,
        /// The step's name.
        name: String,
        /// `done`, `failed`, `timed_out`, `unknown`.
        outcome: String,
        /// How long it took.
        took_ms: u64,
    },
    /// The procedure's end: everything confirmed, or what is not.
    #[serde(rename = "halt.reported")]
    HaltReported {
        /// The halt's epoch.
        epoch: u64,
        /// Cancels confirmed by re-reading.
        orders_cancelled: u64,
        /// Orders not confirmed.
        orders_unconfirmed: u64,
        /// Orders that may have left.
        orders_in_doubt: u64,
    },
    /// One person wants the halt to end.
    #[serde(rename = "lift.proposed")]
    LiftProposed {
        /// Bound to this halt.
        epoch: u64,
        /// Names the proposal.
        proposal_id: String,
        /// Who.
        owner: Owner,
        /// Where to.
        to: TradingState,
        /// Open orders accepted, each by our id or the venue's.
        accept_open_orders: Vec<String>,
    },
    /// Another person agrees.
    #[serde(rename = "lift.approved")]
    LiftApproved {
        /// Bound to this halt.
        epoch: u64,
        /// Which proposal.
        proposal_id: String,
        /// Who.
        owner: Owner,
    },
    /// The halt ended.
    #[serde(rename = "lift.lifted")]
    LiftLifted {
        /// The halt's epoch.
        epoch: u64,
        /// The state it went to.
        to: TradingState,
        /// The owners that agreed.
        owners: Vec<Owner>,
    },
    /// Trading was paused by somebody.
    #[serde(rename = "pause.taken")]
    PauseTaken {
        /// `operator`, later `rotation:<id>` or `monitor:<rule>`.
        token: String,
        /// It ends by itself then.
        until_us: Option<UnixMicros>,
    },
    /// A pause ended.
    #[serde(rename = "pause.released")]
    PauseReleased {
        /// Whose.
        token: String,
    },
    /// From now on only orders that reduce a position come in.
    #[serde(rename = "state.reduce_only")]
    ReduceOnlyTaken {
        /// `operator`, `monitor:<rule>`. A lift's is its own record's.
        token: String,
    },
    /// A reduce-only ended.
    #[serde(rename = "state.left")]
    ReduceOnlyLeft {
        /// Whose.
        token: String,
    },
    /// Other limits are in force.
    #[serde(rename = "limits.changed")]
    LimitsChanged {
        /// Their version: every decision on an order names one.
        v: u64,
        /// Every adjustable limit of this version, by the name of its setting.
        values: BTreeMap<String, Decimal>,
        /// Those of them that people changed, over the settings.
        adjustments: BTreeMap<String, Decimal>,
        /// The owners that wanted it; none when a start found other settings.
        owners: Vec<Owner>,
    },
    /// One person wants a limit loosened; another one must agree.
    #[serde(rename = "limits.proposed")]
    LimitsProposed {
        /// Names the proposal.
        proposal_id: String,
        /// The version that it would replace.
        from_v: u64,
        /// All adjustments that would hold afterwards.
        adjustments: BTreeMap<String, Decimal>,
        /// Who.
        owner: Owner,
    },
    /// A secret or a verifier was sealed into the key store.
    #[serde(rename = "key.sealed")]
    KeySealed {
        /// Its name, such as `sei` or `venue`.
        name: String,
        /// Grows by one.
        version: u32,
        /// Public: says which key it is without saying the key.
        fingerprint: String,
    },
    /// This version is used from now on.
    #[serde(rename = "key.current")]
    KeyCurrent {
        /// Its name.
        name: String,
        /// The version.
        version: u32,
    },
    /// An API key was made.
    #[serde(rename = "apikey.created")]
    ApiKeyCreated {
        /// Public part.
        id: String,
        /// The person.
        owner: Owner,
        /// The bot or script.
        client: Client,
        /// What it may do.
        role: Role,
        /// With access to the machine (K10).
        local: bool,
        /// It ends by itself then.
        expires_us: Option<UnixMicros>,
    },
    /// An API key was taken away, and every token made with it.
    #[serde(rename = "apikey.revoked")]
    ApiKeyRevoked {
        /// Public part.
        id: String,
    },
    /// Somebody logged in.
    #[serde(rename = "auth.login")]
    AuthLogin {
        /// The key.
        principal: Principal,
        /// The token's id.
        jti: String,
        /// When the token ends.
        expires_us: UnixMicros,
    },
    /// Credentials that nobody stands behind, at a login or elsewhere: the first of an episode, then
    /// counts per window.
    #[serde(rename = "auth.failed")]
    AuthFailed {
        /// How many attempts this record stands for.
        count: u64,
    },
    /// Requests without the permission for them: the first of a credential's episode, then counts per
    /// window.
    #[serde(rename = "auth.denied")]
    AuthDenied {
        /// Method and pattern of the last one's route, `many` where credentials are not told apart.
        route: String,
        /// The permission it needs.
        permission: String,
        /// How many requests this record stands for.
        count: u64,
    },
    /// A token was taken back.
    #[serde(rename = "auth.token_revoked")]
    TokenRevoked {
        /// The token's id.
        jti: String,
        /// When it would have ended: the revocation is forgotten after that.
        expires_us: UnixMicros,
    },
}

/// The signature of an order that may have left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureFact {
    /// EIP-712 digest, 0x hex.
    pub digest: String,
    /// r‖s‖v, 0x hex.
    pub signature: String,
    /// The signer's address.
    pub signer: String,
    /// Name and version of the key.
    pub key_id: String,
    /// When.
    pub signed_at_us: UnixMicros,
}

/// A fill of an order that is not ours, counted once by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignFill {
    /// The venue's id of it.
    pub fill_id: String,
    /// As in [`Fact::Fill`].
    pub cursor: Option<String>,
    /// The venue's id of the order.
    pub venue_order_id: VenueOrderId,
    /// Buy or sell.
    pub side: Side,
    /// Exact price.
    pub price: Decimal,
    /// Exact size.
    pub size: Decimal,
    /// Fee in quote currency.
    pub fee: Decimal,
    /// When, as the venue says.
    pub filled_at_us: UnixMicros,
}

/// What retention may erase without breaking a proof or a fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Private {
    /// Free text of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The address of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// As the client said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Numbers and texts for people: denials, step details, an open list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

impl Fact {
    /// All kinds that this program knows.
    pub const KINDS: [&'static str; 36] = [
        "system.initialised",
        "system.started",
        "system.stopped",
        "system.recovered",
        "system.actor_exited",
        "order.intent",
        "order.outcome",
        "order.in_doubt",
        "order.resolved",
        "order.cancel_asked",
        "order.cancelled",
        "fill",
        "fills.read",
        "position.reconciled",
        "order.denied",
        "halt.raised",
        "halt.reason_added",
        "halt.step",
        "halt.reported",
        "lift.proposed",
        "lift.approved",
        "lift.lifted",
        "pause.taken",
        "pause.released",
        "state.reduce_only",
        "state.left",
        "limits.changed",
        "limits.proposed",
        "key.sealed",
        "key.current",
        "apikey.created",
        "apikey.revoked",
        "auth.login",
        "auth.failed",
        "auth.denied",
        "auth.token_revoked",
    ];

    /// As it is written.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SystemInitialised { .. } => "system.initialised",
            Self::SystemStarted { .. } => "system.started",
            Self::SystemStopped => "system.stopped",
            Self::SystemRecovered { .. } => "system.recovered",
            Self::ActorExited { .. } => "system.actor_exited",
            Self::OrderIntent { .. } => "order.intent",
            Self::OrderOutcome { .. } => "order.outcome",
            Self::OrderInDoubt { .. } => "order.in_doubt",
            Self::OrderResolved { .. } => "order.resolved",
            Self::OrderCancelAsked { .. } => "order.cancel_asked",
            Self::OrderCancelled { .. } => "order.cancelled",
            Self::Fill { .. } => "fill",
            Self::FillsRead { .. } => "fills.read",
            Self::PositionReconciled { .. } => "position.reconciled",
            Self::OrderDenied { .. } => "order.denied",
            Self::HaltRaised { .. } => "halt.raised",
            Self::HaltReasonAdded { .. } => "halt.reason_added",
            Self::HaltStep { .. } => "halt.step",
            Self::HaltReported { .. } => "halt.reported",
            Self::LiftProposed { .. } => "lift.proposed",
            Self::LiftApproved { .. } => "lift.approved",
            Self::LiftLifted { .. } => "lift.lifted",
            Self::PauseTaken { .. } => "pause.taken",
            Self::PauseReleased { .. } => "pause.released",
            Self::ReduceOnlyTaken { .. } => "state.reduce_only",
            Self::ReduceOnlyLeft { .. } => "state.left",
            Self::LimitsChanged { .. } => "limits.changed",
            Self::LimitsProposed { .. } => "limits.proposed",
            Self::KeySealed { .. } => "key.sealed",
            Self::KeyCurrent { .. } => "key.current",
            Self::ApiKeyCreated { .. } => "apikey.created",
            Self::ApiKeyRevoked { .. } => "apikey.revoked",
            Self::AuthLogin { .. } => "auth.login",
            Self::AuthFailed { .. } => "auth.failed",
            Self::AuthDenied { .. } => "auth.denied",
            Self::TokenRevoked { .. } => "auth.token_revoked",
        }
    }

    /// How long the payload that belongs to it is kept.
    pub const fn class(&self) -> Class {
        match self {
            Self::OrderIntent { .. }
            | Self::OrderOutcome { .. }
            | Self::OrderInDoubt { .. }
            | Self::OrderResolved { .. }
            | Self::OrderCancelAsked { .. }
            | Self::OrderCancelled { .. }
            | Self::Fill { .. }
            | Self::FillsRead { .. }
            | Self::PositionReconciled { .. }
            | Self::OrderDenied { .. } => Class::TradingData,
            Self::AuthLogin { .. }
            | Self::AuthFailed { .. }
            | Self::AuthDenied { .. }
            | Self::TokenRevoked { .. } => Class::UserData,
            Self::SystemStarted { .. }
            | Self::SystemStopped
            | Self::SystemRecovered { .. }
            | Self::ActorExited { .. } => Class::SystemLogs,
            Self::SystemInitialised { .. }
            | Self::HaltRaised { .. }
            | Self::HaltReasonAdded { .. }
            | Self::HaltStep { .. }
            | Self::HaltReported { .. }
            | Self::LiftProposed { .. }
            | Self::LiftApproved { .. }
            | Self::LiftLifted { .. }
            | Self::PauseTaken { .. }
            | Self::PauseReleased { .. }
            | Self::ReduceOnlyTaken { .. }
            | Self::ReduceOnlyLeft { .. }
            | Self::LimitsChanged { .. }
            | Self::LimitsProposed { .. }
            | Self::KeySealed { .. }
            | Self::KeyCurrent { .. }
            | Self::ApiKeyCreated { .. }
            | Self::ApiKeyRevoked { .. } => Class::AuditLogs,
        }
    }
}

/// A fact on its way into the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What happened.
    pub fact: Fact,
    /// What belongs to it and may be erased.
    pub private: Option<Private>,
    /// Which part of the system says so, such as `gate`.
    pub actor: &'static str,
    /// Who caused it.
    pub principal: Option<Principal>,
    /// Ties records of one request together: its `X-Request-Id`, an order id, an incident.
    pub correlation: Option<String>,
}

impl Entry {
    /// A fact of the system itself, with nothing to erase.
    pub fn of(actor: &'static str, fact: Fact) -> Self {
        Self {
            fact,
            private: None,
            actor,
            principal: None,
            correlation: None,
        }
    }

    /// Adds who caused it.
    #[must_use]
    pub fn by(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// Adds what retention may erase.
    #[must_use]
    pub fn with(mut self, private: Private) -> Self {
        self.private = Some(private);
        self
    }

    /// Adds what ties it to other records.
    #[must_use]
    pub fn about(mut self, correlation: impl Into<String>) -> Self {
        self.correlation = Some(correlation.into());
        self
    }
}

/// A fact as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Position, from 0, without a gap.
    pub seq: u64,
    /// max(now, last + 1 µs).
    pub time: UnixMicros,
    /// What happened.
    pub fact: Fact,
    /// `None` also when it was erased.
    pub private: Option<Private>,
    /// Which part of the system said so.
    pub actor: String,
    /// Who caused it.
    pub principal: Option<Principal>,
    /// What it belongs to.
    pub correlation: Option<String>,
}

/// Proof that a record is durable. Only the journal's writer makes one, after the fsync returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    seq: u64,
    time: UnixMicros,
}

impl Committed {
    /// For the journal's writer alone.
    #[cfg(feature = "runtime")]
    pub(super) const fn new(seq: u64, time: UnixMicros) -> Self {
        Self { seq, time }
    }

    /// For tests of what follows a commit.
    #[cfg(test)]
    pub(crate) const fn for_tests(seq: u64) -> Self {
        Self {
            seq,
            time: UnixMicros(seq),
        }
    }

    /// Where the record stands.
    pub const fn seq(self) -> u64 {
        self.seq
    }

    /// The record's time.
    pub const fn time(self) -> UnixMicros {
        self.time
    }
}

/// State that is nothing but the records read in order. Kept in memory by its owner, cached on disk
/// as a snapshot, and made again from record one when the snapshot does not fit.
pub trait Fold: Serialize + serde::de::DeserializeOwned + Default + Send + 'static {
    /// Grows whenever the meaning of the stored form changes: an older snapshot is refolded.
    const VERSION: u32;
    /// Takes one record in. Total: a record that makes no sense here is ignored.
    fn apply(&mut self, record: &Record);
}
