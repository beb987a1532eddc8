//! Reads a fault plan from JSON and tells every mistake in it at once.
//!
//! JSON, since plans come by HTTP too: one form, one reader.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{COUNT_MAX, CallName, Calls, KINDS, Kind, On, PPM, Plan, RULES_MAX, Rule};

/// Largest text of a plan, in bytes.
pub const PLAN_BYTES_MAX: usize = 64 * 1024;

/// One mistake in a plan.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mistake {
    /// Which rule, from 0; `None` for the plan as a whole.
    pub rule: Option<usize>,
    /// Which field; empty for the rule or plan as a whole.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.rule, self.field.as_str()) {
            (Some(rule), "") => write!(f, "rules[{rule}]: ")?,
            (Some(rule), field) => write!(f, "rules[{rule}].{field}: ")?,
            (None, "") => {}
            (None, field) => write!(f, "{field}: ")?,
        }
        write!(f, "{}; {}", self.problem, self.right)
    }
}

/// Every mistake in a plan, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 mistake in the fault plan")?,
            n => write!(f, "{n} mistakes in the fault plan")?,
        }
        self.0
            .iter()
            .try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

/// A JSON object with its fields as they were written, doubled ones too.
struct Fields<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Fields<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<T>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object(std::marker::PhantomData))
    }
}

/// A field of the plan: the rules, or anything else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Rules(Vec<Fields<Value>>),
    Other(Value),
}

/// What was found wrong so far, and where one is.
struct Reader {
    mistakes: Vec<Mistake>,
    rule: Option<usize>,
}

/// Reads a plan.
///
/// # Errors
///
/// [`Mistakes`], every one that was found.
pub(super) fn read(text: &[u8]) -> Result<Plan, Mistakes> {
    let mut reader = Reader {
        mistakes: Vec::new(),
        rule: None,
    };
    let plan = reader.plan(text);
    match plan {
        Some(plan) if reader.mistakes.is_empty() => Ok(plan),
        _ => Err(Mistakes(reader.mistakes)),
    }
}

impl Reader {
    fn wrong(&mut self, field: &str, problem: impl Into<String>, right: impl Into<String>) {
        self.mistakes.push(Mistake {
            rule: self.rule,
            field: field.to_owned(),
            problem: problem.into(),
            right: right.into(),
        });
    }

    fn plan(&mut self, text: &[u8]) -> Option<Plan> {
        if text.len() > PLAN_BYTES_MAX {
            let right = format!("at most {PLAN_BYTES_MAX} bytes");
            self.wrong("", "the plan is too long", right);
            return None;
        }
        let fields = match serde_json::from_slice::<Fields<Part>>(text) {
            Ok(fields) => fields,
            Err(error) => {
                self.wrong("", error.to_string(), "a JSON object with seed and rules");
                return None;
            }
        };
        let mut parts = Taken::new(self, fields, &["seed", "rules"]);
        let (seed, rules) = (parts.take("seed"), parts.take("rules"));
        let seed = seed.and_then(|part| match part {
            Part::Other(value) => self.whole("seed", &value, (0, u64::MAX)),
            Part::Rules(_) => self.whole("seed", &Value::Null, (0, u64::MAX)),
        });
        let rules = match rules {
            Some(Part::Rules(rules)) if rules.len() <= RULES_MAX => rules,
            Some(Part::Rules(_)) => {
                self.wrong(
                    "rules",
                    "too many rules",
                    format!("at most {RULES_MAX} of them"),
                );
                return None;
            }
            Some(Part::Other(_)) | None => {
                self.wrong("rules", "missing or no list", "a list of objects");
                return None;
            }
        };
        let mut read = Vec::new();
        for (place, fields) in rules.into_iter().enumerate() {
            self.rule = Some(place);
            read.extend(self.rule(fields));
        }
        Some(Plan {
            seed: seed.unwrap_or(0),
            rules: read,
        })
    }

    fn rule(&mut self, fields: Fields<Value>) -> Option<Rule> {
        let Some(kind) = self.kind(&fields) else {
            // What its number would be is unknown; the rest is looked at all the same.
            let names = KINDS.iter().filter_map(|kind| kind.number);
            let mut known = vec!["calls", "fault", "probability", "skip", "times"];
            known.extend(names.map(|(name, _, _)| name));
            let mut taken = Taken::new(self, fields, &known);
            let rest = ["calls", "probability", "skip", "times"].map(|name| taken.take(name));
            let [calls, probability, skip, times] = &rest;
            self.calls(calls.as_ref(), None);
            self.when(probability.as_ref(), skip.as_ref(), times.as_ref());
            return None;
        };
        let mut known = vec!["calls", "fault"];
        known.extend(kind.number.map(|(name, _, _)| name));
        known.extend(["probability", "skip", "times"]);
        let mut taken = Taken::new(self, fields, &known);
        let rest = ["calls", "probability", "skip", "times"].map(|name| taken.take(name));
        let number = kind.number.map(|(name, ..)| taken.take(name));
        let [calls, probability, skip, times] = &rest;
        let calls = self.calls(calls.as_ref(), Some(kind));
        let number = match kind.number.zip(number) {
            None => Some(0),
            Some(((name, least, most), value)) => {
                self.whole(name, &value.unwrap_or(Value::Null), (least, most))
            }
        };
        let [probability_ppm, skip, times] =
            self.when(probability.as_ref(), skip.as_ref(), times.as_ref());
        Some(Rule {
            calls: calls?,
            fault: (kind.make)(number?),
            probability_ppm,
            skip: skip.unwrap_or(0),
            times,
        })
    }

