//! `journal.*`: the journal.

use super::table::{Shape, section};

section! {
    /// The journal.
    "journal" Journal {
        /// Free space below which trading halts, so that halts, cancels and outcomes can still be
        /// written.
        reserve_mib: u64 = "64", "MiB", Shape::Integer { min: 1, max: 1_048_576 };
    }
}
