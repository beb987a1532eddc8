//! The one table of routes: it builds the servers, the API page and the authorization test.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::ServiceConfig;
use actix_web::{HttpRequest, Route, web};
use flashguard_actors::domain::identity::Permission;

use super::caller::authorize;
use super::problem::Problem;

mod table;

pub use table::ROUTES;

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
    /// Changes a part.
    Patch,
    /// Takes away.
    Delete,
}

impl Method {
    /// As it is written in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn route(self) -> Route {
        match self {
            Self::Get => web::get(),
            Self::Post => web::post(),
            Self::Patch => web::patch(),
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

impl RouteRow {
    /// A route of the main listener.
    const fn new(
        method: Method,
        path: &'static str,
        needs: Needs,
        handler: fn(Route) -> Route,
    ) -> Self {
        Self {
            method,
            path,
            needs,
            on_control: false,
            about: "",
            takes: "",
            gives: "",
            handler,
        }
    }

    /// Serves it on the control listener too.
    const fn on_control(mut self) -> Self {
        self.on_control = true;
        self
    }

    /// Says what it does.
    const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Says which fields it takes.
    const fn takes(mut self, takes: &'static str) -> Self {
        self.takes = takes;
        self
    }

    /// Says what a success answers.
    const fn gives(mut self, gives: &'static str) -> Self {
        self.gives = gives;
        self
    }
}

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
            let needs = row.needs;
            let guard =
                from_fn(move |request, next: Next<BoxBody>| authorize(request, next, needs));
            resource.route((row.handler)(row.method.route()).wrap(guard))
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
mod tests;
