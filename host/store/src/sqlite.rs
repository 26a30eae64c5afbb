//! One SQLite file: one connection that writes, several that read, one that moves the log into the file.
//!
//! In WAL mode readers and the writer never wait for each other. The writer is one connection behind a
//! mutex, so it never meets another writer of this process, and it does no checkpoints: those would add two
//! syncs to whichever commit comes upon a full log ([`checkpoint`] does them beside it).

mod checkpoint;

use std::{os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Duration};

use airlock_model::port::StoreError;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Sqlite as Dialect, SqliteConnection, SqlitePool,
    Transaction,
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
        SqliteSynchronous,
    },
};
use tokio::sync::{Mutex, MutexGuard};

use crate::error::{Error, Result, from_io};
use checkpoint::Checkpoints;

/// Connections that read.
const READERS: u32 = 4;
/// How long a statement waits for another process (`airlock db` beside a server) to let go.
const BUSY: Duration = Duration::from_secs(5);

/// An open file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    readers: SqlitePool,
    writer: Arc<Mutex<Writer>>,
    checkpoints: Checkpoints,
}

impl Sqlite {
    /// Opens a file, creating an empty one, readable by its owner only, where there is none.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(from_io)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(false)
            .pragma("wal_autocheckpoint", "0")
            .pragma("temp_store", "memory")
            .statement_cache_capacity(256)
            .disable_statement_logging();
        let mut writer = Writer {
            options: options.clone().thread_name(|_| "sqlite-writer".to_owned()),
            connection: None,
            torn: false,
        };
        writer.ready().await.map_err(Error::from)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_lazy_with(
                options
                    .clone()
                    .pragma("query_only", "on")
                    .thread_name(|i| format!("sqlite-reader-{i}")),
            );
        let writer = Arc::new(Mutex::new(writer));
        Ok(Self {
            checkpoints: Checkpoints::start(options, Arc::clone(&writer)),
            readers,
            writer,
        })
    }

    /// The connections that read; they refuse to write.
    pub(crate) const fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// The connection that writes, for as long as the guard is held.
    pub(crate) async fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        Ok(self.writer.lock().await)
    }

    /// Takes note that about `rows` rows were written, so that the log is emptied in time.
    pub(crate) fn wrote(&self, rows: usize) {
        self.checkpoints.note(rows);
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        if let Some(connection) = self.writer.lock().await.connection.take() {
            // The last connection to close moves the log into the file; what fails of it, the next start
            // does.
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "closing the database");
            }
        }
    }
}

/// The connection that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    /// Something began that was not seen to end: its transaction may still be open.
    torn: bool,
}

impl Writer {
    /// The connection, outside any transaction; opened anew if it was lost.
    pub(crate) async fn ready(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        if self.torn {
            if let Some(connection) = &mut self.connection {
                // Fails when there is nothing to roll back, and when the connection is gone, which the ping
                // below tells apart.
                let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
                if connection.ping().await.is_err() {
                    self.connection = None;
                }
            }
            self.torn = false;
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// A transaction that writes from its first moment.
    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_, Dialect>, sqlx::Error> {
        self.ready().await?;
        // How it ends is not seen from here, so whoever comes next looks.
        self.torn = true;
        match &mut self.connection {
            Some(connection) => connection.begin_with("BEGIN IMMEDIATE").await,
            None => Err(sqlx::Error::WorkerCrashed),
        }
    }

    /// Runs a script of several statements, which begins and ends its own transaction, in one trip to the
    /// connection's thread. When it fails, everything is rolled back.
    pub(crate) async fn run(
        &mut self,
        script: String,
        arguments: SqliteArguments,
    ) -> Result<(), sqlx::Error> {
        self.ready().await?;
        let statement = sqlx::query_with(AssertSqlSafe(script), arguments);
        // Set before the first await: if the caller goes away in the middle, whoever writes next rolls back.
        self.torn = true;
        let done = match &mut self.connection {
            Some(connection) => statement.execute(connection).await,
            None => Err(sqlx::Error::WorkerCrashed),
        };
        match done {
            Ok(_) => {
                self.torn = false;
                Ok(())
            }
            Err(error) => {
                self.ready().await?;
                Err(error)
            }
        }
    }
}
