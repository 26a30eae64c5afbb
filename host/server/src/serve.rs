//! Connections: how many, how long they may take to say what they want, and how they end.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// Connections at once; more wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;
/// Bytes of a request's line and headers together.
const HEADER_BYTES: usize = 64 * 1024;
/// Headers of a request.
const MOST_HEADERS: usize = 100;
/// How long accepting pauses when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a connection may take for the headers of a request, and stay open without one.
const HEADER_TIME: Duration = Duration::from_secs(15);

/// Serves until `shutdown` is cancelled; then accepts nothing more, lets requests that are under way end for
/// at most `grace`, and closes what is left.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    grace: Duration,
) {
    serve_patiently(listener, router, shutdown, grace, HEADER_TIME).await;
}

/// The same, with the time that headers may take.
pub(crate) async fn serve_patiently(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    grace: Duration,
    headers: Duration,
) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let connections = TaskTracker::new();
    let abandon = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, permit)) => {
                let connection = connection(stream, router.clone(), shutdown.clone(), headers);
                let abandon = abandon.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = abandon.cancelled() => {}
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // The client is gone already, or the system is out of descriptors: neither is for ever.
                tracing::warn!("a connection was not accepted: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(grace, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            "{} connections did not end in time and are closed",
            connections.len()
        );
        abandon.cancel();
        connections.wait().await;
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are small: waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn connection(
    stream: TcpStream,
    router: Router,
    shutdown: CancellationToken,
    headers: Duration,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move {
            let answered: Result<_, Infallible> = router.oneshot(request.map(Body::new)).await;
            answered
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(headers)
        .max_buf_size(HEADER_BYTES)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}
