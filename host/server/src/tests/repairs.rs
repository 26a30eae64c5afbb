//! Clearing, marking, deleting, and why a task waits.

use airlock_model::{
    id::MapIndex,
    port::{Repair, Selection},
    run::Mark,
};
use serde_json::json;

use super::{world::*, *};

fn run_path(dag: &str) -> String {
    format!("/api/v2/dags/{dag}/dagRuns/{RUN}")
}

fn names(answer: &Value) -> Vec<String> {
    let tasks = answer["task_instances"].as_array().unwrap();
    assert_eq!(answer["total_entries"], tasks.len());
    let name = |task: &Value| {
        format!(
            "{}[{}]",
            task["task_id"].as_str().unwrap(),
            task["map_index"]
        )
    };
    tasks.iter().map(name).collect()
}

fn calls(api: &Api) -> Vec<(Selection, Repair, bool)> {
    let calls = std::mem::take(&mut *api.world.repairs.lock().unwrap());
    calls
        .into_iter()
        .map(|(_, selection, repair, dry)| (selection, repair, dry))
        .collect()
}

#[tokio::test]
async fn a_run_is_cleared_only_when_the_request_says_that_it_means_it() {
    let api = Api::start().await;
    let path = format!("{}/clear", run_path("weather"));
    let (status, preview) = api.call(Method::POST, &path, Some(json!({}))).await;
    assert_eq!(status, 200, "{preview}");
    assert_eq!(names(&preview), ["observe[-1]", "check[0]", "check[1]"]);
    assert_eq!(preview["task_instances"][0]["state"], "running");
    let body = json!({"dry_run": false, "only_failed": true, "run_on_latest_version": true});
    let (_, run) = api.call(Method::POST, &path, Some(body)).await;
    assert_eq!(
        (&run["dag_run_id"], &run["state"]),
        (&json!(RUN), &json!("queued"))
    );
    let calls = calls(&api);
    assert!(calls[0].2 && !calls[1].2, "{calls:?}");
    let (selection, repair, _) = &calls[1];
    assert!(selection.only_failed && selection.run_ids[0].as_str() == RUN);
    assert_eq!(
        *repair,
        Repair::Clear {
            latest_version: true
        }
    );
}

#[tokio::test]
async fn a_run_is_ended_by_hand_cleared_by_its_state_and_deleted() {
    let api = Api::start().await;
    let path = run_path("weather");
    for state in ["success", "failed", "queued"] {
        let body = Some(json!({"state": state}));
        let (status, run) = api.call(Method::PATCH, &path, body).await;
        assert_eq!(
            (status.as_u16(), &run["state"]),
            (200, &json!(state)),
            "{run}"
        );
    }
    assert_eq!(
        calls(&api)[0].1,
        Repair::Clear {
            latest_version: false
        }
    );
    for wrong in [
        json!({"state": "running"}),
        json!({}),
        json!({"state": "failed", "x": 1}),
    ] {
        let refused = api.call(Method::PATCH, &path, Some(wrong)).await;
        assert_refused(refused, 422, "AL-0803");
    }
    let (status, _) = api.call(Method::DELETE, &path, None).await;
    assert_eq!(status, 204);
    for method in [Method::GET, Method::DELETE] {
        assert_refused(api.call(method, &path, None).await, 404, "AL-0810");
    }
}

#[tokio::test]
async fn a_note_of_a_run_is_written_and_taken_away_and_nothing_else_is_changed_by_it() {
    let api = Api::start().await;
    let path = run_path("weather");
    for note in [json!("looked at"), Value::Null] {
        let body = Some(json!({ "note": note }));
        let (status, run) = api.call(Method::PATCH, &path, body).await;
        assert_eq!(
            (status.as_u16(), &run["note"], &run["state"]),
            (200, &note, &json!("running"))
        );
    }
    let both = Some(json!({"state": "failed", "note": "given up"}));
    let (_, run) = api.call(Method::PATCH, &path, both).await;
    assert_eq!(
        (&run["note"], &run["state"]),
        (&json!("given up"), &json!("failed"))
    );
    let (_, run) = api
        .call(Method::PATCH, &path, Some(json!({"state": "success"})))
        .await;
    assert_eq!(run["note"], "given up", "what is not named stays");
    let long = Some(json!({"note": "x".repeat(1001)}));
    assert_refused(api.call(Method::PATCH, &path, long).await, 422, "AL-0803");
    assert!(calls(&api).is_empty());
}

