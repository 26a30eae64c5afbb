//! Databases of a native test: the test answers each statement.

use std::cell::RefCell;

use crate::{
    capability::{
        CapabilityError,
        sql::{Column, On, SqlError, Value},
    },
    testing::{self, SqlAnswer},
};

#[derive(Debug)]
pub(crate) struct Database(String);

/// Rolled back unless it ends before.
#[derive(Debug)]
pub(crate) struct Transaction {
    database: String,
    ended: bool,
}

#[derive(Debug)]
pub(crate) struct Rows {
    columns: Vec<Column>,
    rows: RefCell<Vec<Vec<Value>>>,
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.ended {
            let _ = ask(&self.database, "rollback", &[]);
        }
    }
}

fn ask(database: &str, statement: &str, values: &[Value]) -> Result<SqlAnswer, SqlError> {
    // Taken out while it answers, so that it may itself ask the fake host for something.
    let Some(mut server) = testing::with(|host| host.databases.remove(database)) else {
        return Err(SqlError::Host(CapabilityError::Denied(format!(
            "this test grants no database `{database}`; answer its statements with airlock_sdk::testing::database(\"{database}\", …)"
        ))));
    };
    let answer = server(statement, values);
    testing::with(|host| host.databases.insert(database.to_owned(), server));
    answer
}

pub(crate) fn open(connection: &str) -> Result<Database, SqlError> {
    match testing::with(|host| host.databases.contains_key(connection)) {
        true => Ok(Database(connection.to_owned())),
        false => ask(connection, "", &[]).map(|_| Database(connection.to_owned())),
    }
}

pub(crate) fn begin(database: &Database) -> Result<Transaction, SqlError> {
    ask(&database.0, "begin", &[])?;
    Ok(Transaction {
        database: database.0.clone(),
        ended: false,
    })
}

pub(crate) fn commit(mut transaction: Transaction) -> Result<(), SqlError> {
    transaction.ended = true;
    ask(&transaction.database, "commit", &[]).map(drop)
}

pub(crate) fn rollback(mut transaction: Transaction) -> Result<(), SqlError> {
    transaction.ended = true;
    ask(&transaction.database, "rollback", &[]).map(drop)
}

fn on(on: On<'_>, statement: &str, values: &[Value]) -> Result<SqlAnswer, SqlError> {
    match on {
        On::Database(database) => ask(&database.0, statement, values),
        On::Transaction(transaction) => ask(&transaction.database, statement, values),
    }
}

pub(crate) fn execute(of: On<'_>, statement: &str, values: Vec<Value>) -> Result<u64, SqlError> {
    Ok(on(of, statement, &values)?.changed)
}

pub(crate) fn query(of: On<'_>, statement: &str, values: Vec<Value>) -> Result<Rows, SqlError> {
    let SqlAnswer { columns, rows, .. } = on(of, statement, &values)?;
    let columns = columns.into_iter().map(|name| Column {
        name,
        type_name: "unknown".to_owned(),
    });
    Ok(Rows {
        columns: columns.collect(),
        rows: RefCell::new(rows),
    })
}

pub(crate) fn columns(rows: &Rows) -> Vec<Column> {
    rows.columns.clone()
}

#[expect(clippy::unnecessary_wraps, reason = "as the real host has it")]
pub(crate) fn next(rows: &Rows, most: u32) -> Result<Vec<Vec<Value>>, SqlError> {
    let mut rows = rows.rows.borrow_mut();
    let most = rows.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    Ok(rows.drain(..most).collect())
}
