//! Reading runs and task instances, one or all that are unfinished.

use std::collections::HashMap;

use airlock_model::{
    id::{BackfillId, DagId, InstanceIndex, MapIndex, RunId, RunKey, TaskIndex},
    port::{DagProgress, RunRow, StoreError, StoredRun, TaskFields, TaskRow},
    time::Timestamp,
};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    Store, column,
    database::{read, snapshot},
    postgres,
};

/// `dag_run` as it is read.
#[derive(FromRow)]
pub(super) struct RunRecord {
    key: Uuid,
    dag_id: String,
    run_id: String,
    team: String,
    run_type: String,
    state: String,
    hash: Vec<u8>,
    definition: Vec<u8>,
    logical_date: Option<i64>,
    interval_start: Option<i64>,
    interval_end: Option<i64>,
    run_after: i64,
    queued_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    conf: String,
    ends_as: Option<String>,
    clear_number: i64,
    backfill: Option<i64>,
    note: Option<String>,
}

impl TryFrom<RunRecord> for RunRow {
    type Error = StoreError;
    fn try_from(row: RunRecord) -> Result<Self, StoreError> {
        Ok(Self {
            key: RunKey(row.key),
            dag_id: column::name(&row.dag_id)?,
            run_id: column::name(&row.run_id)?,
            team: column::name(&row.team)?,
            run_type: column::name(&row.run_type)?,
            state: column::name(&row.state)?,
            hash: column::hash(&row.hash)?,
            definition: column::definition(&row.definition)?,
            logical_date: column::maybe_time(row.logical_date)?,
            data_interval: column::interval(row.interval_start, row.interval_end)?,
            run_after: column::time(row.run_after)?,
            queued_at: column::time(row.queued_at)?,
            started_at: column::maybe_time(row.started_at)?,
            ended_at: column::maybe_time(row.ended_at)?,
            conf: row.conf.into(),
            ends_as: row.ends_as.as_deref().map(column::name).transpose()?,
            clear_number: column::number(row.clear_number)?,
            backfill: row.backfill.map(BackfillId),
            note: row.note.map(Into::into),
        })
    }
}

/// `task_instance` as it is read.
#[derive(FromRow)]
struct TaskRecord {
    run: Uuid,
    task: i32,
    map_index: i32,
    task_id: String,
    pool: String,
    pool_slots: i64,
    priority: i64,
    state: Option<String>,
    try_number: i64,
    max_tries: i64,
    token: i64,
    queued_at: Option<i64>,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    next_try_at: Option<i64>,
    note: Option<String>,
    failure: Option<String>,
    first_started_at: Option<i64>,
    downstream: Option<String>,
    deferred: Option<String>,
}

impl TryFrom<TaskRecord> for TaskRow {
    type Error = StoreError;
    fn try_from(row: TaskRecord) -> Result<Self, StoreError> {
        Ok(Self {
            run: RunKey(row.run),
            task: TaskIndex(column::number(row.task.into())?),
            task_id: column::name(&row.task_id)?,
            map_index: MapIndex(row.map_index),
            pool: column::name(&row.pool)?,
            pool_slots: column::number(row.pool_slots)?,
            priority: row.priority,
            fields: TaskFields {
                state: row.state.as_deref().map(column::name).transpose()?,
                try_number: column::number(row.try_number)?,
                max_tries: column::number(row.max_tries)?,
                token: column::token(row.token)?,
                queued_at: column::maybe_time(row.queued_at)?,
                started_at: column::maybe_time(row.started_at)?,
                ended_at: column::maybe_time(row.ended_at)?,
                next_try_at: column::maybe_time(row.next_try_at)?,
                note: row.note.map(Into::into),
                failure: row.failure.as_deref().map(column::failure).transpose()?,
                first_started_at: column::maybe_time(row.first_started_at)?,
                downstream: column::maybe_json(row.downstream.as_deref())?,
                deferred: column::maybe_json(row.deferred.as_deref())?,
            },
        })
    }
}

/// A length, and whose.
type Length = (Uuid, i32, i32, i64);

fn length((_, task, map_index, length): Length) -> Result<(InstanceIndex, u32), StoreError> {
    let at = InstanceIndex {
        task: TaskIndex(column::number(task.into())?),
        map_index: MapIndex(map_index),
    };
    Ok((at, column::number(length)?))
}

