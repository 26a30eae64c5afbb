//! What can be changed: variables, connections, pools, each in its scope.

use airlock_model::{
    connection::{Connection, Pool, Variable},
    id::{PoolName, Scope},
    mask::Sensitive,
    port::PoolLoad,
};
use serde_json::json;

use super::{world::*, *};
use crate::Kept;

#[tokio::test]
async fn a_teams_variable_is_its_own_and_its_value_shows_only_when_asked_for() {
    let api = Api::start().await;
    let path = "/api/v2/variables";
    let body = json!({"key": "region/eu", "value": "hush", "description": "where"});
    let (status, made) = api
        .call(
            Method::POST,
            &format!("{path}?team=payments"),
            Some(body.clone()),
        )
        .await;
    assert_eq!(
        (status.as_u16(), &made["team_name"], &made["value"]),
        (201, &json!("payments"), &json!("***"))
    );
    let again = api
        .call(Method::POST, &format!("{path}?team=payments"), Some(body))
        .await;
    assert_refused(again, 409, "AL-0811");
    for elsewhere in ["", "?team=default"] {
        let (_, list) = api.get(&format!("{path}{elsewhere}")).await;
        assert_eq!(list["total_entries"], 0, "{elsewhere}");
        let missing = api.get(&format!("{path}/region%2Feu{elsewhere}")).await;
        assert_refused(missing, 404, "AL-0810");
    }
    let one = format!("{path}/region%2Feu?team=payments");
    assert_eq!(api.get(&one).await.1["value"], "hush");
    let (_, list) = api.get(&format!("{path}?team=payments")).await;
    assert!(!list.to_string().contains("hush"), "{list}");
    let (status, _) = api
        .call(Method::PATCH, &one, Some(json!({"value": {"a": 1}})))
        .await;
    assert_eq!(status, 200);
    let (_, changed) = api.get(&one).await;
    assert_eq!(
        (&changed["value"], &changed["description"]),
        (&json!("{\"a\":1}"), &json!("where"))
    );
    assert_eq!(api.call(Method::DELETE, &one, None).await.0, 204);
    assert_refused(api.call(Method::DELETE, &one, None).await, 404, "AL-0810");
}

#[tokio::test]
async fn what_stands_in_the_configuration_cannot_be_changed_here() {
    let api = Api::start().await;
    let variable = Variable {
        key: "fixed".parse().unwrap(),
        value: Sensitive::new("hush"),
        description: None,
    };
    let kept = Kept {
        value: variable.clone(),
        configured: true,
    };
    api.world
        .variables
        .lock()
        .unwrap()
        .insert((Scope::Global, variable.key), kept);
    let connection = Connection {
        id: "fixed".parse().unwrap(),
        conn_type: "http".into(),
        description: None,
        host: None,
        port: None,
        login: None,
        password: Some(Sensitive::new("hush")),
        schema: None,
        extra: None,
    };
    let kept = Kept {
        value: connection.clone(),
        configured: true,
    };
    api.world
        .connections
        .lock()
        .unwrap()
        .insert((Scope::Global, connection.id), kept);
    api.world.pools.lock().unwrap().push(Pool {
        scope: Scope::Global,
        name: "fixed".parse().unwrap(),
        slots: 1,
        description: None,
        include_deferred: false,
    });
    for path in [
        "/api/v2/variables/fixed",
        "/api/v2/connections/fixed",
        "/api/v2/pools/fixed",
    ] {
        let changed = api
            .call(Method::PATCH, path, Some(json!({"description": "x"})))
            .await;
        assert_refused(changed, 409, "AL-0812");
        assert_refused(api.call(Method::DELETE, path, None).await, 409, "AL-0812");
        assert_eq!(api.get(path).await.1["is_configured"], true);
    }
}

