//! What the host itself costs: its start, and doing nothing.

use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use airlock_tests::{Host, guest};
use tempfile::TempDir;

use super::cpu;
use crate::figure::{Report, Samples};

/// From the start of the process until it says that it is ready, the compiled code cached.
pub(crate) fn start(report: &mut Report) {
    for count in [3, 100] {
        let home = TempDir::new().expect("a folder");
        let config = copies(home.path(), "many", count);
        // The first start compiles and parses; it is not counted.
        let first = Host::start_in(home.path(), &config);
        wait_for_dags(&first, count);
        drop(first);
        let mut samples = Samples::default();
        for _ in 0..20 {
            let began = Instant::now();
            let host = Host::start_in(home.path(), &config);
            samples.push(began.elapsed());
            drop(host);
        }
        report.line(format!("ready with {count} bundles cached"), &samples);
    }
}

fn wait_for_dags(host: &Host, count: usize) {
    let began = Instant::now();
    while host
        .cli_json(&["dags", "list"])
        .as_array()
        .map_or(0, Vec::len)
        < count
    {
        assert!(
            began.elapsed() < airlock_tests::PATIENCE,
            "the bundles were not imported:\n{}",
            host.log()
        );
    }
}

/// So many bundles of one guest that differ in their bytes, their names and their DAGs.
fn copies(home: &Path, name: &str, count: usize) -> String {
    let bytes = std::fs::read(guest(name)).expect("the component");
    let mut config = String::from("[[team]]\nname = \"measured\"\n");
    for number in 0..count {
        let mut copy = bytes.clone();
        for (old, new) in [
            (format!("{name}_000000"), format!("{name}_{number:06}")),
            (format!("{name}-000000"), format!("{name}-{number:06}")),
        ] {
            let at: Vec<usize> = copy
                .windows(old.len())
                .enumerate()
                .filter(|(_, w)| *w == old.as_bytes())
                .map(|(i, _)| i)
                .collect();
            for at in at {
                copy[at..at + new.len()].copy_from_slice(new.as_bytes());
            }
        }
        let path = home.join(format!("{name}-{number:06}.wasm"));
        std::fs::write(&path, copy).expect("the copy");
        write!(
            config,
            "[[team.bundle]]\nname = \"{name}-{number:06}\"\nsource = \"{}\"\n",
            path.display()
        )
        .expect("a string takes it");
    }
    config
}

/// What a host takes that has nothing to do.
pub(crate) fn idle(report: &mut Report) {
    let home = TempDir::new().expect("a folder");
    let config = copies(home.path(), "many", 3);
    let first = Host::start_in(home.path(), &config);
    wait_for_dags(&first, 3);
    drop(first);
    let host = Host::start_in(home.path(), &config);
    wait_for_dags(&host, 3);
    resident(report, &host, "idle, three DAGs");
}

/// What it takes to wait for ten thousand schedules.
pub(crate) fn calendar(report: &mut Report) {
    let home = TempDir::new().expect("a folder");
    let config = copies(home.path(), "calendar", 10);
    let first = Host::start_in(home.path(), &config);
    wait_for_dags(&first, 10_000);
    resident(report, &first, "10,000 scheduled DAGs, after their import");
    drop(first);
    let began = Instant::now();
    let host = Host::start_in(home.path(), &config);
    report.line(
        "ready with 10,000 DAGs cached",
        format!("{:.0} ms", began.elapsed().as_secs_f64() * 1e3),
    );
    wait_for_dags(&host, 10_000);
    resident(report, &host, "10,000 scheduled DAGs, after a restart");
}

/// Memory, and CPU over half a minute.
pub(super) fn resident(report: &mut Report, host: &Host, what: &str) {
    std::thread::sleep(Duration::from_secs(5));
    let (before, began) = (cpu(host), Instant::now());
    std::thread::sleep(Duration::from_secs(30));
    let share = (cpu(host) - before).as_secs_f64() / began.elapsed().as_secs_f64();
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", host.pid())).expect("the host lives");
    for line in status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("RssAnon"))
    {
        let (field, kib) = line.split_once(':').unwrap_or_default();
        let kib: f64 = kib
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap_or_default();
        report.line(
            format!("{what}: {field}"),
            format!("{:.1} MiB", kib / 1024.0),
        );
    }
    report.line(
        format!("{what}: of one core, over 30 s"),
        format!("{:.2} %", share * 100.0),
    );
}
