//! Calls to real servers on loopback.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Mutex,
};

use airlock_grant::{BundleLabel, Caller, Effective, Request as Asks};
use airlock_model::id::{BundleHash, BundleName, DagId, TaskId};
use bytes::Bytes;
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

fn body(bytes: &'static [u8]) -> Body {
    Full::new(Bytes::from_static(bytes))
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn get() -> Request<Body> {
    Request::new(body(b""))
}

/// The permit of a bundle that asks for `pattern` and is granted it.
fn permit(pattern: &str, method: &str, url: &str) -> Permit<HttpTarget> {
    let asks = format!("[[request.http]]\nurl = \"{pattern}\"\nmethods = [\"GET\", \"POST\"]\n");
    let bundle = BundleLabel {
        name: BundleName::new("ledger").unwrap(),
        version: "1.0.0".into(),
        hash: BundleHash::from_bytes([0; 32]),
    };
    let asks = Asks::from_bundle_toml(&asks).unwrap();
    let effective = Effective::grant_all(bundle, &asks, std::path::Path::new("/b"));
    let caller = Caller::task(DagId::new("d").unwrap(), TaskId::new("t").unwrap());
    let target = HttpTarget::parse(method, url).unwrap();
    effective.http(&caller, &target).unwrap()
}

/// A server that reads one request head, gives it away, answers with `answer`, and then does `after`.
struct Server {
    at: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn answering(answer: Vec<u8>, hold: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                let mut part = [0; 4096];
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    let read = stream.read(&mut part).await.unwrap_or(0);
                    if read == 0 {
                        break;
                    }
                    head.extend_from_slice(&part[..read]);
                }
                heads
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&head).into_owned());
                let _ = stream.write_all(&answer).await;
                if hold {
                    held.push(stream);
                } else {
                    let _ = stream.shutdown().await;
                    // Reads the rest, so that closing does not reset what was sent.
                    while stream.read(&mut part).await.unwrap_or(0) > 0 {}
                }
            }
        });
        Self { at, seen }
    }

    fn permit(&self, path: &str) -> Permit<HttpTarget> {
        let root = format!("http://{}", self.at);
        permit(&format!("{root}/*"), "GET", &format!("{root}{path}"))
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn whole(response: Response<Body>) -> Result<Bytes, EgressError> {
    Ok(response.into_body().collect().await?.to_bytes())
}

fn limits() -> EgressLimits {
    EgressLimits::default()
}

/// Gives fixed addresses, and counts how often it was asked.
struct Fixed(Vec<IpAddr>, Mutex<u32>);

impl Fixed {
    fn new(addresses: &[&str]) -> Arc<Self> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self(addresses, Mutex::new(0)))
    }
}

#[async_trait]
impl Resolve for Fixed {
    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        *self.1.lock().unwrap() += 1;
        Ok(self
            .0
            .iter()
            .map(|address| (*address, port).into())
            .collect())
    }
}

fn resolving_to(addresses: &[&str]) -> Egress {
    Egress::with(Fixed::new(addresses), rustls::RootCertStore::empty())
}

