//! SQL on connections that the host uses for bundles: it logs in, and hands over rows.
//!
//! Each statement, and each transaction, has a session of its own for as long as it lasts. Sessions that ended well
//! are reset and lent again, to the same team and for the same connection only. All of them belong to the host's own
//! threads: whoever asks may be gone at any moment, and what it asked for is then ended there, on the database's
//! server too.

mod first;
mod pool;
mod postgres;
mod rows;
mod session;
mod sqlite;
mod target;
mod time;

use std::{path::PathBuf, sync::Arc};

use airlock_grant::{
    Permit, UsedConnection,
    port::sql::{
        Databases as DatabasesPort, Row, Rows as RowsPort, SqlError, SqlLimits, Statement,
        Transaction as TransactionPort, Value,
    },
};
use airlock_model::{connection::Connection, id::TeamName, port::Settings};
use async_trait::async_trait;
use tokio::runtime::Handle;

use self::{
    pool::Pools,
    rows::Rows,
    session::{Cell, Order, Session, Unfinished},
    target::Target,
};

/// The databases of all teams.
#[derive(Clone)]
pub struct Databases {
    settings: Arc<dyn Settings>,
    pools: Arc<Pools>,
    /// Folders whose files no connection opens: the host's own.
    kept: Arc<[PathBuf]>,
    handle: Handle,
}

impl std::fmt::Debug for Databases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Databases").finish_non_exhaustive()
    }
}

impl Databases {
    /// How many sessions a team may have at once, idle ones included.
    pub const SESSIONS: usize = 16;

    /// Over this look-up, with so many sessions for each team; no SQLite file in a folder of `kept`, or below, is
    /// opened. Sessions live on the runtime of `handle`.
    #[must_use]
    pub fn new(
        settings: Arc<dyn Settings>,
        sessions: usize,
        kept: impl IntoIterator<Item = PathBuf>,
        handle: Handle,
    ) -> Self {
        // A folder that is not there yet is known by the name that it will have.
        let real = |folder: PathBuf| folder.canonicalize().unwrap_or(folder);
        Self {
            settings,
            pools: Arc::new(Pools::new(sessions, handle.clone())),
            kept: kept.into_iter().map(real).collect(),
            handle,
        }
    }

    async fn connection(&self, permit: &Permit<UsedConnection>) -> Result<Connection, SqlError> {
        let id = permit.item().id();
        let found = match permit.lender() {
            Some(lender) => self.settings.lent_connection(lender, id).await,
            None => self.settings.connection(permit.team(), id).await,
        };
        let found = found.map_err(|error| SqlError::Store(Arc::new(error)))?;
        let found = found.ok_or_else(|| SqlError::Unknown { id: id.clone() })?;
        Ok(found.value)
    }

    async fn target(&self, permit: &Permit<UsedConnection>) -> Result<Target, SqlError> {
        Target::new(&self.connection(permit).await?, &self.kept)
    }

    async fn session(
        &self,
        permit: &Permit<UsedConnection>,
        statement: Option<&Statement>,
        limits: SqlLimits,
    ) -> Result<Session, SqlError> {
        let target = Arc::new(self.target(permit).await?);
        if let Some(statement) = statement {
            first::check(target.dialect(), statement)?;
        }
        let (pools, team) = (Arc::clone(&self.pools), permit.team().clone());
        let opened = async move { pools.lend(&team, target, limits).await };
        session::away(&self.handle, opened).await
    }
}

#[async_trait]
impl DatabasesPort for Databases {
    async fn find(&self, permit: Permit<UsedConnection>) -> Result<(), SqlError> {
        self.target(&permit).await.map(drop)
    }

    async fn execute(
        &self,
        permit: Permit<UsedConnection>,
        statement: Statement,
        limits: SqlLimits,
    ) -> Result<u64, SqlError> {
        let mut session = self.session(&permit, Some(&statement), limits).await?;
        let pools = Arc::clone(&self.pools);
        let executed = async move {
            let order = Order::Alone(&statement);
            let done = session.ask(limits.statement, order).await;
            pools.give_back(session);
            done
        };
        session::away(&self.handle, executed).await
    }

    async fn query(
        &self,
        permit: Permit<UsedConnection>,
        statement: Statement,
        limits: SqlLimits,
    ) -> Result<Box<dyn RowsPort>, SqlError> {
        let session = self.session(&permit, Some(&statement), limits).await?;
        let cell = Cell::new(session);
        let ended = {
            let pools = Arc::clone(&self.pools);
            move |cell: Cell| {
                if let Some(session) = cell.into_session() {
                    pools.give_back(session);
                }
            }
        };
        let rows = Rows::start(
            &self.handle,
            whose(&permit),
            cell,
            true,
            statement,
            limits,
            ended,
        );
        Ok(Box::new(rows.await?))
    }