#[tokio::test]
async fn task_instances_of_many_runs_are_chosen_as_airflow_chooses_them() {
    let api = Api::start().await;
    let path = "/api/v2/dags/weather/clearTaskInstances";
    let (status, answer) = api.call(Method::POST, path, Some(json!({}))).await;
    assert_eq!((status.as_u16(), names(&answer).len()), (200, 3));
    let (selection, _, dry_run) = calls(&api).remove(0);
    assert!(
        dry_run && selection.only_failed,
        "as Airflow has it where nothing is said"
    );
    assert!(selection.run_ids.is_empty() && selection.tasks.is_empty());

    let body = json!({
        "start_date": "2012-01-01", "end_date": "2012-01-31", "task_ids": ["observe"], "dry_run": false,
        "only_failed": false, "only_running": true, "include_upstream": true, "include_downstream": true,
        "include_past": true, "include_future": true, "run_on_latest_version": true,
    });
    let (_, answer) = api.call(Method::POST, path, Some(body)).await;
    assert_eq!(names(&answer), ["observe[-1]"]);
    assert_eq!(
        answer["task_instances"][0]["state"],
        Value::Null,
        "as it stands now"
    );
    let (selection, repair, _) = calls(&api).remove(0);
    assert_eq!(
        repair,
        Repair::Clear {
            latest_version: true
        }
    );
    let wanted = Selection {
        from: Some(at("2012-01-01")),
        to: Some(at("2012-01-31")),
        tasks: vec![("observe".parse().unwrap(), None)],
        upstream: true,
        downstream: true,
        past: true,
        future: true,
        only_running: true,
        ..Selection::default()
    };
    assert_eq!(selection, wanted);
}

