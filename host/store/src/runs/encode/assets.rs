//! The parts of a batch that are about assets.

use std::sync::Arc;

use airlock_model::{
    id::{AssetEventId, DagId, MapIndex, RunId, TaskId},
    port::{AssetEvent, Batch, EventSource, QueueChange, StoreError},
};

use super::{Key, json, last_of_each, rows};
use crate::column::{pair, plain};

/// An id as hexadecimal digits, which both databases turn into theirs.
fn id(event: AssetEventId) -> Key {
    Key(event.0)
}

/// `asset` rows: those that are new, and those that events know of.
pub(in crate::runs) fn assets(batch: &Batch) -> Result<Arc<str>, StoreError> {
    let text = |text: &Option<String>| text.as_deref().map(|text| plain(text).into_owned());
    let new = batch.new_assets.iter().map(|(team, asset)| {
        let (uri, group, extra) = (text(&asset.uri), text(&asset.group), text(&asset.extra));
        (team, plain(&asset.name), uri, group, extra)
    });
    let changed = batch.asset_events.iter().map(|event| {
        let key = &event.asset;
        (&key.team, plain(&key.name), None, None, None)
    });
    json(&new.chain(changed).collect::<Vec<_>>())
}

/// The kind of a source, who told of it, and the task instance.
type Source<'a> = (
    &'static str,
    Option<&'a str>,
    Option<(&'a DagId, &'a RunId, &'a TaskId, MapIndex)>,
);

fn source(source: &EventSource) -> Source<'_> {
    match source {
        EventSource::Task {
            dag_id,
            run_id,
            task_id,
            map_index,
        } => ("task", None, Some((dag_id, run_id, task_id, *map_index))),
        EventSource::Api { by } => ("api", Some(by), None),
        EventSource::Other(by) => ("other", Some(by), None),
    }
}

/// `asset_event` rows; the task instance and the aliases each in an array of their own.
pub(in crate::runs) fn asset_events(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(&batch.asset_events, |event| {
        let (kind, by, task) = source(&event.source);
        (
            id(event.id),
            &event.asset.team,
            plain(&event.asset.name),
            event.at,
            plain(&event.extra),
            kind,
            by.map(plain),
            task,
            event.aliases.iter().map(|a| plain(a)).collect::<Vec<_>>(),
        )
    })
}

/// `alias_asset` rows; none when no event was reached through an alias.
pub(in crate::runs) fn resolutions(batch: &Batch) -> Result<Option<Arc<str>>, StoreError> {
    let of = |event: &'_ AssetEvent| {
        let (team, name) = (
            event.asset.team.clone(),
            plain(&event.asset.name).into_owned(),
        );
        let aliases = event.aliases.iter();
        let row = aliases.map(move |alias| {
            let alias = plain(alias).into_owned();
            (team.clone(), pair(&alias, &name), alias, name.clone())
        });
        row.collect::<Vec<_>>()
    };
    let found: Vec<_> = batch.asset_events.iter().flat_map(of).collect();
    (!found.is_empty()).then(|| json(&found)).transpose()
}

/// The changes of the queue that count, of one kind.
fn queue(batch: &Batch, is_new: bool) -> Vec<&QueueChange> {
    let mut changes = last_of_each(&batch.asset_queue, |c| (&c.dag_id, &c.asset));
    changes.retain(|change| change.queued_at.is_some() == is_new);
    changes
}

/// `asset_queue` rows that are there after the batch; none when there are none.
pub(in crate::runs) fn queued(batch: &Batch) -> Result<Option<Arc<str>>, StoreError> {
    queue_rows(&queue(batch, true))
}

/// `asset_queue` rows that are not; none when there are none.
pub(in crate::runs) fn unqueued(batch: &Batch) -> Result<Option<Arc<str>>, StoreError> {
    queue_rows(&queue(batch, false))
}

fn queue_rows(changes: &[&QueueChange]) -> Result<Option<Arc<str>>, StoreError> {
    let row = |change: &&QueueChange| {
        let asset = &change.asset;
        let name = plain(&asset.name).into_owned();
        (
            change.dag_id.clone(),
            asset.team.clone(),
            name,
            change.queued_at,
        )
    };
    let found: Vec<_> = changes.iter().map(row).collect();
    (!found.is_empty()).then(|| json(&found)).transpose()
}

/// `run_asset_event` rows, the events of each run in an array of their own.
pub(in crate::runs) fn consumed(batch: &Batch) -> Result<Arc<str>, StoreError> {
    rows(&batch.consumed, |(run, events)| {
        let events: Vec<Key> = events.iter().map(|event| id(*event)).collect();
        (Key::from(*run), events)
    })
}
