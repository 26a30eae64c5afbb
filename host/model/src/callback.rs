//! Callbacks and deadlines: a bundle's code that hears of what became of its tasks and runs (Airflow's
//! semantics, 3.11).
//!
//! A request for a callback is a row that is written in the commit that caused it, and executed at least once;
//! its id lets the code tell a second execution.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    state::{UnknownName, named},
    time::Timestamp,
};

/// The key of a request: a UUIDv7, so that requests are ordered by their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallbackId(pub Uuid);

impl fmt::Display for CallbackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

named! {
    /// What a callback hears of.
    CallbackKind, "callback kind" {
        /// A try of the task begins.
        TaskExecute = "task_execute",
        /// The task has succeeded.
        TaskSuccess = "task_success",
        /// The task has failed, and there is no further try.
        TaskFailure = "task_failure",
        /// A try has failed, and another will be made.
        TaskRetry = "task_retry",
        /// The task's own code has skipped it.
        TaskSkipped = "task_skipped",
        /// The run has succeeded.
        DagSuccess = "dag_success",
        /// The run has failed.
        DagFailure = "dag_failure",
        /// The run was not done by its deadline.
        Deadline = "deadline",
    }
}

named! {
    /// Where a request stands.
    CallbackState, "callback state" {
        /// It waits for its first try, or for its next.
        Pending = "pending",
        /// Somebody has claimed it.
        Running = "running",
        /// It was executed.
        Success = "success",
        /// Its last try has failed.
        Failed = "failed",
    }
}

/// Code that is called when something of a kind comes to pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackSpec {
    /// Of what it hears.
    pub on: CallbackKind,
    /// Which code; opaque to the host.
    pub entry: String,
    /// What it is made with: JSON text, opaque to the host.
    pub arguments: String,
}

/// From when a deadline is counted (Airflow 3.3.2, `airflow/serialization/definitions/deadline.py`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineReference {
    /// The time that the run stands for; a run that stands for none has no such deadline.
    LogicalDate,
    /// The moment at which the run was queued; anew when it is cleared.
    QueuedAt,
    /// The moment at which the run started; anew when it is cleared.
    StartedAt,
    /// This time.
    Fixed(Timestamp),
    /// The moment at which the run was queued, and then as long as its last successful runs took on average.
    Average {
        /// Of how many runs at most.
        runs: u32,
        /// With fewer there is no deadline.
        at_least: u32,
    },
}

/// A run that is not done by then is told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadlineSpec {
    /// For people, and unique in the DAG.
    pub name: String,
    /// From when.
    pub reference: DeadlineReference,
    /// How long after it.
    pub interval: Duration,
    /// Which code; opaque to the host.
    pub entry: String,
    /// What it is made with: JSON text, opaque to the host.
    pub arguments: String,
}