pub(super) fn all<R, T: TryFrom<R, Error = StoreError>>(
    rows: Vec<R>,
) -> Result<Vec<T>, StoreError> {
    rows.into_iter().map(T::try_from).collect()
}

/// The condition is, word for word, that of the partial index.
const UNFINISHED: &str = "SELECT * FROM dag_run WHERE state IN ('queued', 'running') ORDER BY key";
const UNFINISHED_TASKS_SQLITE: &str = "
SELECT t.* FROM dag_run AS r INDEXED BY dag_run_unfinished CROSS JOIN task_instance AS t ON t.run = r.key
WHERE r.state IN ('queued', 'running')";
/// The keys come from the query before it, so that PostgreSQL's planner knows how many there are.
const UNFINISHED_TASKS_POSTGRES: &str = "SELECT * FROM task_instance WHERE run = ANY($1)";
const UNFINISHED_LENGTHS_SQLITE: &str = "
SELECT x.run, x.task, x.map_index, x.length FROM dag_run AS r INDEXED BY dag_run_unfinished
CROSS JOIN xcom AS x INDEXED BY xcom_length ON x.run = r.key
WHERE r.state IN ('queued', 'running') AND x.name = 'return_value' AND x.length IS NOT NULL";
const UNFINISHED_LENGTHS_POSTGRES: &str = "
SELECT run, task, map_index, length FROM xcom
WHERE run = ANY($1) AND name = 'return_value' AND length IS NOT NULL";
const LENGTHS: &str = "
SELECT run, task, map_index, length FROM xcom
WHERE run = $1 AND name = 'return_value' AND length IS NOT NULL ORDER BY task, map_index";
const BY_KEY: &str = "SELECT * FROM dag_run WHERE key = $1";
const BY_NAME: &str = "SELECT * FROM dag_run WHERE dag_id = $1 AND run_id = $2";
const BY_DATE: &str = "SELECT * FROM dag_run WHERE dag_id = $1 AND logical_date = $2";
const TASKS: &str = "SELECT * FROM task_instance WHERE run = $1 ORDER BY task, map_index";
const PROGRESS: &str =
    "SELECT dag_id, interval_start, interval_end, run_after FROM dag_progress ORDER BY dag_id";

impl Store {
    pub(super) async fn read_unfinished(&self) -> Result<Vec<StoredRun>, StoreError> {
        use crate::database::Database;
        let (runs, tasks, lengths): (Vec<RunRecord>, Vec<TaskRecord>, Vec<Length>) = match &self
            .database
        {
            Database::Sqlite(_) => snapshot!(self, db => {
                let runs = sqlx::query_as(UNFINISHED).fetch_all(&mut *db).await?;
                let tasks = sqlx::query_as(UNFINISHED_TASKS_SQLITE).fetch_all(&mut *db).await?;
                let lengths = sqlx::query_as(UNFINISHED_LENGTHS_SQLITE).fetch_all(&mut *db).await?;
                Ok((runs, tasks, lengths))
            }),
            Database::Postgres { pool, .. } => postgres_unfinished(pool).await,
        }?;
        let mut of_run: HashMap<Uuid, Vec<TaskRow>> = HashMap::with_capacity(runs.len());
        for task in tasks {
            of_run.entry(task.run).or_default().push(task.try_into()?);
        }
        let mut returned: HashMap<Uuid, Vec<(InstanceIndex, u32)>> = HashMap::new();
        for found in lengths {
            returned.entry(found.0).or_default().push(length(found)?);
        }
        runs.into_iter()
            .map(|run| {
                let mut tasks = of_run.remove(&run.key).unwrap_or_default();
                tasks.sort_by_key(|task| (task.task, task.map_index));
                let mut returned = returned.remove(&run.key).unwrap_or_default();
                returned.sort_unstable();
                Ok(StoredRun {
                    run: run.try_into()?,
                    tasks,
                    returned,
                })
            })
            .collect()
    }

