//! What a simulator does wrong on purpose: a plan of faults, and which of them strikes which call.
//!
//! Pure. A plan is a seed and a list of rules. Each rule counts, for itself, the calls that it is
//! about, and decides from the seed, its place in the list and that count alone whether it strikes:
//! the same plan and the same calls give the same faults, whatever other calls come in between and
//! whichever thread carries them. Of the rules that strike one call the first in the list is done.
//! What each fault does is `injection.rs`; the plan is read in `faults/read.rs`.

use serde_json::{Value, json};

use super::call::Call;

mod read;

pub use read::{Mistake, Mistakes, PLAN_BYTES_MAX};

/// Most rules of one plan.
pub const RULES_MAX: usize = 64;

/// Largest `skip` and `times`.
pub const COUNT_MAX: u64 = 1_000_000_000;

/// A whole, in millionths: a `probability` has at most six decimals, so that it is exact.
const PPM: u64 = 1_000_000;

/// Longest wait of a fault, in milliseconds.
pub const WAIT_MS_MAX: u64 = 600_000;

/// Longest `retry_after_s`, in seconds.
pub const RETRY_AFTER_S_MAX: u64 = 3_600;

/// A call of the venue's protocol, or a message of its feed, by the name that plans and counts use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallName {
    /// `POST /orders`.
    Place,
    /// `DELETE /orders/{id}`.
    Cancel,
    /// `DELETE /orders`.
    CancelAll,
    /// `GET /orders?status=open`.
    Open,
    /// `GET /orders?status=all`.
    All,
    /// `GET /orders/by-client-id/{id}`.
    ByClientId,
    /// `GET /fills`.
    Fills,
    /// `GET /positions`.
    Positions,
    /// `GET /markets/{symbol}/book`.
    Book,
    /// `GET /markets`.
    Markets,
    /// `GET /account`.
    Account,
    /// A `book` message of a feed.
    FeedBook,
    /// A `trade` message of a feed.
    FeedTrade,
    /// A `fill` message of a feed.
    FeedFill,
}

impl CallName {
    /// Every call.
    pub const ALL: [Self; 14] = [
        Self::Place,
        Self::Cancel,
        Self::CancelAll,
        Self::Open,
        Self::All,
        Self::ByClientId,
        Self::Fills,
        Self::Positions,
        Self::Book,
        Self::Markets,
        Self::Account,
        Self::FeedBook,
        Self::FeedTrade,
        Self::FeedFill,
    ];

    /// The name of a call.
    pub fn of(call: &Call) -> Self {
        match call {
            Call::Place(_) => Self::Place,
            Call::Cancel(_) => Self::Cancel,
            Call::CancelAll => Self::CancelAll,
            Call::OpenOrders => Self::Open,
            Call::AllOrders { .. } => Self::All,
            Call::OrderByClientId(_) => Self::ByClientId,
            Call::Fills { .. } => Self::Fills,
            Call::Positions => Self::Positions,
            Call::Book(_) => Self::Book,
            Call::Markets => Self::Markets,
            Call::Account => Self::Account,
        }
    }

    /// The word in a plan.
    pub fn word(self) -> &'static str {
        match self {
            Self::Place => "orders.place",
            Self::Cancel => "orders.cancel",
            Self::CancelAll => "orders.cancel_all",
            Self::Open => "orders.open",
            Self::All => "orders.all",
            Self::ByClientId => "orders.by_client_id",
            Self::Fills => "fills",
            Self::Positions => "positions",
            Self::Book => "book",
            Self::Markets => "markets",
            Self::Account => "account",
            Self::FeedBook => "feed.book",
            Self::FeedTrade => "feed.trade",
            Self::FeedFill => "feed.fill",
        }
    }

    /// Whether it is a message that the venue sends by itself.
    pub fn is_feed(self) -> bool {
        matches!(self, Self::FeedBook | Self::FeedTrade | Self::FeedFill)
    }
}

