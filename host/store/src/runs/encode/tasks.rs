//! The parts of a batch that are about task instances.

use std::{borrow::Cow, sync::Arc};

use airlock_model::{
    id::{MapIndex, PoolName, RunKey, TaskId, TaskIndex, Token},
    port::{Batch, StoreError, TaskChange, TaskRow},
    state::TaskState,
    time::Timestamp,
};
use serde::Serialize;

use super::{Key, instances, json, rows};
use crate::column::{failure_text, json_text, plain};

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
    Option<Timestamp>,
    Option<String>,
    Option<String>,
);

fn task(task: &TaskRow) -> Task<'_> {
    let fields = &task.fields;
    Task(
        task.task,
        task.map_index,
        &task.task_id,
        &task.pool,
        task.pool_slots,
        task.priority,
        fields.state,
        fields.try_number,
        fields.max_tries,
        fields.token,
        fields.queued_at,
        fields.started_at,
        fields.ended_at,
        fields.next_try_at,
        fields.note.as_deref().map(plain),
        fields.failure.map(failure_text),
        fields.first_started_at,
        fields.downstream.as_deref().map(json_text),
        fields.deferred.as_deref().map(json_text),
    )
}

/// `task_instance` rows, grouped by run so that each key stands there once.
fn grouped<'a>(
    groups: impl IntoIterator<Item = (RunKey, &'a [TaskRow])>,
) -> Result<Arc<str>, StoreError> {
    let group = |(run, tasks): (RunKey, &'a [TaskRow])| {
        let tasks: Vec<Task<'_>> = tasks.iter().map(task).collect();
        (Key::from(run), tasks)
    };
    json(&groups.into_iter().map(group).collect::<Vec<_>>())
}

/// The task instances of new runs.
pub(in crate::runs) fn new_tasks(batch: &Batch) -> Result<Arc<str>, StoreError> {
    grouped(
        batch
            .new_runs
            .iter()
            .map(|new| (new.run.key, new.tasks.as_slice())),
    )
}

/// Task instances that runs get which move to another version.
pub(in crate::runs) fn added_tasks(batch: &Batch) -> Result<Arc<str>, StoreError> {
    grouped(
        batch
            .repinned
            .iter()
            .map(|to| (to.run, to.added.as_slice())),
    )
}

/// Task instances that mapped tasks become.
pub(in crate::runs) fn expanded_tasks(batch: &Batch) -> Result<Arc<str>, StoreError> {
    grouped(
        batch
            .expanded
            .iter()
            .map(|many| (many.run, many.rows.as_slice())),
    )
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
    Option<Timestamp>,
    Option<String>,
    Option<String>,
);

fn change(change: &TaskChange) -> Change<'_> {
    let fields = &change.fields;
    Change(
        change.key.run.into(),
        change.key.task,
        change.key.map_index,
        change.expected,
        fields.state,
        fields.try_number,
        fields.max_tries,
        fields.token,
        fields.queued_at,
        fields.started_at,
        fields.ended_at,
        fields.next_try_at,
        fields.note.as_deref().map(plain),
        fields.failure.map(failure_text),
        fields.first_started_at,
        fields.downstream.as_deref().map(json_text),
        fields.deferred.as_deref().map(json_text),
    )
}

/// What becomes of `task_instance` rows.
pub(in crate::runs) fn changes(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(&batch.tasks, change)
}

/// Keys of the task instances whose change may overwrite what is known of an ended try, by a claim for
/// another one or a clearing; none when there are none. The statement itself looks whether the old row is
/// that of an ended try.
pub(in crate::runs) fn superseded(batch: &Batch) -> Result<Option<Arc<str>>, StoreError> {
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
