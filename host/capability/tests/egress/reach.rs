//! Which server is reached, and what it is told.

use std::{io::ErrorKind, net::TcpListener};

use airlock_capability::Egress;
use airlock_grant::{
    HttpTarget,
    port::{Egress as _, EgressError, EgressLimits},
};
use http::{Method, header::LOCATION};

use crate::{
    empty, get, granting, permit,
    server::{answering, head},
    task, whole, with_body,
};

#[tokio::test]
async fn the_server_gets_the_permits_target_and_the_guests_own_headers_and_body() {
    let server = answering("HTTP/1.1 201 Created\r\nX-Answer: yes\r\nKeep-Alive: timeout=5\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok").await;
    let url = format!("{}path?query=%20", server.url());
    let mut request = with_body("hello");
    *request.method_mut() = Method::DELETE;
    *request.uri_mut() = "http://elsewhere.example.com/else".parse().unwrap();
    for (name, value) in [
        ("host", "elsewhere.example.com"),
        ("x-own", "1"),
        ("x-hop", "1"),
        ("connection", "upgrade, x-hop"),
        ("upgrade", "websocket"),
        ("transfer-encoding", "gzip, chunked"),
        ("expect", "100-continue"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic eDp5"),
    ] {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let response = Egress::new()
        .send(permit("POST", &url), None, request, EgressLimits::default())
        .await
        .unwrap();
    let names: Vec<&str> = response
        .headers()
        .keys()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(names, ["x-answer", "content-length"]);
    assert_eq!(whole(response).await, (201, "ok".into()));

    let head = server.task.await.unwrap();
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "POST /path?query=%20 HTTP/1.1");
    lines.sort_unstable();
    let host = format!("host: 127.0.0.1:{}", server.port);
    assert_eq!(
        lines,
        ["connection: close", "content-length: 5", &host, "x-own: 1"]
    );
}

#[tokio::test]
async fn a_redirect_to_the_metadata_service_is_handed_over_and_not_followed() {
    let server = answering("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n").await;
    let response = get(&server.url(), EgressLimits::default()).await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(
        response.headers()[LOCATION],
        "http://169.254.169.254/latest/meta-data/"
    );
}

#[tokio::test]
async fn a_granted_name_that_leads_to_this_machine_is_refused_before_anything_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    for url in [
        format!("http://localhost:{port}/"),
        format!("https://localhost:{port}/"),
        format!("http://LOCALHOST:{port}/"),
    ] {
        let error = get(&url, EgressLimits::default()).await.unwrap_err();
        assert!(matches!(&error, EgressError::Private { host } if host == "localhost"));
        let text = error.to_string();
        assert!(
            text.starts_with("AL-0421") && text.contains("grant"),
            "{text}"
        );
    }
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn hostile_spellings_of_this_machine_never_become_a_permit() {
    // The bundle may call public names, and one server by its address.
    let names = granting("http://*.example.com/*", "GET");
    let address = granting("http://127.0.0.1:9999/*", "GET");
    for authority in [
        "0x7f.1",
        "0x7f000001",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "2130706433",
        "127.0.0.1.",
        "localhost.",
        "localhost",
        "[::ffff:127.0.0.1]:9999",
        "[::ffff:7f00:1]:9999",
        "[::127.0.0.1]:9999",
        "[64:ff9b::7f00:1]:9999",
        "[2002:7f00:1::]:9999",
        "[::1]:9999",
        "[::]:9999",
        "0.0.0.0:9999",
        "127.0.0.2:9999",
        "127.0.0.1",
        "127.0.0.1:99999",
        "127.0.0.1:9999:80",
        "169.254.169.254",
        "www.example.com@127.0.0.1:9999",
        "www.example.com:80@127.0.0.1:9999",
        "127.0.0.1:9999@www.example.com",
        "www.example.com.",
        "www.example.com%00.evil.example",
        "www.example.com\\@127.0.0.1",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "",
    ] {
        if let Ok(target) = HttpTarget::new("GET", "http", authority, "/") {
            for effective in [&names, &address] {
                assert!(
                    effective.http(&task(), target.clone()).is_err(),
                    "{authority}"
                );
            }
        }
    }
    let target = HttpTarget::parse("GET", "http://127.0.0.1:9999/x").unwrap();
    assert!(address.http(&task(), target).is_ok());
}

#[tokio::test]
async fn a_name_that_does_not_exist_and_a_port_where_nobody_listens_are_told_apart() {
    let error = get("http://nobody.invalid/", EgressLimits::default()).await;
    let error = error.unwrap_err();
    assert!(matches!(&error, EgressError::Resolve { host, .. } if host == "nobody.invalid"));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = get(
        &format!("http://127.0.0.1:{port}/"),
        EgressLimits::default(),
    )
    .await;
    match error.unwrap_err() {
        EgressError::Connect { host, source } => {
            assert_eq!(host, "127.0.0.1");
            assert_eq!(source.kind(), ErrorKind::ConnectionRefused);
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_server_that_switches_protocols_or_speaks_something_else_is_a_protocol_error() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/1.1 200 OK\r\nBad Header\x01: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "",
    ] {
        let server = answering(answer).await;
        let error = get(&server.url(), EgressLimits::default())
            .await
            .unwrap_err();
        assert!(
            matches!(error, EgressError::Protocol(_)),
            "{answer:?}: {error}"
        );
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_closes_its_connection() {
    use crate::server::{Server, closed};
    use tokio::{io::AsyncWriteExt, net::TcpStream, sync::oneshot};

    // While the response is waited for.
    let (asked, was_asked) = oneshot::channel();
    let server = Server::start(async move |mut stream: TcpStream| {
        head(&mut stream).await;
        asked.send(()).unwrap();
        closed(&mut stream).await;
    })
    .await;
    let url = server.url();
    tokio::select! {
        _ = get(&url, EgressLimits::default()) => panic!("there is no response"),
        asked = was_asked => asked.unwrap(),
    }
    server.task.await.unwrap();

    // While its body is.
    let server = Server::start(async move |mut stream: TcpStream| {
        head(&mut stream).await;
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart";
        stream.write_all(part).await.unwrap();
        closed(&mut stream).await;
    })
    .await;
    let egress = Egress::new();
    let call = egress.send(
        permit("GET", &server.url()),
        None,
        empty(),
        EgressLimits::default(),
    );
    drop(call.await.unwrap());
    server.task.await.unwrap();
}
