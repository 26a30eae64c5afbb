//! `airlock:capability/sql`.
//!
//! Each call is decided by the grant as it is then: an open database, a transaction and rows are worth nothing once
//! the connection is no longer granted.
#![expect(
    unreachable_pub,
    reason = "the generated bindings re-export what stands for the guest's resources"
)]

use std::sync::Arc;

use airlock_grant::{
    Permit, UsedConnection,
    port::sql::{
        Rows as RowsPort, SqlError, SqlLimits, Statement, Transaction as TransactionPort, Value,
    },
};
use airlock_model::log::Level;
use wasmtime::component::{HasData, Resource, ResourceTable};

use super::Standing;
use crate::{
    bindings::{errors::Error, sql as wit},
    context::Context,
};

/// Bytes of a statement's text.
const STATEMENT_BYTES: usize = 1 << 20;
/// Bytes of all parameters of a statement.
const PARAMETER_BYTES: usize = 16 << 20;

/// An open database: no more than a name.
#[derive(Clone)]
pub struct Database(Arc<str>);

/// A transaction of the guest's.
pub struct Transaction {
    database: Database,
    port: Box<dyn TransactionPort>,
}

/// Rows that the guest reads.
pub struct Rows {
    database: Database,
    port: Box<dyn RowsPort>,
}

/// Names [`DatabasesView`] to the linker.
pub(crate) struct Databases;

impl HasData for Databases {
    type Data<'a> = DatabasesView<'a>;
}

/// The databases of one instance.
pub(crate) struct DatabasesView<'a> {
    table: &'a mut ResourceTable,
    standing: &'a Standing,
}

impl Databases {
    pub(crate) fn of(context: &mut Context) -> DatabasesView<'_> {
        let (table, standing) = context.resources();
        DatabasesView { table, standing }
    }
}

/// What comes of a call: an answer, an error for the guest, or the end of the instance.
type Answer<T> = wasmtime::Result<Result<T, wit::SqlError>>;

impl Database {
    /// Whether it may be used now.
    fn permit(&self, standing: &Standing) -> Result<Permit<UsedConnection>, wit::SqlError> {
        let effective = standing.effective();
        let permit = effective.use_connection(&standing.caller, &self.0);
        permit.map_err(|denial| wit::SqlError::Host(standing.denied(&denial)))
    }

    /// What the guest hears of an error, and the log.
    fn failed(&self, standing: &Standing, error: &SqlError) -> wit::SqlError {
        let text = error.to_string();
        let item = || format!("connection `{}`", self.0);
        let denied = |code: &'static str| {
            let text = text.trim_start_matches(code).trim_start_matches(": ");
            standing.out_of_place("connection", code, &item(), text)
        };
        let host = match error {
            SqlError::Database(failure) => {
                return wit::SqlError::Database(wit::Failure {
                    code: failure.code.clone(),
                    message: failure.message.clone(),
                    retry: failure.retry,
                });
            }
            SqlError::Refused(_) => denied(SqlError::REFUSED),
            SqlError::Role { .. } => denied(SqlError::ROLE),
            SqlError::Store(source) => standing.unavailable("a connection", source),
            other => {
                standing.log.host(Level::Warn, &text);
                match other {
                    SqlError::Busy { .. }
                    | SqlError::Timeout { .. }
                    | SqlError::TooLarge { .. } => Error::Limit(text),
                    SqlError::Unreachable { .. } | SqlError::Lost => Error::Unavailable(text),
                    _ => Error::Invalid(text),
                }
            }
        };
        wit::SqlError::Host(host)
    }
}

fn statement(text: String, parameters: Vec<wit::Value>) -> Result<Statement, wit::SqlError> {
    let parameters: Vec<Value> = parameters.into_iter().map(value).collect();
    let bytes = parameters.iter().map(Value::bytes).sum();
    for (what, bytes, most) in [
        ("statement is", text.len(), STATEMENT_BYTES),
        ("statement's parameters are", bytes, PARAMETER_BYTES),
    ] {
        if bytes > most {
            return Err(wit::SqlError::Host(Error::Limit(format!(
                "AL-0481: the {what} {bytes} bytes long, and may be {most}; hand them over in parts"
            ))));
        }
    }
    Ok(Statement { text, parameters })
}

/// Goes on with the value, or gives the guest the error.
macro_rules! ok {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        }
    };
}

impl DatabasesView<'_> {
    fn rows(&mut self, database: Database, port: Box<dyn RowsPort>) -> Answer<Resource<Rows>> {
        Ok(Ok(self.table.push(Rows { database, port })?))
    }
}

impl wit::Host for DatabasesView<'_> {}

