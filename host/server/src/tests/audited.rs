//! Whatever is changed through the API has its row in the audit, and whatever is not has none.

use std::{collections::BTreeSet, sync::atomic::Ordering::SeqCst};

use airlock_model::audit::{Actor, AuditRow};
use serde_json::json;

use super::{world::*, *};
use crate::openapi;

const DAG: &str = "/api/v2/dags/{dag_id}";
const RUNS: &str = "/api/v2/dags/{dag_id}/dagRuns";
const ONE_RUN: &str = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}";
const TASK: &str = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}";
const MAPPED: &str =
    "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}";
const QUEUED: &str = "/api/v2/dags/{dag_id}/assets/queuedEvents";
const ONE_QUEUED: &str = "/api/v2/dags/{dag_id}/assets/{asset_id}/queuedEvents";

/// Each address that changes something: method, address, body, what is audited, and of which team.
pub(super) fn changes() -> Vec<(Method, String, Value, &'static str, Option<&'static str>)> {
    use Method as M;
    let ours = Some("default");
    let mark = json!({"new_state": "failed"});
    let list: Vec<(Method, &str, Value, &str, Option<&str>)> = vec![
        (M::PATCH, DAG, json!({"is_paused": true}), "dag.pause", ours),
        (
            M::PATCH,
            DAG,
            json!({"is_paused": false}),
            "dag.unpause",
            ours,
        ),
        (
            M::POST,
            RUNS,
            json!({"dag_run_id": "by_hand"}),
            "run.trigger",
            ours,
        ),
        (M::PATCH, ONE_RUN, json!({"note": "seen"}), "run.mark", ours),
        (
            M::PATCH,
            ONE_RUN,
            json!({"state": "queued"}),
            "run.clear",
            ours,
        ),
        (
            M::POST,
            "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/clear",
            json!({"dry_run": false}),
            "run.clear",
            ours,
        ),
        (
            M::POST,
            "/api/v2/dags/{dag_id}/clearTaskInstances",
            json!({"dry_run": false, "dag_run_id": RUN}),
            "task.clear",
            ours,
        ),
        (M::PATCH, TASK, mark.clone(), "task.mark", ours),
        (M::PATCH, MAPPED, mark, "task.mark", ours),
        (
            M::POST,
            "/api/v2/backfills",
            json!({"dag_id": "weather", "from_date": "2012-01-01", "to_date": "2012-01-02"}),
            "backfill.create",
            ours,
        ),
        (
            M::PUT,
            "/api/v2/backfills/{backfill_id}/pause",
            Value::Null,
            "backfill.pause",
            ours,
        ),
        (
            M::PUT,
            "/api/v2/backfills/{backfill_id}/unpause",
            Value::Null,
            "backfill.unpause",
            ours,
        ),
        (
            M::PUT,
            "/api/v2/backfills/{backfill_id}/cancel",
            Value::Null,
            "backfill.cancel",
            ours,
        ),
        (
            M::POST,
            "/api/v2/assets/{asset_id}/materialize",
            json!({"dag_run_id": "made"}),
            "asset.materialize",
            ours,
        ),
        (
            M::POST,
            "/api/v2/assets/events",
            json!({"asset_id": "default:idle"}),
            "asset.event",
            ours,
        ),
        (M::DELETE, ONE_QUEUED, Value::Null, "asset.dequeue", ours),
        (M::DELETE, QUEUED, Value::Null, "asset.dequeue", ours),
        (
            M::POST,
            "/api/v2/callbacks/{callback_id}/retry",
            Value::Null,
            "callback.retry",
            ours,
        ),
        (
            M::POST,
            "/api/v2/variables",
            json!({"key": "k", "value": "hunter2"}),
            "variable.set",
            None,
        ),
        (
            M::PATCH,
            "/api/v2/variables/{variable_key}",
            json!({"value": "hunter2"}),
            "variable.set",
            None,
        ),
        (
            M::DELETE,
            "/api/v2/variables/{variable_key}",
            Value::Null,
            "variable.delete",
            None,
        ),
        (
            M::POST,
            "/api/v2/connections",
            json!({"connection_id": "c", "conn_type": "http", "host": "bank.example", "login": "hunter2", "password": "hunter2", "extra": "{\"token\": \"hunter2\"}"}),
            "connection.set",
            None,
        ),
        (
            M::PATCH,
            "/api/v2/connections/{connection_id}",
            json!({"password": "hunter2"}),
            "connection.set",
            None,
        ),
        (
            M::DELETE,
            "/api/v2/connections/{connection_id}",
            Value::Null,
            "connection.delete",
            None,
        ),
        (
            M::POST,
            "/api/v2/pools?team=payments",
            json!({"name": "p", "slots": 1}),
            "pool.set",
            Some("payments"),
        ),
        (
            M::PATCH,
            "/api/v2/pools/{pool_name}?team=payments",
            json!({"slots": 2}),
            "pool.set",
            Some("payments"),
        ),
        (
            M::DELETE,
            "/api/v2/pools/{pool_name}?team=payments",
            Value::Null,
            "pool.delete",
            Some("payments"),
        ),
        (M::DELETE, ONE_RUN, Value::Null, "run.delete", ours),
        (
            M::POST,
            "/api/v2/dags/{dag_id}/transfer",
            json!({"bundle_name": "ledger"}),
            "dag.transfer",
            ours,
        ),
        (M::DELETE, DAG, Value::Null, "dag.delete", Some("payments")),
        (
            M::POST,
            "/api/v2/bundles/{bundle_name}/grants",
            json!({"grant": {"variable": [{"key": "k"}]}}),
            "grant.propose",
            ours,
        ),
        (
            M::PATCH,
            "/api/v2/bundles/{bundle_name}/grants/{revision}",
            json!({"state": "approved"}),
            "grant.approve",
            ours,
        ),
        (
            M::DELETE,
            "/api/v2/bundles/{bundle_name}/grant",
            Value::Null,
            "grant.revoke",
            ours,
        ),
    ];
    list.into_iter()
        .map(|(method, path, body, action, team)| (method, path.to_owned(), body, action, team))
        .collect()
}