    pub(super) async fn read_stored_run(
        &self,
        key: RunKey,
    ) -> Result<Option<StoredRun>, StoreError> {
        let (run, tasks, lengths): (Option<RunRecord>, Vec<TaskRecord>, Vec<Length>) = snapshot!(self, db => {
            let run = sqlx::query_as(BY_KEY).bind(key.0).fetch_optional(&mut *db).await?;
            let tasks = sqlx::query_as(TASKS).bind(key.0).fetch_all(&mut *db).await?;
            let lengths = sqlx::query_as(LENGTHS).bind(key.0).fetch_all(&mut *db).await?;
            Ok((run, tasks, lengths))
        })?;
        run.map(|run| {
            Ok(StoredRun {
                run: run.try_into()?,
                tasks: all(tasks)?,
                returned: lengths.into_iter().map(length).collect::<Result<_, _>>()?,
            })
        })
        .transpose()
    }

    pub(super) async fn read_progress(&self) -> Result<Vec<DagProgress>, StoreError> {
        let rows: Vec<(String, i64, i64, i64)> =
            read!(self, db => { Ok(sqlx::query_as(PROGRESS).fetch_all(db).await?) })?;
        rows.into_iter()
            .map(|(dag_id, start, end, run_after)| {
                Ok(DagProgress {
                    dag_id: column::name(&dag_id)?,
                    last_interval: (column::time(start)?, column::time(end)?),
                    last_run_after: column::time(run_after)?,
                })
            })
            .collect()
    }

    pub(super) async fn read_run(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
    ) -> Result<Option<RunRow>, StoreError> {
        let row: Option<RunRecord> = read!(self, db => {
            Ok(sqlx::query_as(BY_NAME)
                .bind(dag_id.as_str())
                .bind(run_id.as_str())
                .fetch_optional(db)
                .await?)
        })?;
        row.map(RunRow::try_from).transpose()
    }

    pub(super) async fn read_run_at(
        &self,
        dag_id: &DagId,
        logical_date: Timestamp,
    ) -> Result<Option<RunRow>, StoreError> {
        let row: Option<RunRecord> = read!(self, db => {
            Ok(sqlx::query_as(BY_DATE)
                .bind(dag_id.as_str())
                .bind(logical_date.micros())
                .fetch_optional(db)
                .await?)
        })?;
        row.map(RunRow::try_from).transpose()
    }

    pub(super) async fn read_task_instances(
        &self,
        run: RunKey,
    ) -> Result<Vec<TaskRow>, StoreError> {
        let rows: Vec<TaskRecord> = read!(self, db => {
            Ok(sqlx::query_as(TASKS).bind(run.0).fetch_all(db).await?)
        })?;
        all(rows)
    }
}

async fn postgres_unfinished(
    pool: &sqlx::PgPool,
) -> Result<(Vec<RunRecord>, Vec<TaskRecord>, Vec<Length>), StoreError> {
    let read = async {
        let mut db = postgres::begin(pool, postgres::SNAPSHOT).await?;
        let runs: Vec<RunRecord> = sqlx::query_as(UNFINISHED).fetch_all(&mut *db).await?;
        let keys: Vec<Uuid> = runs.iter().map(|run| run.key).collect();
        let tasks = sqlx::query_as(UNFINISHED_TASKS_POSTGRES)
            .bind(&keys)
            .fetch_all(&mut *db)
            .await?;
        let lengths = sqlx::query_as(UNFINISHED_LENGTHS_POSTGRES)
            .bind(keys)
            .fetch_all(&mut *db)
            .await?;
        Ok((runs, tasks, lengths))
    };
    read.await
        .map_err(|e: sqlx::Error| crate::error::Error::from(e).into())
}

/// What the scheduler and a restart ask on both databases.
#[cfg(test)]
const PLANS: [&str; 6] = [UNFINISHED, BY_KEY, BY_NAME, BY_DATE, TASKS, LENGTHS];

/// The same on SQLite.
#[cfg(test)]
pub(crate) fn sqlite_plans() -> Vec<&'static str> {
    [
        &PLANS[..],
        &[UNFINISHED_TASKS_SQLITE, UNFINISHED_LENGTHS_SQLITE],
    ]
    .concat()
}

/// The same on PostgreSQL.
#[cfg(test)]
pub(crate) fn postgres_plans() -> Vec<&'static str> {
    [
        &PLANS[..],
        &[UNFINISHED_TASKS_POSTGRES, UNFINISHED_LENGTHS_POSTGRES],
    ]
    .concat()
}
