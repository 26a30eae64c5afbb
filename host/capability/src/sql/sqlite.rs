//! Sessions of SQLite, which is a part of the host: each has a thread, and a file of its own to look at.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use airlock_grant::port::sql::{Column, Failure, SqlError, SqlLimits, Statement, Value};
use async_trait::async_trait;
use futures::{TryStreamExt as _, future::BoxFuture};
use sqlx::{
    Arguments as _, AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _,
    Executor as _, Row as _, SqlSafeStr as _, Statement as _, TypeInfo as _, ValueRef as _,
    sqlite::{SqliteArguments, SqliteColumn, SqliteConnectOptions, SqliteConnection, SqliteRow},
};
use tokio::time::Instant;

use super::{
    first::Dialect,
    session::{Driver, Sink},
    time,
};

/// How many steps of SQLite's machine are made between two looks at whether to go on.
const STEPS: i32 = 10_000;

/// One session.
pub(super) struct Sqlite {
    session: SqliteConnection,
    read_only: bool,
    brake: Arc<Brake>,
    limit: Duration,
}

/// Ends what runs, from outside.
#[derive(Default)]
struct Brake {
    pulled: AtomicBool,
    deadline: std::sync::Mutex<Option<Instant>>,
}

impl Brake {
    fn goes_on(&self) -> bool {
        let deadline = self.deadline.lock();
        let deadline = *deadline.unwrap_or_else(std::sync::PoisonError::into_inner);
        let late = deadline.is_some_and(|deadline| Instant::now() > deadline);
        !late && !self.pulled.load(Ordering::Relaxed)
    }
}

/// Pulls the brake unless it is let go first: for a statement that nobody waits for any more.
struct Driving(Option<Arc<Brake>>);

impl Drop for Driving {
    fn drop(&mut self) {
        if let Some(brake) = &self.0 {
            brake.pulled.store(true, Ordering::Relaxed);
        }
    }
}

impl Sqlite {
    /// Opens a session.
    pub(super) async fn open(
        file: &Path,
        read_only: bool,
        limits: &SqlLimits,
    ) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .read_only(read_only)
            .create_if_missing(!read_only)
            .busy_timeout(limits.statement)
            .statement_cache_capacity(0)
            .disable_statement_logging();
        let mut session = SqliteConnection::connect_with(&options).await?;
        let brake = Arc::new(Brake::default());
        let looked = Arc::clone(&brake);
        session
            .lock_handle()
            .await?
            .set_progress_handler(STEPS, move || looked.goes_on());
        Ok(Self {
            session,
            read_only,
            brake,
            limit: limits.statement,
        })
    }

    /// Waits until nothing runs any more, and lets the next statement run for its time.
    async fn drive(&mut self) -> Result<Driving, SqlError> {
        drop(self.session.lock_handle().await.map_err(failed)?);
        self.brake.pulled.store(false, Ordering::Relaxed);
        let mut deadline =
            (self.brake.deadline.lock()).unwrap_or_else(std::sync::PoisonError::into_inner);
        *deadline = Some(Instant::now() + self.limit);
        drop(deadline);
        Ok(Driving(Some(Arc::clone(&self.brake))))
    }

    async fn say(&mut self, text: &'static str) -> Result<(), SqlError> {
        let mut driving = self.drive().await?;
        let said = self.session.execute(text).await;
        driving.0 = None;
        said.map(drop).map_err(failed)
    }
}

fn failed(error: sqlx::Error) -> SqlError {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().map(|code| code.into_owned());
            // The lower byte is the kind: 5 is busy, 6 is locked.
            let number = code.as_deref().and_then(|code| code.parse::<u32>().ok());
            let retry = matches!(number.map(|number| number & 0xff), Some(5 | 6));
            SqlError::Database(Failure {
                code,
                message: error.message().to_owned(),
                retry,
            })
        }
        _ => SqlError::Lost,
    }
}

