//! Assets, their events, and what is queued.

use serde_json::json;

use super::*;

const RAIN: &str = "/api/v2/assets/default:s3%3A%2F%2Frain%2Fdaily";

#[tokio::test]
async fn assets_are_listed_and_found_by_team_and_name_whatever_the_name_holds() {
    let api = Api::start().await;
    let (_, all) = api.get("/api/v2/assets").await;
    assert_eq!(all["total_entries"], 2, "those that some DAG uses");
    let (_, unused) = api
        .get("/api/v2/assets?only_active=false&team=default")
        .await;
    assert_eq!(unused["total_entries"], 2);
    let (_, named) = api.get("/api/v2/assets?name=books").await;
    assert_eq!(named["assets"][0]["id"], "payments:books");
    let (status, rain) = api.get(RAIN).await;
    assert_eq!(status, 200, "{rain}");
    for (field, value) in [
        ("id", json!("default:s3://rain/daily")),
        ("name", json!("s3://rain/daily")),
        ("uri", json!("s3://rain/daily")),
        ("extra", json!({"unit": "mm"})),
        ("aliases", json!([{"name": "wet"}])),
        (
            "last_asset_event",
            json!({"timestamp": "2024-01-01T00:00:00+00:00"}),
        ),
        ("consuming_tasks", json!([])),
    ] {
        assert_eq!(rain[field], value, "{field} of {rain}");
    }
    assert_eq!(rain["producing_tasks"][0]["task_id"], "observe");
    assert_eq!(rain["scheduled_dags"][0]["dag_id"], "weather");
    let (_, idle) = api.get("/api/v2/assets/default:idle").await;
    assert_eq!(
        idle["uri"], "idle",
        "as Airflow, where it stands for nothing outside"
    );
    assert_refused(
        api.get("/api/v2/assets/payments:idle").await,
        404,
        "AL-0810",
    );
    for wrong in ["idle", ":idle", "default:", "a%20b:idle"] {
        let (status, answer) = api.get(&format!("/api/v2/assets/{wrong}")).await;
        assert_eq!(status, 422, "{wrong}: {answer}");
    }
}

#[tokio::test]
async fn an_event_is_told_of_and_listed_with_who_told_it() {
    let api = Api::start().await;
    let path = "/api/v2/assets/events";
    let body = json!({"asset_id": "default:s3://rain/daily", "extra": {"rows": 4}});
    let (status, told) = api.call(Method::POST, path, Some(body)).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(
        (&told["source_other"], &told["source_dag_id"]),
        (&json!("operator"), &Value::Null)
    );
    assert_eq!(
        (&told["extra"], &told["group"]),
        (&json!({"rows": 4}), &json!("asset"))
    );
    let (_, all) = api
        .get(&format!(
            "{path}?asset_id=default%3As3%3A%2F%2Frain%2Fdaily"
        ))
        .await;
    assert_eq!(all["total_entries"], 2);
    let first = &all["asset_events"][0];
    assert_eq!(
        (
            &first["source_dag_id"],
            &first["source_run_id"],
            &first["source_map_index"]
        ),
        (&json!("weather"), &json!(world::RUN), &json!(-1))
    );
    assert_eq!(all["asset_events"][1], told);
    let (_, newest) = api
        .get(&format!("{path}?order_by=-timestamp&limit=1"))
        .await;
    assert_eq!(newest["asset_events"][0], told);
    for (index, total) in [("-1", 1), ("0", 0)] {
        let query =
            format!("{path}?asset_id=default%3As3%3A%2F%2Frain%2Fdaily&source_map_index={index}");
        assert_eq!(api.get(&query).await.1["total_entries"], total, "{index}");
    }
    for (query, status) in [
        ("?team=payments", 200),
        ("?team=payments&asset_id=default:idle", 404),
        ("?asset_id=idle", 422),
        ("?order_by=id", 422),
        ("?timestamp_gte=soon", 422),
    ] {
        let (found, answer) = api.get(&format!("{path}{query}")).await;
        assert_eq!(found, status, "{query}: {answer}");
    }
    let unknown = api
        .call(
            Method::POST,
            path,
            Some(json!({"asset_id": "default:nothing"})),
        )
        .await;
    assert_refused(unknown, 404, "AL-0810");
    for wrong in [
        json!({"asset_id": 3}),
        json!({"asset_id": "default:idle", "extra": []}),
        json!({}),
    ] {
        let (status, answer) = api.call(Method::POST, path, Some(wrong)).await;
        assert_eq!(status, 422, "{answer}");
    }
    let run = format!(
        "/api/v2/dags/weather/dagRuns/{}/upstreamAssetEvents",
        world::RUN
    );
    let (_, upstream) = api.get(&run).await;
    assert_eq!(upstream["total_entries"], 2);
}

#[tokio::test]
async fn an_asset_is_made_by_the_one_dag_that_makes_it() {
    let api = Api::start().await;
    let body = Some(json!({"dag_run_id": "made", "conf": {"n": 2}}));
    let (status, run) = api
        .call(Method::POST, &format!("{RAIN}/materialize"), body)
        .await;
    assert_eq!(status, 200, "{run}");
    assert_eq!(
        (&run["dag_id"], &run["conf"]),
        (&json!("weather"), &json!({"n": 2}))
    );
    assert_eq!(run["run_type"], "asset_materialization");
    api.world.runs.lock().unwrap().clear();
    let (status, _) = api
        .call(Method::POST, &format!("{RAIN}/materialize"), None)
        .await;
    assert_eq!(status, 200, "without a body");
    let none = api
        .call(
            Method::POST,
            "/api/v2/assets/default:idle/materialize",
            None,
        )
        .await;
    assert_refused(none, 404, "AL-0817");
    let many = api
        .call(
            Method::POST,
            "/api/v2/assets/payments:books/materialize",
            None,
        )
        .await;
    assert!(
        many.1["detail"]
            .as_str()
            .unwrap()
            .contains("`audit`, `ledger`"),
        "{}",
        many.1
    );
    assert_refused(many, 409, "AL-0818");
    let wrong = Some(json!({"x": 1}));
    let wrong = api
        .call(Method::POST, &format!("{RAIN}/materialize"), wrong)
        .await;
    assert_refused(wrong, 422, "AL-0803");
}

#[tokio::test]
async fn what_a_dag_has_queued_is_shown_and_forgotten() {
    let api = Api::start().await;
    let path = "/api/v2/dags/weather/assets/queuedEvents";
    let (_, queued) = api.get(path).await;
    assert_eq!(
        queued["queued_events"][0]["asset_id"],
        "default:s3://rain/daily"
    );
    let one = "/api/v2/dags/weather/assets/default:s3%3A%2F%2Frain%2Fdaily/queuedEvents";
    assert_eq!(api.get(one).await.1, queued);
    let other = "/api/v2/dags/weather/assets/default:idle/queuedEvents";
    assert_refused(api.get(other).await, 404, "AL-0810");
    assert_refused(api.call(Method::DELETE, other, None).await, 404, "AL-0810");
    assert_eq!(api.call(Method::DELETE, one, None).await.0, 204);
    assert_refused(api.call(Method::DELETE, path, None).await, 404, "AL-0810");
    let (_, none) = api.get(path).await;
    assert_eq!(none["total_entries"], 0);
    assert_refused(
        api.get("/api/v2/dags/nothing/assets/queuedEvents").await,
        404,
        "AL-0810",
    );
}
