//! The embeddable core of FlashGuard: what may be signed, recorded before it happens, and stopped
//! for certain.
//!
//! Imports point one way: `domain` → `ports` → `supervision` → `journal` → `auth` → `gate` →
//! `key_manager` → `trading` → `emergency` → `system`. Without the feature `runtime` only the pure
//! rules are built.

pub mod auth;
pub mod domain;
#[cfg(feature = "runtime")]
pub mod emergency;
pub mod gate;
pub mod journal;
pub mod key_manager;
pub mod ports;
pub mod supervision;
#[cfg(feature = "runtime")]
pub mod system;
#[cfg(feature = "runtime")]
pub mod trading;
