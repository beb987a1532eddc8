//! The `flashguard` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    flashguard::cli::run()
}
