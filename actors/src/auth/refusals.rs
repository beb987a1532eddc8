//! What is refused at the door, counted for the journal: credentials that nobody stands behind, by the
//! address they came from, and requests without the permission for them, by the credential (S9, J6).
//!
//! The entries it answers with are the caller's to journal; nothing here decides who comes in.

use std::net::IpAddr;

use parking_lot::Mutex;

use crate::domain::clock::UnixMicros;
use crate::domain::identity::Principal;
use crate::journal::episodes::{Episodes, RecordBound};
use crate::journal::record::{Entry, Fact, Private};

/// One counting record per source in this time.
const WINDOW_MS: u64 = 60_000;
/// Written where a count stands for sources that are not told apart.
const MANY: &str = "many";

/// A request that its caller has no permission for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Method and pattern of the route.
    pub route: String,
    /// The permission it needs.
    pub permission: String,
}

/// Failed logins and forbidden requests that are not journaled yet.
pub struct Refusals {
    logins: Mutex<Episodes<IpAddr>>,
    requests: Mutex<Episodes<Principal, Refused>>,
}

impl Refusals {
    /// Nothing refused yet; `bound` is shared with whatever else is refused and recorded.
    pub fn new(bound: RecordBound) -> Self {
        Self {
            logins: Mutex::new(Episodes::new(WINDOW_MS, bound.clone())),
            requests: Mutex::new(Episodes::new(WINDOW_MS, bound)),
        }
    }

    /// Counts a login, or another request, whose credential nobody stands behind. `Some` is to be journaled now.
    pub fn login_failed(&self, from: IpAddr, now: UnixMicros) -> Option<Entry> {
        let count = self.logins.lock().observe(from, (), now)?;
        Some(failed_logins(Some(from), count))
    }

    /// Counts a forbidden request. `Some` is to be journaled now.
    pub fn denied(&self, by: &Principal, refused: Refused, now: UnixMicros) -> Option<Entry> {
        let note = refused.clone();
        let count = self.requests.lock().observe(by.clone(), note, now)?;
        Some(denied_requests(Some(by.clone()), refused, count))
    }

    /// Counts to be journaled now. To be called about once a second.
    pub fn due(&self, now: UnixMicros) -> Vec<Entry> {
        let logins = self.logins.lock().due(now).into_iter();
        let logins = logins.map(|due| failed_logins(due.source, due.count));
        let requests = self.requests.lock().due(now).into_iter();
        let requests = requests.map(|due| denied_requests(due.source, due.note, due.count));
        logins.chain(requests).collect()
    }

    /// What was counted and is not journaled yet, for an orderly stop.
    pub fn left(&self) -> Vec<Entry> {
        let logins = self.logins.lock().drain();
        let requests = self.requests.lock().drain();
        let many = Refused {
            route: MANY.to_owned(),
            permission: MANY.to_owned(),
        };
        let logins = (logins > 0).then(|| failed_logins(None, logins));
        let requests = (requests > 0).then(|| denied_requests(None, many, requests));
        logins.into_iter().chain(requests).collect()
    }
}

/// The entry for failed logins from an address (`None` = from many).
fn failed_logins(from: Option<IpAddr>, count: u64) -> Entry {
    let address = from.map_or_else(|| MANY.to_owned(), |address| address.to_string());
    let private = Private {
        address: Some(address),
        ..Private::default()
    };
    Entry::of("auth", Fact::AuthFailed { count }).with(private)
}

/// The entry for forbidden requests of one credential (`None` = of many).
fn denied_requests(by: Option<Principal>, refused: Refused, count: u64) -> Entry {
    let Refused { route, permission } = refused;
    let fact = Fact::AuthDenied {
        route,
        permission,
        count,
    };
    let entry = Entry::of("auth", fact);
    match by {
        Some(principal) => entry.by(principal),
        None => entry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(route: &str) -> Refused {
        Refused {
            route: route.into(),
            permission: "audit.read".into(),
        }
    }

    #[test]
    fn forbidden_requests_are_counted_by_credential_and_a_count_names_the_last_route() {
        let refusals = Refusals::new(RecordBound::default());
        let (bot, other) = (Principal::api_key("bot"), Principal::api_key("other"));
        let at = |ms| UnixMicros(ms * 1_000);
        let first = refusals.denied(&bot, refused("GET /a"), at(0)).unwrap();
        assert_eq!(first.principal.as_ref(), Some(&bot));
        assert!((0..999).all(|_| refusals.denied(&bot, refused("GET /b"), at(1)).is_none()));
        assert!(refusals.denied(&other, refused("GET /a"), at(1)).is_some());
        assert_eq!(refusals.due(at(WINDOW_MS - 1)), []);
        let fact = Fact::AuthDenied {
            route: "GET /b".into(),
            permission: "audit.read".into(),
            count: 999,
        };
        let count = Entry::of("auth", fact).by(bot);
        assert_eq!(refusals.due(at(WINDOW_MS)), [count]);
    }

    #[test]
    fn what_was_not_journaled_by_the_stop_is_journaled_then() {
        let refusals = Refusals::new(RecordBound::default());
        let (from, now) = (IpAddr::from([127, 0, 0, 1]), UnixMicros(0));
        let by = Principal::api_key("bot");
        for _ in 0..5 {
            let _ = refusals.login_failed(from, now);
            let _ = refusals.denied(&by, refused("GET /a"), now);
        }
        let counts: Vec<_> = refusals
            .left()
            .into_iter()
            .map(|entry| entry.fact)
            .collect();
        let [
            Fact::AuthFailed { count: 4 },
            Fact::AuthDenied { count: 4, .. },
        ] = &counts[..]
        else {
            panic!("{counts:?}")
        };
        assert_eq!(refusals.left(), []);
    }
}
