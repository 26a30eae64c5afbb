//! Moves the write-ahead log into the database file, beside the commits instead of in one of them.
//!
//! A PASSIVE checkpoint waits for nobody and holds up nobody, but while commits keep coming it never reaches
//! the log's end, and only from there can the log be begun anew. So once the log is long, a second pass runs
//! while the writer is held for the few pages that came meanwhile. The file keeps its length then: writing
//! over it costs a sync less than growing it. Only a log that a long reader made very long is cut.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{Mutex, Notify},
    task::JoinHandle,
};

use super::Writer;

/// Rows written between two passes. A row touches about one page of 4 KiB.
const ROWS: usize = 1_000;
/// Pages in the log from which on it is begun anew: 16 MiB.
const RESTART: i64 = 4_096;
/// Pages in the log from which on its file is cut: 64 MiB.
const TRUNCATE: i64 = 16_384;

/// Counts what is written and wakes the task that does the checkpoints.
#[derive(Debug)]
pub(super) struct Checkpoints {
    due: Arc<Due>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Due {
    rows: AtomicUsize,
    wake: Notify,
}

impl Checkpoints {
    pub(super) fn start(options: SqliteConnectOptions, writer: Arc<Mutex<Writer>>) -> Self {
        let due = Arc::<Due>::default();
        let options = options
            // Where a reader is in the way, the next pass does it.
            .busy_timeout(std::time::Duration::ZERO)
            .thread_name(|_| "sqlite-checkpoint".to_owned());
        let task = tokio::spawn(run(Arc::clone(&due), options, writer));
        Self { due, task }
    }

    pub(super) fn note(&self, rows: usize) {
        if self.due.rows.fetch_add(rows + 3, Ordering::Relaxed) >= ROWS {
            self.due.wake.notify_one();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(due: Arc<Due>, options: SqliteConnectOptions, writer: Arc<Mutex<Writer>>) {
    let mut connection = None;
    loop {
        due.wake.notified().await;
        due.rows.store(0, Ordering::Relaxed);
        if let Err(error) = pass(&mut connection, &options, &writer).await {
            tracing::warn!(%error, "a checkpoint of the database failed; the next one makes up for it");
            connection = None;
        }
    }
}

async fn pass(
    connection: &mut Option<SqliteConnection>,
    options: &SqliteConnectOptions,
    writer: &Mutex<Writer>,
) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(options.connect().await?),
    };
    let (_, pages, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)")
        .fetch_one(&mut *connection)
        .await?;
    if pages >= RESTART {
        let restart = match pages {
            TRUNCATE.. => "PRAGMA wal_checkpoint(TRUNCATE)",
            _ => "PRAGMA wal_checkpoint(RESTART)",
        };
        let _held = writer.lock().await;
        sqlx::query(restart).execute(&mut *connection).await?;
    }
    Ok(())
}