#[tokio::test]
async fn a_permitted_call_arrives_as_the_permit_says_and_its_answer_comes_back() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-kept: yes\r\n\r\nhello";
    let server = Server::answering(answer.to_vec(), false).await;
    // What the request says of method, server and path does not count, and connection headers are dropped.
    let mut request = Request::post("http://evil.example/other")
        .body(body(b""))
        .unwrap();
    for (name, value) in [
        ("host", "evil.example"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("transfer-encoding", "chunked"),
        ("proxy-connection", "keep-alive"),
        ("x-mine", "kept"),
    ] {
        request
            .headers_mut()
            .insert(name, http::HeaderValue::from_static(value));
    }
    let permit = server.permit("/v1/x?q=1");
    assert!(permit.may_reach_private());
    let response = Egress::new().send(permit, request, limits()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-kept"], "yes");
    assert_eq!(whole(response).await.unwrap(), "hello");
    let seen = server.seen().remove(0).to_lowercase();
    assert!(seen.starts_with("get /v1/x?q=1 http/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: {}\r\n", server.at)), "{seen}");
    assert!(
        seen.contains("x-mine: kept") && seen.contains("connection: close"),
        "{seen}"
    );
    assert!(
        !seen.contains("evil") && !seen.contains("upgrade") && !seen.contains("proxy"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let other = Server::answering(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), false).await;
    let answer = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n",
        other.at
    );
    let server = Server::answering(answer.into_bytes(), false).await;
    let response = Egress::new()
        .send(server.permit("/"), get(), limits())
        .await
        .unwrap();
    assert_eq!(response.status(), 302);
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_name_that_means_a_special_address_is_not_called() {
    let server = Server::answering(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), false).await;
    let port = server.at.port();
    let url = format!("http://localhost:{port}/");
    let refused = Egress::new()
        .send(permit(&url, "GET", &url), get(), limits())
        .await;
    let error = refused.map(drop).unwrap_err();
    assert!(matches!(error, EgressError::Private { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("only a grant that writes the address itself"),
        "{error}"
    );
    let url = format!("http://inner.example.com:{port}/");
    for addresses in [
        &["127.0.0.1"][..],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["10.0.0.1"],
        &["169.254.169.254"],
        &["fe80::1"],
        &["fd00::1"],
        &["0.0.0.0"],
        &["::"],
        &["224.0.0.1"],
        &["1.1.1.1", "127.0.0.1"],
        &["127.0.0.1", "2606:4700::1111"],
    ] {
        let refused = resolving_to(addresses)
            .send(permit(&url, "GET", &url), get(), limits())
            .await;
        let error = refused.map(drop).unwrap_err();
        assert!(
            matches!(error, EgressError::Private { .. }),
            "{addresses:?} {error}"
        );
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn hostile_spellings_of_an_address_never_become_a_target() {
    for host in [
        "0x7f.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "user@127.0.0.1",
        "127.0.0.1.",
        "localhost.",
        "[64:ff9b::7f00:1]",
    ] {
        assert!(
            HttpTarget::parse("GET", &format!("http://{host}/")).is_err(),
            "{host}"
        );
    }
}

#[tokio::test]
async fn a_name_is_resolved_once_so_that_its_second_meaning_does_not_count() {
    let resolver = Fixed::new(&["192.0.2.1"]);
    let egress = Egress::with(resolver.clone(), rustls::RootCertStore::empty());
    let url = "http://rebinding.example.com/";
    let error = egress
        .send(permit(url, "GET", url), get(), limits())
        .await
        .map(drop);
    assert!(matches!(error, Err(EgressError::Private { .. })));
    assert_eq!(*resolver.1.lock().unwrap(), 1);
    let nowhere = resolving_to(&[]);
    let error = nowhere
        .send(permit(url, "GET", url), get(), limits())
        .await
        .map(drop)
        .unwrap_err();
    assert!(error.to_string().starts_with("AL-0422"), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_an_error_that_names_the_server() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = Egress::new()
        .send(permit(&url, "GET", &url), get(), limits())
        .await;
    let error = error.map(drop).unwrap_err();
    assert!(
        error.to_string().starts_with("AL-0423: `127.0.0.1`"),
        "{error}"
    );
}

#[tokio::test]
async fn every_part_of_a_call_has_its_time() {
    // Long enough never to come into play, and short enough to wait for.
    let (long, short) = (Duration::from_secs(600), Duration::from_millis(50));
    let unbounded = EgressLimits {
        connect: long,
        first_byte: long,
        between_bytes: long,
        total: long,
        ..limits()
    };
    let silent = Server::answering(Vec::new(), true).await;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhell".to_vec();
    let stalling = Server::answering(answer, true).await;
    let (http, https) = (
        format!("http://{}/", silent.at),
        format!("https://{}/", silent.at),
    );
    let stalling = format!("http://{}/", stalling.at);
    for (url, part) in [
        (&http, TimedPart::FirstByte),
        (&http, TimedPart::Total),
        (&stalling, TimedPart::BetweenBytes),
        (&stalling, TimedPart::Total),
        // It accepts, and says nothing in TLS.
        (&https, TimedPart::Connect),
        (&https, TimedPart::Total),
    ] {
        let mut limits = unbounded;
        *match part {
            TimedPart::Connect => &mut limits.connect,
            TimedPart::FirstByte => &mut limits.first_byte,
            TimedPart::BetweenBytes => &mut limits.between_bytes,
            TimedPart::Total => &mut limits.total,
        } = short;
        let sent = Egress::new()
            .send(permit(url, "GET", url), get(), limits)
            .await;
        let error = match sent {
            Ok(response) => whole(response).await.unwrap_err(),
            Err(error) => error,
        };
        match error {
            EgressError::Timeout { part: ended, limit } => {
                assert_eq!((ended, limit), (part, short))
            }
            other => panic!("{url} {part:?} {other}"),
        }
    }
}

#[tokio::test]
async fn headers_and_bodies_have_their_bounds() {
    let too_large = |error: EgressError| match error {
        EgressError::TooLarge { direction, limit } => (direction, limit),
        other => panic!("{other}"),
    };
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(10_000));
    let server = Server::answering(long.into_bytes(), false).await;
    let limits = EgressLimits {
        response_header_bytes: 8 * 1024,
        ..limits()
    };
    let error = Egress::new()
        .send(server.permit("/"), get(), limits)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(too_large(error), ("response's header section", 8192));

    let answer = b"HTTP/1.1 200 OK\r\n\r\n0123456789";
    let server = Server::answering(answer.to_vec(), false).await;
    let limits = EgressLimits {
        response_body_bytes: 10,
        ..EgressLimits::default()
    };
    let response = Egress::new()
        .send(server.permit("/"), get(), limits)
        .await
        .unwrap();
    assert_eq!(whole(response).await.unwrap(), "0123456789");
    let limits = EgressLimits {
        response_body_bytes: 9,
        ..limits
    };
    let response = Egress::new()
        .send(server.permit("/"), get(), limits)
        .await
        .unwrap();
    assert_eq!(
        too_large(whole(response).await.unwrap_err()),
        ("response body", 9)
    );

    // Many small headers are as bad as a large one.
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x:y\r\n".repeat(129));
    let server = Server::answering(many.into_bytes(), false).await;
    let few = EgressLimits {
        response_header_bytes: 8 * 1024,
        ..limits
    };
    let sent = Egress::new().send(server.permit("/"), get(), few).await;
    let error = too_large(sent.map(drop).unwrap_err());
    assert_eq!(error, ("response's header section", 8192));

    let silent = Server::answering(Vec::new(), true).await;
    let limits = EgressLimits {
        request_body_bytes: 9,
        ..limits
    };
    // What says that it is too large is not sent at all.
    let mut request = get();
    let length = http::HeaderValue::from_static("10");
    request.headers_mut().insert("content-length", length);
    let sent = Egress::new()
        .send(silent.permit("/"), request, limits)
        .await;
    assert_eq!(too_large(sent.map(drop).unwrap_err()), ("request body", 9));
    assert!(silent.seen().is_empty());
    let request = Request::new(body(b"0123456789"));
    let error = Egress::new()
        .send(silent.permit("/"), request, limits)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(too_large(error), ("request body", 9));
}

#[tokio::test]
async fn a_guests_body_that_breaks_off_breaks_the_call_off() {
    let silent = Server::answering(Vec::new(), true).await;
    let url = format!("http://{}/", silent.at);
    let request = Request::new(GivingUp.boxed_unsync());
    let permit = permit(&url, "POST", &url);
    let sent = Egress::new().send(permit, request, limits()).await;
    let error = sent.map(drop).unwrap_err();
    assert_eq!(
        error.to_string(),
        "AL-0427: the HTTP exchange broke off: the guest gave up"
    );
}

/// A body that ends at once with an error.
struct GivingUp;

impl http_body::Body for GivingUp {
    type Data = Bytes;
    type Error = EgressError;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, EgressError>>> {
        std::task::Poll::Ready(Some(Err(EgressError::Protocol("the guest gave up".into()))))
    }
}

#[tokio::test]
async fn a_server_that_switches_protocols_or_talks_nonsense_is_an_error() {
    for answer in [
        &b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"",
    ] {
        let server = Server::answering(answer.to_vec(), false).await;
        let error = Egress::new()
            .send(server.permit("/"), get(), limits())
            .await;
        let error = error.map(drop).unwrap_err();
        assert!(error.to_string().starts_with("AL-0427"), "{error}");
    }
    // And one that promises more than it sends.
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhell";
    let server = Server::answering(answer.to_vec(), false).await;
    let response = Egress::new()
        .send(server.permit("/"), get(), limits())
        .await
        .unwrap();
    let error = whole(response).await.unwrap_err();
    assert!(error.to_string().starts_with("AL-0427"), "{error}");
}

/// A server that speaks TLS with this certificate, and answers once per connection.
async fn tls_server(certificate: &'static [u8]) -> SocketAddr {
    let key =
        rustls::pki_types::PrivatePkcs8KeyDer::from(&include_bytes!("certificates/key.der")[..]);
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 4096]).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    at
}

#[tokio::test]
async fn only_a_server_with_a_trusted_certificate_for_its_address_is_spoken_to() {
    let loopback = include_bytes!("certificates/loopback.der");
    let elsewhere = include_bytes!("certificates/elsewhere.der");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(loopback[..].into()).unwrap();
    roots.add(elsewhere[..].into()).unwrap();
    let trusting = Egress::with(Arc::new(SystemResolver), roots);
    let call = async |egress: &Egress, at: SocketAddr| {
        let url = format!("https://{at}/");
        let response = egress
            .send(permit(&url, "GET", &url), get(), limits())
            .await?;
        whole(response).await
    };
    let server = tls_server(loopback).await;
    assert_eq!(call(&trusting, server).await.unwrap(), "secret");
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let in_the_clear = plain.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            while stream.read(&mut [0; 4096]).await.unwrap_or(0) > 0 {}
        }
    });
    for (egress, at) in [
        (Egress::new(), server),
        (trusting, tls_server(elsewhere).await),
        (Egress::new(), in_the_clear),
    ] {
        let error = call(&egress, at).await.unwrap_err();
        assert!(error.to_string().starts_with("AL-0424"), "{error}");
    }
}
