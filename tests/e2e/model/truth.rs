//! The three records that a run is judged by: the simulator's own, the journal and the views.
//!
//! Each is read whole and put into plain terms here, from words and decimals as they are written, and
//! with nothing of the program's own types or folds.

use std::collections::BTreeMap;
use std::path::Path;

use rust_decimal::Decimal;
use serde_json::Value;

use super::super::daemon::{Caller, Daemon, json_of};
use super::super::simulator::Simulator;

/// Rows of one page.
const PAGE: usize = 1_000;

/// The text of a field.
pub fn text(value: &Value, name: &str) -> String {
    let found = value[name].as_str();
    found
        .unwrap_or_else(|| panic!("no {name}: {value}"))
        .to_owned()
}

/// The decimal of a field.
pub fn decimal(value: &Value, name: &str) -> Decimal {
    let found = text(value, name);
    Decimal::from_str_exact(&found).unwrap_or_else(|_| panic!("{name} is no decimal: {value}"))
}

/// Everything that the simulator has, each read at one moment.
pub struct AtVenue {
    /// Our order ids in the order in which they were accepted, with the time in ms.
    pub accepted: Vec<(String, u64)>,
    /// Its orders, by our order id.
    pub orders: BTreeMap<String, Value>,
    /// Its fills, oldest first.
    pub fills: Vec<Value>,
}

impl AtVenue {
    /// Reads it over the control routes, which no fault reaches. The order matters: what is in the
    /// first is in those that follow.
    pub fn read(simulator: &Simulator) -> Self {
        Self {
            accepted: accepted(simulator),
            orders: orders(simulator),
            fills: pages(simulator, "fills"),
        }
    }
}

/// What the simulator accepted, oldest first, with the time in ms.
pub fn accepted(simulator: &Simulator) -> Vec<(String, u64)> {
    let lines = pages(simulator, "accepted");
    let line = |line: &Value| {
        (
            text(line, "client_order_id"),
            line["accepted_at_ms"].as_u64().unwrap(),
        )
    };
    lines.iter().map(line).collect()
}

/// The simulator's orders as they are now, by our order id.
///
/// # Panics
///
/// When two of them have one id of ours.
pub fn orders(simulator: &Simulator) -> BTreeMap<String, Value> {
    let list = pages(simulator, "orders");
    let count = list.len();
    let by_id: BTreeMap<_, _> = list
        .into_iter()
        .map(|order| (text(&order, "client_order_id"), order))
        .collect();
    assert_eq!(by_id.len(), count, "two orders at the venue have one id");
    by_id
}

fn pages(simulator: &Simulator, name: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = simulator.read(&format!("/sim/{name}?after={after}&limit={PAGE}"));
        let rows = page[name].as_array().unwrap();
        all.extend(rows.iter().cloned());
        if rows.len() < PAGE {
            return all;
        }
        after = page["next"].as_u64().unwrap();
    }
}

/// Whether an order of the simulator rests.
pub fn is_open(order: &Value) -> bool {
    matches!(order["status"].as_str(), Some("open" | "partially_filled"))
}

/// What one market holds at the venue, in quote currency.
#[derive(Debug, Default)]
pub struct Held {
    /// The position at the reference, signed.
    pub long: Decimal,
    /// Resting buys at their own prices.
    pub buys: Decimal,
    /// Resting sells at their own prices.
    pub sells: Decimal,
    /// By how much sells below the reference were admitted for less than the position which they
    /// made is worth at it: the gate counts an order at its own price.
    pub sold_below: Decimal,
}

impl Held {
    /// Adds up the orders of a market at its reference.
    pub fn of(symbol: &str, reference: &str, orders: &BTreeMap<String, Value>) -> Self {
        let reference = Decimal::from_str_exact(reference).unwrap();
        let mut held = Self::default();
        for order in orders.values().filter(|order| order["market_id"] == symbol) {
            let (price, filled) = (decimal(order, "price"), decimal(order, "filled"));
            let is_buy = order["side"] == "buy";
            held.long += if is_buy { filled } else { -filled } * reference;
            if !is_buy {
                held.sold_below += filled * (reference - price).max(Decimal::ZERO);
            }
            if is_open(order) {
                let rest = price * (decimal(order, "quantity") - filled);
                *if is_buy {
                    &mut held.buys
                } else {
                    &mut held.sells
                } += rest;
            }
        }
        held
    }

    /// Its part of the gross exposure: the position, and what would make it larger.
    pub fn gross(&self) -> Decimal {
        let growing = if self.long.is_sign_negative() {
            self.sells
        } else {
            self.buys
        };
        self.long.abs() + growing
    }
}

/// One order as the journal tells it.
#[derive(Debug, Clone)]
pub struct Story {
    /// Its id.
    pub order_id: String,
    /// Whose.
    pub client: String,
    /// The caller's id.
    pub client_order_id: String,
    /// The intent's place in the journal.
    pub seq: u64,
    /// The intent's time, Unix µs.
    pub time_us: u64,
    /// The order's terms.
    pub order: Value,
    /// All that was said of its status, in that order.
    pub said: Vec<String>,
    /// The sum of its fills.
    pub filled: Decimal,
}

