//! How long.

use std::time::Duration;

use airlock_grant::port::{EgressError, EgressLimits, TimedPart};
use http_body_util::BodyExt;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    get,
    server::{Server, closed, head, silent},
};

const SHORT: Duration = Duration::from_millis(50);

/// Whether this part of the call took longer than it may.
fn is_late(error: &EgressError, late: TimedPart, most: Duration) -> bool {
    matches!(error, EgressError::Timeout { part, limit } if (*part, *limit) == (late, most))
}

#[tokio::test]
async fn a_server_that_never_answers_ends_the_call_and_loses_its_connection() {
    let server = silent().await;
    let limits = EgressLimits {
        first_byte: SHORT,
        ..EgressLimits::default()
    };
    let error = get(&server.url(), limits).await.unwrap_err();
    assert!(is_late(&error, TimedPart::FirstByte, SHORT), "{error}");
    server.task.await.unwrap();

    let server = silent().await;
    let limits = EgressLimits {
        total: SHORT,
        ..EgressLimits::default()
    };
    let error = get(&server.url(), limits).await.unwrap_err();
    assert!(is_late(&error, TimedPart::Total, limits.total), "{error}");
    server.task.await.unwrap();

    // A TLS handshake that nobody takes part in.
    let server = silent().await;
    let limits = EgressLimits {
        connect: SHORT,
        ..EgressLimits::default()
    };
    let url = format!("https://127.0.0.1:{}/", server.port);
    let error = get(&url, limits).await.unwrap_err();
    assert!(is_late(&error, TimedPart::Connect, SHORT), "{error}");
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_body_that_stalls_ends_with_an_error_after_what_had_come() {
    let server = Server::start(async |mut stream: TcpStream| {
        head(&mut stream).await;
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart";
        stream.write_all(part).await.unwrap();
        closed(&mut stream).await;
    })
    .await;
    let limits = EgressLimits {
        between_bytes: SHORT,
        ..EgressLimits::default()
    };
    let mut body = get(&server.url(), limits).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "part");
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(is_late(&error, TimedPart::BetweenBytes, SHORT), "{error}");
    assert!(body.frame().await.is_none());
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_body_that_trickles_ends_with_the_time_of_the_whole_call() {
    let server = Server::start(async |mut stream: TcpStream| {
        head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let limits = EgressLimits {
        total: SHORT * 4,
        ..EgressLimits::default()
    };
    let body = get(&server.url(), limits).await.unwrap().into_body();
    let error = body.collect().await.unwrap_err();
    assert!(is_late(&error, TimedPart::Total, limits.total), "{error}");
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_guest_that_reads_slowly_is_not_taken_for_a_silent_server() {
    let (go, gone) = tokio::sync::oneshot::channel();
    let server = Server::start(async move |mut stream: TcpStream| {
        head(&mut stream).await;
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npart";
        stream.write_all(part).await.unwrap();
        gone.await.unwrap();
        stream.write_all(b"rest").await.unwrap();
    })
    .await;
    let limits = EgressLimits {
        between_bytes: SHORT * 10,
        ..EgressLimits::default()
    };
    let mut body = get(&server.url(), limits).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    // The guest computes for longer than the server may be silent.
    tokio::time::sleep(SHORT * 14).await;
    let rest = tokio::spawn(async move { body.collect().await });
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    assert_eq!(rest.await.unwrap().unwrap().to_bytes(), "rest");
}

#[tokio::test]
async fn a_response_that_nobody_reads_loses_its_connection_with_the_time_of_the_call() {
    let server = Server::start(async |mut stream: TcpStream| {
        head(&mut stream).await;
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart";
        stream.write_all(part).await.unwrap();
        closed(&mut stream).await;
    })
    .await;
    let limits = EgressLimits {
        total: SHORT * 4,
        ..EgressLimits::default()
    };
    let response = get(&server.url(), limits).await.unwrap();
    // The server ends when its client closes.
    server.task.await.unwrap();
    drop(response);
}

#[tokio::test]
async fn a_body_that_went_wrong_gives_its_connection_back_at_once() {
    let server = Server::start(async |mut stream: TcpStream| {
        head(&mut stream).await;
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart";
        stream.write_all(part).await.unwrap();
        closed(&mut stream).await;
    })
    .await;
    let limits = EgressLimits {
        between_bytes: SHORT,
        ..EgressLimits::default()
    };
    let mut body = get(&server.url(), limits).await.unwrap().into_body();
    while body.frame().await.is_some_and(|frame| frame.is_ok()) {}
    // The server ends when its client closes.
    server.task.await.unwrap();
    drop(body);
}
