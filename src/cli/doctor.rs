//! `doctor`: every component on one line, and how to mend what is wrong.

mod keys;
mod venue;

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use clap::Args;
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::Tone;
use crate::control::{
    ControlClient, DataDirectory, DialError, Lock, LockError, Reply, Request, RunFile,
};
use crate::seed_variables::notices;

#[derive(Debug, Args)]
pub struct Arguments {}

/// How long the control socket is waited for.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);

/// Locked memory below which secrets may be swapped: what a full set of keys needs, with room.
const MEMLOCK_BYTES_MIN: u64 = 8 * 1024 * 1024;

/// Open files below which connections may run out.
const FILES_MIN: u64 = 4_096;

struct Finding {
    what: &'static str,
    tone: Tone,
    found: String,
    mend: String,
    exit: Exit,
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        let (found, mend) = (found.into(), String::new());
        Self {
            what,
            tone: Tone::Good,
            found,
            mend,
            exit: Exit::Done,
        }
    }

    fn warn(what: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        let (found, mend) = (found.into(), mend.into());
        Self {
            what,
            tone: Tone::Warn,
            found,
            mend,
            exit: Exit::Done,
        }
    }

    fn bad(
        what: &'static str,
        exit: Exit,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let (found, mend) = (found.into(), mend.into());
        Self {
            what,
            tone: Tone::Bad,
            found,
            mend,
            exit,
        }
    }
}

/// Looks at everything; ends with the exit code of the first thing that is bad.
pub fn run(context: &Context, _: &Arguments) -> Result<Exit, Failure> {
    let mut findings = settings(context);
    match DataDirectory::open(context.data_path()) {
        Ok(directory) => {
            findings.extend(permissions(&directory));
            findings.extend(space(context, &directory));
            let (of_keys, hot) = keys::look(context, &directory);
            findings.extend(of_keys);
            findings.extend(service(&directory));
            findings.extend(venue::look(context, &directory, hot));
        }
        Err(error) => findings.push(Finding::bad(
            "data directory",
            Exit::Usage,
            format!(
                "{} cannot be opened ({})",
                context.data_path().display(),
                error.kind()
            ),
            "make one with `flashguard init`, or name another with --data-dir",
        )),
    }
    findings.extend(limits());
    findings.extend(variables());
    tell(context, &findings);
    Ok(findings
        .iter()
        .map(|finding| finding.exit)
        .find(|e| *e != Exit::Done)
        .unwrap_or(Exit::Done))
}

fn tell(context: &Context, findings: &[Finding]) {
    let word = |tone| match tone {
        Tone::Good => "ok",
        Tone::Warn => "look",
        Tone::Bad => "bad",
    };
    let value: Vec<Value> = findings
        .iter()
        .map(|f| json!({"what": f.what, "state": word(f.tone), "found": f.found, "mend": f.mend}))
        .collect();
    context.output.result(&json!({"findings": value}), |page| {
        let width = findings.iter().map(|f| f.what.len()).max().unwrap_or(0);
        for f in findings {
            let state = format!("{:4}", word(f.tone));
            page.toned(f.tone, &state, &format!("{:width$}  {}", f.what, f.found));
            if !f.mend.is_empty() {
                page.line(&format!("{:indent$}-> {}", "", f.mend, indent = width + 7));
            }
        }
    });
}

fn settings(context: &Context) -> Vec<Finding> {
    match context.settings(Vec::new()) {
        Ok(settings) => {
            let changed = settings
                .print()
                .iter()
                .filter(|(row, text)| row.default != text)
                .count();
            let found = format!("valid, {changed} differ from their default");
            vec![Finding::good("settings", found)]
        }
        Err(failure) => vec![Finding::bad(
            "settings",
            failure.exit,
            failure.message.replace('\n', " "),
            "docs/configuration.md explains every setting",
        )],
    }
}

fn permissions(directory: &DataDirectory) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = directory.path().display();
    match directory.mode() {
        Ok(mode) if mode & 0o077 == 0 => {
            findings.push(Finding::good(
                "data directory",
                format!("{path}, mode {mode:04o}"),
            ));
        }
        Ok(mode) => findings.push(Finding::bad(
            "data directory",
            Exit::Refused,
            format!("{path} is open to others (mode {mode:04o})"),
            format!("chmod 0700 {path}"),
        )),
        Err(error) => findings.push(Finding::bad(
            "data directory",
            Exit::Internal,
            error.kind().to_string(),
            "look at the file system",
        )),
    }
    for name in [
        "master.key",
        "journal.db",
        "initial-keys.json",
        "control.sock",
    ] {
        let Ok(found) = std::fs::symlink_metadata(directory.path().join(name)) else {
            continue;
        };
        let mode = found.mode() & 0o7777;
        if mode & 0o077 != 0 {
            findings.push(Finding::bad(
                "permissions",
                Exit::Refused,
                format!("{name} is open to others (mode {mode:04o})"),
                format!("chmod 0600 {path}/{name}"),
            ));
        }
    }
    if directory.has("initial-keys.json") {
        findings.push(Finding::warn(
            "initial keys",
            "initial-keys.json still holds the first API keys",
            "keep them somewhere safe and remove the file",
        ));
    }
    findings
}

