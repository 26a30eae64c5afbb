//! What a deferred task or an asset's watcher waits for, and what comes of the wait (Airflow's semantics, 3.10).
//!
//! A wait for a point in time or for something that happens on this host is answered by the host, and costs a
//! row and a timer. Any other is the bundle's own code, a state machine that is polled: between two polls there
//! is its state, a small JSON text, and no instance.

mod pattern;

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::pattern::{FilePattern, PatternError, PatternPart};
use crate::{
    dag::AssetRef,
    id::{DagId, MapIndex, RunId, TaskId},
    state::{RunState, TaskState},
    time::Timestamp,
};

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A point in time.
    Time(Timestamp),
    /// So long from the moment at which the wait begins.
    Duration(Duration),
    /// Something that the host sees by itself.
    Host(HostEvent),
    /// The bundle's own code says when.
    Own(OwnTrigger),
}

/// A trigger that is the bundle's own code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnTrigger {
    /// Which code; opaque to the host.
    pub kind: String,
    /// What it is made with: JSON text, opaque to the host.
    pub arguments: String,
}

/// Something that the host sees by itself, from the moment at which the wait begins; a run or task instance that
/// is in one of the states already counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostEvent {
    /// A change of an asset of the own team.
    Asset(AssetRef),
    /// A run of a DAG of the own team reaches one of these states.
    DagRun {
        /// The DAG.
        dag_id: DagId,
        /// Which of its runs.
        run: RunRef,
        /// At least one.
        states: Vec<RunState>,
    },
    /// A task instance of the own team reaches one of these states.
    TaskInstance {
        /// The DAG.
        dag_id: DagId,
        /// Which of its runs.
        run: RunRef,
        /// The task.
        task_id: TaskId,
        /// Which instance of it.
        map_index: MapIndex,
        /// At least one.
        states: Vec<TaskState>,
    },
    /// A file in a granted directory.
    File(FileEvent),
}

/// Which run of a DAG.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunRef {
    /// The one of this name.
    RunId(RunId),
    /// The one that stands for this time, whatever its name.
    LogicalDate(Timestamp),
}

/// A file that appears or changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileEvent {
    /// The granted directory, as the guest sees it.
    pub directory: String,
    /// A path in it, in which `*` stands for any text without a slash and `?` for one such character.
    pub pattern: String,
    /// What about the file.
    pub change: FileChange,
}

/// What about a file is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileChange {
    /// It is there.
    Exists,
    /// It is another than when the wait began: new, longer, shorter, or written since.
    Changes,
}

/// What a task does that gives its slot back until something happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferral {
    /// What it waits for.
    pub trigger: Trigger,
    /// Where it goes on.
    pub resume: Resume,
    /// How long it waits at most; none: for ever.
    pub timeout: Option<Duration>,
}

/// Where a deferred task goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Which code; opaque to the host.
    pub method: String,
    /// What the task wants to find there: JSON text, opaque to the host.
    pub arguments: String,
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerEvent {
    /// With this JSON text.
    Fired(Arc<str>),
    /// Nothing happened within the deferral's time.
    TimedOut,
    /// The trigger failed, with this reason.
    Failed(Arc<str>),
}

impl TriggerEvent {
    /// The time that was waited for has come.
    #[must_use]
    pub fn fired_at(time: Timestamp) -> Self {
        Self::Fired(Self::at(time))
    }

    /// What a trigger gives that waited for this time.
    #[must_use]
    pub fn at(time: Timestamp) -> Arc<str> {
        format!("{{\"at\":\"{time}\"}}").into()
    }
}

/// A deferral as its task instance holds it, from the end of the call that began it to the end of the one that
/// goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferred {
    /// What it waits for, a duration made a time.
    pub trigger: Trigger,
    /// Where it goes on.
    pub resume: Resume,
    /// When the wait began.
    pub since: Timestamp,
    /// When it is over, come what may.
    pub until: Option<Timestamp>,
    /// How it ended; none: it goes on.
    pub event: Option<TriggerEvent>,
}

impl Deferred {
    /// The wait begins.
    #[must_use]
    pub fn new(deferral: &Deferral, now: Timestamp) -> Self {
        let trigger = match &deferral.trigger {
            Trigger::Duration(length) => Trigger::Time(now.after(*length)),
            other => other.clone(),
        };
        Self {
            trigger,
            resume: deferral.resume.clone(),
            since: now,
            until: deferral.timeout.map(|timeout| now.after(timeout)),
            event: None,
        }
    }

    /// When the host has to look at it by the clock alone: at its time, or when it is over.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        let time = match self.trigger {
            Trigger::Time(at) => Some(at),
            _ => None,
        };
        [time, self.until].into_iter().flatten().min()
    }
}

/// For people: what is waited for, and until when at most.
impl fmt::Display for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, since {}", self.trigger, self.since)?;
        match self.until {
            Some(until) => write!(f, ", until {until} at most"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(at) => write!(f, "{at}"),
            Self::Duration(length) => write!(f, "{length:?}"),
            Self::Host(event) => event.fmt(f),
            Self::Own(own) => write!(f, "its bundle's trigger `{}`", own.kind.escape_debug()),
        }
    }
}

impl fmt::Display for HostEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asset(AssetRef::Name(name) | AssetRef::Uri(name)) => {
                write!(f, "a change of asset `{}`", name.escape_debug())
            }
            Self::Asset(AssetRef::Alias(alias)) => {
                write!(f, "a change through alias `{}`", alias.escape_debug())
            }
            Self::DagRun {
                dag_id,
                run,
                states,
            } => write!(f, "{run} of DAG `{dag_id}` to be {}", Any(states)),
            Self::TaskInstance {
                dag_id,
                run,
                task_id,
                map_index,
                states,
            } => {
                let index = map_index
                    .get()
                    .map_or_else(String::new, |at| format!("[{at}]"));
                write!(
                    f,
                    "task `{task_id}{index}` in {run} of DAG `{dag_id}` to be {}",
                    Any(states)
                )
            }
            Self::File(file) => {
                let (pattern, directory) =
                    (file.pattern.escape_debug(), file.directory.escape_debug());
                match file.change {
                    FileChange::Exists => write!(f, "file `{pattern}` in directory `{directory}`"),
                    FileChange::Changes => {
                        write!(f, "a change of file `{pattern}` in directory `{directory}`")
                    }
                }
            }
        }
    }
}

impl fmt::Display for RunRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunId(run_id) => write!(f, "run `{run_id}`"),
            Self::LogicalDate(at) => write!(f, "the run for {at}"),
        }
    }
}

/// Any of these states.
struct Any<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Any<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, state) in self.0.iter().enumerate() {
            let between = if i == 0 { "" } else { " or " };
            write!(f, "{between}{state}")?;
        }
        Ok(())
    }
}
