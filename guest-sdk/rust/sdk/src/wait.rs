//! What can be waited for: what the host sees by itself, as values, and the triggers of the bundle.
//!
//! ```
//! # use airlock_sdk::prelude::*;
//! # #[resume] fn load(file: Waited<wait::FoundFile>) -> Result<u64> { Ok(file?.bytes) }
//! #[task]
//! fn await_file() -> Result<Deferred<u64>> {
//!     defer(wait::file("inbox", "*.csv")).timeout(hours(2)).resume(load())
//! }
//! ```
//!
//! | value | the wait ends | with |
//! |---|---|---|
//! | [`at`]`(time)`, [`after`]`(duration)` | then | [`Time`] |
//! | [`asset`]`(PRICES)` | with a change of the asset | [`AssetEvent`] |
//! | [`dag_run`]`("weekly", logical_date)` | when the run has ended, or reaches other states | [`RunReached`] |
//! | [`task`]`("weekly", logical_date, "load")` | when the task instance has ended, or reaches other states | [`TaskReached`] |
//! | [`file`](fn@file)`("inbox", "*.csv")` | when such a file is there | [`FoundFile`] |
//! | [`file_change`]`("inbox", "rates.csv")` | when it is another than when the wait began | [`FoundFile`] |
//!
//! None of them costs more than a row of the host's database. What only code can see is a
//! [`Trigger`](crate::Trigger) of the bundle's own; it may have the host wake it when one of these happens.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    AssetEvent, AssetRef, Result, ResultExt as _,
    trigger::{self, TriggerSource},
};

/// What a task is deferred to, or an asset is watched by: a `#[trigger]` of the bundle, or a value of the module
/// [`wait`](crate::wait).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that can be waited for",
    note = "a trigger of yours is a type whose `impl Trigger` bears `#[trigger]`, or a function that does; what the host sees by itself is in the module `wait`"
)]
pub trait WaitFor {
    /// What comes of it.
    type Event: Serialize + DeserializeOwned;

    #[doc(hidden)]
    fn awaited(self) -> Result<Awaited>;
}

impl<T: TriggerSource> WaitFor for T {
    type Event = T::Event;

    fn awaited(self) -> Result<Awaited> {
        let arguments = serde_json::to_string(&self).context("the trigger has no JSON form")?;
        trigger::known::<T>()?;
        Ok(Awaited::Own {
            kind: T::KIND.to_owned(),
            arguments,
        })
    }
}

/// What is waited for, as the host hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// A point in time.
    Time(Timestamp),
    /// So long from the moment at which the wait begins.
    Duration(Duration),
    /// Something that the host sees by itself.
    Host(HostEvent),
    /// A trigger of the bundle.
    Own {
        /// Which: the path of its type.
        kind: String,
        /// Its fields, as JSON text.
        arguments: String,
    },
}

/// Something that the host sees by itself, from the moment at which the wait begins. A run or task instance that
/// is in one of the states already counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostEvent {
    /// A change of an asset of the own team.
    Asset(AssetRef),
    /// A run of the own team reaches one of these states.
    DagRun {
        /// The DAG.
        dag_id: String,
        /// Which of its runs.
        run: RunRef,
        /// At least one.
        states: Vec<RunState>,
    },
    /// A task instance of the own team reaches one of these states.
    TaskInstance {
        /// The DAG.
        dag_id: String,
        /// Which of its runs.
        run: RunRef,
        /// The task.
        task_id: String,
        /// -1 for a task that is not mapped.
        map_index: i32,
        /// At least one.
        states: Vec<TaskState>,
    },
    /// A file in a granted directory.
    File {
        /// As the bundle asked for it.
        directory: String,
        /// A path in it; `*` stands for any text without a slash, `?` for one such character.
        pattern: String,
        /// What about it.
        change: FileChange,
    },
}

/// Which run of a DAG: a text is its id, a time the one that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunRef {
    /// The one of this id.
    RunId(String),
    /// The one that stands for this time, whatever its id.
    LogicalDate(Timestamp),
}

impl From<&str> for RunRef {
    fn from(run_id: &str) -> Self {
        Self::RunId(run_id.to_owned())
    }
}

impl From<String> for RunRef {
    fn from(run_id: String) -> Self {
        Self::RunId(run_id)
    }
}

impl From<Timestamp> for RunRef {
    fn from(date: Timestamp) -> Self {
        Self::LogicalDate(date)
    }
}

/// The state of a DAG run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Created; waits until the DAG has fewer active runs.
    Queued,
    /// Its task instances move.
    Running,
    /// All of it ended well.
    Success,
    /// It ended badly.
    Failed,
}

impl RunState {
    /// As Airflow names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }
}

/// The state of a task instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// An instance runs it.
    Running,
    /// It ended well.
    Success,
    /// It ended badly, and there is no further try.
    Failed,
    /// It was not to run.
    Skipped,
    /// It cannot run, because something before it failed.
    UpstreamFailed,
    /// It failed and waits for its next try.
    UpForRetry,
    /// It waits for a trigger.
    Deferred,
    /// Its task is gone from the DAG.
    Removed,
}

