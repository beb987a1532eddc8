//! Whether the keys that an order needs can be used for it.

/// What the key manager says of the signing key and the venue credential, for the purpose of placing
/// an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Both can be used.
    Usable,
    /// One of them cannot.
    Unusable {
        /// Its name.
        key: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}
