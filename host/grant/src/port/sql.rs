//! SQL on a connection that the host uses for a bundle: the host logs in, and the bundle's code sees rows.

use std::{sync::Arc, time::Duration};

use airlock_model::{id::ConnectionId, port::StoreError};
use async_trait::async_trait;

use crate::{item::UsedConnection, permit::Permit};

/// A value of a column or a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None, of any type.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a binary fraction.
    Real(f64),
    /// A number with a decimal fraction, as text: `-12.50`.
    Decimal(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds of the day.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00 of a local time without zone.
    Datetime(i64),
    /// Microseconds since the epoch.
    Timestamp(i64),
    /// A UUID, as text.
    Uuid(String),
    /// A JSON text.
    Json(String),
}

impl Value {
    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let own = match self {
            Self::Decimal(text) | Self::Text(text) | Self::Uuid(text) | Self::Json(text) => {
                text.len()
            }
            Self::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        own.saturating_add(size_of::<Self>())
    }
}

/// One row.
pub type Row = Vec<Value>;

/// A column of what a query gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the database calls it.
    pub type_name: String,
}

/// One statement with what stands in for its `$1`, `$2`, …
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The text.
    pub text: String,
    /// The parameters.
    pub parameters: Vec<Value>,
}

/// Bounds of what is asked of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlLimits {
    /// One statement, to its last row. The server ends it then, and the host a second later.
    pub statement: Duration,
    /// Rows of one query.
    pub rows: u64,
    /// Bytes of the rows that are handed over at once; one row may be more.
    pub batch_bytes: usize,
    /// Bytes of one value.
    pub value_bytes: usize,
    /// For waiting until the team may have another session, and for logging in.
    pub wait: Duration,
}

impl Default for SqlLimits {
    fn default() -> Self {
        Self {
            statement: Duration::from_secs(60),
            rows: 1_000_000,
            batch_bytes: 4 << 20,
            value_bytes: 16 << 20,
            wait: Duration::from_secs(10),
        }
    }
}

/// What a database says of a statement that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its SQLSTATE, or the database's own code.
    pub code: Option<String>,
    /// In the database's words.
    pub message: String,
    /// Whether the same may work another time.
    pub retry: bool,
}

impl SqlError {
    /// The code of [`Self::Refused`], which no grant lifts.
    pub const REFUSED: &'static str = "AL-0463";
    /// The code of [`Self::Role`].
    pub const ROLE: &'static str = "AL-0464";
}

/// Why a database gave no answer. No text of it holds what the connection keeps secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SqlError {
    /// There is no such connection.
    #[error("AL-0460: there is no connection `{id}`; set it: airlock connections set {id}")]
    Unknown {
        /// Its id.
        id: ConnectionId,
    },
    /// The connection is of a kind that speaks no SQL here.
    #[error(
        "AL-0461: the connection `{id}` is of the kind {kind:?}, which is no database that this host speaks to; it knows postgres and sqlite"
    )]
    Kind {
        /// Its id.
        id: ConnectionId,
        /// What it is.
        kind: String,
    },
    /// The connection lacks something, or has what cannot be.
    #[error("AL-0462: the connection `{id}` cannot be used: {problem}")]
    Settings {
        /// Its id.
        id: ConnectionId,
        /// What to correct.
        problem: String,
    },
    /// A statement of a kind that does not come through.
    #[error("AL-0463: {0}")]
    Refused(String),
    /// The login may do more than a bundle should be able to.
    #[error(
        "AL-0464: the login of the connection `{id}` is a superuser, or may run programs or touch files of the database's server; use another role, or write \"allow_superuser\": true into the connection's extra"
    )]
    Role {
        /// The connection's id.
        id: ConnectionId,
    },
    /// No session came about.
    #[error("AL-0465: the database of the connection `{id}` cannot be reached: {reason}")]
    Unreachable {
        /// The connection's id.
        id: ConnectionId,
        /// Why.
        reason: String,
    },
    /// The team has as many sessions as it may.
    #[error(
        "AL-0466: the team has {most} database sessions open, as many as it may, and none was free within {wait:?}; read rows to their end or drop them, and end transactions"
    )]
    Busy {
        /// The bound.
        most: usize,
        /// How long it was waited.
        wait: Duration,
    },
    /// It took too long.
    #[error("AL-0467: the statement took longer than {limit:?}, and was ended")]
    Timeout {
        /// The bound.
        limit: Duration,
    },
    /// Something is too large.
    #[error("AL-0468: {what} than {limit}; ask for less at once")]
    TooLarge {
        /// What, as the beginning of the sentence.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// A column of a type that has no value here.
    #[error(
        "AL-0469: the column {column:?} has a value of the type {type_name}, which has no form here; cast it to text in the query"
    )]
    Type {
        /// Its name.
        column: String,
        /// Its type.
        type_name: String,
    },
    /// The transaction gives rows.
    #[error(
        "AL-0470: rows of this transaction are still being read; read them to their end or drop them first"
    )]
    RowsOpen,
    /// The session is gone, with the transaction.
    #[error(
        "AL-0471: the transaction is no more, and nothing of it happened: a statement of it failed or was ended, or the session was lost; begin another"
    )]
    Lost,
    /// A parameter cannot be handed over.
    #[error("AL-0472: parameter {at} cannot be handed over: {problem}")]
    Parameter {
        /// Which, counted from 1.
        at: usize,
        /// Why.
        problem: String,
    },
    /// The connection could not be looked up.
    #[error("AL-0473: the connection cannot be looked up now")]
    Store(#[source] Arc<StoreError>),
    /// The database says no.
    #[error("AL-0474: the database refused: {}", .0.message)]
    Database(Failure),
}

