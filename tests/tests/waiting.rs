//! Waiting and reacting in a whole host: tasks that give their slot back, watchers of a directory and of a server,
//! callbacks; with the host killed in between, and with a neighbour whose triggers and callbacks try what they
//! may not.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use airlock_tests::{Host, escape, examples, guest_with};
use serde_json::{Value, json};

/// Leases are short, so that what a killed host held comes free soon.
const SOON: &str =
    "[triggers]\nlease = \"1s\"\nfile_interval = \"100ms\"\n[callbacks]\nlease = \"1s\"\n";

fn demo(folder: &Path) -> String {
    format!("{SOON}{}", examples("demo", folder))
}

/// The value of `field` in each task instance of a run, by task.
async fn tasks(host: &Host, dag: &str, run: &str, field: &str) -> Vec<(String, Value)> {
    let path = format!("/dags/{dag}/dagRuns/{}/taskInstances", escape(run));
    let told = host.get(&path).await;
    let each = told["task_instances"].as_array().unwrap().iter();
    let mut tasks: Vec<(String, Value)> = each
        .map(|task| {
            let name = task["task_id"].as_str().unwrap_or_default();
            (name.to_owned(), task[field].clone())
        })
        .collect();
    tasks.sort_by(|a, b| a.0.cmp(&b.0));
    tasks
}

/// Lines that callbacks of a DAG have written, without what belongs to one run only.
fn told(folder: &Path, dag: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder.join("outbox")).unwrap();
    let of_dag = format!("{dag}.");
    let mut lines: Vec<String> = files
        .map(|file| file.unwrap())
        .filter(|file| file.file_name().to_string_lossy().starts_with(&of_dag))
        .filter_map(|file| std::fs::read_to_string(file.path()).ok())
        .filter_map(|line| Some(line.split_once(':')?.0.to_owned()))
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_task_waits_without_a_slot_and_goes_on_as_the_same_try() {
    let folder = tempfile::tempdir().unwrap();
    // One instance at a time: a task that kept its slot while it waits would stop the others.
    let config = format!("[limits]\ninstances = 1\n{}", demo(folder.path()));
    let host = Host::start(&config);
    let mut runs = Vec::new();
    for dag in ["wait_for_time", "deferral", "sensor_deferred"] {
        runs.push((dag, host.trigger(dag, json!({"logical_date": null})).await));
    }
    for (dag, run) in runs {
        assert_eq!(host.ended(dag, &run).await, "success", "{dag}");
        for (task, number) in tasks(&host, dag, &run, "try_number").await {
            assert_eq!(number, 1, "{dag} {task}");
        }
    }
    let metrics = host.metrics().await;
    assert!(metrics.contains("airlock_"), "{metrics}");
}

#[tokio::test]
async fn callbacks_hear_of_everything_that_they_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(&demo(folder.path()));
    let run = host
        .trigger("callbacks", json!({"logical_date": null}))
        .await;
    assert_eq!(host.ended("callbacks", &run).await, "failed");
    let wanted = [
        "dag_failure the run",
        "task_execute good",
        "task_failure bad",
        "task_retry flaky",
        "task_skipped skipped",
        "task_success flaky",
        "task_success good",
    ];
    host.until("all callbacks", async || {
        (told(folder.path(), "callbacks") == wanted).then_some(())
    })
    .await;
}

/// How many runs of a DAG ended well, and what its tasks logged is theirs to tell.
async fn good_runs(host: &Host, dag: &str) -> u64 {
    host.runs(dag, Some("success")).await
}

/// The extras of all events of an asset.
async fn events(host: &Host, asset: &str) -> Vec<Value> {
    let (_, told) = host
        .call(reqwest::Method::GET, "/assets/events?limit=1000", None)
        .await;
    let events = told["asset_events"].as_array().cloned().unwrap_or_default();
    let of_asset = events.into_iter().filter(|event| event["name"] == asset);
    of_asset.map(|event| event["extra"].clone()).collect()
}

