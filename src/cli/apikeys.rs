//! `apikeys`: make, list and take away API keys.

use clap::{Args, Subcommand};
use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::domain::identity::{Client, Owner, Role};
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::init::owner;
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
    /// Make an API key; it is shown once
    Create(Create),
    /// List the API keys
    List,
    /// Take an API key away, and every token made with it
    Revoke {
        /// Its public part
        id: String,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// What it may do: admin, readonly or system
    #[arg(long, value_parser = role)]
    role: Role,
    /// The person; two keys of one owner count once for approvals
    #[arg(long, value_parser = owner)]
    owner: Owner,
    /// The bot or script; order ids and rates are per client [default: one of its own]
    #[arg(long, value_parser = client)]
    client: Option<Client>,
    /// It ends by itself then, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires: Option<UnixMicros>,
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "one of admin, readonly, system".to_owned())
}

fn client(text: &str) -> Result<Client, String> {
    Client::try_from(text.to_owned()).map_err(|error| error.to_string())
}

fn time(text: &str) -> Result<UnixMicros, String> {
    crate::web::time(&json!(text))
}

/// Does what is asked.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.what {
        What::Create(create) => self::create(context, create),
        What::List => list(context),
        What::Revoke { id } => revoke(context, id),
    }
}

fn create(context: &Context, create: &Create) -> Result<Exit, Failure> {
    let answer = local::ask(
        context,
        &Request::ApikeysCreate {
            role: create.role,
            owner: create.owner.clone(),
            client: create.client.clone(),
            expires_us: create.expires,
        },
    )?;
    context.output.result(&answer, |page| {
        page.toned(
            Tone::Good,
            "made",
            "this API key is shown once; keep it now:",
        );
        page.pairs(
            &["api_key", "role", "owner", "client", "expires_at"]
                .map(|name| (name, show(&answer, name))),
        );
    });
    Ok(Exit::Done)
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let answer = local::ask(context, &Request::ApikeysList {})?;
    context.output.result(&answer, |page| {
        let keys = answer.get("keys").and_then(Value::as_array);
        let row = |key: &Value| {
            [
                "id",
                "role",
                "owner",
                "client",
                "created_at",
                "expires_at",
                "revoked_at",
            ]
            .map(|name| show(key, name))
        };
        let rows: Vec<_> = keys.into_iter().flatten().map(row).collect();
        page.table(
            [
                "id", "role", "owner", "client", "made", "expires", "revoked",
            ],
            &rows,
        );
    });
    Ok(Exit::Done)
}

fn revoke(context: &Context, id: &str) -> Result<Exit, Failure> {
    let answer = local::ask(context, &Request::ApikeysRevoke { id: id.to_owned() })?;
    context.output.result(&answer, |page| {
        page.toned(Tone::Good, "revoked", &show(&answer, "id"));
    });
    Ok(Exit::Done)
}
