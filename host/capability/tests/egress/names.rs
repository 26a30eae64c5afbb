//! What a server's name may lead to.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

use airlock_capability::{Egress, Resolve};
use airlock_grant::port::{Egress as _, EgressError, EgressLimits};
use async_trait::async_trait;

use crate::{empty, permit};

/// Gives fixed addresses, and counts how often it was asked.
struct Fixed(Vec<IpAddr>, Mutex<u32>);

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

/// What comes of a call to a name with these addresses, and how often they were asked for.
async fn called(addresses: &[&str], url: &str) -> (EgressError, u32) {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let resolver = Arc::new(Fixed(addresses, Mutex::new(0)));
    let egress = Egress::with(resolver.clone(), rustls::RootCertStore::empty());
    let sent = egress.send(permit("GET", url), None, empty(), EgressLimits::default());
    let error = sent.await.map(drop).unwrap_err();
    let asked = *resolver.1.lock().unwrap();
    (error, asked)
}

#[tokio::test]
async fn a_name_that_means_a_special_address_is_not_called() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
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
        let (error, _) = called(addresses, &url).await;
        let private = matches!(error, EgressError::Private { .. });
        assert!(private, "{addresses:?} {error}");
    }
    assert!(listener.accept().is_err());
}

#[tokio::test]
async fn a_name_is_resolved_once_so_that_its_second_meaning_does_not_count() {
    let url = "http://rebinding.example.com/";
    let (error, asked) = called(&["192.0.2.1"], url).await;
    assert!(matches!(error, EgressError::Private { .. }), "{error}");
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn a_name_without_an_address_is_not_found() {
    let (error, _) = called(&[], "http://nowhere.example.com/").await;
    assert!(error.to_string().starts_with("AL-0422"), "{error}");
}