#[async_trait]
impl Driver for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn begin_alone(&mut self) -> Result<(), SqlError> {
        Ok(())
    }

    async fn end_alone(&mut self) -> Result<(), SqlError> {
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), SqlError> {
        // One that waits to write only when it writes can meet another that does the same, and both fail.
        self.say(if self.read_only {
            "BEGIN"
        } else {
            "BEGIN IMMEDIATE"
        })
        .await
    }

    async fn commit(&mut self) -> Result<(), SqlError> {
        self.say("COMMIT").await
    }

    async fn rollback(&mut self) -> Result<(), SqlError> {
        self.say("ROLLBACK").await
    }

    async fn execute(&mut self, statement: &Statement) -> Result<u64, SqlError> {
        let arguments = arguments(&statement.parameters)?;
        let mut driving = self.drive().await?;
        let text = AssertSqlSafe(statement.text.clone());
        let query = sqlx::query_with(text, arguments).persistent(false);
        let done = query.execute(&mut self.session).await;
        driving.0 = None;
        Ok(done.map_err(failed)?.rows_affected())
    }

    async fn query(
        &mut self,
        statement: &Statement,
        sink: &mut (dyn Sink + Send),
    ) -> Result<(), SqlError> {
        let arguments = arguments(&statement.parameters)?;
        let mut driving = self.drive().await?;
        let text = || AssertSqlSafe(statement.text.clone());
        let query = sqlx::query_with(text(), arguments).persistent(false);
        let mut rows = query.fetch(&mut self.session);
        let mut readers: Option<Vec<bool>> = None;
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let readers = readers.get_or_insert_with(|| {
                sink.columns(columns(row.columns()));
                row.columns().iter().map(is_boolean).collect()
            });
            let mut read = Vec::with_capacity(readers.len());
            for (at, boolean) in readers.iter().enumerate() {
                read.push(value(&row, at, *boolean)?);
            }
            if !sink.row(read).await? {
                return Ok(());
            }
        }
        drop(rows);
        if readers.is_none() {
            // No row has said what the columns are.
            let described = self.session.prepare(text().into_sql_str()).await;
            sink.columns(columns(described.map_err(failed)?.columns()));
        }
        driving.0 = None;
        Ok(())
    }

    async fn reset(&mut self) -> bool {
        false
    }

    fn ending(&self) -> BoxFuture<'static, ()> {
        self.brake.pulled.store(true, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}

fn columns(columns: &[SqliteColumn]) -> Vec<Column> {
    let columns = columns.iter().map(|column| Column {
        name: column.name().to_owned(),
        type_name: column.type_info().name().to_ascii_lowercase(),
    });
    columns.collect()
}

/// SQLite keeps truth as a number: the column's declaration says so.
fn is_boolean(column: &SqliteColumn) -> bool {
    column.type_info().name() == "BOOLEAN"
}

/// A value as SQLite keeps it; it has no types but these.
fn value(row: &SqliteRow, at: usize, boolean: bool) -> Result<Value, SqlError> {
    let raw = row.try_get_raw(at).map_err(|_| SqlError::Lost)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let kind = raw.type_info().name().to_owned();
    let read = match kind.as_str() {
        "INTEGER" | "BOOLEAN" => row
            .try_get_unchecked::<i64, _>(at)
            .map(|number| match number {
                0 | 1 if boolean => Value::Boolean(number == 1),
                number => Value::Integer(number),
            }),
        "REAL" => row.try_get_unchecked::<f64, _>(at).map(Value::Real),
        "BLOB" => row.try_get_unchecked::<Vec<u8>, _>(at).map(Value::Bytes),
        _ => row.try_get_unchecked::<String, _>(at).map(Value::Text),
    };
    read.map_err(|_| SqlError::Type {
        column: row
            .columns()
            .get(at)
            .map_or("", |column| column.name())
            .to_owned(),
        type_name: format!("{} that is no UTF-8", kind.to_ascii_lowercase()),
    })
}

fn arguments(values: &[Value]) -> Result<SqliteArguments, SqlError> {
    let mut arguments = SqliteArguments::default();
    for (at, value) in (1..).zip(values) {
        let wrong = |problem: &str| SqlError::Parameter {
            at,
            problem: problem.to_owned(),
        };
        let text = |text: Option<String>| text.ok_or_else(|| wrong("the time is out of range"));
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Boolean(value) => arguments.add(i64::from(*value)),
            Value::Integer(value) => arguments.add(*value),
            Value::Real(value) => arguments.add(*value),
            Value::Decimal(value)
            | Value::Text(value)
            | Value::Uuid(value)
            | Value::Json(value) => arguments.add(value.clone()),
            Value::Bytes(value) => arguments.add(value.clone()),
            Value::Date(days) => arguments.add(text(time::date(*days))?),
            Value::Time(micros) => arguments.add(text(time::time(*micros))?),
            Value::Datetime(micros) => arguments.add(text(time::datetime(*micros))?),
            Value::Timestamp(micros) => arguments.add(text(time::timestamp(*micros))?),
        };
        added.map_err(|_| wrong("it has no form"))?;
    }
    Ok(arguments)
}
