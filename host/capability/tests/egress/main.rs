//! Outgoing HTTP against real servers on this machine's loopback address.
#![cfg(test)]

mod crowd;
mod login;
mod names;
mod reach;
mod server;
mod sizes;
mod times;
mod trust;

use std::path::Path;

use airlock_capability::Egress;
use airlock_grant::{
    BundleLabel, Caller, Effective, HttpTarget, Permit, Request,
    port::{Body, Egress as _, EgressError, EgressLimits},
};
use airlock_model::id::{BundleHash, BundleName, DagId, TaskId};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};

fn granting(url: &str, method: &str) -> Effective {
    let request = format!("[[request.http]]\nurl = \"{url}\"\nmethods = [\"{method}\"]\n");
    let request = Request::from_bundle_toml(&request).unwrap();
    Effective::grant_all(label(), &request, Path::new("/srv/caller"))
}

fn label() -> BundleLabel {
    BundleLabel {
        name: BundleName::new("caller").unwrap(),
        version: "0.1.0".into(),
        hash: BundleHash::from_bytes([7; 32]),
    }
}

fn task() -> Caller {
    Caller::task(DagId::new("d").unwrap(), TaskId::new("t").unwrap())
}

/// The permit to call this URL, which a bundle has that asks for all of its server.
fn permit(method: &str, url: &str) -> Permit<HttpTarget> {
    let target = HttpTarget::parse(method, url).unwrap();
    let all = format!("{}://{}/*", target.scheme().as_str(), target.authority());
    granting(&all, method).http(&task(), target).unwrap()
}

fn empty() -> http::Request<Body> {
    with_body("")
}

fn with_body(bytes: impl Into<Bytes>) -> http::Request<Body> {
    http::Request::new(
        Full::new(bytes.into())
            .map_err(|never| match never {})
            .boxed_unsync(),
    )
}

async fn get(url: &str, limits: EgressLimits) -> Result<http::Response<Body>, EgressError> {
    Egress::new()
        .send(permit("GET", url), None, empty(), limits)
        .await
}

/// Status and body of a call that succeeds.
async fn whole(response: http::Response<Body>) -> (u16, Bytes) {
    let status = response.status().as_u16();
    (
        status,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}
