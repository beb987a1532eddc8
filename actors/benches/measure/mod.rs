//! How the benches measure and print: rounds that alternate with a bare loop, and the ratio to it.
//!
//! Under `cargo bench` each figure has many rounds; any other run has a few, which only shows that
//! the bench works. Nothing is judged here: a shared machine would make the judge lie.

use std::hint::black_box;
use std::time::Instant;

/// Nanoseconds per call, one sample a round.
#[derive(Default)]
pub struct Figures(pub Vec<f64>);

/// How many rounds to run: `full` under `cargo bench`.
pub fn rounds(full: usize) -> usize {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    if is_bench { full } else { full.min(10) }
}

impl Figures {
    /// Times one round of `calls` calls. What the last one gives is dropped after the time was taken,
    /// so with a single call its drop does not count.
    pub fn round<T>(&mut self, calls: u32, mut call: impl FnMut() -> T) {
        let began = Instant::now();
        for _ in 1..calls {
            black_box(call());
        }
        let last = black_box(call());
        let took = began.elapsed();
        drop(last);
        self.0.push(took.as_nanos() as f64 / f64::from(calls));
    }

    /// The sample below which `part` of all samples lie.
    fn percentile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }

    /// Prints this figure, and how often the median of `bare` fits into its median.
    pub fn print(&self, name: &str, bare: &Self) {
        let [least, p50, p99] = [0.0, 0.5, 0.99].map(|part| self.percentile(part));
        let ratio = p50 / bare.percentile(0.5);
        println!("{name:<52} {least:>10.1} {p50:>10.1} {p99:>10.1} {ratio:>8.2}");
    }
}

/// Prints the head of a table, with the machine's load beside it.
pub fn head(title: &str) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    println!(
        "{:<52} {:>10} {:>10} {:>10} {:>8}",
        format!("{title} (load {load})"),
        "least ns",
        "p50 ns",
        "p99 ns",
        "x bare"
    );
}
