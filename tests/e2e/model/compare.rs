//! Order by order and sum by sum: what clients were told, the journal, the views and the simulator.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde_json::Value;

use super::answers::{Ids, Known};
use super::truth::{AtVenue, Journal, Story, Views, decimal, is_open, text};

/// A halt and what the venue accepted while it was in force.
pub struct Halted {
    /// The halt's epoch.
    pub epoch: u64,
    /// Orders under way, as its report lists them.
    pub reported: BTreeSet<String>,
    /// How many orders the venue had accepted when the halt was known.
    pub from: usize,
    /// And when people agreed to end it.
    pub to: usize,
}

/// All records of one run.
pub struct Records<'a> {
    /// What clients were told.
    pub ids: &'a Ids,
    /// Names of the clients.
    pub clients: &'a [String],
    /// The journal.
    pub journal: Journal,
    /// The API's lists.
    pub views: Views,
    /// The simulator.
    pub venue: AtVenue,
}

impl Records<'_> {
    /// Everything that differs, in words. Empty = one truth.
    pub fn differences(&self, halts: &[Halted]) -> Vec<String> {
        let mut found = self.journal.strays.clone();
        for ((client, id), known) in self.ids {
            let differs = self.of_id(&self.clients[*client], id, known);
            found.extend(
                differs.map(|what| format!("{} {id}: {what}\n  {known:?}", self.clients[*client])),
            );
        }
        found.extend(self.intents());
        found.extend(self.arrivals());
        found.extend(self.fills());
        found.extend(self.sums());
        found.extend(halts.iter().flat_map(|halt| self.while_halted(halt)));
        found
    }

    /// One id of one client: one order everywhere, or none anywhere.
    fn of_id(&self, client: &str, id: &str, known: &Known) -> Option<String> {
        let is_it = |story: &&Story| story.client == client && story.client_order_id == id;
        let stories: Vec<_> = self.journal.stories.values().filter(is_it).collect();
        let views = self.views.of(client, id);
        let story = match (stories[..].as_ref(), &known.order_id) {
            ([], None) if views.is_empty() => return None,
            ([story], _) => *story,
            (stories, told) => {
                return Some(format!(
                    "told {told:?}, journal {stories:?}, views {views:?}"
                ));
            }
        };
        let (order_id, status) = (&story.order_id, story.status());
        let mut wrong = Vec::new();
        let mut check = |holds: bool, what: &str| {
            if !holds {
                wrong.push(what.to_owned());
            }
        };
        check(
            known.order_id.as_ref() == Some(order_id),
            "the client was told another order",
        );
        check(
            known.status.as_deref() == Some(status),
            "the client was told another status",
        );
        match views[..] {
            [view] => {
                check(
                    view["order_id"] == order_id.as_str(),
                    "the views have another order",
                );
                check(view["status"] == status, "the views have another status");
                check(
                    decimal(view, "filled") == story.filled,
                    "the views have it filled otherwise",
                );
            }
            _ => check(false, "the views do not have it once"),
        }
        let content = known.content.as_ref();
        let same = |name: &str, wanted: &str| {
            let wanted = Decimal::from_str_exact(wanted).unwrap();
            decimal(&story.order, name) == wanted
        };
        check(
            content.is_some_and(|wish| same("price", &wish.price) && same("size", &wish.size)),
            "the journal has other terms",
        );
        let there = self.venue.orders.get(order_id);
        let accepted = self.venue.accepted.iter().filter(|(id, _)| id == order_id);
        let accepted = accepted.count();
        check(accepted <= 1, "the venue accepted it more than once");
        check(
            !known.placed || accepted == 1,
            "told as placed, and the venue never accepted it",
        );
        check(
            !known.nothing_left || there.is_none(),
            "told that nothing left, and the venue has it",
        );
        match (status, there) {
            ("discarded" | "not_placed" | "rejected", None) => {}
            ("discarded" | "not_placed", Some(_)) => check(false, "the venue has it"),
            (_, None) => check(false, "the venue does not have it"),
            (_, Some(order)) => {
                check(order["status"] == status, "the venue has another status");
                check(
                    decimal(order, "filled") == story.filled,
                    "the venue has it filled otherwise",
                );
                check(
                    ["price", "quantity"].map(|name| decimal(order, name))
                        == ["price", "size"].map(|name| decimal(&story.order, name)),
                    "the venue has other terms",
                );
            }
        }
        (!wrong.is_empty()).then(|| {
            format!(
                "{}\n  {story:?}\n  {views:?}\n  {there:?}",
                wrong.join("; ")
            )
        })
    }

    /// Every intent is of an id that was sent.
    fn intents(&self) -> Vec<String> {
        let sent: BTreeSet<(&str, &str)> = self
            .ids
            .keys()
            .map(|(client, id)| (self.clients[*client].as_str(), id.as_str()))
            .collect();
        let stories = self.journal.stories.values();
        stories
            .filter(|story| !sent.contains(&(&story.client, &story.client_order_id)))
            .map(|story| format!("nobody sent {story:?}"))
            .collect()
    }

    /// Every order at the venue has an intent that was durable before it came there.
    fn arrivals(&self) -> Vec<String> {
        let mut found = Vec::new();
        for order_id in self.venue.orders.keys() {
            if !self.journal.stories.contains_key(order_id) {
                found.push(format!(
                    "the venue has {order_id}, the journal has no intent of it"
                ));
            }
        }
        for (order_id, at_ms) in &self.venue.accepted {
            match self.journal.stories.get(order_id) {
                Some(story) if story.time_us / 1_000 <= *at_ms => {}
                story => found.push(format!(
                    "accepted at {at_ms} ms, before its intent: {story:?}"
                )),
            }
        }
        found
    }

    /// Fills by id, each once, with the same numbers everywhere.
    fn fills(&self) -> Vec<String> {
        let there = by_id(&self.venue.fills, "quantity", |fill| {
            text(fill, "client_order_id")
        });
        let of_order = |fill: &Value| {
            fill["order_id"]
                .as_str()
                .unwrap_or("none of ours")
                .to_owned()
        };
        let mut found = Vec::new();
        for (name, fills) in [
            ("journal", &self.journal.fills),
            ("views", &self.views.fills),
        ] {
            let here = by_id(fills, "size", of_order);
            if here.len() != fills.len() {
                found.push(format!("the {name} counts a fill twice"));
            }
            if here == there {
                continue;
            }
            for id in here.keys().chain(there.keys()).collect::<BTreeSet<_>>() {
                if here.get(id) != there.get(id) {
                    let (here, there) = (here.get(id), there.get(id));
                    found.push(format!("fill {id}: {name} {here:?}, venue {there:?}"));
                }
            }
        }
        found
    }

    /// Positions are the sums of the fills, and what is reserved is what rests.
    fn sums(&self) -> Vec<String> {
        let mut found: Vec<String> = self
            .journal
            .reconciled
            .iter()
            .map(|fact| format!("a position was corrected: {fact}"))
            .collect();
        let mut sums: BTreeMap<String, [Decimal; 3]> = BTreeMap::new();
        for fill in &self.venue.fills {
            let size = decimal(fill, "quantity");
            let signed = if fill["side"] == "buy" { size } else { -size };
            sums.entry(text(fill, "symbol")).or_default()[0] += signed;
        }
        for order in self.venue.orders.values().filter(|order| is_open(order)) {
            let rest = decimal(order, "quantity") - decimal(order, "filled");
            let side = if order["side"] == "buy" { 1 } else { 2 };
            let sum = sums.entry(text(order, "market_id")).or_default();
            sum[side] += decimal(order, "price") * rest;
        }
        for position in &self.views.positions {
            let names = ["size", "open_buys_usdc", "open_sells_usdc"];
            let here = names.map(|name| decimal(position, name));
            let there = sums.remove(&text(position, "symbol")).unwrap_or_default();
            if here != there {
                found.push(format!("{position}: the venue's sums are {there:?}"));
            }
        }
        sums.retain(|_, sums| sums.iter().any(|sum| !sum.is_zero()));
        found.extend(
            sums.iter()
                .map(|(symbol, sums)| format!("{symbol}: {sums:?} only there")),
        );
        found
    }

    /// What came to the venue while trading was halted had left before, and is told as such.
    fn while_halted(&self, halt: &Halted) -> Vec<String> {
        let raised = self.journal.halts.get(&halt.epoch);
        let Some(raised) = raised else {
            return vec![format!(
                "the halt of epoch {} is not in the journal",
                halt.epoch
            )];
        };
        let came = self
            .venue
            .accepted
            .get(halt.from..halt.to)
            .unwrap_or_default();
        let allowed = |order_id: &str| {
            let story = self.journal.stories.get(order_id);
            story.is_some_and(|story| {
                story.seq < *raised && (halt.reported.contains(order_id) || story.was_in_doubt())
            })
        };
        let wrong = came.iter().filter(|(order_id, _)| !allowed(order_id));
        wrong
            .map(|(order_id, _)| {
                let story = self.journal.stories.get(order_id);
                format!(
                    "came while halted ({}, record {raised}): {order_id} {story:?}",
                    halt.epoch
                )
            })
            .collect()
    }
}

type Numbers = (String, String, String, [Decimal; 3]);

fn by_id(
    fills: &[Value],
    size: &str,
    order: impl Fn(&Value) -> String,
) -> BTreeMap<String, Numbers> {
    let one = |fill: &Value| {
        let numbers = ["price", size, "fee"].map(|name| decimal(fill, name));
        let words = (order(fill), text(fill, "symbol"), text(fill, "side"));
        (text(fill, "fill_id"), (words.0, words.1, words.2, numbers))
    };
    fills.iter().map(one).collect()
}
