//! PostgreSQL that goes away: before a batch, and after having written it but before having said so.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use airlock_model::port::{Batch, Blobs, CommitError, RunStore, StoreError};
use airlock_store::{BlobFiles, Store};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

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

/// Stands between client and server. Once told to, it lets a COMMIT through and cuts the line instead of
/// bringing the answer back.
async fn relay(
    client: UnixStream,
    server: UnixStream,
    cut: Arc<AtomicBool>,
) -> std::io::Result<()> {
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
        let commit = sent.windows(6).any(|word| word == b"COMMIT");
        if commit && cut.swap(false, Ordering::SeqCst) {
            back.abort();
            // Aborted and awaited, so that it surely brings nothing back any more.
            let _ = back.await;
            to_server.write_all(sent).await?;
            // Closing our half makes the server end the session once it has done what it was told.
            to_server.shutdown().await?;
            return Ok(());
        }
        to_server.write_all(sent).await?;
    }
}

struct Setting {
    schema: Schema,
    store: Store,
    cut: Arc<AtomicBool>,
    _home: tempfile::TempDir,
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
    let home = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(home.path().join(".s.PGSQL.5432")).unwrap();
    let cut = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&cut);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = UnixStream::connect(&real).await.unwrap();
            tokio::spawn(relay(client, server, Arc::clone(&armed)));
        }
    });
    let url = schema.url_of(&format!(
        "postgres:///postgres?user=airlock&host={}",
        home.path().display()
    ));
    let blobs: Arc<dyn Blobs> = Arc::new(BlobFiles::open(home.path().join("blobs")).unwrap());
    let store = Store::open(&url, blobs).await.unwrap();
    store.migrate().await.unwrap();
    Some(Setting {
        schema,
        store,
        cut,
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
    let Some(Setting {
        schema,
        store,
        cut,
        _home,
    }) = setting().await
    else {
        return;
    };
    let run = new_run("weather", 1, 20);
    cut.store(true, Ordering::SeqCst);
    insist(&store, &creating(&[run.clone()])).await.unwrap();
    assert!(!cut.load(Ordering::SeqCst), "the line was cut");
    for i in 0..20 {
        cut.store(true, Ordering::SeqCst);
        insist(&store, &moving(vec![claimed(&run, i)]))
            .await
            .unwrap();
        assert!(!cut.load(Ordering::SeqCst), "the line was cut");
    }
    let tasks = store.task_instances(run.run.key).await.unwrap();
    assert!(tasks.iter().all(|task| task.fields.token.get() == 1));
    // Another host's claim is still told from one's own.
    let again = insist(&store, &moving(vec![claimed(&run, 0)])).await;
    assert!(matches!(again, Err(CommitError::Fenced(_))), "{again:?}");
    store.close().await;
    schema.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ended_all_sessions_is_met_again() {
    let Some(Setting {
        schema,
        store,
        _home,
        ..
    }) = setting().await
    else {
        return;
    };
    for number in 0..5 {
        let run = new_run("weather", number, 1);
        insist(&store, &creating(&[run])).await.unwrap();
        let mut other = <sqlx::PgConnection as sqlx::Connection>::connect(&schema.url())
            .await
            .unwrap();
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'airlock' AND pid <> pg_backend_pid()
                 AND query NOT LIKE '%pg_stat_activity%' AND $1 = ANY(SELECT nspname FROM pg_namespace)",
        )
        .bind("public")
        .execute(&mut other)
        .await
        .unwrap();
    }
    assert_eq!(unfinished(&store).await, 5);
    store.close().await;
    schema.drop().await;
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