    fn kind(&mut self, fields: &Fields<Value>) -> Option<&'static Kind> {
        let value = fields.0.iter().find(|(name, _)| name == "fault");
        let word = value.and_then(|(_, value)| value.as_str());
        let kind = word.and_then(|word| KINDS.iter().find(|kind| kind.word == word));
        if kind.is_none() {
            let words = KINDS.map(|kind| kind.word).join(", ");
            let problem = value.map_or("missing".to_owned(), |(_, value)| not_known(value));
            self.wrong("fault", problem, format!("one of {words}"));
        }
        kind
    }

    fn calls(&mut self, value: Option<&Value>, kind: Option<&Kind>) -> Option<Calls> {
        let words = CallName::ALL.map(CallName::word).join(", ");
        let right = format!("[\"*\"], or a list of {words}");
        let Some(list) = value.and_then(Value::as_array).filter(|l| !l.is_empty()) else {
            self.wrong("calls", "missing, empty or no list", right);
            return None;
        };
        if let [Value::String(word)] = list.as_slice()
            && word == "*"
        {
            if let Some(kind) = kind.filter(|kind| matches!(kind.on, On::Only(_))) {
                self.not_for(kind, "\"*\"");
            }
            return Some(Calls::Any);
        }
        let mut calls = Vec::new();
        for value in list {
            let word = value.as_str();
            let call = CallName::ALL.into_iter().find(|c| Some(c.word()) == word);
            match call {
                None => self.wrong("calls", not_known(value), right.clone()),
                Some(call) if calls.contains(&call) => {
                    self.wrong("calls", format!("{value} is given twice"), right.clone());
                }
                Some(call) => {
                    if let Some(kind) = kind.filter(|kind| !kind.on.takes(call)) {
                        self.not_for(kind, &value.to_string());
                    }
                    calls.push(call);
                }
            }
        }
        Some(Calls::Named(calls))
    }

    fn not_for(&mut self, kind: &Kind, calls: &str) {
        let words = |on: On| {
            let taken = CallName::ALL.into_iter().filter(|call| on.takes(*call));
            taken.map(CallName::word).collect::<Vec<_>>().join(", ")
        };
        let right = match kind.on {
            On::Connections => "only [\"*\"]: it counts connections, not calls".to_owned(),
            On::Calls | On::Feed => format!("only [\"*\"], {}", words(kind.on)),
            On::Only(_) => format!("only {}", words(kind.on)),
        };
        let problem = format!("{} cannot strike {calls}", kind.word);
        self.wrong("calls", problem, right);
    }

    fn when(
        &mut self,
        probability: Option<&Value>,
        skip: Option<&Value>,
        times: Option<&Value>,
    ) -> [Option<u64>; 3] {
        let probability = probability.and_then(|value| {
            let share = share_ppm(value);
            if share.is_none() {
                let right = "a number from 0 to 1 with at most six decimals";
                self.wrong(
                    "probability",
                    format!("{} is not allowed", shown(value)),
                    right,
                );
            }
            share
        });
        let skip = skip.and_then(|value| self.whole("skip", value, (0, COUNT_MAX)));
        let times = times.and_then(|value| self.whole("times", value, (1, COUNT_MAX)));
        [probability, skip, times]
    }

    fn whole(&mut self, field: &str, value: &Value, (least, most): (u64, u64)) -> Option<u64> {
        let number = value
            .as_u64()
            .filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let problem = match value {
                Value::Null => "missing or no number".to_owned(),
                value => format!("{} is not allowed", shown(value)),
            };
            self.wrong(field, problem, format!("a whole number, {least} to {most}"));
        }
        number
    }
}

/// The fields of an object that are known; what is unknown or doubled was told.
struct Taken<T>(Vec<(String, T)>);

impl<T> Taken<T> {
    fn new(reader: &mut Reader, fields: Fields<T>, known: &[&str]) -> Self {
        let mut taken: Vec<(String, T)> = Vec::new();
        for (name, value) in fields.0 {
            if !known.contains(&name.as_str()) {
                let right = format!("known here: {}", known.join(", "));
                reader.wrong(&shortened(&name), "unknown field", right);
            } else if taken.iter().any(|(before, _)| *before == name) {
                reader.wrong(&name, "given twice", "once");
            } else {
                taken.push((name, value));
            }
        }
        Self(taken)
    }

    fn take(&mut self, name: &str) -> Option<T> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }
}

/// A share from 0 to 1 in whole millionths; `None` for any other value.
fn share_ppm(value: &Value) -> Option<u64> {
    // A decimal is not exactly a double: this is far more than it misses, and far less than 1.
    const ROUNDING: f64 = 1e-6;
    let share = value.as_f64().filter(|share| (0.0..=1.0).contains(share))?;
    let (exact, whole) = (share * PPM as f64, (share * PPM as f64).round());
    ((exact - whole).abs() < ROUNDING).then_some(whole as u64)
}

fn not_known(value: &Value) -> String {
    format!("{} is not known", shown(value))
}

fn shown(value: &Value) -> String {
    shortened(&value.to_string())
}

/// The start of a text, for a message.
fn shortened(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    text.chars().take(SHOWN_CHARS_MAX).collect()
}
