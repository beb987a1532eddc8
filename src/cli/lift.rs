//! `lift`: one person agrees to end a halt. It ends when enough owners agreed to the same.

use clap::Args;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{Tone, show};
use super::remote::Remote;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Why
    #[arg(long)]
    reason: String,
    /// The halt that is meant [default: the one that holds now]
    #[arg(long)]
    epoch: Option<u64>,
    /// Where trading goes
    #[arg(long, value_name = "STATE", value_parser = ["active", "reduce_only"])]
    to: Option<String>,
    /// An open order that may stay; can be given several times
    #[arg(long = "accept-open-order", value_name = "ID")]
    accept_open_orders: Vec<String>,
}

/// Agrees to end the halt.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let remote = context.remote()?;
    let epoch = match arguments.epoch {
        Some(epoch) => epoch,
        None => halt_in_force(&remote)?,
    };
    let mut body = json!({"epoch": epoch, "reason": arguments.reason});
    if let Some(fields) = body.as_object_mut() {
        if let Some(to) = &arguments.to {
            fields.insert("to".to_owned(), to.as_str().into());
        }
        if !arguments.accept_open_orders.is_empty() {
            let accepted = arguments.accept_open_orders.clone();
            fields.insert("accept_open_orders".to_owned(), accepted.into());
        }
    }
    let answer = remote.post("/admin/emergency/lift", &body)?;
    let lifted = answer.status == 200;
    context.output.result(&answer.body, |page| {
        if lifted {
            page.toned(
                Tone::Good,
                &show(&answer.body, "status"),
                "the halt has ended",
            );
        } else {
            page.toned(Tone::Warn, "waiting", "for another owner to agree");
            page.pairs(&[
                ("epoch", show(&answer.body, "epoch")),
                ("agreed", show(&answer.body, "owners")),
                ("missing", show(&answer.body, "missing")),
                ("next", show(&answer.body, "next")),
            ]);
        }
    });
    Ok(if lifted {
        Exit::Done
    } else {
        Exit::Unconfirmed
    })
}

fn halt_in_force(remote: &Remote) -> Result<u64, Failure> {
    let status = remote.get("/trading/status")?.body;
    if show(&status, "status") != "emergency_shutdown" {
        let message = "trading is not halted, so there is nothing to lift";
        return Err(Failure::new(Exit::Refused, "NOT_HALTED", message));
    }
    status.get("epoch").and_then(Value::as_u64).ok_or_else(|| {
        Failure::new(
            Exit::Internal,
            "UNREADABLE",
            "the service did not say which halt holds",
        )
    })
}
