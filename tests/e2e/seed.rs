//! The seed's variables: a key comes in once, and nothing that is set is ignored in silence.

use super::daemon::{Daemon, json_of};
use serde_json::Value;

const CANARY: &str = "canary-in-a-variable";

/// What `doctor` found about the environment.
fn environment(daemon: &Daemon) -> Vec<(String, String)> {
    let findings = json_of(&daemon.cli(["doctor", "--json"]));
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = findings["findings"].as_array().unwrap().clone();
    let ours = findings.iter().filter(|f| f["what"] == "environment");
    ours.map(|f| (text(f, "found"), text(f, "mend"))).collect()
}

#[track_caller]
fn assert_said_once(log: &str, said: &str) {
    let count = log.lines().filter(|line| line.contains(said)).count();
    assert_eq!(count, 1, "{said}: {log}");
}

#[test]
fn another_secret_than_the_stores_is_reported_at_each_start_and_never_used() {
    let mut daemon = Daemon::spawn();
    let keys = |daemon: &Daemon| json_of(&daemon.cli(["keys", "list", "--json"]));
    let before = keys(&daemon);
    assert!(daemon.stop().success());

    daemon.set_variable("CAMBRIAN_API_KEY", CANARY);
    daemon.set_variable("CAMBRIAN_SECRET_KEY", CANARY);
    let said = "CAMBRIAN_API_KEY, CAMBRIAN_SECRET_KEY: another secret than the key venue in the \
                store; the store's is used";
    let mend = "flashguard keys import venue";
    let told = |daemon: &Daemon| {
        let found = environment(daemon);
        let of_it: Vec<_> = found.iter().filter(|(found, _)| found == said).collect();
        assert_eq!(of_it.len(), 1, "{found:?}");
        assert!(of_it[0].1.contains(mend), "{found:?}");
    };
    told(&daemon);
    daemon.start();
    told(&daemon);
    assert_eq!(keys(&daemon), before);
    // The paper venue knows the store's credential, so that trading shows which one is used.
    assert_eq!(daemon.caller("admin").status()["status"], "active");
    let log = daemon.log();
    assert_said_once(&log, said);
    assert_said_once(&log, mend);
    assert!(!log.contains(CANARY), "{log}");
}

#[test]
fn a_variable_that_nothing_reads_is_told_of_at_the_start_and_by_doctor() {
    let mut daemon = Daemon::initialised(&[]);
    for name in [
        "MASTER_ENCRYPTION_KEY",
        "JWT_SECRET_KEY",
        "ADMIN_API_KEY",
        "READONLY_API_KEY",
    ] {
        daemon.set_variable(name, CANARY);
    }
    daemon.set_variable("REDIS_URL", "redis://127.0.0.1");
    daemon.start();
    let (log, found) = (daemon.log(), environment(&daemon));
    for name in [
        "MASTER_ENCRYPTION_KEY",
        "JWT_SECRET_KEY",
        "ADMIN_API_KEY",
        "READONLY_API_KEY",
    ] {
        let said = format!(
            "{name} is set and not used in this version, and it is a secret in a plain variable"
        );
        assert_said_once(&log, &said);
        let told = found.iter().filter(|(found, _)| *found == said).count();
        assert_eq!(told, 1, "{found:?}");
    }
    assert_said_once(&log, "REDIS_URL is set and not used in this version");
    assert!(!log.contains(CANARY) && !format!("{found:?}").contains(CANARY));
}

#[test]
fn a_secret_in_a_plain_variable_is_reported_once_at_the_start_and_by_doctor() {
    let mut daemon = Daemon::empty(&[]);
    let key = format!("{}1", "0".repeat(63));
    daemon.set_variable("SEI_PRIVATE_KEY", &key);
    let said = "SEI_PRIVATE_KEY is a secret in a plain variable";
    // The first start makes the directory, and takes the key in.
    daemon.start();
    assert_said_once(&daemon.log(), said);
    let told = environment(&daemon);
    assert_eq!(told.iter().filter(|(found, _)| found == said).count(), 1);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(!daemon.log().contains(&key));
    // The address of that key.
    let keys = json_of(&daemon.cli(["keys", "list", "--json"])).to_string();
    assert!(
        keys.contains("0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"),
        "{keys}"
    );
}
