//! `resume`: takes back what operators hold: pause and reduce-only. A halt is never ended here.

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

/// Resumes trading.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let body = json!({"reason": arguments.reason});
    let answer = context
        .remote()?
        .post("/admin/resume", &body)
        .map_err(|failure| {
            if failure.code == "HALTED" {
                failure.next("a halt ends by `flashguard lift`, with two people")
            } else {
                failure
            }
        })?;
    context.output.result(&answer.body, |page| {
        let active = show(&answer.body, "status") == "active";
        let tone = if active { Tone::Good } else { Tone::Warn };
        page.toned(tone, &show(&answer.body, "status"), "");
        if !active {
            page.pairs(&[("held_by", show(&answer.body, "held_by"))]);
        }
    });
    Ok(Exit::Done)
}
