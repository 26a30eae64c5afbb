//! A batch on PostgreSQL: one transaction of a statement per part.
//!
//! A connection that is lost while COMMIT is under way leaves open whether the batch was written, and writing
//! it again would find its own traces and take them for somebody else's. So the transaction's id is
//! remembered, and the server asked what became of it, before anything else is written.

mod statements;
mod waiting;

use airlock_model::{
    id::BackfillId,
    port::{Batch, CommitError, StoreError},
};
use sqlx::{PgConnection, PgPool};
use std::{collections::HashSet, sync::Arc};
use uuid::Uuid;

use super::encode;
use crate::{
    error::{Error, is_lost},
    postgres::{Undecided, WRITE, begin},
};
use statements::{
    ADDED_TASKS, ASSET_EVENTS, ASSETS, BACKFILL_RUNS, BACKFILLS, CONSUMED, DROPPED, FENCED,
    FORGET_XCOMS, LAND_TASKS, LAND_TRIES, LAND_XCOMS, MOVE_TASKS, MOVE_TRIES, MOVE_XCOMS, NAME,
    NEW_BACKFILLS, NEW_RUNS, NEW_TASKS, PAST_TRIES, PINNED, PROGRESS, QUEUED, REPIN, RESOLUTIONS,
    RUNS, TASKS, UNQUEUED, XCOMS,
};

/// Writes a batch.
pub(super) async fn commit(
    pool: &PgPool,
    undecided: &Undecided,
    batch: &Batch,
) -> Result<(), CommitError> {
    if decide(pool, undecided)
        .await?
        .is_some_and(|written| *written == *batch)
    {
        return Ok(());
    }
    let mut transaction = begin(pool, WRITE).await.map_err(failed)?;
    let id = match write(&mut transaction, batch).await {
        Ok(id) => id,
        Err(Unwritten::Miscounted) => {
            // Outside the transaction, which has moved those that it could.
            transaction.rollback().await.map_err(failed)?;
            return Err(miscounted(pool, batch).await?);
        }
        Err(Unwritten::For(reason)) => return Err(reason),
    };
    let Err(error) = transaction.commit().await else {
        return Ok(());
    };
    if let Some(id) = id.filter(|_| is_lost(&error)) {
        remember(undecided, Some((id, Box::new(batch.clone()))));
        if decide(pool, undecided).await?.is_some() {
            return Ok(());
        }
    }
    Err(StoreError::from(Error::from(error)).into())
}

fn remember(undecided: &Undecided, what: Option<(String, Box<Batch>)>) {
    *undecided
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = what;
}

/// Finds out what became of the undecided batch, if there is one; gives it if it was written.
///
/// # Errors
/// While it cannot be found out.
async fn decide(pool: &PgPool, undecided: &Undecided) -> Result<Option<Box<Batch>>, StoreError> {
    let open = undecided
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    let Some((id, batch)) = open else {
        return Ok(None);
    };
    let status: Option<String> = sqlx::query_scalar("SELECT pg_xact_status($1::text::xid8)")
        .bind(&id)
        .fetch_one(pool)
        .await
        .map_err(Error::from)?;
    let written = match status.as_deref() {
        Some("in progress") => {
            return Err(StoreError::Unavailable(
                format!("transaction {id} is still under way on the server").into(),
            ));
        }
        Some("committed") => Some(batch),
        _ => None,
    };
    remember(undecided, None);
    Ok(written)
}

/// Why a transaction is given up.
enum Unwritten {
    /// A statement met fewer rows than it has to.
    Miscounted,
    /// Anything else.
    For(CommitError),
}

impl<E: Into<CommitError>> From<E> for Unwritten {
    fn from(error: E) -> Self {
        Self::For(error.into())
    }
}

