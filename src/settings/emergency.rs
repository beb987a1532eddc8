//! `emergency.*`: halts and lifts.

use super::table::{Shape, section};

section! {
    /// Halts and lifts.
    "emergency" Emergency {
        /// Owners that must agree before a halt ends.
        lift_approvals: usize = "2", "owners", Shape::Integer { min: 2, max: 10 };
        /// How long the answer to a halt waits for the cancels to be confirmed. The stop itself is
        /// over before that wait begins.
        answer_wait_ms: u64 = "2000", "ms", Shape::Integer { min: 0, max: 30_000 };
    }
}
