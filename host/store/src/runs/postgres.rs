//! A batch on PostgreSQL: one transaction of a statement per part.
//!
//! A connection that is lost while COMMIT is under way leaves open whether the batch was written, and writing
//! it again would find its own traces and take them for somebody else's. So the transaction's id is
//! remembered, and the server asked what became of it, before anything else is written.

use airlock_model::{
    id::{MapIndex, RunKey, TaskIndex, TaskInstanceKey},
    port::{Batch, CommitError, StoreError},
};
use sqlx::{PgConnection, PgPool};
use std::collections::HashSet;
use uuid::Uuid;

use super::encode;
use crate::{
    column::number,
    error::{Error, is_lost},
    postgres::{Undecided, WRITE, begin},
};

const NEW_RUNS: &str = "
WITH made AS (
INSERT INTO dag_run (key, dag_id, run_id, team, run_type, state, hash, logical_date, interval_start,
                     interval_end, run_after, queued_at, started_at, ended_at, conf, definition)
SELECT (value ->> 0)::uuid, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       decode(value ->> 6, 'hex'), (value ->> 7)::bigint, (value ->> 8)::bigint, (value ->> 9)::bigint,
       (value ->> 10)::bigint, (value ->> 11)::bigint, (value ->> 12)::bigint, (value ->> 13)::bigint,
       value ->> 14, decode(value ->> 15, 'hex')
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT DO NOTHING RETURNING key)
SELECT COALESCE(array_agg(key), '{}'), pg_current_xact_id()::text FROM made";

const NEW_TASKS: &str = "
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number,
                           max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure)
SELECT (r.value ->> 0)::uuid, (t.value ->> 0)::int, (t.value ->> 1)::int, t.value ->> 2, t.value ->> 3,
       (t.value ->> 4)::bigint, (t.value ->> 5)::bigint, t.value ->> 6, (t.value ->> 7)::bigint,
       (t.value ->> 8)::bigint, (t.value ->> 9)::bigint, (t.value ->> 10)::bigint,
       (t.value ->> 11)::bigint, (t.value ->> 12)::bigint, (t.value ->> 13)::bigint, t.value ->> 14,
       t.value ->> 15
FROM jsonb_array_elements($1::text::jsonb) AS r(value),
     jsonb_array_elements(r.value -> 1) AS t(value)";

const PROGRESS: &str = "
INSERT INTO dag_progress (dag_id, interval_start, interval_end, run_after)
SELECT value ->> 0, (value ->> 1)::bigint, (value ->> 2)::bigint, (value ->> 3)::bigint
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT (dag_id) DO UPDATE SET interval_start = excluded.interval_start,
    interval_end = excluded.interval_end, run_after = excluded.run_after";

const FORGET_XCOMS: &str = "
DELETE FROM xcom USING jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE run = (n.value ->> 0)::uuid AND task = (n.value ->> 1)::int AND map_index = (n.value ->> 2)::int";

const PAST_TRIES: &str = "
INSERT INTO task_try (run, task, map_index, token, try_number, state, queued_at, started_at, ended_at,
                      note, failure)
SELECT t.run, t.task, t.map_index, t.token, t.try_number,
       CASE t.state WHEN 'up_for_retry' THEN 'failed' ELSE t.state END,
       t.queued_at, t.started_at, t.ended_at, t.note, t.failure
FROM jsonb_array_elements($1::text::jsonb) AS n(value) JOIN task_instance AS t
    ON t.run = (value ->> 0)::uuid AND t.task = (value ->> 1)::int AND t.map_index = (value ->> 2)::int
WHERE t.state IN ('success', 'failed', 'skipped', 'up_for_retry') AND t.token > 0 AND t.ended_at IS NOT NULL
ON CONFLICT (run, task, map_index, token) DO NOTHING";

const TASKS: &str = "
WITH moved AS (
UPDATE task_instance AS t SET state = value ->> 4, try_number = (value ->> 5)::bigint,
    max_tries = (value ->> 6)::bigint, token = (value ->> 7)::bigint, queued_at = (value ->> 8)::bigint,
    started_at = (value ->> 9)::bigint, ended_at = (value ->> 10)::bigint,
    next_try_at = (value ->> 11)::bigint, note = value ->> 12, failure = value ->> 13
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.run = (value ->> 0)::uuid AND t.task = (value ->> 1)::int AND t.map_index = (value ->> 2)::int
    AND t.token = (value ->> 3)::bigint
RETURNING 1)
SELECT COUNT(*), pg_current_xact_id()::text FROM moved";

