//! The API as a client meets it: a real server on a real socket, and a world of fakes behind it.

mod access;
mod assets;
mod audited;
mod backfills;
mod fuzz;
mod grants;
mod hostile;
mod ownership;
mod reading;
mod repairs;
mod settings;
mod waiting;
mod world;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Guards, router, serve::serve_patiently};
use world::{TOKEN, World};

/// Longer than any test lasts.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs until it is dropped.
struct Api {
    world: Arc<World>,
    address: SocketAddr,
    client: reqwest::Client,
    shutdown: CancellationToken,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn guards() -> Guards {
    Guards {
        allowed_hosts: vec!["airlock.example".to_owned()],
        public_metrics: false,
        body_limit: 64 * 1024,
        request_timeout: Duration::from_secs(30),
    }
}

impl Api {
    async fn start() -> Self {
        Self::start_with(&guards(), PATIENCE).await
    }

    async fn start_with(guards: &Guards, headers: Duration) -> Self {
        Self::start_in(World::new(), guards, headers).await
    }

    async fn start_in(world: Arc<World>, guards: &Guards, headers: Duration) -> Self {
        let state = world.state();
        let shutdown = state.shutdown.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(state, guards);
        let served = tokio::spawn(serve_patiently(
            listener,
            router,
            shutdown.clone(),
            PATIENCE,
            headers,
        ));
        Self {
            world,
            address,
            client: reqwest::Client::new(),
            shutdown,
            served: Some(served),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, self.url(path))
            .bearer_auth(TOKEN)
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, None).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

/// What every refusal must be: this status, with a code and a sentence.
fn assert_refused(found: (StatusCode, Value), status: u16, code: &str) {
    let (found_status, body) = found;
    assert_eq!(found_status, status, "{body}");
    assert_eq!(body["code"], code, "{body}");
    assert!(
        body["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{body}"
    );
}
