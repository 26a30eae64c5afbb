//! What a bundle tells the host about its DAGs.
//!
//! What an author writes into `#[dag(…)]` and `#[task(…)]` is fixed while the bundle compiles, so it lies in
//! statics ([`DagSpec`], [`TaskSpec`]) that a graph points to; a graph of thousands of tasks owns no more
//! than ids, arguments and edges. Tests read a graph through [`testing::parse`](crate::testing::parse).

use std::{borrow::Cow, fmt, time::Duration};

use crate::{Context, Error, Result, graph, outcome::Outcome, sensor::SensorCode};
pub use crate::{
    asset::{Asset, AssetAlias, AssetCondition, AssetRef, Watcher},
    callback::{Callback, CallbackKind, CallbackSpec, Deadline, DeadlineReference, DeadlineTime},
    timetable::CustomTimetable,
    wait::Awaited,
};

/// A place in the author's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The file as the compiler names it.
    pub file: &'static str,
    /// Counted from one.
    pub line: u32,
}

impl From<&'static std::panic::Location<'static>> for Location {
    fn from(location: &'static std::panic::Location<'static>) -> Self {
        Self {
            file: location.file(),
            line: location.line(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// When runs are created by the clock (Airflow 3.3.2, `airflow/timetables/`).
#[derive(Debug, Clone, Copy)]
pub enum Schedule {
    /// Only by hand, by API, or by assets.
    None,
    /// Once: at the start date, or without one as soon as it can be.
    Once,
    /// Again as soon as the last run has ended.
    Continuous,
    /// At each tick of any of some crontab lines.
    CronTrigger {
        /// Crontab lines, or presets such as `@daily`.
        lines: &'static [&'static str],
        /// An IANA zone; none means UTC.
        timezone: Option<&'static str>,
        /// How far before its tick a run's data interval begins.
        interval: Delta,
        /// The first run of a DAG that has neither a start date nor a run.
        run_immediately: RunImmediately,
    },
    /// At the end of each interval between two ticks of a crontab line.
    CronInterval {
        /// A crontab line, or a preset such as `@daily`.
        line: &'static str,
        /// An IANA zone; none means UTC.
        timezone: Option<&'static str>,
    },
    /// Each time this long has passed.
    DeltaTrigger {
        /// From run to run.
        every: Delta,
        /// How far before its time a run's data interval begins.
        interval: Delta,
    },
    /// At the end of each interval of this length.
    DeltaInterval(Delta),
    /// As the bundle's own code says.
    Custom(CustomTimetable),
}

/// A length of time that may count months.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delta {
    /// A year is twelve. The calendar (in UTC) gives them their length.
    pub months: u32,
    /// The rest.
    pub time: Duration,
}

/// When a DAG runs first that has neither a start date nor a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunImmediately {
    /// At the last tick, if it is no longer ago than a tenth of the time between two ticks or five minutes,
    /// whichever is more; else at the next.
    No,
    /// At the last tick.
    Yes,
    /// At the last tick, if it is no longer ago than this; else at the next.
    Within(Duration),
}

/// When a task may start, judged by the states of its upstream tasks (Airflow 3.3.2, `TriggerRule`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerRule {
    /// All succeeded. The default.
    AllSuccess,
    /// All failed or could not run.
    AllFailed,
    /// All ended.
    AllDone,
    /// All were skipped.
    AllSkipped,
    /// At least one succeeded; does not wait for the rest.
    OneSuccess,
    /// At least one failed; does not wait for the rest.
    OneFailed,
    /// At least one succeeded or failed; does not wait for the rest.
    OneDone,
    /// All ended, and none failed.
    NoneFailed,
    /// All ended, none failed, and at least one succeeded.
    NoneFailedMinOneSuccess,
    /// All ended, and none was skipped.
    NoneSkipped,
    /// All ended, none was skipped, and at least one succeeded.
    AllDoneMinOneSuccess,
    /// For teardowns: all ended, and a setup succeeded.
    AllDoneSetupSuccess,
    /// At once.
    Always,
}

/// A parameter that whoever triggers a run may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// JSON text; none: it has to be given with each run.
    pub default: Option<&'static str>,
    /// A JSON Schema that its value must satisfy, as JSON text.
    pub schema: Option<&'static str>,
    /// For people.
    pub description: Option<&'static str>,
}

/// What a task is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its own sake.
    Work,
    /// Makes what others need: they do not run without it.
    Setup,
    /// Puts away what its setups made, whatever became of those who needed it.
    Teardown {
        /// Whether its failure is the run's.
        on_failure_fail_dagrun: bool,
    },
}

