//! What can be read: DAGs, runs, task instances, logs, XComs, health, figures.

use std::time::Duration;

use airlock_model::{
    dag::{CustomSchedule, Schedule},
    port::{ImportError, TaskLogs},
    state::TaskState,
};
use serde_json::json;

use super::{world::*, *};

#[tokio::test]
async fn dags_are_listed_and_shown_as_airflow_does() {
    let api = Api::start().await;
    let (_, all) = api.get("/api/v2/dags").await;
    assert_eq!(all["total_entries"], 2);
    assert_eq!(all["dags"][1]["dag_id"], "weather");
    let (_, own) = api.get("/api/v2/dags?team=payments").await;
    assert_eq!(own["total_entries"], 1);
    assert_eq!(own["dags"][0]["team_name"], "payments");
    let (_, dag) = api.get("/api/v2/dags/weather").await;
    for (field, value) in [
        ("dag_display_name", json!("weather")),
        ("is_paused", json!(false)),
        ("max_active_runs", json!(16)),
        ("max_active_tasks", json!(3)),
        ("next_dagrun_run_after", json!("2012-01-01T00:00:00+00:00")),
        ("timetable_summary", json!("@daily")),
        ("description", json!("A <b>DAG</b>")),
    ] {
        assert_eq!(dag[field], value, "{field} of {dag}");
    }
    let (_, details) = api.get("/api/v2/dags/weather/details").await;
    assert_eq!(
        details["params"]["n"],
        json!({"value": 3, "required": false})
    );
    assert_eq!(
        (&details["task_count"], &details["catchup"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(details["dag_id"], "weather");
    let (_, tasks) = api.get("/api/v2/dags/weather/tasks").await;
    assert_eq!(tasks["tasks"][0]["downstream_task_ids"], json!(["check"]));
    assert_eq!(tasks["tasks"][1]["upstream_task_ids"], json!(["observe"]));
    assert_refused(api.get("/api/v2/dags/nothing").await, 404, "AL-0810");
}

#[tokio::test]
async fn the_runs_to_come_are_told_as_many_as_are_asked_for() {
    let api = Api::start().await;
    let (_, coming) = api
        .get("/api/v2/dags/weather/nextRuns?limit=2&offset=1")
        .await;
    let day = |day| format!("2012-01-0{day}T00:00:00+00:00");
    let run = |at: String| {
        json!({
            "logical_date": at, "data_interval_start": at, "data_interval_end": at, "run_after": at,
        })
    };
    assert_eq!(coming["next_runs"], json!([run(day(2)), run(day(3))]));
    assert_refused(
        api.get("/api/v2/dags/nothing/nextRuns").await,
        404,
        "AL-0810",
    );
}

/// The DAG `weather` has a timetable of its bundle's own.
fn give_own_timetable(api: &Api, arguments: &str) {
    let mut dags = api.world.dags.lock().unwrap();
    let weather = dags
        .iter_mut()
        .find(|dag| dag.dag_id.as_str() == "weather")
        .unwrap();
    weather.spec.schedule = Schedule::Custom(CustomSchedule {
        entry: "Workdays".into(),
        arguments: arguments.into(),
        ..CustomSchedule::default()
    });
}

#[tokio::test]
async fn a_bundles_own_timetable_is_asked_for_the_runs_to_come_up_to_a_bound() {
    let api = Api::start().await;
    give_own_timetable(&api, "{}");
    let path = "/api/v2/dags/weather/nextRuns";
    let (status, coming) = api.get(&format!("{path}?limit=2&offset=1")).await;
    assert_eq!(status, 200, "{coming}");
    let runs = coming["next_runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["run_after"], runs[1]["data_interval_start"]);
    let (status, coming) = api.get(&format!("{path}?limit=100")).await;
    assert_eq!(
        (
            status.as_u16(),
            coming["next_runs"].as_array().unwrap().len()
        ),
        (200, 100)
    );
    let many = api.get(&format!("{path}?limit=100&offset=1")).await;
    assert_refused(many, 422, "AL-0803");
    give_own_timetable(&api, "broken");
    let broken = api.get(path).await;
    let detail = broken.1["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("no bank holidays known"), "{detail}");
    assert_refused(broken, 409, "AL-0819");
}

#[tokio::test]
async fn a_run_is_triggered_with_what_it_covers_and_with_a_note() {
    let api = Api::start().await;
    let path = "/api/v2/dags/weather/dagRuns";
    let body = json!({
        "dag_run_id": "noted", "logical_date": "2024-01-02", "note": "for the auditors",
        "data_interval_start": "2024-01-01", "data_interval_end": "2024-01-02",
    });
    let (status, run) = api.call(Method::POST, path, Some(body)).await;
    assert_eq!(status, 200, "{run}");
    assert_eq!(run["note"], "for the auditors");
    assert_eq!(run["data_interval_start"], "2024-01-01T00:00:00+00:00");
    assert_eq!(run["data_interval_end"], "2024-01-02T00:00:00+00:00");
    for wrong in [
        json!({"data_interval_start": "2024-01-01"}),
        json!({"data_interval_end": "2024-01-01"}),
        json!({"data_interval_start": "2024-01-02", "data_interval_end": "2024-01-01"}),
        json!({"note": "x".repeat(1001)}),
    ] {
        let refused = api.call(Method::POST, path, Some(wrong)).await;
        assert_refused(refused, 422, "AL-0803");
    }
}

#[tokio::test]
async fn a_dag_is_paused_and_unpaused() {
    let api = Api::start().await;
    for paused in [true, false] {
        let body = Some(json!({"is_paused": paused}));
        let (status, dag) = api.call(Method::PATCH, "/api/v2/dags/weather", body).await;
        assert_eq!((status.as_u16(), &dag["is_paused"]), (200, &json!(paused)));
    }
    let body = Some(json!({"is_paused": true}));
    let refused = api.call(Method::PATCH, "/api/v2/dags/nothing", body).await;
    assert_refused(refused, 404, "AL-0810");
    let body = Some(json!({"is_paused": "yes"}));
    let refused = api.call(Method::PATCH, "/api/v2/dags/weather", body).await;
    assert_refused(refused, 422, "AL-0803");
}

#[tokio::test]
async fn a_run_is_triggered_once_and_found_again() {
    let api = Api::start().await;
    let path = "/api/v2/dags/weather/dagRuns";
    let body = json!({"dag_run_id": "mine+1", "logical_date": "2012-01-15", "conf": {"n": 1}});
    let (status, run) = api.call(Method::POST, path, Some(body.clone())).await;
    assert_eq!(status, 200, "{run}");
    assert_eq!(run["logical_date"], "2012-01-15T00:00:00+00:00");
    assert_eq!(run["conf"], json!({"n": 1}));
    assert_refused(
        api.call(Method::POST, path, Some(body)).await,
        409,
        "AL-0702",
    );
    for spelling in ["mine+1", "mine%2B1"] {
        let (status, found) = api.get(&format!("{path}/{spelling}")).await;
        assert_eq!((status.as_u16(), &found), (200, &run));
    }
    let (_, all) = api
        .get("/api/v2/dags/~/dagRuns?order_by=-run_after&limit=1")
        .await;
    assert_eq!(all["total_entries"], 2);
    assert_eq!(all["dag_runs"].as_array().unwrap().len(), 1);
    assert_eq!(all["dag_runs"][0]["dag_run_id"], "mine+1");
    let missing = api
        .call(
            Method::POST,
            "/api/v2/dags/nothing/dagRuns",
            Some(json!({})),
        )
        .await;
    assert_refused(missing, 404, "AL-0810");
}

#[tokio::test]
async fn task_instances_and_xcoms_of_a_run_are_shown() {
    let api = Api::start().await;
    let path = format!("/api/v2/dags/weather/dagRuns/{RUN}/taskInstances");
    let (_, all) = api.get(&path).await;
    let task = &all["task_instances"][0];
    assert_eq!(
        (&task["state"], &task["map_index"], &task["token"]),
        (&json!("running"), &json!(-1), &json!(1))
    );
    let (_, one) = api.get(&format!("{path}/observe")).await;
    assert_eq!(&one, task);
    let (_, none) = api.get(&format!("{path}?state=failed")).await;
    assert_eq!(none["total_entries"], 0);
    let (_, list) = api.get(&format!("{path}/observe/xcomEntries")).await;
    assert_eq!(list["xcom_entries"][0]["key"], "return_value");
    let (_, xcom) = api
        .get(&format!("{path}/observe/xcomEntries/return_value"))
        .await;
    assert_eq!(xcom["value"], json!({"rain": 5.3}));
    let missing = api.get(&format!("{path}/observe/xcomEntries/other")).await;
    assert_refused(missing, 404, "AL-0810");
    assert_refused(
        api.get(&format!("{path}/nothing/xcomEntries")).await,
        404,
        "AL-0810",
    );
    let others = api
        .get(&format!("/api/v2/dags/ledger/dagRuns/{RUN}/taskInstances"))
        .await;
    assert_refused(others, 404, "AL-0810");
}

fn log_path() -> String {
    format!("/api/v2/dags/weather/dagRuns/{RUN}/taskInstances/observe/logs")
}

fn end_the_try(api: &Api) {
    let fields = &mut api.world.tasks.lock().unwrap()[0].fields;
    fields.state = Some(TaskState::Success);
    api.world.moved.notify_waiters();
}

#[tokio::test]
async fn a_log_is_read_in_parts_until_the_try_has_ended() {
    let api = Api::start().await;
    let lines: Vec<_> = ["one", "two", "\u{1b}[31mthree"].map(line).into();
    *api.world.log.lock().unwrap() = lines;
    let (_, first) = api.get(&format!("{}/1", log_path())).await;
    assert_eq!(first["content"].as_array().unwrap().len(), 2);
    let token = |part: &Value| part["continuation_token"].as_str().unwrap().to_owned();
    let (_, second) = api
        .get(&format!("{}/1?token={}", log_path(), token(&first)))
        .await;
    assert_eq!(
        second["content"][0]["event"], "\u{1b}[31mthree",
        "as it was written"
    );
    assert_eq!(second["content"][0]["logger"], "weather");
    let (_, third) = api
        .get(&format!("{}/1?token={}", log_path(), token(&second)))
        .await;
    assert_eq!(
        (third["content"].as_array().unwrap().len(), token(&third)),
        (0, token(&second))
    );
    end_the_try(&api);
    let (_, last) = api
        .get(&format!("{}/1?token={}", log_path(), token(&third)))
        .await;
    assert_eq!(last, json!({"content": [], "continuation_token": null}));
    for missing in ["0", "2"] {
        assert_refused(
            api.get(&format!("{}/{missing}", log_path())).await,
            404,
            "AL-0810",
        );
    }
}

#[tokio::test]
async fn a_followed_log_brings_lines_as_they_come_and_ends_with_the_try() {
    let api = Api::start().await;
    let request = api.request(Method::GET, &format!("{}/1?follow=true", log_path()));
    let mut response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let of = airlock_model::log::TryKey {
        team: team("default"),
        dag_id: "weather".parse().unwrap(),
        run_id: RUN.parse().unwrap(),
        task_id: "observe".parse().unwrap(),
        map_index: airlock_model::id::MapIndex::UNMAPPED,
        try_number: 1,
    };
    for text in ["one", "two\nlines"] {
        api.world.append(&of, &[line(text)]);
        let chunk = tokio::time::timeout(Duration::from_secs(60), response.chunk());
        let chunk = chunk.await.unwrap().unwrap().unwrap();
        let line: Value = serde_json::from_slice(&chunk).unwrap();
        assert_eq!(line["event"], text);
    }
    end_the_try(&api);
    assert!(
        response.chunk().await.unwrap().is_none(),
        "it ends when the try has ended"
    );
}

#[tokio::test]
async fn import_errors_are_listed_per_team_with_code_and_advice() {
    let api = Api::start().await;
    api.world.errors.lock().unwrap().push(ImportError {
        team: team("payments"),
        bundle: "ledger".parse().unwrap(),
        hash: Some(hash()),
        dag_id: Some("ledger".into()),
        code: "AL-0312".into(),
        message: "tasks wait for each other in a circle".into(),
        at: at("2024-01-01"),
    });
    let (_, errors) = api.get("/api/v2/importErrors?team=payments").await;
    let error = &errors["import_errors"][0];
    assert_eq!(
        (&error["code"], &error["filename"]),
        (&json!("AL-0312"), &json!("ledger/ledger"))
    );
    assert!(error["import_error_id"].as_u64().unwrap() > 0);
    let (_, none) = api.get("/api/v2/importErrors?team=default").await;
    assert_eq!(none["total_entries"], 0);
    let (_, dag) = api.get("/api/v2/dags/ledger").await;
    assert_eq!(dag["has_import_errors"], true);
}

#[tokio::test]
async fn health_tells_a_sick_store_and_readiness_follows_it() {
    let api = Api::start().await;
    let (status, health) = api.get("/api/v2/monitor/health").await;
    assert_eq!(
        (status.as_u16(), &health["scheduler"]["status"]),
        (200, &json!("healthy"))
    );
    assert_eq!(api.get("/readyz").await.0, 200);
    *api.world.sick.lock().unwrap() = true;
    let (status, health) = api.get("/api/v2/monitor/health").await;
    assert_eq!(
        (status.as_u16(), &health["metadatabase"]["status"]),
        (200, &json!("unhealthy"))
    );
    assert_eq!(api.get("/readyz").await.0, 503);
    assert_eq!(api.get("/livez").await.0, 200, "the process itself is well");
    assert_eq!(
        api.get("/api/v2/version").await.1["version"],
        env!("CARGO_PKG_VERSION")
    );
}

#[tokio::test]
async fn teams_and_bundles_are_listed() {
    let api = Api::start().await;
    let (_, teams) = api.get("/api/v2/teams").await;
    let payments = &teams["teams"][1];
    assert_eq!(
        (
            &payments["name"],
            &payments["running"],
            &payments["bundles"]
        ),
        (&json!("payments"), &json!(2), &json!(["ledger"]))
    );
    let (_, bundles) = api.get("/api/v2/bundles?team=default").await;
    assert_eq!(bundles["total_entries"], 1);
    let (_, versions) = api.get("/api/v2/bundles/weather/versions").await;
    assert_eq!(versions["bundles"][0]["hash"], hash().to_string());
    let (_, review) = api.get("/api/v2/bundles/weather/review").await;
    assert_eq!(review["automatic"], true);
    assert_refused(
        api.get("/api/v2/bundles/nothing/review").await,
        404,
        "AL-0810",
    );
    let explain = "/api/v2/bundles/weather/explain";
    let (_, yes) = api
        .get(&format!("{explain}?variable=granted&task_id=observe"))
        .await;
    assert_eq!(yes["allowed"], true);
    assert_eq!(
        yes["granted"][0],
        "variable `granted` (only for phase task)"
    );
    let (_, no) = api
        .get(&format!("{explain}?url=https://evil.example&method=POST"))
        .await;
    assert_eq!(no["allowed"], false);
    assert!(
        no["denial"].as_str().unwrap().starts_with("AL-0414"),
        "{no}"
    );
    for wrong in [
        "",
        "?variable=a&connection=b",
        "?url=evil",
        "?variable=a&phase=lunch",
    ] {
        let (status, _) = api.get(&format!("{explain}{wrong}")).await;
        assert!(status.is_client_error(), "{wrong}: {status}");
    }
    assert_refused(
        api.get("/api/v2/bundles/nothing/explain?variable=a").await,
        404,
        "AL-0810",
    );
    assert_refused(
        api.get("/api/v2/bundles/nothing/versions").await,
        404,
        "AL-0810",
    );
}

#[tokio::test]
async fn metrics_have_a_series_per_team_and_none_per_dag() {
    let api = Api::start().await;
    api.get("/api/v2/dags/weather").await;
    let response = api.request(Method::GET, "/metrics").send().await.unwrap();
    let text = response.text().await.unwrap();
    for line in [
        "airlock_scheduler_heartbeat_age_seconds 5.0",
        "airlock_store_up 1",
        "airlock_commits_total 10",
        "airlock_tries_total{team=\"payments\",outcome=\"fenced\"} 1",
        "airlock_tasks_deferred{team=\"payments\"} 4",
        "airlock_waits_ended_total{team=\"payments\"} 11",
        "airlock_trigger_polls_total{team=\"payments\",outcome=\"success\"} 14",
        "airlock_trigger_polls_total{team=\"payments\",outcome=\"failed\"} 6",
        "airlock_watched_events_total{team=\"payments\"} 13",
        "airlock_callbacks{team=\"default\",state=\"pending\"} 1",
        "airlock_callbacks{team=\"default\",state=\"running\"} 0",
        "airlock_callbacks{team=\"default\",state=\"failed\"} 1",
        "airlock_callbacks{team=\"payments\",state=\"failed\"} 0",
        "airlock_callback_tries_total{team=\"payments\",outcome=\"success\"} 14",
        "airlock_callback_tries_total{team=\"payments\",outcome=\"failed\"} 15",
        "airlock_callbacks_failed_total{team=\"payments\"} 16",
        "airlock_deadlines_missed_total{team=\"payments\"} 17",
        "airlock_dag_runs{team=\"default\",state=\"success\"} 1461",
        "airlock_dag_runs{team=\"payments\",state=\"failed\"} 2",
        "airlock_dags{team=\"payments\"} 1",
        "airlock_import_errors{team=\"default\"} 0",
        "airlock_instance_memory_bytes{team=\"payments\"} 4096",
        "airlock_calls_total{team=\"payments\",end=\"cpu_time\"} 2",
        "airlock_denials_total{team=\"payments\",capability=\"http\"} 1",
        "airlock_http_requests_total{method=\"GET\",path=\"/api/v2/dags/{dag_id}\",status=\"200\"} 1",
        "# EOF",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line}\nis not in\n{text}"
        );
    }
    assert!(!text.contains("dag_id=\""), "{text}");
}