#[tokio::test]
async fn each_file_that_arrives_makes_one_event_also_while_the_host_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let config = demo(folder.path());
    let write = |name: &str, text: &str| {
        // As a careful writer does: it is there as a whole, or not at all.
        let inbox = folder.path().join("inbox");
        std::fs::write(inbox.join("new"), text).unwrap();
        std::fs::rename(inbox.join("new"), inbox.join(name)).unwrap();
    };
    let names = async |host: &Host| -> Vec<String> {
        let events = events(host, "inbox").await;
        let name = |extra: &Value| extra["name"].as_str().unwrap_or_default().to_owned();
        let mut names: Vec<String> = events.iter().map(name).collect();
        names.sort();
        names
    };
    let mut host = Host::start_in(home.path(), &config);
    host.dag("watch_files").await;
    write("a.csv", "1");
    host.until("the run for the first", async || {
        (good_runs(&host, "watch_files").await == 1).then_some(())
    })
    .await;
    host.kill_nine();
    write("b.csv", "22");
    let mut host = Host::start_in(home.path(), &config);
    host.until("the run for the second", async || {
        (good_runs(&host, "watch_files").await == 2).then_some(())
    })
    .await;
    assert_eq!(names(&host).await, ["a.csv", "b.csv"]);
    // While nobody listens, what arrives stays where it is, and it is not forgotten.
    host.call(
        reqwest::Method::PATCH,
        "/dags/watch_files",
        Some(json!({"is_paused": true})),
    )
    .await;
    write("c.csv", "333");
    host.kill_nine();
    let host = Host::start_in(home.path(), &config);
    host.dag("watch_files").await;
    host.call(
        reqwest::Method::PATCH,
        "/dags/watch_files",
        Some(json!({"is_paused": false})),
    )
    .await;
    host.until("the run for the third", async || {
        (good_runs(&host, "watch_files").await == 3).then_some(())
    })
    .await;
    assert_eq!(names(&host).await, ["a.csv", "b.csv", "c.csv"]);
}

/// Serves what stands in `answer` to everybody who asks, one request a connection.
fn serve(address: &str, answer: Arc<Mutex<(u16, String)>>) {
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = [0_u8; 4096];
            drop(stream.read(&mut head));
            let (status, body) = answer.lock().unwrap().clone();
            let text = format!(
                "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            drop(stream.write_all(text.as_bytes()));
        }
    });
}

#[tokio::test]
async fn each_release_that_a_server_tells_of_makes_one_event_whatever_the_server_does_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let one = r#"[{"version": "1.0", "notes": "the first"}]"#;
    let two =
        r#"[{"version": "1.0", "notes": "the first"}, {"version": "1.1", "notes": "better"}]"#;
    let answer = Arc::new(Mutex::new((200, one.to_owned())));
    serve("127.0.0.1:18181", Arc::clone(&answer));
    let host = Host::start(&demo(folder.path()));
    let versions = async |count: usize| {
        host.until("the releases", async || {
            let events = events(&host, "releases").await;
            (events.len() == count).then_some(events)
        })
        .await
    };
    versions(1).await;
    *answer.lock().unwrap() = (503, String::new());
    let polls = async || {
        let told = host.get("/triggers?limit=100").await;
        let triggers = told["triggers"].as_array().cloned().unwrap_or_default();
        let feed = triggers
            .into_iter()
            .find(|trigger| trigger["asset_id"] == "demo:releases");
        feed.and_then(|feed| feed["polls"].as_u64())
            .unwrap_or_default()
    };
    let before = polls().await;
    host.until("a poll of a server that is down", async || {
        (polls().await > before + 1).then_some(())
    })
    .await;
    *answer.lock().unwrap() = (200, two.to_owned());
    let events = versions(2).await;
    let told: BTreeSet<&str> = events
        .iter()
        .filter_map(|extra| extra["version"].as_str())
        .collect();
    assert_eq!(told, BTreeSet::from(["1.0", "1.1"]));
    host.until("a run for each", async || {
        (good_runs(&host, "watch_http").await == 2).then_some(())
    })
    .await;
}

/// The blows fall while triggers are polled, while they fire, while tasks go on and while callbacks run.
#[tokio::test]
async fn a_host_that_is_killed_again_and_again_loses_no_event_no_task_and_no_callback() {
    const RUNS: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let config = demo(folder.path());
    let mut host = Host::start_in(home.path(), &config);
    for n in 0..RUNS {
        for dag in ["deferral", "callbacks_of_success", "callbacks"] {
            let body = json!({"logical_date": null, "dag_run_id": format!("r{n}")});
            host.trigger(dag, body).await;
        }
    }
    for round in 0..12_u64 {
        // The moment of the blow; not a wait for anything.
        tokio::time::sleep(Duration::from_millis(37 * round % 260)).await;
        host.kill_nine();
        host = Host::start_in(home.path(), &config);
    }
    for n in 0..RUNS {
        let run = format!("r{n}");
        assert_eq!(host.ended("deferral", &run).await, "success");
        assert_eq!(host.ended("callbacks_of_success", &run).await, "success");
        assert_eq!(host.ended("callbacks", &run).await, "failed");
        for (task, number) in tasks(&host, "deferral", &run, "try_number").await {
            assert_eq!(number, 1, "{task} goes on as the same try");
        }
    }
    // Each request has a file of its own, however often it was executed.
    let count = |dag: &str, what: &str| {
        let lines = told(folder.path(), dag);
        lines.iter().filter(|line| *line == what).count()
    };
    host.until("all callbacks", async || {
        let all = [
            ("callbacks_of_success", "dag_success the run"),
            ("callbacks", "dag_failure the run"),
            ("callbacks", "task_failure bad"),
            ("callbacks", "task_retry flaky"),
        ];
        all.iter()
            .all(|(dag, what)| count(dag, what) == RUNS)
            .then_some(())
    })
    .await;
    let left = host.get("/triggers?limit=100").await;
    let of_tasks = left["triggers"].as_array().unwrap().iter();
    let of_tasks: Vec<&Value> = of_tasks
        .filter(|trigger| trigger["asset_id"].is_null())
        .collect();
    assert!(of_tasks.is_empty(), "nobody waits any more: {of_tasks:?}");
}

