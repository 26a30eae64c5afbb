//! A try's log, as lines.

use serde::{Deserialize, Serialize};

use crate::{
    id::{DagId, MapIndex, RunId, TaskId, TeamName},
    state::named,
    time::Timestamp,
};
use std::{fmt, str::FromStr};

use crate::state::UnknownName;

named! {
    /// How grave a line is.
    Level, "log level" {
        /// Finest.
        Trace = "trace",
        /// For the author.
        Debug = "debug",
        /// Ordinary.
        Info = "info",
        /// Worth a look.
        Warn = "warn",
        /// Something failed.
        Error = "error",
    }
}

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The task's code, through its logger.
    Task,
    /// The task's code, on standard output.
    Stdout,
    /// The task's code, on standard error.
    Stderr,
    /// Airlock itself: limits, denials, traps.
    Airlock,
}

/// One line. The message is the guest's own text, masked but not escaped: whoever shows it escapes it for
/// where it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When the host received it.
    pub at: Timestamp,
    /// How grave.
    pub level: Level,
    /// Who wrote it.
    pub source: Source,
    /// The logger's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// The text.
    pub message: String,
    /// The source file and line, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<crate::dag::Location>,
}

/// Whose log: one try of one task instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TryKey {
    /// The team, which is the first folder of the path.
    pub team: TeamName,
    /// The DAG.
    pub dag_id: DagId,
    /// The run.
    pub run_id: RunId,
    /// The task.
    pub task_id: TaskId,
    /// Which instance of it.
    pub map_index: MapIndex,
    /// Which try.
    pub try_number: u32,
}