/// What goes wrong. *Effect* is what the call would have done; waits end early when the plan is
/// replaced, except that of [`Fault::Late`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Waits, then effect and answer, also when the caller has gone by then.
    Latency {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// 429 with `Retry-After`; no effect.
    Throttle {
        /// `Retry-After`, in seconds.
        retry_after_s: u64,
    },
    /// This 5xx; no effect.
    Status {
        /// 500 to 599.
        code: u64,
    },
    /// Effect, then this 5xx.
    StatusAfter {
        /// 500 to 599.
        code: u64,
    },
    /// The connection is closed; no effect.
    DropBefore,
    /// Effect, then the connection is closed without an answer.
    DropAfter,
    /// Effect, then the head and half of the body of the answer, then a TCP reset.
    ResetMidAnswer,
    /// Effect at once; the answer waits.
    Hold {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// No effect and no answer, until the caller goes away; closed when the plan is replaced.
    Hang,
    /// The connection is closed without an answer; the order arrives at the venue later, which then
    /// judges it as any other, by its expiry too.
    Late {
        /// How much later, in milliseconds.
        ms: u64,
    },
    /// Cancels this share of the open orders, the oldest, rounded down; answers as if all were.
    PartialCancel {
        /// 0 to 99.
        fraction_pct: u64,
    },
    /// Answers a cancel as done and does nothing.
    CancelIgnored,
    /// Effect, then 200 with a page that is no JSON.
    Garbage,
    /// Effect, then 200 with `{}`, which lacks everything that it should hold.
    EmptyObject,
    /// Connections that are open when the plan begins are closed, and each new one before anything
    /// is read from it (under TLS: after the handshake). Counts connections, not calls.
    Down,
    /// A message of a feed is left out; its number is used up.
    FeedGap,
    /// A message is sent twice, with one number.
    FeedDuplicate,
    /// A message is sent after the next one.
    FeedReorder,
    /// Nothing is sent on this feed for so long.
    FeedStall {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// The connection is closed instead of sending the message, without a farewell.
    FeedCut,
}

impl Fault {
    /// The word in a plan.
    pub fn word(self) -> &'static str {
        self.parts().0
    }

    /// Whether it is one of a feed's messages.
    pub fn is_feed(self) -> bool {
        matches!(
            self,
            Self::FeedGap
                | Self::FeedDuplicate
                | Self::FeedReorder
                | Self::FeedStall { .. }
                | Self::FeedCut
        )
    }

    /// The word and, if it has one, the name and value of its number.
    fn parts(self) -> (&'static str, Option<(&'static str, u64)>) {
        match self {
            Self::Latency { ms } => ("latency", Some(("ms", ms))),
            Self::Throttle { retry_after_s } => {
                ("throttle", Some(("retry_after_s", retry_after_s)))
            }
            Self::Status { code } => ("status", Some(("code", code))),
            Self::StatusAfter { code } => ("status_after", Some(("code", code))),
            Self::DropBefore => ("drop_before", None),
            Self::DropAfter => ("drop_after", None),
            Self::ResetMidAnswer => ("reset_mid_answer", None),
            Self::Hold { ms } => ("hold", Some(("ms", ms))),
            Self::Hang => ("hang", None),
            Self::Late { ms } => ("late", Some(("ms", ms))),
            Self::PartialCancel { fraction_pct } => {
                ("partial_cancel", Some(("fraction_pct", fraction_pct)))
            }
            Self::CancelIgnored => ("cancel_ignored", None),
            Self::Garbage => ("garbage", None),
            Self::EmptyObject => ("empty_object", None),
            Self::Down => ("down", None),
            Self::FeedGap => ("feed.gap", None),
            Self::FeedDuplicate => ("feed.duplicate", None),
            Self::FeedReorder => ("feed.reorder", None),
            Self::FeedStall { ms } => ("feed.stall", Some(("ms", ms))),
            Self::FeedCut => ("feed.cut", None),
        }
    }
}

/// What a kind of fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Any call.
    Calls,
    /// These calls only.
    Only(&'static [CallName]),
    /// Connections, before any call.
    Connections,
    /// Any message of a feed.
    Feed,
}

impl On {
    fn takes(self, name: CallName) -> bool {
        match self {
            Self::Calls => !name.is_feed(),
            Self::Only(calls) => calls.contains(&name),
            Self::Connections => false,
            Self::Feed => name.is_feed(),
        }
    }
}