fn space(context: &Context, directory: &DataDirectory) -> Vec<Finding> {
    let Ok(found) = rustix::fs::statvfs(directory.path()) else {
        return Vec::new();
    };
    let free_mib = found.f_bavail.saturating_mul(found.f_frsize) / (1024 * 1024);
    let Ok(settings) = context.settings(Vec::new()) else {
        return Vec::new();
    };
    let reserve = settings.journal.reserve_mib;
    vec![if free_mib < reserve {
        Finding::bad(
            "disk",
            Exit::Refused,
            format!("{free_mib} MiB free, below journal.reserve_mib ({reserve}): trading halts"),
            "free some space",
        )
    } else if free_mib < reserve.saturating_mul(4) {
        Finding::warn(
            "disk",
            format!("{free_mib} MiB free, reserve {reserve}"),
            "free some space",
        )
    } else {
        Finding::good("disk", format!("{free_mib} MiB free"))
    }]
}

/// Whether a service runs here, and what it says.
fn service(directory: &DataDirectory) -> Vec<Finding> {
    if !directory.has("lock") {
        return vec![Finding::good("service", "none ever ran here")];
    }
    match Lock::take(directory) {
        Ok(_lock) => {
            let halted = directory.has("halt");
            let state = if halted {
                "; the next start is halted (file `halt`)"
            } else {
                ""
            };
            return vec![Finding::good("service", format!("none runs here{state}"))];
        }
        Err(LockError::Held { .. }) => {}
        Err(error) => {
            let found = format!("{error}");
            return vec![Finding::bad(
                "lock",
                Exit::Internal,
                found,
                "check who owns the files",
            )];
        }
    }
    let run = RunFile::read(directory);
    let place = run.map_or_else(
        |_| "its run.json cannot be read".to_owned(),
        |run| {
            format!(
                "pid {}, version {}, http://{}",
                run.pid, run.version, run.listen
            )
        },
    );
    let status = ControlClient::dial(directory)
        .and_then(|mut client| client.ask(&Request::Status {}, ANSWER_WAIT_MAX, ANSWER_WAIT_MAX));
    vec![match status {
        Ok(Reply::Done(status)) => {
            let feed = feed(&status);
            let state = status
                .get("status")
                .and_then(Value::as_str)
                .unwrap_or("unknown")
                .to_owned();
            let found = format!("{place}, {state}");
            let service = if state == "active" {
                Finding::good("service", found)
            } else {
                Finding::warn(
                    "service",
                    found,
                    "`flashguard status` says since when and why",
                )
            };
            return vec![service, feed];
        }
        Ok(Reply::Failed(failure)) => Finding::bad(
            "service",
            failure.blame.into(),
            failure.message,
            "look at its log",
        ),
        Err(DialError::NotAllowed) => Finding::warn(
            "service",
            place,
            "run doctor as the data directory's owner to see more",
        ),
        Err(error) => Finding::bad(
            "service",
            Exit::Unreachable,
            format!("{place}; control socket: {error}"),
            "look at its log; `flashguard halt` falls back to the sentinel file",
        ),
    }]
}

/// How the venue's feed is, by the service's own word.
fn feed(status: &Value) -> Finding {
    let of = |name: &str| status.get("feed").and_then(|feed| feed.get(name));
    let number = |name| of(name).and_then(Value::as_u64).unwrap_or_default();
    let state = of("state").and_then(Value::as_str).unwrap_or("unknown");
    let (opened, gaps) = (number("connections"), number("gaps"));
    match state {
        "live" => {
            let found = format!("live; opened {opened} times, {gaps} gaps");
            Finding::good("feed", found)
        }
        "none" => Finding::good("feed", "the venue has none and is polled"),
        state => Finding::warn(
            "feed",
            format!("{state}; opened {opened} times, {gaps} gaps; the venue is polled"),
            "look again; if it stays so, the service's log says why it ends",
        ),
    }
}

fn limits() -> Vec<Finding> {
    let enough = |what, resource, least: u64, show: fn(u64) -> String, mend: &str| {
        let now = getrlimit(resource).current;
        match now {
            Some(now) if now < least => {
                Finding::warn(what, format!("{} allowed", show(now)), mend.to_owned())
            }
            Some(now) => Finding::good(what, format!("{} allowed", show(now))),
            None => Finding::good(what, "unlimited"),
        }
    };
    vec![
        enough(
            "locked memory",
            Resource::Memlock,
            MEMLOCK_BYTES_MIN,
            |bytes| format!("{} KiB", bytes / 1024),
            "raise RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=64M), so that no secret is swapped",
        ),
        enough(
            "open files",
            Resource::Nofile,
            FILES_MIN,
            |files| files.to_string(),
            "raise RLIMIT_NOFILE (systemd: LimitNOFILE=65536)",
        ),
    ]
}

/// What is to be told of the seed's variables.
fn variables() -> Vec<Finding> {
    notices(|name| std::env::var_os(name))
        .into_iter()
        .map(|notice| Finding::warn("environment", notice.to_string(), notice.mend()))
        .collect()
}
