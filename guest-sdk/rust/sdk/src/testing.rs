//! For native tests: a host that a test sets up, and the definition that a parse gives.
//!
//! A task is an ordinary function, `check::run(…)`, and most tests need no more than that. What a task asks
//! of the host is answered by the test that runs on the same thread; as with the real host, what was not
//! granted is denied.
//!
//! ```
//! # use airlock_sdk::{prelude::*, testing};
//! #[task]
//! fn greet() -> Result<String> {
//!     Ok(format!("Hello, {}!", variable("name")?.unwrap_or_default()))
//! }
//!
//! testing::variable("name", Some("Ada"));
//! assert_eq!(greet::run()?, "Hello, Ada!");
//! # Ok::<(), Error>(())
//! ```

mod polling;

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf};

use serde::Serialize;

pub use self::polling::Polling;
pub use crate::outcome::{Downstream, Failure, Outcome};
use crate::{
    CallbackContext, Context, IntoCallback, Result, callback,
    capability::{
        Connection, Directory, Mode,
        http::{HttpError, Request, Response},
        sql::{SqlError, Value},
        xcom::Address,
    },
    deferral::{self, Deferral, Waited},
    definition::{Dag, DagSource, DefinitionError, TaskSource},
    graph, registry,
};

type Server = Box<dyn FnMut(&Request) -> Result<Response, HttpError>>;
type DatabaseServer = Box<dyn FnMut(&str, &[Value]) -> Result<SqlAnswer, SqlError>>;

#[derive(Default)]
pub(crate) struct Host {
    pub(crate) variables: BTreeMap<String, Option<String>>,
    pub(crate) connections: BTreeMap<String, Option<Connection>>,
    pub(crate) directories: BTreeMap<String, Directory>,
    pub(crate) xcoms: Vec<(Address, String)>,
    pub(crate) pushed: Vec<(String, String)>,
    pub(crate) http: Option<Server>,
    pub(crate) databases: BTreeMap<String, DatabaseServer>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

pub(crate) fn with<T>(f: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(f)
}

/// Grants a variable, with or without a value.
pub fn variable(key: &str, value: Option<&str>) {
    with(|host| {
        host.variables
            .insert(key.to_owned(), value.map(str::to_owned))
    });
}

/// Grants a connection, existing or not.
pub fn connection(id: &str, connection: Option<Connection>) {
    with(|host| host.connections.insert(id.to_owned(), connection));
}

/// Grants a directory that lies at `path`.
pub fn directory(name: &str, path: impl Into<PathBuf>, mode: Mode) {
    let directory = Directory {
        path: path.into(),
        mode,
    };
    with(|host| host.directories.insert(name.to_owned(), directory));
}

/// Leaves an XCom for the task to pull. A value without a JSON form counts as `null`.
pub fn xcom(address: Address, value: impl Serialize) {
    let json = serde_json::to_string(&value).unwrap_or_else(|_| "null".to_owned());
    with(|host| host.xcoms.push((address, json)));
}

/// The XComs that were pushed on this thread: keys and JSON texts, oldest first.
#[must_use]
pub fn pushed() -> Vec<(String, String)> {
    with(|host| host.pushed.clone())
}

/// Answers the task's HTTP requests.
pub fn http(server: impl FnMut(&Request) -> Result<Response, HttpError> + 'static) {
    with(|host| host.http = Some(Box::new(server)));
}

/// What a test's database says to a statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SqlAnswer {
    /// How many rows were changed.
    pub changed: u64,
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
}

impl SqlAnswer {
    /// So many rows were changed.
    #[must_use]
    pub fn changed(rows: u64) -> Self {
        Self {
            changed: rows,
            ..Self::default()
        }
    }

    /// These rows, of these columns.
    #[must_use]
    pub fn rows<const N: usize>(
        columns: [&str; N],
        rows: impl IntoIterator<Item = [Value; N]>,
    ) -> Self {
        Self {
            changed: 0,
            columns: columns.map(str::to_owned).into(),
            rows: rows.into_iter().map(Vec::from).collect(),
        }
    }
}

/// Grants the database of a connection, and answers the task's statements: each with its text and what was bound.
/// Transactions are told as `begin`, `commit` and `rollback`.
///
/// ```
/// # use airlock_sdk::{prelude::*, sql::Value, testing::{self, SqlAnswer}};
/// #[task]
/// fn warmest() -> Result<f64> {
///     Ok(database("warehouse")?.query("select max(temp) from weather where day >= $1").bind(7).fetch_one()?)
/// }
///
/// testing::database("warehouse", |statement, bound| {
///     assert_eq!((statement.split(' ').next(), bound), (Some("select"), &[Value::Integer(7)][..]));
///     Ok(SqlAnswer::rows(["max"], [[Value::Real(31.5)]]))
/// });
/// assert_eq!(warmest::run()?, 31.5);
/// # Ok::<(), Error>(())
/// ```
pub fn database(
    connection: &str,
    server: impl FnMut(&str, &[Value]) -> Result<SqlAnswer, SqlError> + 'static,
) {
    with(|host| {
        host.databases
            .insert(connection.to_owned(), Box::new(server))
    });
}

/// The definition that a parse gives for a DAG: `testing::parse::<weather>()`.
///
/// # Errors
/// Every mistake in the DAG.
pub fn parse<D: DagSource>() -> Result<Dag, Vec<DefinitionError>> {
    graph::build(D::SPEC)
}

/// Runs a try of a task as the host does it, from JSON to JSON: `testing::run::<decide>(&ctx, (3, "x"))`, with
/// the arguments as a tuple. What a branch decided, or when a sensor wants to look again, is in its outcome;
/// for what the code gives, `decide::run(…)` is simpler. A sensor in the mode `poke` sleeps.
///
/// # Errors
/// What the host would hear.
pub fn run<T: TaskSource>(ctx: &Context, arguments: impl Serialize) -> Result<Outcome, Failure> {
    let arguments = match serde_json::to_value(arguments) {
        Ok(serde_json::Value::Array(all)) => all.iter().map(ToString::to_string).collect(),
        Ok(serde_json::Value::Null) => Vec::new(),
        Ok(one) => vec![one.to_string()],
        Err(error) => return Err(Failure::from(crate::Error::from(error))),
    };
    registry::run(T::spec().entry, ctx, arguments)
}

/// Goes on with a deferred task as the host does it, with what came of its wait:
/// `testing::resume(&ctx, &deferral, Ok(JobResult { rows: 3 }))`, or `Err::<(), _>(WaitError::TimedOut)`. It may be
/// deferred again.
///
/// # Errors
/// What the host would hear.
pub fn resume(
    ctx: &Context,
    deferral: &Deferral,
    event: Waited<impl Serialize>,
) -> Result<Outcome, Failure> {
    let waited = match event {
        Err(error) => Err(error),
        Ok(event) => match serde_json::to_string(&event) {
            Ok(json) => Ok(json),
            Err(error) => return Err(Failure::from(crate::Error::from(error))),
        },
    };
    deferral::run(&deferral.method, ctx, waited, &deferral.arguments)
}

/// Runs a callback as the host does it, from JSON: `testing::call(tell("#data"), &what)`.
///
/// # Errors
/// What the host would hear.
pub fn call(callback: impl IntoCallback, what: &CallbackContext) -> Result<(), Failure> {
    let callback = callback.into_callback();
    callback::run(callback.entry(), &callback.arguments()?, what)
}
