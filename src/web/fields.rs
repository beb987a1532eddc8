//! Bodies and queries, read strictly: unknown and doubled names, wrong types and wrong values are all
//! reported at once, each with its field and what would be right.

use std::fmt;

use actix_web::http::StatusCode;
use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use super::problem::Problem;

/// Most fields of one object or query: more than any request has.
const FIELDS_MAX: usize = 64;

/// Longest decimal, in characters: more digits than a `Decimal` holds.
const DECIMAL_CHARS_MAX: usize = 32;

/// Longest field name that is repeated in an answer, in characters.
const SHOWN_CHARS_MAX: usize = 64;

/// The fields of one request. Take each one by name, then [`finish`](Self::finish).
pub struct Fields {
    left: Vec<(String, Value)>,
    known: Vec<&'static str>,
    mistakes: Vec<Mistake>,
    textual: bool,
}

struct Mistake {
    field: String,
    problem: String,
    right: String,
}

impl Fields {
    /// The fields of a JSON object.
    ///
    /// # Errors
    ///
    /// 400 when the bytes are no JSON object.
    pub fn from_json(body: &[u8]) -> Result<Self, Problem> {
        let object: Object = serde_json::from_slice(body).map_err(|error| {
            let problem = match error.classify() {
                serde_json::error::Category::Eof if body.is_empty() => {
                    "the body is empty".to_owned()
                }
                serde_json::error::Category::Data => "the body is not a JSON object".to_owned(),
                _ => format!(
                    "the body is not JSON (line {}, column {})",
                    error.line(),
                    error.column()
                ),
            };
            Problem::invalid("body", &problem, "send one JSON object in UTF-8")
        })?;
        Self::new(object.0, false)
    }

    /// The fields of a query string.
    ///
    /// # Errors
    ///
    /// 400 when it has too many.
    pub fn from_query(query: &str) -> Result<Self, Problem> {
        let pairs = actix_web::web::Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|_| Problem::invalid("query", "it cannot be read", "send name=value pairs"))?;
        let fields = pairs
            .into_inner()
            .into_iter()
            .map(|(k, v)| (k, Value::String(v)))
            .collect();
        Self::new(fields, true)
    }

    fn new(fields: Vec<(String, Value)>, textual: bool) -> Result<Self, Problem> {
        if fields.len() > FIELDS_MAX {
            return Err(Problem::invalid(
                "body",
                "there are too many fields",
                "send 64 at most",
            ));
        }
        let mut this = Self {
            left: Vec::new(),
            known: Vec::new(),
            mistakes: Vec::new(),
            textual,
        };
        for (name, value) in fields {
            if this.left.iter().any(|(seen, _)| *seen == name) {
                this.wrong(&name, "it is there twice", "send it once");
            } else {
                this.left.push((name, value));
            }
        }
        Ok(this)
    }

    /// Keeps a mistake about `field`.
    pub fn wrong(&mut self, field: &str, problem: impl Into<String>, right: impl Into<String>) {
        let field = field.chars().take(SHOWN_CHARS_MAX).collect();
        self.mistakes.push(Mistake {
            field,
            problem: problem.into(),
            right: right.into(),
        });
    }

    /// The field if it is there and not `null`.
    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        let at = self.left.iter().position(|(left, _)| left == name)?;
        let (_, value) = self.left.swap_remove(at);
        (!value.is_null()).then_some(value)
    }

    /// A field that may be missing, read by `read`; `right` completes "must be …".
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        right: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(name)?;
        match read(&value) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.wrong(name, problem, format!("must be {right}"));
                None
            }
        }
    }

    /// A field that must be there.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        right: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let missing = !self
            .left
            .iter()
            .any(|(left, value)| left == name && !value.is_null());
        if missing {
            let _ = self.take(name);
            self.wrong(name, "it is missing", format!("must be {right}"));
            return None;
        }
        self.optional(name, right, read)
    }

    /// Keeps that `field` is missing, unless something is said about it already.
    pub fn missing(&mut self, field: &'static str, right: &str) {
        if !self.mistakes.iter().any(|mistake| mistake.field == field) {
            self.wrong(field, "it is missing", format!("must be {right}"));
        }
    }

    /// A reason given by a person: 1 to 500 characters without control characters.
    pub fn reason(&mut self) -> Option<String> {
        self.required("reason", "1 to 500 characters saying why", |value| {
            text(value, 500)
        })
    }

    /// A whole number that may be missing.
    pub fn integer(&mut self, name: &'static str, min: u64, max: u64) -> Option<u64> {
        let textual = self.textual;
        self.optional(
            name,
            &format!("a whole number from {min} to {max}"),
            |value| {
                let number = match value {
                    Value::Number(number) => number.as_u64(),
                    Value::String(text) if textual => text.parse().ok(),
                    _ => return Err(wrong_type(value)),
                };
                number
                    .filter(|n| (min..=max).contains(n))
                    .ok_or_else(|| "it is out of range".to_owned())
            },
        )
    }

    /// A truth value that may be missing.
    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let textual = self.textual;
        self.optional(name, "true or false", |value| match value {
            Value::Bool(truth) => Ok(*truth),
            Value::String(text) if textual && text == "true" => Ok(true),
            Value::String(text) if textual && text == "false" => Ok(false),
            _ => Err(wrong_type(value)),
        })
    }

    /// Ends the reading: what was not asked for is unknown.
    ///
    /// # Errors
    ///
    /// 400 `INVALID_REQUEST` with every mistake in `details.fields`.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.left) {
            let right = match self.known.as_slice() {
                [] => "send none".to_owned(),
                known => format!("known are {}", known.join(", ")),
            };
            self.wrong(&name, "it is not known here", right);
        }
        let Some(first) = self.mistakes.first() else {
            return Ok(());
        };
        let message = format!("{}: {}; {}", first.field, first.problem, first.right);
        let fields: Vec<Value> = self
            .mistakes
            .iter()
            .map(|m| json!({"field": m.field, "problem": m.problem, "right": m.right}))
            .collect();
        Err(
            Problem::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
                .with("field", first.field.as_str())
                .with("fields", fields),
        )
    }

    /// Ends the reading when everything needed was read.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish).
    pub fn finish_with<T>(self, value: Option<T>) -> Result<T, Problem> {
        self.finish()?;
        value.ok_or_else(|| Problem::internal("a field was not read and no mistake was kept"))
    }
}

/// A text of 1 to `max` characters without control characters.
pub fn text(value: &Value, max: usize) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| wrong_type(value))?;
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.chars().count() > max {
        return Err("it is too long".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("it holds a control character".to_owned());
    }
    Ok(text.to_owned())
}

/// An exact decimal written as a string: digits with at most one point, no exponent.
pub fn decimal(value: &Value) -> Result<Decimal, String> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(_) => {
            return Err("it is a number; decimals are strings, to be exact".to_owned());
        }
        _ => return Err(wrong_type(value)),
    };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if text.len() > DECIMAL_CHARS_MAX {
        return Err("it has too many digits".to_owned());
    }
    if !plain(whole) || !plain(fraction) {
        return Err("it is not a plain decimal".to_owned());
    }
    Decimal::from_str_exact(text).map_err(|_| "it has too many digits".to_owned())
}

/// Says what came instead of what was wanted.
pub fn wrong_type(value: &Value) -> String {
    let what = match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("it is {what}")
}

/// A JSON object with its fields as they came, doubled ones too.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
