//! The parts of a batch that are about triggers, callbacks and deadlines.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use airlock_model::{
    callback::CallbackState,
    id::{BundleHash, TriggerId},
    port::{
        Batch, CallbackRow, DeadlineRow, Lease, SeenKey, StoreError, TriggerOwner, TriggerProgress,
        TriggerRow, WatcherMove,
    },
    time::Timestamp,
};
use serde::Serialize;
use uuid::Uuid;

use super::{Instance, Key, json, last_of_each, rows};
use crate::column::{json_text, name_hash, nanos, pair, plain};

/// Keys, in one order whoever writes them, so that no two writers wait for each other.
pub(crate) fn ids(keys: impl IntoIterator<Item = Uuid>) -> Result<Arc<str>, StoreError> {
    let mut keys: Vec<Uuid> = keys.into_iter().collect();
    keys.sort_unstable();
    json(&keys.into_iter().map(|key| [Key(key)]).collect::<Vec<_>>())
}

/// State, next poll, what wakes it, polls, last poll, processor time, failures, note.
type Progress<'a> = (
    Option<Cow<'a, str>>,
    Option<Timestamp>,
    Option<String>,
    u64,
    Option<Timestamp>,
    i64,
    u32,
    Option<Cow<'a, str>>,
);

fn progress(of: &TriggerProgress) -> Progress<'_> {
    (
        of.state.as_deref().map(plain),
        of.next_poll_at,
        (!of.on.is_empty()).then(|| json_text(&of.on)),
        of.polls,
        of.last_poll_at,
        nanos(of.cpu),
        of.failures,
        of.note.as_deref().map(plain),
    )
}

/// `trigger` rows: what every one has, the task instance or the watcher, and how far it is.
#[derive(Serialize)]
struct Trigger<'a, Task, Watcher>(
    Key,
    (&'a str, &'a str, &'a str),
    BundleHash,
    (Cow<'a, str>, Cow<'a, str>),
    Timestamp,
    Option<Task>,
    Option<Watcher>,
    Progress<'a>,
);

/// Triggers that begin.
pub(in crate::runs) fn new_triggers(batch: &Batch) -> Result<Arc<str>, StoreError> {
    let gone: HashSet<TriggerId> = batch.gone_triggers.iter().copied().collect();
    let new = batch.new_triggers.iter();
    rows(
        new.filter(|row| !gone.contains(&row.id)),
        |row: &TriggerRow| {
            let (task, watcher) = match &row.owner {
                TriggerOwner::Task {
                    key,
                    token,
                    run_id,
                    task_id,
                    ..
                } => (Some((Instance::from(key), token, run_id, task_id)), None),
                TriggerOwner::Watcher { asset, name } => {
                    let (asset, name) = (plain(asset), plain(name));
                    let pair = pair(&name, &asset);
                    (None, Some((asset, name, pair)))
                }
            };
            Trigger(
                Key(row.id.0),
                (row.team.as_str(), row.dag_id.as_str(), row.bundle.as_str()),
                row.hash,
                (plain(&row.own.kind), plain(&row.own.arguments)),
                row.created_at,
                task,
                watcher,
                progress(&row.progress),
            )
        },
    )
}

/// Triggers that nobody waits for any more.
pub(in crate::runs) fn gone_triggers(batch: &Batch) -> Result<Arc<str>, StoreError> {
    ids(batch.gone_triggers.iter().map(|id| id.0))
}

/// Watchers that are another version's code.
pub(in crate::runs) fn moved_watchers(batch: &Batch) -> Result<Arc<str>, StoreError> {
    let mut moved = last_of_each(&batch.moved_watchers, |to| to.id);
    moved.sort_unstable_by_key(|to| to.id);
    rows(moved, |to: &WatcherMove| {
        (Key(to.id.0), &to.dag_id, &to.bundle, to.hash)
    })
}

/// What polls have changed, under which claims.
pub(crate) fn polls(polls: &[(TriggerId, Lease, TriggerProgress)]) -> Result<Arc<str>, StoreError> {
    let mut polls: Vec<_> = polls.iter().collect();
    polls.sort_unstable_by_key(|(id, ..)| *id);
    rows(polls, |(id, lease, changed)| {
        (Key(id.0), Key(lease.host.0), lease.token, progress(changed))
    })
}

/// What polls of watchers have changed that saw something.
pub(in crate::runs) fn watched(batch: &Batch) -> Result<Arc<str>, StoreError> {
    polls(&batch.watched)
}

/// `seen_key` rows.
pub(in crate::runs) fn seen_keys(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(&batch.seen_keys, |seen: &SeenKey| {
        let asset = plain(&seen.asset.name);
        let pair = pair(&plain(&seen.key), &asset);
        (&seen.asset.team, pair, asset, seen.at)
    })
}

/// `callback` rows. One that is due when it is made may be claimed at once.
pub(in crate::runs) fn callbacks(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(&batch.callbacks, |row: &CallbackRow| {
        let is_pending = row.state == CallbackState::Pending;
        (
            (Key(row.id.0), row.created_at, row.priority_weight, row.kind),
            plain(&row.message),
            (&row.team, &row.bundle, row.hash),
            (plain(&row.entry), plain(&row.arguments)),
            (Key::from(row.subject.run), &row.subject.dag_id),
            json_text(&row.subject),
            (row.state, row.tries, row.next_try_at, row.ended_at),
            row.note.as_deref().map(plain),
            is_pending && row.next_try_at <= row.created_at,
            is_pending.then_some(row.next_try_at),
        )
    })
}

/// `deadline` rows.
pub(in crate::runs) fn deadlines(batch: &Batch) -> Result<Arc<str>, StoreError> {
    let last = last_of_each(&batch.deadlines, |d: &DeadlineRow| (d.run, &d.name));
    rows(last, |row: &DeadlineRow| {
        let name = plain(&row.name);
        (
            Key::from(row.run),
            name_hash(&name),
            name,
            (&row.request.team, &row.request.subject.dag_id),
            row.at,
            row.missed_at,
            json_text(row.request.as_ref()),
        )
    })
}

/// Runs whose deadlines go.
pub(in crate::runs) fn gone_deadlines(batch: &Batch) -> Result<Arc<str>, StoreError> {
    ids(batch.gone_deadlines.iter().map(|run| run.0))
}
