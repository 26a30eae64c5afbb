//! Backfills.

use serde_json::json;

use super::*;

fn body(more: Value) -> Option<Value> {
    let mut body = json!({"dag_id": "weather", "from_date": "2012-01-01", "to_date": "2012-01-02"});
    let fields = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    Some(body)
}

#[tokio::test]
async fn a_backfill_is_planned_begun_watched_and_stopped() {
    let api = Api::start().await;
    let (status, plan) = api
        .call(Method::POST, "/api/v2/backfills/dry_run", body(json!({})))
        .await;
    assert_eq!(status, 200, "{plan}");
    assert_eq!(
        plan["backfills"][0]["logical_date"],
        "2012-01-01T00:00:00+00:00"
    );
    assert_eq!(plan["total_entries"], 1);
    assert_eq!(plan["skipped"][0]["reason"], "there is a run already");
    let (_, none) = api.get("/api/v2/backfills").await;
    assert_eq!(none["total_entries"], 0, "a dry run makes none");

    let more = json!({
        "run_backwards": true, "reprocess_behavior": "failed", "max_active_runs": 3, "dag_run_conf": {"n": 1},
    });
    let (status, made) = api
        .call(Method::POST, "/api/v2/backfills", body(more))
        .await;
    assert_eq!(status, 200, "{made}");
    for (field, value) in [
        ("id", json!(1)),
        ("dag_id", json!("weather")),
        ("from_date", json!("2012-01-01T00:00:00+00:00")),
        ("to_date", json!("2012-01-02T00:00:00+00:00")),
        ("dag_run_conf", json!({"n": 1})),
        ("is_paused", json!(false)),
        ("reprocess_behavior", json!("failed")),
        ("run_backwards", json!(true)),
        ("max_active_runs", json!(3)),
        ("completed_at", Value::Null),
    ] {
        assert_eq!(made[field], value, "{field} of {made}");
    }
    let (_, found) = api.get("/api/v2/backfills/1").await;
    assert_eq!(found, made);
    let (_, runs) = api.get("/api/v2/backfills/1/runs").await;
    let runs = runs["backfill_runs"].as_array().unwrap();
    assert_eq!(
        (&runs[0]["dag_run_id"], &runs[0]["state"]),
        (&json!(world::RUN), &json!("running"))
    );
    assert_eq!(runs[1]["exception_reason"], "there is a run already");

    for (order, paused, completed) in [
        ("pause", true, false),
        ("unpause", false, false),
        ("cancel", false, true),
    ] {
        let path = format!("/api/v2/backfills/1/{order}");
        let (status, now) = api.call(Method::PUT, &path, None).await;
        assert_eq!(
            (status.as_u16(), &now["is_paused"]),
            (200, &json!(paused)),
            "{order}"
        );
        assert_eq!(!now["completed_at"].is_null(), completed, "{order}");
    }
    for (query, count) in [
        ("", 1),
        ("?active=true", 0),
        ("?dag_id=ledger", 0),
        ("?team=payments", 0),
    ] {
        let (_, list) = api.get(&format!("/api/v2/backfills{query}")).await;
        assert_eq!(list["total_entries"], count, "{query}");
    }
}

#[tokio::test]
async fn a_backfill_that_makes_no_sense_is_refused() {
    let api = Api::start().await;
    for wrong in [
        json!({"max_active_runs": 0}),
        json!({"from_date": "2012-01-03"}),
        json!({"to_date": "never"}),
        json!({"reprocess_behavior": "all"}),
        json!({"unknown": 1}),
        json!({"dag_run_conf": []}),
    ] {
        for path in ["/api/v2/backfills", "/api/v2/backfills/dry_run"] {
            let (status, answer) = api.call(Method::POST, path, body(wrong.clone())).await;
            assert_eq!(status, 422, "{wrong}: {answer}");
        }
    }
    let stranger = api
        .call(
            Method::POST,
            "/api/v2/backfills",
            body(json!({"dag_id": "nothing"})),
        )
        .await;
    assert_refused(stranger, 404, "AL-0810");
    let future = api
        .call(
            Method::POST,
            "/api/v2/backfills",
            body(json!({"to_date": "2999-01-01"})),
        )
        .await;
    assert_refused(future, 409, "AL-0706");
    for missing in ["2", "-1", "9223372036854775807"] {
        assert_refused(
            api.get(&format!("/api/v2/backfills/{missing}")).await,
            404,
            "AL-0810",
        );
        let order = api
            .call(
                Method::PUT,
                &format!("/api/v2/backfills/{missing}/cancel"),
                None,
            )
            .await;
        assert_refused(order, 404, "AL-0810");
    }
    assert_refused(api.get("/api/v2/backfills/x").await, 422, "AL-0803");
}