#[tokio::test]
async fn a_connections_password_is_kept_and_never_sent() {
    let api = Api::start().await;
    let path = "/api/v2/connections";
    let body = json!({
        "connection_id": "bank/eu", "conn_type": "http", "host": "bank.example", "port": 443,
        "login": "me", "password": "hunter2", "extra": {"key": "hunter3"},
    });
    let (status, made) = api.call(Method::POST, path, Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let one = format!("{path}/bank%2Feu");
    let patch = json!({"host": "new.example", "extra": "{\"key\": \"hunter4\"}"});
    let (_, changed) = api.call(Method::PATCH, &one, Some(patch)).await;
    let (_, got) = api.get(&one).await;
    let (_, list) = api.get(path).await;
    for answered in [&made, &changed, &got, &list] {
        assert!(!answered.to_string().contains("hunter"), "{answered}");
    }
    assert_eq!(
        (&got["host"], &got["port"], &got["has_password"]),
        (&json!("new.example"), &json!(443), &json!(true))
    );
    let kept = api
        .world
        .connections
        .lock()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .value
        .clone();
    assert_eq!(
        kept.password.unwrap().reveal(),
        "hunter2",
        "what is left out stays"
    );
    assert_eq!(kept.extra.unwrap().reveal(), r#"{"key":"hunter4"}"#);
    for extra in [json!("x"), json!([1]), json!("[]")] {
        let refused = api
            .call(Method::PATCH, &one, Some(json!({"extra": extra})))
            .await;
        assert_refused(refused, 422, "AL-0803");
    }
    let refused = api
        .call(Method::PATCH, &one, Some(json!({"port": 70000})))
        .await;
    assert_refused(refused, 422, "AL-0803");
    assert_eq!(api.call(Method::DELETE, &one, None).await.0, 204);
    assert_refused(api.get(&one).await, 404, "AL-0810");
}

#[tokio::test]
async fn pools_are_made_changed_and_removed_in_their_scope() {
    let api = Api::start().await;
    let path = "/api/v2/pools";
    let body = json!({"name": "bank api", "slots": 4});
    let (status, made) = api
        .call(
            Method::POST,
            &format!("{path}?team=payments"),
            Some(body.clone()),
        )
        .await;
    assert_eq!((status.as_u16(), &made["slots"]), (201, &json!(4)));
    assert_eq!(
        api.call(Method::POST, path, Some(body.clone())).await.0,
        201,
        "a global one besides"
    );
    let again = api.call(Method::POST, path, Some(body)).await;
    assert_refused(again, 409, "AL-0811");
    assert_eq!(api.get(path).await.1["total_entries"], 2);
    let (_, own) = api.get(&format!("{path}?team=payments")).await;
    assert_eq!(own["total_entries"], 1);
    let one = format!("{path}/bank%20api?team=payments");
    let (_, changed) = api
        .call(
            Method::PATCH,
            &one,
            Some(json!({"slots": -1, "include_deferred": true})),
        )
        .await;
    assert_eq!(
        (&changed["slots"], &changed["include_deferred"]),
        (&json!(-1), &json!(true))
    );
    let refused = api
        .call(Method::PATCH, &one, Some(json!({"slots": -2})))
        .await;
    assert_refused(refused, 422, "AL-0803");
    assert_eq!(api.call(Method::DELETE, &one, None).await.0, 204);
    assert_refused(api.get(&one).await, 404, "AL-0810");
    api.world.pools.lock().unwrap().push(Pool {
        scope: Scope::Team(team("payments")),
        name: PoolName::default_pool(),
        slots: 128,
        description: None,
        include_deferred: false,
    });
    let refused = api
        .call(
            Method::DELETE,
            &format!("{path}/default_pool?team=payments"),
            None,
        )
        .await;
    assert_refused(refused, 409, "AL-0606");
}

#[tokio::test]
async fn a_pool_says_how_many_of_its_slots_are_taken_wanted_and_left() {
    let api = Api::start().await;
    let load = |owner: &str, name: &str, slots: u64| PoolLoad {
        team: team(owner),
        pool: name.parse().unwrap(),
        scheduled: slots,
        queued: 1,
        running: 2,
        deferred: 3,
    };
    *api.world.pool_loads.lock().unwrap() = vec![
        load("default", "shared", 10),
        load("payments", "shared", 20),
        load("payments", "own", 30),
    ];
    let of = |scope: Scope, name: &str, slots| Pool {
        scope,
        name: name.parse().unwrap(),
        slots,
        description: None,
        include_deferred: name == "own",
    };
    *api.world.pools.lock().unwrap() = vec![
        of(Scope::Global, "shared", 7),
        of(Scope::Global, "own", -1),
        of(Scope::Team(team("payments")), "own", 5),
    ];
    let figures = async |path: &str| {
        let (_, pool) = api.get(&format!("/api/v2/pools/{path}")).await;
        [
            "running",
            "queued",
            "scheduled",
            "deferred",
            "occupied",
            "open",
        ]
        .map(|kind| pool[format!("{kind}_slots")].as_i64().unwrap())
    };
    assert_eq!(figures("shared").await, [4, 2, 30, 6, 6, 1], "of all teams");
    assert_eq!(
        figures("own?team=payments").await,
        [2, 1, 30, 3, 6, 0],
        "what waits for a trigger keeps its slots; fuller than it is now large"
    );
    assert_eq!(figures("own").await, [0, 0, 0, 0, 0, -1], "without bound");
    let (_, all) = api.get("/api/v2/pools").await;
    assert_eq!(all["pools"][1]["occupied_slots"], 6);
}
