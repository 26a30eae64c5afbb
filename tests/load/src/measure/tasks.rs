//! What tasks cost: after each other, side by side, mapped, and a past that is run again.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use airlock_tests::{Host, example};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    RAISED, between, bundle, chain_lines, chain_steps, noop, rate_line, rates, wide_rates,
};
use crate::figure::{Report, Samples, disk_sync};

/// A chain of fifty tasks that do nothing.
pub(crate) async fn chain(report: &mut Report) {
    let host = Host::start(&noop());
    chain_steps(&host, 5).await;
    let mut sync = disk_sync(&host.home);
    let steps = chain_steps(&host, 40).await;
    sync = if sync.median() > Duration::ZERO {
        disk_sync(&host.home)
    } else {
        sync
    };
    chain_lines(report, "chain of 50", &steps, &sync);
}

/// A thousand parallel tasks that do nothing.
pub(crate) async fn wide(report: &mut Report) {
    let host = Host::start(&format!("{RAISED}{}", noop()));
    wide_rates(&host, 3).await;
    let rates = wide_rates(&host, 15).await;
    rate_line(report, "1,000 parallel tasks: tasks per second", &rates);
    report.line("raised for it", "`scheduler.parallelism` and `limits.instances` to 64, the DAG's `max_active_tasks` to 1,000");
}

/// The weather example's four years, with the DAG's default limits.
pub(crate) async fn weather(report: &mut Report) {
    let mut samples = Samples::default();
    let mut tasks = 0;
    for _ in 0..3 {
        let home = TempDir::new().expect("a folder");
        let reports = home.path().join("reports");
        std::fs::create_dir(&reports).expect("a folder");
        let archive = airlock_tests::checkout().join("bundles/weather/archive");
        let mut config = bundle("weather", "weather", &example("weather"));
        for (path, host, mode) in [
            ("archive", &archive, "read"),
            ("reports", &reports, "read-write"),
        ] {
            let host = host.display();
            write!(config, "[[team.bundle.grant.directory]]\npath = \"{path}\"\nhost = \"{host}\"\nmode = \"{mode}\"\n")
                .expect("a string takes it");
        }
        let began = Instant::now();
        let host = Host::start_in(home.path(), &config);
        host.until("the catch-up", async || {
            (host.runs("weather", Some("success")).await == 1461).then_some(())
        })
        .await;
        samples.push(began.elapsed());
        tasks = 1461 * 4;
    }
    report.line(
        "four years of weather, from the start of the host",
        &samples,
    );
    report.line(
        "tasks per second in it",
        format!("{:.0}", f64::from(tasks) / samples.median().as_secs_f64()),
    );
}

/// Ten thousand instances of one task that does nothing, over a list that another returned.
pub(crate) async fn mapped(report: &mut Report) {
    let scheduler =
        "[scheduler]\nparallelism = 64\nmax_map_length = 10000\n[limits]\ninstances = 64\n";
    let host = Host::start(&format!("{scheduler}{}", noop()));
    rates(&host, "mapped10000", 10_001, 1).await;
    let rates = rates(&host, "mapped10000", 10_001, 7).await;
    rate_line(report, "10,000 mapped tasks: tasks per second", &rates);
}

/// Ten years of a DAG of three tasks, 64 days of them at once.
pub(crate) async fn backfill(report: &mut Report) {
    const TASKS: f64 = 3650.0 * 3.0;
    let host = Host::start(&format!("{RAISED}{}", noop()));
    host.dag("daily3").await;
    let sync = disk_sync(&host.home);
    let mut rates = Vec::new();
    for reprocess in ["none", "completed", "completed"] {
        let wanted = json!({
            "dag_id": "daily3", "from_date": "2010-01-01", "to_date": "2019-12-29",
            "max_active_runs": 64, "reprocess_behavior": reprocess,
        });
        let begun = host.post("/backfills", wanted).await;
        let path = format!("/backfills/{}", begun["id"]);
        let row = host
            .until("the end of the backfill", async || {
                let row = host.get(&path).await;
                (row["completed_at"] != Value::Null).then_some(row)
            })
            .await;
        rates.push(TASKS / between(&row, "created_at", "completed_at").as_secs_f64());
    }
    assert_eq!(host.runs("daily3", Some("success")).await, 3651);
    rates.sort_by(f64::total_cmp);
    rate_line(
        report,
        "3,650 runs of three tasks, 64 at once: tasks per second",
        &rates,
    );
    report.line("fdatasync of the same disk", &sync);
}
