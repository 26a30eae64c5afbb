//! Which servers are believed to be who they say.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use airlock_capability::{Egress, SystemResolver};
use airlock_grant::port::{Egress as _, EgressError, EgressLimits};
use bytes::Bytes;
use http_body_util::BodyExt;
use rustls::{RootCertStore, pki_types::PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    empty, permit,
    server::{Server, closed},
};

/// A server that speaks TLS with this certificate, and answers once per connection.
async fn tls_server(certificate: &'static [u8]) -> SocketAddr {
    let key = PrivatePkcs8KeyDer::from(&include_bytes!("certificates/key.der")[..]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
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

async fn call(egress: &Egress, at: SocketAddr) -> Result<Bytes, EgressError> {
    let permit = permit("GET", &format!("https://{at}/"));
    let sent = egress.send(permit, None, empty(), EgressLimits::default());
    Ok(sent.await?.into_body().collect().await?.to_bytes())
}

#[tokio::test]
async fn only_a_server_with_a_trusted_certificate_for_its_address_is_spoken_to() {
    let loopback = include_bytes!("certificates/loopback.der");
    let elsewhere = include_bytes!("certificates/elsewhere.der");
    let mut roots = RootCertStore::empty();
    roots.add(loopback[..].into()).unwrap();
    roots.add(elsewhere[..].into()).unwrap();
    let trusting = Egress::with(Arc::new(SystemResolver), roots);
    let server = tls_server(loopback).await;
    assert_eq!(call(&trusting, server).await.unwrap(), "secret");
    let in_the_clear = Server::start(async |mut stream: TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        closed(&mut stream).await;
    })
    .await;
    let in_the_clear = (Ipv4Addr::LOCALHOST, in_the_clear.port).into();
    for (egress, at) in [
        (Egress::new(), server),
        (trusting, tls_server(elsewhere).await),
        (Egress::new(), in_the_clear),
    ] {
        let error = call(&egress, at).await.unwrap_err();
        assert!(error.to_string().starts_with("AL-0424"), "{error}");
    }
}
