//! Logging in for a bundle: the server hears the credential, and the bundle never does.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
};

use airlock_capability::{Egress, SystemResolver};
use airlock_grant::{
    Effective, HttpTarget, Permit, Request, UsedConnection,
    port::{Egress as _, EgressError, EgressLimits},
};
use airlock_model::{
    connection::{Connection, Variable},
    id::{ConnectionId, Scope, TeamName, VariableKey},
    mask::Sensitive,
    port::{Revealed, Settings, StoreError},
};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    empty, label, permit,
    server::{Server, answering, head},
    task, whole,
};

const PASSWORD: &str = "s3cr3t/t0ken";

/// Connections by team and id.
#[derive(Default)]
struct Kept(Mutex<HashMap<(String, String), Connection>>);

impl Kept {
    fn of(connection: Connection) -> Arc<Self> {
        let kept = Self::default();
        let key = ("default".to_owned(), connection.id.to_string());
        kept.0.lock().unwrap().insert(key, connection);
        Arc::new(kept)
    }

    fn find(&self, team: &TeamName, id: &ConnectionId) -> Option<Revealed<Connection>> {
        let key = (team.to_string(), id.to_string());
        let value = self.0.lock().unwrap().get(&key).cloned()?;
        let scope = Scope::Team(team.clone());
        Some(Revealed { value, scope })
    }
}

