//! Who gets in.

use std::sync::atomic::Ordering::SeqCst;

use utoipa::openapi::{OpenApi, path::Operation};

use super::*;
use crate::{
    auth::{Reviewer, Token},
    openapi,
};

/// Every operation of the description: method, path with every parameter filled in, and whether it is open.
fn operations(description: &OpenApi) -> Vec<(Method, String, bool)> {
    let mut all = Vec::new();
    for (path, item) in &description.paths.paths {
        let methods: [(Method, &Option<Operation>); 8] = [
            (Method::GET, &item.get),
            (Method::POST, &item.post),
            (Method::PUT, &item.put),
            (Method::PATCH, &item.patch),
            (Method::DELETE, &item.delete),
            (Method::HEAD, &item.head),
            (Method::OPTIONS, &item.options),
            (Method::TRACE, &item.trace),
        ];
        let filled = path
            .replace("{try_number}", "1")
            .replace("{dag_id}", "weather")
            .replace("{dag_run_id}", super::world::RUN)
            .replace("{task_id}", "observe")
            .replace("{map_index}", "0")
            .replace("{backfill_id}", "1")
            .replace("{trigger_id}", &super::world::id(1))
            .replace("{callback_id}", &super::world::id(1))
            .replace("{asset_id}", "default:idle")
            .replace("{bundle_name}", "weather")
            .replace("{xcom_key}", "return_value")
            .replace("{variable_key}", "k")
            .replace("{connection_id}", "c")
            .replace("{pool_name}", "p")
            .replace("{revision}", "1");
        assert!(!filled.contains('{'), "{filled}");
        for (method, operation) in methods {
            if let Some(operation) = operation {
                let open = operation.security.as_ref().is_some_and(|needs| {
                    serde_json::to_value(needs).unwrap() == serde_json::json!([{}])
                });
                all.push((method, filled.clone(), open));
            }
        }
    }
    all
}

#[tokio::test]
async fn without_the_right_token_no_address_answers_and_nothing_happens() {
    let api = Api::start().await;
    let mut closed = 0;
    let mut all = operations(&openapi());
    all.push((Method::GET, "/openapi.json".to_owned(), false));
    for (method, path, open) in all {
        let body = serde_json::json!({
            "key": "k", "value": "v", "connection_id": "c", "conn_type": "http", "name": "p", "slots": 1, "is_paused": true,
        });
        let plain = || {
            api.client
                .request(method.clone(), api.url(&path))
                .json(&body)
        };
        if open {
            let (status, _) = answer(plain()).await;
            assert!(status.is_success(), "{method} {path}: {status}");
            continue;
        }
        closed += 1;
        let wrong = [
            plain(),
            plain().bearer_auth("wrong"),
            plain().bearer_auth(""),
            plain().bearer_auth(&TOKEN[..31]),
            plain().bearer_auth(format!("{TOKEN}x")),
            plain().header("Authorization", format!("Basic {TOKEN}")),
            plain().header("Authorization", TOKEN),
            plain()
                .bearer_auth(TOKEN)
                .header("Authorization", "Bearer wrong"),
            plain()
                .header("Cookie", format!("token={TOKEN}"))
                .query(&[("token", TOKEN)]),
        ];
        for request in wrong {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401, "{method} {path}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["code"], "AL-0801", "{method} {path}");
        }
        assert_eq!(
            api.world.calls.load(SeqCst),
            0,
            "{method} {path} had an effect"
        );
    }
    assert!(closed > 55, "only {closed} operations were tried");
}

#[tokio::test]
async fn no_address_answers_with_a_secret_but_the_one_that_is_asked_for_it() {
    let api = Api::start().await;
    for team in ["", "?team=payments"] {
        let variable = serde_json::json!({"key": "k", "value": "planted-value"});
        let path = format!("/api/v2/variables{team}");
        let (status, made) = api.call(Method::POST, &path, Some(variable)).await;
        assert_eq!(status, 201);
        let connection = serde_json::json!({
            "connection_id": "c", "conn_type": "http", "host": "bank.example", "password": "planted-password",
            "extra": {"token": "planted-token"},
        });
        let path = format!("/api/v2/connections{team}");
        let (status, other) = api.call(Method::POST, &path, Some(connection)).await;
        assert_eq!(status, 201);
        assert!(!format!("{made}{other}").contains("planted"));
    }
    let mut asked = 0;
    for (method, path, _) in operations(&openapi()) {
        if method != Method::GET {
            continue;
        }
        for team in ["", "?team=payments"] {
            let request = api.client.get(api.url(&format!("{path}{team}")));
            let answer = request.bearer_auth(TOKEN).send().await.unwrap();
            let headers = format!("{:?}", answer.headers());
            let text = headers + &answer.text().await.unwrap();
            let its_own = path == "/api/v2/variables/k";
            assert_eq!(text.contains("planted"), its_own, "{path}{team}: {text}");
            asked += 1;
        }
    }
    assert!(asked > 60, "only {asked} were asked");
}

/// What a reviewer's token opens, besides what is open to all.
const FOR_REVIEWERS: [&str; 13] = [
    "DELETE /api/v2/bundles/weather/grant",
    "GET /api/v2/audit",
    "GET /api/v2/bundles",
    "GET /api/v2/bundles/weather/explain",
    "GET /api/v2/bundles/weather/grant",
    "GET /api/v2/bundles/weather/grants/1",
    "GET /api/v2/bundles/weather/review",
    "GET /api/v2/bundles/weather/versions",
    "GET /api/v2/grants",
    "GET /api/v2/importErrors",
    "GET /api/v2/shares",
    "GET /api/v2/teams",
    "PATCH /api/v2/bundles/weather/grants/1",
];