/// A kind of fault: its word, its number, and what it can strike.
pub struct Kind {
    /// The word in a plan.
    pub word: &'static str,
    /// The number that it needs: name, least, most.
    pub number: Option<(&'static str, u64, u64)>,
    /// What it can strike.
    pub on: On,
    /// Makes the fault of its number, 0 where it has none.
    make: fn(u64) -> Fault,
}

const WAIT: Option<(&str, u64, u64)> = Some(("ms", 1, WAIT_MS_MAX));
const CODE: Option<(&str, u64, u64)> = Some(("code", 500, 599));
const RETRY: Option<(&str, u64, u64)> = Some(("retry_after_s", 0, RETRY_AFTER_S_MAX));
const SHARE: Option<(&str, u64, u64)> = Some(("fraction_pct", 0, 99));

const PLACE: On = On::Only(&[CallName::Place]);
const CANCEL_ALL: On = On::Only(&[CallName::CancelAll]);
const CANCELS: On = On::Only(&[CallName::Cancel, CallName::CancelAll]);

/// Every kind of fault.
pub const KINDS: [Kind; 20] = [
    kind("latency", WAIT, On::Calls, |ms| Fault::Latency { ms }),
    kind("throttle", RETRY, On::Calls, |retry_after_s| {
        Fault::Throttle { retry_after_s }
    }),
    kind("status", CODE, On::Calls, |code| Fault::Status { code }),
    kind("status_after", CODE, On::Calls, |code| Fault::StatusAfter {
        code,
    }),
    kind("drop_before", None, On::Calls, |_| Fault::DropBefore),
    kind("drop_after", None, On::Calls, |_| Fault::DropAfter),
    kind("reset_mid_answer", None, On::Calls, |_| {
        Fault::ResetMidAnswer
    }),
    kind("hold", WAIT, On::Calls, |ms| Fault::Hold { ms }),
    kind("hang", None, On::Calls, |_| Fault::Hang),
    kind("late", WAIT, PLACE, |ms| Fault::Late { ms }),
    kind("partial_cancel", SHARE, CANCEL_ALL, |fraction_pct| {
        Fault::PartialCancel { fraction_pct }
    }),
    kind("cancel_ignored", None, CANCELS, |_| Fault::CancelIgnored),
    kind("garbage", None, On::Calls, |_| Fault::Garbage),
    kind("empty_object", None, On::Calls, |_| Fault::EmptyObject),
    kind("down", None, On::Connections, |_| Fault::Down),
    kind("feed.gap", None, On::Feed, |_| Fault::FeedGap),
    kind("feed.duplicate", None, On::Feed, |_| Fault::FeedDuplicate),
    kind("feed.reorder", None, On::Feed, |_| Fault::FeedReorder),
    kind("feed.stall", WAIT, On::Feed, |ms| Fault::FeedStall { ms }),
    kind("feed.cut", None, On::Feed, |_| Fault::FeedCut),
];

const fn kind(
    word: &'static str,
    number: Option<(&'static str, u64, u64)>,
    on: On,
    make: fn(u64) -> Fault,
) -> Kind {
    Kind {
        word,
        number,
        on,
        make,
    }
}

/// Which calls a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Calls {
    /// `*`: all that its fault can strike.
    Any,
    /// These.
    Named(Vec<CallName>),
}

/// One rule of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it is about.
    pub calls: Calls,
    /// What it does.
    pub fault: Fault,
    /// The share of its calls that it strikes, in millionths; `None` strikes all.
    pub probability_ppm: Option<u64>,
    /// How many of its calls it lets pass first.
    pub skip: u64,
    /// How many of its calls it looks at after those; `None` is all that follow.
    pub times: Option<u64>,
}

/// What a rule may be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// A connection was opened.
    Connection,
    /// A call came whose sender and form are in order, or a message is to be sent.
    Call(CallName),
}