const XCOMS: &str = "
INSERT INTO xcom (run, task, map_index, name, value, spilled, at)
SELECT (value ->> 0)::uuid, (value ->> 1)::int, (value ->> 2)::int, value ->> 3, value ->> 4,
       decode(value ->> 5, 'hex'), (value ->> 6)::bigint
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT (run, task, map_index, name) DO UPDATE SET value = excluded.value,
    spilled = excluded.spilled, at = excluded.at";

const RUNS: &str = "
UPDATE dag_run AS r SET state = value ->> 1, started_at = (value ->> 2)::bigint,
    ended_at = (value ->> 3)::bigint
FROM jsonb_array_elements($1::text::jsonb) AS n(value) WHERE r.key = (value ->> 0)::uuid";

const FENCED: &str = "
SELECT (value ->> 0)::uuid, (value ->> 1)::bigint, (value ->> 2)::int
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE NOT EXISTS (SELECT 1 FROM task_instance AS t
    WHERE t.run = (value ->> 0)::uuid AND t.task = (value ->> 1)::int
        AND t.map_index = (value ->> 2)::int AND t.token = (value ->> 3)::bigint)";

/// Writes a batch.
pub(super) async fn commit(
    pool: &PgPool,
    undecided: &Undecided,
    batch: &Batch,
) -> Result<(), CommitError> {
    if decide(pool, undecided)
        .await?
        .is_some_and(|written| written == *batch)
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
        remember(undecided, Some((id, batch.clone())));
        if decide(pool, undecided).await?.is_some() {
            return Ok(());
        }
    }
    Err(StoreError::from(Error::from(error)).into())
}

fn remember(undecided: &Undecided, what: Option<(String, Batch)>) {
    *undecided
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = what;
}

/// Finds out what became of the undecided batch, if there is one; gives it if it was written.
///
/// # Errors
/// While it cannot be found out.
async fn decide(pool: &PgPool, undecided: &Undecided) -> Result<Option<Batch>, StoreError> {
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
    if !batch.new_runs.is_empty() {
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
        id = Some(xact);
        execute(db, NEW_TASKS, &encode::new_tasks(batch)?).await?;
    }
    if !batch.progress.is_empty() {
        execute(db, PROGRESS, &encode::progress(batch)?).await?;
    }
    if !batch.forget_xcoms.is_empty() {
        execute(db, FORGET_XCOMS, &encode::instances(&batch.forget_xcoms)?).await?;
    }
    if !batch.tasks.is_empty() {
        if let Some(past) = encode::superseded(batch)? {
            execute(db, PAST_TRIES, &past).await?;
        }
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
        let moved = execute(db, RUNS, &encode::run_changes(batch)?).await?;
        if usize::try_from(moved) != Ok(batch.runs.len()) {
            return Err(Unwritten::Miscounted);
        }
    }
    Ok(id)
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

/// What a count missed: task instances of other tokens, or a run that is not there.
async fn miscounted(pool: &PgPool, batch: &Batch) -> Result<CommitError, StoreError> {
    let rows: Vec<(Uuid, i64, i32)> = sqlx::query_as(FENCED)
        .bind(encode::changes(batch)?.as_ref())
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    let keys: Vec<TaskInstanceKey> = rows
        .into_iter()
        .map(|(run, task, map_index)| {
            Ok(TaskInstanceKey {
                run: RunKey(run),
                task: TaskIndex(number(task)?),
                map_index: MapIndex(map_index),
            })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(match keys.is_empty() {
        true => super::unmatched().into(),
        false => CommitError::Fenced(keys),
    })
}

/// What a commit asks.
#[cfg(test)]
pub(crate) fn plans() -> Vec<&'static str> {
    vec![
        NEW_RUNS,
        NEW_TASKS,
        PROGRESS,
        FORGET_XCOMS,
        PAST_TRIES,
        TASKS,
        XCOMS,
        RUNS,
        FENCED,
    ]
}
