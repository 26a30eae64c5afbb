//! Statements of real guests, on a real database.

use std::{sync::Arc, time::Duration};

use airlock_capability::Databases;
use airlock_grant::Grant;
use airlock_model::{
    connection::Connection,
    id::ConnectionId,
    mask::Sensitive,
    outcome::{FailureKind, Outcome},
};
use tokio::sync::oneshot;

use crate::{
    guests::guest,
    regrant::regrant,
    stage::{Bundle, Stage, assert_failure, failed, grant, request, small},
};

const WANTED: &str =
    "[[request.connection]]\nid = \"warehouse\"\n[[request.variable]]\nkey = \"pause\"\n";
const GRANTED: &str =
    "[[connection]]\nid = \"warehouse\"\naccess = \"use\"\n[[variable]]\nkey = \"pause\"\n";

/// A team with a guest that may use a database, which is a file.
fn staged() -> (Stage, Bundle) {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    let connection = Connection {
        id: ConnectionId::new("warehouse").unwrap(),
        conn_type: "sqlite".into(),
        description: None,
        host: None,
        port: None,
        login: None,
        password: Some(Sensitive::new("nobody knows it")),
        schema: Some(stage.folder().join("data.db").to_str().unwrap().into()),
        extra: None,
    };
    let name = ("a".to_owned(), "warehouse".to_owned());
    let connections = &stage.world.connections;
    connections.lock().unwrap().insert(name, connection);
    let handle = tokio::runtime::Handle::current();
    let databases = Databases::new(Arc::clone(&stage.world) as _, 4, [], handle);
    *stage.world.databases.lock().unwrap() = Some(databases);
    let bundle = stage
        .load(&team, guest("warehouse"), &request(WANTED), &grant(GRANTED))
        .unwrap();
    (stage, bundle)
}

#[tokio::test]
async fn a_task_writes_and_reads_rows_and_never_sees_the_password() {
    let (stage, bundle) = staged();
    assert_eq!(stage.value(&bundle, "warehouse::load", &["7"]).await, "7");
    let summary = stage.value(&bundle, "warehouse::summary", &["7"]).await;
    assert_eq!(summary, "\"2012-01-07 28\"");
    let again = failed(stage.run(&bundle, "warehouse::load", &["1"]).await);
    assert!(again.message.contains("UNIQUE"), "{again:?}");
    let messages = stage.world.messages().join("\n");
    assert!(!messages.contains("nobody knows it"), "{messages}");
}

#[tokio::test]
async fn a_transaction_ends_with_its_try_however_that_ends() {
    let (stage, bundle) = staged();
    stage.value(&bundle, "warehouse::leaves_open", &[]).await;
    let mut work = stage.work(&bundle, "warehouse::holds", &[]);
    work.execution_timeout = Some(Duration::from_millis(300));
    let ended = stage.dispatch(work).await.unwrap();
    let failure = failed(ended.outcome);
    assert_failure(&failure, FailureKind::Timeout, &["AL-0512"]);
    // Who writes now waits until nobody else does; and finds nothing of what was left.
    assert_eq!(stage.value(&bundle, "warehouse::load", &["1"]).await, "1");
    let summary = stage.value(&bundle, "warehouse::summary", &["1"]).await;
    assert_eq!(summary, "\"2012-01-01 1\"");
}

#[tokio::test]
async fn what_is_open_is_worth_nothing_once_its_connection_is_taken_back() {
    let (stage, bundle) = staged();
    stage.world.set_variable("a", "pause", "on");
    let mut connection = {
        let name = ("a".to_owned(), "warehouse".to_owned());
        stage.value(&bundle, "warehouse::load", &["1"]).await;
        stage.world.connections.lock().unwrap()[&name].clone()
    };
    // Two transactions at once can be had where nobody writes.
    connection.extra = Some(Sensitive::new("{\"read_only\": true}"));
    let name = ("a".to_owned(), "warehouse".to_owned());
    let connections = &stage.world.connections;
    connections.lock().unwrap().insert(name, connection);
    let goes_on = async |regranted: Option<Grant>| {
        let ((reached, is_reached), (go_on, wait)) = (oneshot::channel(), oneshot::channel());
        *stage.world.paused.lock().unwrap() = Some((reached, wait));
        let ended = stage.dispatch(stage.work(&bundle, "warehouse::goes_on", &[]));
        is_reached.await.unwrap();
        if let Some(granted) = regranted {
            regrant(&stage, &bundle, &granted);
        }
        go_on.send(()).unwrap();
        match ended.await.unwrap().outcome {
            Outcome::Success { xcoms, .. } => xcoms[0].1.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let all = goes_on(None).await;
    assert_eq!(all, "\"done, done, done, done, done, done, done\"");
    let none = goes_on(Some(grant("[[variable]]\nkey = \"pause\"\n"))).await;
    let denied = ["AL-0412"; 7].join(", ");
    // The rows were with the guest already.
    let (rows, denied) = (
        format!("\"{denied}\""),
        format!("\"done, {}\"", ["AL-0412"; 6].join(", ")),
    );
    assert!(none == rows || none == denied, "{none}");
}

#[tokio::test]
async fn what_does_not_come_through_is_an_error_of_its_kind_and_told_to_the_audit() {
    let (stage, bundle) = staged();
    let told = stage.value(&bundle, "warehouse::wants_more", &[]).await;
    let wanted = [
        "AL-0463",
        "AL-0463",
        "AL-0463",
        "AL-0463",
        "AL-0481",
        "the database",
        "AL-0412",
    ];
    assert_eq!(told, format!("\"{}\"", wanted.join(", ")));
    let denied = stage.world.denied.lock().unwrap();
    let codes: Vec<&str> = denied.iter().map(|denied| denied.code).collect();
    assert_eq!(
        codes,
        ["AL-0463", "AL-0463", "AL-0463", "AL-0463", "AL-0412"]
    );
    assert_eq!(denied[0].item, "connection `warehouse`");
}
