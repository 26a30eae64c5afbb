//! A batch as JSON parameters: each part is one array of rows, each row an array of columns.
//!
//! One parameter holds any number of rows, so the number of statements does not depend on the batch's size
//! and every statement stays prepared. The order of the columns here is the order of the numbers in the
//! statements of both databases.

mod assets;
mod backfills;
mod fences;
mod tasks;
mod waiting;

pub(super) use assets::{asset_events, assets, consumed, queued, resolutions, unqueued};
pub(super) use backfills::{backfill_changes, backfill_runs, new_backfills};
pub(super) use fences::Fences;
pub(super) use tasks::{added_tasks, changes, expanded_tasks, new_tasks, superseded};
pub(super) use waiting::{
    callbacks, deadlines, gone_deadlines, gone_triggers, moved_watchers, new_triggers, seen_keys,
    watched,
};
pub(crate) use waiting::{ids, polls};

use std::{borrow::Cow, collections::HashMap, hash::Hash, sync::Arc};

use airlock_model::{
    id::{
        BackfillId, BundleHash, DagId, DefinitionHash, MapIndex, RunId, RunKey, TaskIndex,
        TaskInstanceKey, TeamName, Token,
    },
    port::{Batch, ExpandedRows, NewRun, StoreError, XcomWrite},
    state::{RunState, RunType},
    time::Timestamp,
};
use serde::Serialize;

use crate::column::plain;

/// Rows as a JSON text.
fn json<T: Serialize>(rows: &[T]) -> Result<Arc<str>, StoreError> {
    serde_json::to_string(rows)
        .map(Arc::from)
        .map_err(|e| StoreError::Statement(e.into()))
}

pub(crate) fn rows<'a, T, R: Serialize>(
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
pub(crate) struct Key(#[serde(with = "uuid::serde::simple")] pub(crate) uuid::Uuid);

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
    u32,
    Option<BackfillId>,
    Option<Cow<'a, str>>,
    Option<RunState>,
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
            run.clear_number,
            run.backfill,
            run.note.as_deref().map(plain),
            run.ends_as,
        )
    })
}

/// Unexpanded instances that go, with the token that each has to hold.
pub(super) fn dropped(batch: &Batch) -> Vec<(TaskInstanceKey, Token)> {
    let drop = |many: &ExpandedRows| {
        let key = TaskInstanceKey {
            run: many.run,
            task: many.task,
            map_index: MapIndex::UNMAPPED,
        };
        many.dropped.map(|token| (key, token))
    };
    batch.expanded.iter().filter_map(drop).collect()
}

/// Task instances with a token.
pub(super) fn tokens(of: &[(TaskInstanceKey, Token)]) -> Result<Arc<str>, StoreError> {
    rows(of, |(key, token)| {
        let Instance(run, task, map_index) = key.into();
        (run, task, map_index, token)
    })
}

/// Runs that move to another version: their keys, and what they are pinned to.
pub(super) fn repinned(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(&batch.repinned, |to| {
        (Key::from(to.run), to.hash, to.definition)
    })
}

/// Which positions become which, of runs that move to another version; none when no task moves.
pub(super) fn moved(batch: &Batch) -> Result<Option<Arc<str>>, StoreError> {
    let mut moved = batch
        .repinned
        .iter()
        .flat_map(|to| {
            let moves = to.moved.iter().filter(|(from, to)| from != to);
            moves.map(|(from, onto)| (Key::from(to.run), from, onto))
        })
        .peekable();
    match moved.peek() {
        Some(_) => json(&moved.collect::<Vec<_>>()).map(Some),
        None => Ok(None),
    }
}

/// The keys of runs whose pinned definition may be new to their DAG.
pub(super) fn pinned(batch: &Batch) -> Result<Arc<str>, StoreError> {
    let new = batch.new_runs.iter().map(|new| new.run.key);
    let keys = new.chain(batch.repinned.iter().map(|to| to.run));
    json(&keys.map(|key| [Key::from(key)]).collect::<Vec<_>>())
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

/// `xcom` rows.
pub(super) fn xcoms(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(
        last_of_each(&batch.xcoms, |x| (x.key, &x.name)),
        |XcomWrite {
             key,
             name,
             value,
             spilled,
             length,
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
                length,
            )
        },
    )
}

/// What becomes of `dag_run` rows.
pub(super) fn run_changes(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(&batch.runs, |run| {
        (
            Key::from(run.key),
            run.state,
            run.started_at,
            run.ended_at,
            run.queued_at,
            run.clear_number,
            run.backfill,
            run.run_type,
            run.ends_as,
        )
    })
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
