//! What is waited for, turned from the border's records into the model's: for tasks that defer, for triggers
//! that go on waiting, and for watchers.
//!
//! A wait outlives the instance that asked for it, so it is looked at before it is kept: its times are times,
//! its names could be names, its JSON is JSON, and it is no larger than a wait may be.

use std::time::Duration;

use airlock_model::{
    dag::AssetRef,
    id::{DagId, IdError, MapIndex, RunId, TaskId},
    state::UnknownName,
    time::{TimeError, Timestamp},
    trigger::{
        FileChange, FileEvent, FilePattern, HostEvent, OwnTrigger, PatternError, RunRef, Trigger,
    },
};

use crate::{
    bindings::{units, waits as wit},
    call::not_json,
};

/// Why something cannot be waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WaitError {
    /// A time is none.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// A DAG, run or task cannot have that name.
    #[error(transparent)]
    Id(#[from] IdError),
    /// There is no such state.
    #[error(transparent)]
    State(#[from] UnknownName),
    /// The pattern names no files.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// No state is named.
    #[error(
        "AL-0561: it waits for a run or task in none of its states, which never comes; name a state"
    )]
    NoState,
    /// What a trigger is made with is not JSON.
    #[error("{}", not_json("what its trigger is made with"))]
    Arguments,
}

/// What is waited for.
pub(crate) fn trigger(trigger: wit::Trigger) -> Result<Trigger, WaitError> {
    Ok(match trigger {
        wit::Trigger::Time(at) => Trigger::Time(Timestamp::from_micros(at)?),
        wit::Trigger::Duration(length) => Trigger::Duration(Duration::from_micros(length)),
        wit::Trigger::Host(event) => Trigger::Host(host_event(event)?),
        wit::Trigger::Own(own) => {
            serde_json::from_str::<serde::de::IgnoredAny>(&own.arguments)
                .map_err(|_| WaitError::Arguments)?;
            Trigger::Own(OwnTrigger {
                kind: own.kind,
                arguments: own.arguments,
            })
        }
    })
}

/// What the host sees by itself.
pub(crate) fn host_event(event: wit::HostEvent) -> Result<HostEvent, WaitError> {
    Ok(match event {
        wit::HostEvent::Asset(of) => HostEvent::Asset(asset(of)),
        wit::HostEvent::DagRun(event) => HostEvent::DagRun {
            dag_id: DagId::new(event.dag_id)?,
            run: run(event.run)?,
            states: states(&event.states)?,
        },
        wit::HostEvent::TaskInstance(event) => HostEvent::TaskInstance {
            dag_id: DagId::new(event.dag_id)?,
            run: run(event.run)?,
            task_id: TaskId::new(event.task_id)?,
            map_index: MapIndex(event.map_index),
            states: states(&event.states)?,
        },
        wit::HostEvent::File(event) => {
            FilePattern::new(&event.pattern)?;
            HostEvent::File(FileEvent {
                directory: event.directory,
                pattern: event.pattern,
                change: match event.change {
                    wit::FileChange::Exists => FileChange::Exists,
                    wit::FileChange::Changes => FileChange::Changes,
                },
            })
        }
    })
}

fn run(run: wit::RunRef) -> Result<RunRef, WaitError> {
    Ok(match run {
        wit::RunRef::RunId(run_id) => RunRef::RunId(RunId::new(run_id)?),
        wit::RunRef::LogicalDate(date) => RunRef::LogicalDate(Timestamp::from_micros(date)?),
    })
}

/// The states, each once: there are only so many, however long the list is.
fn states<S>(names: &[String]) -> Result<Vec<S>, WaitError>
where
    S: std::str::FromStr<Err = UnknownName> + PartialEq,
{
    let mut states = Vec::new();
    for name in names {
        let state = name.parse()?;
        if !states.contains(&state) {
            states.push(state);
        }
    }
    if states.is_empty() {
        return Err(WaitError::NoState);
    }
    Ok(states)
}

/// An asset or alias as a guest names it.
pub(crate) fn asset(asset: units::AssetRef) -> AssetRef {
    match asset {
        units::AssetRef::Name(name) => AssetRef::Name(name),
        units::AssetRef::Uri(uri) => AssetRef::Uri(uri),
        units::AssetRef::Alias(alias) => AssetRef::Alias(alias),
    }
}

/// Bytes of text in what is waited for.
pub(crate) fn bytes(trigger: &Trigger) -> usize {
    match trigger {
        Trigger::Time(_) | Trigger::Duration(_) => 0,
        Trigger::Host(event) => event_bytes(event),
        Trigger::Own(own) => own.kind.len() + own.arguments.len(),
    }
}

/// Bytes of text in an event; ids and states are short by their nature.
pub(crate) const fn event_bytes(event: &HostEvent) -> usize {
    match event {
        HostEvent::Asset(AssetRef::Name(text) | AssetRef::Uri(text) | AssetRef::Alias(text)) => {
            text.len()
        }
        HostEvent::DagRun { .. } | HostEvent::TaskInstance { .. } => 0,
        HostEvent::File(file) => file.directory.len() + file.pattern.len(),
    }
}

#[cfg(test)]
mod tests {
    use airlock_model::state::RunState;

    use super::*;

    fn run_event(dag_id: &str, states: &[&str]) -> wit::Trigger {
        wit::Trigger::Host(wit::HostEvent::DagRun(wit::RunEvent {
            dag_id: dag_id.to_owned(),
            run: wit::RunRef::RunId("run".to_owned()),
            states: states.iter().map(|&state| state.to_owned()).collect(),
        }))
    }

    #[test]
    fn what_cannot_be_waited_for_is_refused_with_its_reason() {
        let own = |arguments: &str| {
            wit::Trigger::Own(wit::OwnTrigger {
                kind: "kind".to_owned(),
                arguments: arguments.to_owned(),
            })
        };
        let file = |pattern: &str| {
            wit::Trigger::Host(wit::HostEvent::File(wit::FileEvent {
                directory: "inbox".to_owned(),
                pattern: pattern.to_owned(),
                change: wit::FileChange::Exists,
            }))
        };
        for (refused, code) in [
            (wit::Trigger::Time(i64::MAX), "AL-0304"),
            (run_event("../dag", &["success"]), "`../dag`"),
            (run_event("dag", &["happy"]), "AL-0305"),
            (run_event("dag", &[]), "AL-0561"),
            (own("{"), "AL-0517"),
            (file("../secret"), "AL-0435"),
        ] {
            let text = trigger(refused).unwrap_err().to_string();
            assert!(text.contains(code), "{code}: {text}");
        }
        assert_eq!(bytes(&trigger(own("{}")).unwrap()), 6);
    }

    #[test]
    fn a_state_that_is_named_twice_is_waited_for_once() {
        let Ok(Trigger::Host(HostEvent::DagRun { states, .. })) =
            trigger(run_event("dag", &["success", "failed", "success"]))
        else {
            panic!("a run is waited for");
        };
        assert_eq!(states, [RunState::Success, RunState::Failed]);
    }
}
