//! What a client knows of its ids, and which answers the contract allows in which state.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::http::Reply;
use super::steps::Wish;
use super::truth::text;

/// The states that trading may be in while a request is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doors {
    /// Orders are taken.
    pub open: bool,
    /// An operator's pause, or trading has not opened since the start.
    pub paused: bool,
    /// Halted.
    pub halted: bool,
}

impl Doors {
    /// Either of two.
    pub fn or(self, other: Self) -> Self {
        Self {
            open: self.open || other.open,
            paused: self.paused || other.paused,
            halted: self.halted || other.halted,
        }
    }
}

/// What a client was told of one of its ids.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Everything that was sent under it.
    pub sent: Vec<Wish>,
    /// The order that it is bound to, once an answer said so.
    pub order_id: Option<String>,
    /// The content that it is bound to, once an answer said so.
    pub content: Option<Wish>,
    /// The last status that was told.
    pub status: Option<String>,
    /// A terminal status that was told.
    pub ended: Option<String>,
    /// A `kill -9` came since the last status: the last outcomes may be forgotten until the venue was
    /// asked again.
    pub killed: bool,
    /// It was told 201.
    pub placed: bool,
    /// It was told that nothing of it left, or that the venue never took it.
    pub nothing_left: bool,
}

/// All ids that were ever sent, by client and id.
pub type Ids = BTreeMap<(usize, String), Known>;

/// Statuses after which nothing changes.
pub fn is_terminal(status: &str) -> bool {
    matches!(
        status,
        "filled" | "cancelled" | "rejected" | "discarded" | "not_placed"
    )
}

/// The codes of the gate's denials.
const DENIALS: [&str; 20] = [
    "UNKNOWN_SYMBOL",
    "TICK",
    "LOT",
    "PRICE_RANGE",
    "SIZE_RANGE",
    "NOTIONAL_MIN",
    "REFERENCE_MISSING",
    "REFERENCE_STALE",
    "REFERENCE_CROSSED",
    "PRICE_COLLAR",
    "ORDER_NOTIONAL",
    "POSITION_LIMIT",
    "GROSS_EXPOSURE",
    "OPEN_ORDERS",
    "ORDER_RATE",
    "SELF_TRADE",
    "VENUE_HEALTH",
    "ORDERS_IN_DOUBT",
    "REDUCE_ONLY",
    "KEY_UNUSABLE",
];

