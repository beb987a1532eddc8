//! `audit`: read the journal and prove it. Reads the store itself, without a lock, also beside a
//! running service and after a crash.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use flashguard_actors::domain::clock::UnixMicros;
use flashguard_actors::journal::checkpoint::VerifierKey;
use flashguard_actors::journal::fold::Folding;
use flashguard_actors::ports::views::{EventFilter, EventView};
use flashguard_actors::system::State;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::init::chain;
use super::output::{Tone, show};
use crate::application::STATE_FOLD;
use crate::audit::{self, AuditError, Expectation, Tail};

/// How often `tail --follow` looks.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// Records that `tail` begins with.
const TAIL_RECORDS: u64 = 20;

/// Events that `search` shows at most, when nothing is said.
const SEARCH_EVENTS: usize = 100;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the last records, and with --follow those to come
    Tail {
        /// So many
        #[arg(short = 'n', long, default_value_t = TAIL_RECORDS)]
        lines: u64,
        /// Go on with what comes
        #[arg(short, long)]
        follow: bool,
    },
    /// Find records, newest first
    Search(Search),
    /// Prove that a journal is what was written: the data directory, or an export
    Verify(Verify),
    /// Write the journal into one self-contained file
    Export {
        /// A file that does not exist yet
        file: PathBuf,
    },
    /// Show the key that the journal's checkpoints are verified with
    Key,
}

#[derive(Debug, Args)]
struct Search {
    /// A kind such as halt.raised, or the beginning of some such as halt.
    #[arg(long)]
    kind: Option<String>,
    /// Only by this credential
    #[arg(long)]
    principal: Option<String>,
    /// Only of this request, order or incident
    #[arg(long)]
    correlation: Option<String>,
    /// Only with this text somewhere in it
    #[arg(long)]
    text: Option<String>,
    /// Only at this time or later, such as 2026-11-24T11:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<UnixMicros>,
    /// Only before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<UnixMicros>,
    /// So many at most
    #[arg(long, default_value_t = SEARCH_EVENTS)]
    limit: usize,
    /// Go on behind this record
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
}

#[derive(Debug, Args)]
struct Verify {
    /// An export [default: the data directory]
    file: Option<PathBuf>,
    /// The verifier key that was kept elsewhere
    #[arg(long, value_name = "KEY", value_parser = verifier_key)]
    key: Option<VerifierKey>,
    /// A signed checkpoint that was kept elsewhere; can be given several times
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
}

fn time(text: &str) -> Result<UnixMicros, String> {
    crate::web::time(&json!(text))
}

fn verifier_key(text: &str) -> Result<VerifierKey, String> {
    VerifierKey::parse(text).map_err(|error| error.to_string())
}

/// Does what is asked.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.what {
        What::Tail { lines, follow } => tail(context, *lines, *follow),
        What::Search(search) => self::search(context, search),
        What::Verify(verify) => self::verify(context, verify),
        What::Export { file } => export(context, file),
        What::Key => key(context),
    }
}

fn failed(error: &AuditError) -> Failure {
    let (exit, code) = match error {
        error if error.is_integrity() => (Exit::Integrity, "INTEGRITY"),
        AuditError::Expectation(_) | AuditError::File { .. } => (Exit::Usage, "FILE"),
        _ => (Exit::Internal, "STORE"),
    };
    let failure = Failure::new(exit, code, chain(error));
    match exit {
        Exit::Integrity => failure
            .next("stop trading (`flashguard halt`), keep the data directory as it is, and compare it with a copy"),
        _ => failure,
    }
}

fn tail(context: &Context, lines: u64, follow: bool) -> Result<Exit, Failure> {
    let mut tail = Tail::open(context.data_path(), lines).map_err(|error| failed(&error))?;
    loop {
        let events = tail.read_on().map_err(|error| failed(&error))?;
        let ended = events.is_empty();
        for event in &events {
            let value = crate::web::event(event);
            context
                .output
                .result(&value, |page| page.line(&line(event)));
        }
        if ended && !follow {
            return Ok(Exit::Done);
        }
        if ended {
            std::thread::sleep(FOLLOW_EVERY);
        }
    }
}

fn line(event: &EventView) -> String {
    let by = event.principal.as_deref().unwrap_or("-");
    format!(
        "{:>6} {} {:22} {:12} {}",
        event.seq, event.time, event.kind, by, event.data
    )
}

