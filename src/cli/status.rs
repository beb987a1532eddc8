//! `status`: the state of trading.

use clap::Args;
use serde_json::Value;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{Page, Tone, show};

#[derive(Debug, Args)]
pub struct Arguments {}

/// Shows the state of trading.
pub fn run(context: &Context, _: &Arguments) -> Result<Exit, Failure> {
    let answer = context.remote()?.get("/trading/status")?;
    context
        .output
        .result(&answer.body, |page| state(page, &answer.body));
    Ok(Exit::Done)
}

/// The state of trading for people.
pub(super) fn state(page: &mut Page, status: &Value) {
    let word = show(status, "status");
    let tone = match word.as_str() {
        "active" => Tone::Good,
        "paused" => Tone::Warn,
        _ => Tone::Bad,
    };
    page.toned(tone, &word, "");
    page.pairs(&[
        ("epoch", show(status, "epoch")),
        ("since", show(status, "since")),
        ("by", show(status, "by")),
        ("reason", show(status, "reason")),
    ]);
    let rows = |name: &str| {
        status
            .get(name)
            .and_then(Value::as_array)
            .map_or_else(Vec::new, |list| {
                list.iter()
                    .map(|row| [show_name(row), describe(row)])
                    .collect()
            })
    };
    for (name, heading) in [("markets", "market"), ("actors", "actor")] {
        let rows = rows(name);
        if !rows.is_empty() {
            page.line("");
            page.table([heading, ""], &rows);
        }
    }
}

fn show_name(row: &Value) -> String {
    let name = show(row, "symbol");
    if name.is_empty() {
        show(row, "name")
    } else {
        name
    }
}

/// The other fields of a row, `name=value`.
fn describe(row: &Value) -> String {
    let Some(fields) = row.as_object() else {
        return row.to_string();
    };
    let named = |name: &String| !["symbol", "name"].contains(&name.as_str());
    let texts = fields
        .keys()
        .filter(|name| named(name))
        .map(|name| (name, show(row, name)));
    let shown = texts.filter(|(_, text)| !text.is_empty());
    shown
        .map(|(name, text)| format!("{name}={text}"))
        .collect::<Vec<_>>()
        .join(" ")
}
