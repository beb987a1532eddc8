//! Who acts: roles, permissions, and the caller behind a request.
//!
//! The role table starts from the seed's (*Role-Based Access Control*); wildcards cover whole
//! segments only, and what is not granted is denied (S9).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A right to do one thing, `area.action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Place orders.
    TradingExecute,
    /// Cancel orders, in every state.
    TradingCancel,
    /// Pause, and go to reduce-only.
    TradingPause,
    /// Take back an operator's pause.
    TradingResume,
    /// Stop everything.
    TradingEmergencyStop,
    /// Propose or approve the end of a halt.
    EmergencyLift,
    /// Say what became of an order that the venue cannot account for.
    IncidentsRespond,
    /// Read states, orders, positions, fills.
    MetricsRead,
    /// Read keys' descriptions and settings.
    ConfigRead,
    /// Change limits.
    ConfigWrite,
    /// Read the journal.
    AuditRead,
}

impl Permission {
    /// All permissions that something asks for.
    pub const ALL: [Self; 11] = [
        Self::TradingExecute,
        Self::TradingCancel,
        Self::TradingPause,
        Self::TradingResume,
        Self::TradingEmergencyStop,
        Self::EmergencyLift,
        Self::IncidentsRespond,
        Self::MetricsRead,
        Self::ConfigRead,
        Self::ConfigWrite,
        Self::AuditRead,
    ];

    /// As it is written in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TradingExecute => "trading.execute",
            Self::TradingCancel => "trading.cancel",
            Self::TradingPause => "trading.pause",
            Self::TradingResume => "trading.resume",
            Self::TradingEmergencyStop => "trading.emergency_stop",
            Self::EmergencyLift => "emergency.lift",
            Self::IncidentsRespond => "incidents.respond",
            Self::MetricsRead => "metrics.read",
            Self::ConfigRead => "config.read",
            Self::ConfigWrite => "config.write",
            Self::AuditRead => "audit.read",
        }
    }
}

/// What a key may do, as the contract's table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Operates: pauses, stops, lifts (with a second person), reads everything. Does not trade.
    Admin,
    /// Looks.
    Readonly,
    /// A bot: trades and cancels, may stop, never lifts.
    System,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Readonly, Self::System];

    /// As it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Readonly => "readonly",
            Self::System => "system",
        }
    }

    /// Reads a role as it is written on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// The seed's grants with the contract's additions, as written; `.all` covers a whole segment.
    pub const fn grants(self) -> &'static [&'static str] {
        match self {
            Self::Admin => &[
                "trading.pause",
                "trading.resume",
                "trading.emergency_stop",
                "trading.cancel",
                "config.read",
                "config.write",
                "metrics.read",
                "keys.rotate",
                "audit.read",
                "incidents.respond",
                "emergency.lift",
            ],
            Self::Readonly => &["metrics.read", "config.read"],
            Self::System => &[
                "trading.execute",
                "trading.cancel",
                "trading.emergency_stop",
                "metrics.read",
                "metrics.write",
                "internal.all",
            ],
        }
    }

    /// Whether this role holds `permission`. Default deny (S9).
    pub fn may(self, permission: Permission) -> bool {
        self.grants()
            .iter()
            .any(|grant| covers(grant, permission.as_str()))
    }
}

/// Whether `grant` covers `wanted`: equal, or `<segments>.all` over whole segments. A bare `.all`
/// or `all` grants nothing (seed flaw 57: a prefix without its dot granted `internals_secret.read`).
pub fn covers(grant: &str, wanted: &str) -> bool {
    if grant == wanted {
        return true;
    }
    match grant.strip_suffix(".all") {
        Some(prefix) if !prefix.is_empty() => wanted
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('.')),
        _ => false,
    }
}

/// A person. Two keys of one owner count once for approvals. 1 to 64 of `a-z0-9._@-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner(String);

/// A bot or script: order ids and order rates are per client. 1 to 64 of `a-z0-9._@-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Client(String);

/// The text is not a name of a person or a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 of a-z 0-9 . _ @ -")]
pub struct NotAName;

fn name(text: String) -> Result<String, NotAName> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._@-".contains(&b);
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(plain);
    if fits { Ok(text) } else { Err(NotAName) }
}

macro_rules! name_type {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = NotAName;
            fn try_from(text: String) -> Result<Self, NotAName> {
                name(text).map(Self)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
name_type!(Owner);
name_type!(Client);

/// The credential that acted: an API key's id, `local:<uid>` for the control socket and signals,
/// or `system` for what the service does by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Principal(String);

impl Principal {
    /// An API key acted.
    pub fn api_key(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// Somebody with access to this machine acted.
    pub fn local(uid: u32) -> Self {
        Self(format!("local:{uid}"))
    }

    /// The service acted by itself.
    pub fn system() -> Self {
        Self("system".to_owned())
    }

    /// As it is written in records.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Somebody who proved to hold a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The credential.
    pub principal: Principal,
    /// The person behind it.
    pub owner: Owner,
    /// The bot or script it belongs to.
    pub client: Client,
    /// What it may do.
    pub role: Role,
    /// When the credential was made: who may approve a lift depends on it (K10).
    pub key_created_us: super::clock::UnixMicros,
    /// The key was made with access to this machine, not over HTTP (K10).
    pub key_made_locally: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_whole_segments_only() {
        assert!(covers("internal.all", "internal.read"));
        assert!(covers("internal.all", "internal.deep.read"));
        assert!(!covers("internal.all", "internals_secret.read"));
        assert!(!covers("internal.all", "internal"));
        assert!(!covers(".all", "anything.at.all.x"));
        assert!(!covers("all", "trading.execute"));
        assert!(!covers("trading", "trading.execute"));
    }

    #[test]
    fn roles_hold_what_the_contract_says_and_nothing_else() {
        use Permission as P;
        let holds = |role: Role| {
            P::ALL
                .into_iter()
                .filter(move |p| role.may(*p))
                .collect::<Vec<_>>()
        };
        assert_eq!(holds(Role::Readonly), [P::MetricsRead, P::ConfigRead]);
        assert_eq!(
            holds(Role::System),
            [
                P::TradingExecute,
                P::TradingCancel,
                P::TradingEmergencyStop,
                P::MetricsRead
            ]
        );
        assert!(!Role::Admin.may(P::TradingExecute));
        assert!(Role::Admin.may(P::EmergencyLift));
    }

    #[test]
    fn names_are_plain() {
        assert!(Owner::try_from("ann@example.org".to_owned()).is_ok());
        for bad in ["", "Ann", "a b", "a/b"] {
            assert!(Client::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(Owner::try_from("a".repeat(65)).is_err());
    }
}
