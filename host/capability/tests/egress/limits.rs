//! How much, and how long.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use airlock_capability::Egress;
use airlock_grant::port::{Body, Egress as _, EgressError, EgressLimits, TimedPart};
use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    empty, get, permit,
    server::{Server, answering, closed, head},
    whole, with_body,
};

const SHORT: Duration = Duration::from_millis(50);

/// A body that does not tell its length beforehand.
struct Streamed(VecDeque<Result<Bytes, EgressError>>);

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = EgressError;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        Poll::Ready(self.0.pop_front().map(|part| part.map(Frame::data)))
    }
}

fn streamed(parts: impl IntoIterator<Item = Result<Bytes, EgressError>>) -> Request<Body> {
    Request::new(Streamed(parts.into_iter().collect()).boxed_unsync())
}

fn is_timeout(error: &EgressError, part: TimedPart) -> bool {
    matches!(error, EgressError::Timeout { part: found, .. } if *found == part)
}

/// A server that reads whatever comes and never answers.
async fn silent() -> Server<()> {
    Server::start(async |mut stream: TcpStream| closed(&mut stream).await).await
}

#[tokio::test]
async fn a_server_that_never_answers_ends_the_call_and_loses_its_connection() {
    let server = silent().await;
    let limits = EgressLimits {
        first_byte: SHORT,
        ..EgressLimits::default()
    };
    let error = get(&server.url(), limits).await.unwrap_err();
    assert!(is_timeout(&error, TimedPart::FirstByte), "{error}");
    server.task.await.unwrap();

    let server = silent().await;
    let limits = EgressLimits {
        total: SHORT,
        ..EgressLimits::default()
    };
    let error = get(&server.url(), limits).await.unwrap_err();
    assert!(is_timeout(&error, TimedPart::Total), "{error}");
    server.task.await.unwrap();

    // A TLS handshake that nobody takes part in.
    let server = silent().await;
    let limits = EgressLimits {
        connect: SHORT,
        ..EgressLimits::default()
    };
    let url = format!("https://127.0.0.1:{}/", server.port);
    let error = get(&url, limits).await.unwrap_err();
    assert!(is_timeout(&error, TimedPart::Connect), "{error}");
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
    assert!(is_timeout(&error, TimedPart::BetweenBytes), "{error}");
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
    assert!(is_timeout(&error, TimedPart::Total), "{error}");
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_flood_of_headers_ends_the_call() {
    for line in [
        format!("X-Long: {}\r\n", "x".repeat(1000)),
        "a:b\r\n".to_owned(),
    ] {
        let server = Server::start(async move |mut stream: TcpStream| {
            head(&mut stream).await;
            let mut going = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while going.is_ok() {
                going = stream.write_all(line.as_bytes()).await;
            }
        })
        .await;
        let error = get(&server.url(), EgressLimits::default())
            .await
            .unwrap_err();
        assert!(
            matches!(error, EgressError::TooLarge { limit: 65536, .. }),
            "{error}"
        );
        assert!(
            error.to_string().contains("header section has more"),
            "{error}"
        );
        server.task.await.unwrap();
    }
    // A whole head, small in bytes, of too many headers.
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:b\r\n".repeat(1100));
    let server = answering(many).await;
    let error = get(&server.url(), EgressLimits::default())
        .await
        .unwrap_err();
    assert!(matches!(error, EgressError::TooLarge { .. }), "{error}");
    // A bound below the least one is no panic, and ordinary heads pass.
    let server = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let limits = EgressLimits {
        response_header_bytes: 1,
        ..EgressLimits::default()
    };
    let response = get(&server.url(), limits).await.unwrap();
    assert_eq!(whole(response).await, (200, "ok".into()));
}

#[tokio::test]
async fn a_response_has_as_many_bytes_as_it_may_and_not_one_more() {
    let limits = EgressLimits {
        response_body_bytes: 10,
        ..EgressLimits::default()
    };
    for (body, fits) in [("0123456789", true), ("0123456789a", false)] {
        // Told beforehand.
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let server = answering(answer).await;
        match get(&server.url(), limits).await {
            Ok(response) => assert_eq!(whole(response).await, (200, body.into())),
            Err(error) => {
                assert!(!fits && matches!(error, EgressError::TooLarge { limit: 10, .. }));
            }
        }
        // In parts, and to the connection's end.
        let chunks = body
            .chars()
            .map(|c| format!("1\r\n{c}\r\n"))
            .collect::<String>();
        for answer in [
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
            format!("HTTP/1.0 200 OK\r\n\r\n{body}"),
        ] {
            let server = answering(answer).await;
            let response = get(&server.url(), limits).await.unwrap();
            match response.into_body().collect().await {
                Ok(whole) => assert!(fits && whole.to_bytes() == body),
                Err(error) => assert!(
                    !fits
                        && matches!(
                            error,
                            EgressError::TooLarge {
                                direction: "response body",
                                limit: 10
                            }
                        ),
                    "{error}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_is_known_to_be_too_large_is_not_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let limits = EgressLimits {
        request_body_bytes: 4,
        ..EgressLimits::default()
    };
    let mut declared = streamed([Ok("1".into())]);
    declared
        .headers_mut()
        .insert("content-length", "5".parse().unwrap());
    let mut unclear = with_body("1");
    unclear
        .headers_mut()
        .insert("content-length", "+1".parse().unwrap());
    let send = async |request| {
        Egress::new()
            .send(permit("POST", &url), request, limits)
            .await
    };
    for request in [with_body("12345"), declared] {
        let error = send(request).await.unwrap_err();
        let large = matches!(
            error,
            EgressError::TooLarge {
                direction: "request body",
                limit: 4
            }
        );
        assert!(large, "{error}");
    }
    assert!(matches!(send(unclear).await, Err(EgressError::Protocol(_))));
    assert!(listener.accept().is_err());
}

#[tokio::test]
async fn a_request_that_grows_too_large_or_breaks_off_ends_the_call_with_the_reason() {
    let too_large = |error: &EgressError| {
        matches!(
            error,
            EgressError::TooLarge {
                direction: "request body",
                limit: 4
            }
        )
    };
    let own = |error: &EgressError| matches!(error, EgressError::Protocol(text) if &**text == "the guest's own");
    let short = |error: &EgressError| matches!(error, EgressError::Protocol(_));
    let parts = || (0..5).map(|_| Ok(Bytes::from_static(b"x")));
    let broken = || {
        [
            Ok("x".into()),
            Err(EgressError::Protocol("the guest's own".into())),
        ]
    };
    let mut shorter = streamed(parts().take(2));
    shorter
        .headers_mut()
        .insert("content-length", "4".parse().unwrap());
    let limits = EgressLimits {
        request_body_bytes: 4,
        ..EgressLimits::default()
    };
    type Expected<'a> = &'a dyn Fn(&EgressError) -> bool;
    let cases: [(Request<Body>, Expected<'_>); 3] = [
        (streamed(parts()), &too_large),
        (shorter, &short),
        (streamed(broken()), &own),
    ];
    for (request, expected) in cases {
        let server = silent().await;
        let egress = Egress::new();
        let sent = egress.send(permit("POST", &server.url()), request, limits);
        let error = sent.await.unwrap_err();
        assert!(expected(&error), "{error}");
        server.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_request_of_unknown_length_arrives_whole() {
    let server = Server::start(async |mut stream: TcpStream| {
        let head = head(&mut stream).await;
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            body.push(stream.read_u8().await.unwrap());
        }
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .unwrap();
        body
    })
    .await;
    let request = streamed([Ok("one".into()), Ok("two".into())]);
    let egress = Egress::new();
    let sent = egress.send(
        permit("POST", &server.url()),
        request,
        EgressLimits::default(),
    );
    assert_eq!(whole(sent.await.unwrap()).await, (204, Bytes::new()));
    let body = server.task.await.unwrap();
    let digits = |byte: &u8| byte.is_ascii_alphabetic();
    let text: Vec<u8> = body.into_iter().filter(digits).collect();
    assert_eq!(text, b"onetwo");
}

#[tokio::test]
async fn a_server_that_closes_early_is_an_error_and_not_a_short_body() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let server = answering(answer).await;
        let response = get(&server.url(), EgressLimits::default()).await.unwrap();
        let error = response.into_body().collect().await.unwrap_err();
        assert!(matches!(error, EgressError::Protocol(_)), "{error}");
    }
    let server = answering("HTTP/1.1 200 O").await;
    let error = get(&server.url(), EgressLimits::default())
        .await
        .unwrap_err();
    assert!(matches!(error, EgressError::Protocol(_)), "{error}");
    assert!(error.to_string().starts_with("AL-0427"));
}

#[tokio::test]
async fn the_answer_to_head_has_no_body_however_long_it_says_it_would_be() {
    let server = answering("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n").await;
    let egress = Egress::new();
    let sent = egress.send(
        permit("HEAD", &server.url()),
        empty(),
        EgressLimits::default(),
    );
    assert_eq!(whole(sent.await.unwrap()).await, (200, Bytes::new()));
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