impl TaskState {
    /// Those from which nothing moves it any more but a person.
    const ENDED: [Self; 5] = [
        Self::Success,
        Self::Failed,
        Self::Skipped,
        Self::UpstreamFailed,
        Self::Removed,
    ];

    /// As Airflow names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpForRetry => "up_for_retry",
            Self::Deferred => "deferred",
            Self::Removed => "removed",
        }
    }
}

/// What about a file is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileChange {
    /// It is there.
    Exists,
    /// It is another than when the wait began: new, longer, shorter, or written since.
    Changes,
}

/// That a time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    /// Which.
    pub at: Timestamp,
}

/// That a run has reached a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReached {
    /// Its DAG.
    pub dag_id: String,
    /// The run.
    pub run_id: String,
    /// Its state.
    pub state: RunState,
}

/// That a task instance has reached a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReached {
    /// Its DAG.
    pub dag_id: String,
    /// Its run.
    pub run_id: String,
    /// Its task.
    pub task_id: String,
    /// -1 for a task that is not mapped.
    pub map_index: i32,
    /// Its state.
    pub state: TaskState,
}

/// A file that was waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundFile {
    /// In its directory.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// When it was written last.
    pub modified: Timestamp,
}

macro_rules! waits {
    ($($(#[$doc:meta])* $name:ident -> $event:ty;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[must_use = "nothing waits before `defer` or `Asset::watch` gets it"]
        pub struct $name(HostEvent);

        impl WaitFor for $name {
            type Event = $event;

            fn awaited(self) -> Result<Awaited> {
                Ok(Awaited::Host(self.0))
            }
        }

        impl From<$name> for HostEvent {
            fn from(wait: $name) -> Self {
                wait.0
            }
        }
    )+};
}

waits! {
    /// A change of an asset: see [`asset`].
    AssetChange -> AssetEvent;
    /// A DAG's run: see [`dag_run`].
    DagRun -> RunReached;
    /// A task instance: see [`task`].
    TaskInstance -> TaskReached;
    /// A file: see [`file`](fn@file).
    File -> FoundFile;
}

/// A point in time: see [`at`] and [`after`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "nothing waits before `defer` or `Asset::watch` gets it"]
pub struct Clock(When);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    At(Timestamp),
    After(Duration),
}

impl WaitFor for Clock {
    type Event = Time;

    fn awaited(self) -> Result<Awaited> {
        Ok(match self.0 {
            When::At(time) => Awaited::Time(time),
            When::After(length) => Awaited::Duration(length),
        })
    }
}

/// Until this time; at once, if it has passed.
pub const fn at(time: Timestamp) -> Clock {
    Clock(When::At(time))
}

/// So long from the moment at which the wait begins.
pub const fn after(length: Duration) -> Clock {
    Clock(When::After(length))
}

/// Until this asset of the own team changes.
pub fn asset(asset: impl Into<AssetRef>) -> AssetChange {
    AssetChange(HostEvent::Asset(asset.into()))
}

/// Until this run of the own team has ended, well or not: what comes of it says how.
pub fn dag_run(dag_id: impl Into<String>, run: impl Into<RunRef>) -> DagRun {
    DagRun(HostEvent::DagRun {
        dag_id: dag_id.into(),
        run: run.into(),
        states: vec![RunState::Success, RunState::Failed],
    })
}

impl DagRun {
    /// Until it is in one of these states instead.
    pub fn reaches(mut self, wanted: impl IntoIterator<Item = RunState>) -> Self {
        if let HostEvent::DagRun { states, .. } = &mut self.0 {
            *states = wanted.into_iter().collect();
        }
        self
    }
}

/// Until this task instance of the own team has ended, well or not: what comes of it says how.
pub fn task(
    dag_id: impl Into<String>,
    run: impl Into<RunRef>,
    task_id: impl Into<String>,
) -> TaskInstance {
    TaskInstance(HostEvent::TaskInstance {
        dag_id: dag_id.into(),
        run: run.into(),
        task_id: task_id.into(),
        map_index: -1,
        states: TaskState::ENDED.to_vec(),
    })
}

impl TaskInstance {
    /// Which instance of a mapped task.
    pub fn map_index(mut self, index: i32) -> Self {
        if let HostEvent::TaskInstance { map_index, .. } = &mut self.0 {
            *map_index = index;
        }
        self
    }

    /// Until it is in one of these states instead.
    pub fn reaches(mut self, wanted: impl IntoIterator<Item = TaskState>) -> Self {
        if let HostEvent::TaskInstance { states, .. } = &mut self.0 {
            *states = wanted.into_iter().collect();
        }
        self
    }
}

/// Until such a file is in this directory, which has to be granted. In `pattern`, a path, `*` stands for any text
/// without a slash, and `?` for one such character.
pub fn file(directory: impl Into<String>, pattern: impl Into<String>) -> File {
    found(directory.into(), pattern.into(), FileChange::Exists)
}

/// Until such a file is another than when the wait began: new, longer, shorter, or written since.
pub fn file_change(directory: impl Into<String>, pattern: impl Into<String>) -> File {
    found(directory.into(), pattern.into(), FileChange::Changes)
}

const fn found(directory: String, pattern: String, change: FileChange) -> File {
    File(HostEvent::File {
        directory,
        pattern,
        change,
    })
}
