//! What waiting costs, and how soon what was waited for is heard of: tasks that wait for times, triggers of bundles'
//! own, callbacks.

use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use airlock_tests::{Host, escape, guest};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{bundle, cpu, host::resident};
use crate::figure::{Report, Samples, disk_sync};

const ROOM: &str =
    "[scheduler]\nparallelism = 64\nmax_map_length = 100000\n[limits]\ninstances = 64\n";

/// A team with the guest that waits, whose callbacks write to this folder.
fn waiters(out: &Path) -> String {
    format!(
        "{}[[team.bundle.grant.directory]]\npath = \"out\"\nhost = \"{}\"\nmode = \"read-write\"\n",
        bundle("measured", "waiters", &guest("waiters")),
        out.display()
    )
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Since 1970, of a time of the API.
fn since_epoch(value: &Value) -> Duration {
    let text = value.as_str().expect("a time");
    let (day, _) = text.split_once('T').expect("a time");
    let mut parts = day
        .split('-')
        .map(|part| part.parse::<i64>().expect("a day"));
    let (year, month, day) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    // Days since 1970 in the calendar of Gregory, a year beginning in March.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let of_day = super::time(value).expect("a time");
    let into_day = Duration::from_micros(micros(of_day) % 86_400_000_000);
    Duration::from_secs(u64::try_from(days).unwrap_or_default() * 86_400) + into_day
}

/// How many task instances wait for a trigger.
async fn deferred(host: &Host) -> u64 {
    let metrics = host.metrics().await;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("airlock_tasks_deferred{team=\"measured\"} "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// All task instances of a mapped task, by map index.
async fn instances(host: &Host, dag: &str, run: &str, task: &str) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let path = format!(
            "/dags/{dag}/dagRuns/{}/taskInstances?limit=1000&offset={}",
            escape(run),
            all.len()
        );
        let page = host.get(&path).await;
        let page = page["task_instances"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    all.retain(|row| row["task_id"] == task);
    all.sort_by_key(|row| row["map_index"].as_i64());
    all
}

/// A hundred thousand tasks wait for times, which come within one minute.
pub(crate) async fn waiting(report: &mut Report) {
    const COUNT: u64 = 100_000;
    let out = TempDir::new().expect("a folder");
    let host = Host::start(&format!("{ROOM}{}", waiters(out.path())));
    host.dag("times").await;
    let sync = disk_sync(&host.home);
    let (from, over) = (micros(now()) + 90_000_000, 60_000_000_u64);
    let began = Instant::now();
    let conf = json!({ "count": COUNT, "from": from, "over": over });
    let run = host
        .trigger("times", json!({ "logical_date": null, "conf": conf }))
        .await;
    host.until("the waits", async || {
        (deferred(&host).await >= COUNT).then_some(())
    })
    .await;
    report.line(
        "100,000 tasks deferred within",
        format!("{:.1} s", began.elapsed().as_secs_f64()),
    );
    resident(report, &host, "100,000 tasks that wait for times");
    let (before, began) = (cpu(&host), Instant::now());
    host.until("the end of the run", async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let path = format!("/dags/times/dagRuns/{}", escape(&run));
        (host.get(&path).await["state"] == "success").then_some(())
    })
    .await;
    let used = cpu(&host) - before;
    report.line(
        "CPU of a task that goes on, with its share of the waiting",
        format!(
            "{:.0} µs ({:.0} s)",
            used.as_secs_f64() * 1e6 / 1e5,
            began.elapsed().as_secs_f64()
        ),
    );
    let rows = instances(&host, "times", &run, "waits").await;
    let mut late = Samples::default();
    for (n, row) in (0_u64..).zip(&rows) {
        let due = Duration::from_micros(from + over * n / COUNT);
        late.push(since_epoch(&row["start_date"]).saturating_sub(due));
    }
    report.line(
        "from the event to the start of the task that goes on, 1,700 a second",
        &late,
    );
    report.line(
        "the latest of all",
        format!("{} ms", crate::figure::ms(late.quantile(1.0))),
    );
    report.line("fdatasync of the same disk", &sync);
}

/// Five thousand tasks wait for one moment.
pub(crate) async fn moment(report: &mut Report) {
    const COUNT: u64 = 5000;
    let out = TempDir::new().expect("a folder");
    let host = Host::start(&format!("{ROOM}{}", waiters(out.path())));
    host.dag("times").await;
    let mut took = Samples::default();
    for _ in 0..5 {
        let from = micros(now()) + 5_000_000;
        let conf = json!({ "count": COUNT, "from": from, "over": 0 });
        let run = host
            .trigger("times", json!({ "logical_date": null, "conf": conf }))
            .await;
        assert_eq!(host.ended("times", &run).await, "success");
        let rows = instances(&host, "times", &run, "waits").await;
        let last = rows.iter().map(|row| since_epoch(&row["end_date"])).max();
        took.push(
            last.unwrap_or_default()
                .saturating_sub(Duration::from_micros(from)),
        );
    }
    report.line(
        "5,000 waits that end at one moment: until the last task has ended",
        &took,
    );
}

/// Ten thousand triggers of a bundle's own, each polled once a minute.
pub(crate) async fn polling(report: &mut Report) {
    const COUNT: u64 = 10_000;
    let out = TempDir::new().expect("a folder");
    let host = Host::start(&format!("{ROOM}{}", waiters(out.path())));
    host.dag("polls").await;
    let until = micros(now()) + 3_600_000_000;
    let conf = json!({ "count": COUNT, "every": 60, "until": until });
    host.trigger("polls", json!({ "logical_date": null, "conf": conf }))
        .await;
    let polls = async || -> u64 {
        let metrics = host.metrics().await;
        let line = metrics.lines().find_map(|line| {
            line.strip_prefix("airlock_trigger_polls_total{team=\"measured\",outcome=\"success\"} ")
        });
        line.and_then(|count| count.parse().ok()).unwrap_or(0)
    };
    host.until("the first polls", async || {
        (polls().await >= COUNT).then_some(())
    })
    .await;
    let (before, first, began) = (cpu(&host), polls().await, Instant::now());
    tokio::time::sleep(Duration::from_secs(120)).await;
    let (used, made) = (cpu(&host) - before, polls().await - first);
    report.line("polls in two minutes", made);
    report.line(
        "of one core",
        format!(
            "{:.2} %",
            used.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0
        ),
    );
    report.line(
        "CPU of a poll, with all that belongs to it",
        format!("{:.0} µs", used.as_secs_f64() * 1e6 / made as f64),
    );
}

/// How late a task goes on whose own trigger fires at a time.
async fn beats(host: &Host, runs: usize) -> Samples {
    host.dag("beat").await;
    let mut late = Samples::default();
    for _ in 0..runs {
        let until = micros(now()) + 150_000;
        let conf = json!({ "until": until });
        let run = host
            .trigger("beat", json!({ "logical_date": null, "conf": conf }))
            .await;
        assert_eq!(host.ended("beat", &run).await, "success");
        let rows = instances(host, "beat", &run, "listens").await;
        let started = since_epoch(&rows[0]["start_date"]);
        late.push(started.saturating_sub(Duration::from_micros(until)));
    }
    late
}

/// One team's triggers spin for ever; another's fire.
pub(crate) async fn spinning(report: &mut Report) {
    let folder = TempDir::new().expect("a folder");
    let manifest = "[bundle]\nname = \"triggers\"\nversion = \"0.1.0\"\n[[request.variable]]\nkey = \"granted.name\"\n";
    let spin = airlock_tests::guest_with(folder.path(), "hostile_triggers", manifest);
    let mut config = format!(
        "[limits]\ntrigger_cpu_time = \"10m\"\ntrigger_wall_time = \"10m\"\n{}",
        waiters(folder.path())
    );
    write!(
        config,
        "{}[[team.bundle.grant.variable]]\nkey = \"granted.name\"\n",
        bundle("greedy", "triggers", &spin)
    )
    .expect("a string takes it");
    let host = Host::start(&config);
    beats(&host, 5).await;
    let quiet = beats(&host, 60).await;
    for n in 0..16 {
        let body = json!({ "logical_date": null, "dag_run_id": format!("s{n}"), "conf": { "kind": "loop" } });
        host.trigger("trouble", body).await;
    }
    host.until("the spinning", async || {
        host.metrics()
            .await
            .contains("airlock_instances{team=\"greedy\"} 16")
            .then_some(())
    })
    .await;
    let beside = beats(&host, 60).await;
    let metrics = host.metrics().await;
    let spun = metrics.contains("airlock_instances{team=\"greedy\"} 16");
    report.line(
        "from the time at which a trigger fires to the start of its task: quiet",
        &quiet,
    );
    report.line("the same beside a team with 16 triggers that spin", &beside);
    report.line("all 16 still spinning at the end", spun);
    let ratio = beside.median().as_secs_f64() / quiet.median().as_secs_f64();
    report.line("median, times the quiet one", format!("{ratio:.2}"));
}

/// When a callback of a run was called for the n-th time.
async fn called(host: &Host, out: &Path, run: &str, execution: u32) -> Duration {
    let file = out.join(format!("{run}.{execution}"));
    let text = host
        .until("the callback", async || std::fs::read_to_string(&file).ok())
        .await;
    Duration::from_micros(text.parse().expect("a time"))
}

/// From a failure to its callback; and to the second execution of one whose host was killed.
pub(crate) async fn callbacks(report: &mut Report) {
    let out = TempDir::new().expect("a folder");
    let home = TempDir::new().expect("a folder");
    let config = waiters(out.path());
    let mut host = Host::start_in(home.path(), &config);
    let mut late = Samples::default();
    for n in 0..110 {
        let id = format!("r{n}");
        let body = json!({ "logical_date": null, "dag_run_id": id });
        host.trigger("tells", body).await;
        let at = called(&host, out.path(), &id, 1).await;
        assert_eq!(host.ended("tells", &id).await, "failed");
        let rows = instances(&host, "tells", &id, "fails").await;
        if n >= 10 {
            late.push(at.saturating_sub(since_epoch(&rows[0]["end_date"])));
        }
    }
    report.line(
        "from the end of a task that failed to the call of its callback",
        &late,
    );
    let mut again = Samples::default();
    for n in 0..5 {
        let id = format!("k{n}");
        let body = json!({ "logical_date": null, "dag_run_id": id });
        host.trigger("tells_slowly", body).await;
        called(&host, out.path(), &id, 1).await;
        host.kill_nine();
        let killed = now();
        host = Host::start_in(home.path(), &config);
        let at = called(&host, out.path(), &id, 2).await;
        again.push(at.saturating_sub(killed));
    }
    report.line(
        "from `kill -9` during a callback to its next execution (lease 10 s)",
        &again,
    );
    report.line(
        "the latest",
        format!("{:.1} s", again.quantile(1.0).as_secs_f64()),
    );
}
