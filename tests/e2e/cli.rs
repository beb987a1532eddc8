//! The command line: exit codes, and what a verb leaves behind.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use super::daemon::{Daemon, filling, json_of, program, run_bounded};

fn run(arguments: &[&str]) -> Output {
    run_bounded(program().args(arguments))
}

/// The low bits of a file's mode.
fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn help_names_every_verb_that_exists_and_none_that_does_not() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let verb = |name: &str| {
        text.lines()
            .any(|line| line.split_whitespace().next() == Some(name))
    };
    for name in [
        "serve",
        "init",
        "status",
        "pause",
        "resume",
        "reduce-only",
        "halt",
        "lift",
        "orders",
        "keys",
        "apikeys",
        "audit",
        "config",
        "doctor",
        "venue-sim",
    ] {
        assert!(verb(name), "{name} is missing: {text}");
    }
    for name in ["drill", "cold", "backup", "evidence", "retention"] {
        assert!(!verb(name), "{name} is announced: {text}");
    }
}

#[test]
fn config_shows_every_setting_with_where_it_was_set_and_checks_them_all_at_once() {
    let mut daemon = Daemon::initialised(&[]);
    let file = daemon.data().join("flashguard.toml");
    std::fs::write(&file, "[gate]\nposition_limit_usdc = \"1500\"\n").unwrap();
    daemon.set("GATE__OPEN_ORDERS_MAX", "7");
    daemon.set_variable("SLACK_WEBHOOK_URL", "https://canary.example/secret");
    let shown = json_of(&daemon.cli(["config", "show", "--json"]));
    let one = |name: &str| {
        let all = shown["settings"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap().clone()
    };
    assert_eq!(
        one("gate.open_orders_max"),
        serde_json::json!({"name": "gate.open_orders_max", "value": "7", "unit": "orders",
            "from": "FLASHGUARD__GATE__OPEN_ORDERS_MAX", "adjusted": null})
    );
    assert_eq!(one("gate.order_notional_max_usdc")["from"], "default");
    // The environment of the tests sets the position limit too, and wins over the file.
    assert_eq!(one("gate.position_limit_usdc")["value"], "100000000");
    assert!(!shown.to_string().contains("canary"));

    assert_eq!(daemon.cli(["config", "check"]).status.code(), Some(0));
    std::fs::write(&file, "[gate]\nnonsense = 1\n[log]\nlevel = \"loud\"\n").unwrap();
    let output = daemon.cli(["config", "check"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for mistake in [
        "flashguard.toml:2:1: gate.nonsense",
        "flashguard.toml:4:9: log.level",
    ] {
        assert!(text.contains(mistake), "{mistake} is missing: {text}");
    }
    assert_eq!(daemon.cli(["config", "show"]).status.code(), Some(2));
}

#[test]
fn the_version_is_told() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_does_not_exist_is_a_usage_error() {
    for arguments in [
        &["frobnicate"][..],
        &["drill"],
        &["cold", "create"],
        &["keys", "rotate"],
        &["serve", "--frobnicate"],
        &["serve", "--listen", "nowhere"],
        &["halt"],
        &["--profile", "staging", "status"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{arguments:?}: {output:?}"
        );
    }
}

#[test]
fn init_shows_each_key_once_and_writes_none_of_them() {
    let daemon = Daemon::empty(&[]);
    let output = daemon.cli(["init", "--owner", "ann", "--owner", "ben", "--json"]);
    let keys = json_of(&output);
    let data = daemon.data();
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("master.key")), 0o600);
    for name in ["admin", "admin2", "readonly", "system"] {
        let key = keys[name].as_str().unwrap();
        assert!(key.starts_with("fg_"), "{name}: {key}");
        let secret = key.rsplit('_').next().unwrap();
        assert!(
            !holds(&data, secret.as_bytes()),
            "{name} lies in the data directory"
        );
    }
    // Nothing is overwritten.
    let before = std::fs::read(data.join("master.key")).unwrap();
    let again = daemon.cli(["init", "--json"]);
    assert_eq!(again.status.code(), Some(3), "{again:?}");
    assert_eq!(std::fs::read(data.join("master.key")).unwrap(), before);
}

/// Whether any file below `directory` holds these bytes.
fn holds(directory: &std::path::Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .any(|path| {
            if path.is_dir() {
                holds(&path, bytes)
            } else {
                std::fs::read(&path)
                    .is_ok_and(|all| all.windows(bytes.len()).any(|part| part == bytes))
            }
        })
}

#[test]
fn serve_on_an_empty_directory_makes_itself_ready_and_keeps_the_keys_in_one_private_file() {
    let mut daemon = Daemon::empty(&[]);
    daemon.start();
    let file = daemon.data().join("initial-keys.json");
    assert_eq!(mode(&file), 0o600);
    let keys: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(
        daemon.log().contains("initial-keys.json"),
        "its path is told: {}",
        daemon.log()
    );
    assert!(
        !daemon.log().contains(keys["admin"].as_str().unwrap()),
        "a key in the log"
    );

    let run: serde_json::Value =
        serde_json::from_slice(&std::fs::read(daemon.data().join("run.json")).unwrap()).unwrap();
    assert_eq!(run["pid"], daemon.pid(), "{run}");
    assert_eq!(mode(&daemon.data().join("control.sock")), 0o600);
}

#[test]
fn a_verb_that_talks_to_a_service_finds_it_by_itself() {
    let daemon = Daemon::spawn();
    let status = json_of(&daemon.cli_as("readonly", ["status", "--json"]));
    assert_eq!(status["status"], "active", "{status}");
    let refused = daemon.cli_as("readonly", ["pause", "--reason", "no"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let paused = daemon.cli_as("admin", ["pause", "--reason", "test"]);
    assert_eq!(paused.status.code(), Some(0), "{paused:?}");
    assert_eq!(daemon.caller("admin").status()["status"], "paused");
    let resumed = daemon.cli_as("admin", ["resume", "--reason", "test"]);
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert_eq!(daemon.caller("admin").status()["status"], "active");
}

#[test]
fn a_service_that_is_not_there_is_told_as_unreachable() {
    let daemon = Daemon::initialised(&[]);
    let output = daemon.cli_as("admin", ["status", "--url", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
}

#[test]
fn two_people_lift_a_halt_from_the_command_line() {
    let daemon = Daemon::spawn();
    let halted = daemon.cli(["halt", "--reason", "test"]);
    assert!(matches!(halted.status.code(), Some(0 | 4)), "{halted:?}");
    let epoch = daemon.until_halted()["epoch"].to_string();
    let lift = |key| daemon.cli_as(key, ["lift", "--epoch", &epoch, "--reason", "checked"]);
    let first = lift("admin");
    assert_eq!(
        first.status.code(),
        Some(4),
        "waiting for a second person: {first:?}"
    );
    let second = lift("admin2");
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    daemon.caller("system").order(&filling("again")).expect(201);
}

#[test]
fn audit_verify_holds_beside_a_running_service_and_finds_a_changed_byte() {
    let mut daemon = Daemon::spawn();
    daemon
        .caller("system")
        .order(&filling("verified-1"))
        .expect(201);
    daemon.verify();
    daemon.stop();
    daemon.verify();

    let file = daemon.data().join("journal.db");
    let whole = std::fs::read(&file).unwrap();
    let needle = b"verified-1";
    let at = whole
        .windows(needle.len())
        .position(|part| part == needle)
        .expect("the order is in the journal");
    let mut changed = whole.clone();
    changed[at] ^= 1;
    std::fs::write(&file, changed).unwrap();
    let output = daemon.cli(["audit", "verify"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    std::fs::write(&file, whole).unwrap();
}

#[test]
fn production_refuses_to_start_on_what_is_missing_and_names_it() {
    let daemon = Daemon::empty(&[]);
    let output = daemon.cli(["serve", "--profile", "production", "--json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(!output.stderr.is_empty());
    assert!(
        !daemon.data().join("journal.db").exists(),
        "nothing was made"
    );
}

/// Production's settings for a venue that nobody answers for.
const PRODUCTION: [(&str, &str); 2] = [
    ("VENUE__ADAPTER", "http"),
    ("VENUE__URL", "http://127.0.0.1:1"),
];

#[track_caller]
fn assert_names_both_ways_out(output: &Output) {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for way_out in [
        "keys.master_key_file",
        "keys.master_key_in_data_dir",
        "accept-beside-the-data",
    ] {
        assert!(said.contains(way_out), "{said}");
    }
}

#[test]
fn production_neither_makes_nor_takes_a_master_key_beside_the_data() {
    let init = [
        "--profile",
        "production",
        "init",
        "--owner",
        "ann",
        "--owner",
        "ben",
        "--json",
    ];
    // A venue is not needed yet.
    let mut daemon = Daemon::empty(&[]);
    assert_names_both_ways_out(&daemon.cli(init));
    assert!(
        !daemon.data().join("journal.db").exists(),
        "nothing was made"
    );
    assert!(
        !daemon.data().join("master.key").exists(),
        "nothing was made"
    );

    // One way out: elsewhere.
    let elsewhere = daemon.data().with_file_name("elsewhere.key");
    daemon.set("KEYS__MASTER_KEY_FILE", elsewhere.to_str().unwrap());
    json_of(&daemon.cli(init));
    assert_eq!(mode(&elsewhere), 0o600);
    assert!(!daemon.data().join("master.key").exists());
    // A verb on the store, and doctor, find it there.
    for (name, value) in PRODUCTION {
        daemon.set(name, value);
    }
    json_of(&daemon.cli(["--profile", "production", "apikeys", "list", "--json"]));
    let doctor = daemon.cli(["--profile", "production", "doctor", "--json"]);
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        text.contains("elsewhere.key, outside of the data directory"),
        "{text}"
    );
}

#[test]
fn production_starts_with_a_master_key_beside_the_data_only_when_told_to() {
    let mut daemon = Daemon::initialised(&PRODUCTION);
    let serve = ["--profile", "production", "serve", "--json"];
    assert_names_both_ways_out(&daemon.cli(serve));
    let doctor = |daemon: &Daemon| {
        let output = daemon.cli(["--profile", "production", "doctor", "--json"]);
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = found["findings"].as_array().unwrap().clone();
        let mut ours = findings.iter().filter(|f| f["what"] == "master key");
        ours.next().unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(doctor(&daemon), "bad");

    // The other way out.
    daemon.set("KEYS__MASTER_KEY_IN_DATA_DIR", "accept-beside-the-data");
    daemon.set("SERVER__ON_STOP", "leave");
    assert_eq!(doctor(&daemon), "look");
    daemon.start_with(&["--profile", "production"]);
    assert!(daemon.stop().success());
}

/// State and words of one finding of `doctor`, whatever its exit code.
fn finding(daemon: &Daemon, what: &str) -> (String, String) {
    let output = daemon.cli(["doctor", "--json"]);
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = all["findings"].as_array().unwrap().clone();
    let found = all.iter().find(|finding| finding["what"] == what);
    let found = found.unwrap_or_else(|| panic!("nothing on {what}: {all:?}"));
    let text = |name: &str| found[name].as_str().unwrap().to_owned();
    (text("state"), text("found"))
}

#[test]
fn doctor_opens_the_keys_and_asks_the_venue_and_calls_unknown_what_it_cannot_know() {
    let mut daemon = Daemon::initialised(&[]);
    assert_eq!(finding(&daemon, "keys").0, "ok");
    for what in ["venue", "clock"] {
        let (state, found) = finding(&daemon, what);
        assert_eq!(state, "look", "{found}");
        assert!(found.starts_with("unknown"), "{found}");
    }

    daemon.start();
    let (state, found) = finding(&daemon, "venue");
    assert_eq!(state, "ok", "{found}");
    assert!(found.contains("answers; account flashguard"), "{found}");
    let (state, found) = finding(&daemon, "clock");
    assert_eq!(state, "ok", "{found}");
    assert!(daemon.stop().success());

    for (name, value) in PRODUCTION {
        daemon.set(name, value);
    }
    let (state, found) = finding(&daemon, "venue");
    assert_eq!(state, "bad", "{found}");
    assert!(found.contains("cannot be reached"), "{found}");
    assert_eq!(daemon.cli(["doctor"]).status.code(), Some(5));
    assert!(finding(&daemon, "clock").1.starts_with("unknown"));

    let sealed = daemon.data().join("keys/venue/1");
    let sealed = if sealed.is_file() {
        sealed
    } else {
        panic!("{}", sealed.display())
    };
    let mut bytes = std::fs::read(&sealed).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&sealed, &bytes).unwrap();
    assert_eq!(finding(&daemon, "keys").0, "bad");
    assert_eq!(daemon.cli(["doctor"]).status.code(), Some(6));
    let (state, found) = finding(&daemon, "venue");
    assert_eq!(state, "look");
    assert!(found.starts_with("unknown"), "{found}");
    bytes[last] ^= 1;
    std::fs::write(&sealed, &bytes).unwrap();
}
