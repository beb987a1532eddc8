//! The embeddable core of FlashGuard: what may be signed, recorded before it happens, and stopped for certain.
