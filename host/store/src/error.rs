//! What the databases' own errors mean to the rest of the house.
//!
//! The scheduler keeps a batch and tries again when an error is transient, and gives up when it is not, so
//! the one question here is whether another attempt can help.

use airlock_model::port::StoreError;
use sqlx::{error::ErrorKind, postgres::PgDatabaseError, sqlite::SqliteError};

/// Either kind, so that `?` works on both within a piece of database work.
#[derive(Debug)]
pub(crate) enum Error {
    /// The driver's.
    Sql(sqlx::Error),
    /// Ours.
    Store(StoreError),
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::Sql(error) => from_sql(error),
            Error::Store(error) => error,
        }
    }
}

/// What is stored cannot be read as what it should be.
pub(crate) fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(what.to_string())
}

/// A file operation's error.
pub(crate) fn from_io(error: std::io::Error) -> StoreError {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => StoreError::Full(error.into()),
        _ => StoreError::Unavailable(error.into()),
    }
}

fn from_sql(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(database) => from_database(database),
        sqlx::Error::Io(error) => from_io(error),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => corrupt(error),
        lost if is_lost(&lost) => StoreError::Unavailable(lost.into()),
        other => StoreError::Statement(other.into()),
    }
}

/// Whether the connection is gone, so that nothing is known of what was under way on it.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        // 57P0x: the server ends the session; 08xxx: it says itself that the connection failed.
        sqlx::Error::Database(error) => error
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|e| e.code().starts_with("57P0") || e.code().starts_with("08")),
        _ => false,
    }
}

type Cause = Box<dyn sqlx::error::DatabaseError>;

fn from_database(error: Cause) -> StoreError {
    let wrap: fn(Cause) -> StoreError =
        if let Some(sqlite) = error.try_downcast_ref::<SqliteError>() {
            match sqlite_code(sqlite) {
                // FULL.
                13 => |e| StoreError::Full(e.into()),
                // BUSY, LOCKED, IOERR, CANTOPEN, PROTOCOL.
                5 | 6 | 10 | 14 | 15 => |e| StoreError::Unavailable(e.into()),
                // CORRUPT, NOTADB.
                11 | 26 => corrupt,
                _ => refused,
            }
        } else {
            match error.code().as_deref().unwrap_or_default() {
                "53100" => |e| StoreError::Full(e.into()),
                // Serialization failure, deadlock, lock not available.
                "40001" | "40P01" | "55P03" => |e| StoreError::Unavailable(e.into()),
                // Connection exceptions, insufficient resources, operator intervention.
                code if ["08", "53", "57"]
                    .iter()
                    .any(|class| code.starts_with(class)) =>
                {
                    |e| StoreError::Unavailable(e.into())
                }
                code if code.starts_with("XX") => corrupt,
                _ => refused,
            }
        };
    wrap(error)
}

fn refused(error: Cause) -> StoreError {
    match error.kind() {
        ErrorKind::UniqueViolation => {
            StoreError::Exists(format!("such an entry ({})", error.message()))
        }
        _ => StoreError::Statement(error.into()),
    }
}

/// The primary result code, without the details of an extended one.
fn sqlite_code(error: &SqliteError) -> u32 {
    use sqlx::error::DatabaseError;
    let extended: u32 = error.code().and_then(|c| c.parse().ok()).unwrap_or(1);
    extended & 0xff
}
