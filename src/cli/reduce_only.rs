//! `reduce-only`: until `resume`, only orders that reduce a position come in.

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{Tone, show};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Why
    #[arg(long)]
    reason: String,
}

/// Lets in only what reduces.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let body = json!({"reason": arguments.reason});
    let answer = context.remote()?.post("/admin/reduce-only", &body)?;
    context.output.result(&answer.body, |page| {
        page.toned(Tone::Warn, &show(&answer.body, "status"), "");
        page.pairs(&[("held_by", show(&answer.body, "held_by"))]);
        page.line("cancels still pass; `flashguard resume --reason …` ends it");
    });
    Ok(Exit::Done)
}