/// Databases, by permit. Each call takes a permit of its own, so that a grant that was taken back ends what it
/// allowed; whoever holds rows or a transaction has to show one for the same connection.
#[async_trait]
pub trait Databases: Send + Sync {
    /// Looks whether there is such a connection and it is a database; opens nothing.
    ///
    /// # Errors
    /// An [`SqlError`].
    async fn find(&self, permit: Permit<UsedConnection>) -> Result<(), SqlError>;

    /// Executes a statement by itself, and says how many rows it changed.
    ///
    /// # Errors
    /// An [`SqlError`].
    async fn execute(
        &self,
        permit: Permit<UsedConnection>,
        statement: Statement,
        limits: SqlLimits,
    ) -> Result<u64, SqlError>;

    /// Executes a statement by itself, for its rows.
    ///
    /// # Errors
    /// An [`SqlError`].
    async fn query(
        &self,
        permit: Permit<UsedConnection>,
        statement: Statement,
        limits: SqlLimits,
    ) -> Result<Box<dyn Rows>, SqlError>;

    /// Begins a transaction.
    ///
    /// # Errors
    /// An [`SqlError`].
    async fn begin(
        &self,
        permit: Permit<UsedConnection>,
        limits: SqlLimits,
    ) -> Result<Box<dyn Transaction>, SqlError>;
}

/// A transaction. Dropped, it is rolled back.
#[async_trait]
pub trait Transaction: Send {
    /// As [`Databases::execute`].
    ///
    /// # Errors
    /// An [`SqlError`].
    async fn execute(
        &mut self,
        permit: Permit<UsedConnection>,
        statement: Statement,
    ) -> Result<u64, SqlError>;

    /// As [`Databases::query`]. Until the rows are dropped or read to their end, nothing else can be asked.
    ///
    /// # Errors
    /// An [`SqlError`].
    async fn query(
        &mut self,
        permit: Permit<UsedConnection>,
        statement: Statement,
    ) -> Result<Box<dyn Rows>, SqlError>;

    /// Makes it permanent.
    ///
    /// # Errors
    /// An [`SqlError`]; with [`SqlError::Lost`] nothing of it happened.
    async fn commit(self: Box<Self>, permit: Permit<UsedConnection>) -> Result<(), SqlError>;

    /// Undoes it.
    ///
    /// # Errors
    /// An [`SqlError`].
    async fn rollback(self: Box<Self>, permit: Permit<UsedConnection>) -> Result<(), SqlError>;
}

/// Rows as they come. Dropped, their query is ended, on its server too.
#[async_trait]
pub trait Rows: Send {
    /// The columns.
    fn columns(&self) -> &[Column];

    /// The next rows, at most so many; none at the end.
    ///
    /// # Errors
    /// An [`SqlError`].
    async fn next(
        &mut self,
        permit: Permit<UsedConnection>,
        most: usize,
    ) -> Result<Vec<Row>, SqlError>;
}
