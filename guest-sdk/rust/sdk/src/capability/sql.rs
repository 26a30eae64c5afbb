//! SQL on a connection: the host logs in, and the task sees rows and never the password.

mod row;
#[cfg(test)]
mod tests;
mod value;

use std::{collections::VecDeque, fmt};

use serde::de::DeserializeOwned;

pub use self::{
    row::{Column, Row},
    value::{IntoValue, Value},
};
use super::CapabilityError;
use crate::host;

/// Rows that are fetched from the host at once.
const BATCH: u32 = 1000;

/// Why a database gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlError {
    /// The host did not ask the database, or got no answer from it.
    Host(CapabilityError),
    /// The database refused.
    Database {
        /// Its SQLSTATE (such as `23505`), or the database's own code.
        code: Option<String>,
        /// In the database's words.
        message: String,
        /// Whether the same may work another time.
        retry: bool,
    },
    /// A row is not what the task wants.
    Row(String),
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => error.fmt(f),
            Self::Database {
                code: Some(code),
                message,
                ..
            } => write!(f, "{message} ({code})"),
            Self::Database { message, .. } | Self::Row(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for SqlError {}

/// The database of a connection. Needs `[[request.connection]]`; the access `use` is enough.
///
/// ```no_run
/// # use airlock_sdk::prelude::*;
/// # #[derive(serde::Deserialize)]
/// # struct Daily { day: jiff::civil::Date, temp: f64 }
/// # #[task]
/// # fn load(day: jiff::civil::Date) -> Result<()> {
/// let warehouse = database("warehouse")?;
/// let days: Vec<Daily> = warehouse.query("select day, temp from weather where day >= $1").bind(day).fetch()?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`CapabilityError::Denied`] where the grant does not hold `connection`, whether or not it exists;
/// [`CapabilityError::Invalid`] where there is none, or it is no database.
pub fn database(connection: &str) -> Result<Database, SqlError> {
    host::sql::open(connection).map(Database)
}

/// A database. Each statement is by itself, unless it is one of a [`Transaction`].
#[derive(Debug)]
pub struct Database(host::sql::Database);

impl Database {
    /// A statement, with `$1`, `$2`, … for what is bound to it.
    pub fn query(&self, statement: impl Into<String>) -> Query<'_> {
        Query::new(On::Database(&self.0), statement)
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn begin(&self) -> Result<Transaction, SqlError> {
        host::sql::begin(&self.0).map(Transaction)
    }
}

/// A transaction. Dropped, or with the end of the try, it is rolled back.
#[derive(Debug)]
#[must_use = "dropped, it is rolled back"]
pub struct Transaction(host::sql::Transaction);

impl Transaction {
    /// A statement, with `$1`, `$2`, … for what is bound to it.
    pub fn query(&mut self, statement: impl Into<String>) -> Query<'_> {
        Query::new(On::Transaction(&self.0), statement)
    }

    /// Makes it permanent.
    ///
    /// # Errors
    /// [`SqlError`]: nothing of it happened, unless the host lost the database in that moment.
    pub fn commit(self) -> Result<(), SqlError> {
        host::sql::commit(self.0)
    }

    /// Undoes it.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn rollback(self) -> Result<(), SqlError> {
        host::sql::rollback(self.0)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum On<'a> {
    Database(&'a host::sql::Database),
    Transaction(&'a host::sql::Transaction),
}

/// A statement.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `execute`, `fetch` or `rows`"]
pub struct Query<'a> {
    on: On<'a>,
    statement: String,
    parameters: Vec<Value>,
}

impl<'a> Query<'a> {
    fn new(on: On<'a>, statement: impl Into<String>) -> Self {
        Self {
            on,
            statement: statement.into(),
            parameters: Vec::new(),
        }
    }

    /// The value of the next parameter.
    pub fn bind(mut self, value: impl IntoValue) -> Self {
        self.parameters.push(value.into_value());
        self
    }

    /// Executes it; how many rows it changed.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn execute(self) -> Result<u64, SqlError> {
        host::sql::execute(self.on, &self.statement, self.parameters)
    }

    /// Its rows as they come, each as the author's type: a struct by the names of the columns, a tuple by their
    /// order, or a single value.
    ///
    /// # Errors
    /// [`SqlError`], here or with any of the rows.
    pub fn rows<T: DeserializeOwned>(
        self,
    ) -> Result<impl Iterator<Item = Result<T, SqlError>> + use<'a, T>, SqlError> {
        let rows = Rows::<'a>::new(host::sql::query(self.on, &self.statement, self.parameters)?);
        Ok(rows.map(|row| row?.read()))
    }

    /// All of its rows.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn fetch<T: DeserializeOwned>(self) -> Result<Vec<T>, SqlError> {
        self.rows()?.collect()
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn fetch_optional<T: DeserializeOwned>(self) -> Result<Option<T>, SqlError> {
        self.rows()?.next().transpose()
    }

    /// The first row.
    ///
    /// # Errors
    /// [`SqlError`]; also where there is none.
    pub fn fetch_one<T: DeserializeOwned>(self) -> Result<T, SqlError> {
        let none = || SqlError::Row("the query gave no row".to_owned());
        self.fetch_optional()?.ok_or_else(none)
    }
}

/// Rows, a batch at a time.
struct Rows<'a> {
    from: host::sql::Rows,
    columns: std::rc::Rc<[Column]>,
    waiting: VecDeque<Vec<Value>>,
    ended: bool,
    on: std::marker::PhantomData<&'a ()>,
}

impl Rows<'_> {
    fn new(from: host::sql::Rows) -> Self {
        Self {
            columns: host::sql::columns(&from).into(),
            from,
            waiting: VecDeque::new(),
            ended: false,
            on: std::marker::PhantomData,
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, SqlError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.waiting.is_empty() && !self.ended {
            match host::sql::next(&self.from, BATCH) {
                Ok(batch) => {
                    self.ended = batch.is_empty();
                    self.waiting.extend(batch);
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        let values = self.waiting.pop_front()?;
        Some(Ok(Row::new(std::rc::Rc::clone(&self.columns), values)))
    }
}