impl wit::HostDatabase for DatabasesView<'_> {
    async fn open(&mut self, connection: String) -> Answer<Resource<Database>> {
        let database = Database(connection.into());
        let permit = ok!(database.permit(self.standing));
        let found = self.standing.ports.databases.find(permit).await;
        ok!(found.map_err(|error| database.failed(self.standing, &error)));
        Ok(Ok(self.table.push(database)?))
    }

    async fn execute(
        &mut self,
        this: Resource<Database>,
        text: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<u64> {
        let (standing, database) = (self.standing, self.table.get(&this)?);
        let permit = ok!(database.permit(standing));
        let statement = ok!(statement(text, parameters));
        let limits = SqlLimits::default();
        let done = standing.ports.databases.execute(permit, statement, limits);
        Ok(done
            .await
            .map_err(|error| database.failed(standing, &error)))
    }

    async fn query(
        &mut self,
        this: Resource<Database>,
        text: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<Resource<Rows>> {
        let (standing, database) = (self.standing, self.table.get(&this)?.clone());
        let permit = ok!(database.permit(standing));
        let statement = ok!(statement(text, parameters));
        let limits = SqlLimits::default();
        let rows = standing.ports.databases.query(permit, statement, limits);
        let rows = ok!(rows
            .await
            .map_err(|error| database.failed(standing, &error)));
        self.rows(database, rows)
    }

    async fn begin(&mut self, this: Resource<Database>) -> Answer<Resource<Transaction>> {
        let (standing, database) = (self.standing, self.table.get(&this)?.clone());
        let permit = ok!(database.permit(standing));
        let begun = standing.ports.databases.begin(permit, SqlLimits::default());
        let port = ok!(begun
            .await
            .map_err(|error| database.failed(standing, &error)));
        Ok(Ok(self.table.push(Transaction { database, port })?))
    }

    async fn drop(&mut self, this: Resource<Database>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl wit::HostTransaction for DatabasesView<'_> {
    async fn execute(
        &mut self,
        this: Resource<Transaction>,
        text: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<u64> {
        let standing = self.standing;
        let Transaction { database, port } = self.table.get_mut(&this)?;
        let permit = ok!(database.permit(standing));
        let statement = ok!(statement(text, parameters));
        let done = port.execute(permit, statement).await;
        Ok(done.map_err(|error| database.failed(standing, &error)))
    }

    async fn query(
        &mut self,
        this: Resource<Transaction>,
        text: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<Resource<Rows>> {
        let standing = self.standing;
        let Transaction { database, port } = self.table.get_mut(&this)?;
        let permit = ok!(database.permit(standing));
        let statement = ok!(statement(text, parameters));
        let rows = port.query(permit, statement).await;
        let rows = ok!(rows.map_err(|error| database.failed(standing, &error)));
        let database = database.clone();
        self.rows(database, rows)
    }

    async fn commit(&mut self, this: Resource<Transaction>) -> Answer<()> {
        let Transaction { database, port } = self.table.delete(this)?;
        let permit = ok!(database.permit(self.standing));
        let done = port.commit(permit).await;
        Ok(done.map_err(|error| database.failed(self.standing, &error)))
    }

    async fn rollback(&mut self, this: Resource<Transaction>) -> Answer<()> {
        let Transaction { database, port } = self.table.delete(this)?;
        let permit = ok!(database.permit(self.standing));
        let done = port.rollback(permit).await;
        Ok(done.map_err(|error| database.failed(self.standing, &error)))
    }

    async fn drop(&mut self, this: Resource<Transaction>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl wit::HostRows for DatabasesView<'_> {
    fn columns(&mut self, this: Resource<Rows>) -> wasmtime::Result<Vec<wit::Column>> {
        let rows = self.table.get(&this)?;
        let columns = rows.port.columns().iter().map(|column| wit::Column {
            name: column.name.clone(),
            type_name: column.type_name.clone(),
        });
        Ok(columns.collect())
    }

    async fn next(&mut self, this: Resource<Rows>, most: u32) -> Answer<Vec<Vec<wit::Value>>> {
        let standing = self.standing;
        let Rows { database, port } = self.table.get_mut(&this)?;
        let permit = ok!(database.permit(standing));
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let rows = port.next(permit, most).await;
        let rows = ok!(rows.map_err(|error| database.failed(standing, &error)));
        let told = |row: Vec<Value>| row.into_iter().map(told).collect();
        Ok(Ok(rows.into_iter().map(told).collect()))
    }

    async fn drop(&mut self, this: Resource<Rows>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

fn value(value: wit::Value) -> Value {
    match value {
        wit::Value::Null => Value::Null,
        wit::Value::Boolean(value) => Value::Boolean(value),
        wit::Value::Integer(value) => Value::Integer(value),
        wit::Value::Real(value) => Value::Real(value),
        wit::Value::Decimal(value) => Value::Decimal(value),
        wit::Value::Text(value) => Value::Text(value),
        wit::Value::Bytes(value) => Value::Bytes(value),
        wit::Value::Date(value) => Value::Date(value),
        wit::Value::Time(value) => Value::Time(value),
        wit::Value::Datetime(value) => Value::Datetime(value),
        wit::Value::Timestamp(value) => Value::Timestamp(value),
        wit::Value::Uuid(value) => Value::Uuid(value),
        wit::Value::Json(value) => Value::Json(value),
    }
}

fn told(value: Value) -> wit::Value {
    match value {
        Value::Null => wit::Value::Null,
        Value::Boolean(value) => wit::Value::Boolean(value),
        Value::Integer(value) => wit::Value::Integer(value),
        Value::Real(value) => wit::Value::Real(value),
        Value::Decimal(value) => wit::Value::Decimal(value),
        Value::Text(value) => wit::Value::Text(value),
        Value::Bytes(value) => wit::Value::Bytes(value),
        Value::Date(value) => wit::Value::Date(value),
        Value::Time(value) => wit::Value::Time(value),
        Value::Datetime(value) => wit::Value::Datetime(value),
        Value::Timestamp(value) => wit::Value::Timestamp(value),
        Value::Uuid(value) => wit::Value::Uuid(value),
        Value::Json(value) => wit::Value::Json(value),
    }
}
