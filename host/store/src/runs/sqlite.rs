//! A batch on SQLite: one script, one trip to the connection's thread, one sync.
//!
//! The script begins and ends its own transaction and checks its own counts: after an UPDATE that has to meet
//! every row, writing into `fence` fails when it did not, and the driver stops there. Only then is it worth
//! asking what was in the way.
//!
//! `jsonb_each` and not `json_each`: the latter renders each row as text, to be parsed again for its columns,
//! which makes a thousand rows take about twice as long.

use std::sync::Arc;

use airlock_model::{
    id::{MapIndex, RunKey, TaskIndex, TaskInstanceKey},
    port::{Batch, CommitError, StoreError},
};
use sqlx::{SqliteConnection, error::ErrorKind, sqlite::SqliteArguments};
use uuid::Uuid;

use super::encode;
use crate::{column::signed, error::Error, sqlite::Sqlite};

const NEW_RUNS: &str = "
INSERT INTO dag_run (key, dag_id, run_id, team, run_type, state, hash, logical_date, interval_start,
                     interval_end, run_after, queued_at, started_at, ended_at, conf, definition)
SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       unhex(value ->> 6), value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11,
       value ->> 12, value ->> 13, value ->> 14, unhex(value ->> 15)
FROM jsonb_each(?);
";

/// Materialised, because a column of `jsonb_each` is made anew each time it is looked at, and this one is
/// as long as the run.
const NEW_TASKS: &str = "
WITH r AS MATERIALIZED (SELECT unhex(value ->> 0) AS key, jsonb_extract(value, '$[1]') AS tasks FROM jsonb_each(?))
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number,
                           max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure)
SELECT r.key, t.value ->> 0, t.value ->> 1, t.value ->> 2, t.value ->> 3, t.value ->> 4,
       t.value ->> 5, t.value ->> 6, t.value ->> 7, t.value ->> 8, t.value ->> 9, t.value ->> 10,
       t.value ->> 11, t.value ->> 12, t.value ->> 13, t.value ->> 14, t.value ->> 15
FROM r CROSS JOIN jsonb_each(r.tasks) AS t;
";

const PROGRESS: &str = "
INSERT INTO dag_progress (dag_id, interval_start, interval_end, run_after)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each(?) WHERE TRUE
ON CONFLICT (dag_id) DO UPDATE SET interval_start = excluded.interval_start,
    interval_end = excluded.interval_end, run_after = excluded.run_after;
";

const FORGET_XCOMS: &str = "
DELETE FROM xcom WHERE (run, task, map_index) IN
    (SELECT unhex(value ->> 0), value ->> 1, value ->> 2 FROM jsonb_each(?));
";

const PAST_TRIES: &str = "
INSERT INTO task_try (run, task, map_index, token, try_number, state, queued_at, started_at, ended_at,
                      note, failure)
SELECT t.run, t.task, t.map_index, t.token, t.try_number, iif(t.state = 'up_for_retry', 'failed', t.state),
       t.queued_at, t.started_at, t.ended_at, t.note, t.failure
FROM jsonb_each(?) AS n CROSS JOIN task_instance AS t
    ON t.run = unhex(n.value ->> 0) AND t.task = n.value ->> 1 AND t.map_index = n.value ->> 2
WHERE t.state IN ('success', 'failed', 'skipped', 'up_for_retry') AND t.token > 0 AND t.ended_at IS NOT NULL
ON CONFLICT (run, task, map_index, token) DO NOTHING;
";

const TASKS: &str = "
UPDATE task_instance SET state = n.state, try_number = n.try_number, max_tries = n.max_tries,
    token = n.token, queued_at = n.queued_at, started_at = n.started_at, ended_at = n.ended_at,
    next_try_at = n.next_try_at, note = n.note, failure = n.failure
FROM (SELECT unhex(value ->> 0) AS run, value ->> 1 AS task, value ->> 2 AS map_index,
             value ->> 3 AS expected, value ->> 4 AS state, value ->> 5 AS try_number,
             value ->> 6 AS max_tries, value ->> 7 AS token, value ->> 8 AS queued_at,
             value ->> 9 AS started_at, value ->> 10 AS ended_at, value ->> 11 AS next_try_at,
             value ->> 12 AS note, value ->> 13 AS failure FROM jsonb_each(?)) AS n
WHERE task_instance.run = n.run AND task_instance.task = n.task
    AND task_instance.map_index = n.map_index AND task_instance.token = n.expected;
";

