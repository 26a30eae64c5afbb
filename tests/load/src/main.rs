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

use measure::{history, host, neighbour, tasks, waiting};

const ALL: [&str; 17] = [
    "start",
    "idle",
    "calendar",
    "chain",
    "wide",
    "mapped",
    "weather",
    "backfill",
    "neighbour",
    "siege",
    "fair",
    "history",
    "waiting",
    "moment",
    "polling",
    "spinning",
    "callbacks",
];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| !ALL.contains(&name.as_str())) {
        panic!("there is no figure `{unknown}`: choose from {ALL:?}");
    }
    if wanted.is_empty() {
        wanted = ALL.map(str::to_owned).to_vec();
    }
    println!("{}\n", machine());
    for name in wanted {
        let mut report = Report::new(&name);
        match name.as_str() {
            "start" => host::start(&mut report),
            "idle" => host::idle(&mut report),
            "calendar" => host::calendar(&mut report),
            "chain" => tasks::chain(&mut report).await,
            "wide" => tasks::wide(&mut report).await,
            "mapped" => tasks::mapped(&mut report).await,
            "weather" => tasks::weather(&mut report).await,
            "backfill" => tasks::backfill(&mut report).await,
            "neighbour" => neighbour::neighbour(&mut report).await,
            "siege" => neighbour::siege(&mut report).await,
            "fair" => neighbour::fair(&mut report).await,
            "history" => history::history(&mut report).await,
            "waiting" => waiting::waiting(&mut report).await,
            "moment" => waiting::moment(&mut report).await,
            "polling" => waiting::polling(&mut report).await,
            "spinning" => waiting::spinning(&mut report).await,
            _ => waiting::callbacks(&mut report).await,
        }
        println!("{report}");
    }
}
