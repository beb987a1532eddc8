//! `keys`: list the keys, and take one in from outside. Secrets come on stdin or from a file.

use std::fs::File;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use flashguard_actors::domain::secret::Redacted;
use serde_json::Value;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::local;
use super::output::{Tone, show};
use crate::control::Request;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the keys: version, class, fingerprint, never a secret
    List,
    /// Take a hot key in; it is used from the next start
    Import(Import),
}

#[derive(Debug, Args)]
struct Import {
    /// `sei` (a private key in hex) or `venue` (API key and secret: two lines, or JSON)
    #[arg(value_parser = ["sei", "venue"])]
    name: String,
    /// Read it from here instead of standard input
    #[arg(long)]
    file: Option<PathBuf>,
}

/// Does what is asked.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.what {
        What::List => list(context),
        What::Import(import) => self::import(context, import),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let answer = local::ask(context, &Request::KeysList {})?;
    context.output.result(&answer, |page| {
        let keys = answer.get("keys").and_then(Value::as_array);
        let row = |key: &Value| {
            ["id", "class", "fingerprint", "sealed_at", "in_use"].map(|name| show(key, name))
        };
        let rows: Vec<_> = keys.into_iter().flatten().map(row).collect();
        page.table(["key", "class", "fingerprint", "sealed", "in use"], &rows);
    });
    Ok(Exit::Done)
}

fn import(context: &Context, import: &Import) -> Result<Exit, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, "SECRET", message);
    let secret = match &import.file {
        Some(path) => {
            let file = File::open(path).map_err(|error| {
                usage(format!(
                    "{} cannot be read ({})",
                    path.display(),
                    error.kind()
                ))
            })?;
            Redacted::read(file)
        }
        None => Redacted::read(std::io::stdin().lock()),
    };
    let secret = secret.map_err(|error| usage(error.to_string()))?;
    let request = Request::KeysImport {
        name: import.name.clone(),
        secret: secret.expose().to_owned(),
    };
    let answer = local::ask(context, &request)?;
    context.output.result(&answer, |page| {
        page.toned(Tone::Good, "sealed", &show(&answer, "id"));
        page.pairs(&[
            ("fingerprint", show(&answer, "fingerprint")),
            ("used", show(&answer, "used")),
        ]);
    });
    Ok(Exit::Done)
}
