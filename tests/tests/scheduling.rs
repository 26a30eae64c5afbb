//! What people do with runs, and what assets do, in a whole host with the examples' bundle: clear, mark,
//! backfill, ask why, and let one DAG's success make another's run.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

use airlock_tests::{Host, escape, examples};
use reqwest::Method;
use serde_json::{Value, json};

/// `task_id state try` of each task instance of a run, sorted.
async fn tasks(host: &Host, dag: &str, run: &str) -> Vec<String> {
    let path = format!("/dags/{dag}/dagRuns/{}/taskInstances", escape(run));
    let told = host.get(&path).await;
    let text = |task: &Value| {
        let part = |key: &str| task[key].as_str().unwrap_or("none").to_owned();
        format!(
            "{} {} {}",
            part("task_id"),
            part("state"),
            task["try_number"]
        )
    };
    let mut tasks: Vec<String> = told["task_instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    tasks.sort();
    tasks
}

#[tokio::test]
async fn what_was_skipped_stays_skipped_when_it_is_cleared_and_the_rest_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(&examples("demo", folder.path()));
    let run = host.trigger("branch", json!({"logical_date": null})).await;
    assert_eq!(host.ended("branch", &run).await, "success");
    let before = [
        "bicycle success 1",
        "choose success 1",
        "tell success 1",
        "van skipped 0",
    ];
    assert_eq!(tasks(&host, "branch", &run).await, before);
    let clear = |dry_run: bool| {
        json!({"dag_run_id": run, "task_ids": ["van"], "include_downstream": true,
               "only_failed": false, "dry_run": dry_run})
    };
    let told = host
        .post("/dags/branch/clearTaskInstances", clear(true))
        .await;
    assert_eq!(told["total_entries"], 2, "{told}");
    assert_eq!(
        tasks(&host, "branch", &run).await,
        before,
        "a dry run changes nothing"
    );
    host.post("/dags/branch/clearTaskInstances", clear(false))
        .await;
    let again = [
        "bicycle success 1",
        "choose success 1",
        "tell success 2",
        "van skipped 0",
    ];
    host.until("the second try", async || {
        (tasks(&host, "branch", &run).await == again).then_some(())
    })
    .await;
    assert_eq!(host.ended("branch", &run).await, "success");
}

#[tokio::test]
async fn a_success_makes_the_runs_of_those_who_wait_for_what_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(&examples("demo", folder.path()));
    host.dag("consume").await;
    let run = host.trigger("produce", json!({"logical_date": null})).await;
    assert_eq!(host.ended("produce", &run).await, "success");
    host.until("the consumer's run", async || {
        (host.runs("consume", Some("success")).await == 1).then_some(())
    })
    .await;
    let runs = host.get("/dags/consume/dagRuns").await;
    assert_eq!(runs["dag_runs"][0]["run_type"], "asset_triggered", "{runs}");
    let events = host.get("/assets/events").await;
    assert_eq!(events["total_entries"], 3, "{events}");
    let queued = host.get("/dags/consume/assets/queuedEvents").await;
    assert_eq!(
        queued["total_entries"], 0,
        "what made a run is no longer queued: {queued}"
    );
}

#[tokio::test]
async fn a_backfill_runs_the_past_again_and_one_that_is_there_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(&examples("demo", folder.path()));
    host.until("the catch-up", async || {
        (host.runs("balance", Some("success")).await >= 3).then_some(())
    })
    .await;
    let body = |reprocess: &str| {
        json!({"dag_id": "balance", "from_date": "2024-01-01T00:00:00Z", "to_date": "2024-01-03T00:00:00Z",
               "reprocess_behavior": reprocess, "max_active_runs": 1})
    };
    let (status, told) = host
        .call(Method::POST, "/backfills", Some(body("none")))
        .await;
    assert_eq!(
        status, 409,
        "a DAG that depends on the past has to reprocess: {told}"
    );
    let made = host.post("/backfills", body("completed")).await;
    let path = format!("/backfills/{}", made["id"]);
    host.until("the end of the backfill", async || {
        let told = host.get(&path).await;
        (!told["completed_at"].is_null()).then_some(())
    })
    .await;
    let runs = host.get("/dags/balance/dagRuns?limit=100").await;
    let cleared = runs["dag_runs"].as_array().unwrap().iter();
    let cleared = cleared.filter(|run| run["clear_number"] == 1 && run["state"] == "success");
    assert!(cleared.count() >= 2, "{runs}");
}

#[tokio::test]
async fn a_task_of_a_paused_dag_says_why_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(&examples("demo", folder.path()));
    host.dag("branch").await;
    let (status, _) = host
        .call(
            Method::PATCH,
            "/dags/branch",
            Some(json!({"is_paused": true})),
        )
        .await;
    assert_eq!(status, 200);
    let run = host.trigger("branch", json!({"logical_date": null})).await;
    let path = format!(
        "/dags/branch/dagRuns/{}/taskInstances/choose/dependencies",
        escape(&run)
    );
    let told = host.get(&path).await;
    assert!(told.to_string().contains("is paused"), "{told}");
}

#[tokio::test]
async fn a_bundles_own_timetable_is_asked_by_whoever_triggers_and_by_whoever_looks_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(&examples("demo", folder.path()));
    host.dag("month_end").await;
    let coming = host.cli_json(&["dags", "next-execution", "month_end", "-n", "3"]);
    let coming = coming.as_array().unwrap();
    assert_eq!(coming.len(), 3, "{coming:?}");
    assert!(
        coming
            .iter()
            .all(|run| run["run_after"].as_str().unwrap().contains("T18:00:00")),
        "{coming:?}"
    );
    let day = "2012-01-15T00:00:00+00:00";
    let note = "the auditors asked";
    let run = host.cli_json(&[
        "dags",
        "trigger",
        "month_end",
        "--logical-date",
        day,
        "--note",
        note,
    ]);
    assert_eq!(run["note"], note, "{run}");
    assert_eq!(
        (&run["data_interval_start"], &run["data_interval_end"]),
        (&json!(day), &json!(day))
    );
    let run_id = run["dag_run_id"].as_str().unwrap();
    assert_eq!(host.ended("month_end", run_id).await, "success");
}