/// Everything but the COMMIT. Gives the transaction's id where writing the batch once more would not have the
/// same effect.
async fn write(db: &mut PgConnection, batch: &Batch) -> Result<Option<String>, Unwritten> {
    let mut id = None;
    if !batch.repinned.is_empty() {
        repin(db, batch).await?;
    }
    // One that is completed makes room for the next of its DAG.
    if !batch.backfills.is_empty() {
        let changes = encode::backfill_changes(batch)?;
        counted(db, BACKFILLS, &changes, batch.backfills.len()).await?;
    }
    if !batch.new_backfills.is_empty() {
        new_backfills(db, batch).await?;
    }
    if !batch.new_runs.is_empty() {
        id = Some(new_runs(db, batch).await?);
    }
    if !batch.new_runs.is_empty() || !batch.repinned.is_empty() {
        execute(db, PINNED, &encode::pinned(batch)?).await?;
    }
    if !batch.progress.is_empty() {
        execute(db, PROGRESS, &encode::progress(batch)?).await?;
    }
    if !batch.forget_xcoms.is_empty() {
        execute(db, FORGET_XCOMS, &encode::instances(&batch.forget_xcoms)?).await?;
    }
    if !batch.expanded.is_empty() {
        expand(db, batch).await?;
    }
    if !batch.tasks.is_empty() {
        maybe(db, PAST_TRIES, encode::superseded(batch)?).await?;
        let (moved, xact): (i64, String) = sqlx::query_as(TASKS)
            .bind(encode::changes(batch)?.as_ref())
            .fetch_one(&mut *db)
            .await
            .map_err(failed)?;
        if usize::try_from(moved) != Ok(batch.tasks.len()) {
            return Err(Unwritten::Miscounted);
        }
        id = Some(xact);
    }
    if !batch.xcoms.is_empty() {
        execute(db, XCOMS, &encode::xcoms(batch)?).await?;
    }
    if !batch.runs.is_empty() {
        counted(db, RUNS, &encode::run_changes(batch)?, batch.runs.len()).await?;
    }
    write_assets(db, batch).await?;
    waiting::write(db, batch).await?;
    let once = !batch.repinned.is_empty()
        || !batch.new_backfills.is_empty()
        || !batch.expanded.is_empty()
        || !batch.asset_events.is_empty()
        || !batch.new_triggers.is_empty()
        || !batch.watched.is_empty()
        || !batch.callbacks.is_empty();
    if once && id.is_none() {
        let name = sqlx::query_scalar(NAME).fetch_one(&mut *db).await;
        id = Some(name.map_err(failed)?);
    }
    Ok(id)
}

/// Gives the transaction's id.
async fn new_runs(db: &mut PgConnection, batch: &Batch) -> Result<String, Unwritten> {
    let (made, xact): (Vec<Uuid>, String) = sqlx::query_as(NEW_RUNS)
        .bind(encode::new_runs(batch)?.as_ref())
        .fetch_one(&mut *db)
        .await
        .map_err(failed)?;
    if made.len() < batch.new_runs.len() {
        let made: HashSet<Uuid> = made.into_iter().collect();
        let keys = batch.new_runs.iter().map(|new| new.run.key);
        let taken = keys.filter(|key| !made.contains(&key.0)).collect();
        return Err(CommitError::RunExists(taken).into());
    }
    execute(db, NEW_TASKS, &encode::new_tasks(batch)?).await?;
    Ok(xact)
}

async fn new_backfills(db: &mut PgConnection, batch: &Batch) -> Result<(), Unwritten> {
    let made: Vec<i64> = sqlx::query_scalar(NEW_BACKFILLS)
        .bind(encode::new_backfills(batch)?.as_ref())
        .fetch_one(&mut *db)
        .await
        .map_err(failed)?;
    if made.len() < batch.new_backfills.len() {
        let ids = batch.new_backfills.iter().map(|(new, _)| new.id);
        let taken: Vec<BackfillId> = ids.filter(|id| !made.contains(&id.0)).collect();
        return Err(CommitError::BackfillExists(taken).into());
    }
    execute(db, BACKFILL_RUNS, &encode::backfill_runs(batch)?).await?;
    Ok(())
}

