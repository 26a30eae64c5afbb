//! One session of a database, whose it is, and how it ends.

use std::{
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use airlock_grant::port::sql::{Column, Row, SqlError, Statement};
use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit},
    task::JoinHandle,
    time::timeout,
};

use super::{
    first::{self, Dialect},
    pool::Key,
};

/// How much longer than the server the host waits before it ends a statement.
const GRACE: Duration = Duration::from_secs(1);
/// How long a session that is to be lent again may take to forget.
const RESET: Duration = Duration::from_secs(2);

/// A session of one kind of database.
#[async_trait]
pub(super) trait Driver: Send {
    fn dialect(&self) -> Dialect;
    /// What a statement outside of transactions needs around it, where the session is read-only.
    async fn begin_alone(&mut self) -> Result<(), SqlError>;
    async fn end_alone(&mut self) -> Result<(), SqlError>;
    async fn begin(&mut self) -> Result<(), SqlError>;
    async fn commit(&mut self) -> Result<(), SqlError>;
    async fn rollback(&mut self) -> Result<(), SqlError>;
    async fn execute(&mut self, statement: &Statement) -> Result<u64, SqlError>;
    /// Hands the rows to the sink, until they end or it wants no more.
    async fn query(
        &mut self,
        statement: &Statement,
        sink: &mut (dyn Sink + Send),
    ) -> Result<(), SqlError>;
    /// Forgets what was done with it; false where it cannot be lent again.
    async fn reset(&mut self) -> bool;
    /// Ends what runs in it, from outside.
    fn ending(&self) -> BoxFuture<'static, ()>;
}

/// What takes rows.
#[async_trait]
pub(super) trait Sink {
    /// The columns, before the first row.
    fn columns(&mut self, columns: Vec<Column>);
    /// A row. False: no more of them.
    async fn row(&mut self, row: Row) -> Result<bool, SqlError>;
}