/// How a task's priority follows from the weights of the tasks around it (Airflow 3.3.2,
/// `airflow/task/priority_strategy.py`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightRule {
    /// Its own weight plus that of all that waits for it. The default.
    Downstream,
    /// Its own weight plus that of all that it waits for.
    Upstream,
    /// Its own weight.
    Absolute,
}

/// What `#[dag(…)]` says.
#[derive(Debug)]
pub struct DagSpec {
    /// The function's name, or `dag_id = "…"`.
    pub dag_id: &'static str,
    /// The doc comment, or `description = "…"`.
    pub description: Option<&'static str>,
    /// `schedule = "…"`.
    pub schedule: Schedule,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub start_date: Option<i64>,
    /// Microseconds since 1970-01-01T00:00:00Z; no run is created for a time after it.
    pub end_date: Option<i64>,
    /// Whether runs between the start date and now are created. Default: no.
    pub catchup: bool,
    /// Runs at once; none means the host's default.
    pub max_active_runs: Option<u32>,
    /// Tasks at once in one run; none means the host's default.
    pub max_active_tasks: Option<u32>,
    /// The longest that a run may take.
    pub dagrun_timeout: Option<Duration>,
    /// For people.
    pub tags: &'static [&'static str],
    /// For people.
    pub owners: &'static [&'static str],
    /// In the order of the attribute.
    pub params: &'static [Param],
    /// A failure ends the run: what runs fails, what has not begun is skipped, teardowns still run.
    pub fail_fast: bool,
    /// After that many failed runs in a row the DAG is paused; zero: never.
    pub max_consecutive_failed_dag_runs: u32,
    /// Asset events that make runs, besides what `schedule` says.
    pub asset_condition: Option<AssetCondition>,
    /// What is called when a run has ended.
    pub callbacks: &'static [CallbackSpec],
    /// What is called when a run is not done in time: the code that the attribute holds.
    pub deadlines: fn() -> Result<Vec<Deadline>>,
    /// Where the function stands.
    pub location: Location,
    #[doc(hidden)]
    pub graph: fn() -> Result<()>,
}

/// What `#[task(…)]` says, and what a call may change of it ([`Output::with`](crate::Output::with)).
#[derive(Debug, Clone, Copy)]
pub struct TaskSpec {
    /// Which code runs the task: the function's path. The host gives it back for each try.
    pub entry: &'static str,
    /// The function's name, or `task_id = "…"`.
    pub task_id: &'static str,
    /// When it may start.
    pub trigger_rule: TriggerRule,
    /// How often it is tried again after a failure. Default: 0.
    pub retries: u32,
    /// The pause before the first new try. Default: five minutes.
    pub retry_delay: Duration,
    /// By what the pause grows from try to try; 0 and 1 mean not at all. Default: 0.
    pub retry_exponential_backoff: f64,
    /// The longest pause between two tries; counts only with exponential back-off.
    pub max_retry_delay: Option<Duration>,
    /// The longest that one try may take.
    pub execution_timeout: Option<Duration>,
    /// None means the team's default pool.
    pub pool: Option<&'static str>,
    /// At least 1, which is the default.
    pub pool_slots: u32,
    /// Higher starts earlier. Default: 1.
    pub priority_weight: i32,
    /// How its priority comes about.
    pub weight_rule: WeightRule,
    /// What it is for.
    pub role: Role,
    /// Only after the task's instance in the run before has succeeded or was skipped.
    pub depends_on_past: bool,
    /// Only after the direct downstream tasks of that instance have, too; implies `depends_on_past`.
    pub wait_for_downstream: bool,
    /// Whether a task that is new in its DAG starts although there is no such instance. Default: yes.
    pub ignore_first_depends_on_past: bool,
    /// Instances at once over all runs of the DAG.
    pub max_active_tis_per_dag: Option<u32>,
    /// Instances at once in one run.
    pub max_active_tis_per_dagrun: Option<u32>,
    /// Assets whose latest events it wants to see.
    pub inlets: &'static [AssetRef],
    /// Assets that its success changes.
    pub outlets: &'static [AssetRef],
    /// What is called when its tries begin and end.
    pub callbacks: &'static [CallbackSpec],
    /// The doc comment, or `doc = "…"`.
    pub doc: Option<&'static str>,
    /// Where the function stands.
    pub location: Location,
    #[doc(hidden)]
    pub run: fn(&Context, Vec<String>) -> Result<Outcome>,
    #[doc(hidden)]
    pub sensor: Option<&'static SensorCode>,
}

/// Where an argument of a task comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// JSON text, fixed when the DAG was parsed.
    Literal(String),
    /// What the task of this id returned.
    Output(String),
    /// This instance's part of the task's mapping, or of its group's, by the parameter's name.
    Mapped(Cow<'static, str>),
}

