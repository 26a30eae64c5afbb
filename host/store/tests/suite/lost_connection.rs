//! PostgreSQL that goes away (before a batch, or after having written it but before having said so), and
//! callers that go away before it has answered.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use airlock_model::port::{Batch, Blobs, CommitError, RunStore, StoreError};
use airlock_store::{BlobFiles, Store};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Notify,
};

use uuid::Uuid;

use crate::{fixture::*, server::Schema};

/// Where the test server's socket is; a server elsewhere is not stood in front of.
fn socket(url: &str) -> Option<PathBuf> {
    let folder = url
        .split(['?', '&'])
        .find_map(|part| part.strip_prefix("host="))?;
    folder
        .starts_with('/')
        .then(|| Path::new(folder).join(".s.PGSQL.5432"))
}

/// What the relay between client and server is told to do, once each.
#[derive(Default)]
struct Line {
    /// Let a COMMIT through and cut the line instead of bringing the answer back.
    cut: AtomicBool,
    /// Keep a BEGIN back until `release`, and say so by `held`.
    hold: AtomicBool,
    held: Notify,
    release: Notify,
}

async fn relay(client: UnixStream, server: UnixStream, line: Arc<Line>) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move {
        tokio::io::copy(&mut from_server, &mut to_client)
            .await
            .map(|_| from_server)
    });
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = from_client.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let sent = &buffer[..read];
        let says = |word: &[u8]| sent.windows(word.len()).any(|part| part == word);
        if says(b"COMMIT") && line.cut.swap(false, Ordering::SeqCst) {
            back.abort();
            // Aborted and awaited, so that it surely brings nothing back any more.
            let _ = back.await;
            to_server.write_all(sent).await?;
            // Closing our half makes the server end the session once it has done what it was told.
            to_server.shutdown().await?;
            return Ok(());
        }
        if says(b"BEGIN") && line.hold.swap(false, Ordering::SeqCst) {
            line.held.notify_one();
            line.release.notified().await;
        }
        to_server.write_all(sent).await?;
    }
}

struct Setting {
    schema: Schema,
    store: Arc<Store>,
    line: Arc<Line>,
    /// The role of this test's sessions alone: other tests use the same server.
    role: String,
    _home: tempfile::TempDir,
}

impl Setting {
    async fn end(self) {
        self.store.close().await;
        self.schema.drop().await;
        administer(format!("DROP ROLE {}", self.role)).await;
    }
}

async fn administer(statement: String) {
    let server = crate::server::postgres_url().unwrap();
    let mut connection = PgConnection::connect(&server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .unwrap();
}

async fn setting() -> Option<Setting> {
    let schema = Schema::create().await?;
    let Some(real) = socket(&schema.url()) else {
        eprintln!(
            "SKIPPED: the test server is not on a unix socket, so nothing can stand in front of it"
        );
        schema.drop().await;
        return None;
    };
    let role = format!("role_{}", Uuid::now_v7().simple());
    administer(format!("CREATE ROLE {role} LOGIN SUPERUSER")).await;
    let home = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(home.path().join(".s.PGSQL.5432")).unwrap();
    let line = Arc::<Line>::default();
    let told = Arc::clone(&line);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = UnixStream::connect(&real).await.unwrap();
            tokio::spawn(relay(client, server, Arc::clone(&told)));
        }
    });
    let server = format!(
        "postgres:///postgres?user={role}&host={}",
        home.path().display()
    );
    let blobs: Arc<dyn Blobs> = Arc::new(BlobFiles::open(home.path().join("blobs")).unwrap());
    let store = Store::open(&schema.url_of(&server), blobs).await.unwrap();
    store.migrate().await.unwrap();
    let store = Arc::new(store);
    Some(Setting {
        schema,
        store,
        line,
        role,
        _home: home,
    })
}

/// Commits until the store says what became of the batch, as the scheduler does.
async fn insist(store: &Store, batch: &Batch) -> Result<(), CommitError> {
    loop {
        match store.commit(batch).await {
            Err(CommitError::Store(StoreError::Unavailable(_))) => tokio::task::yield_now().await,
            other => return other,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_commit_was_not_answered_counts_once() {
    let Some(setting) = setting().await else {
        return;
    };
    let (store, cut) = (&setting.store, &setting.line.cut);
    let run = new_run("weather", 1, 20);
    cut.store(true, Ordering::SeqCst);
    insist(store, &creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    assert!(!cut.load(Ordering::SeqCst), "the line was cut");
    for i in 0..20 {
        cut.store(true, Ordering::SeqCst);
        insist(store, &moving(vec![claimed(&run, i)]))
            .await
            .unwrap();
        assert!(!cut.load(Ordering::SeqCst), "the line was cut");
    }
    let tasks = store.task_instances(run.run.key).await.unwrap();
    assert!(tasks.iter().all(|task| task.fields.token.get() == 1));
    // Another host's claim is still told from one's own.
    let again = insist(store, &moving(vec![claimed(&run, 0)])).await;
    assert!(matches!(again, Err(CommitError::Fenced(_))), "{again:?}");
    setting.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ended_all_sessions_is_met_again() {
    let Some(setting) = setting().await else {
        return;
    };
    for number in 0..5 {
        let run = new_run("weather", number, 1);
        insist(&setting.store, &creating(&[run])).await.unwrap();
        administer(format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
            setting.role
        ))
        .await;
    }
    assert_eq!(unfinished(&setting.store).await, 5);
    setting.end().await;
}

/// Sessions of a role that are not at rest.
async fn restless(role: &str) -> Vec<String> {
    let server = crate::server::postgres_url().unwrap();
    let mut connection = PgConnection::connect(&server).await.unwrap();
    sqlx::query_scalar("SELECT state FROM pg_stat_activity WHERE usename = $1 AND state <> 'idle'")
        .bind(role)
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

/// The server would keep the transaction's view of the world, and whoever gets the connection next its error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_while_a_transaction_begins_leaves_none_open() {
    let Some(setting) = setting().await else {
        return;
    };
    for reads in [true, false, true, false] {
        setting.line.hold.store(true, Ordering::SeqCst);
        let store = Arc::clone(&setting.store);
        let caller = tokio::spawn(async move {
            match reads {
                true => drop(store.unfinished().await),
                false => drop(store.commit(&creating(&[new_run("weather", 1, 1)])).await),
            }
        });
        setting.line.held.notified().await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        setting.line.release.notify_one();
        let at_rest = async { while !restless(&setting.role).await.is_empty() {} };
        let at_rest = tokio::time::timeout(std::time::Duration::from_secs(10), at_rest).await;
        assert!(
            at_rest.is_ok(),
            "reads {reads}: {:?}",
            restless(&setting.role).await
        );
        setting.store.unfinished().await.unwrap();
    }
    setting.end().await;
}

async fn unfinished(store: &Store) -> usize {
    loop {
        match store.unfinished().await {
            Ok(runs) => return runs.len(),
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}