#[tokio::test]
async fn a_reviewers_token_opens_what_reviewers_read_and_decide_and_nothing_else() {
    let world = World::new();
    let token = Token::new("a token of rita's that is long enough to be one");
    let (name, hash) = ("rita".to_owned(), token.hash());
    *world.reviewers.lock().unwrap() = vec![Reviewer { name, token: hash }];
    let api = Api::start_in(world, &guards(), PATIENCE).await;
    let of_rita = |method: &Method, path: &str| {
        api.client
            .request(method.clone(), api.url(path))
            .bearer_auth(token.reveal())
    };
    let proposes = "POST /api/v2/bundles/weather/grants";
    let mut opened: Vec<String> = Vec::new();
    for (method, path, open) in operations(&openapi()) {
        let before = api.world.calls.load(SeqCst);
        let (status, body) = answer(of_rita(&method, &path)).await;
        let called = format!("{method} {path}");
        if status == 403 {
            assert_eq!(body["code"], "AL-0851", "{called}");
            assert_eq!(
                api.world.calls.load(SeqCst),
                before,
                "{called} had an effect"
            );
        } else if !open && called != proposes {
            opened.push(called);
        }
    }
    opened.sort();
    assert_eq!(opened, FOR_REVIEWERS);

    // Where there are reviewers, they decide: the operator proposes, and reads.
    let grants = "/api/v2/bundles/weather/grants";
    let (status, _) = api
        .call(Method::POST, grants, Some(serde_json::json!({})))
        .await;
    assert_eq!(status, 201);
    let yes = serde_json::json!({"state": "approved"});
    let one = format!("{grants}/1");
    assert_refused(
        api.call(Method::PATCH, &one, Some(yes.clone())).await,
        403,
        "AL-0852",
    );
    let revoke = api
        .call(Method::DELETE, "/api/v2/bundles/weather/grant", None)
        .await;
    assert_refused(revoke, 403, "AL-0852");
    let (status, approved) = answer(of_rita(&Method::PATCH, &one).json(&yes)).await;
    assert_eq!(
        (status.as_u16(), &approved["decided_by"]),
        (200, &"person:rita".into())
    );
    let told = api
        .world
        .audited
        .lock()
        .unwrap()
        .last()
        .unwrap()
        .entry
        .actor
        .to_string();
    assert_eq!(told, "person:rita");
}

#[tokio::test]
async fn every_described_address_is_there_for_the_operator() {
    let api = Api::start().await;
    for (method, path, _) in operations(&openapi()) {
        let response = api.request(method.clone(), &path).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        assert_ne!(status, 405, "{method} {path}");
        assert_ne!(body["code"], "AL-0807", "{method} {path}");
        assert!(
            !status.is_server_error(),
            "{method} {path}: {status} {body}"
        );
    }
}

#[tokio::test]
async fn the_committed_description_is_what_the_code_serves() {
    let served = openapi().to_pretty_json().unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    if committed != served && std::env::var_os("AIRLOCK_BLESS").is_some() {
        std::fs::write(path, &served).unwrap();
        return;
    }
    assert!(
        committed == served,
        "docs/openapi.json differs from the code; run this test with AIRLOCK_BLESS=1"
    );
}

#[tokio::test]
async fn a_web_page_that_lets_its_name_point_here_is_refused() {
    let api = Api::start().await;
    for host in [
        "evil.example",
        "localhost.evil.example",
        "",
        "a b",
        "127.0.0.1:x",
        "evil@127.0.0.1",
    ] {
        let request = api
            .request(Method::GET, "/api/v2/dags")
            .header("Host", host);
        let (status, body) = answer(request).await;
        assert!(status == 421 || status == 400, "{host}: {status} {body}");
    }
    let address = api.address.to_string();
    for host in [
        address.as_str(),
        "localhost",
        "localhost:8080",
        "[::1]:8080",
        "airlock.example",
    ] {
        let request = api.request(Method::GET, "/livez").header("Host", host);
        assert_eq!(answer(request).await.0, 200, "{host}");
    }
    assert_refused(
        answer(
            api.client
                .get(api.url("/livez"))
                .header("Host", "evil.example"),
        )
        .await,
        421,
        "AL-0802",
    );
}

#[tokio::test]
async fn other_origins_are_never_let_in() {
    let api = Api::start().await;
    let preflight = api
        .client
        .request(Method::OPTIONS, api.url("/api/v2/dags"))
        .header("Origin", "http://evil.example")
        .header("Access-Control-Request-Method", "GET");
    let response = preflight.send().await.unwrap();
    assert!(!response.status().is_success());
    let answered = api
        .request(Method::GET, "/api/v2/dags")
        .header("Origin", "http://evil.example")
        .send()
        .await
        .unwrap();
    for response in [&response, &answered] {
        let allowed = response
            .headers()
            .keys()
            .any(|name| name.as_str().starts_with("access-control"));
        assert!(!allowed, "{:?}", response.headers());
    }
    assert_eq!(answered.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn metrics_are_public_only_when_the_configuration_says_so() {
    let open = Guards {
        public_metrics: true,
        ..guards()
    };
    let api = Api::start_with(&open, PATIENCE).await;
    let response = api.client.get(api.url("/metrics")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let api = Api::start().await;
    let response = api.client.get(api.url("/metrics")).send().await.unwrap();
    assert_eq!(response.status(), 401);
}