#[async_trait]
impl Settings for Kept {
    async fn variable(
        &self,
        _: &TeamName,
        _: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError> {
        Ok(None)
    }
    async fn variables(
        &self,
        _: &TeamName,
        _: &str,
    ) -> Result<Vec<Revealed<Variable>>, StoreError> {
        Ok(Vec::new())
    }
    async fn connection(
        &self,
        team: &TeamName,
        id: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError> {
        if id.as_str() == "broken" {
            return Err(StoreError::Corrupt("s3cr3t detail".into()));
        }
        Ok(self.find(team, id))
    }
    async fn lent_variable(
        &self,
        _: &TeamName,
        _: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError> {
        Ok(None)
    }
    async fn lent_connection(
        &self,
        lender: &TeamName,
        id: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError> {
        Ok(self.find(lender, id))
    }
}

fn used(id: &str) -> Permit<UsedConnection> {
    let asks = format!("[[request.connection]]\nid = \"{id}\"\n");
    let asks = Request::from_bundle_toml(&asks).unwrap();
    let effective = Effective::grant_all(label(), &asks, Path::new("/srv/caller"));
    effective.use_connection(&task(), id).unwrap()
}

fn api(port: u16, extra: &str) -> Connection {
    Connection {
        id: ConnectionId::new("api").unwrap(),
        conn_type: "http".into(),
        description: None,
        host: Some("127.0.0.1".into()),
        port: Some(port),
        login: None,
        password: Some(Sensitive::new(PASSWORD)),
        schema: Some("http".into()),
        extra: (!extra.is_empty()).then(|| Sensitive::new(extra)),
    }
}

async fn call(
    egress: &Egress,
    permit: Permit<HttpTarget>,
    id: &str,
) -> Result<http::Response<airlock_grant::port::Body>, EgressError> {
    let sent = egress.send(permit, Some(used(id)), empty(), EgressLimits::default());
    sent.await
}

#[tokio::test]
async fn the_server_hears_the_credential_and_its_answer_reaches_the_bundle() {
    let server = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let egress = Egress::new().logging_in(Kept::of(api(server.port, "")));
    let response = call(&egress, permit("GET", &server.url()), "api")
        .await
        .unwrap();
    assert_eq!(whole(response).await, (200, Bytes::from("ok")));
    let head = server.task.await.unwrap();
    assert!(
        head.contains(&format!("authorization: Bearer {PASSWORD}\r\n")),
        "{head}"
    );
    assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
}

#[tokio::test]
async fn no_other_server_hears_it_and_no_error_says_it() {
    // Nobody is ever connected to.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let egress = Egress::new().logging_in(Kept::of(api(port, "")));
    for (url, id, code) in [
        (format!("http://127.0.0.2:{port}/"), "api", "AL-0475"),
        (format!("https://127.0.0.1:{port}/"), "api", "AL-0475"),
        (format!("http://127.0.0.1:{}/", port ^ 1), "api", "AL-0475"),
        (format!("http://127.0.0.1:{port}/"), "missing", "AL-0476"),
        (format!("http://127.0.0.1:{port}/"), "broken", "AL-0479"),
    ] {
        let error = call(&egress, permit("GET", &url), id).await.unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(said.starts_with(code), "{said}");
        assert!(!said.contains("s3cr3t"), "{said}");
    }
    let unfit = Egress::new().logging_in(Kept::of(api(port, "no json s3cr3t")));
    let url = format!("http://127.0.0.1:{port}/");
    let error = call(&unfit, permit("GET", &url), "api").await.unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(
        said.starts_with("AL-0476") && !said.contains("s3cr3t"),
        "{said}"
    );
    let none = call(&Egress::new(), permit("GET", &url), "api").await;
    assert!(none.unwrap_err().to_string().starts_with("AL-0476"));
    let heard = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(heard.is_err(), "somebody was connected to");
}

#[tokio::test]
async fn what_the_server_says_back_of_it_does_not_reach_the_bundle() {
    let encoded = "czNjcjN0L3Qwa2Vu";
    let answer = format!(
        "HTTP/1.1 302 Found\r\nlocation: https://evil.example/?t=s3cr3t%2Ft0ken\r\n\
         x-debug: Bearer {PASSWORD}\r\n\r\n<pre>Authorization: Bearer {PASSWORD}</pre> {encoded} s3cr3t"
    );
    // In pieces that cut it in two.
    let server = Server::start(async move |mut stream: TcpStream| {
        head(&mut stream).await;
        for piece in answer.as_bytes().chunks(7) {
            stream.write_all(piece).await.unwrap();
            stream.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.shutdown().await.unwrap();
    })
    .await;
    let egress = Egress::new().logging_in(Kept::of(api(server.port, "")));
    let response = call(&egress, permit("GET", &server.url()), "api")
        .await
        .unwrap();
    assert_eq!(
        response.headers()["location"],
        "https://evil.example/?t=**************"
    );
    assert_eq!(response.headers()["x-debug"], "Bearer ************");
    let (status, body) = whole(response).await;
    let expected = format!(
        "<pre>Authorization: Bearer {}</pre> {} s3cr3t",
        "*".repeat(PASSWORD.len()),
        "*".repeat(encoded.len())
    );
    assert_eq!((status, body), (302, Bytes::from(expected)));
}

#[tokio::test]
async fn an_answer_in_which_nobody_could_see_it_is_refused() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\ngzip";
    let server = answering(answer).await;
    let egress = Egress::new().logging_in(Kept::of(api(server.port, "")));
    let error = call(&egress, permit("GET", &server.url()), "api")
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("AL-0477"), "{error}");
}

fn pem(kind: &str, der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!(
        "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
        STANDARD.encode(der)
    )
}

/// A server that wants to see this certificate, and answers who does not have it nothing.
async fn mutual(certificate: &'static [u8]) -> u16 {
    let key = PrivatePkcs8KeyDer::from(&include_bytes!("certificates/key.der")[..]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.into()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![CertificateDer::from(certificate)], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 4096]).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nknown";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    port
}

#[tokio::test]
async fn a_connections_own_certificate_and_authority_are_for_its_server_alone() {
    let loopback = include_bytes!("certificates/loopback.der");
    let port = mutual(loopback).await;
    let ca = pem("CERTIFICATE", loopback);
    let key = pem("PRIVATE KEY", include_bytes!("certificates/key.der"));
    let tls = serde_json::json!({
        "auth": {"kind": "none"}, "tls": {"certificate": ca, "key": key, "ca": ca},
    });
    let without = serde_json::json!({"auth": {"kind": "none"}, "tls": {"ca": ca}});
    let of = |extra: &serde_json::Value| {
        let mut connection = api(port, &extra.to_string());
        connection.schema = Some("https".into());
        let egress = Egress::with(Arc::new(SystemResolver), RootCertStore::empty());
        egress.logging_in(Kept::of(connection))
    };
    let url = format!("https://127.0.0.1:{port}/");
    let known = call(&of(&tls), permit("GET", &url), "api").await.unwrap();
    assert_eq!(whole(known).await, (200, Bytes::from("known")));
    let unknown = match call(&of(&without), permit("GET", &url), "api").await {
        Ok(response) => response.into_body().collect().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(
        unknown.is_err(),
        "a server that wants a certificate answered without"
    );
    // A call without the connection has neither.
    let plain = of(&tls)
        .send(permit("GET", &url), None, empty(), EgressLimits::default())
        .await;
    assert!(plain.unwrap_err().to_string().starts_with("AL-0424"));
}
