//! A batch as JSON parameters: each part is one array of rows, each row an array of columns.
//!
//! One parameter holds any number of rows, so the number of statements does not depend on the batch's size
//! and every statement stays prepared. The order of the columns here is the order of the numbers in the
//! statements of both databases.

use std::{borrow::Cow, collections::HashMap, hash::Hash, sync::Arc};

use airlock_model::{
    id::{
        BundleHash, DagId, DefinitionHash, MapIndex, PoolName, RunId, RunKey, TaskId, TaskIndex,
        TaskInstanceKey, TeamName, Token,
    },
    port::{Batch, NewRun, RunChange, StoreError, TaskChange, TaskFields, XcomWrite},
    state::{RunState, RunType, TaskState},
    time::Timestamp,
};
use serde::Serialize;

use crate::column::{failure_text, plain};

/// Rows as a JSON text.
fn json<T: Serialize>(rows: &[T]) -> Result<Arc<str>, StoreError> {
    serde_json::to_string(rows)
        .map(Arc::from)
        .map_err(|e| StoreError::Statement(e.into()))
}

fn rows<'a, T, R: Serialize>(
    from: impl IntoIterator<Item = &'a T>,
    row: impl Fn(&'a T) -> R,
) -> Result<Arc<str>, StoreError>
where
    T: 'a,
{
    json(&from.into_iter().map(row).collect::<Vec<_>>())
}

/// A key as hexadecimal digits without hyphens, which both databases turn into theirs.
#[derive(Serialize)]
struct Key(#[serde(with = "uuid::serde::simple")] uuid::Uuid);

impl From<RunKey> for Key {
    fn from(key: RunKey) -> Self {
        Self(key.0)
    }
}

#[derive(Serialize)]
struct Instance(Key, TaskIndex, MapIndex);

impl From<&TaskInstanceKey> for Instance {
    fn from(key: &TaskInstanceKey) -> Self {
        Self(key.run.into(), key.task, key.map_index)
    }
}

#[derive(Serialize)]
struct Run<'a>(
    Key,
    &'a DagId,
    &'a RunId,
    &'a TeamName,
    RunType,
    RunState,
    BundleHash,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Timestamp>,
    Timestamp,
    Timestamp,
    Option<Timestamp>,
    Option<Timestamp>,
    Cow<'a, str>,
    DefinitionHash,
);

/// `dag_run` rows.
pub(super) fn new_runs(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(&batch.new_runs, |NewRun { run, .. }| {
        Run(
            run.key.into(),
            &run.dag_id,
            &run.run_id,
            &run.team,
            run.run_type,
            run.state,
            run.hash,
            run.logical_date,
            run.data_interval.map(|(start, _)| start),
            run.data_interval.map(|(_, end)| end),
            run.run_after,
            run.queued_at,
            run.started_at,
            run.ended_at,
            plain(&run.conf),
            run.definition,
        )
    })
}

/// State, try, most tries, token, four times, note, failure.
type Fields<'a> = (
    Option<TaskState>,
    u32,
    u32,
    Token,
    [Option<Timestamp>; 4],
    Option<Cow<'a, str>>,
    Option<String>,
);

#[derive(Serialize)]
struct Task<'a>(
    TaskIndex,
    MapIndex,
    &'a TaskId,
    &'a PoolName,
    u32,
    i64,
    Option<TaskState>,
    u32,
    u32,
    Token,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Cow<'a, str>>,
    Option<String>,
);

fn fields(fields: &TaskFields) -> Fields<'_> {
    (
        fields.state,
        fields.try_number,
        fields.max_tries,
        fields.token,
        [
            fields.queued_at,
            fields.started_at,
            fields.ended_at,
            fields.next_try_at,
        ],
        fields.note.as_deref().map(plain),
        fields.failure.map(failure_text),
    )
}