/// Where values come from over which something is mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The JSON text of a list or map, fixed when the DAG was parsed.
    Literal(String),
    /// What the task of this id returned.
    Output(String),
    /// One value of each, side by side.
    Zip {
        /// None of them a zip.
        sources: Vec<Self>,
        /// JSON text that stands in for what a shorter source lacks; none: the shortest ends the list.
        fill: Option<&'static str>,
    },
}

/// How a task becomes many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// `expand`: one instance for each combination of the parameters' values.
    Product(Vec<(Cow<'static, str>, Source)>),
    /// `expand_kwargs`: one instance for each object of a list, whose keys are the parameters.
    Keywords(Source),
}

/// A task group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// With the ids of the groups around it.
    pub group_id: String,
    /// The group that it stands in.
    pub parent: Option<String>,
    /// Parameters and their values, if all of it becomes many.
    pub mapping: Vec<(Cow<'static, str>, Source)>,
    /// For people.
    pub doc: Option<String>,
    /// Where it is opened.
    pub location: Location,
}

/// A task of a graph.
#[derive(Debug, Clone)]
pub struct Task {
    /// What its attribute says, and what the call changed of it.
    pub spec: Cow<'static, TaskSpec>,
    /// The attribute's id, or the one that the call gave, with the ids of the groups around it.
    pub task_id: Cow<'static, str>,
    /// In the order of the function's parameters.
    pub arguments: Vec<Argument>,
    /// Whether it becomes many.
    pub mapping: Option<Mapping>,
    /// The group that it stands in.
    pub group: Option<String>,
    /// The tasks that must end before this one, besides those that `arguments` and `mapping` name.
    pub upstream: Vec<String>,
    /// Where the DAG function calls it.
    pub location: Location,
}

/// A DAG with its graph.
#[derive(Debug, Clone)]
pub struct Dag {
    /// What its attribute says.
    pub spec: &'static DagSpec,
    /// The assets that it describes: those of its tasks and of its condition, each once.
    pub assets: Vec<Asset>,
    /// As the attribute's code gives them.
    pub deadlines: Vec<Deadline>,
    /// An outer group before what stands in it.
    pub groups: Vec<Group>,
    /// In the order of the calls.
    pub tasks: Vec<Task>,
}

impl Dag {
    /// The task of this id, if there is one.
    #[must_use]
    pub fn task(&self, task_id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.task_id == task_id)
    }

    /// The group of this id, if there is one.
    #[must_use]
    pub fn group(&self, group_id: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.group_id == group_id)
    }
}

/// Why a DAG could not be built. Prints what is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionError {
    /// Which DAG.
    pub dag_id: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// Where.
    pub location: Location,
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (DAG `{}`, {})",
            self.message, self.dag_id, self.location
        )
    }
}

impl std::error::Error for DefinitionError {}

/// What `#[dag]` makes of a function: a type of its name that stands for the DAG.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no DAG",
    note = "`bundle!` names functions that bear `#[dag]`"
)]
pub trait DagSource {
    /// What the attribute says.
    const SPEC: &'static DagSpec;
}

/// What `#[task]` makes of a function: a type of its name that stands for the task.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no task",
    note = "a task is a function that bears `#[task]`"
)]
pub trait TaskSource {
    /// What the attribute says.
    fn spec() -> &'static TaskSpec;
}

/// What a DAG function may return: nothing, or a `Result` of nothing.
pub trait DagResult {
    #[doc(hidden)]
    #[track_caller]
    fn into_result(self) -> Result<()>;
}

impl DagResult for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<Error>> DagResult for Result<(), E> {
    #[track_caller]
    fn into_result(self) -> Result<()> {
        match self {
            Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What one parse of a bundle gives.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The DAGs that could be built.
    pub dags: Vec<Dag>,
    /// The mistakes of the others.
    pub errors: Vec<DefinitionError>,
}

/// Builds the graph of each DAG. A DAG with a mistake is left out; the others live.
#[must_use]
pub fn parse(bundle: &[&'static DagSpec]) -> Parsed {
    let mut parsed = Parsed::default();
    for (i, spec) in bundle.iter().enumerate() {
        if let Some(first) = bundle
            .iter()
            .take(i)
            .find(|other| other.dag_id == spec.dag_id)
        {
            parsed.errors.push(DefinitionError {
                dag_id: spec.dag_id,
                message: format!(
                    "the dag_id `{}` is taken by the DAG at {}; give one of the two another with `dag_id = \"…\"`",
                    spec.dag_id, first.location
                ),
                location: spec.location,
            });
            continue;
        }
        match graph::build(spec) {
            Ok(dag) => parsed.dags.push(dag),
            Err(errors) => parsed.errors.extend(errors),
        }
    }
    parsed
}
