//! `config`: what is set and where it was set, and every mistake in it at once. It talks to no
//! service and prints no secret.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{Tone, show};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every setting, its value and where it got it
    Show,
    /// Read all settings and tell every mistake, with file and key; exit 2 when there is one
    Check,
}

/// Does what is asked.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    match arguments.what {
        What::Show => shown(context),
        What::Check => check(context),
    }
}

fn shown(context: &Context) -> Result<Exit, Failure> {
    let (settings, places) = context.settings_with_places()?;
    let rows: Vec<Value> = settings
        .print()
        .iter()
        .zip(&places)
        .map(|((setting, value), place)| {
            json!({
                "name": setting.name,
                "value": value,
                "unit": setting.unit,
                "from": place.to_string(),
            })
        })
        .collect();
    let answer = json!({
        "profile": settings.profile.as_str(),
        "settings": rows,
    });
    context.output.result(&answer, |page| {
        let row = |one: &Value| ["name", "value", "unit", "from"].map(|name| show(one, name));
        let rows: Vec<_> = rows.iter().map(row).collect();
        page.table(["setting", "value", "unit", "from"], &rows);
    });
    Ok(Exit::Done)
}

fn check(context: &Context) -> Result<Exit, Failure> {
    let (settings, places) = context.settings_with_places()?;
    let given = places
        .iter()
        .filter(|place| **place != crate::settings::Place::Default);
    let answer = json!({
        "profile": settings.profile.as_str(),
        "settings": places.len(),
        "given": given.count(),
    });
    context.output.result(&answer, |page| {
        let words = format!(
            "no mistake in {} settings, {} of them given, profile {}",
            show(&answer, "settings"),
            show(&answer, "given"),
            show(&answer, "profile"),
        );
        page.toned(Tone::Good, "ok", &words);
    });
    Ok(Exit::Done)
}
