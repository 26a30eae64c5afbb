//! Tasks that write to a database and read from it, while nobody but the host knows its password.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::{path::Path, process::Command};

use airlock_tests::{Host, checkout, escape, guest};
use serde_json::json;
use tempfile::TempDir;

const PASSWORD: &str = "correct-horse-battery-staple";

/// Where the tests' PostgreSQL listens.
fn socket() -> String {
    let url = std::env::var("AIRLOCK_TEST_POSTGRES_URL").unwrap_or_else(|_| {
        let script = checkout().join("tests/postgres");
        let started = Command::new(script).arg("start").output().unwrap();
        assert!(started.status.success(), "{started:?}");
        String::from_utf8(started.stdout).unwrap()
    });
    let (_, socket) = url.trim().split_once("host=").unwrap();
    socket.to_owned()
}

/// A database of a role of its own, by their name.
async fn database(socket: &str) -> String {
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .socket(socket)
        .username("airlock")
        .database("postgres");
    let session = <sqlx::PgConnection as sqlx::Connection>::connect_with(&options);
    let mut session = session.await.unwrap();
    let name = format!("w{}", rand::random::<u64>());
    for text in [
        format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'"),
        format!("CREATE DATABASE {name} OWNER {name}"),
    ] {
        let text = sqlx::AssertSqlSafe(text);
        sqlx::raw_sql(text).execute(&mut session).await.unwrap();
    }
    name
}

/// Whether any file below the folder holds the password.
fn holds_the_password(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds_the_password(&path),
            false => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let mut windows = bytes.windows(PASSWORD.len());
                windows.any(|window| window == PASSWORD.as_bytes())
            }
        }
    })
}

#[tokio::test]
async fn a_task_loads_rows_over_a_connection_whose_password_only_the_host_knows() {
    let socket = socket();
    let name = database(&socket).await;
    let home = TempDir::new().unwrap();
    let config = format!(
        "[[team]]\nname = \"data\"\n[[team.bundle]]\nname = \"warehouse\"\nsource = \"{}\"\n\
         [[team.bundle.grant.connection]]\nid = \"warehouse\"\naccess = \"use\"\n\
         [[team.bundle.grant.variable]]\nkey = \"pause\"\n",
        guest("warehouse").display()
    );
    let host = Host::start_in(home.path(), &config);
    host.dag("warehouse").await;
    let connection = json!({
        "connection_id": "warehouse", "conn_type": "postgres", "host": socket, "login": name, "schema": name,
        "password": PASSWORD,
    });
    let set = host.post("/connections?team=data", connection).await;
    assert_eq!(set["connection_id"], "warehouse", "{set}");
    let run = host
        .trigger("warehouse", json!({"logical_date": null}))
        .await;
    assert_eq!(
        host.ended("warehouse", &run).await,
        "success",
        "{}",
        host.log()
    );
    let xcom = format!(
        "/dags/warehouse/dagRuns/{}/taskInstances/summary/xcomEntries/return_value",
        escape(&run)
    );
    let summary = host.get(&xcom).await.to_string();
    assert!(summary.contains("2012-01-07 28"), "{summary}");

    // A second time the rows are there, and the database refuses.
    let run = host
        .trigger("warehouse", json!({"logical_date": null}))
        .await;
    assert_eq!(host.ended("warehouse", &run).await, "failed");
    let tries = format!(
        "/dags/warehouse/dagRuns/{}/taskInstances/load",
        escape(&run)
    );
    let logs = host.get(&format!("{tries}/logs/1")).await.to_string();
    let tries = host.get(&tries).await.to_string();
    let audit = host.get("/audit").await.to_string();
    for text in [
        tries,
        logs,
        audit,
        summary,
        host.log(),
        host.metrics().await,
    ] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    drop(host);
    assert!(!holds_the_password(home.path()));
}
