//! A DAG definition as plain data: what a parse gives, and the form in which the database keeps it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{time::Timestamp, trigger_rule::TriggerRule};

/// A place in the author's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The file as the compiler named it.
    pub file: String,
    /// Counted from one.
    pub line: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// When runs are created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Only by hand.
    None,
    /// Once, at the start date.
    Once,
    /// At each tick of a crontab line.
    Cron {
        /// The line, or a preset.
        expression: String,
        /// An IANA zone; none means UTC.
        timezone: Option<String>,
    },
    /// Each time this long has passed.
    Interval(Duration),
}

/// Where an argument of a task comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Argument {
    /// A JSON text, fixed at parse time.
    Literal(String),
    /// What this task returned.
    Output(String),
}

/// A parameter that whoever triggers a run may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamSpec {
    /// Its name.
    pub name: String,
    /// A JSON text; none: has to be given.
    pub default: Option<String>,
}

/// A task as the guest described it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Unique in the DAG.
    pub task_id: String,
    /// Which code runs it; opaque.
    pub entry: String,
    /// In order.
    pub arguments: Vec<Argument>,
    /// Besides those that `arguments` names.
    pub upstream: Vec<String>,
    /// When it may start.
    pub trigger_rule: TriggerRule,
    /// Tries after the first.
    pub retries: u32,
    /// Before the second try.
    pub retry_delay: Duration,
    /// 0 and 1: the pause does not grow.
    pub retry_exponential_backoff: f64,
    /// Counts only with back-off.
    pub max_retry_delay: Option<Duration>,
    /// Of one try, wall time.
    pub execution_timeout: Option<Duration>,
    /// None: the team's default pool.
    pub pool: Option<String>,
    /// At least one.
    pub pool_slots: u32,
    /// Higher starts earlier.
    pub priority_weight: i32,
    /// For people.
    pub doc: Option<String>,
    /// Where it is called.
    pub location: Option<Location>,
}

/// A DAG as the guest described it; also the form in which the database keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DagSpec {
    /// Unique over all teams.
    pub dag_id: String,
    /// For people.
    pub description: Option<String>,
    /// When runs are created.
    pub schedule: Schedule,
    /// The first possible run.
    pub start_date: Option<Timestamp>,
    /// The last possible run.
    pub end_date: Option<Timestamp>,
    /// Whether the past is made up for.
    pub catchup: bool,
    /// None: [`DEFAULT_MAX_ACTIVE_RUNS`].
    pub max_active_runs: Option<u32>,
    /// Of one run; none: [`DEFAULT_MAX_ACTIVE_TASKS`].
    pub max_active_tasks: Option<u32>,
    /// From a run's start.
    pub dagrun_timeout: Option<Duration>,
    /// For people.
    pub tags: Vec<String>,
    /// For people.
    pub owners: Vec<String>,
    /// In order.
    pub params: Vec<ParamSpec>,
    /// In order; their positions are their [`TaskIndex`].
    pub tasks: Vec<TaskSpec>,
    /// Where it is defined.
    pub location: Option<Location>,
}

impl DagSpec {
    /// The text that the database keeps, and whose hash is the definition's name.
    ///
    /// # Errors
    /// None that a definition could cause.
    pub fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}
