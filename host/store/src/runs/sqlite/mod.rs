//! A batch on SQLite: one script, one trip to the connection's thread, one sync.
//!
//! The script begins and ends its own transaction and checks its own counts: after an UPDATE that has to meet
//! every row, writing into `fence` fails when it did not, and the driver stops there. Only then is it worth
//! asking what was in the way.

mod statements;
mod waiting;

use std::sync::Arc;

use airlock_model::{
    id::{BackfillId, RunKey},
    port::{Batch, CommitError, StoreError},
};
use sqlx::{SqliteConnection, error::ErrorKind, sqlite::SqliteArguments};
use uuid::Uuid;

use super::encode;
use crate::{column::signed, error::Error, sqlite::Sqlite};
use statements::{
    ADDED_TASKS, ASSET_EVENTS, ASSETS, BACKFILL_COLLISIONS, BACKFILL_RUNS, BACKFILLS, COLLISIONS,
    CONSUMED, DROPPED, FENCE, FENCED, FORGET_XCOMS, LAND_TASKS, LAND_TRIES, LAND_XCOMS, MOVE_TASKS,
    MOVE_TRIES, MOVE_XCOMS, NEW_BACKFILLS, NEW_RUNS, NEW_TASKS, PAST_TRIES, PINNED, PROGRESS,
    QUEUED, REPIN, RESOLUTIONS, RUNS, TASKS, UNQUEUED, XCOMS,
};

/// Statements and what they are given, in order.
struct Script {
    text: String,
    arguments: SqliteArguments,
}

impl Script {
    fn new() -> Self {
        Self {
            text: String::from("BEGIN IMMEDIATE;"),
            arguments: SqliteArguments::default(),
        }
    }

    fn add(&mut self, statement: &str, json: Arc<str>) -> Result<(), StoreError> {
        use sqlx::Arguments;
        self.text.push_str(statement);
        self.arguments.add(json).map_err(StoreError::Statement)
    }

    fn fence(&mut self, rows: usize) -> Result<(), StoreError> {
        use sqlx::Arguments;
        self.text.push_str(FENCE);
        self.arguments
            .add(signed(rows as u64))
            .map_err(StoreError::Statement)
    }

    /// A statement, if there is something for it.
    fn maybe(&mut self, statement: &str, json: Option<Arc<str>>) -> Result<(), StoreError> {
        json.map_or(Ok(()), |json| self.add(statement, json))
    }

    fn of(batch: &Batch) -> Result<Self, StoreError> {
        let mut script = Self::new();
        if !batch.repinned.is_empty() {
            script.repinned(batch)?;
        }
        // One that is completed makes room for the next of its DAG.
        if !batch.backfills.is_empty() {
            script.add(BACKFILLS, encode::backfill_changes(batch)?)?;
            script.fence(batch.backfills.len())?;
        }
        if !batch.new_backfills.is_empty() {
            script.add(NEW_BACKFILLS, encode::new_backfills(batch)?)?;
            script.add(BACKFILL_RUNS, encode::backfill_runs(batch)?)?;
        }
        if !batch.new_runs.is_empty() {
            script.add(NEW_RUNS, encode::new_runs(batch)?)?;
            script.add(NEW_TASKS, encode::new_tasks(batch)?)?;
        }
        if !batch.new_runs.is_empty() || !batch.repinned.is_empty() {
            script.add(PINNED, encode::pinned(batch)?)?;
        }
        if !batch.progress.is_empty() {
            script.add(PROGRESS, encode::progress(batch)?)?;
        }
        if !batch.forget_xcoms.is_empty() {
            script.add(FORGET_XCOMS, encode::instances(&batch.forget_xcoms)?)?;
        }
        if !batch.expanded.is_empty() {
            script.expanded(batch)?;
        }
        if !batch.tasks.is_empty() {
            script.maybe(PAST_TRIES, encode::superseded(batch)?)?;
            script.add(TASKS, encode::changes(batch)?)?;
            script.fence(batch.tasks.len())?;
        }
        if !batch.xcoms.is_empty() {
            script.add(XCOMS, encode::xcoms(batch)?)?;
        }
        if !batch.runs.is_empty() {
            script.add(RUNS, encode::run_changes(batch)?)?;
            script.fence(batch.runs.len())?;
        }
        if !batch.new_assets.is_empty() || !batch.asset_events.is_empty() {
            script.add(ASSETS, encode::assets(batch)?)?;
        }
        if !batch.asset_events.is_empty() {
            script.add(ASSET_EVENTS, encode::asset_events(batch)?)?;
            script.maybe(RESOLUTIONS, encode::resolutions(batch)?)?;
        }
        if !batch.asset_queue.is_empty() {
            script.maybe(QUEUED, encode::queued(batch)?)?;
            script.maybe(UNQUEUED, encode::unqueued(batch)?)?;
        }
        if !batch.consumed.is_empty() {
            script.add(CONSUMED, encode::consumed(batch)?)?;
        }
        script.waiting(batch)?;
        script.text.push_str("COMMIT;");
        Ok(script)
    }

