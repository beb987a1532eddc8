//! Every route.

use super::{Method, Needs, RouteRow};
use crate::web::{auth, health};

/// Every route, those of one path next to each other.
pub const ROUTES: &[RouteRow] = &[
    RouteRow::new(Method::Get, "/healthz", Needs::Nothing, |route| {
        route.to(health::alive)
    })
    .on_control()
    .about("The process answers.")
    .gives("200 `{status:\"alive\"}`"),
    RouteRow::new(
        Method::Post,
        "/api/v1/auth/login",
        Needs::Nothing,
        |route| route.to(auth::login),
    )
    .about("Turns an API key into a token.")
    .takes("`{api_key}`")
    .gives("200 `{access_token, token_type:\"bearer\", expires_in, role, permissions}`"),
    RouteRow::new(
        Method::Post,
        "/api/v1/auth/logout",
        Needs::Credential,
        |route| route.to(auth::logout),
    )
    .about("Takes this token back, at once and for good.")
    .gives("200 `{status:\"logged_out\"}`"),
    RouteRow::new(Method::Get, "/api/v1/auth/me", Needs::Credential, |route| {
        route.to(auth::me)
    })
    .about("Who am I.")
    .gives("200 `{principal, owner, client, role, permissions, key_created_at, key_made_locally}`"),
];
