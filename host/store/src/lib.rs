//! What is kept: runs, DAGs, bundles, grants, XComs, triggers, callbacks, deadlines, variables, connections, pools and
//! the audit in SQLite or PostgreSQL; task logs and large contents in files.
//!
//! Two databases, one meaning: every port is implemented once over both, with the same suite of tests. The
//! heart is [`RunStore::commit`](airlock_model::port::RunStore::commit): one batch is one transaction of a
//! handful of statements, whatever its size, and one sync. No query scans what has ended, with or without
//! the database's statistics.

mod assets;
mod audit;
mod backfills;
mod blobs;
mod bundles;
mod callbacks;
mod column;
mod connections;
mod dags;
mod database;
mod deadlines;
mod dropped;
mod error;
mod grants;
mod home;
mod leases;
mod logs;
mod pools;
mod postgres;
mod runs;
mod sqlite;
mod triggers;
mod variables;
mod xcoms;

#[cfg(test)]
mod plan_tests;
#[cfg(test)]
#[path = "../tests/suite/server.rs"]
mod server;

use std::{fmt, sync::Arc};

use airlock_model::port::{Blobs, StoreError};

pub use blobs::BlobFiles;
pub use database::Schema;
pub use home::{Holder, HomeError, HomeLock};
pub use logs::LogFiles;
pub use runs::PastTry;

use database::{Database, newer};

/// The database behind all store ports.
pub struct Store {
    database: Database,
    blobs: Arc<dyn Blobs>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.database {
            Database::Sqlite(_) => "sqlite",
            Database::Postgres { .. } => "postgres",
        };
        f.debug_struct("Store")
            .field("database", &kind)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database at `sqlite://PATH` (created when it is not there) or `postgres://…`. XComs that
    /// were too large for it are fetched from `blobs`. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for another kind of URL; [`StoreError::Unavailable`] when the file cannot be
    /// opened or the server not be reached.
    pub async fn open(url: &str, blobs: Arc<dyn Blobs>) -> Result<Self, StoreError> {
        let database = Database::open(url).await?;
        Ok(Self { database, blobs })
    }

    /// The file of an SQLite database; none of another.
    #[must_use]
    pub fn file(url: &str) -> Option<std::path::PathBuf> {
        database::file(url).map(Into::into)
    }

    /// Refuses a file that is not there, for whoever wants to look at a database and not to make one.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when `url` names an SQLite file that does not exist.
    pub fn refuse_missing(url: &str) -> Result<(), StoreError> {
        match database::file(url) {
            Some(path) if !path.exists() => Err(StoreError::Refused(format!(
                "there is no database `{}` yet; `airlock db migrate` makes it, and so does the first `airlock standalone`",
                path.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Brings the schema up to date, each step in a transaction; does nothing when it is.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the schema is of a newer program or was edited.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.database.migrate().await
    }

    /// The schema's version, whatever it is.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        self.database.schema().await
    }

    /// Checks that this program and the schema fit each other. Takes the same short time whatever the
    /// database's size.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when it has to be migrated first, [`StoreError::Corrupt`] when it is of a newer
    /// program.
    pub async fn check(&self) -> Result<Schema, StoreError> {
        let schema = self.schema().await?;
        if schema.applied > schema.known {
            return Err(StoreError::Corrupt(newer(schema.applied)));
        }
        if schema.applied < schema.known {
            return Err(StoreError::Refused(format!(
                "the database's schema has version {}, this program needs {}; run `airlock db migrate`",
                schema.applied, schema.known
            )));
        }
        Ok(schema)
    }

    /// Of two statements the one that this database understands.
    const fn dialect(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self.database {
            Database::Sqlite(_) => sqlite,
            Database::Postgres { .. } => postgres,
        }
    }

    /// Closes all connections. What was committed is durable without it.
    pub async fn close(&self) {
        self.database.close().await;
    }
}
