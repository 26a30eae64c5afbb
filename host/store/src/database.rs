//! The two databases, and the three ways to work with either: read, read a snapshot, write.
//!
//! A piece of work is written once and compiled for both, since plain queries are the same text in both
//! dialects (`$1`, `ON CONFLICT`). Where they differ, the subject's module has a query for each.

use std::path::Path;

use sqlx::{
    PgPool,
    migrate::{MigrateError, Migrator},
};

use crate::{
    error::{Error, corrupt},
    postgres::{self, Undecided},
    sqlite::Sqlite,
};
use airlock_model::port::StoreError;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// An open database.
#[derive(Debug)]
pub(crate) enum Database {
    /// A file.
    Sqlite(Sqlite),
    /// A server.
    Postgres {
        /// Its connections.
        pool: PgPool,
        /// A batch whose fate is not known yet.
        undecided: Undecided,
    },
}

/// The version of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// The newest migration that was applied; zero for an empty database.
    pub applied: i64,
    /// The newest migration that this program knows.
    pub known: i64,
}

/// The file of an SQLite database's URL.
pub(crate) fn file(url: &str) -> Option<&Path> {
    let path = url
        .strip_prefix("sqlite://")
        .or_else(|| url.strip_prefix("sqlite:"));
    path.map(Path::new)
}

impl Database {
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        if let Some(path) = file(url) {
            return Ok(Self::Sqlite(Sqlite::open(path).await?));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let pool = postgres::open(url).await?;
            let undecided = Undecided::default();
            return Ok(Self::Postgres { pool, undecided });
        }
        Err(StoreError::Refused(
            "the database's URL is neither sqlite://PATH nor postgres://USER@HOST/DATABASE".into(),
        ))
    }

    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        let done = match self {
            Self::Sqlite(sqlite) => {
                let mut writer = sqlite.writer().await?;
                let connection = writer.ready().await.map_err(Error::from)?;
                SQLITE.run_direct(None, connection, false).await
            }
            Self::Postgres { pool, .. } => {
                let mut connection = pool.acquire().await.map_err(Error::from)?;
                POSTGRES.run_direct(None, &mut *connection, false).await
            }
        };
        done.map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                Error::from(error).into()
            }
            MigrateError::VersionMissing(version) => corrupt(newer(version)),
            other => corrupt(other),
        })
    }

    /// The schema's version, read without writing anything.
    pub(crate) async fn schema(&self) -> Result<Schema, StoreError> {
        const VERSION: &str =
            "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM _sqlx_migrations WHERE success";
        let (applied, migrations) = match self {
            Self::Sqlite(sqlite) => {
                let there: Option<i64> = sqlx::query_scalar(
                    "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'",
                )
                .fetch_optional(sqlite.readers())
                .await
                .map_err(Error::from)?;
                let applied = match there {
                    Some(_) => {
                        sqlx::query_scalar(VERSION)
                            .fetch_one(sqlite.readers())
                            .await
                    }
                    None => Ok(0),
                };
                (applied, &SQLITE)
            }
            Self::Postgres { pool, .. } => {
                let there: bool =
                    sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
                        .fetch_one(pool)
                        .await
                        .map_err(Error::from)?;
                let applied = match there {
                    true => sqlx::query_scalar(VERSION).fetch_one(pool).await,
                    false => Ok(0),
                };
                (applied, &POSTGRES)
            }
        };
        let applied = applied.map_err(Error::from)?;
        let known = migrations.iter().map(|m| m.version).max().unwrap_or(0);
        Ok(Schema { applied, known })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            Self::Postgres { pool, .. } => pool.close().await,
        }
    }
}

pub(crate) fn newer(version: i64) -> String {
    format!(
        "its schema has version {version}, which this program does not know; use the newer program that migrated it"
    )
}

/// Work that reads: `$db` is a pool. Gives `Result<_, StoreError>`.
macro_rules! read {
    ($store:expr, $db:ident => $work:block) => {
        match &$store.database {
            $crate::database::Database::Sqlite(sqlite) => {
                let $db = sqlite.readers();
                let done: $crate::error::Result<_> = async { $work }.await;
                done.map_err(airlock_model::port::StoreError::from)
            }
            $crate::database::Database::Postgres { pool: $db, .. } => {
                let done: $crate::error::Result<_> = async { $work }.await;
                done.map_err(airlock_model::port::StoreError::from)
            }
        }
    };
}

/// Work that reads several things that belong together: `$db` is a transaction that sees one moment.
macro_rules! snapshot {
    ($store:expr, $db:ident => $work:block) => {
        match &$store.database {
            $crate::database::Database::Sqlite(sqlite) => {
                let done: $crate::error::Result<_> = async {
                    let mut $db = sqlite.readers().begin().await?;
                    $work
                }
                .await;
                done.map_err(airlock_model::port::StoreError::from)
            }
            $crate::database::Database::Postgres { pool, .. } => {
                let done: $crate::error::Result<_> = async {
                    let mut $db = $crate::postgres::begin(pool, $crate::postgres::SNAPSHOT).await?;
                    $work
                }
                .await;
                done.map_err(airlock_model::port::StoreError::from)
            }
        }
    };
}

/// Work that writes: `$db` is a transaction, committed when the work succeeds and rolled back otherwise.
macro_rules! write {
    ($store:expr, $db:ident => $work:block) => {
        match &$store.database {
            $crate::database::Database::Sqlite(sqlite) => {
                let done: $crate::error::Result<_> = async {
                    let mut writer = sqlite.writer().await?;
                    let mut $db = writer.begin().await?;
                    let done: $crate::error::Result<_> = async { $work }.await;
                    let done = done?;
                    $db.commit().await?;
                    sqlite.wrote(1);
                    Ok(done)
                }
                .await;
                done.map_err(airlock_model::port::StoreError::from)
            }
            $crate::database::Database::Postgres { pool, .. } => {
                let done: $crate::error::Result<_> = async {
                    let mut $db = $crate::postgres::begin(pool, $crate::postgres::WRITE).await?;
                    let done: $crate::error::Result<_> = async { $work }.await;
                    let done = done?;
                    $db.commit().await?;
                    Ok(done)
                }
                .await;
                done.map_err(airlock_model::port::StoreError::from)
            }
        }
    };
}

pub(crate) use {read, snapshot, write};
