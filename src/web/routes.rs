//! The one table of routes: it builds the servers, the API page and the authorization test.

use actix_web::http::StatusCode;
use actix_web::web::ServiceConfig;
use actix_web::{HttpRequest, Route, web};
use flashguard_actors::domain::identity::Permission;

use super::health;
use super::problem::Problem;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: anyone may call it.
    Nothing,
    /// Any valid credential.
    Credential,
    /// A credential whose role holds this permission.
    Permission(Permission),
}

/// The methods that routes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Asks for an effect.
    Post,
    /// Takes away.
    Delete,
}

impl Method {
    /// As it is written in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    fn route(self) -> Route {
        match self {
            Self::Get => web::get(),
            Self::Post => web::post(),
            Self::Delete => web::delete(),
        }
    }
}

/// Which listeners a route is served on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// `server.listen`: all routes.
    Main,
    /// `server.control_listen`: those that must answer while the other one is busy.
    Control,
}

/// One route.
pub struct RouteRow {
    /// How.
    pub method: Method,
    /// Where; `{id}` stands for a segment.
    pub path: &'static str,
    /// What it asks of its caller.
    pub needs: Needs,
    /// Served on the control listener too.
    pub on_control: bool,
    /// What it does, for the API page.
    pub about: &'static str,
    /// Fields of the body or query, for the API page; empty when there are none.
    pub takes: &'static str,
    /// What a success answers, for the API page.
    pub gives: &'static str,
    handler: fn(Route) -> Route,
}

/// Every route.
pub const ROUTES: &[RouteRow] = &[RouteRow {
    method: Method::Get,
    path: "/healthz",
    needs: Needs::Nothing,
    on_control: true,
    about: "The process answers.",
    takes: "",
    gives: "200 `{status:\"alive\"}`",
    handler: |route| route.to(health::alive),
}];

/// Registers the routes of `listener`: each path once, with its methods; anything else is 404, and
/// another method 405 with `Allow`.
pub(super) fn register(config: &mut ServiceConfig, listener: Listener) {
    let here = |row: &&RouteRow| listener == Listener::Main || row.on_control;
    let mut paths: Vec<&'static str> = ROUTES.iter().filter(here).map(|row| row.path).collect();
    paths.dedup();
    for path in paths {
        let rows: Vec<&RouteRow> = ROUTES
            .iter()
            .filter(here)
            .filter(|row| row.path == path)
            .collect();
        let methods: Vec<&str> = rows.iter().map(|row| row.method.as_str()).collect();
        let allow = methods.join(", ");
        let resource = rows.iter().fold(web::resource(path), |resource, row| {
            resource.route((row.handler)(row.method.route()))
        });
        config.service(resource.default_service(web::to(move || wrong_method(allow.clone()))));
    }
    config.default_service(web::to(not_found));
}

async fn wrong_method(allow: String) -> Result<&'static str, Problem> {
    let message = format!("this path takes {allow}");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Err(Problem::new(status, "METHOD_NOT_ALLOWED", message).allow(allow))
}

async fn not_found(_: HttpRequest) -> Result<&'static str, Problem> {
    Err(Problem::not_found("path"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
