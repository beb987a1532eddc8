//! `server.*`: the HTTP listeners and how the service stops.

use std::net::SocketAddr;

use super::table::{Shape, section};
use super::value::choice;

section! {
    /// Who may connect, how much, and what becomes of resting orders at the end.
    "server" Server {
        /// Address of the HTTP API.
        listen: SocketAddr = "127.0.0.1:8000", "", Shape::Address;
        /// Address of the control listener, which serves halt, pause, status and health from a
        /// thread of its own, so that a busy API cannot delay a halt.
        control_listen: SocketAddr = "127.0.0.1:8001", "", Shape::Address;
        /// Requests that one peer address may send, each second and at once; beyond it 429, before
        /// anything is parsed. The control listener has the same bound for itself.
        request_rate_per_s: u32 = "1000", "requests/s", Shape::Integer { min: 1, max: 10_000_000 };
        /// Where plain HTTP may be spoken: on loopback only, or also elsewhere because a proxy that
        /// speaks TLS stands in front. Production refuses any other listener.
        plain_http: PlainHttp = "loopback", "", Shape::Choice(PlainHttp::WORDS);
        /// What happens to resting orders when the service is told to stop.
        on_stop: OnStop = "cancel", "", Shape::Choice(OnStop::WORDS);
    }
}

choice! {
    /// Where plain HTTP may be spoken.
    PlainHttp {
        /// On loopback addresses only.
        Loopback = "loopback",
        /// Anywhere: a proxy that speaks TLS stands in front.
        BehindProxy = "behind-proxy",
    }
}

choice! {
    /// What happens to resting orders at the end.
    OnStop {
        /// They are cancelled.
        Cancel = "cancel",
        /// They stay at the venue.
        Leave = "leave",
    }
}