    fn repinned(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let runs = encode::repinned(batch)?;
        if let Some(moved) = encode::moved(batch)? {
            for (away, land) in [
                (MOVE_TASKS, LAND_TASKS),
                (MOVE_TRIES, LAND_TRIES),
                (MOVE_XCOMS, LAND_XCOMS),
                (waiting::MOVE_TRIGGERS, waiting::LAND_TRIGGERS),
            ] {
                self.add(away, Arc::clone(&moved))?;
                self.add(land, Arc::clone(&runs))?;
            }
        }
        self.add(REPIN, Arc::clone(&runs))?;
        self.fence(batch.repinned.len())?;
        self.add(waiting::REPIN_TRIGGERS, runs)?;
        let added = batch.repinned.iter().map(|to| to.added.len()).sum();
        if added > 0 {
            self.add(ADDED_TASKS, encode::added_tasks(batch)?)?;
            self.fence(added)?;
        }
        Ok(())
    }

    fn expanded(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let dropped = encode::dropped(batch);
        if !dropped.is_empty() {
            self.add(DROPPED, encode::tokens(&dropped)?)?;
            self.fence(dropped.len())?;
            // One that was not mapped in an earlier version may have left some.
            let keys = dropped.iter().map(|(key, _)| key);
            self.add(FORGET_XCOMS, encode::instances(keys)?)?;
        }
        let rows = batch.expanded.iter().map(|many| many.rows.len()).sum();
        if rows > 0 {
            self.add(ADDED_TASKS, encode::expanded_tasks(batch)?)?;
            self.fence(rows)?;
        }
        Ok(())
    }
}

/// Writes a batch.
pub(super) async fn commit(file: &Sqlite, batch: &Batch) -> Result<(), CommitError> {
    let script = Script::of(batch)?;
    let rows = weight(batch);
    let mut writer = file.writer().await?;
    let error = match writer.run(script.text, script.arguments).await {
        Ok(()) => {
            file.wrote(rows);
            return Ok(());
        }
        Err(error) => error,
    };
    let kind = error
        .as_database_error()
        .map(sqlx::error::DatabaseError::kind);
    let connection = writer
        .ready()
        .await
        .map_err(Error::from)
        .map_err(StoreError::from)?;
    match kind {
        Some(ErrorKind::CheckViolation) => Err(broken_fence(connection, batch).await?),
        Some(ErrorKind::UniqueViolation) => {
            let reason = collisions(connection, batch).await?;
            Err(reason.unwrap_or_else(|| StoreError::from(Error::from(error)).into()))
        }
        _ => Err(StoreError::from(Error::from(error)).into()),
    }
}

/// About how many rows a batch writes.
fn weight(batch: &Batch) -> usize {
    let new = batch.new_runs.iter().map(|new| new.tasks.len() + 10);
    let many = batch.expanded.iter().map(|many| many.rows.len());
    let backfills = batch.new_backfills.iter().map(|(_, runs)| runs.len() + 4);
    let repinned = batch.repinned.iter().map(|to| 100 + to.added.len());
    let extents = new.chain(many).chain(backfills).chain(repinned);
    batch.tasks.len()
        + batch.xcoms.len()
        + batch.runs.len()
        + 5 * batch.asset_events.len()
        + batch.asset_queue.len()
        + 5 * (batch.new_triggers.len() + batch.callbacks.len())
        + 2 * (batch.gone_triggers.len()
            + batch.moved_watchers.len()
            + batch.watched.len()
            + batch.seen_keys.len())
        + batch.deadlines.len()
        + batch.gone_deadlines.len()
        + extents.sum::<usize>()
}

/// What new runs or backfills met; none when they met nothing.
async fn collisions(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<Option<CommitError>, StoreError> {
    let mut keys: Vec<Uuid> = sqlx::query_scalar(COLLISIONS)
        .bind(encode::new_runs(batch)?)
        .fetch_all(&mut *connection)
        .await
        .map_err(Error::from)?;
    // One new run may collide with several.
    keys.dedup();
    if !keys.is_empty() {
        let keys = keys.into_iter().map(RunKey).collect();
        return Ok(Some(CommitError::RunExists(keys)));
    }
    let ids: Vec<i64> = sqlx::query_scalar(BACKFILL_COLLISIONS)
        .bind(encode::new_backfills(batch)?)
        .bind(encode::backfill_changes(batch)?)
        .fetch_all(connection)
        .await
        .map_err(Error::from)?;
    let ids: Vec<BackfillId> = ids.into_iter().map(BackfillId).collect();
    Ok((!ids.is_empty()).then_some(CommitError::BackfillExists(ids)))
}

/// Why a fence broke: task instances of other tokens, watchers that somebody else polls, or a run or backfill
/// that is not there.
async fn broken_fence(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<CommitError, StoreError> {
    let fences = encode::Fences::of(batch)?;
    let places: Vec<i64> = sqlx::query_scalar(FENCED)
        .bind(Arc::clone(&fences.json))
        .fetch_all(&mut *connection)
        .await
        .map_err(Error::from)?;
    let keys = fences.broken(&places);
    if !keys.is_empty() {
        return Ok(CommitError::Fenced(keys));
    }
    let lost = waiting::lost(connection, batch).await?;
    Ok(match lost.is_empty() {
        true => super::unmatched().into(),
        false => CommitError::LeaseLost(lost),
    })
}

/// Each statement with the tables that it may scan: parameters only.
#[cfg(test)]
pub(crate) fn plans() -> Vec<&'static str> {
    [statements::plans(), waiting::plans()].concat()
}