impl Story {
    /// What is true of it after everything that was said.
    pub fn status(&self) -> &str {
        let size = decimal(&self.order, "size");
        let ended = |status: &&String| {
            matches!(
                status.as_str(),
                "rejected" | "discarded" | "not_placed" | "cancelled"
            )
        };
        match self.said.iter().find(ended) {
            _ if self.filled >= size => "filled",
            Some(ended) => ended,
            None if !self.filled.is_zero() => "partially_filled",
            None => self.said.last().map_or("pending", String::as_str),
        }
    }

    /// It was said to be in doubt at some time.
    pub fn was_in_doubt(&self) -> bool {
        self.said.iter().any(|status| status == "in_doubt")
    }
}

/// The journal, as an export tells it.
pub struct Journal {
    /// Its orders, by order id.
    pub stories: BTreeMap<String, Story>,
    /// Its fills in order.
    pub fills: Vec<Value>,
    /// Where each halt stands: epoch → place.
    pub halts: BTreeMap<u64, u64>,
    /// Positions that were set to what the venue shows.
    pub reconciled: Vec<Value>,
    /// Records that tell of an order which has no intent before them.
    pub strays: Vec<String>,
}

impl Journal {
    /// Exports and verifies the journal of a directory, then reads it.
    pub fn read(daemon: &Daemon, file: &Path) -> Self {
        let _ = std::fs::remove_file(file);
        let path = file.to_str().unwrap();
        json_of(&daemon.cli(["audit", "export", path, "--json"]));
        json_of(&daemon.cli(["audit", "verify", path, "--json"]));
        let mut journal = Self {
            stories: BTreeMap::new(),
            fills: Vec::new(),
            halts: BTreeMap::new(),
            reconciled: Vec::new(),
            strays: Vec::new(),
        };
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if let Some(header) = line["header"].as_str() {
                journal.take(&serde_json::from_str(header).unwrap());
            }
        }
        journal
    }

    fn take(&mut self, header: &Value) {
        let kind = text(&header["fact"], "kind");
        let (data, seq) = (&header["fact"]["data"], header["seq"].as_u64().unwrap());
        match kind.as_str() {
            "order.intent" => self.begin(data, header),
            "order.outcome" | "order.resolved" => self.say(data, &text(data, "status"), seq),
            "order.in_doubt" => self.say(data, "in_doubt", seq),
            "order.cancelled" => self.say(data, "cancelled", seq),
            "fill" => {
                self.fills.push(data.clone());
                if let Some(story) = data["order_id"]
                    .as_str()
                    .and_then(|id| self.stories.get_mut(id))
                {
                    story.filled += decimal(data, "size");
                } else {
                    self.strays.push(format!("{seq}: {data}"));
                }
            }
            "halt.raised" => {
                self.halts.insert(data["epoch"].as_u64().unwrap(), seq);
            }
            "position.reconciled" => self.reconciled.push(data.clone()),
            _ => {}
        }
    }

    fn begin(&mut self, data: &Value, header: &Value) {
        let order_id = text(&data["order"], "order_id");
        let story = Story {
            order_id: order_id.clone(),
            client: text(data, "client"),
            client_order_id: text(data, "client_order_id"),
            seq: header["seq"].as_u64().unwrap(),
            time_us: header["time_us"].as_u64().unwrap(),
            order: data["order"].clone(),
            said: Vec::new(),
            filled: Decimal::ZERO,
        };
        if let Some(first) = self.stories.insert(order_id, story) {
            self.strays
                .push(format!("two intents of one order: {first:?}"));
        }
    }

    fn say(&mut self, data: &Value, status: &str, seq: u64) {
        match self.stories.get_mut(&text(data, "order_id")) {
            Some(story) => story.said.push(status.to_owned()),
            None => self.strays.push(format!("{seq}: {data}")),
        }
    }
}

/// What the lists of the API say.
pub struct Views {
    /// Every order.
    pub orders: Vec<Value>,
    /// Every fill.
    pub fills: Vec<Value>,
    /// Every position.
    pub positions: Vec<Value>,
}

impl Views {
    /// Reads all pages.
    pub fn read(caller: &Caller) -> Self {
        let positions = caller.get("/trading/positions").expect(200);
        Self {
            orders: list(caller, "orders"),
            fills: list(caller, "fills"),
            positions: positions["positions"].as_array().unwrap().clone(),
        }
    }

    /// The orders of one client's id.
    pub fn of(&self, client: &str, client_order_id: &str) -> Vec<&Value> {
        let is = |order: &&Value| {
            order["client"] == client && order["client_order_id"] == client_order_id
        };
        self.orders.iter().filter(is).collect()
    }
}

fn list(caller: &Caller, name: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = caller
            .get(&format!("/trading/{name}?limit=100{after}"))
            .expect(200);
        all.extend(page[name].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}
