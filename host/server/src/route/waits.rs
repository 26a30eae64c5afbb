//! What is waited for, as it crosses: a word for programs and a sentence for people.

use std::fmt::Display;

use airlock_model::{
    dag::AssetRef,
    trigger::{Deferred, FileChange, HostEvent, RunRef, Trigger, TriggerEvent},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::text;

/// Something that is waited for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Wait {
    /// `time`, `asset`, `dag_run`, `task_instance`, `file`, or `own`: code of the bundle's own, which is polled.
    kind: &'static str,
    /// What exactly. May hold the bundle's text.
    what: String,
}

/// What a deferred task instance waits for, or what it goes on with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deferral {
    waits_for: Wait,
    /// When the wait began.
    since: String,
    /// When it is over, come what may.
    until: Option<String>,
    /// Where the task goes on.
    method: String,
    /// How the wait ended: `fired`, `timed_out` or `failed`. Null: it goes on.
    ended: Option<&'static str>,
}

impl From<&Trigger> for Wait {
    fn from(trigger: &Trigger) -> Self {
        let (kind, what) = match trigger {
            Trigger::Time(at) => ("time", at.to_string()),
            Trigger::Duration(length) => ("time", format!("{} s", length.as_secs_f64())),
            Trigger::Own(own) => ("own", own.kind.clone()),
            Trigger::Host(event) => return event.into(),
        };
        Self { kind, what }
    }
}

impl From<&HostEvent> for Wait {
    fn from(event: &HostEvent) -> Self {
        let (kind, what) = match event {
            HostEvent::Asset(AssetRef::Name(name)) => ("asset", format!("asset {name}")),
            HostEvent::Asset(AssetRef::Uri(uri)) => ("asset", format!("asset of URI {uri}")),
            HostEvent::Asset(AssetRef::Alias(alias)) => {
                ("asset", format!("an asset of alias {alias}"))
            }
            HostEvent::DagRun {
                dag_id,
                run,
                states,
            } => {
                let what = format!("{} of {dag_id}: {}", named(run), either(states));
                ("dag_run", what)
            }
            HostEvent::TaskInstance {
                dag_id,
                run,
                task_id,
                map_index,
                states,
            } => {
                let instance = map_index
                    .get()
                    .map(|i| format!("[{i}]"))
                    .unwrap_or_default();
                let what = format!(
                    "{task_id}{instance} in {} of {dag_id}: {}",
                    named(run),
                    either(states)
                );
                ("task_instance", what)
            }
            HostEvent::File(file) => {
                let change = match file.change {
                    FileChange::Exists => "is there",
                    FileChange::Changes => "changes",
                };
                let what = format!("{}/{} {change}", file.directory, file.pattern);
                ("file", what)
            }
        };
        Self { kind, what }
    }
}

fn named(run: &RunRef) -> String {
    match run {
        RunRef::RunId(run_id) => format!("run {run_id}"),
        RunRef::LogicalDate(at) => format!("the run for {at}"),
    }
}

fn either(states: &[impl Display]) -> String {
    let states: Vec<String> = states.iter().map(ToString::to_string).collect();
    states.join(" or ")
}

impl From<&Deferred> for Deferral {
    fn from(deferred: &Deferred) -> Self {
        Self {
            waits_for: (&deferred.trigger).into(),
            since: deferred.since.to_string(),
            until: text(deferred.until),
            method: deferred.resume.method.clone(),
            ended: deferred.event.as_ref().map(|event| match event {
                TriggerEvent::Fired(_) => "fired",
                TriggerEvent::TimedOut => "timed_out",
                TriggerEvent::Failed(_) => "failed",
            }),
        }
    }
}
