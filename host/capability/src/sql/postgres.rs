//! Sessions of PostgreSQL.

mod value;

use std::time::Duration;

use airlock_grant::port::sql::{Column, Failure, SqlError, SqlLimits, Statement};
use async_trait::async_trait;
use futures::{TryStreamExt as _, future::BoxFuture};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Executor as _, Row as _,
    SqlSafeStr as _, Statement as _, TypeInfo as _,
    postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgRow},
};
use tokio::time::timeout;

use super::{
    first::Dialect,
    session::{Driver, Sink},
};

/// How long the end of a statement on the server may take.
const ENDING: Duration = Duration::from_secs(5);

/// Who the session is on the server, and whether its login may do more there than reach rows.
const WHO: &str = "SELECT pg_catalog.pg_backend_pid(), \
    (SELECT a.backend_start::pg_catalog.text FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = pg_catalog.pg_backend_pid()), \
    EXISTS (SELECT FROM pg_catalog.pg_roles AS r \
        WHERE (r.rolsuper OR r.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')) \
        AND (pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER') OR pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')))";
/// By the time of its start too: another session may have its number by now.
const TERMINATE: &str = "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity AS a \
    WHERE a.pid = $1 AND a.backend_start::pg_catalog.text = $2";
/// The query takes the transaction's snapshot: from then on nothing makes the transaction writable.
const READ_ONLY: &str = "BEGIN READ ONLY; SELECT 1";

/// One session.
pub(super) struct Postgres {
    session: PgConnection,
    options: PgConnectOptions,
    process: i32,
    started: String,
    read_only: bool,
    in_transaction: bool,
    /// A statement of the transaction failed, and so `COMMIT` would undo it without a word.
    failed: bool,
}

impl Postgres {
    /// Opens a session, and says whether its login may do more than reach rows.
    pub(super) async fn open(
        options: &PgConnectOptions,
        read_only: bool,
        limits: &SqlLimits,
    ) -> Result<(Self, bool), sqlx::Error> {
        let milliseconds = limits.statement.as_millis().clamp(1, i32::MAX as u128);
        let options = options.clone().options([
            ("statement_timeout", milliseconds.to_string()),
            (
                "default_transaction_read_only",
                if read_only { "on" } else { "off" }.to_owned(),
            ),
        ]);
        // What is executed is the guests' own, and not for the host's log.
        let options = options.disable_statement_logging();
        let mut session = PgConnection::connect_with(&options).await?;
        let who = session.fetch_one(WHO).await?;
        let driver = Self {
            session,
            options,
            process: who.try_get(0)?,
            started: who.try_get(1)?,
            read_only,
            in_transaction: false,
            failed: false,
        };
        Ok((driver, who.try_get(2)?))
    }

    /// A statement of the host's own, without parameters.
    async fn say(&mut self, text: &'static str) -> Result<(), SqlError> {
        let said = sqlx::raw_sql(text).execute(&mut self.session).await;
        said.map(drop).map_err(|error| self.failed(error))
    }

    fn failed(&mut self, error: sqlx::Error) -> SqlError {
        self.failed = true;
        match error {
            sqlx::Error::Database(error) => {
                let error = error.downcast_ref::<PgDatabaseError>();
                // Its session ends with these, and comes back as another.
                let lost = matches!(
                    error.code(),
                    "57P01" | "57P02" | "57P03" | "57P05" | "25P03"
                );
                if lost {
                    return SqlError::Lost;
                }
                let mut message = error.message().to_owned();
                for (what, more) in [("detail", error.detail()), ("hint", error.hint())] {
                    if let Some(more) = more {
                        message.push_str(&format!("; {what}: {more}"));
                    }
                }
                let (class, _) = error.code().split_at_checked(2).unwrap_or_default();
                let retry = matches!(class, "08" | "40" | "53" | "55");
                SqlError::Database(Failure {
                    code: Some(error.code().to_owned()),
                    message,
                    retry,
                })
            }
            sqlx::Error::Encode(error) => SqlError::Database(Failure {
                code: None,
                message: error.to_string(),
                retry: false,
            }),
            _ => SqlError::Lost,
        }
    }
}

#[async_trait]
impl Driver for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn begin_alone(&mut self) -> Result<(), SqlError> {
        match self.read_only {
            true => self.begin().await,
            false => Ok(()),
        }
    }

    async fn end_alone(&mut self) -> Result<(), SqlError> {
        match self.read_only {
            true => self.rollback().await,
            false => Ok(()),
        }
    }

    async fn begin(&mut self) -> Result<(), SqlError> {
        self.failed = false;
        let begin = if self.read_only { READ_ONLY } else { "BEGIN" };
        self.say(begin).await?;
        self.in_transaction = true;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), SqlError> {
        if self.failed {
            return Err(SqlError::Lost);
        }
        self.say("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), SqlError> {
        self.say("ROLLBACK").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn execute(&mut self, statement: &Statement) -> Result<u64, SqlError> {
        let arguments = value::arguments(&statement.parameters)?;
        let text = AssertSqlSafe(statement.text.clone());
        let query = sqlx::query_with(text, arguments);
        let done = query.execute(&mut self.session).await;
        match done {
            Ok(done) => Ok(done.rows_affected()),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn query(
        &mut self,
        statement: &Statement,
        sink: &mut (dyn Sink + Send),
    ) -> Result<(), SqlError> {
        let arguments = value::arguments(&statement.parameters)?;
        let text = || AssertSqlSafe(statement.text.clone());
        let query = sqlx::query_with(text(), arguments);
        let mut rows = query.fetch(&mut self.session);
        let mut readers: Option<Vec<value::Reader>> = None;
        let ended = loop {
            let row: PgRow = match rows.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let readers = readers.get_or_insert_with(|| {
                sink.columns(columns(row.columns()));
                row.columns().iter().map(value::Reader::new).collect()
            });
            let mut read = Vec::with_capacity(readers.len());
            for (at, reader) in readers.iter().enumerate() {
                read.push(reader.read(&row, at)?);
            }
            if !sink.row(read).await? {
                break Ok(());
            }
        };
        drop(rows);
        ended.map_err(|error| self.failed(error))?;
        if readers.is_none() {
            // No row has said what the columns are.
            let types = value::types(&statement.parameters);
            let described = self
                .session
                .prepare_with(text().into_sql_str(), &types)
                .await;
            let described = described.map_err(|error| self.failed(error))?;
            sink.columns(columns(described.columns()));
        }
        Ok(())
    }

    async fn reset(&mut self) -> bool {
        if self.in_transaction && self.rollback().await.is_err() {
            return false;
        }
        self.failed = false;
        // What was prepared is forgotten on both sides.
        let forgotten = self.session.clear_cached_statements().await;
        forgotten.is_ok() && self.say("DISCARD ALL").await.is_ok()
    }

    fn ending(&self) -> BoxFuture<'static, ()> {
        let (options, process) = (self.options.clone(), self.process);
        let started = self.started.clone();
        Box::pin(async move {
            // Where this fails, the server's own time-out ends the statement.
            let _ = timeout(ENDING, async move {
                let mut other = PgConnection::connect_with(&options).await?;
                sqlx::query(TERMINATE)
                    .bind(process)
                    .bind(started)
                    .execute(&mut other)
                    .await?;
                other.close().await
            })
            .await;
        })
    }
}

fn columns(columns: &[sqlx::postgres::PgColumn]) -> Vec<Column> {
    let columns = columns.iter().map(|column| Column {
        name: column.name().to_owned(),
        type_name: column.type_info().name().to_ascii_lowercase(),
    });
    columns.collect()
}
