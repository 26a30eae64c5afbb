//! The trigger phase: one poll, one answer.
//!
//! Between two polls there is no instance, only what the last one kept. So an answer is looked at before it is
//! believed: what is kept or told is JSON, without secrets, and no larger than a wait may be, and only a watcher
//! tells of changes and goes on.

use std::{sync::Arc, time::Duration};

use airlock_grant::Caller;
use airlock_model::{
    outcome::{Failure, FailureKind},
    port::{Pause, Polled, TriggerOwner, TriggerRow, WatchedEvent},
    time::Timestamp,
};

use crate::{
    adapter::Standing,
    bindings::{TriggerBundlePre, trigger_phase as wit},
    call::{self, MESSAGE_BYTES, Room, bounded, not_json},
    context::Context,
    limits::Reached,
    waits,
};

/// Events that one trigger may listen to at once: each is an entry in the host's own books.
const LISTENING: usize = 64;
/// Changes that one poll may tell: each is a row, and perhaps a run.
const SIGHTINGS: usize = 100;
/// The longest key of a change, in bytes.
const KEY_BYTES: usize = 512;
/// What of a kind stands in the host's log.
const KIND_BYTES: usize = 200;

/// On whose behalf a trigger's instance calls.
pub(crate) fn caller(row: &TriggerRow) -> Caller {
    let task_id = match &row.owner {
        TriggerOwner::Task { task_id, .. } => Some(task_id.clone()),
        TriggerOwner::Watcher { .. } => None,
    };
    Caller::trigger(row.dag_id.clone(), task_id)
}

/// Who speaks, in the host's log.
pub(crate) fn speaker(row: &TriggerRow) -> String {
    let kind = bounded(&row.own.kind, KIND_BYTES);
    let (kind, dag) = (kind.escape_debug(), &row.dag_id);
    match &row.owner {
        TriggerOwner::Task {
            run_id,
            task_id,
            map_index,
            ..
        } => {
            let index = map_index
                .get()
                .map_or_else(String::new, |at| format!("[{at}]"));
            format!(
                "from trigger `{kind}` of task `{task_id}{index}` in run `{run_id}` of DAG `{dag}`"
            )
        }
        TriggerOwner::Watcher { asset, name } => format!(
            "from trigger `{kind}` of watcher `{}` of asset `{}` in DAG `{dag}`",
            bounded(name, KIND_BYTES).escape_debug(),
            bounded(asset, KIND_BYTES).escape_debug()
        ),
    }
}

/// Polls a trigger, and bounds the poll; `used` is what it took of a processor.
pub(crate) async fn run(
    room: &Room<'_>,
    standing: &Arc<Standing>,
    bundle: &TriggerBundlePre<Context>,
    files: bool,
    row: &TriggerRow,
    used: &mut Duration,
) -> Result<Polled, Failure> {
    let told = call::run_counted(room, standing, files, None, used, async |store| {
        let instance = bundle.instantiate_async(&mut *store).await?;
        let (own, state) = (&row.own, row.progress.state.as_ref());
        instance
            .airlock_bundle_triggers()
            .call_poll(store, &own.kind, &own.arguments, state, &context(row))
            .await
    })
    .await;
    match told {
        Ok(Ok(told)) => {
            let answer = Answer {
                standing,
                state_bytes: room.limits.trigger_state_bytes,
                event_bytes: room.limits.xcom_bytes,
                watches: match &row.owner {
                    TriggerOwner::Watcher { asset, .. } => Some(asset),
                    TriggerOwner::Task { .. } => None,
                },
            };
            answer.understood(told)
        }
        Ok(Err(refused)) => Err(over(bounded(&standing.log.mask(&refused), MESSAGE_BYTES))),
        Err(end) => Err(end.into_failure()),
    }
}

fn context(row: &TriggerRow) -> wit::Context {
    let (task, watcher) = match &row.owner {
        TriggerOwner::Task {
            run_id,
            task_id,
            map_index,
            ..
        } => {
            let task = wit::TaskRef {
                run_id: run_id.to_string(),
                task_id: task_id.to_string(),
                map_index: map_index.0,
            };
            (Some(task), None)
        }
        TriggerOwner::Watcher { asset, name } => (None, Some((asset.clone(), name.clone()))),
    };
    wit::Context {
        id: row.id.0.to_string(),
        dag_id: row.dag_id.to_string(),
        task,
        watcher,
        created_at: row.created_at.micros(),
        polls: row.progress.polls,
    }
}

