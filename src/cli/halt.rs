//! `halt`: stops everything. The control socket first; if it is silent for 500 ms the sentinel file,
//! which the service watches; then HTTP. It says which one worked.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{Tone, show};
use super::remote::Remote;
use crate::control::{Blame, ControlClient, DataDirectory, DialError, Reply, Request};

/// How long the control socket may be silent.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// How long a service that was heard may take to report.
const REPORT_WAIT_MAX: Duration = Duration::from_secs(40);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Why
    #[arg(long)]
    reason: String,
}

/// Which way worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ControlSocket,
    Sentinel,
    Http,
}

impl Way {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ControlSocket => "control_socket",
            Self::Sentinel => "sentinel",
            Self::Http => "http",
        }
    }

    const fn for_people(self) -> &'static str {
        match self {
            Self::ControlSocket => "through the control socket",
            Self::Sentinel => "by the sentinel file",
            Self::Http => "over HTTP",
        }
    }
}

/// Stops everything.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut tried = Vec::new();
    let directory = match context.data_directory() {
        Ok(directory) => Some(directory),
        Err(failure) => {
            tried.push(failure.message);
            None
        }
    };
    let mut expected = context.has_url();
    if let Some(directory) = &directory {
        match by_socket(directory, &arguments.reason) {
            Ok(report) => return Ok(told(context, Way::ControlSocket, &report)),
            Err(NotBySocket::Refused(failure)) => return Err(failure),
            Err(NotBySocket::NobodyThere) => tried.push("control socket: no service".to_owned()),
            Err(NotBySocket::Silent(why)) => {
                expected = true;
                context
                    .output
                    .note("the control socket is silent; raising the sentinel file");
                tried.push(format!("control socket: {why}"));
            }
        }
    }
    let raised = match directory.as_ref().map(raise_sentinel) {
        Some(Ok(())) => true,
        Some(Err(why)) => {
            tried.push(format!("sentinel file: {why}"));
            false
        }
        None => false,
    };
    if expected || !raised {
        match by_http(context, &arguments.reason) {
            Ok(report) => return Ok(told(context, Way::Http, &report)),
            Err(failure) => tried.push(format!("HTTP: {}", failure.message)),
        }
    }
    if raised {
        return Ok(told(context, Way::Sentinel, &Value::Null));
    }
    Err(Failure::new(
        Exit::Unreachable,
        "NOT_HALTED",
        format!("nothing was halted:\n  {}", tried.join("\n  ")),
    )
    .next("name the data directory (--data-dir) or the service (--url, with an API key); else end its process"))
}

enum NotBySocket {
    NobodyThere,
    Silent(String),
    Refused(Failure),
}

fn by_socket(directory: &DataDirectory, reason: &str) -> Result<Value, NotBySocket> {
    let request = Request::Halt {
        reason: reason.to_owned(),
    };
    let asked = ControlClient::dial(directory)
        .and_then(|mut client| client.ask(&request, SILENCE_MAX, REPORT_WAIT_MAX));
    match asked {
        Ok(Reply::Done(report)) => Ok(report),
        Ok(Reply::Failed(failure)) if failure.blame == Blame::Misuse => {
            Err(NotBySocket::Refused(failure.into()))
        }
        Ok(Reply::Failed(failure)) => Err(NotBySocket::Silent(failure.message)),
        Err(DialError::NobodyThere) => Err(NotBySocket::NobodyThere),
        Err(error) => Err(NotBySocket::Silent(error.to_string())),
    }
}

/// Renames `halt.armed` to `halt`, or makes `halt`: either halts a running service, and the next start.
fn raise_sentinel(directory: &DataDirectory) -> Result<(), String> {
    let is_ours = ["halt", "halt.armed", "journal.db", "keys"]
        .iter()
        .any(|n| directory.has(n));
    if !is_ours {
        return Err(format!(
            "{} is no data directory",
            directory.path().display()
        ));
    }
    if directory.has("halt") {
        return Ok(());
    }
    let raised = directory.rename("halt.armed", "halt");
    raised
        .or_else(|_| directory.touch("halt", 0o600))
        .map_err(|error| error.kind().to_string())
}

