//! The `flashguard` program.

use std::process::ExitCode;

/// An order makes and drops about a hundred small pieces of memory, over several threads: measured
/// with `tests/load`, this allocator costs a tenth of an order's CPU time less than the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    flashguard::cli::run()
}
