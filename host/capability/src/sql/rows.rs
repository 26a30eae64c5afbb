//! Rows on their way: the query runs on the host's threads, a few batches ahead of who reads them.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use airlock_grant::{
    Permit, UsedConnection,
    port::sql::{Column, Row, Rows as Port, SqlError, SqlLimits, Statement},
};
use async_trait::async_trait;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{
    Whose, bounded, same,
    session::{Cell, Leash, Sink, Unfinished},
};

/// Rows that travel together, at most.
const BATCH: usize = 1000;

/// The rows of one query.
pub(super) struct Rows {
    whose: Whose,
    columns: Vec<Column>,
    batches: mpsc::Receiver<Result<Vec<Row>, SqlError>>,
    /// What came and was not asked for yet.
    left: VecDeque<Row>,
    failed: Option<SqlError>,
    limits: SqlLimits,
    /// Somebody has them, as long as this is here.
    open: Option<Arc<()>>,
}

impl Rows {
    /// Begins a query in the session of the cell, and waits for its first rows. `ended` gets the cell back.
    pub(super) async fn start(
        handle: &Handle,
        whose: Whose,
        cell: Cell,
        alone: bool,
        statement: Statement,
        limits: SqlLimits,
        ended: impl FnOnce(Cell) + Send + 'static,
    ) -> Result<Self, SqlError> {
        let (tell, heard) = oneshot::channel();
        let (send, batches) = mpsc::channel(2);
        let task = handle.spawn(async move {
            run(&cell, alone, &statement, limits, tell, send).await;
            ended(cell);
        });
        // Until there are columns nobody holds the rows, whose end would end the query.
        let leash = Leash::new(task);
        // It says nothing only where it could not be run to its end.
        let columns = heard.await.unwrap_or(Err(SqlError::Lost));
        leash.let_go();
        Ok(Self {
            whose,
            columns: columns?,
            batches,
            left: VecDeque::new(),
            failed: None,
            limits,
            open: Some(Arc::new(())),
        })
    }

    /// Whether they are still read, to ask later.
    pub(super) fn unfinished(&self) -> Unfinished {
        Unfinished(self.open.as_ref().map_or_else(Weak::new, Arc::downgrade))
    }
}

#[async_trait]
impl Port for Rows {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    async fn next(
        &mut self,
        permit: Permit<UsedConnection>,
        most: usize,
    ) -> Result<Vec<Row>, SqlError> {
        same(&self.whose, &permit)?;
        if most == 0 {
            return Ok(Vec::new());
        }
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if self.left.is_empty() {
            match self.batches.recv().await {
                Some(Ok(batch)) => self.left.extend(batch),
                Some(Err(error)) => {
                    self.open = None;
                    return Err(self.failed.insert(error).clone());
                }
                None => self.open = None,
            }
        }
        let (mut rows, mut bytes) = (Vec::with_capacity(most.min(self.left.len())), 0_usize);
        while rows.len() < most
            && let Some(row) = self.left.front()
        {
            bytes = bytes.saturating_add(row.iter().map(|value| value.bytes()).sum());
            if !rows.is_empty() && bytes > self.limits.batch_bytes {
                break;
            }
            rows.extend(self.left.pop_front());
        }
        Ok(rows)
    }
}

/// Runs a query to its end, or until nobody wants its rows.
async fn run(
    cell: &Cell,
    alone: bool,
    statement: &Statement,
    limits: SqlLimits,
    tell: oneshot::Sender<Result<Vec<Column>, SqlError>>,
    send: mpsc::Sender<Result<Vec<Row>, SqlError>>,
) {
    let mut out = Out {
        tell: Some(tell),
        send: send.clone(),
        batch: Vec::new(),
        bytes: 0,
        rows: 0,
        limits,
    };
    let mut session = match cell.session().await {
        Ok(session) => session,
        Err(error) => return out.fail(error).await,
    };
    let asked = session.query(limits.statement, statement, alone, &mut out, send.closed());
    let asked = asked.await;
    drop(session);
    match asked {
        Ok(_) => {
            let _ = out.flush().await;
        }
        Err(error) => out.fail(error).await,
    }
}

struct Out {
    tell: Option<oneshot::Sender<Result<Vec<Column>, SqlError>>>,
    send: mpsc::Sender<Result<Vec<Row>, SqlError>>,
    batch: Vec<Row>,
    bytes: usize,
    rows: u64,
    limits: SqlLimits,
}

impl Out {
    async fn flush(&mut self) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        self.send.send(Ok(batch)).await.is_ok()
    }

    async fn fail(&mut self, error: SqlError) {
        match self.tell.take() {
            Some(tell) => drop(tell.send(Err(error))),
            None => {
                if self.flush().await {
                    let _ = self.send.send(Err(error)).await;
                }
            }
        }
    }
}

#[async_trait]
impl Sink for Out {
    fn columns(&mut self, columns: Vec<Column>) {
        if let Some(tell) = self.tell.take() {
            let _ = tell.send(Ok(columns));
        }
    }

    async fn row(&mut self, row: Row) -> Result<bool, SqlError> {
        self.rows += 1;
        if self.rows > self.limits.rows {
            return Err(SqlError::TooLarge {
                what: "the query has more rows",
                limit: self.limits.rows,
            });
        }
        self.bytes += bounded(&row, &self.limits)?;
        self.batch.push(row);
        if self.batch.len() >= BATCH || self.bytes >= self.limits.batch_bytes / 4 {
            return Ok(self.flush().await);
        }
        Ok(true)
    }
}
