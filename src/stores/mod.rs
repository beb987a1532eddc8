//! The ports of the library, implemented on this machine's disk.

pub mod keys;
pub mod master_key;
pub mod sentinel;
pub mod sqlite;
