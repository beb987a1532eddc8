//! `config`: what is set and where it was set, what people changed since, and every mistake at once.
//! It talks to no service, reads the journal beside a running one, and prints no secret.

use clap::{Args, Subcommand};
use flashguard_actors::gate::Adjustments;
use flashguard_actors::ports::journal::StoreError;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{Tone, show};
use crate::application::read_state;
use crate::stores::sqlite::JOURNAL_FILE;

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
    let adjustments = adjustments(context)?;
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
                "adjusted": adjustments.get(setting.name).map(|value| value.normalize()),
            })
        })
        .collect();
    let answer = json!({
        "profile": settings.profile.as_str(),
        "settings": rows,
    });
    context.output.result(&answer, |page| {
        let names = ["name", "value", "unit", "from", "adjusted"];
        let row = |one: &Value| names.map(|name| show(one, name));
        let rows: Vec<_> = rows.iter().map(row).collect();
        page.table(["setting", "value", "unit", "from", "adjusted"], &rows);
        if !adjustments.is_empty() {
            page.line("an adjustment (`PATCH /config/limits`) wins over its setting until it is taken away");
        }
    });
    Ok(Exit::Done)
}

/// The limits that people changed while the service ran, as the journal has them; none where there is
/// no journal yet.
fn adjustments(context: &Context) -> Result<Adjustments, Failure> {
    match read_state(&context.data_path().join(JOURNAL_FILE)) {
        Ok(state) => Ok(state.limits.adjustments),
        Err(StoreError::Missing) => Ok(Adjustments::new()),
        Err(error) => {
            let message = format!("the journal cannot be read: {error}");
            Err(Failure::new(Exit::Integrity, "JOURNAL", message)
                .next("`flashguard audit verify` says what is wrong with it"))
        }
    }
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