impl Known {
    /// Takes an answer in.
    ///
    /// # Errors
    ///
    /// Why the contract does not allow it in any of the states that trading may have been in.
    pub fn take(&mut self, wish: &Wish, reply: &Reply, doors: Doors) -> Result<(), String> {
        let body: Value = serde_json::from_str(&reply.body).map_err(|e| e.to_string())?;
        let (details, code) = (&body["error"]["details"], reply.code());
        let must = |yes: bool, what: &str| if yes { Ok(()) } else { Err(what.to_owned()) };
        match (reply.status, code.as_str()) {
            (201 | 202, _) => {
                must(doors.open, "placed while trading was not open")?;
                must(self.order_id.is_none(), "placed under a bound id")?;
                must(body["replayed"].is_null(), "placed and replayed")?;
                let status = text(&body, "status");
                let known = ["open", "partially_filled", "filled", "cancelled"];
                let (allowed, numbered) = match reply.status {
                    201 => (
                        known.contains(&status.as_str()),
                        body["venue_order_id"].is_string(),
                    ),
                    _ => (status == "in_doubt", body["venue_order_id"].is_null()),
                };
                must(allowed, "a status that this answer does not have")?;
                must(numbered, "the venue's id and the status do not fit")?;
                for name in ["digest", "signature", "signer", "key_id"] {
                    must(body[name].is_string(), name)?;
                }
                self.placed |= reply.status == 201;
                self.bind(wish, &body, true)
            }
            (200, _) => {
                must(body["replayed"] == true, "200 and not replayed")?;
                let shown = body["signature"].is_string();
                must(
                    doors.open || !shown,
                    "a signature while trading is not active",
                )?;
                self.bind(wish, &body, true)
            }
            (409, "DUPLICATE_ORDER") => {
                let order_id = text(details, "order_id");
                must(
                    self.content.as_ref() != Some(wish),
                    "its own content is a duplicate",
                )?;
                must(
                    self.sent.iter().any(|sent| sent != wish),
                    "there was no other content",
                )?;
                self.name(&order_id)
            }
            (422, "VENUE_REJECTED") => {
                must(doors.open, "sent while trading was not open")?;
                must(
                    details["status"] == "rejected",
                    "rejected, with another status",
                )?;
                must(self.order_id.is_none(), "sent again")?;
                self.bind(wish, details, false)
            }
            (422, code) => {
                must(doors.open, "judged while trading was not open")?;
                must(self.order_id.is_none(), "judged again under a bound id")?;
                let list = details["denials"].as_array().cloned().unwrap_or_default();
                let known = |denial: &Value| {
                    denial["code"]
                        .as_str()
                        .is_some_and(|c| DENIALS.contains(&c))
                };
                must(
                    !list.is_empty() && list.iter().all(known),
                    "an unknown denial",
                )?;
                must(
                    list[0]["code"] == code,
                    "the code is not that of the first denial",
                )
            }
            (503, "VENUE_UNAVAILABLE") => {
                must(doors.open, "sent while trading was not open")?;
                must(
                    details["status"] == "discarded",
                    "nothing left, with another status",
                )?;
                self.nothing_left = true;
                self.bind(wish, details, false)
            }
            (503, "TRADING_HALTED") => {
                must(doors.halted, "trading was not halted")?;
                if details["order_id"].is_null() {
                    return must(
                        self.order_id.is_none(),
                        "a bound id was not answered with its order",
                    );
                }
                must(
                    details["status"] == "discarded",
                    "halted on its way, with another status",
                )?;
                self.nothing_left = true;
                self.bind(wish, details, false)
            }
            (503, "TRADING_PAUSED") => {
                must(doors.paused, "trading was not paused")?;
                must(
                    self.order_id.is_none(),
                    "a bound id was not answered with its order",
                )
            }
            _ => Err("an answer that nothing here leads to".to_owned()),
        }
    }

    /// An answer tells the order of this content.
    fn bind(&mut self, wish: &Wish, told: &Value, whole: bool) -> Result<(), String> {
        if told["client_order_id"] != wish.id.as_str() {
            return Err("the client_order_id of another".to_owned());
        }
        if whole && told["journal_seq"].as_u64().is_none() {
            return Err("no journal_seq".to_owned());
        }
        if let Some(content) = self.content.as_ref().filter(|content| *content != wish) {
            return Err(format!("bound to other content before: {content:?}"));
        }
        self.name(&text(told, "order_id"))?;
        self.content = Some(wish.clone());
        self.now(&text(told, "status"))
    }

    fn name(&mut self, order_id: &str) -> Result<(), String> {
        match &self.order_id {
            Some(known) if known != order_id => Err(format!("bound to {known} before")),
            _ => {
                self.order_id = Some(order_id.to_owned());
                Ok(())
            }
        }
    }

    /// A status is told; a terminal one stays.
    ///
    /// # Errors
    ///
    /// When it does not follow what was told before.
    pub fn now(&mut self, status: &str) -> Result<(), String> {
        let before = self.status.replace(status.to_owned());
        let forgotten = self.killed && !is_terminal(status);
        // Of an outcome that a kill took nothing is known but that the venue does not have the order.
        let absent = self.killed && status == "not_placed";
        match before {
            _ if forgotten => {}
            Some(before) if before != "in_doubt" && status == "in_doubt" => {
                return Err(format!("it was {before} before, and is in doubt now"));
            }
            _ => self.killed = false,
        }
        match &self.ended {
            Some(ended) if absent && matches!(ended.as_str(), "discarded" | "rejected") => {
                self.ended = Some(status.to_owned());
            }
            Some(ended) if ended != status && !forgotten => {
                return Err(format!("it was {ended} before, and is {status} now"));
            }
            None if is_terminal(status) => self.ended = Some(status.to_owned()),
            _ => {}
        }
        Ok(())
    }
}