async fn repin(db: &mut PgConnection, batch: &Batch) -> Result<(), Unwritten> {
    let runs = encode::repinned(batch)?;
    if let Some(moved) = encode::moved(batch)? {
        for (away, land) in [
            (MOVE_TASKS, LAND_TASKS),
            (MOVE_TRIES, LAND_TRIES),
            (MOVE_XCOMS, LAND_XCOMS),
            (waiting::MOVE_TRIGGERS, waiting::LAND_TRIGGERS),
        ] {
            execute(db, away, &moved).await?;
            execute(db, land, &runs).await?;
        }
    }
    counted(db, REPIN, &runs, batch.repinned.len()).await?;
    execute(db, waiting::REPIN_TRIGGERS, &runs).await?;
    let added = batch.repinned.iter().map(|to| to.added.len()).sum();
    if added > 0 {
        counted(db, ADDED_TASKS, &encode::added_tasks(batch)?, added).await?;
    }
    Ok(())
}

async fn expand(db: &mut PgConnection, batch: &Batch) -> Result<(), Unwritten> {
    let dropped = encode::dropped(batch);
    if !dropped.is_empty() {
        counted(db, DROPPED, &encode::tokens(&dropped)?, dropped.len()).await?;
        // One that was not mapped in an earlier version may have left some.
        let keys = dropped.iter().map(|(key, _)| key);
        execute(db, FORGET_XCOMS, &encode::instances(keys)?).await?;
    }
    let rows = batch.expanded.iter().map(|many| many.rows.len()).sum();
    if rows > 0 {
        counted(db, ADDED_TASKS, &encode::expanded_tasks(batch)?, rows).await?;
    }
    Ok(())
}

async fn write_assets(db: &mut PgConnection, batch: &Batch) -> Result<(), StoreError> {
    if !batch.new_assets.is_empty() || !batch.asset_events.is_empty() {
        execute(db, ASSETS, &encode::assets(batch)?).await?;
    }
    if !batch.asset_events.is_empty() {
        execute(db, ASSET_EVENTS, &encode::asset_events(batch)?).await?;
        maybe(db, RESOLUTIONS, encode::resolutions(batch)?).await?;
    }
    if !batch.asset_queue.is_empty() {
        maybe(db, QUEUED, encode::queued(batch)?).await?;
        maybe(db, UNQUEUED, encode::unqueued(batch)?).await?;
    }
    if !batch.consumed.is_empty() {
        execute(db, CONSUMED, &encode::consumed(batch)?).await?;
    }
    Ok(())
}

fn failed(error: sqlx::Error) -> StoreError {
    Error::from(error).into()
}

async fn execute(
    db: &mut PgConnection,
    statement: &'static str,
    json: &str,
) -> Result<u64, StoreError> {
    let done = sqlx::query(statement).bind(json).execute(db).await;
    done.map(|done| done.rows_affected()).map_err(failed)
}

/// A statement that has to meet this many rows.
async fn counted(
    db: &mut PgConnection,
    statement: &'static str,
    json: &str,
    rows: usize,
) -> Result<(), Unwritten> {
    let met = execute(db, statement, json).await?;
    match usize::try_from(met) == Ok(rows) {
        true => Ok(()),
        false => Err(Unwritten::Miscounted),
    }
}

/// A statement, if there is something for it.
async fn maybe(
    db: &mut PgConnection,
    statement: &'static str,
    json: Option<Arc<str>>,
) -> Result<(), StoreError> {
    if let Some(json) = json {
        execute(db, statement, &json).await?;
    }
    Ok(())
}

/// What a count missed: task instances of other tokens, watchers that somebody else polls, or a run or backfill
/// that is not there.
async fn miscounted(pool: &PgPool, batch: &Batch) -> Result<CommitError, StoreError> {
    let fences = encode::Fences::of(batch)?;
    let places: Vec<i64> = sqlx::query_scalar(FENCED)
        .bind(fences.json.as_ref())
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    let keys = fences.broken(&places);
    if !keys.is_empty() {
        return Ok(CommitError::Fenced(keys));
    }
    let lost = waiting::lost(pool, batch).await?;
    Ok(match lost.is_empty() {
        true => super::unmatched().into(),
        false => CommitError::LeaseLost(lost),
    })
}

/// What a commit asks.
#[cfg(test)]
pub(crate) fn plans() -> Vec<&'static str> {
    [statements::plans(), waiting::plans()].concat()
}
