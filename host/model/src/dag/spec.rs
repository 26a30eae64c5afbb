//! A DAG definition as plain data: what a parse gives, and the form in which the database keeps it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::Schedule;
use crate::{
    callback::{CallbackSpec, DeadlineSpec},
    time::Timestamp,
    trigger::Trigger,
    trigger_rule::TriggerRule,
};

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

/// Where an argument of a task comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Argument {
    /// A JSON text, fixed at parse time.
    Literal(String),
    /// What this task returned.
    Output(String),
    /// This instance's part of the task's mapping, or else of its group's, by the parameter's name.
    Mapped(String),
}

/// Where the values come from over which something is mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A JSON array or object, fixed at parse time; an object stands for its `[key, value]` pairs.
    Literal(String),
    /// What this task returned: an array or an object. Of a task that is mapped itself, the list of what
    /// its instances returned.
    Output(String),
    /// One value of each, side by side.
    Zip {
        /// None of them a zip.
        sources: Vec<Self>,
        /// Stands in for what a shorter source lacks, as JSON text; none: the shortest ends the list.
        fill: Option<String>,
    },
}

/// A parameter and the values over which it is mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedParameter {
    /// Its name.
    pub name: String,
    /// Its values.
    pub source: Source,
}

/// How a task becomes many (Airflow 3.3.2, `airflow/models/expandinput.py`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mapping {
    /// `expand`: one instance for each combination, the last parameter changing fastest.
    Product(Vec<MappedParameter>),
    /// `expand_kwargs`: one instance for each object of the list, whose keys are the parameters.
    Keywords(Source),
}

/// A task group: for people, and what is mapped as one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Unique in the DAG, also among its tasks.
    pub group_id: String,
    /// The group that it stands in.
    pub parent: Option<String>,
    /// All of it becomes many, one for each combination; empty: it does not.
    pub mapping: Vec<MappedParameter>,
    /// For people.
    pub doc: Option<String>,
    /// Where it is opened.
    pub location: Option<Location>,
}

/// What a task is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its own sake.
    #[default]
    Work,
    /// Makes what others need. They do not run without it.
    Setup,
    /// Puts away what its upstream setups made, whatever became of those who needed it.
    Teardown {
        /// Its failure is the run's.
        on_failure_fail_dagrun: bool,
    },
}

/// How a task's priority follows from the weights of the tasks around it (Airflow 3.3.2,
/// `airflow/task/priority_strategy.py`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightRule {
    /// Its own weight plus that of all that waits for it.
    #[default]
    Downstream,
    /// Its own weight plus that of all that it waits for.
    Upstream,
    /// Its own weight.
    Absolute,
}

/// An asset as a DAG declares it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetSpec {
    /// Unique in the team.
    pub name: String,
    /// What it stands for; none for a virtual asset, which has only a name.
    pub uri: Option<String>,
    /// For people.
    pub group: Option<String>,
    /// A JSON object, for people and programs.
    pub extra: Option<String>,
    /// What watches the world outside for changes of it, as long as the DAG lives.
    #[serde(default)]
    pub watchers: Vec<WatcherSpec>,
}

/// A trigger that lives as long as its DAG and tells of changes of an asset (AIP-82).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatcherSpec {
    /// Unique among the asset's.
    pub name: String,
    /// What it waits for, again and again.
    pub trigger: Trigger,
}

/// An asset or alias as a task names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetRef {
    /// The asset of this name.
    Name(String),
    /// The asset of this URI.
    Uri(String),
    /// The assets to which this alias is resolved as tasks run.
    Alias(String),
}

/// Which asset events make a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetCondition {
    /// One of this asset.
    Of(AssetRef),
    /// One of each.
    All(Vec<Self>),
    /// One of any.
    Any(Vec<Self>),
}

/// A parameter that whoever triggers a run may set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamSpec {
    /// Its name.
    pub name: String,
    /// A JSON text; none: has to be given.
    pub default: Option<String>,
    /// A JSON Schema that its value must satisfy, as JSON text.
    pub schema: Option<String>,
    /// For people.
    pub description: Option<String>,
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
    /// The group that it stands in.
    pub group: Option<String>,
    /// Whether it becomes many.
    pub mapping: Option<Mapping>,
    /// What it is for.
    pub role: Role,
    /// Only after the task's instance in the run before has succeeded or was skipped.
    pub depends_on_past: bool,
    /// Only after the direct downstream tasks of that instance have too; implies `depends_on_past`.
    pub wait_for_downstream: bool,
    /// A task that is new in its DAG does not wait for a past that it never had.
    pub ignore_first_depends_on_past: bool,
    /// Instances at once over all runs of the DAG.
    pub max_active_tis_per_dag: Option<u32>,
    /// Instances at once in one run.
    pub max_active_tis_per_dagrun: Option<u32>,
    /// How its priority comes about.
    pub weight_rule: WeightRule,
    /// Assets whose latest events it wants to see.
    pub inlets: Vec<AssetRef>,
    /// Assets that its success changes.
    pub outlets: Vec<AssetRef>,
    /// Code that hears of what becomes of it.
    #[serde(default)]
    pub callbacks: Vec<CallbackSpec>,
    /// For people.
    pub doc: Option<String>,
    /// Where it is called.
    pub location: Option<Location>,
}

impl Default for TaskSpec {
    /// A task as an author gets it who says nothing but its name.
    fn default() -> Self {
        Self {
            task_id: String::new(),
            entry: String::new(),
            arguments: Vec::new(),
            upstream: Vec::new(),
            trigger_rule: TriggerRule::AllSuccess,
            retries: 0,
            retry_delay: Duration::from_secs(300),
            retry_exponential_backoff: 0.0,
            max_retry_delay: None,
            execution_timeout: None,
            pool: None,
            pool_slots: 1,
            priority_weight: 1,
            group: None,
            mapping: None,
            role: Role::Work,
            depends_on_past: false,
            wait_for_downstream: false,
            ignore_first_depends_on_past: true,
            max_active_tis_per_dag: None,
            max_active_tis_per_dagrun: None,
            weight_rule: WeightRule::Downstream,
            inlets: Vec::new(),
            outlets: Vec::new(),
            callbacks: Vec::new(),
            doc: None,
            location: None,
        }
    }
}

/// A DAG as the guest described it; also the form in which the database keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// None: `DEFAULT_MAX_ACTIVE_RUNS`.
    pub max_active_runs: Option<u32>,
    /// Of one run; none: `DEFAULT_MAX_ACTIVE_TASKS`.
    pub max_active_tasks: Option<u32>,
    /// From a run's start.
    pub dagrun_timeout: Option<Duration>,
    /// For people.
    pub tags: Vec<String>,
    /// For people.
    pub owners: Vec<String>,
    /// In order.
    pub params: Vec<ParamSpec>,
    /// A failure ends the run: what runs fails, what has not begun is skipped, teardowns still run.
    pub fail_fast: bool,
    /// After that many failed runs in a row the DAG is paused; zero: never.
    pub max_consecutive_failed_dag_runs: u32,
    /// Assets that the DAG declares.
    pub assets: Vec<AssetSpec>,
    /// Asset events that make runs, besides what `schedule` says.
    pub asset_condition: Option<AssetCondition>,
    /// Code that hears of what becomes of its runs.
    #[serde(default)]
    pub callbacks: Vec<CallbackSpec>,
    /// By when its runs are to be done.
    #[serde(default)]
    pub deadlines: Vec<DeadlineSpec>,
    /// An outer group before what stands in it.
    pub groups: Vec<GroupSpec>,
    /// In order; their positions are their [`TaskIndex`](crate::id::TaskIndex).
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
