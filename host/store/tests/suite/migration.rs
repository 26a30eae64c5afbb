//! A database that the first schema's program has written is read as it was.
//!
//! `first_schema.sql` is what that program left in SQLite when it had done what [`history`] tells: the rows alone,
//! without the schema, each with its columns.

mod history;

use std::{collections::HashMap, path::Path, sync::Arc};

use airlock_model::{
    audit::AuditHead,
    id::{MapIndex, Scope, VariableKey},
    port::*,
};
use airlock_store::{BlobFiles, Store};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection, migrate::Migrator};

use crate::{fixture::*, server::Schema};
use history::*;

const ROWS: &str = include_str!("first_schema.sql");

/// The first migration alone, as the program that knew no other had it.
async fn first(of: &str) -> (tempfile::TempDir, Migrator) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("migrations")
        .join(of);
    let folder = tempfile::tempdir().unwrap();
    let name = "0001_foundation.sql";
    std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
    let migrator = Migrator::new(folder.path()).await.unwrap();
    (folder, migrator)
}

/// SQLite's literals of binary columns, as PostgreSQL writes them: 16 bytes are a key, others are a hash.
fn for_postgres(rows: &str) -> String {
    let mut parts = rows.split("X'");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (hex, rest) = part.split_once('\'').unwrap();
        let literal = match hex.len() {
            32 => format!("uuid '{hex}'"),
            _ => format!("decode('{hex}', 'hex')"),
        };
        text.push_str(&literal);
        text.push_str(rest);
    }
    text
}

/// Brings it up to date, twice, and reads everything.
async fn migrated_and_read(url: &str) {
    let home = tempfile::tempdir().unwrap();
    let blobs = Arc::new(BlobFiles::open(home.path().join("blobs")).unwrap());
    let store = Store::open(url, Arc::clone(&blobs) as Arc<dyn Blobs>)
        .await
        .unwrap();
    let old = store.schema().await.unwrap();
    assert_eq!(old.applied, 1);
    assert!(matches!(store.check().await, Err(StoreError::Refused(_))));
    for _ in 0..2 {
        store.migrate().await.unwrap();
        read(&store).await;
    }
    assert_eq!(store.check().await.unwrap().applied, old.known);
    goes_on(&store).await;
    // A run that was deleted has left a content behind.
    assert_eq!(store.remove_dropped_contents(&blobs).await.unwrap(), 1);
    store.close().await;
}

#[tokio::test]
async fn what_the_first_schemas_program_wrote_is_read_as_it_was_on_sqlite() {
    let home = tempfile::tempdir().unwrap();
    let url = sqlite_url(home.path());
    let (_folder, migrator) = first("sqlite").await;
    let mut db = SqliteConnection::connect(&format!("{url}?mode=rwc"))
        .await
        .unwrap();
    migrator.run_direct(None, &mut db, false).await.unwrap();
    sqlx::raw_sql(ROWS).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    migrated_and_read(&url).await;
}

