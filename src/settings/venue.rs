//! `venue.*`: where orders go.

use std::path::PathBuf;

use super::table::{Shape, section};
use super::value::{BaseUrl, choice};

section! {
    /// Where orders go.
    "venue" Venue {
        /// How the venue is spoken to. `paper` starts the paper venue beside the service; `http`
        /// speaks to `venue.url` what `flashguard venue-sim` answers to; `memory` accepts and fills
        /// in memory, for measuring. Production takes only `http`.
        adapter: Adapter = "paper", "", Shape::Choice(Adapter::WORDS);
        /// The venue's base address, for the adapter `http`.
        url: Option<BaseUrl> = "", "", Shape::Url;
        /// PEM file with the certificate authorities to trust instead of the system's.
        ca_file: Option<PathBuf> = "", "", Shape::File;
        /// Chain id in the order's signature (EIP-712); 1329 is Sei.
        chain_id: u64 = "1329", "", Shape::Integer { min: 1, max: 9_007_199_254_740_991 };
        /// How long an answer of the venue is waited for. An order without one by then is in doubt.
        timeout_ms: u64 = "2000", "ms", Shape::Integer { min: 50, max: 60_000 };
        /// How long after its signature the venue may still accept an order.
        order_send_ttl_ms: u64 = "5000", "ms", Shape::Integer { min: 500, max: 60_000 };
        /// How long a call to the venue, an order or a query, counts for its health.
        health_window_s: u64 = "60", "s", Shape::Integer { min: 10, max: 300 };
        /// Fewer calls than this in the window say nothing of the venue's health.
        health_calls_min: u64 = "20", "calls", Shape::Integer { min: 1, max: 1_000_000 };
        /// From this part of failed calls on the venue is degraded.
        health_degraded_pct: u64 = "10", "per cent", Shape::Integer { min: 1, max: 100 };
        /// From this part of failed calls on the venue is broken, and trading halts. At least
        /// `venue.health_degraded_pct`.
        health_broken_pct: u64 = "25", "per cent", Shape::Integer { min: 1, max: 100 };
    }
}

choice! {
    /// How the venue is spoken to.
    Adapter {
        /// The paper venue, started beside the service.
        Paper = "paper",
        /// The generic HTTP adapter.
        Http = "http",
        /// The port's in-memory twin: accepts and fills.
        Memory = "memory",
    }
}
