//! The log: lines on stderr, for people or for programs. It is not the journal, and holds no secret.

use std::io::IsTerminal;

use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use crate::settings::{Log, LogFormat, LogLevel};

/// Begins to write the log. `louder` steps are added to the level (`-v`), or taken away.
pub fn start(log: &Log, louder: i8) {
    let levels = [
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];
    let set: i8 = match log.level {
        LogLevel::Error => 0,
        LogLevel::Warn => 1,
        LogLevel::Info => 2,
        LogLevel::Debug => 3,
        LogLevel::Trace => 4,
    };
    let at = usize::try_from(set.saturating_add(louder).clamp(0, 4)).unwrap_or(2);
    let level = levels.get(at).copied().unwrap_or(LevelFilter::INFO);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start in one process (tests, embedders) keeps the first one's log.
    let _ = match log.format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// This program's lines from `level` on; of the HTTP library only what is worth a look, unless
/// everything is asked for.
fn filter(level: LevelFilter) -> EnvFilter {
    if level >= LevelFilter::DEBUG {
        return EnvFilter::new(level.to_string());
    }
    EnvFilter::new(format!("{level},actix_server=warn,actix_web=warn"))
}