    async fn begin(
        &self,
        permit: Permit<UsedConnection>,
        limits: SqlLimits,
    ) -> Result<Box<dyn TransactionPort>, SqlError> {
        let mut session = self.session(&permit, None, limits).await?;
        let begun = async move {
            session.ask(limits.statement, Order::Begin).await?;
            Ok(session)
        };
        let session = session::away(&self.handle, begun).await?;
        Ok(Box::new(Transaction {
            whose: whose(&permit),
            cell: Cell::new(session),
            pools: Arc::clone(&self.pools),
            handle: self.handle.clone(),
            limits,
            reading: None,
        }))
    }
}

/// Of whom, and which connection: what a later permit must be for, too.
type Whose = (TeamName, Option<TeamName>, UsedConnection);

fn whose(permit: &Permit<UsedConnection>) -> Whose {
    let (team, lender) = (permit.team().clone(), permit.lender().cloned());
    (team, lender, permit.item().clone())
}

/// A permit for something else opens nothing here.
fn same(before: &Whose, permit: &Permit<UsedConnection>) -> Result<(), SqlError> {
    match *before == whose(permit) {
        true => Ok(()),
        false => Err(SqlError::Lost),
    }
}

struct Transaction {
    whose: Whose,
    cell: Cell,
    pools: Arc<Pools>,
    handle: Handle,
    limits: SqlLimits,
    /// The rows that were asked for last, as long as somebody has them.
    reading: Option<Unfinished>,
}

impl Transaction {
    fn ready(&self, permit: &Permit<UsedConnection>) -> Result<(), SqlError> {
        same(&self.whose, permit)?;
        match &self.reading {
            Some(reading) if reading.is_open() => Err(SqlError::RowsOpen),
            _ => Ok(()),
        }
    }

    async fn end(self, permit: &Permit<UsedConnection>, commit: bool) -> Result<(), SqlError> {
        self.ready(permit)?;
        let (cell, pools, limits) = (self.cell, self.pools, self.limits);
        let ended = async move {
            let mut session = cell.session().await?;
            let order = if commit {
                Order::Commit
            } else {
                Order::Rollback
            };
            let done = session.ask(limits.statement, order).await;
            drop(session);
            if let Some(session) = cell.into_session() {
                pools.give_back(session);
            }
            done.map(drop)
        };
        session::away(&self.handle, ended).await
    }
}

#[async_trait]
impl TransactionPort for Transaction {
    async fn execute(
        &mut self,
        permit: Permit<UsedConnection>,
        statement: Statement,
    ) -> Result<u64, SqlError> {
        self.ready(&permit)?;
        let (cell, limits) = (self.cell.clone(), self.limits);
        let executed = async move {
            let mut session = cell.session().await?;
            session.check(&statement)?;
            let order = Order::Execute(&statement);
            session.ask(limits.statement, order).await
        };
        session::away(&self.handle, executed).await
    }

    async fn query(
        &mut self,
        permit: Permit<UsedConnection>,
        statement: Statement,
    ) -> Result<Box<dyn RowsPort>, SqlError> {
        self.ready(&permit)?;
        let cell = self.cell.clone();
        cell.session().await?.check(&statement)?;
        let whose = self.whose.clone();
        let rows = Rows::start(
            &self.handle,
            whose,
            cell,
            false,
            statement,
            self.limits,
            drop,
        );
        let rows = rows.await?;
        self.reading = Some(rows.unfinished());
        Ok(Box::new(rows))
    }

    async fn commit(self: Box<Self>, permit: Permit<UsedConnection>) -> Result<(), SqlError> {
        self.end(&permit, true).await
    }

    async fn rollback(self: Box<Self>, permit: Permit<UsedConnection>) -> Result<(), SqlError> {
        self.end(&permit, false).await
    }
}

/// Whether a row may be handed over.
fn bounded(row: &[Value], limits: &SqlLimits) -> Result<usize, SqlError> {
    let mut bytes = size_of::<Row>();
    for value in row {
        let own = value.bytes();
        if own > limits.value_bytes {
            return Err(SqlError::TooLarge {
                what: "a value of a row has more bytes",
                limit: limits.value_bytes as u64,
            });
        }
        bytes = bytes.saturating_add(own);
    }
    Ok(bytes)
}
