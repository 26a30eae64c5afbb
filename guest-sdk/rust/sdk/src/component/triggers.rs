//! The trigger phase, and what is waited for as records of the border.

use jiff::Timestamp;

use super::{Bundle, Component, asset_ref, definitions::micros, listen, time};
use crate::{
    bindings::{
        airlock::bundle::waits as wit,
        exports::airlock::bundle::triggers::{Context, Guest, Pause, Polled, Seen, Sightings},
    },
    deferral::{WaitError, Waited},
    outcome::Failure,
    trigger::{self, Answer, TriggerContext, Waiting},
    wait::{Awaited, FileChange, HostEvent, RunRef},
};

impl<B: Bundle> Guest for Component<B> {
    fn poll(
        kind: String,
        arguments: String,
        state: Option<String>,
        context: Context,
    ) -> Result<Polled, String> {
        listen();
        let cx = context_of(context)?;
        let answer = trigger::run(&kind, &arguments, state.as_deref(), &cx).map_err(told)?;
        Ok(match answer {
            Answer::Fired(event) => Polled::Fired(event),
            Answer::Waiting(next) => Polled::Waiting(pause(next)),
            Answer::Seen(events, next) => Polled::Seen(Sightings {
                events: events
                    .into_iter()
                    .map(|seen| Seen {
                        key: seen.key,
                        extra: seen.extra,
                    })
                    .collect(),
                next: pause(next),
            }),
        })
    }
}

fn told(failure: Failure) -> String {
    let mut text = failure.message;
    for cause in failure.causes {
        text.push_str(": ");
        text.push_str(&cause);
    }
    if let Some(at) = failure.location {
        text.push_str(&format!(" ({at})"));
    }
    text
}

fn context_of(from: Context) -> Result<TriggerContext, String> {
    let waiting = match (from.task, from.watcher) {
        (Some(task), _) => Waiting::Task {
            run_id: task.run_id,
            task_id: task.task_id,
            map_index: task.map_index,
        },
        (None, Some((asset, name))) => Waiting::Watcher { asset, name },
        (None, None) => return Err("nobody waits for this trigger".to_owned()),
    };
    Ok(TriggerContext {
        id: from.id,
        dag_id: from.dag_id,
        waiting,
        created_at: time(from.created_at)?,
        polls: from.polls,
        now: Timestamp::now(),
    })
}

fn pause(from: trigger::Pause) -> Pause {
    Pause {
        state: from.state,
        until: from.until.map(Timestamp::as_microsecond),
        on: from.on.into_iter().map(host_event).collect(),
    }
}

pub(super) fn awaited(awaited: Awaited) -> wit::Trigger {
    match awaited {
        Awaited::Time(time) => wit::Trigger::Time(time.as_microsecond()),
        Awaited::Duration(length) => wit::Trigger::Duration(micros(length)),
        Awaited::Host(event) => wit::Trigger::Host(host_event(event)),
        Awaited::Own { kind, arguments } => wit::Trigger::Own(wit::OwnTrigger { kind, arguments }),
    }
}

fn host_event(event: HostEvent) -> wit::HostEvent {
    match event {
        HostEvent::Asset(asset) => wit::HostEvent::Asset(asset_ref(&asset)),
        HostEvent::DagRun {
            dag_id,
            run,
            states,
        } => wit::HostEvent::DagRun(wit::RunEvent {
            dag_id,
            run: run_ref(run),
            states: states.iter().map(|state| state.name().to_owned()).collect(),
        }),
        HostEvent::TaskInstance {
            dag_id,
            run,
            task_id,
            map_index,
            states,
        } => wit::HostEvent::TaskInstance(wit::TaskEvent {
            dag_id,
            run: run_ref(run),
            task_id,
            map_index,
            states: states.iter().map(|state| state.name().to_owned()).collect(),
        }),
        HostEvent::File {
            directory,
            pattern,
            change,
        } => wit::HostEvent::File(wit::FileEvent {
            directory,
            pattern,
            change: match change {
                FileChange::Exists => wit::FileChange::Exists,
                FileChange::Changes => wit::FileChange::Changes,
            },
        }),
    }
}

fn run_ref(run: RunRef) -> wit::RunRef {
    match run {
        RunRef::RunId(run_id) => wit::RunRef::RunId(run_id),
        RunRef::LogicalDate(date) => wit::RunRef::LogicalDate(date.as_microsecond()),
    }
}

/// How a wait ended.
pub(super) fn waited(event: wit::Event) -> Waited<String> {
    match event {
        wit::Event::Fired(json) => Ok(json),
        wit::Event::TimedOut => Err(WaitError::TimedOut),
        wit::Event::Failed(why) => Err(WaitError::Failed(why)),
    }
}
