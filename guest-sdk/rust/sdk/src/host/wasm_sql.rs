//! Databases, on the other side of the border.

use crate::{
    bindings::airlock::capability::sql as wit,
    capability::sql::{Column, On, SqlError, Value},
};

pub(crate) type Database = wit::Database;
pub(crate) type Transaction = wit::Transaction;
pub(crate) type Rows = wit::Rows;

impl From<wit::SqlError> for SqlError {
    fn from(error: wit::SqlError) -> Self {
        match error {
            wit::SqlError::Host(error) => Self::Host(error.into()),
            wit::SqlError::Database(failure) => Self::Database {
                code: failure.code,
                message: failure.message,
                retry: failure.retry,
            },
        }
    }
}

pub(crate) fn open(connection: &str) -> Result<Database, SqlError> {
    Ok(Database::open(connection)?)
}

pub(crate) fn begin(database: &Database) -> Result<Transaction, SqlError> {
    Ok(database.begin()?)
}

pub(crate) fn commit(transaction: Transaction) -> Result<(), SqlError> {
    Ok(Transaction::commit(transaction)?)
}

pub(crate) fn rollback(transaction: Transaction) -> Result<(), SqlError> {
    Ok(Transaction::rollback(transaction)?)
}

pub(crate) fn execute(on: On<'_>, statement: &str, values: Vec<Value>) -> Result<u64, SqlError> {
    let values: Vec<wit::Value> = values.into_iter().map(out).collect();
    Ok(match on {
        On::Database(database) => database.execute(statement, &values)?,
        On::Transaction(transaction) => transaction.execute(statement, &values)?,
    })
}

pub(crate) fn query(on: On<'_>, statement: &str, values: Vec<Value>) -> Result<Rows, SqlError> {
    let values: Vec<wit::Value> = values.into_iter().map(out).collect();
    Ok(match on {
        On::Database(database) => database.query(statement, &values)?,
        On::Transaction(transaction) => transaction.query(statement, &values)?,
    })
}

pub(crate) fn columns(rows: &Rows) -> Vec<Column> {
    let columns = rows.columns().into_iter().map(|column| Column {
        name: column.name,
        type_name: column.type_name,
    });
    columns.collect()
}

pub(crate) fn next(rows: &Rows, most: u32) -> Result<Vec<Vec<Value>>, SqlError> {
    let rows = rows.next(most)?.into_iter();
    let row = |row: Vec<wit::Value>| row.into_iter().map(come).collect();
    Ok(rows.map(row).collect())
}

fn out(value: Value) -> wit::Value {
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

fn come(value: wit::Value) -> Value {
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