const XCOMS: &str = "
INSERT INTO xcom (run, task, map_index, name, value, spilled, at)
SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, unhex(value ->> 5),
       value ->> 6
FROM jsonb_each(?) WHERE TRUE
ON CONFLICT (run, task, map_index, name) DO UPDATE SET value = excluded.value,
    spilled = excluded.spilled, at = excluded.at;
";

const RUNS: &str = "
UPDATE dag_run SET state = n.state, started_at = n.started_at, ended_at = n.ended_at
FROM (SELECT unhex(value ->> 0) AS key, value ->> 1 AS state, value ->> 2 AS started_at,
             value ->> 3 AS ended_at FROM jsonb_each(?)) AS n
WHERE dag_run.key = n.key;
";

/// Fails unless the statement before it changed this many rows.
const FENCE: &str = "INSERT INTO fence (broken) SELECT 'count' WHERE changes() <> ?;";

const COLLISIONS: &str = "
SELECT unhex(n.value ->> 0) FROM jsonb_each(?) AS n CROSS JOIN dag_run AS r
WHERE r.key = unhex(n.value ->> 0)
    OR (r.dag_id = n.value ->> 1 AND r.run_id = n.value ->> 2)
    OR (r.dag_id = n.value ->> 1 AND r.logical_date = n.value ->> 7)";

const FENCED: &str = "
SELECT unhex(n.value ->> 0), n.value ->> 1, n.value ->> 2 FROM jsonb_each(?) AS n
WHERE NOT EXISTS (SELECT 1 FROM task_instance AS t
    WHERE t.run = unhex(n.value ->> 0) AND t.task = n.value ->> 1 AND t.map_index = n.value ->> 2
        AND t.token = n.value ->> 3)";

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

    fn of(batch: &Batch) -> Result<Self, StoreError> {
        let mut script = Self::new();
        if !batch.new_runs.is_empty() {
            script.add(NEW_RUNS, encode::new_runs(batch)?)?;
            script.add(NEW_TASKS, encode::new_tasks(batch)?)?;
        }
        if !batch.progress.is_empty() {
            script.add(PROGRESS, encode::progress(batch)?)?;
        }
        if !batch.forget_xcoms.is_empty() {
            script.add(FORGET_XCOMS, encode::instances(&batch.forget_xcoms)?)?;
        }
        if !batch.tasks.is_empty() {
            if let Some(past) = encode::superseded(batch)? {
                script.add(PAST_TRIES, past)?;
            }
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
        script.text.push_str("COMMIT;");
        Ok(script)
    }
}

/// Writes a batch.
pub(super) async fn commit(file: &Sqlite, batch: &Batch) -> Result<(), CommitError> {
    let script = Script::of(batch)?;
    let rows = batch.tasks.len()
        + batch.xcoms.len()
        + batch.runs.len()
        + batch
            .new_runs
            .iter()
            .map(|new| new.tasks.len() + 6)
            .sum::<usize>();
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
        Some(ErrorKind::UniqueViolation) if !batch.new_runs.is_empty() => {
            let keys = collisions(connection, batch).await?;
            match keys.is_empty() {
                true => Err(StoreError::from(Error::from(error)).into()),
                false => Err(CommitError::RunExists(keys)),
            }
        }
        _ => Err(StoreError::from(Error::from(error)).into()),
    }
}

async fn collisions(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<Vec<RunKey>, StoreError> {
    let mut keys: Vec<Uuid> = sqlx::query_scalar(COLLISIONS)
        .bind(encode::new_runs(batch)?)
        .fetch_all(connection)
        .await
        .map_err(Error::from)?;
    // One new run may collide with several.
    keys.dedup();
    Ok(keys.into_iter().map(RunKey).collect())
}

/// Why a fence broke: task instances of other tokens, or a run that is not there.
async fn broken_fence(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<CommitError, StoreError> {
    let keys: Vec<(Uuid, u32, i32)> = sqlx::query_as(FENCED)
        .bind(encode::changes(batch)?)
        .fetch_all(connection)
        .await
        .map_err(Error::from)?;
    let keys: Vec<TaskInstanceKey> = keys
        .into_iter()
        .map(|(run, task, map_index)| TaskInstanceKey {
            run: RunKey(run),
            task: TaskIndex(task),
            map_index: MapIndex(map_index),
        })
        .collect();
    Ok(match keys.is_empty() {
        true => super::unmatched().into(),
        false => CommitError::Fenced(keys),
    })
}

/// Each statement with the tables that it may scan: parameters only.
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
        FENCE,
        COLLISIONS,
        FENCED,
    ]
}
