//! Triggers, callbacks and deadlines.

use std::sync::Arc;

use airlock_model::{
    dag::AssetRef,
    id::{DagId, MapIndex, RunId, TaskId},
    state::{RunState, TaskState},
    trigger::{
        Deferred, FileChange, FileEvent, HostEvent, OwnTrigger, Resume, RunRef, Trigger,
        TriggerEvent,
    },
};
use serde_json::json;

use super::{
    world::{at, id},
    *,
};

/// How many entries a list has for each of these queries.
async fn assert_totals(api: &Api, path: &str, totals: &[(&str, u64)]) {
    for (query, total) in totals {
        let (status, list) = api.get(&format!("{path}{query}")).await;
        assert_eq!(status, 200, "{query}: {list}");
        assert_eq!(list["total_entries"], *total, "{query}");
    }
}

/// What must be these values of an answer.
fn assert_fields(found: &Value, fields: impl IntoIterator<Item = (&'static str, Value)>) {
    for (field, value) in fields {
        assert_eq!(found[field], value, "{field} of {found}");
    }
}

#[tokio::test]
async fn triggers_are_listed_with_who_waits_and_how_their_polls_went() {
    let api = Api::start().await;
    let (_, all) = api.get("/api/v2/triggers").await;
    assert_fields(
        &all["triggers"][0],
        [
            ("id", json!(id(1))),
            ("team_name", json!("default")),
            ("dag_id", json!("weather")),
            ("dag_run_id", json!(world::RUN)),
            ("task_id", json!("observe")),
            ("map_index", json!(-1)),
            ("asset_id", Value::Null),
            ("kind", json!("arrived")),
            ("polls", json!(7)),
            ("last_poll_at", json!("2024-01-02T00:00:00+00:00")),
            ("next_poll_at", Value::Null),
            ("wakes_on", json!([{"kind": "asset", "what": "asset rain"}])),
            ("cpu_seconds", json!(1.5)),
            ("failures", json!(0)),
            ("arguments", Value::Null),
        ],
    );
    assert_fields(
        &all["triggers"][1],
        [
            ("task_id", Value::Null),
            ("dag_run_id", Value::Null),
            ("asset_id", json!("payments:books")),
            ("watcher_name", json!("inbox")),
            ("next_poll_at", json!("2024-01-03T00:00:00+00:00")),
            ("failures", json!(3)),
            ("note", json!("no answer")),
        ],
    );
    let totals = [
        ("", 2),
        ("?team=payments", 1),
        ("?team=payments&dag_id=weather", 0),
        ("?dag_id=weather", 1),
        ("?watchers=true", 1),
        ("?watchers=false", 1),
        ("?failing=true", 1),
        ("?limit=1&offset=1", 2),
    ];
    assert_totals(&api, "/api/v2/triggers", &totals).await;
    assert_refused(api.get("/api/v2/triggers?state=x").await, 422, "AL-0803");
}

#[tokio::test]
async fn a_trigger_is_shown_with_what_it_keeps_and_to_its_own_team_alone() {
    let api = Api::start().await;
    let path = format!("/api/v2/triggers/{}", id(1));
    let (status, found) = api.get(&path).await;
    assert_eq!(status, 200, "{found}");
    let kept = [
        ("id", json!(id(1))),
        ("arguments", json!({"station": 3})),
        ("state", json!([1])),
    ];
    assert_fields(&found, kept);
    assert_eq!(api.get(&format!("{path}?team=default")).await.1, found);
    let others = api.get(&format!("{path}?team=payments")).await;
    let unknown = api.get(&format!("/api/v2/triggers/{}", id(99))).await;
    let without_id = |answer: &Value, number| {
        let detail = answer["detail"].as_str().unwrap();
        detail.replace(&id(number), "ID")
    };
    assert_eq!(without_id(&others.1, 1), without_id(&unknown.1, 99));
    assert_refused(others, 404, "AL-0810");
    assert_refused(unknown, 404, "AL-0810");
    assert_refused(api.get("/api/v2/triggers/1").await, 422, "AL-0803");
}

#[tokio::test]
async fn a_deferred_task_instance_says_what_it_waits_for() {
    let api = Api::start().await;
    let run = RunRef::RunId(RunId::new("today").unwrap());
    let day = RunRef::LogicalDate(at("2024-01-01"));
    let dag_id = DagId::new("ledger").unwrap();
    let file = |change| {
        Trigger::Host(HostEvent::File(FileEvent {
            directory: "inbox".into(),
            pattern: "*.csv".into(),
            change,
        }))
    };
    let asset = |asset| Trigger::Host(HostEvent::Asset(asset));
    let waits = [
        (
            Trigger::Time(at("2024-01-05")),
            "time",
            "2024-01-05T00:00:00+00:00",
        ),
        (
            Trigger::Own(OwnTrigger {
                kind: "arrived".into(),
                arguments: "{}".into(),
            }),
            "own",
            "arrived",
        ),
        (
            asset(AssetRef::Uri("s3://rain".into())),
            "asset",
            "asset of URI s3://rain",
        ),
        (
            asset(AssetRef::Alias("wet".into())),
            "asset",
            "an asset of alias wet",
        ),
        (
            Trigger::Host(HostEvent::DagRun {
                dag_id: dag_id.clone(),
                run: day,
                states: vec![RunState::Success, RunState::Failed],
            }),
            "dag_run",
            "the run for 2024-01-01T00:00:00+00:00 of ledger: success or failed",
        ),
        (
            Trigger::Host(HostEvent::TaskInstance {
                dag_id,
                run,
                task_id: TaskId::new("book").unwrap(),
                map_index: MapIndex(3),
                states: vec![TaskState::Success],
            }),
            "task_instance",
            "book[3] in run today of ledger: success",
        ),
        (file(FileChange::Exists), "file", "inbox/*.csv is there"),
        (file(FileChange::Changes), "file", "inbox/*.csv changes"),
    ];
    let path = format!(
        "/api/v2/dags/weather/dagRuns/{}/taskInstances/observe",
        world::RUN
    );
    assert_eq!(api.get(&path).await.1["deferred"], Value::Null);
    for (trigger, kind, what) in waits {
        let deferred = Deferred {
            trigger,
            resume: Resume {
                method: "go_on".into(),
                arguments: "{}".into(),
            },
            since: at("2024-01-01"),
            until: Some(at("2024-01-09")),
            event: None,
        };
        api.world.tasks.lock().unwrap()[0].fields.deferred = Some(Arc::new(deferred));
        let (_, found) = api.get(&path).await;
        let expected = json!({
            "waits_for": {"kind": kind, "what": what}, "since": "2024-01-01T00:00:00+00:00",
            "until": "2024-01-09T00:00:00+00:00", "method": "go_on", "ended": null,
        });
        assert_eq!(found["deferred"], expected);
    }
    for (event, word) in [
        (TriggerEvent::Fired("{}".into()), "fired"),
        (TriggerEvent::TimedOut, "timed_out"),
        (TriggerEvent::Failed("no".into()), "failed"),
    ] {
        let mut deferred = api.world.tasks.lock().unwrap()[0].fields.deferred.clone();
        Arc::make_mut(deferred.as_mut().unwrap()).event = Some(event);
        api.world.tasks.lock().unwrap()[0].fields.deferred = deferred;
        assert_eq!(api.get(&path).await.1["deferred"]["ended"], word);
    }
}

#[tokio::test]
async fn callbacks_are_listed_with_what_they_tell_of_and_why_they_failed() {
    let api = Api::start().await;
    let (_, all) = api.get("/api/v2/callbacks").await;
    assert_fields(
        &all["callbacks"][0],
        [
            ("id", json!(id(3))),
            ("kind", json!("deadline")),
            ("task_id", Value::Null),
            ("deadline_name", json!("by noon")),
            ("deadline_time", json!("2024-01-01T00:00:00+00:00")),
            ("next_try_at", Value::Null),
        ],
    );
    assert_eq!(
        all["callbacks"][1]["next_try_at"],
        "2024-01-02T00:00:00+00:00"
    );
    assert_fields(
        &all["callbacks"][2],
        [
            ("state", json!("failed")),
            ("kind", json!("task_failure")),
            ("message", json!("`observe` failed")),
            ("dag_id", json!("weather")),
            ("dag_run_id", json!(world::RUN)),
            ("task_id", json!("observe")),
            ("map_index", json!(-1)),
            ("try_number", json!(2)),
            ("priority_weight", json!(2)),
            ("tries", json!(5)),
            ("ended_at", json!("2024-01-01T00:00:00+00:00")),
            ("note", json!("\u{1b}[31mno")),
            ("entry", Value::Null),
        ],
    );
    let totals = [
        ("", 3),
        ("?team=payments", 1),
        ("?team=payments&dag_id=weather", 0),
        ("?dag_id=weather", 2),
        ("?state=failed", 1),
        ("?state=failed&state=pending", 2),
        ("?limit=1", 3),
    ];
    assert_totals(&api, "/api/v2/callbacks", &totals).await;
    assert_refused(
        api.get("/api/v2/callbacks?state=lost").await,
        422,
        "AL-0305",
    );
    let path = format!("/api/v2/callbacks/{}", id(1));
    let (_, found) = api.get(&path).await;
    assert_fields(
        &found,
        [("entry", json!("tell")), ("arguments", json!("not JSON"))],
    );
    let others = api.get(&format!("{path}?team=payments")).await;
    assert_refused(others, 404, "AL-0810");
    let unknown = api.get(&format!("/api/v2/callbacks/{}", id(99))).await;
    assert_refused(unknown, 404, "AL-0810");
}

#[tokio::test]
async fn a_callback_is_retried_once_it_has_failed_and_by_its_own_team() {
    let api = Api::start().await;
    let retry = async |number, query: &str| {
        let path = format!("/api/v2/callbacks/{}/retry{query}", id(number));
        api.call(Method::POST, &path, None).await
    };
    assert_refused(retry(99, "").await, 404, "AL-0810");
    assert_refused(retry(1, "?team=payments").await, 404, "AL-0810");
    for not_failed in [2, 3] {
        assert_refused(retry(not_failed, "").await, 409, "AL-0706");
    }
    let (status, found) = retry(1, "?team=default").await;
    assert_eq!(status, 200, "{found}");
    assert_fields(
        &found,
        [
            ("state", json!("pending")),
            ("next_try_at", json!("2024-01-01T00:00:00+00:00")),
        ],
    );
    assert_refused(retry(1, "").await, 409, "AL-0706");
}

#[tokio::test]
async fn deadlines_are_listed_with_the_callback_that_told_of_them() {
    let api = Api::start().await;
    let (_, all) = api.get("/api/v2/deadlines").await;
    let missed = json!({
        "dag_id": "ledger", "dag_run_id": world::RUN, "team_name": "payments", "name": "by noon",
        "deadline_time": "2024-01-01T00:00:00+00:00", "missed": true,
        "missed_at": "2024-01-02T00:00:00+00:00", "callback_id": id(3),
    });
    assert_eq!(all["deadlines"][0], missed);
    assert_fields(
        &all["deadlines"][1],
        [
            ("missed", json!(false)),
            ("missed_at", Value::Null),
            ("callback_id", Value::Null),
        ],
    );
    let totals = [
        ("", 2),
        ("?team=payments", 1),
        ("?team=payments&dag_id=weather", 0),
        ("?dag_id=ledger", 1),
        ("?missed=true", 1),
        ("?missed=false&team=default", 1),
        ("?limit=1&offset=1", 2),
    ];
    assert_totals(&api, "/api/v2/deadlines", &totals).await;
}

#[tokio::test]
async fn a_trigger_that_fails_is_named_in_the_metrics_with_harmless_labels() {
    let api = Api::start().await;
    {
        let mut triggers = api.world.triggers.lock().unwrap();
        triggers[1].own.kind = format!("a\"b\n\u{1b}{}", "x".repeat(10_000));
        let mut of_task = triggers[0].clone();
        of_task.progress.failures = 2;
        let mut twin = of_task.clone();
        twin.progress.failures = 5;
        triggers.extend([of_task, twin]);
        let crowd = vec![triggers[1].clone(); 1_000];
        triggers.extend(crowd);
    }
    let response = api.request(Method::GET, "/metrics").send().await.unwrap();
    let text = response.text().await.unwrap();
    let failing: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("airlock_trigger_failures{"))
        .collect();
    let task = r#"airlock_trigger_failures{team="default",bundle="weather",kind="arrived",task="observe",watcher=""} 5"#;
    assert!(failing.contains(&task), "{failing:?}");
    assert_eq!(failing.len(), 2, "{failing:?}");
    assert!(!text.contains('\u{1b}'));
    assert!(failing.iter().all(|line| line.len() < 400), "{failing:?}");
    assert!(text.contains(r#"watcher="books/inbox"} 3"#), "{text}");
}