/// What only tells what would be changed.
const DRY: [&str; 3] = [
    "POST /api/v2/backfills/dry_run",
    "PATCH /api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/dry_run",
    "PATCH /api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/dry_run",
];

pub(super) fn filled(path: &str) -> String {
    path.replace("{dag_id}", "weather")
        .replace("{dag_run_id}", RUN)
        .replace("{task_id}", "check")
        .replace("{map_index}", "0")
        .replace("{backfill_id}", "1")
        .replace("{callback_id}", &id(1))
        .replace("{asset_id}", "default:s3%3A%2F%2Frain%2Fdaily")
        .replace("{variable_key}", "k")
        .replace("{connection_id}", "c")
        .replace("{pool_name}", "p")
        .replace("{bundle_name}", "weather")
        .replace("{revision}", "1")
}

fn rows(api: &Api) -> Vec<AuditRow> {
    api.world.audited.lock().unwrap().clone()
}

/// All that a description says changes something, as `METHOD path`.
fn mutating() -> BTreeSet<String> {
    let description = serde_json::to_value(openapi()).unwrap();
    let mut found = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in ["post", "put", "patch", "delete"] {
            if item.get(method).is_some() {
                found.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_address_that_changes_something_tells_the_audit_who_did_what_and_no_secret() {
    let api = Api::start().await;
    let of_weather = api.world.queue.lock().unwrap()[0].clone();
    let mut tried: BTreeSet<String> = DRY.map(str::to_owned).into();
    for (method, path, body, action, team) in changes() {
        let plain = path.split('?').next().unwrap();
        tried.insert(format!("{method} {plain}"));
        api.world.queue.lock().unwrap().push(of_weather.clone());
        if action == "dag.delete" {
            api.world.runs.lock().unwrap().clear();
        }
        let before = rows(&api).len();
        let body = (!body.is_null()).then_some(body);
        let (status, answer) = api.call(method.clone(), &filled(&path), body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        let rows = rows(&api);
        assert_eq!(rows.len(), before + 1, "{method} {path}");
        let entry = &rows[before].entry;
        assert_eq!(entry.action.as_str(), action, "{method} {path}");
        assert_eq!(entry.actor, Actor::person("operator"));
        let told = entry.team.as_ref().map(|team| team.as_str());
        assert_eq!(told, team, "{method} {path}");
        assert!(!entry.subject().is_empty());
    }
    assert_eq!(tried, mutating(), "an address without its row here");
    let all = format!("{:?}", rows(&api));
    assert!(!all.contains("hunter2"), "{all}");
    assert!(all.contains("bank.example"));
}

#[tokio::test]
async fn what_is_refused_or_only_asked_about_has_no_row() {
    let api = Api::start().await;
    for (method, path, body) in [
        (Method::POST, "/api/v2/variables", json!({"key": "k"})),
        (Method::DELETE, "/api/v2/variables/absent", Value::Null),
        (Method::DELETE, "/api/v2/dags/absent", Value::Null),
        (Method::DELETE, "/api/v2/pools/fixed", Value::Null),
        (Method::PATCH, "/api/v2/dags/weather", json!({"x": 1})),
    ] {
        let body = (!body.is_null()).then_some(body);
        let (status, _) = api.call(method, path, body).await;
        assert!(status.is_client_error(), "{path}: {status}");
    }
    let clear = filled("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/clear");
    let (status, _) = api.call(Method::POST, &clear, Some(json!({}))).await;
    assert_eq!(status, 200);
    assert!(rows(&api).is_empty());
}

#[tokio::test]
async fn a_change_that_could_not_be_audited_is_said_to_be_done_and_unaudited() {
    let api = Api::start().await;
    api.world.unaudited.store(true, SeqCst);
    let body = Some(json!({"key": "k", "value": "v"}));
    let answer = api.call(Method::POST, "/api/v2/variables", body).await;
    assert_refused(answer, 500, "AL-0850");
    assert_eq!(api.get("/api/v2/variables/k").await.0, 200);
}

#[tokio::test]
async fn the_audit_is_listed_newest_first_and_by_what_is_asked_for() {
    let api = Api::start().await;
    for (key, team) in [("a", ""), ("b", "?team=payments"), ("c", "?team=payments")] {
        let body = Some(json!({"key": key, "value": "v"}));
        let path = format!("/api/v2/variables{team}");
        assert_eq!(api.call(Method::POST, &path, body).await.0, 201);
    }
    let (_, all) = api.get("/api/v2/audit?limit=2").await;
    assert_eq!(all["total_entries"], 3);
    let (first, second) = (&all["audit"][0], &all["audit"][1]);
    assert_eq!(
        (&first["sequence"], &first["subject"], &first["team_name"]),
        (&json!(3), &json!("variable c"), &json!("payments"))
    );
    assert_eq!(first["detail"], json!({"created": true}));
    assert_eq!(first["actor"], "person:operator");
    assert_eq!(first["previous"], second["hash"]);
    for (query, count) in [
        ("team=payments", 2),
        ("team=payments&action=variable.set", 2),
        ("action=pool.set", 0),
        ("bundle=weather", 0),
        ("since=2012-01-01", 3),
        ("since=2999-01-01", 0),
    ] {
        let (_, found) = api.get(&format!("/api/v2/audit?{query}")).await;
        assert_eq!(found["total_entries"], count, "{query}");
    }
    assert_refused(api.get("/api/v2/audit?action=x").await, 422, "AL-0630");
    assert_refused(api.get("/api/v2/audit?since=x").await, 422, "AL-0304");
    assert_refused(api.get("/api/v2/audit?x=y").await, 422, "AL-0803");
}
