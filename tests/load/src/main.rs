//! Measures what Airlock promises: `make bench`, or `airlock-load NAME…` for some of it.
//!
//! Every figure is taken from a real host on a real disk with `fsync` on. What depends on the disk is shown
//! beside the median `fdatasync` of the same disk, measured in between. Medians and 99th percentiles are
//! reported, never the best of many.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be made is to stop, loudly"
)]

mod figure;
mod measure;

use figure::{Report, machine};

const ALL: [&str; 6] = ["start", "idle", "chain", "wide", "weather", "neighbour"];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted.is_empty() {
        wanted = ALL
            .iter()
            .chain(&["history"])
            .map(|&name| name.to_owned())
            .collect();
    }
    if let Some(unknown) = wanted
        .iter()
        .find(|name| !ALL.contains(&name.as_str()) && *name != "history")
    {
        panic!("there is no figure `{unknown}`: choose from {ALL:?} and \"history\"");
    }
    println!("{}\n", machine());
    for name in wanted {
        let mut report = Report::new(&name);
        match name.as_str() {
            "start" => measure::start(&mut report),
            "idle" => measure::idle(&mut report),
            "chain" => measure::chain(&mut report).await,
            "wide" => measure::wide(&mut report).await,
            "weather" => measure::weather(&mut report).await,
            "neighbour" => measure::neighbour(&mut report).await,
            _ => measure::history(&mut report).await,
        }
        println!("{report}");
    }
}
