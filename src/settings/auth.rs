//! `auth.*`: tokens.

use super::table::{Shape, section};

section! {
    /// Tokens that a login gives.
    "auth" Auth {
        /// How long a token is accepted. Seed: `access_token_expire`.
        token_lifetime_s: u32 = "3600", "s", Shape::Integer { min: 60, max: 86_400 };
    }
}