/// What is asked of a session, but rows.
pub(super) enum Order<'a> {
    Begin,
    Commit,
    Rollback,
    /// In a transaction.
    Execute(&'a Statement),
    /// By itself.
    Alone(&'a Statement),
}

/// A session that somebody has. Dropped, it is closed; and where a statement runs in it, that is ended on the
/// server, which counts against the team until it is done.
pub(super) struct Session {
    pub(super) key: Key,
    driver: Option<Box<dyn Driver>>,
    /// Whether a statement was begun that did not end.
    running: bool,
    slot: Option<OwnedSemaphorePermit>,
    handle: Handle,
    /// Secrets that no text may hold.
    secrets: Arc<[String]>,
}

impl Session {
    pub(super) fn new(
        key: Key,
        driver: Box<dyn Driver>,
        slot: OwnedSemaphorePermit,
        handle: Handle,
        secrets: Arc<[String]>,
    ) -> Self {
        Self {
            key,
            driver: Some(driver),
            running: false,
            slot: Some(slot),
            handle,
            secrets,
        }
    }

    /// Looks whether a statement may come through.
    pub(super) fn check(&self, statement: &Statement) -> Result<(), SqlError> {
        let driver = self.driver.as_ref().ok_or(SqlError::Lost)?;
        first::check(driver.dialect(), statement)
    }

    /// Asks the database for something, which has to be done in time; says how many rows it changed. A session in
    /// which it was not is closed.
    pub(super) async fn ask(&mut self, limit: Duration, order: Order<'_>) -> Result<u64, SqlError> {
        let driver = self.begin()?;
        let work = async {
            match order {
                Order::Begin => driver.begin().await,
                Order::Commit => driver.commit().await,
                Order::Rollback => driver.rollback().await,
                Order::Execute(statement) => return driver.execute(statement).await,
                Order::Alone(statement) => {
                    driver.begin_alone().await?;
                    let changed = driver.execute(statement).await?;
                    driver.end_alone().await?;
                    return Ok(changed);
                }
            }
            .map(|()| 0)
        };
        let done = timeout(limit + GRACE, work).await;
        self.end(limit, done.unwrap_or(Err(SqlError::Timeout { limit })))
    }

    /// Asks for rows, until they end or `unwanted` comes; also by themselves, outside of a transaction.
    pub(super) async fn query(
        &mut self,
        limit: Duration,
        statement: &Statement,
        alone: bool,
        sink: &mut (dyn Sink + Send),
        unwanted: impl Future<Output = ()> + Send,
    ) -> Result<(), SqlError> {
        let driver = self.begin()?;
        let work = async {
            if alone {
                driver.begin_alone().await?;
            }
            tokio::select! {
                done = driver.query(statement, sink) => done?,
                () = unwanted => return Ok(()),
            }
            match alone {
                true => driver.end_alone().await,
                false => Ok(()),
            }
        };
        let done = timeout(limit + GRACE, work).await;
        self.end(limit, done.unwrap_or(Err(SqlError::Timeout { limit })))
    }

    fn begin(&mut self) -> Result<&mut Box<dyn Driver>, SqlError> {
        if self.running {
            return Err(SqlError::Lost);
        }
        self.running = true;
        self.driver.as_mut().ok_or(SqlError::Lost)
    }

    fn end<T>(&mut self, limit: Duration, done: Result<T, SqlError>) -> Result<T, SqlError> {
        let done = done.map_err(|error| told(error, limit, &self.secrets));
        // After these nobody knows what the session does.
        self.running = matches!(done, Err(SqlError::Timeout { .. } | SqlError::Lost));
        done
    }

    /// Whether it can be lent again.
    pub(super) async fn reset(&mut self) -> bool {
        let Some(driver) = self.driver.as_mut().filter(|_| !self.running) else {
            return false;
        };
        self.running = true;
        let reset = timeout(RESET, driver.reset()).await;
        self.running = reset.is_err();
        reset.unwrap_or(false)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (driver, slot) = (self.driver.take(), self.slot.take());
        if let Some(driver) = driver.filter(|_| self.running) {
            let ending = driver.ending();
            drop(driver);
            self.handle.spawn(async move {
                ending.await;
                drop(slot);
            });
        }
    }
}

/// The error with nothing secret in it, and a time-out by its name.
fn told(error: SqlError, limit: Duration, secrets: &[String]) -> SqlError {
    let clean = |text: String| {
        secrets
            .iter()
            .fold(text, |text, secret| match text.contains(secret.as_str()) {
                true => text.replace(secret.as_str(), "***"),
                false => text,
            })
    };
    match error {
        // The server's own time-out, of PostgreSQL and of SQLite.
        SqlError::Database(failure) if matches!(failure.code.as_deref(), Some("57014" | "9")) => {
            SqlError::Timeout { limit }
        }
        SqlError::Database(mut failure) => {
            failure.message = clean(failure.message);
            SqlError::Database(failure)
        }
        SqlError::Unreachable { id, reason } => SqlError::Unreachable {
            id,
            reason: clean(reason),
        },
        other => other,
    }
}

/// A session that a transaction and the rows of it share.
#[derive(Clone)]
pub(super) struct Cell(Arc<Mutex<Session>>);

impl Cell {
    pub(super) fn new(session: Session) -> Self {
        Self(Arc::new(Mutex::new(session)))
    }

    /// The session, once nobody else uses it.
    pub(super) async fn session(&self) -> Result<OwnedMutexGuard<Session>, SqlError> {
        let session = Arc::clone(&self.0).lock_owned().await;
        match session.running {
            true => Err(SqlError::Lost),
            false => Ok(session),
        }
    }

    /// The session, where nobody else has it.
    pub(super) fn into_session(self) -> Option<Session> {
        Some(Arc::into_inner(self.0)?.into_inner())
    }
}

/// Whether somebody still reads rows.
pub(super) struct Unfinished(pub(super) Weak<()>);

impl Unfinished {
    pub(super) fn is_open(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// Does something on the host's threads, for as long as it is waited for.
pub(super) async fn away<T: Send + 'static>(
    handle: &Handle,
    work: impl Future<Output = Result<T, SqlError>> + Send + 'static,
) -> Result<T, SqlError> {
    let mut leash = Leash::new(handle.spawn(work));
    (&mut leash.task).await.unwrap_or(Err(SqlError::Lost))
}

/// A task that ends when nobody waits for it any more.
pub(super) struct Leash<T> {
    task: JoinHandle<T>,
    held: bool,
}

impl<T> Leash<T> {
    pub(super) const fn new(task: JoinHandle<T>) -> Self {
        Self { task, held: true }
    }

    /// Lets it run to its own end.
    pub(super) fn let_go(mut self) {
        self.held = false;
    }
}

impl<T> Drop for Leash<T> {
    fn drop(&mut self) {
        if self.held {
            self.task.abort();
        }
    }
}
