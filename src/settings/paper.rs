//! `paper.*`: the paper venue.

use std::net::SocketAddr;

use super::table::{Shape, section};

section! {
    /// The paper venue, started beside the service when `venue.adapter` is `paper`.
    "paper" Paper {
        /// Its address; loopback only.
        listen: SocketAddr = "127.0.0.1:0", "", Shape::Address;
        /// How much the reference price moves: standard deviation after one second. 0 stands still.
        volatility_bps_per_s: u32 = "5", "basis points", Shape::Integer { min: 0, max: 1_000 };
        /// How much the reference book offers at each price level. 0 is without limit.
        depth_per_level: u64 = "10000", "base currency", Shape::Integer { min: 0, max: 1_000_000_000 };
    }
}
