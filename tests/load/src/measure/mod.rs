//! The measurements, one function each: of tasks, of the host itself, of neighbours, of a long history, and of
//! waiting.

pub(crate) mod history;
pub(crate) mod host;
pub(crate) mod neighbour;
pub(crate) mod tasks;
pub(crate) mod waiting;

use std::{path::Path, time::Duration};

use airlock_tests::{Host, escape, guest};
use serde_json::{Value, json};

use crate::figure::{Report, Samples, ms};

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

/// From one time of a row of the API to another.
fn between(row: &Value, from: &str, to: &str) -> Duration {
    let times = time(&row[from]).zip(time(&row[to]));
    let (from, to) = times.expect("the row has its times");
    to.saturating_sub(from)
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

/// Tasks per second of each run of a DAG with so many of them: from the run's start to its end.
async fn rates(host: &Host, dag: &str, tasks: u32, runs: usize) -> Vec<f64> {
    host.dag(dag).await;
    let mut rates = Vec::new();
    for _ in 0..runs {
        let id = run(host, dag).await;
        let row = host
            .get(&format!("/dags/{dag}/dagRuns/{}", escape(&id)))
            .await;
        rates.push(f64::from(tasks) / between(&row, "start_date", "end_date").as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    rates
}

async fn wide_rates(host: &Host, runs: usize) -> Vec<f64> {
    rates(host, "wide1000", 1000, runs).await
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

/// CPU time that a host has used since its start, in steps of 10 ms.
fn cpu(host: &Host) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", host.pid()));
    let stat = stat.expect("the host lives");
    let fields: Vec<u64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|f| f.parse().ok())
        .collect();
    // Fields 14 and 15 of the line; the state letter is left out above.
    Duration::from_millis((fields[10] + fields[11]) * 10)
}