/// The trigger itself has spoken, and another poll of it would be told the same.
const fn over(message: String) -> Failure {
    Failure {
        kind: FailureKind::Final,
        message,
        causes: Vec::new(),
        location: None,
    }
}

fn limit(reached: Reached) -> Failure {
    Failure {
        kind: FailureKind::Limit(reached.limit),
        message: reached.message,
        causes: Vec::new(),
        location: None,
    }
}

/// What an answer is held against.
struct Answer<'a> {
    standing: &'a Standing,
    state_bytes: usize,
    event_bytes: usize,
    /// The asset, of a watcher.
    watches: Option<&'a str>,
}

impl Answer<'_> {
    fn understood(&self, told: wit::Polled) -> Result<Polled, Failure> {
        match told {
            wit::Polled::Fired(value) if value.len() > self.event_bytes => {
                Err(limit(Reached::fired(self.event_bytes)))
            }
            wit::Polled::Fired(value) => {
                self.may_change()?;
                Ok(Polled::Fired(self.json(&value, "what the trigger fired with")?))
            }
            wit::Polled::Waiting(pause) => Ok(Polled::Waiting(self.pause(pause)?)),
            wit::Polled::Seen(_) if self.watches.is_none() => Err(over(
                "AL-0562: the trigger of a task tells of changes and goes on, which only a watcher may; fire instead".to_owned(),
            )),
            wit::Polled::Seen(seen) => {
                self.may_change()?;
                let events = self.sightings(seen.events)?;
                Ok(Polled::Seen(events, self.pause(seen.next)?))
            }
        }
    }

    /// Of a watcher: what it tells changes its asset.
    fn may_change(&self) -> Result<(), Failure> {
        let asset = self.watches.iter();
        let mut decisions = asset.map(|asset| self.standing.watched(asset));
        decisions.try_for_each(|decision| decision.map_err(over))
    }

    fn json(&self, json: &str, what: &str) -> Result<String, Failure> {
        match self.standing.log.mask_json(json) {
            Some(masked) => Ok(masked.as_ref().into()),
            None => Err(over(not_json(what))),
        }
    }

    fn pause(&self, pause: wit::Pause) -> Result<Pause, Failure> {
        if pause.on.len() > LISTENING {
            return Err(limit(Reached::listening(LISTENING)));
        }
        let unfit = |error: waits::WaitError| over(error.to_string());
        let on = pause
            .on
            .into_iter()
            .map(waits::host_event)
            .collect::<Result<Vec<_>, _>>()
            .map_err(unfit)?;
        on.iter()
            .try_for_each(|event| self.standing.awaited(event))
            .map_err(over)?;
        let kept = pause.state.len() + on.iter().map(waits::event_bytes).sum::<usize>();
        if kept > self.state_bytes {
            return Err(limit(Reached::wait(self.state_bytes)));
        }
        let until = pause.until.map(Timestamp::from_micros).transpose();
        let until = until.map_err(|error| unfit(error.into()))?;
        if until.is_none() && on.is_empty() {
            return Err(over(
                "AL-0563: the trigger waits neither for a time nor for an event, so it would never be polled again; say when".to_owned(),
            ));
        }
        Ok(Pause {
            state: self.json(&pause.state, "the trigger's state")?,
            until,
            on,
        })
    }

    fn sightings(&self, events: Vec<wit::Seen>) -> Result<Vec<WatchedEvent>, Failure> {
        let told: usize = events.iter().map(|event| event.extra.len()).sum();
        if events.len() > SIGHTINGS || told > self.event_bytes {
            return Err(limit(Reached::sightings(self.event_bytes, SIGHTINGS)));
        }
        events
            .into_iter()
            .map(|event| {
                if event.key.is_empty() || event.key.len() > KEY_BYTES {
                    return Err(over(format!(
                        "AL-0564: the key of a change has 1 to {KEY_BYTES} bytes, this one has {}",
                        event.key.len()
                    )));
                }
                let extra = self.json(&event.extra, "what a watcher tells of a change")?;
                if !extra.trim_start().starts_with('{') {
                    return Err(over(
                        "AL-0564: what a watcher tells of a change is no JSON object; give it named fields".to_owned(),
                    ));
                }
                Ok(WatchedEvent {
                    key: self.standing.log.mask(&event.key),
                    extra,
                })
            })
            .collect()
    }
}
