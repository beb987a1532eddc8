//! The `flashguard` program.
fn main() {}
