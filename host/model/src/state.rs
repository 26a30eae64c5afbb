//! The states of task instances and DAG runs (Airflow 3.3.2, `airflow/utils/state.py`).
//!
//! A task instance that nobody has looked at yet has no state: `Option<TaskState>` with `None`, as in
//! Airflow. All of Airflow's states are here, also those that only later features enter, because the
//! database and the API speak of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is none of the known names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("AL-0305: `{}` is not a {kind}", text.escape_debug())]
pub struct UnknownName {
    /// What kind of name was expected.
    pub kind: &'static str,
    /// What was given.
    pub text: String,
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $kind:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),* }

        impl $name {
            /// Every one of them, in the order of the definition.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Airflow's name for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.as_str()) }
        }
        impl FromStr for $name {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(UnknownName { kind: $kind, text: text.chars().take(80).collect() }),
                }
            }
        }
    };
}
pub(crate) use named;

named! {
    /// The state of a task instance.
    TaskState, "task state" {
        /// Its dependencies are met; it waits for a slot.
        Scheduled = "scheduled",
        /// It has a slot and a token and is on its way to an instance.
        Queued = "queued",
        /// An instance runs it.
        Running = "running",
        /// It ended well.
        Success = "success",
        /// It ended badly, and there is no further try.
        Failed = "failed",
        /// It was not to run.
        Skipped = "skipped",
        /// It cannot run, because something before it failed.
        UpstreamFailed = "upstream_failed",
        /// It failed and waits for its next try.
        UpForRetry = "up_for_retry",
        /// A sensor that waits for its next poke without a slot.
        UpForReschedule = "up_for_reschedule",
        /// It waits for a trigger without a slot.
        Deferred = "deferred",
        /// It waits for a person.
        AwaitingInput = "awaiting_input",
        /// It was cleared while it ran, and is being stopped.
        Restarting = "restarting",
        /// Its task is gone from the DAG.
        Removed = "removed",
    }
}

impl TaskState {
    /// Nothing moves it any more but a person.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Success | Self::Failed | Self::Skipped | Self::UpstreamFailed | Self::Removed
        )
    }

    /// It has begun and has not ended, in an instance or waiting for something (Airflow 3.3.2,
    /// `airflow/api/common/mark_tasks.py`).
    #[must_use]
    pub const fn is_working(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Deferred | Self::UpForReschedule | Self::AwaitingInput
        )
    }

    /// It occupies a slot of its pool.
    #[must_use]
    pub const fn holds_slot(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

named! {
    /// The state of a DAG run.
    RunState, "run state" {
        /// Created; waits until the DAG has fewer active runs.
        Queued = "queued",
        /// Its task instances move.
        Running = "running",
        /// All of it ended well.
        Success = "success",
        /// It ended badly.
        Failed = "failed",
    }
}

impl RunState {
    /// The run has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed)
    }
}

named! {
    /// Why a run exists (Airflow 3.3.2, `DagRunType`).
    RunType, "run type" {
        /// Its timetable asked for it.
        Scheduled = "scheduled",
        /// A person or a program asked for it.
        Manual = "manual",
        /// A backfill asked for it.
        Backfill = "backfill",
        /// Assets that were updated asked for it.
        AssetTriggered = "asset_triggered",
        /// A task of another run asked for it.
        OperatorTriggered = "operator_triggered",
        /// Somebody asked for an asset to be made.
        AssetMaterialization = "asset_materialization",
    }
}

named! {
    /// What a backfill does about runs that are there already (Airflow 3.3.2, `ReprocessBehavior`).
    Reprocess, "reprocess behaviour" {
        /// It leaves them as they are.
        None = "none",
        /// It clears those that failed.
        Failed = "failed",
        /// It clears those that ended.
        Completed = "completed",
    }
}

named! {
    /// Why a component is running. Each phase has its own limits and may use only what is granted for it.
    Phase, "phase" {
        /// DAG definitions are read; pure.
        Parse = "parse",
        /// A try of a task runs.
        Task = "task",
        /// A trigger is polled.
        Trigger = "trigger",
        /// A callback runs.
        Callback = "callback",
        /// A custom timetable is asked for the next run; pure.
        Timetable = "timetable",
    }
}
