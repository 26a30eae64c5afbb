//! Each example runs in the real sandbox, as an author runs it, and shows what it says that it shows.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::{
    path::Path,
    process::{Command, Stdio},
};

use airlock_tests::{airlock, example};
use serde_json::Value;

/// Runs a DAG of the examples once, with the directories that they ask for in this folder; what was told of it.
fn told(folder: &Path, dag_id: &str, more: &[&str]) -> Value {
    let bundle = folder.join("examples.wasm");
    std::fs::copy(example("examples"), &bundle).unwrap();
    for directory in ["inbox", "outbox"] {
        std::fs::create_dir_all(folder.join("examples").join(directory)).unwrap();
    }
    let out = Command::new(airlock())
        .env("AIRLOCK_HOME", folder.join("home"))
        .current_dir(folder)
        .args(["bundle", "test", dag_id, "--output", "json", "--bundle"])
        .arg(bundle)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{dag_id} {more:?}: {said}"))
}

/// Runs a DAG of the examples once; gives the run's state, and `task_id state` of each task instance, sorted.
fn run(dag_id: &str, more: &[&str]) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let told = told(folder.path(), dag_id, more);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut tasks: Vec<String> = told["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| format!("{} {}", text(&task["task_id"]), text(&task["state"])))
        .collect();
    tasks.sort();
    (text(&told["state"]), tasks)
}

fn assert_run(dag_id: &str, more: &[&str], state: &str, tasks: &[&str]) {
    let (ended, found) = run(dag_id, more);
    assert_eq!(found, tasks, "{dag_id} {more:?}");
    assert_eq!(ended, state, "{dag_id} {more:?}");
}

#[test]
fn mapping_makes_an_instance_for_each_value() {
    let tasks = [
        "count_words success",
        "count_words success",
        "count_words success",
        "list_texts success",
        "sum success",
    ];
    assert_run("mapping", &[], "success", &tasks);
    let (state, tasks) = run("mapping_more", &[]);
    let count = |task: &str| tasks.iter().filter(|found| *found == task).count();
    assert_eq!(count("price success"), 4, "each combination: {tasks:?}");
    assert_eq!(count("price_pair success"), 2, "each pair: {tasks:?}");
    assert_eq!(count("price_orders success"), 2, "each object: {tasks:?}");
    assert_eq!(count("price_nothing skipped"), 1, "no value: {tasks:?}");
    assert_eq!(state, "success");
}

#[test]
fn a_mapped_group_runs_as_a_whole_for_each_value() {
    let tasks = [
        "per_file.check success",
        "per_file.check success",
        "per_file.read success",
        "per_file.read success",
        "per_file.store success",
        "per_file.store success",
        "prepare.find_files success",
        "prepare.make_room success",
        "report success",
    ];
    assert_run("mapped_group", &[], "success", &tasks);
}

#[test]
fn a_branch_follows_what_it_chose() {
    let tasks = |bicycle, van, tell| {
        [
            format!("bicycle {bicycle}"),
            "choose success".to_owned(),
            format!("tell {tell}"),
            format!("van {van}"),
        ]
    };
    for (kilograms, expected) in [
        (3, tasks("success", "skipped", "success")),
        (50, tasks("skipped", "success", "success")),
        (0, tasks("skipped", "skipped", "skipped")),
    ] {
        let conf = format!("{{\"kilograms\": {kilograms}}}");
        let expected = expected.each_ref().map(String::as_str);
        assert_run("branch", &["--conf", &conf], "success", &expected);
    }
}

#[test]
fn a_short_circuit_stops_all_that_comes_after_it() {
    let tasks = ["always_last success", "any_rows success", "load success"];
    assert_run("short_circuit", &[], "success", &tasks);
    let tasks = ["always_last skipped", "any_rows success", "load skipped"];
    assert_run(
        "short_circuit",
        &["--conf", "{\"rows\": 0}"],
        "success",
        &tasks,
    );
}

#[test]
fn a_run_by_hand_is_a_latest_one() {
    let tasks = [
        "announce success",
        "latest_only success",
        "load_day success",
    ];
    let day = ["--logical-date", "2024-01-15"];
    assert_run("latest_only_example", &day, "success", &tasks);
}

