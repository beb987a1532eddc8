//! The table itself, and who may use each of its rows: a route without a case here fails.

use flashguard_actors::domain::identity::Role;

use super::*;
use crate::web::testing::Running;

#[test]
fn rows_of_one_path_stand_together_and_no_row_is_there_twice() {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for row in ROUTES {
        let this = (row.path, row.method.as_str());
        assert!(!seen.contains(&this), "{this:?} twice");
        let before = seen.iter().any(|(path, _)| *path == row.path);
        let last = seen.last().is_some_and(|(path, _)| *path == row.path);
        assert_eq!(before, last, "{} is scattered", row.path);
        seen.push(this);
    }
}

/// Who passes a route's guard.
#[derive(Debug, Clone, Copy)]
enum Passes {
    /// Also somebody without a credential.
    Anyone,
    /// These roles, each with its key.
    Only(&'static [Role]),
}
use Passes::{Anyone, Only};

const EVERYBODY: Passes = Only(&[Role::Admin, Role::Readonly, Role::System]);

/// Written by hand from the contract, not derived from the table.
const CASES: &[(&str, &str, Passes)] = &[
    ("GET", "/healthz", Anyone),
    ("GET", "/readyz", Anyone),
    ("GET", "/api/v1/health", Anyone),
    ("POST", "/api/v1/auth/login", Anyone),
    ("POST", "/api/v1/auth/logout", EVERYBODY),
    ("GET", "/api/v1/auth/me", EVERYBODY),
    ("GET", "/api/v1/trading/status", EVERYBODY),
    ("GET", "/api/v1/trading/positions", EVERYBODY),
    ("GET", "/api/v1/trading/fills", EVERYBODY),
    ("GET", "/api/v1/trading/orders", EVERYBODY),
    ("POST", "/api/v1/trading/orders", Only(&[Role::System])),
    (
        "DELETE",
        "/api/v1/trading/orders",
        Only(&[Role::Admin, Role::System]),
    ),
    (
        "POST",
        "/api/v1/trading/orders/check",
        Only(&[Role::System]),
    ),
    ("GET", "/api/v1/trading/orders/{id}", EVERYBODY),
    (
        "DELETE",
        "/api/v1/trading/orders/{id}",
        Only(&[Role::Admin, Role::System]),
    ),
    (
        "POST",
        "/api/v1/trading/orders/{id}/resolve",
        Only(&[Role::Admin]),
    ),
    ("POST", "/api/v1/admin/pause", Only(&[Role::Admin])),
    ("POST", "/api/v1/admin/reduce-only", Only(&[Role::Admin])),
    ("POST", "/api/v1/admin/resume", Only(&[Role::Admin])),
    (
        "POST",
        "/api/v1/admin/emergency-stop",
        Only(&[Role::Admin, Role::System]),
    ),
    ("GET", "/api/v1/admin/emergency", EVERYBODY),
    ("POST", "/api/v1/admin/emergency/lift", Only(&[Role::Admin])),
    (
        "GET",
        "/api/v1/config",
        Only(&[Role::Admin, Role::Readonly]),
    ),
    ("PATCH", "/api/v1/config/limits", Only(&[Role::Admin])),
    ("GET", "/api/v1/keys", Only(&[Role::Admin, Role::Readonly])),
    ("GET", "/api/v1/audit/events", Only(&[Role::Admin])),
    ("GET", "/api/v1/audit/checkpoint", Only(&[Role::Admin])),
];

#[test]
fn every_route_has_an_authorization_case_and_every_case_a_route() {
    for row in ROUTES {
        let this = (row.method.as_str(), row.path);
        let cases = CASES.iter().filter(|case| (case.0, case.1) == this).count();
        assert_eq!(
            cases, 1,
            "{this:?} has {cases} authorization cases; add one to CASES"
        );
    }
    assert_eq!(CASES.len(), ROUTES.len(), "a case without a route");
}

#[test]
fn each_role_passes_exactly_where_the_contract_says() {
    let server = Running::start();
    for (method, path, passes) in CASES {
        let path = path.replace("{id}", "01930000-0000-7000-8000-000000000000");
        let stranger = server.ask(method, &path, None, "");
        match passes {
            Anyone => assert!(![401, 403].contains(&stranger.status), "{method} {path}"),
            Only(_) => {
                assert_eq!(stranger.status, 401, "{method} {path}");
                assert_eq!(stranger.code(), "UNAUTHENTICATED");
                let forged = server.ask(method, &path, Some("eyJhbGciOiJub25lIn0.e30."), "");
                assert_eq!(forged.status, 401, "{method} {path}");
            }
        }
        let Only(roles) = passes else { continue };
        for role in Role::ALL {
            let answer = server.ask(method, &path, Some(server.key(role)), "");
            let passed = ![401, 403].contains(&answer.status);
            assert_eq!(
                passed,
                roles.contains(&role),
                "{method} {path} as {role:?}: {}",
                answer.body
            );
            if !passed {
                assert_eq!((answer.status, answer.code().as_str()), (403, "FORBIDDEN"));
                let named = answer.error()["details"]["permission"]
                    .as_str()
                    .map(str::to_owned);
                assert!(named.is_some_and(|n| answer.body.contains(&format!("permission {n}"))));
            }
        }
    }
}