/// Every way in which a trigger or a callback may go wrong, beside a team that does not notice.
#[tokio::test]
async fn triggers_and_callbacks_that_try_what_they_may_not_hurt_themselves_alone() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = |name: &str| {
        format!(
            "[bundle]\nname = \"{}\"\nversion = \"1.0.0\"\n\
             [[request.variable]]\nkey = \"granted.name\"\nreason = \"to try it\"\n",
            name.replace('_', "-")
        )
    };
    let bundle = |name: &str| {
        let path = guest_with(folder.path(), name, &manifest(name));
        format!(
            "[[team.bundle]]\nname = \"{}\"\nsource = \"{}\"\n\
             [[team.bundle.grant.variable]]\nkey = \"granted.name\"\n",
            name.replace('_', "-"),
            path.display()
        )
    };
    let config = format!(
        "[limits]\ntrigger_cpu_time = \"100ms\"\ntrigger_wall_time = \"1s\"\n\
         callback_cpu_time = \"100ms\"\ncallback_wall_time = \"1s\"\n\
         [triggers]\nretry_delay = \"10ms\"\n[callbacks]\nretry_delay = \"10ms\"\ntries = 2\n\
         {}[[team]]\nname = \"hostile\"\n{}{}",
        examples("demo", folder.path()),
        bundle("hostile_triggers"),
        bundle("hostile_callbacks"),
    );
    let host = Host::start(&config);
    let mut hostile = Vec::new();
    for (kind, resume, ends) in [
        ("waits", "returns", "success"),
        ("waits", "again", "success"),
        ("waits", "panics", "failed"),
        ("fails", "returns", "failed"),
        ("trap", "returns", "failed"),
        ("loop", "returns", "failed"),
        ("sleeps", "returns", "failed"),
        ("grows", "returns", "failed"),
        ("huge", "returns", "failed"),
        ("flood", "returns", "failed"),
        ("memory", "returns", "failed"),
        ("listens", "returns", "failed"),
        ("tells", "returns", "failed"),
    ] {
        let name = format!("{kind}-{resume}");
        let body = json!({"logical_date": null, "dag_run_id": name, "conf": {"kind": kind, "resume": resume}});
        host.trigger("trouble", body).await;
        hostile.push((name, ends));
    }
    host.trigger("failing", json!({"logical_date": null, "dag_run_id": "r"}))
        .await;
    // The neighbour's tasks wait and go on, and its callbacks are called.
    for n in 0..3 {
        let body = json!({"logical_date": null, "dag_run_id": format!("r{n}")});
        host.trigger("deferral", body.clone()).await;
        host.trigger("callbacks_of_success", body).await;
        assert_eq!(host.ended("deferral", &format!("r{n}")).await, "success");
    }
    host.until("the neighbour's callbacks", async || {
        let lines = told(folder.path(), "callbacks_of_success");
        let ended = lines.iter().filter(|line| *line == "dag_success the run");
        (ended.count() == 3).then_some(())
    })
    .await;
    for (run, ends) in hostile {
        assert_eq!(host.ended("trouble", &run).await, ends, "{run}");
    }
    host.until("the end of all callbacks", async || {
        let told = host.get("/callbacks?limit=100&dag_id=failing").await;
        let states: Vec<String> = told["callbacks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["state"].as_str().unwrap_or_default().to_owned())
            .collect();
        let over = |state: &String| state == "success" || state == "failed";
        (states.len() == 9 && states.iter().all(over)).then_some(())
    })
    .await;
    let failed = host
        .get("/callbacks?limit=100&dag_id=failing&state=failed")
        .await;
    assert_eq!(failed["total_entries"], 5, "{failed}");
    // The log and the metrics name who it was.
    let log = host.log();
    assert!(log.contains("hostile") && log.contains("Trouble"), "{log}");
}
