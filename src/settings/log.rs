//! `log.*`: what is told on stderr.

use super::table::{Shape, section};
use super::value::choice;

section! {
    /// What is told on stderr. The journal is not a log: it is always complete.
    "log" Log {
        /// The least severity that is written.
        level: LogLevel = "info", "", Shape::Choice(LogLevel::WORDS);
        /// Lines for people, or one JSON object per line for programs.
        format: LogFormat = "text", "", Shape::Choice(LogFormat::WORDS);
    }
}

choice! {
    /// Severity of a log line.
    LogLevel {
        /// What needs somebody.
        Error = "error",
        /// What may need somebody.
        Warn = "warn",
        /// What happens seldom and matters.
        Info = "info",
        /// What helps to find a fault.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

choice! {
    /// How a log line is written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}
