//! What a decision costs, by how much the bundle is granted: `cargo bench -p airlock-grant --bench decision`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "figures that cannot be had end the program, and they are its output"
)]

use std::{
    fmt::Write as _,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use airlock_grant::{BundleLabel, Caller, Effective, HttpTarget, Request};
use airlock_model::id::{BundleHash, BundleName, DagId, TaskId};

const ROUNDS: u32 = 30;
const TIMES: u32 = 20_000;

/// A bundle that is granted so many things of each kind.
fn effective(count: usize) -> Effective {
    let mut asks = String::new();
    for i in 0..count {
        let _ = write!(
            asks,
            "[[request.variable]]\nkey = \"ledger.{i:06}\"\n[[request.variable]]\nkey = \"rates.{i:06}.*\"\n\
             [[request.connection]]\nid = \"bank-{i:06}\"\naccess = \"read\"\n[[request.directory]]\npath = \"archive/{i:06}\"\n\
             [[request.http]]\nurl = \"https://api.example.com/v1/{i:06}/*\"\n"
        );
    }
    let request = Request::from_bundle_toml(&asks).unwrap();
    let label = BundleLabel {
        name: BundleName::new("ledger").unwrap(),
        version: "1.0.0".into(),
        hash: BundleHash::from_bytes([7; 32]),
    };
    Effective::grant_all(label, &request, Path::new("/srv/ledger"))
}

/// The median over rounds, for one.
fn each(mut work: impl FnMut()) -> Duration {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            (0..TIMES).for_each(|_| work());
            began.elapsed() / TIMES
        })
        .collect();
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let caller = Caller::task(DagId::new("d").unwrap(), TaskId::new("t").unwrap());
    println!(
        "| granted of each kind | variable | variable by prefix | connection | directory | HTTP call |"
    );
    println!("|---|---|---|---|---|---|");
    for count in [1, 100, 1_000] {
        let effective = effective(count);
        let last = count - 1;
        let key = format!("ledger.{last:06}");
        let below = format!("rates.{last:06}.chf");
        let id = format!("bank-{last:06}");
        let path = format!("archive/{last:06}");
        let url = format!("https://api.example.com/v1/{last:06}/today");
        let target = HttpTarget::parse("GET", &url).unwrap();
        let times = [
            each(|| drop(black_box(effective.variable(&caller, &key)).unwrap())),
            each(|| drop(black_box(effective.variable(&caller, &below)).unwrap())),
            each(|| drop(black_box(effective.read_connection(&caller, &id)).unwrap())),
            each(|| drop(black_box(effective.directory(&caller, &path)).unwrap())),
            // With the copy of the target that the permit takes.
            each(|| drop(black_box(effective.http(&caller, target.clone())).unwrap())),
        ];
        let times = times.map(|time| format!("{} ns", time.as_nanos()));
        println!("| {count} | {} |", times.join(" | "));
    }
}