/// `task_instance` rows, grouped by run so that each key stands there once.
pub(super) fn new_tasks(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(&batch.new_runs, |NewRun { run, tasks }| {
        let tasks: Vec<Task<'_>> = tasks
            .iter()
            .map(|task| {
                let (state, number, most, token, [queued, started, ended, next], note, failure) =
                    fields(&task.fields);
                Task(
                    task.task,
                    task.map_index,
                    &task.task_id,
                    &task.pool,
                    task.pool_slots,
                    task.priority,
                    state,
                    number,
                    most,
                    token,
                    queued,
                    started,
                    ended,
                    next,
                    note,
                    failure,
                )
            })
            .collect();
        (Key::from(run.key), tasks)
    })
}

/// `dag_progress` rows.
pub(super) fn progress(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(last_of_each(&batch.progress, |p| &p.dag_id), |p| {
        (
            &p.dag_id,
            p.last_interval.0,
            p.last_interval.1,
            p.last_run_after,
        )
    })
}

/// Keys of task instances.
pub(super) fn instances<'a>(
    keys: impl IntoIterator<Item = &'a TaskInstanceKey>,
) -> Result<Arc<str>, StoreError> {
    rows(keys, Instance::from)
}

/// Keys of the task instances whose change may overwrite what is known of an ended try, by a claim for
/// another one or a clearing; none when there are none. The statement itself looks whether the old row is
/// that of an ended try.
pub(super) fn superseded(batch: &Batch) -> Result<Option<Arc<str>>, StoreError> {
    let supersedes = |change: &&TaskChange| {
        change.expected.get() > 0
            && (change.fields.token != change.expected
                || matches!(change.fields.state, None | Some(TaskState::Scheduled)))
    };
    let mut past = batch
        .tasks
        .iter()
        .filter(supersedes)
        .map(|c| &c.key)
        .peekable();
    past.peek().is_some().then(|| instances(past)).transpose()
}

#[derive(Serialize)]
struct Change<'a>(
    Key,
    TaskIndex,
    MapIndex,
    Token,
    Option<TaskState>,
    u32,
    u32,
    Token,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Cow<'a, str>>,
    Option<String>,
);

/// What becomes of `task_instance` rows.
pub(super) fn changes(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(
        &batch.tasks,
        |TaskChange {
             key,
             expected,
             fields: to,
         }| {
            let (state, number, most, token, [queued, started, ended, next], note, failure) =
                fields(to);
            Change(
                key.run.into(),
                key.task,
                key.map_index,
                *expected,
                state,
                number,
                most,
                token,
                queued,
                started,
                ended,
                next,
                note,
                failure,
            )
        },
    )
}

/// `xcom` rows.
pub(super) fn xcoms(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(
        last_of_each(&batch.xcoms, |x| (x.key, &x.name)),
        |XcomWrite {
             key,
             name,
             value,
             spilled,
             at,
         }| {
            let Instance(run, task, map_index) = key.into();
            (
                run,
                task,
                map_index,
                plain(name),
                value.as_deref().map(plain),
                spilled,
                at,
            )
        },
    )
}

/// What becomes of `dag_run` rows.
pub(super) fn run_changes(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(
        &batch.runs,
        |RunChange {
             key,
             state,
             started_at,
             ended_at,
         }| { (Key::from(*key), state, started_at, ended_at) },
    )
}

/// The items, of those with one key the last only: what writing one after the other would leave. One
/// statement that meets a row twice fails on PostgreSQL.
fn last_of_each<'a, T, K: Hash + Eq>(items: &'a [T], key: impl Fn(&'a T) -> K) -> Vec<&'a T> {
    if items.len() < 2 {
        return items.iter().collect();
    }
    let last: HashMap<K, usize> = items.iter().map(&key).zip(0..).collect();
    items
        .iter()
        .enumerate()
        .filter(|(i, item)| last.get(&key(item)) == Some(i))
        .map(|(_, item)| item)
        .collect()
}
