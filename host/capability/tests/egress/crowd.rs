//! How many at once.

use std::time::Duration;

use airlock_capability::Egress;
use airlock_grant::{
    Effective, Grant, HttpGrant, HttpTarget, Permit, Request,
    port::{Egress as _, EgressError, EgressLimits},
};
use airlock_model::id::TeamName;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::{
    empty, label,
    server::{closed, head},
    task,
};

/// A server that begins every answer and ends none.
async fn unending() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                head(&mut stream).await;
                begin(&mut stream).await;
                closed(&mut stream).await;
            });
        }
    });
    url
}

async fn begin(stream: &mut TcpStream) {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart";
    stream.write_all(answer).await.unwrap();
}

/// The permit of a team's bundle to call this URL.
fn permit_of(team: &TeamName, url: &str) -> Permit<HttpTarget> {
    let asks = format!("[[request.http]]\nurl = \"{url}\"\n");
    let asks = Request::from_bundle_toml(&asks).unwrap();
    let mut grant = Grant::default();
    grant.http.push(HttpGrant {
        url: asks.http[0].url.clone(),
        methods: asks.http[0].methods.clone(),
        phases: None,
        dags: None,
        tasks: None,
    });
    let effective = Effective::new(team.clone(), label(), &asks, &grant);
    let target = HttpTarget::parse("GET", url).unwrap();
    effective.http(&task(), target).unwrap()
}

#[tokio::test]
async fn connections_beyond_a_teams_bound_wait_and_no_other_team_notices() {
    let url = unending().await;
    let [crowded, neighbour] = ["crowded", "neighbour"].map(|name| TeamName::new(name).unwrap());
    let egress = Egress::new().bounded([(crowded.clone(), 2)]);
    let (long, short) = (
        EgressLimits::default(),
        EgressLimits {
            connect: Duration::from_millis(50),
            ..EgressLimits::default()
        },
    );
    let call = |team, limits| egress.send(permit_of(team, &url), None, empty(), limits);
    let (first, _second) = (
        call(&crowded, long).await.unwrap(),
        call(&crowded, long).await.unwrap(),
    );
    let error = call(&crowded, short).await.map(drop).unwrap_err();
    assert!(matches!(error, EgressError::Busy { limit: 2 }), "{error}");
    assert!(error.to_string().contains("egress_connections"), "{error}");
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(call(&neighbour, long).await.unwrap());
    }

    // One that waits goes on as soon as another ends.
    let mut waiting = call(&crowded, long);
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("there is no slot"),
        () = std::future::ready(()) => drop(first),
    }
    waiting.await.unwrap();
}