#[test]
fn what_a_setup_made_is_put_away() {
    let tasks = [
        "check success",
        "compute success",
        "create_cluster success",
        "delete_cluster success",
    ];
    assert_run("setup_teardown", &[], "success", &tasks);
}

#[test]
fn a_sensor_waits_without_a_slot() {
    let tasks = ["arrived success", "evaluate success", "settled success"];
    assert_run("sensor", &[], "success", &tasks);
}

#[test]
fn tries_end_as_they_say() {
    let tasks = [
        "flaky success",
        "hopeless failed",
        "optional skipped",
        "recover success",
    ];
    assert_run("retries", &[], "success", &tasks);
}

#[test]
fn slots_and_priorities_let_all_of_it_run() {
    let tasks = [
        "large success",
        "small success",
        "small success",
        "small success",
        "urgent success",
    ];
    assert_run("pools_priority", &[], "success", &tasks);
}

#[test]
fn params_are_what_the_schema_allows() {
    assert_run(
        "params",
        &["--conf", "{\"times\": 3}"],
        "success",
        &["greet success"],
    );
}

#[test]
fn a_day_without_a_day_before_starts() {
    let tasks = ["add success", "close success", "movements success"];
    let day = ["--logical-date", "2024-01-01"];
    assert_run("balance", &day, "success", &tasks);
}

#[test]
fn the_first_failure_ends_a_run_that_fails_fast() {
    let tasks = [
        "close success",
        "fails failed",
        "never_begins skipped",
        "open success",
        "waits_long failed",
    ];
    let (state, found) = run("fail_fast", &[]);
    // Whether the sensor has begun when the other task fails is a matter of moments.
    let begun = found.iter().map(|task| match task.as_str() {
        "waits_long skipped" => "waits_long failed",
        task => task,
    });
    assert_eq!(begun.collect::<Vec<_>>(), tasks);
    assert_eq!(state, "failed");
}

#[test]
fn who_waits_for_assets_may_be_run_by_hand_too() {
    let tasks = [
        "fetch_prices success",
        "fetch_rates success",
        "write_report success",
    ];
    assert_run("produce", &[], "success", &tasks);
    assert_run("consume", &[], "success", &["valuate success"]);
    assert_run("either_or_daily", &[], "success", &["refresh success"]);
}

#[test]
fn a_timetable_of_the_bundles_own_says_what_a_run_by_hand_covers() {
    let day = ["--logical-date", "2024-01-31"];
    assert_run("month_end", &day, "success", &["close_books success"]);
    assert_run("office_hours", &day, "success", &["close_books success"]);
}

#[test]
fn a_task_that_waits_by_a_trigger_goes_on_when_it_has_fired() {
    assert_run(
        "deferral",
        &[],
        "success",
        &["export success", "report success"],
    );
    let tasks = ["arrived success", "evaluate success"];
    assert_run("sensor_deferred", &[], "success", &tasks);
    let tasks = ["shout success", "until_soon success"];
    assert_run("wait_for_time", &[], "success", &tasks);
}

#[test]
fn all_callbacks_of_a_run_are_called_before_its_test_ends() {
    let folder = tempfile::tempdir().unwrap();
    let told = told(folder.path(), "callbacks", &[]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut heard: Vec<String> = told["callbacks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| {
            let (kind, task, state) = (&each["kind"], &each["task_id"], &each["state"]);
            format!("{} {} {}", text(kind), text(task), text(state))
        })
        .collect();
    heard.sort();
    let expected = [
        "dag_failure  success",
        "task_execute good success",
        "task_failure bad success",
        "task_failure bad success",
        "task_retry flaky success",
        "task_skipped skipped success",
        "task_success flaky success",
        "task_success good success",
    ];
    assert_eq!(heard, expected);
    // One of the eight writes nothing.
    let written = std::fs::read_dir(folder.path().join("examples/outbox")).unwrap();
    assert_eq!(written.count(), 7);
}
