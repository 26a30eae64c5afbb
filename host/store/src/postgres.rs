//! Connections to PostgreSQL.
//!
//! A connection that was idle for a second is tried before it is used, so that a server that came back is
//! met by fresh connections and a busy scheduler pays no round trip for it.

use std::{sync::Mutex, time::Duration};

use airlock_model::port::{Batch, StoreError};
use sqlx::{
    ConnectOptions, Connection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::error::Error;

/// How long a caller waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);

/// A prepared statement keeps the plan of the day on which it was planned, and on an empty table that is to
/// read all of it: half a second per commit once there are a million rows, until the server's own statistics
/// come along. Every query that has to be fast finds its rows through an index, whatever the tables' size,
/// so that is the only plan that is left. Compiling a query takes longer than any of ours runs.
const PLANS: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// A batch whose COMMIT was sent and not answered, with its transaction's id: whether it was written is the
/// server's to say, and has to be asked before anything else is written.
pub(crate) type Undecided = Mutex<Option<(String, Box<Batch>)>>;

pub(crate) async fn open(url: &str) -> Result<PgPool, StoreError> {
    let options: PgConnectOptions = url
        .parse()
        .map_err(|_| StoreError::Refused("the database's URL cannot be read: write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE".into()))?;
    let options = options
        .application_name("airlock")
        .options([("synchronous_commit", "on")])
        .options(PLANS)
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > Duration::from_secs(1) {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options)
        .await;
    Ok(pool.map_err(Error::from)?)
}

/// A transaction that writes.
pub(crate) const WRITE: &str = "BEGIN";
/// A transaction that sees one moment of the whole database.
pub(crate) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Begins a transaction, in a task of its own: the driver takes note of a transaction only with the server's
/// answer, and if the caller went away before that, the connection would go back to the others with the
/// transaction open. So the answer is always awaited, and a transaction that nobody wants is rolled back.
pub(crate) async fn begin(
    pool: &PgPool,
    how: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    match tokio::spawn(async move { pool.begin_with(how).await }).await {
        Ok(begun) => begun,
        // The runtime is shutting down.
        Err(_) => Err(sqlx::Error::WorkerCrashed),
    }
}