/// Asks the control listener first, which has a thread of its own.
fn by_http(context: &Context, reason: &str) -> Result<Value, Failure> {
    let body = json!({"confirmation": "EMERGENCY_STOP_CONFIRMED", "reason": reason});
    let stop = |remote: Remote| remote.post("/admin/emergency-stop", &body).map(|a| a.body);
    if !context.has_url() {
        let control = context.running_at(|run| run.control).and_then(Remote::new);
        if let Ok(report) = control.and_then(stop) {
            return Ok(report);
        }
    }
    stop(context.remote()?)
}

/// Nothing is left to do and the halt is on disk. That no order is known to be unconfirmed is not
/// enough: the venue may not have been read at all.
fn is_confirmed(report: &Value) -> bool {
    let is_so = |name: &str| report.get(name).and_then(Value::as_bool) == Some(true);
    is_so("confirmed") && is_so("durable")
}

fn told(context: &Context, way: Way, report: &Value) -> Exit {
    let confirmed = is_confirmed(report);
    let mut value = json!({"status": "emergency_stopped", "by": way.as_str()});
    if let (Some(all), Some(fields)) = (value.as_object_mut(), report.as_object()) {
        all.extend(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
    }
    context.output.result(&value, |page| {
        page.toned(Tone::Bad, "halted", way.for_people());
        if way == Way::Sentinel {
            page.line(
                "a running service sees it within 50 ms; one that starts later starts halted",
            );
        }
        page.pairs(&[
            ("epoch", show(report, "epoch")),
            ("incident", show(report, "incident_id")),
            ("stop", show(report, "stop")),
            ("durable", show(report, "durable")),
            ("orders cancelled", show(report, "orders_cancelled")),
            ("not confirmed", show(report, "orders_unconfirmed")),
        ]);
        let steps = report.get("steps").and_then(Value::as_array);
        let rows: Vec<[String; 3]> = steps.map_or_else(Vec::new, |steps| {
            let row = |step: &Value| {
                [
                    show(step, "name"),
                    show(step, "outcome"),
                    show(step, "took_ms"),
                ]
            };
            steps.iter().map(row).collect()
        });
        if !rows.is_empty() {
            page.table(["step", "outcome", "ms"], &rows);
        }
        if !confirmed {
            page.line("not everything is confirmed yet: look with `flashguard status`");
        }
    });
    if confirmed {
        Exit::Done
    } else {
        Exit::Unconfirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[&str]) -> (tempfile::TempDir, DataDirectory) {
        let place = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(place.path().join(file), "").unwrap();
        }
        let directory = DataDirectory::open(place.path()).unwrap();
        (place, directory)
    }

    #[test]
    fn the_armed_sentinel_is_renamed_and_a_missing_one_is_made() {
        let (_place, armed) = directory(&["journal.db", "halt.armed"]);
        raise_sentinel(&armed).unwrap();
        assert!(armed.has("halt") && !armed.has("halt.armed"));
        raise_sentinel(&armed).unwrap();
        let (_place, bare) = directory(&["journal.db"]);
        raise_sentinel(&bare).unwrap();
        assert!(bare.has("halt"));
    }

    #[test]
    fn only_what_is_confirmed_and_durable_ends_with_0() {
        let report = |confirmed, durable| json!({"confirmed": confirmed, "durable": durable, "orders_unconfirmed": 0});
        assert!(is_confirmed(&report(true, true)));
        assert!(
            !is_confirmed(&report(false, true)),
            "the venue was not read"
        );
        assert!(!is_confirmed(&report(true, false)));
        assert!(!is_confirmed(&Value::Null), "nobody answered");
    }

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let (place, other) = directory(&["letter.txt"]);
        assert!(raise_sentinel(&other).is_err());
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
