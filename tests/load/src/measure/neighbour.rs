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

/// What is tried at once, again and again.
const ATTACKS: [&str; 18] = [
    "cpu.loop",
    "cpu.regex",
    "cpu.bulk",
    "cpu.storm",
    "cpu.clock_storm",
    "memory.grow",
    "memory.huge",
    "memory.small",
    "memory.fragments",
    "stack.recurse",
    "stack.recurse_in_memory",
    "floods.log",
    "floods.print",
    "floods.message",
    "floods.denials",
    "escapes.everywhere",
    "neighbour.files",
    "neighbour.kill",
];

/// A team that tries every attack at once, each again as soon as it was stopped, beside triggers and tasks that begin
/// anew at once; and another team's chain.
pub(crate) async fn siege(report: &mut Report) {
    let folder = TempDir::new().expect("a folder");
    let manifest = "[bundle]\nname = \"hostile\"\nversion = \"0.1.0\"\n\
        [[request.connection]]\nid = \"none\"\naccess = \"read\"\n[[request.variable]]\nkey = \"none\"\n\
        [[request.directory]]\npath = \"in\"\n[[request.http]]\nurl = \"https://none.example/*\"\n";
    let hostile = airlock_tests::guest_with(folder.path(), "hostile_everywhere", manifest);
    let grants = format!(
        "[[team.bundle.grant.connection]]\nid = \"none\"\naccess = \"read\"\n[[team.bundle.grant.variable]]\nkey = \"none\"\n\
         [[team.bundle.grant.directory]]\npath = \"in\"\nhost = \"{}\"\n\
         [[team.bundle.grant.http]]\nurl = \"https://none.example/*\"\n",
        folder.path().display()
    );
    let host = Host::start(&format!(
        "[scheduler]\nparallelism = 64\nmax_active_runs_per_dag = 64\nmax_active_tasks_per_dag = 64\n\
         [limits]\ntask_cpu_time = \"2s\"\n{}{}{grants}",
        noop(),
        bundle("greedy", "hostile", &hostile)
    ));
    chain_steps(&host, 5).await;
    let sync = disk_sync(&host.home);
    let quiet = chain_steps(&host, 30).await;
    host.dag("attack_retry").await;
    let begin = async |dag: &str, run: String| {
        let body = json!({"logical_date": null, "dag_run_id": run});
        host.post(&format!("/dags/{dag}/dagRuns"), body).await;
    };
    for attack in ATTACKS {
        for n in 0..2 {
            begin("attack_retry", format!("{attack}.{n}")).await;
        }
    }
    for n in 0..8 {
        begin("attack_task", format!("neighbour.again.{n}")).await;
        begin("attack_trigger", format!("neighbour.again.{n}")).await;
    }
    let tries = async || {
        let path = "/dags/attack_retry/dagRuns/memory.grow.0/taskInstances";
        let tried = host.get(path).await["task_instances"][0]["try_number"].as_u64();
        tried.unwrap_or_default()
    };
    host.until("the attacks", async || (tries().await > 3).then_some(()))
        .await;
    let beside = chain_steps(&host, 30).await;
    chain_lines(report, "quiet", &quiet, &sync);
    report.line("beside a team that tries every attack: per step", &beside);
    report.line("tries of one of them by the end", tries().await);
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
