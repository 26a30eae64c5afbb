//! What another team's load changes.

use airlock_tests::{Host, escape, guest};
use serde_json::json;
use tempfile::TempDir;

use super::{between, bundle, chain_lines, chain_steps, noop, run};
use crate::figure::{Report, Samples, disk_sync};

/// A team whose every slot spins, and another team's chain beside it.
pub(crate) async fn neighbour(report: &mut Report) {
    let folder = TempDir::new().expect("a folder");
    let manifest = "[bundle]\nname = \"tasks\"\nversion = \"0.1.0\"\n\
        [[request.connection]]\nid = \"none\"\naccess = \"read\"\n[[request.variable]]\nkey = \"none\"\n\
        [[request.directory]]\npath = \"in\"\nmode = \"read\"\n";
    let spin = airlock_tests::guest_with(folder.path(), "hostile_tasks", manifest);
    let grants = format!(
        "[[team.bundle.grant.connection]]\nid = \"none\"\naccess = \"read\"\n\
         [[team.bundle.grant.variable]]\nkey = \"none\"\n\
         [[team.bundle.grant.directory]]\npath = \"in\"\nhost = \"{}\"\nmode = \"read\"\n",
        folder.path().display()
    );
    let host = Host::start(&format!(
        "[scheduler]\nparallelism = 64\n{}{}{grants}",
        noop(),
        bundle("greedy", "tasks", &spin)
    ));
    chain_steps(&host, 5).await;
    let sync = disk_sync(&host.home);
    let quiet = chain_steps(&host, 30).await;
    host.dag("hostile_busy").await;
    for _ in 0..16 {
        host.trigger("hostile_busy", json!({"logical_date": null}))
            .await;
    }
    host.until("the spinning", async || {
        host.metrics()
            .await
            .contains("airlock_instances{team=\"greedy\"} 16")
            .then_some(())
    })
    .await;
    let beside = chain_steps(&host, 30).await;
    let spun = host
        .metrics()
        .await
        .contains("airlock_instances{team=\"greedy\"} 16");
    chain_lines(report, "quiet", &quiet, &sync);
    report.line(
        "beside a team with 16 instances that spin: per step",
        &beside,
    );
    report.line("all 16 still spinning at the end", spun);
    let ratio = beside.median().as_secs_f64() / quiet.median().as_secs_f64();
    report.line("median, times the quiet one", format!("{ratio:.2}"));
}

/// One task of one team, while another has more than a hundred thousand ready.
pub(crate) async fn fair(report: &mut Report) {
    let host = Host::start(&format!(
        "[scheduler]\nparallelism = 64\nmax_map_length = 100000\n[limits]\ninstances = 64\n{}{}",
        noop(),
        bundle("greedy", "crowd", &guest("crowd"))
    ));
    singles(&host, 20).await;
    let quiet = singles(&host, 100).await;
    host.dag("crowd").await;
    for _ in 0..6 {
        host.trigger("crowd", json!({"logical_date": null})).await;
    }
    host.until("the crowd", async || {
        (ready(&host).await > 500_000).then_some(())
    })
    .await;
    let beside = singles(&host, 100).await;
    report.line(
        "one task, from its run's queueing to its end: quiet",
        &quiet,
    );
    report.line("the same beside a team with ready tasks", &beside);
    report.line("of which were ready at the end", ready(&host).await);
}

/// Ready tasks of the greedy team.
async fn ready(host: &Host) -> u64 {
    let metrics = host.metrics().await;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("airlock_tasks_scheduled{team=\"greedy\"} "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// From the moment a run of one task is queued until it has ended.
async fn singles(host: &Host, runs: usize) -> Samples {
    host.dag("single").await;
    let mut samples = Samples::default();
    for _ in 0..runs {
        let id = run(host, "single").await;
        let row = host
            .get(&format!("/dags/single/dagRuns/{}", escape(&id)))
            .await;
        samples.push(between(&row, "queued_at", "end_date"));
    }
    samples
}