#[tokio::test]
async fn what_the_first_schemas_program_wrote_is_read_as_it_was_on_postgres() {
    let Some(schema) = Schema::create().await else {
        return;
    };
    let url = schema.url();
    let done = tokio::spawn(async move {
        let (_folder, migrator) = first("postgres").await;
        let mut db = PgConnection::connect(&url).await.unwrap();
        migrator.run_direct(None, &mut db, false).await.unwrap();
        let rows = AssertSqlSafe(for_postgres(ROWS));
        sqlx::raw_sql(rows).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
        migrated_and_read(&url).await;
    })
    .await;
    schema.drop().await;
    if let Err(failed) = done {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// All that ports tell of it.
async fn read(store: &Store) {
    let [ended, running] = runs_now();
    let unfinished = store.unfinished().await.unwrap();
    assert_eq!(unfinished.len(), 1);
    assert_eq!(unfinished[0].run, running.run);
    assert_eq!(unfinished[0].tasks, running.tasks);
    let stored = store.stored_run(ended.run.key).await.unwrap().unwrap();
    assert_eq!((&stored.run, &stored.tasks), (&ended.run, &ended.tasks));
    let lengths: Vec<_> = stored
        .returned
        .iter()
        .map(|(at, n)| (at.task.0, *n))
        .collect();
    assert_eq!(lengths, [(0, 3)]);
    let past = store.past_tries(key(&ended, 1)).await.unwrap();
    assert_eq!(past, [past_try()]);
    assert_eq!(store.progress().await.unwrap(), [progress()]);

    for xcom in xcoms(&ended) {
        let (run, task) = (xcom.key.run, xcom.key.task);
        let found = store.xcom_of(run, task, MapIndex::UNMAPPED, &xcom.name);
        assert_eq!(found.await.unwrap(), xcom.value);
    }

    let dag = store.dag(&dag_id("weather")).await.unwrap().unwrap();
    assert_eq!(dag, stored_dag());
    let definition = store.definition(&ended.run.definition).await.unwrap();
    assert_eq!(definition, Some(dag.spec.clone()));
    let task = dag.spec.tasks[0].task_id.parse().unwrap();
    assert!(
        store
            .had_task(&dag.dag_id, &task, at(9_000_000))
            .await
            .unwrap()
    );
    assert_eq!(store.import_errors(None).await.unwrap(), [import_error()]);
    assert_eq!(store.active().await.unwrap(), [version()]);
    let parsed = store.parse_result(&parse_key()).await.unwrap();
    assert_eq!(parsed, Some(parse_result()));

    let (backfill, of_it) = backfill(&ended);
    assert_eq!(
        store.backfill(backfill.id).await.unwrap(),
        Some(backfill.clone())
    );
    assert_eq!(store.backfill_runs(backfill.id).await.unwrap(), of_it);

    let events = store
        .events(&EventFilter::default(), Page::ALL)
        .await
        .unwrap();
    assert_eq!(events.items, asset_events(&ended));
    assert_eq!(
        store.consumed_by(running.run.key).await.unwrap(),
        asset_events(&ended)[..1]
    );
    let queue: Vec<_> = store
        .queue()
        .await
        .unwrap()
        .into_iter()
        .map(queue_change)
        .collect();
    assert_eq!(queue, [queued()]);
    let aliases = store.alias_assets().await.unwrap();
    assert_eq!(aliases, [("any rain".to_owned(), rain())]);
    let asset = store.asset(&rain()).await.unwrap().unwrap();
    assert_eq!(asset.uri.as_deref(), Some("s3://rain"));
    assert_eq!((asset.uses.len(), asset.last_event), (2, Some(at(31))));
    assert_eq!(store.consumers().await.unwrap().len(), 1);

    let global = Scope::Global;
    let name = VariableKey::new("city").unwrap();
    assert_eq!(
        store.variable(&global, &name).await.unwrap(),
        Some(variable())
    );
    assert_eq!(
        store.connection(&global, &connection().id).await.unwrap(),
        Some(connection())
    );
    let pools: HashMap<_, _> = store
        .pools()
        .await
        .unwrap()
        .into_iter()
        .map(|pool| (pool.name.clone(), pool))
        .collect();
    assert_eq!(pools.get(&pool().name), Some(&pool()));
    // What is new is empty.
    assert_eq!(store.audit_head().await.unwrap(), AuditHead::EMPTY);
    assert!(store.deadlines_ahead().await.unwrap().is_empty());
    assert!(store.callback_counts().await.unwrap().is_empty());
    assert_eq!(store.next_trigger_due().await.unwrap(), None);
    assert_eq!(store.next_callback_due().await.unwrap(), None);
    let took = store.durations(&dag_id("weather"), 9).await.unwrap();
    assert_eq!(took, [std::time::Duration::from_micros(85)]);
}

/// The run that was under way goes on, and a task instance of it may now wait.
async fn goes_on(store: &Store) {
    let [_, mut running] = runs_now();
    let change = moved(&running, 0, |fields| {
        fields.state = Some(airlock_model::state::TaskState::Deferred);
        fields.deferred = Some(Arc::new(airlock_model::trigger::Deferred {
            trigger: airlock_model::trigger::Trigger::Time(at(9)),
            resume: airlock_model::trigger::Resume {
                method: "go_on".into(),
                arguments: "{}".into(),
            },
            since: at(8),
            until: None,
            event: None,
        }));
    });
    running.tasks[0].fields = change.fields.clone();
    store.commit(&moving(vec![change])).await.unwrap();
    assert_eq!(store.unfinished().await.unwrap()[0].tasks, running.tasks);
}