impl Rule {
    fn is_about(&self, met: Met) -> bool {
        match met {
            Met::Connection => self.fault == Fault::Down,
            Met::Call(call) => match &self.calls {
                Calls::Any => self.fault != Fault::Down && self.fault.is_feed() == call.is_feed(),
                Calls::Named(calls) => calls.contains(&call),
            },
        }
    }

    /// Whether the rule at `place` strikes the `nth` call that it is about, both from 0.
    fn strikes(&self, seed: u64, place: u64, nth: u64) -> bool {
        let looked_at = nth
            .checked_sub(self.skip)
            .is_some_and(|after_skip| self.times.is_none_or(|times| after_skip < times));
        let drawn = || draw_ppm(seed, place, nth);
        looked_at && self.probability_ppm.is_none_or(|share| drawn() < share)
    }

    fn to_json(&self) -> Value {
        let calls = match &self.calls {
            Calls::Any => vec!["*"],
            Calls::Named(calls) => calls.iter().map(|call| call.word()).collect(),
        };
        let (word, number) = self.fault.parts();
        let mut rule = json!({ "calls": calls, "fault": word });
        let mut set = |name: &str, value: Value| {
            if let Some(rule) = rule.as_object_mut() {
                rule.insert(name.to_owned(), value);
            }
        };
        if let Some((name, value)) = number {
            set(name, value.into());
        }
        if let Some(share) = self.probability_ppm {
            set("probability", (share as f64 / PPM as f64).into());
        }
        if self.skip > 0 {
            set("skip", self.skip.into());
        }
        if let Some(times) = self.times {
            set("times", times.into());
        }
        rule
    }
}

/// A plan of faults. The default has no rules: nothing goes wrong.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Decides every rule that has a probability.
    pub seed: u64,
    /// In this order.
    pub rules: Vec<Rule>,
}

impl Plan {
    /// Reads a plan from JSON.
    ///
    /// # Errors
    ///
    /// [`Mistakes`]: every mistake in it, each with the rule and the field.
    pub fn read(text: &[u8]) -> Result<Self, Mistakes> {
        read::read(text)
    }

    /// The plan as JSON, in the form that [`Plan::read`] takes.
    pub fn to_json(&self) -> Value {
        let rules = self.rules.iter().map(Rule::to_json).collect::<Vec<_>>();
        json!({ "seed": self.seed, "rules": rules })
    }

    /// Whether it closes connections.
    pub fn takes_down(&self) -> bool {
        self.rules.iter().any(|rule| rule.fault == Fault::Down)
    }
}

/// How often a rule met what it is about, and how often it was what happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls (for `down`: connections) that it counted.
    pub met: u64,
    /// Of these, how many it was done to.
    pub applied: u64,
}

/// A plan at work: the plan and its counts.
#[derive(Debug, Default)]
pub struct Running {
    plan: Plan,
    tallies: Vec<Tally>,
}

impl Running {
    /// Begins a plan: every count is 0.
    pub fn new(plan: Plan) -> Self {
        let tallies = vec![Tally::default(); plan.rules.len()];
        Self { plan, tallies }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The counts of each rule, in the order of the plan.
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// Counts what was met at every rule that is about it, and gives the fault that is done to it.
    pub fn meet(&mut self, met: Met) -> Option<Fault> {
        let mut done = None;
        let rules = (0..).zip(&self.plan.rules).zip(&mut self.tallies);
        for ((place, rule), tally) in rules.filter(|((_, rule), _)| rule.is_about(met)) {
            let strikes = rule.strikes(self.plan.seed, place, tally.met);
            tally.met += 1;
            if strikes && done.is_none() {
                tally.applied += 1;
                done = Some(rule.fault);
            }
        }
        done
    }
}

/// A number of millionths, 0 to 999,999, that depends on these three alone.
fn draw_ppm(seed: u64, place: u64, nth: u64) -> u64 {
    let bits = mix(mix(mix(seed).wrapping_add(place)).wrapping_add(nth));
    let share = (u128::from(bits) * u128::from(PPM)) >> 64;
    u64::try_from(share).unwrap_or(PPM)
}

/// The output step of SplitMix64: spreads every bit of its input over all of its output.
fn mix(input: u64) -> u64 {
    let mut bits = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
