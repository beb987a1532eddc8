//! What every handler can reach.

use std::sync::Arc;

use flashguard_actors::auth::Access;
use flashguard_actors::domain::clock::{SharedClock, SharedEntropy, UnixMicros};
use flashguard_actors::key_manager::KeyManagerActor;
use flashguard_actors::supervision::Stable;
use flashguard_actors::system::Handle;

use super::rate::RequestRate;
use crate::settings::{Profile, Setting};

/// What every handler can reach. One per listener, since each counts its own requests.
pub struct Shared {
    /// The running system.
    pub system: Handle,
    /// Proves callers.
    pub access: Arc<Access>,
    /// Lists keys.
    pub keys: Stable<KeyManagerActor>,
    /// The wall clock.
    pub clock: SharedClock,
    /// Where request ids come from.
    pub entropy: SharedEntropy,
    /// Every setting with its value as text; secrets hidden.
    pub settings: Arc<[(&'static Setting, String)]>,
    /// What kind of place this is.
    pub profile: Profile,
    /// When the process began to serve.
    pub started: UnixMicros,
    /// Counts the requests of each address.
    pub request_rate: RequestRate,
}
