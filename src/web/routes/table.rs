//! Every route.

use flashguard_actors::domain::identity::Permission;

use super::Method::{Delete, Get, Post};
use super::Needs::{self, Credential, Nothing};
use super::RouteRow;
use crate::web::{admin, audit, auth, health, keys, trading};

const fn needs(permission: Permission) -> Needs {
    Needs::Permission(permission)
}

/// Every route, those of one path next to each other.
pub const ROUTES: &[RouteRow] = &[
    RouteRow::new(Get, "/healthz", Nothing, |route| route.to(health::alive)).on_control().about("The process answers.").gives("200 `{status:\"alive\"}`"),
    RouteRow::new(Get, "/readyz", Nothing, |route| route.to(health::ready)).on_control().about("Ready: the journal is folded, the state is known, the venue was read or found unreachable. A halted service is ready.").gives("200 `{status:\"ready\", trading}`; 503 `NOT_READY`"),
    RouteRow::new(Get, "/api/v1/health", Nothing, |route| route.to(health::health)).on_control().about("What works.").gives("200 `{status:\"healthy\"\\|\"degraded\", timestamp, version, environment, trading, components, uptime_seconds}`"),
    RouteRow::new(Post, "/api/v1/auth/login", Nothing, |route| route.to(auth::login)).about("Turns an API key into a token.").takes("`{api_key}`").gives("200 `{access_token, token_type:\"bearer\", expires_in, role, permissions}`; 401 `INVALID_CREDENTIALS`"),
    RouteRow::new(Post, "/api/v1/auth/logout", Credential, |route| route.to(auth::logout)).about("Takes this token back, at once and for good.").gives("200 `{status:\"logged_out\"}`; 409 `NOT_A_TOKEN` for an API key"),
    RouteRow::new(Get, "/api/v1/auth/me", Credential, |route| route.to(auth::me)).about("Who am I.").gives("200 `{principal, owner, client, role, permissions, key_created_at, key_made_locally}`"),
    RouteRow::new(Get, "/api/v1/trading/status", needs(Permission::MetricsRead), |route| route.to(trading::status)).on_control().about("The state of trading.").gives("200 `{status:\"active\"\\|\"paused\"\\|\"emergency_shutdown\", epoch, since, reason, by, actors, markets}`"),
    RouteRow::new(Get, "/api/v1/trading/positions", needs(Permission::MetricsRead), |route| route.to(trading::positions)).about("Positions, and what open orders could make of them.").gives("200 `{positions:[{symbol, size, reference, value_usdc, open_buys_usdc, open_sells_usdc, after_buys_usdc, after_sells_usdc, limit_usdc}]}`"),
    RouteRow::new(Get, "/api/v1/trading/fills", needs(Permission::MetricsRead), |route| route.to(trading::fills)).about("Fills, newest first.").takes("`?since=&symbol=&after=&limit=`").gives("200 `{fills:[{fill_id, order_id, symbol, side, price, size, fee, realised_profit, filled_at, journal_seq}], next, as_of}`"),
    RouteRow::new(Get, "/api/v1/trading/orders", needs(Permission::MetricsRead), |route| route.to(trading::orders)).about("Orders, newest first.").takes("`?status=&client_order_id=&after=&limit=`").gives("200 `{orders:[…], next, as_of}`"),
    RouteRow::new(Post, "/api/v1/trading/orders", needs(Permission::TradingExecute), |route| route.to(trading::place)).about("Places an order.").takes("`{symbol, side, price, size, order_type?, client_order_id?}`; decimals are strings; `order_type`: `limit` (default), `post_only`, `ioc`, or `market`, which has no `price`").gives("201 `{order_id, client_order_id, status, digest, signature, signer, key_id, signed_at_us, expires_at_ms, venue_order_id, journal_seq}`; 200 with `replayed:true`; 202 in doubt: retry with the same `client_order_id`; 409 `DUPLICATE_ORDER`; 422 with every broken rule in `details.denials`, or `VENUE_REJECTED`; 503 `TRADING_PAUSED`, `TRADING_HALTED`, `VENUE_UNAVAILABLE` (nothing left), `JOURNAL_UNAVAILABLE`, `CLIENT_IDS_FULL`"),
    RouteRow::new(Delete, "/api/v1/trading/orders", needs(Permission::TradingCancel), |route| route.to(trading::cancel_many)).about("Cancels everything that rests, or everything of one market; in every state.").takes("`?symbol=`").gives("200 `{cancelled, unconfirmed}`; 202 when not all are confirmed yet"),
    RouteRow::new(Get, "/api/v1/trading/orders/{id}", needs(Permission::MetricsRead), |route| route.to(trading::order)).about("One order.").gives("200 the order; 404 `NOT_FOUND`"),
    RouteRow::new(Delete, "/api/v1/trading/orders/{id}", needs(Permission::TradingCancel), |route| route.to(trading::cancel)).about("Cancels one order; in every state.").gives("200 the order as it is now; 202 not confirmed yet; 404 `NOT_FOUND`"),
    RouteRow::new(Post, "/api/v1/trading/orders/{id}/resolve", needs(Permission::IncidentsRespond), |route| route.to(trading::resolve)).about("A person says what became of an order in doubt, where the venue cannot prove it.").takes("`{status:\"not_placed\"\\|\"rejected\"\\|\"cancelled\", reason}`").gives("200 the order as it is now; 404 `NOT_FOUND`; 409 `NOT_IN_DOUBT`, `VENUE_PROVES` (the venue itself says it, at the latest at `provable_at`), `VENUE_SHOWS`; 503 `VENUE_UNAVAILABLE`, `JOURNAL_UNAVAILABLE`"),
    RouteRow::new(Post, "/api/v1/admin/pause", needs(Permission::TradingPause), |route| route.to(admin::pause)).on_control().about("Refuses new orders until a resume, or for some time. Cancels pass.").takes("`{reason, duration_seconds?}`").gives("200 `{status, until}`"),
    RouteRow::new(Post, "/api/v1/admin/resume", needs(Permission::TradingResume), |route| route.to(admin::resume)).about("Takes back operators' pauses; never ends a halt.").takes("`{reason}`").gives("200 `{status}`; 409 `HALTED`"),
    RouteRow::new(Post, "/api/v1/admin/emergency-stop", needs(Permission::TradingEmergencyStop), |route| route.to(admin::emergency_stop)).on_control().about("Stops everything. When it answers, no byte of an order leaves any more.").takes("`{confirmation:\"EMERGENCY_STOP_CONFIRMED\", reason}`, `?wait=false` to answer without waiting for the cancels").gives("200 `{status:\"emergency_stopped\", epoch, incident_id, durable, stop, effective_at_us, orders_cancelled, orders_unconfirmed, orders_in_doubt, steps, confirmed}`"),
    RouteRow::new(Get, "/api/v1/admin/emergency", needs(Permission::MetricsRead), |route| route.to(admin::emergency)).on_control().about("The halt in force or the last one, and who wants it to end.").gives("200 `{status, halted, epoch, since, reasons, proposal, …}` with the fields of the stop"),
    RouteRow::new(Post, "/api/v1/admin/emergency/lift", needs(Permission::EmergencyLift), |route| route.to(admin::lift)).about("One person agrees to end the halt of this epoch; it ends when `emergency.lift_approvals` different owners agreed to the same.").takes("`{epoch, reason, to?:\"active\", accept_open_orders?}`").gives("200 `{status, epoch}` lifted; 202 `{status, epoch, owners, missing, next}` waiting; 403 `KEY_TOO_YOUNG`; 409 `NOT_HALTED`, `OTHER_EPOCH`, `NOT_READY` (with `details.checks`), `HALTED_AGAIN`"),
    RouteRow::new(Get, "/api/v1/keys", needs(Permission::ConfigRead), |route| route.to(keys::list)).about("Which keys there are, and whether the process uses them; never a secret of them.").gives("200 `{keys:[{id, name, version, class, fingerprint, sealed_at, in_use}]}`"),
    RouteRow::new(Get, "/api/v1/audit/events", needs(Permission::AuditRead), |route| route.to(audit::events)).about("The journal's records, newest first.").takes("`?kind=&principal=&correlation=&since=&until=&text=&after=&limit=`").gives("200 `{events:[{seq, time, kind, class, actor, principal, correlation, data, private}], next, as_of}`"),
    RouteRow::new(Get, "/api/v1/audit/checkpoint", needs(Permission::AuditRead), |route| route.to(audit::checkpoint)).about("The latest signed checkpoint, a C2SP note.").gives("200 `{origin, verifier_key, size, time, note}`; 404 before the first"),
];
