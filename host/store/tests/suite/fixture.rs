//! Fresh databases, and things to put into them.

use std::{future::Future, path::Path, sync::Arc};

use airlock_model::{
    dag::{DagSpec, Schedule, TaskSpec},
    id::*,
    port::*,
    state::{RunState, RunType, TaskState},
    time::Timestamp,
};
use airlock_store::{BlobFiles, Store};
use tempfile::TempDir;
use uuid::Uuid;

use crate::server::Schema;

/// A database with its schema in place.
pub(crate) struct Fresh {
    pub(crate) store: Arc<Store>,
    pub(crate) blobs: Arc<BlobFiles>,
    pub(crate) url: String,
    _home: TempDir,
}

impl Fresh {
    async fn new(home: TempDir, url: String) -> Self {
        let blobs = Arc::new(BlobFiles::open(home.path().join("blobs")).unwrap());
        let store = open(&url, &blobs).await;
        store.migrate().await.unwrap();
        Self {
            store: Arc::new(store),
            blobs,
            url,
            _home: home,
        }
    }

    /// Another host's view of the same database.
    pub(crate) async fn another(&self) -> Store {
        open(&self.url, &self.blobs).await
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        use sqlx::{AssertSqlSafe, Connection};
        let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        if self.url.starts_with("sqlite") {
            let mut db = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(count).fetch_one(&mut db).await.unwrap()
        } else {
            let mut db = sqlx::PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(count).fetch_one(&mut db).await.unwrap()
        }
    }
}

async fn open(url: &str, blobs: &Arc<BlobFiles>) -> Store {
    Store::open(url, Arc::clone(blobs) as Arc<dyn Blobs>)
        .await
        .unwrap()
}

pub(crate) fn sqlite_url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("airlock.db").display())
}

/// Runs a test on a file of its own.
pub(crate) async fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(Fresh) -> F) {
    let home = tempfile::tempdir().unwrap();
    let url = sqlite_url(home.path());
    test(Fresh::new(home, url).await).await;
}

/// Runs a test in a schema of its own.
pub(crate) async fn on_postgres<F>(test: impl FnOnce(Fresh) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Some(schema) = Schema::create().await else {
        return;
    };
    let fresh = Fresh::new(tempfile::tempdir().unwrap(), schema.url()).await;
    // In a task of its own, so that the schema goes away also when the test fails.
    let done = tokio::spawn(test(fresh)).await;
    schema.drop().await;
    if let Err(failed) = done {
        std::panic::resume_unwind(failed.into_panic());
    }
}

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

pub(crate) fn team(name: &str) -> TeamName {
    TeamName::new(name).unwrap()
}

pub(crate) fn dag_id(name: &str) -> DagId {
    DagId::new(name).unwrap()
}

pub(crate) fn bundle(name: &str) -> BundleName {
    BundleName::new(name).unwrap()
}

pub(crate) fn hash(byte: u8) -> BundleHash {
    BundleHash::from_bytes([byte; 32])
}

/// A queued run with tasks that nobody has looked at.
pub(crate) fn new_run(dag: &str, number: i64, tasks: u32) -> NewRun {
    let key = RunKey(Uuid::now_v7());
    NewRun {
        run: RunRow {
            key,
            dag_id: dag_id(dag),
            run_id: RunId::new(format!("scheduled__{number}")).unwrap(),
            team: team("default"),
            run_type: RunType::Scheduled,
            state: RunState::Queued,
            hash: hash(1),
            definition: DefinitionHash::from_bytes([2; 32]),
            logical_date: Some(at(number * 1_000_000)),
            data_interval: Some((at(number * 1_000_000), at((number + 1) * 1_000_000))),
            run_after: at((number + 1) * 1_000_000),
            queued_at: at(5),
            started_at: None,
            ended_at: None,
            conf: "{}".into(),
            ends_as: None,
            clear_number: 0,
            backfill: None,
            note: None,
        },
        tasks: (0..tasks).map(|i| task(key, i)).collect(),
    }
}

fn task(run: RunKey, i: u32) -> TaskRow {
    TaskRow {
        run,
        task: TaskIndex(i),
        task_id: TaskId::new(format!("task_{i}")).unwrap(),
        map_index: MapIndex::UNMAPPED,
        pool: PoolName::default_pool(),
        pool_slots: 1,
        priority: 1,
        fields: TaskFields {
            state: None,
            try_number: 0,
            max_tries: 3,
            token: Token::default(),
            queued_at: None,
            started_at: None,
            ended_at: None,
            next_try_at: None,
            note: None,
            failure: None,
            first_started_at: None,
            downstream: None,
            deferred: None,
        },
    }
}

/// A task instance of a run, moved by `change`.
pub(crate) fn moved(run: &NewRun, i: u32, change: impl FnOnce(&mut TaskFields)) -> TaskChange {
    let task = &run.tasks[i as usize];
    let mut fields = task.fields.clone();
    change(&mut fields);
    TaskChange {
        key: key(run, i),
        expected: task.fields.token,
        fields,
    }
}

/// The claim of a first try.
pub(crate) fn claimed(run: &NewRun, i: u32) -> TaskChange {
    moved(run, i, |fields| {
        fields.state = Some(TaskState::Queued);
        fields.try_number = 1;
        fields.token = fields.token.next();
        fields.queued_at = Some(at(10));
    })
}

pub(crate) fn key(run: &NewRun, i: u32) -> TaskInstanceKey {
    TaskInstanceKey {
        run: run.run.key,
        task: TaskIndex(i),
        map_index: MapIndex::UNMAPPED,
    }
}

pub(crate) fn creating(runs: &[NewRun]) -> Batch {
    Batch {
        new_runs: runs.to_vec(),
        ..Batch::default()
    }
}

pub(crate) fn moving(tasks: Vec<TaskChange>) -> Batch {
    Batch {
        tasks,
        ..Batch::default()
    }
}

pub(crate) fn spec(dag: &str) -> DagSpec {
    DagSpec {
        dag_id: dag.into(),
        description: Some("for people \u{1b}[31m\0".into()),
        schedule: Schedule::cron("@daily", None),
        start_date: Some(at(0)),
        catchup: true,
        max_active_tasks: Some(4),
        tasks: vec![TaskSpec {
            task_id: "observe".into(),
            entry: "observe".into(),
            retries: 2,
            retry_delay: std::time::Duration::from_secs(30),
            ..TaskSpec::default()
        }],
        ..DagSpec::default()
    }
}