#[tokio::test]
async fn instances_of_mapped_tasks_are_cleared_one_by_one_and_all_or_none() {
    let api = Api::start().await;
    let path = "/api/v2/dags/weather/clearTaskInstances";
    let body =
        |task_ids: Value| Some(json!({"dry_run": false, "dag_run_id": RUN, "task_ids": task_ids}));
    let ids = json!(["observe", ["check", 1]]);
    let (status, answer) = api.call(Method::POST, path, body(ids)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(names(&answer), ["observe[-1]", "check[1]"]);
    let made = calls(&api);
    assert_eq!(made.len(), 1, "one repair, done whole or not at all");
    let pair = |task: &str, index| (task.parse().unwrap(), index);
    assert_eq!(
        made[0].0.tasks,
        [pair("observe", None), pair("check", Some(MapIndex(1)))]
    );
    assert!(!made[0].2);

    let ids = json!([["check", 0], "check"]);
    let (_, answer) = api.call(Method::POST, path, body(ids)).await;
    assert_eq!(
        names(&answer),
        ["check[0]", "check[1]"],
        "the whole task wins"
    );
    calls(&api);
    let ids = json!(["observe", ["nothing", 1]]);
    assert_refused(
        api.call(Method::POST, path, body(ids)).await,
        409,
        "AL-0706",
    );
    assert!(calls(&api).iter().all(|call| call.2), "nothing was changed");
    for wrong in [
        json!([]),
        json!([3]),
        json!([["check"]]),
        json!([["check", "0"]]),
        json!("check"),
    ] {
        assert_refused(
            api.call(Method::POST, path, body(wrong)).await,
            422,
            "AL-0803",
        );
    }
    for wrong in [
        json!({"dag_run_id": RUN, "start_date": "2012-01-01"}),
        json!({"start_date": "2012-01-02", "end_date": "2012-01-01"}),
        json!({"start_date": "soon"}),
        json!({"unknown": true}),
    ] {
        let (status, answer) = api.call(Method::POST, path, Some(wrong)).await;
        assert_eq!(status, 422, "{answer}");
    }
    assert_eq!(calls(&api), []);
}

#[tokio::test]
async fn task_instances_are_marked_and_a_dry_run_changes_nothing() {
    let api = Api::start().await;
    let path = format!("{}/taskInstances/check", run_path("weather"));
    let body = || Some(json!({"new_state": "skipped", "include_downstream": true}));
    for (suffix, found, dry) in [
        ("/dry_run", 2, true),
        ("/1/dry_run", 1, true),
        ("/1", 1, false),
        ("", 2, false),
    ] {
        let (status, answer) = api
            .call(Method::PATCH, &format!("{path}{suffix}"), body())
            .await;
        assert_eq!(
            (status.as_u16(), names(&answer).len()),
            (200, found),
            "{suffix}"
        );
        let state = if dry { "running" } else { "skipped" };
        assert_eq!(answer["task_instances"][0]["state"], state, "{suffix}");
        let (selection, repair, was_dry) = calls(&api).remove(0);
        assert_eq!((repair, was_dry), (Repair::Mark(Mark::Skipped), dry));
        assert!(selection.downstream && !selection.upstream);
        if dry {
            continue;
        }
        api.world.tasks.lock().unwrap().iter_mut().for_each(|task| {
            task.fields.state = Some(airlock_model::state::TaskState::Running);
        });
    }
    for missing in ["7", "-1"] {
        let missing = api
            .call(Method::PATCH, &format!("{path}/{missing}"), body())
            .await;
        assert_refused(missing, 404, "AL-0810");
    }
    for wrong in [json!({}), json!({"new_state": "running"})] {
        assert_refused(
            api.call(Method::PATCH, &path, Some(wrong)).await,
            422,
            "AL-0803",
        );
    }
    assert_eq!(calls(&api), []);
}

#[tokio::test]
async fn mapped_instances_are_listed_shown_and_say_what_they_wait_for() {
    let api = Api::start().await;
    let path = format!("{}/taskInstances", run_path("weather"));
    let (_, all) = api.get(&path).await;
    assert_eq!(names(&all), ["observe[-1]", "check[0]", "check[1]"]);
    let (_, mapped) = api
        .get(&format!("{path}/check/listMapped?limit=1&offset=1"))
        .await;
    assert_eq!(
        (
            &mapped["total_entries"],
            &mapped["task_instances"][0]["map_index"]
        ),
        (&json!(2), &json!(1))
    );
    let (_, none) = api.get(&format!("{path}/observe/listMapped")).await;
    assert_eq!(none["total_entries"], 0);
    let (_, one) = api.get(&format!("{path}/check/1")).await;
    assert_eq!(one, mapped["task_instances"][0]);
    let (_, same) = api.get(&format!("{path}/observe/-1")).await;
    assert_eq!(same["task_id"], "observe");
    let (_, deps) = api.get(&format!("{path}/check/1/dependencies")).await;
    assert_eq!(
        deps,
        json!({"dependencies": [{"name": "Trigger Rule", "reason": "check 1 waits for `observe`"}], "total_entries": 1})
    );
    let (_, deps) = api.get(&format!("{path}/observe/dependencies")).await;
    assert_eq!(
        deps["dependencies"][0]["reason"],
        "observe -1 waits for `observe`"
    );
    for missing in [
        "check",
        "check/2",
        "check/2/dependencies",
        "nothing/dependencies",
    ] {
        assert_refused(api.get(&format!("{path}/{missing}")).await, 404, "AL-0810");
    }
    assert_refused(api.get(&format!("{path}/check/x")).await, 422, "AL-0803");
}

#[tokio::test]
async fn a_dag_is_deleted_unless_it_has_runs() {
    let api = Api::start().await;
    let delete = async |dag: &str| {
        api.call(Method::DELETE, &format!("/api/v2/dags/{dag}"), None)
            .await
    };
    assert_refused(delete("weather").await, 409, "AL-0706");
    assert_eq!(delete("ledger").await.0, 204);
    assert_refused(delete("ledger").await, 404, "AL-0810");
}

#[tokio::test]
async fn for_one_team_nothing_of_another_is_there_and_nothing_happens_to_it() {
    let api = Api::start().await;
    let run = run_path("weather");
    let mark = || Some(json!({"new_state": "failed"}));
    let backfill =
        || Some(json!({"dag_id": "weather", "from_date": "2012-01-01", "to_date": "2012-01-02"}));
    let post = api
        .call(Method::POST, "/api/v2/backfills", backfill())
        .await;
    assert_eq!(post.0, 200);
    let asset = "/api/v2/assets/default:idle";
    let event = || Some(json!({"asset_id": "default:idle"}));
    for (method, path, body) in [
        (Method::DELETE, "/api/v2/dags/weather".to_owned(), None),
        (
            Method::POST,
            "/api/v2/dags/weather/dagRuns".to_owned(),
            Some(json!({})),
        ),
        (Method::GET, run.clone(), None),
        (Method::PATCH, run.clone(), Some(json!({"state": "failed"}))),
        (Method::DELETE, run.clone(), None),
        (
            Method::POST,
            format!("{run}/clear"),
            Some(json!({"dry_run": false})),
        ),
        (Method::GET, format!("{run}/upstreamAssetEvents"), None),
        (
            Method::POST,
            "/api/v2/dags/weather/clearTaskInstances".to_owned(),
            Some(json!({"dry_run": false})),
        ),
        (Method::GET, format!("{run}/taskInstances"), None),
        (Method::GET, format!("{run}/taskInstances/observe"), None),
        (Method::GET, format!("{run}/taskInstances/check/0"), None),
        (
            Method::GET,
            format!("{run}/taskInstances/check/listMapped"),
            None,
        ),
        (
            Method::GET,
            format!("{run}/taskInstances/observe/dependencies"),
            None,
        ),
        (
            Method::GET,
            format!("{run}/taskInstances/check/0/dependencies"),
            None,
        ),
        (Method::PATCH, format!("{run}/taskInstances/check"), mark()),
        (
            Method::PATCH,
            format!("{run}/taskInstances/check/dry_run"),
            mark(),
        ),
        (
            Method::PATCH,
            format!("{run}/taskInstances/check/0"),
            mark(),
        ),
        (
            Method::PATCH,
            format!("{run}/taskInstances/check/0/dry_run"),
            mark(),
        ),
        (Method::POST, "/api/v2/backfills".to_owned(), backfill()),
        (
            Method::POST,
            "/api/v2/backfills/dry_run".to_owned(),
            backfill(),
        ),
        (Method::GET, "/api/v2/backfills/1".to_owned(), None),
        (Method::GET, "/api/v2/backfills/1/runs".to_owned(), None),
        (Method::PUT, "/api/v2/backfills/1/pause".to_owned(), None),
        (Method::PUT, "/api/v2/backfills/1/unpause".to_owned(), None),
        (Method::PUT, "/api/v2/backfills/1/cancel".to_owned(), None),
        (Method::GET, "/api/v2/dags/weather".to_owned(), None),
        (Method::GET, "/api/v2/dags/weather/details".to_owned(), None),
        (Method::GET, "/api/v2/dags/weather/tasks".to_owned(), None),
        (
            Method::GET,
            "/api/v2/dags/weather/nextRuns".to_owned(),
            None,
        ),
        (
            Method::PATCH,
            "/api/v2/dags/weather".to_owned(),
            Some(json!({"is_paused": true})),
        ),
        (
            Method::GET,
            format!("{run}/taskInstances/observe/logs/1"),
            None,
        ),
        (
            Method::GET,
            format!("{run}/taskInstances/observe/xcomEntries"),
            None,
        ),
        (
            Method::GET,
            format!("{run}/taskInstances/observe/xcomEntries/return_value"),
            None,
        ),
        (
            Method::GET,
            "/api/v2/bundles/weather/versions".to_owned(),
            None,
        ),
        (
            Method::GET,
            "/api/v2/bundles/weather/review".to_owned(),
            None,
        ),
        (
            Method::GET,
            "/api/v2/bundles/weather/explain?variable=granted".to_owned(),
            None,
        ),
        (Method::GET, asset.to_owned(), None),
        (Method::POST, format!("{asset}/materialize"), None),
        (Method::POST, "/api/v2/assets/events".to_owned(), event()),
        (
            Method::GET,
            "/api/v2/dags/weather/assets/queuedEvents".to_owned(),
            None,
        ),
        (
            Method::DELETE,
            "/api/v2/dags/weather/assets/queuedEvents".to_owned(),
            None,
        ),
        (
            Method::GET,
            "/api/v2/dags/weather/assets/default:idle/queuedEvents".to_owned(),
            None,
        ),
        (
            Method::DELETE,
            "/api/v2/dags/weather/assets/default:idle/queuedEvents".to_owned(),
            None,
        ),
    ] {
        let and = if path.contains('?') { '&' } else { '?' };
        let theirs = format!("{path}{and}team=payments");
        let refused = api.call(method.clone(), &theirs, body).await;
        assert_eq!(refused.0, 404, "{method} {path}: {}", refused.1);
        assert_refused(refused, 404, "AL-0810");
    }
    assert_eq!(calls(&api), []);
    assert_eq!(api.world.runs.lock().unwrap().len(), 1);
    assert_eq!(api.world.queue.lock().unwrap().len(), 1);
    assert!(!api.world.backfills.lock().unwrap()[0].is_paused);
    assert!(
        api.world
            .dags
            .lock()
            .unwrap()
            .iter()
            .all(|dag| !dag.is_paused)
    );
    let (_, none) = api.get("/api/v2/dags/~/dagRuns?team=payments").await;
    assert_eq!(none["total_entries"], 0);
    // And a run is looked for in its own DAG only.
    let path = format!("{}/clear", run_path("ledger"));
    assert_refused(
        api.call(Method::POST, &path, Some(json!({}))).await,
        404,
        "AL-0810",
    );
}
