//! Bodies, paths and clients that mean no good: each gets a clear refusal, and the server goes on.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const TRIGGER: &str = "/api/v2/dags/weather/dagRuns";

async fn post(
    api: &Api,
    path: &str,
    kind: &str,
    body: impl Into<reqwest::Body>,
) -> (StatusCode, Value) {
    let request = api
        .request(Method::POST, path)
        .header("Content-Type", kind)
        .body(body);
    answer(request).await
}

#[tokio::test]
async fn bodies_that_are_no_json_of_the_right_form_are_refused() {
    let api = Api::start().await;
    let json = "application/json";
    assert_refused(
        post(&api, TRIGGER, "text/plain", "{}").await,
        415,
        "AL-0805",
    );
    assert_refused(
        post(&api, TRIGGER, "application/x-www-form-urlencoded", "a=b").await,
        415,
        "AL-0805",
    );
    assert_refused(api.call(Method::POST, TRIGGER, None).await, 415, "AL-0805");
    for broken in ["", "{", "nul", "{\"conf\":}", "\u{feff}{}", "{}{}"] {
        assert_refused(post(&api, TRIGGER, json, broken).await, 400, "AL-0806");
    }
    assert_refused(
        post(&api, TRIGGER, json, vec![0xff, 0xfe, 0x00]).await,
        400,
        "AL-0806",
    );
    let (open, close) = ("[".repeat(20_000), "]".repeat(20_000));
    let deep = format!("{{\"conf\":{{\"a\":{open}{close}}}}}");
    assert_refused(post(&api, TRIGGER, json, deep).await, 400, "AL-0806");
    let deep = format!(
        "{{\"conf\":{}1{}}}",
        "{\"a\":".repeat(9_000),
        "}".repeat(9_000)
    );
    assert_refused(post(&api, TRIGGER, json, deep).await, 400, "AL-0806");
    for wrong in [
        r#"{"conf": []}"#,
        r#"{"conf": {}, "conf": {}}"#,
        r#"{"surprise": 1}"#,
        r#"{"logical_date": "tomorrow"}"#,
        r#"{"logical_date": 5}"#,
        "[]",
        "null",
    ] {
        let (status, body) = post(&api, TRIGGER, json, wrong).await;
        assert_eq!(status, 422, "{wrong}: {body}");
    }
    assert_refused(
        post(&api, TRIGGER, json, r#"{"dag_run_id": "../../etc"}"#).await,
        422,
        "AL-0303",
    );
    assert_refused(
        post(&api, TRIGGER, json, r#"{"conf": {"unknown": 1}}"#).await,
        400,
        "AL-0703",
    );
    assert_eq!(api.get("/livez").await.0, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_also_when_it_does_not_say_so() {
    let api = Api::start().await;
    let huge = vec![b' '; 65 * 1024];
    assert_refused(
        post(&api, TRIGGER, "application/json", huge.clone()).await,
        413,
        "AL-0804",
    );
    let chunks = futures::stream::iter(
        huge.chunks(1000)
            .map(|c| Ok::<_, std::io::Error>(c.to_vec()))
            .collect::<Vec<_>>(),
    );
    let body = reqwest::Body::wrap_stream(chunks);
    assert_refused(
        post(&api, TRIGGER, "application/json", body).await,
        413,
        "AL-0804",
    );
}

#[tokio::test]
async fn ids_that_walk_through_folders_or_say_too_much_are_refused() {
    let api = Api::start().await;
    let long = "x".repeat(251);
    for bad in [
        "..%2f..%2fetc",
        "%2e%2e",
        "a%00b",
        "a%0ab",
        "a%5cb",
        "%ff",
        "a%20b",
        "%3Cscript%3E",
        long.as_str(),
    ] {
        let (status, body) = api.get(&format!("/api/v2/dags/{bad}")).await;
        // A client may resolve `..` by itself: then it asks for another address.
        assert!(status == 422 || status == 404, "{bad}: {status} {body}");
        let (status, body) = api
            .get(&format!("/api/v2/dags/weather/dagRuns/{bad}/taskInstances"))
            .await;
        assert!(status == 422 || status == 404, "{bad}: {status} {body}");
        let text = body.to_string();
        assert!(!text.contains('\u{0}') && text.len() < 1000, "{text}");
    }
    assert_refused(api.get("/api/v2/dags/a%00b").await, 422, "AL-0303");
    let (status, body) = api
        .get(&format!(
            "{TRIGGER}/{}/taskInstances/observe/logs/two",
            world::RUN
        ))
        .await;
    assert_eq!(status, 422, "{body}");
    let (status, _) = api
        .get(&format!(
            "{TRIGGER}/{}/taskInstances/observe/logs/1?token=..",
            world::RUN
        ))
        .await;
    assert_eq!(status, 422);
    assert_refused(api.get("/api/v2/nothing").await, 404, "AL-0807");
    assert_refused(
        api.call(Method::DELETE, "/api/v2/dags", None).await,
        405,
        "AL-0808",
    );
}

#[tokio::test]
async fn queries_that_are_not_understood_are_refused_rather_than_ignored() {
    let api = Api::start().await;
    for bad in [
        "limit=-1",
        "limit=x",
        "limit=1&limit=2",
        "offset=99999999999",
        "stat=failed",
        "state=fialed",
        "order_by=evil",
        "state=%00",
    ] {
        let (status, body) = api.get(&format!("{TRIGGER}?{bad}")).await;
        assert_eq!(status, 422, "{bad}: {body}");
    }
    assert_refused(api.get("/api/v2/dags?team=a/b").await, 422, "AL-0303");
    assert_refused(
        api.get("/api/v2/variables?team=nobody").await,
        404,
        "AL-0810",
    );
    let (status, body) = api
        .get(&format!(
            "{TRIGGER}?limit=4000000000&state=running&state=failed"
        ))
        .await;
    assert_eq!((status.as_u16(), &body["total_entries"]), (200, &1.into()));
}

/// Sends bytes as they are and reads whatever comes back until the server closes.
async fn raw(api: &Api, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    // A server that has seen enough may close while it is still being written to.
    let _ = stream.write_all(bytes).await;
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn requests_that_are_no_http_end_the_connection_and_nothing_else() {
    let api = Api::start_with(&guards(), Duration::from_millis(200)).await;
    assert!(
        raw(&api, b"\x16\x03\x01\x00\xa5\x01\r\n\r\n")
            .await
            .contains(" 400 ")
    );
    assert!(
        raw(&api, b"GET / HTTP/1.1\r\n\r\n").await.contains(" 421 "),
        "a request without Host"
    );
    let many = format!(
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "A: b\r\n".repeat(1000)
    );
    assert!(raw(&api, many.as_bytes()).await.contains(" 431 "));
    let long = format!(
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nA: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    assert!(raw(&api, long.as_bytes()).await.contains(" 431 "));
    let smuggled = b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n";
    let answered = raw(&api, smuggled).await;
    assert!(answered.matches("HTTP/1.1 ").count() <= 1, "{answered}");
    let absolute =
        b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(raw(&api, absolute).await.contains(" 421 "));
    assert_eq!(api.get("/livez").await.0, 200);
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_request_is_cut_off() {
    let short = Duration::from_millis(50);
    let guards = Guards {
        request_timeout: short,
        ..guards()
    };
    let api = Api::start_with(&guards, short).await;
    let text = raw(&api, b"GET /livez HTTP/1.1\r\nHost: loc").await;
    assert!(text.is_empty() || text.contains(" 408 "), "{text}");
    let unfinished = format!(
        "POST {TRIGGER} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{{"
    );
    let text = raw(&api, unfinished.as_bytes()).await;
    assert!(text.contains(" 408 ") && text.contains("AL-0809"), "{text}");
}

#[tokio::test]
async fn a_shutdown_ends_idle_connections_and_followed_logs() {
    let mut api = Api::start().await;
    let mut idle = TcpStream::connect(api.address).await.unwrap();
    let path = format!(
        "{TRIGGER}/{}/taskInstances/observe/logs/1?follow=true",
        world::RUN
    );
    let follower = api.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(follower.status(), 200);
    api.shutdown.cancel();
    let served = api.served.take().unwrap();
    tokio::time::timeout(Duration::from_secs(60), served)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(follower.text().await.unwrap(), "");
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(api.address).await.is_err());
}