fn search(context: &Context, search: &Search) -> Result<Exit, Failure> {
    let filter = EventFilter {
        kind: search.kind.clone(),
        principal: search.principal.clone(),
        correlation: search.correlation.clone(),
        since: search.since,
        until: search.until,
        text: search.text.clone(),
        after: search.after,
        limit: search.limit,
    };
    let page = audit::search(context.data_path(), &filter).map_err(|error| failed(&error))?;
    let events: Vec<Value> = page.items.iter().map(crate::web::event).collect();
    let value = json!({"events": events, "next": page.next, "as_of": page.as_of});
    context.output.result(&value, |out| {
        for event in &page.items {
            out.line(&line(event));
        }
        if let Some(next) = page.next {
            out.line(&format!("more: --after {next}"));
        }
    });
    Ok(Exit::Done)
}

fn verify(context: &Context, verify: &Verify) -> Result<Exit, Failure> {
    let path = verify
        .file
        .as_deref()
        .unwrap_or_else(|| context.data_path());
    let read = |file: &PathBuf| {
        std::fs::read(file).map_err(|error| {
            let message = format!("{} cannot be read ({})", file.display(), error.kind());
            Failure::new(Exit::Usage, "FILE", message)
        })
    };
    let mut expectation = Expectation {
        key: verify.key.clone(),
        checkpoints: verify
            .checkpoints
            .iter()
            .map(read)
            .collect::<Result<_, _>>()?,
        folds: Vec::new(),
    };
    if path.is_dir() {
        expectation
            .folds
            .push(Box::new(Folding::<State>::new(STATE_FOLD)));
    }
    let bar = Bar::new(context);
    let verified = audit::verify(path, expectation, &mut |done, all| bar.show(done, all));
    bar.end();
    let verified = verified.map_err(|error| failed(&error))?;
    let time = |at: UnixMicros| at.to_rfc3339();
    let value = json!({
        "verified": true,
        "origin": verified.origin,
        "verifier_key": verified.verifier_key,
        "records": verified.records,
        "signed": verified.signed,
        "checkpoints": verified.checkpoints,
        "expected_checkpoints": verified.expected_checkpoints,
        "payloads": verified.payloads,
        "identities": verified.identities,
        "snapshots": verified.snapshots,
        "root": hex::encode(verified.root),
        "first": verified.times.map(|(first, _)| time(first)),
        "last": verified.times.map(|(_, last)| time(last)),
        "kinds": verified.kinds,
    });
    context.output.result(&value, |page| {
        page.toned(
            Tone::Good,
            "verified",
            &format!("{} records", verified.records),
        );
        page.pairs(
            &[
                "origin",
                "root",
                "signed",
                "checkpoints",
                "expected_checkpoints",
                "payloads",
                "identities",
                "snapshots",
                "first",
                "last",
            ]
            .map(|name| (name, show(&value, name))),
        );
        if verify.key.is_none() && verify.checkpoints.is_empty() {
            page.line(
                "against a key or checkpoint kept elsewhere (--key, --checkpoint) it proves more",
            );
        }
    });
    Ok(Exit::Done)
}

fn export(context: &Context, file: &Path) -> Result<Exit, Failure> {
    let unwritable = |error: std::io::Error| {
        let message = format!("{} cannot be written ({})", file.display(), error.kind());
        Failure::new(Exit::Usage, "FILE", message).next("name a file that does not exist yet")
    };
    let made: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(unwritable)?;
    let mut to = BufWriter::new(made);
    let bar = Bar::new(context);
    let exported = audit::export(context.data_path(), &mut to, &mut |done, all| {
        bar.show(done, all)
    });
    bar.end();
    let exported = exported.map_err(|error| failed(&error))?;
    to.flush().map_err(unwritable)?;
    to.get_ref().sync_all().map_err(unwritable)?;
    let value = json!({
        "file": file,
        "records": exported.records,
        "checkpoints": exported.checkpoints,
        "root": hex::encode(exported.root),
    });
    context.output.result(&value, |page| {
        page.toned(
            Tone::Good,
            "exported",
            &format!("{} records", exported.records),
        );
        page.pairs(&["file", "checkpoints", "root"].map(|name| (name, show(&value, name))));
    });
    Ok(Exit::Done)
}

fn key(context: &Context) -> Result<Exit, Failure> {
    let key = audit::key(context.data_path()).map_err(|error| failed(&error))?;
    context
        .output
        .result(&json!({"verifier_key": key}), |page| page.line(&key));
    Ok(Exit::Done)
}

/// A progress bar on stderr; none off a terminal or for programs.
struct Bar(ProgressBar);

impl Bar {
    fn new(context: &Context) -> Self {
        let shown =
            std::io::stderr().is_terminal() && !context.globals.json && !context.globals.quiet;
        let target = if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} records {eta}");
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    fn show(&self, done: u64, all: u64) {
        self.0.set_length(all.max(done));
        self.0.set_position(done);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
