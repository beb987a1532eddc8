//! `pause`: new orders are refused until `resume`, or for some time.

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
    /// It ends by itself after so long, in seconds
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
}

/// Pauses trading.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut body = json!({"reason": arguments.reason});
    if let (Some(seconds), Some(fields)) = (arguments.duration, body.as_object_mut()) {
        fields.insert("duration_seconds".to_owned(), seconds.into());
    }
    let answer = context.remote()?.post("/admin/pause", &body)?;
    context.output.result(&answer.body, |page| {
        page.toned(Tone::Warn, &show(&answer.body, "status"), "");
        page.pairs(&[("until", show(&answer.body, "until"))]);
        page.line("cancels still pass; `flashguard resume --reason …` ends it");
    });
    Ok(Exit::Done)
}
