//! What must fit together across settings, and what the production profile refuses.

use std::net::SocketAddr;

use super::mistake::{Mistake, Place};
use super::table::Reader;
use super::{Adapter, PlainHttp, Profile, Settings};

/// Keeps a mistake for each rule that the settings break.
pub(super) fn check(settings: &Settings, reader: &mut Reader) {
    listeners(settings, reader);
    gate(settings, reader);
    venue(settings, reader);
}

fn listeners(settings: &Settings, reader: &mut Reader) {
    let server = &settings.server;
    if server.listen == server.control_listen && server.listen.port() != 0 {
        add(
            reader,
            "server.control_listen",
            "this is also server.listen",
            "must be an address of its own",
        );
    }
    if settings.profile == Profile::Production && server.plain_http == PlainHttp::Loopback {
        let listeners = [
            ("server.listen", server.listen),
            ("server.control_listen", server.control_listen),
        ];
        for (name, address) in listeners.into_iter().filter(|(_, a)| leaves_machine(a)) {
            add(
                reader,
                name,
                &format!("{address} offers plain HTTP beyond this machine"),
                "must be a loopback address, or server.plain_http must be behind-proxy",
            );
        }
    }
    if settings.venue.adapter == Adapter::Paper && leaves_machine(&settings.paper.listen) {
        add(
            reader,
            "paper.listen",
            "the paper venue would be open beyond this machine",
            "must be a loopback address",
        );
    }
}

fn gate(settings: &Settings, reader: &mut Reader) {
    let gate = &settings.gate;
    if gate.price_collar_soft_pct > gate.price_collar_hard_pct {
        add(
            reader,
            "gate.price_collar_soft_pct",
            "it is above gate.price_collar_hard_pct: nothing would be marked",
            "must be at most gate.price_collar_hard_pct",
        );
    }
}

fn leaves_machine(address: &SocketAddr) -> bool {
    !address.ip().is_loopback()
}

fn venue(settings: &Settings, reader: &mut Reader) {
    let venue = &settings.venue;
    match (venue.adapter, &venue.url) {
        (Adapter::Http, None) => add(
            reader,
            "venue.url",
            "venue.adapter is http, and there is no address",
            "must be the venue's base address",
        ),
        (Adapter::Paper | Adapter::Memory, Some(_)) => add(
            reader,
            "venue.url",
            &format!(
                "venue.adapter is {}: orders would not go there",
                venue.adapter.as_str()
            ),
            "must be empty, or venue.adapter must be http",
        ),
        _ => {}
    }
    if venue.health_broken_pct < venue.health_degraded_pct {
        add(
            reader,
            "venue.health_broken_pct",
            "it is below venue.health_degraded_pct: the venue would never be degraded",
            "must be at least venue.health_degraded_pct",
        );
    }
    if venue.ca_file.is_some() && !venue.url.as_ref().is_some_and(super::BaseUrl::is_https) {
        add(
            reader,
            "venue.ca_file",
            "no certificate is checked without an https address",
            "must be empty, or venue.url must be https",
        );
    }
    if settings.profile == Profile::Production && venue.adapter != Adapter::Http {
        add(
            reader,
            "venue.adapter",
            &format!("{} does not trade at a venue", venue.adapter.as_str()),
            "must be http in production (a rehearsal: run `flashguard venue-sim` and point venue.url at it)",
        );
    }
}

fn add(reader: &mut Reader, name: &str, problem: &str, right: &str) {
    let place: Place = reader.place(name);
    reader.mistake(Mistake {
        place,
        key: name.to_owned(),
        problem: problem.to_owned(),
        right: right.to_owned(),
    });
}
