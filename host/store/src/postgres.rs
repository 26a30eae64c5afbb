//! Connections to PostgreSQL.
//!
//! A connection that was idle for a second is tried before it is used, so that a server that came back is
//! met by fresh connections and a busy scheduler pays no round trip for it.

use std::{sync::Mutex, time::Duration};

use airlock_model::port::{Batch, StoreError};
use sqlx::{
    ConnectOptions, Connection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::error::Error;

/// How long a caller waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);

/// A batch whose COMMIT was sent and not answered, with its transaction's id: whether it was written is the
/// server's to say, and has to be asked before anything else is written.
pub(crate) type Undecided = Mutex<Option<(String, Batch)>>;

pub(crate) async fn open(url: &str) -> Result<PgPool, StoreError> {
    let options: PgConnectOptions = url
        .parse()
        .map_err(|_| StoreError::Refused("the database's URL cannot be read: write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE".into()))?;
    let options = options
        .application_name("airlock")
        // Compiling a query takes longer than any of ours runs.
        .options([("synchronous_commit", "on"), ("jit", "off")])
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
