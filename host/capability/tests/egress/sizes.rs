//! How much.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use airlock_capability::Egress;
use airlock_grant::port::{Body, Egress as _, EgressError, EgressLimits};
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
    server::{Server, answering, head, silent},
    whole, with_body,
};

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
            .send(permit("POST", &url), None, request, limits)
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
        let sent = egress.send(permit("POST", &server.url()), None, request, limits);
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
        None,
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
        None,
        empty(),
        EgressLimits::default(),
    );
    assert_eq!(whole(sent.await.unwrap()).await, (200, Bytes::new()));
}
