//! Compares what arrived with what was promised. Every count of [`Findings::leaks`] must be zero.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use flashguard_actors::ports::venue::Verdict;
use flashguard_latch::OrderTag;

use crate::{
    drive::{Halt, Sent},
    server::{Heard, Log, Manner},
};

/// What a run amounted to.
#[derive(Debug, Default)]
pub struct Findings {
    pub halts: u64,
    pub answered: u64,
    pub nothing_left: u64,
    pub in_doubt: u64,
    /// Orders that were begun with a ticket that a halt had killed before.
    pub stale_tried: u64,
    /// Orders that were under way for certain when a halt came.
    pub held: u64,
    /// Connections whose bytes were compared with a halt's snapshot.
    pub compared: u64,
    /// Connections that had ended before a halt looked, or whose port was used twice.
    pub not_compared: u64,
    /// Connections that were forced or cut, so that their count proves nothing.
    pub forced: u64,

    /// The sender was told that nothing had left, and the server has the whole order.
    pub believed_unsent: u64,
    /// The request began after the halt had returned, and the server has the whole order.
    pub sent_after_halt: u64,
    /// The server got bytes of a connection that its sender had not sent when the halt returned.
    pub beyond_snapshot: u64,
    /// The server got fewer bytes than the halt had counted.
    pub short_of_snapshot: u64,
    /// Answered, and unknown to the server.
    pub missing: u64,
    /// Arrived more than once.
    pub duplicated: u64,
    /// Under way when the halt came, and not in its report.
    pub unreported: u64,
}

impl Findings {
    /// What went wrong, by name.
    pub fn leaks(&self) -> Vec<(&'static str, u64)> {
        let mut all = vec![
            ("believed_unsent", self.believed_unsent),
            ("sent_after_halt", self.sent_after_halt),
            ("beyond_snapshot", self.beyond_snapshot),
            ("short_of_snapshot", self.short_of_snapshot),
            ("missing", self.missing),
            ("duplicated", self.duplicated),
            ("unreported", self.unreported),
        ];
        all.retain(|(_, count)| *count > 0);
        all
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "halts={} answered={} nothing_left={} in_doubt={} stale_tried={} held={} compared={} \
             not_compared={} forced={} leaks={:?}",
            self.halts,
            self.answered,
            self.nothing_left,
            self.in_doubt,
            self.stale_tried,
            self.held,
            self.compared,
            self.not_compared,
            self.forced,
            self.leaks()
        )
    }
}

pub fn judge(log: &Log, halts: &[Halt], sent: &[Sent]) -> Findings {
    let mut findings = Findings {
        halts: halts.len() as u64,
        duplicated: log.orders.values().filter(|times| **times > 1).count() as u64,
        ..Findings::default()
    };
    // A halt of epoch n+1 ended epoch n.
    let reports: HashMap<u64, &HashSet<OrderTag>> = halts
        .iter()
        .map(|halt| (halt.epoch - 1, &halt.in_doubt))
        .collect();
    for order in sent {
        judge_order(&mut findings, log, &reports, order);
    }
    judge_bytes(&mut findings, log, halts);
    findings
}

fn judge_order(
    findings: &mut Findings,
    log: &Log,
    reports: &HashMap<u64, &HashSet<OrderTag>>,
    sent: &Sent,
) {
    let arrived = log.orders.contains_key(&sent.order);
    match sent.verdict {
        Some(Verdict::Answered { .. }) => {
            findings.answered += 1;
            findings.missing += u64::from(!arrived);
        }
        Some(Verdict::NothingLeft { .. }) => {
            findings.nothing_left += 1;
            findings.believed_unsent += u64::from(arrived);
        }
        Some(Verdict::InDoubt { .. }) => findings.in_doubt += 1,
        None => {}
    }
    findings.stale_tried += u64::from(sent.stale);
    findings.sent_after_halt += u64::from(sent.stale && arrived);
    // The server answers these only after the halt, so the halt found them under way.
    let held = arrived && Manner::of(sent.order) == Manner::HoldUntilHalted;
    if let Some(report) = reports.get(&sent.epoch).filter(|_| held) {
        findings.held += 1;
        findings.unreported += u64::from(!report.contains(&sent.order));
    }
}

/// Compares the bytes of each connection with what its halt had counted. A port may be used again,
/// so a connection is told by its port and the epoch of its orders, or, if no order arrived on it,
/// by a port that was used once.
fn judge_bytes(findings: &mut Findings, log: &Log, halts: &[Halt]) {
    let mut snapshots: HashMap<u16, Vec<Snapshot>> = HashMap::new();
    for halt in halts {
        for (port, bytes) in &halt.connections {
            let forced = halt.forced.contains(port);
            snapshots.entry(*port).or_default().push(Snapshot {
                epoch: halt.epoch - 1,
                bytes: *bytes,
                forced,
            });
        }
    }
    let mut heard: HashMap<u16, Vec<&Heard>> = HashMap::new();
    for connection in &log.connections {
        let same_port = heard.entry(connection.peer_port).or_default();
        same_port.push(connection);
    }
    for connection in &log.connections {
        let of_epoch = |epoch| connection.epoch.is_none_or(|mine| mine == epoch);
        let port = connection.peer_port;
        let twins = heard[&port]
            .iter()
            .filter(|other| connection.epoch.is_none() || other.epoch == connection.epoch)
            .count();
        let counted = snapshots.get(&port).into_iter().flatten();
        let counted: Vec<_> = counted.filter(|s| of_epoch(s.epoch)).collect();
        match counted[..] {
            [Snapshot { forced: true, .. }] => findings.forced += 1,
            [snapshot] if twins == 1 => {
                findings.compared += 1;
                findings.beyond_snapshot += u64::from(connection.bytes > snapshot.bytes);
                findings.short_of_snapshot += u64::from(connection.bytes < snapshot.bytes);
            }
            _ => findings.not_compared += 1,
        }
    }
}

/// What a halt had counted of one connection when it returned.
struct Snapshot {
    epoch: u64,
    bytes: u64,
    forced: bool,
}
