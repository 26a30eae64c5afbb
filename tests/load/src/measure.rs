//! The measurements, one function each.

use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use airlock_tests::{Host, escape, example, guest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::figure::{Report, Samples, disk_sync, ms};

/// Limits raised so that a DAG of a thousand tasks is not held back by the defaults (32 tries at once).
const RAISED: &str = "[scheduler]\nparallelism = 64\n[limits]\ninstances = 64\n";

fn bundle(team: &str, name: &str, source: &Path) -> String {
    format!(
        "[[team]]\nname = \"{team}\"\n[[team.bundle]]\nname = \"{name}\"\nsource = \"{}\"\n",
        source.display()
    )
}

fn noop() -> String {
    bundle("measured", "noop", &guest("noop"))
}

fn time(value: &Value) -> Option<Duration> {
    let text = value.as_str()?;
    // Microseconds since midnight of the first day are enough: no measurement lasts two days.
    let (day, clock) = text.split_once('T')?;
    let day: u64 = day.rsplit('-').next()?.parse().ok()?;
    let clock = clock.trim_end_matches('Z').split('+').next()?;
    let mut parts = clock.split(':');
    let (hours, minutes) = (
        parts.next()?.parse::<u64>().ok()?,
        parts.next()?.parse::<u64>().ok()?,
    );
    let seconds: f64 = parts.next()?.parse().ok()?;
    Some(
        Duration::from_secs(((day * 24 + hours) * 60 + minutes) * 60)
            + Duration::from_secs_f64(seconds),
    )
}

/// The times at which a run's tasks ended, ascending.
async fn ends(host: &Host, dag: &str, run: &str) -> Vec<Duration> {
    let path = format!(
        "/dags/{dag}/dagRuns/{}/taskInstances?limit=2000",
        escape(run)
    );
    let all = host.get(&path).await;
    let tasks = all["task_instances"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut ends: Vec<Duration> = tasks
        .iter()
        .filter_map(|task| time(&task["end_date"]))
        .collect();
    ends.sort_unstable();
    ends
}

async fn run(host: &Host, dag: &str) -> String {
    let run = host.trigger(dag, json!({"logical_date": null})).await;
    assert_eq!(host.ended(dag, &run).await, "success");
    run
}

async fn chain_steps(host: &Host, runs: usize) -> Samples {
    host.dag("chain50").await;
    let mut steps = Samples::default();
    for _ in 0..runs {
        let id = run(host, "chain50").await;
        let ends = ends(host, "chain50", &id).await;
        steps.extend(ends.windows(2).map(|pair| pair[1].saturating_sub(pair[0])));
    }
    steps
}

/// Tasks per second of each run of a thousand parallel tasks: from the run's start to its end.
async fn wide_rates(host: &Host, runs: usize) -> Vec<f64> {
    host.dag("wide1000").await;
    let mut rates = Vec::new();
    for _ in 0..runs {
        let id = run(host, "wide1000").await;
        let row = host
            .get(&format!("/dags/wide1000/dagRuns/{}", escape(&id)))
            .await;
        let took = time(&row["end_date"])
            .zip(time(&row["start_date"]))
            .map(|(end, start)| end.saturating_sub(start));
        rates.push(1000.0 / took.expect("the run has its times").as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    rates
}

fn rate_line(report: &mut Report, what: &str, rates: &[f64]) {
    let (low, median) = (rates[0], rates[rates.len() / 2]);
    report.line(
        what,
        format!(
            "median {median:.0}, slowest {low:.0} ({} runs)",
            rates.len()
        ),
    );
}

fn chain_lines(report: &mut Report, what: &str, steps: &Samples, sync: &Samples) {
    report.line(format!("{what}: per step"), steps);
    report.line("fdatasync of the same disk", sync);
    let beyond = steps.median().saturating_sub(sync.median());
    report.line(
        format!("{what}: median step beyond one sync"),
        format!("{} ms", ms(beyond)),
    );
}

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

/// From the start of the process until it says that it is ready, the compiled code cached.
pub(crate) fn start(report: &mut Report) {
    let one = guest("many");
    let bytes = std::fs::read(&one).expect("the component");
    for count in [3, 100] {
        let home = TempDir::new().expect("a folder");
        let config = many(home.path(), &bytes, count);
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

/// So many bundles that differ in their bytes, their names and their DAGs.
fn many(home: &Path, bytes: &[u8], count: usize) -> String {
    let mut config = String::from("[[team]]\nname = \"measured\"\n");
    for number in 0..count {
        let mut copy = bytes.to_vec();
        for (old, new) in [
            ("many_000000", format!("many_{number:06}")),
            ("many-000000", format!("many-{number:06}")),
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
        let path = home.join(format!("many-{number:06}.wasm"));
        std::fs::write(&path, copy).expect("the copy");
        write!(
            config,
            "[[team.bundle]]\nname = \"many-{number:06}\"\nsource = \"{}\"\n",
            path.display()
        )
        .expect("a string takes it");
    }
    config
}

/// What a host takes that has nothing to do.
pub(crate) fn idle(report: &mut Report) {
    let host = Host::start(&noop());
    wait_for_dags(&host, 3);
    let cpu = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the host lives");
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|f| f.parse().ok())
            .collect();
        // Fields 14 and 15 of the line; the state letter is left out above.
        Duration::from_millis((fields[10] + fields[11]) * 10)
    };
    std::thread::sleep(Duration::from_secs(5));
    let (before, began) = (cpu(host.pid()), Instant::now());
    std::thread::sleep(Duration::from_secs(30));
    let share = (cpu(host.pid()) - before).as_secs_f64() / began.elapsed().as_secs_f64();
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", host.pid())).expect("the host lives");
    for line in status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("RssAnon"))
    {
        let (what, kib) = line.split_once(':').unwrap_or_default();
        let kib: f64 = kib
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap_or_default();
        report.line(
            format!("idle, three DAGs: {what}"),
            format!("{:.1} MiB", kib / 1024.0),
        );
    }
    report.line(
        "idle: of one core, over 30 s",
        format!("{:.2} %", share * 100.0),
    );
}

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

/// The same on a database that holds a hundred thousand finished task instances.
pub(crate) async fn history(report: &mut Report) {
    let host = Host::start(&format!("{RAISED}{}", noop()));
    wide_rates(&host, 3).await;
    let sync = disk_sync(&host.home);
    let (steps, rates) = (chain_steps(&host, 20).await, wide_rates(&host, 10).await);
    chain_lines(report, "before", &steps, &sync);
    rate_line(report, "before: tasks per second", &rates);
    let began = Instant::now();
    wide_rates(&host, 100).await;
    report.line(
        "100,000 task instances in",
        format!("{:.1} s", began.elapsed().as_secs_f64()),
    );
    let (later, later_rates) = (chain_steps(&host, 20).await, wide_rates(&host, 10).await);
    chain_lines(report, "after", &later, &disk_sync(&host.home));
    rate_line(report, "after: tasks per second", &later_rates);
    let ratio = later.median().as_secs_f64() / steps.median().as_secs_f64();
    report.line("chain: times the median before", format!("{ratio:.2}"));
    let ratio = rates[rates.len() / 2] / later_rates[later_rates.len() / 2];
    report.line("parallel: times as long as before", format!("{ratio:.2}"));
    let home = host.home.clone();
    let mut samples = Samples::default();
    drop_keeping_home(host, &home, &mut samples);
    report.line("ready with that database", &samples);
}

/// Starts anew in a copy of the home, whose host has ended.
fn drop_keeping_home(mut host: Host, home: &Path, samples: &mut Samples) {
    host.kill_nine();
    let config = format!("{RAISED}{}", noop());
    for _ in 0..10 {
        let began = Instant::now();
        let again = Host::start_in(home, &config);
        samples.push(began.elapsed());
        drop(again);
    }
    drop(host);
}
