//! Grants through the API: proposed, looked at, decided, taken back.

use serde_json::json;

use super::*;

const GRANTS: &str = "/api/v2/bundles/weather/grants";
const IN_FORCE: &str = "/api/v2/bundles/weather/grant";

fn bank() -> Value {
    json!({"grant": {"connection": [{"id": "bank", "access": "read", "tasks": ["pay"]}]}, "note": "for the ledger"})
}

#[tokio::test]
async fn a_proposal_is_read_approved_in_force_and_taken_back() {
    let api = Api::start().await;
    let (status, proposed) = api.call(Method::POST, GRANTS, Some(bank())).await;
    assert_eq!(status, StatusCode::CREATED, "{proposed}");
    assert_eq!(proposed["revision"], 1);
    assert_eq!(proposed["state"], "proposed");
    assert_eq!(
        proposed["entries"],
        json!(["connection `bank`, read (only for task `pay`)"])
    );
    assert_eq!(proposed["proposed_by"], "person:operator");

    let one = format!("{GRANTS}/1");
    let (_, details) = api.get(&one).await;
    assert_eq!(details["added"], proposed["entries"]);
    assert_eq!(details["removed"], json!([]));

    let yes = json!({"state": "approved", "reason": "read"});
    let (status, approved) = api.call(Method::PATCH, &one, Some(yes)).await;
    assert_eq!(status, StatusCode::OK, "{approved}");
    assert_eq!(approved["decided_by"], "person:operator");
    let (_, in_force) = api.get(IN_FORCE).await;
    assert_eq!(in_force["revision"], 1);
    assert_eq!(in_force["source"], "approved");
    assert_eq!(in_force["entries"], proposed["entries"]);
    assert_eq!(in_force["grant"]["connection"][0]["id"], "bank");
    assert_eq!(in_force["waiting"]["version"], "0.2.0");

    let (_, list) = api
        .get("/api/v2/grants?bundle=weather&state=approved")
        .await;
    assert_eq!(list["total_entries"], 1);
    let address = format!("{IN_FORCE}?reason=leaked");
    let (status, revoked) = api.call(Method::DELETE, &address, None).await;
    assert_eq!(status, StatusCode::OK, "{revoked}");
    assert_eq!(revoked["grants"][0]["reason"], "leaked");
    let (_, in_force) = api.get(IN_FORCE).await;
    assert_eq!(in_force["revision"], Value::Null);
    assert_eq!(in_force["entries"], json!([]));
}

#[tokio::test]
async fn what_is_no_grant_no_bundle_and_no_decision_is_refused_with_its_reason() {
    let api = Api::start().await;
    let unknown = json!({"grant": {"conection": []}});
    let (status, error) = api.call(Method::POST, GRANTS, Some(unknown)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{error}");
    let relative = json!({"grant": {"directory": [{"path": "in", "host": "srv/in"}]}});
    let (status, error) = api.call(Method::POST, GRANTS, Some(relative)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{error}");
    assert_eq!(error["code"], "AL-0441");
    let climbing = json!({"directories": {"../in": "/srv"}});
    let (status, _) = api.call(Method::POST, GRANTS, Some(climbing)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    for (method, address) in [
        (Method::GET, "/api/v2/bundles/nobody/grant"),
        (Method::GET, "/api/v2/bundles/weather/grants/7"),
        (Method::GET, "/api/v2/bundles/weather/grant?team=payments"),
        (
            Method::DELETE,
            "/api/v2/bundles/weather/grant?team=payments",
        ),
    ] {
        let (status, error) = api.call(method, address, None).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{address}: {error}");
    }
    let undecided = json!({"state": "proposed"});
    api.call(Method::POST, GRANTS, Some(bank())).await;
    let one = format!("{GRANTS}/1");
    let (status, _) = api.call(Method::PATCH, &one, Some(undecided)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(api.world.audited.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_shared_is_seen_by_both_sides_and_by_nobody_else_and_says_whether_it_is_borrowed() {
    let api = Api::start().await;
    for team in ["", "?team=payments", "?team=default"] {
        let (_, list) = api.get(&format!("/api/v2/shares{team}")).await;
        assert_eq!(list["total_entries"], 1, "{team}: {list}");
        let share = &list["shares"][0];
        assert_eq!(share["team_name"], "payments");
        assert_eq!(share["borrower_team_name"], "default");
        assert_eq!(share["dag_ids"], json!(["monthly"]));
        assert_eq!(share["is_borrowed"], false);
    }
    let borrows =
        json!({"grant": {"connection": [{"id": "bank", "access": "read", "from": "payments"}]}});
    api.call(Method::POST, GRANTS, Some(borrows)).await;
    let yes = json!({"state": "approved"});
    api.call(Method::PATCH, &format!("{GRANTS}/1"), Some(yes))
        .await;
    let (_, list) = api.get("/api/v2/shares").await;
    assert_eq!(list["shares"][0]["is_borrowed"], true);
    let (status, _) = api.get("/api/v2/shares?team=nobody").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
