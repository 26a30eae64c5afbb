//! The schema's version.

use airlock_model::port::{Blobs, RunStore, StoreError};
use airlock_store::{BlobFiles, Store};
use sqlx::Connection;
use std::sync::Arc;

use crate::{fixture::*, on_both};

on_both! {
    migrating_twice_changes_nothing,
    a_newer_schema_is_refused,
    an_unmigrated_database_is_told_to_migrate,
}

async fn migrating_twice_changes_nothing(fresh: Fresh) {
    let before = fresh.store.check().await.unwrap();
    assert_eq!(before.applied, before.known);
    fresh.store.migrate().await.unwrap();
    assert_eq!(fresh.store.check().await.unwrap(), before);
}

async fn execute(url: &str, statement: &'static str) {
    if url.starts_with("sqlite") {
        let mut db = sqlx::SqliteConnection::connect(url).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
    } else {
        let mut db = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
    }
}

async fn a_newer_schema_is_refused(fresh: Fresh) {
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'of the future', TRUE, '', 0)";
    execute(&fresh.url, newer).await;
    assert!(
        matches!(fresh.store.check().await, Err(StoreError::Corrupt(why)) if why.contains("9999"))
    );
    assert!(
        matches!(fresh.store.migrate().await, Err(StoreError::Corrupt(why)) if why.contains("9999"))
    );
}

async fn an_unmigrated_database_is_told_to_migrate(fresh: Fresh) {
    execute(&fresh.url, "DROP TABLE _sqlx_migrations").await;
    assert_eq!(fresh.store.schema().await.unwrap().applied, 0);
    assert!(
        matches!(fresh.store.check().await, Err(StoreError::Refused(why)) if why.contains("db migrate"))
    );
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error_and_stays_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("airlock.db");
    let text = "precious ".repeat(1_000);
    std::fs::write(&path, &text).unwrap();
    let blobs: Arc<dyn Blobs> = Arc::new(BlobFiles::open(home.path().join("blobs")).unwrap());
    let refused = Store::open(&sqlite_url(home.path()), Arc::clone(&blobs)).await;
    assert!(
        matches!(refused, Err(StoreError::Corrupt(_))),
        "{refused:?}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    for url in [
        "mysql://x",
        "/tmp/x",
        "postgres://[",
        "sqlite:///nowhere/at/all/airlock.db",
    ] {
        let refused = Store::open(url, Arc::clone(&blobs)).await;
        assert!(
            matches!(
                refused,
                Err(StoreError::Refused(_) | StoreError::Unavailable(_))
            ),
            "{url} {refused:?}"
        );
    }
}

#[tokio::test]
async fn the_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let blobs: Arc<dyn Blobs> = Arc::new(BlobFiles::open(home.path().join("blobs")).unwrap());
    let store = Store::open(&sqlite_url(home.path()), blobs).await.unwrap();
    store.migrate().await.unwrap();
    store
        .commit(&creating(&[new_run("weather", 1, 1)]))
        .await
        .unwrap();
    for file in ["airlock.db", "airlock.db-wal", "airlock.db-shm"] {
        let mode = home
            .path()
            .join(file)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
}
