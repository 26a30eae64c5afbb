//! DAG definitions: what a parse gives ([`DagSpec`]), and the same once it is known to be right ([`Dag`]).
//!
//! A spec is plain data from a guest and may hold any nonsense. [`Dag::new`] is the one way to a `Dag`, so
//! that everything behind it relies on unique ids, upstream tasks that exist, and no cycle. All mistakes
//! are reported at once, each with its task, field and fix.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    id::{DagId, IdError, PoolName, TaskId, TaskIndex},
    time::Timestamp,
    timetable::{Timetable, TimetableError},
    trigger_rule::TriggerRule,
};

/// The most tasks that one DAG may have.
pub const MAX_TASKS: usize = 20_000;
/// Active runs of a DAG that does not say how many (Airflow 3.3.2, `[core] max_active_runs_per_dag`).
pub const DEFAULT_MAX_ACTIVE_RUNS: u32 = 16;
/// Tasks at once in a run of a DAG that does not say how many (Airflow 3.3.2, `[core] max_active_tasks_per_dag`).
pub const DEFAULT_MAX_ACTIVE_TASKS: u32 = 16;

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

/// One mistake in a definition.
#[derive(Debug, thiserror::Error)]
pub struct DefinitionError {
    /// In which DAG.
    pub dag_id: String,
    /// In which task.
    pub task_id: Option<String>,
    /// Where.
    pub location: Option<Location>,
    /// What is wrong.
    #[source]
    pub mistake: Mistake,
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mistake)?;
        write!(f, " (DAG `{}`", self.dag_id.escape_debug())?;
        if let Some(task) = &self.task_id {
            write!(f, ", task `{}`", task.escape_debug())?;
        }
        if let Some(at) = &self.location {
            write!(f, ", {}:{}", at.file.escape_debug(), at.line)?;
        }
        write!(f, ")")
    }
}

/// What can be wrong in a definition.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Mistake {
    /// An id is malformed.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Two tasks share an id.
    #[error("AL-0310: the task_id is used twice; give one of the two calls an id of its own")]
    DuplicateTask,
    /// An upstream task is unknown.
    #[error("AL-0311: it waits for `{}`, which is no task of this DAG; call that task in the DAG function or drop the dependency", .0.escape_debug())]
    UnknownUpstream(String),
    /// Tasks wait for each other in a circle.
    #[error("AL-0312: tasks wait for each other in a circle: {}; remove one of these dependencies", .0.iter().map(|t| t.escape_debug().to_string()).collect::<Vec<_>>().join(" → "))]
    Cycle(Vec<String>),
    /// Too many tasks.
    #[error("AL-0313: a DAG has at most {MAX_TASKS} tasks, this one has {0}; split it")]
    TooManyTasks(usize),
    /// The schedule makes no sense.
    #[error(transparent)]
    Schedule(#[from] TimetableError),
    /// A number is out of its range.
    #[error("AL-0314: `{field}` is {value}; it must be {allowed}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        allowed: &'static str,
    },
    /// A literal argument or a default is not JSON.
    #[error("AL-0315: `{field}` is not JSON: {reason}")]
    NotJson {
        /// Which field.
        field: String,
        /// The parser's word.
        reason: String,
    },
    /// Two params share a name.
    #[error("AL-0316: the param `{}` is declared twice; keep one", .0.escape_debug())]
    DuplicateParam(String),
    /// A run that nobody triggers would lack a value.
    #[error("AL-0318: the param `{}` has no default, so a scheduled run would have no value for it; give it a default or drop the schedule", .0.escape_debug())]
    ParamWithoutDefault(String),
    /// It starts after it ends.
    #[error("AL-0317: start_date {start} lies after end_date {end}; no run would ever be created")]
    EndsBeforeStart {
        /// The start.
        start: Timestamp,
        /// The end.
        end: Timestamp,
    },
}

/// A task of a valid DAG.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its pool.
    pub pool: PoolName,
    /// Where its arguments come from, with outputs resolved to positions.
    pub arguments: Vec<Input>,
    /// Direct upstream tasks, each once, ascending.
    pub upstream: Vec<TaskIndex>,
    /// Direct downstream tasks, each once, ascending.
    pub downstream: Vec<TaskIndex>,
    /// Own weight plus that of all transitive downstream tasks (Airflow's default rule).
    pub priority: i64,
}

/// An argument with its source resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A JSON text.
    Literal(std::sync::Arc<str>),
    /// What this task returned.
    Output(TaskIndex),
}

/// A valid DAG.
#[derive(Debug, Clone)]
pub struct Dag {
    id: DagId,
    spec: DagSpec,
    timetable: Timetable,
    tasks: Vec<Task>,
    index: HashMap<TaskId, TaskIndex>,
}

impl Dag {
    /// Checks a definition.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn new(spec: DagSpec) -> Result<Self, Vec<DefinitionError>> {
        Check::new(&spec).run().map(|(id, timetable, tasks)| {
            let index = tasks
                .iter()
                .enumerate()
                .map(|(i, task)| (task.id.clone(), index(i)))
                .collect();
            Self {
                id,
                spec,
                timetable,
                tasks,
                index,
            }
        })
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &DagId {
        &self.id
    }

    /// What the guest said.
    #[must_use]
    pub const fn spec(&self) -> &DagSpec {
        &self.spec
    }

    /// When it runs.
    #[must_use]
    pub const fn timetable(&self) -> &Timetable {
        &self.timetable
    }

    /// Its tasks, by index.
    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// A task and what the guest said of it.
    #[must_use]
    pub fn task(&self, at: TaskIndex) -> Option<(&Task, &TaskSpec)> {
        Some((self.tasks.get(at.get())?, self.spec.tasks.get(at.get())?))
    }

    /// The position of a task.
    #[must_use]
    pub fn index_of(&self, task: &TaskId) -> Option<TaskIndex> {
        self.index.get(task).copied()
    }

    /// Active runs at once.
    #[must_use]
    pub fn max_active_runs(&self) -> u32 {
        self.spec.max_active_runs.unwrap_or(DEFAULT_MAX_ACTIVE_RUNS)
    }

    /// Tasks at once in one run.
    #[must_use]
    pub fn max_active_tasks(&self) -> u32 {
        self.spec
            .max_active_tasks
            .unwrap_or(DEFAULT_MAX_ACTIVE_TASKS)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a DAG has at most MAX_TASKS tasks"
)]
const fn index(i: usize) -> TaskIndex {
    TaskIndex(i as u32)
}

/// The checks of one spec, collecting mistakes.
struct Check<'a> {
    spec: &'a DagSpec,
    errors: Vec<DefinitionError>,
}

impl<'a> Check<'a> {
    const fn new(spec: &'a DagSpec) -> Self {
        Self {
            spec,
            errors: Vec::new(),
        }
    }

    fn dag_mistake(&mut self, mistake: impl Into<Mistake>) {
        self.errors.push(DefinitionError {
            dag_id: self.spec.dag_id.clone(),
            task_id: None,
            location: self.spec.location.clone(),
            mistake: mistake.into(),
        });
    }

    fn task_mistake(&mut self, task: &TaskSpec, mistake: impl Into<Mistake>) {
        self.errors.push(DefinitionError {
            dag_id: self.spec.dag_id.clone(),
            task_id: Some(task.task_id.clone()),
            location: task.location.clone(),
            mistake: mistake.into(),
        });
    }

    fn run(mut self) -> Result<(DagId, Timetable, Vec<Task>), Vec<DefinitionError>> {
        let spec = self.spec;
        if spec.tasks.len() > MAX_TASKS {
            self.dag_mistake(Mistake::TooManyTasks(spec.tasks.len()));
            return Err(self.errors);
        }
        let id = DagId::new(&spec.dag_id)
            .map_err(|e| self.dag_mistake(e))
            .ok();
        let timetable = Timetable::new(spec).map_err(|e| self.dag_mistake(e)).ok();
        self.dag_fields();
        let mut tasks = self.tasks();
        if self.errors.is_empty() {
            match order(&tasks) {
                Ok(sorted) => crate::priority::downstream_weights(&mut tasks, spec, &sorted),
                Err(cycle) => {
                    let names = cycle
                        .iter()
                        .filter_map(|&i| tasks.get(i))
                        .map(|t| t.id.to_string())
                        .collect();
                    self.dag_mistake(Mistake::Cycle(names));
                }
            }
        }
        match (id, timetable) {
            (Some(id), Some(timetable)) if self.errors.is_empty() => Ok((id, timetable, tasks)),
            _ => Err(self.errors),
        }
    }

    fn dag_fields(&mut self) {
        let spec = self.spec;
        for (field, value) in [
            ("max_active_runs", spec.max_active_runs),
            ("max_active_tasks", spec.max_active_tasks),
        ] {
            if value == Some(0) {
                self.dag_mistake(Mistake::OutOfRange {
                    field,
                    value: "0".into(),
                    allowed: "at least 1",
                });
            }
        }
        if let (Some(start), Some(end)) = (spec.start_date, spec.end_date)
            && start > end
        {
            self.dag_mistake(Mistake::EndsBeforeStart { start, end });
        }
        let mut seen = BTreeMap::new();
        for param in &spec.params {
            if seen.insert(&param.name, ()).is_some() {
                self.dag_mistake(Mistake::DuplicateParam(param.name.clone()));
            }
            if param.default.is_none() && spec.schedule != Schedule::None {
                self.dag_mistake(Mistake::ParamWithoutDefault(param.name.clone()));
            }
            if let Some(reason) = param.default.as_deref().and_then(not_json) {
                self.dag_mistake(Mistake::NotJson {
                    field: format!("params.{}", param.name.escape_debug()),
                    reason,
                });
            }
        }
    }

    fn tasks(&mut self) -> Vec<Task> {
        let spec = self.spec;
        let mut by_name: HashMap<&str, TaskIndex> = HashMap::with_capacity(spec.tasks.len());
        for (i, task) in spec.tasks.iter().enumerate() {
            if by_name.insert(&task.task_id, index(i)).is_some() {
                self.task_mistake(task, Mistake::DuplicateTask);
            }
        }
        let mut tasks: Vec<Task> = Vec::with_capacity(spec.tasks.len());
        for task in &spec.tasks {
            if let Some(checked) = self.task(task, &by_name) {
                tasks.push(checked);
            }
        }
        if tasks.len() == spec.tasks.len() {
            for i in 0..tasks.len() {
                let upstream = tasks.get(i).map(|t| t.upstream.clone()).unwrap_or_default();
                for up in upstream {
                    if let Some(up) = tasks.get_mut(up.get()) {
                        up.downstream.push(index(i));
                    }
                }
            }
        }
        tasks
    }

    fn task(&mut self, task: &TaskSpec, by_name: &HashMap<&str, TaskIndex>) -> Option<Task> {
        let before = self.errors.len();
        let id = TaskId::new(&task.task_id)
            .map_err(|e| self.task_mistake(task, e))
            .ok();
        let pool = match task.pool.as_deref().map(PoolName::new).transpose() {
            Ok(pool) => Some(pool.unwrap_or_else(PoolName::default_pool)),
            Err(e) => {
                self.task_mistake(task, e);
                None
            }
        };
        if task.pool_slots == 0 {
            let value = "0".into();
            self.task_mistake(
                task,
                Mistake::OutOfRange {
                    field: "pool_slots",
                    value,
                    allowed: "at least 1",
                },
            );
        }
        let backoff = task.retry_exponential_backoff;
        if !(backoff.is_finite() && backoff >= 0.0) {
            let value = backoff.to_string();
            let allowed = "a finite number, zero or more";
            self.task_mistake(
                task,
                Mistake::OutOfRange {
                    field: "retry_exponential_backoff",
                    value,
                    allowed,
                },
            );
        }
        if task.execution_timeout == Some(Duration::ZERO) {
            let value = "0".into();
            self.task_mistake(
                task,
                Mistake::OutOfRange {
                    field: "execution_timeout",
                    value,
                    allowed: "longer",
                },
            );
        }
        let mut upstream = Vec::with_capacity(task.upstream.len());
        let mut arguments = Vec::with_capacity(task.arguments.len());
        for name in &task.upstream {
            match by_name.get(name.as_str()) {
                Some(&up) => upstream.push(up),
                None => self.task_mistake(task, Mistake::UnknownUpstream(name.clone())),
            }
        }
        for (i, argument) in task.arguments.iter().enumerate() {
            match argument {
                Argument::Literal(json) => match not_json(json) {
                    None => arguments.push(Input::Literal(json.as_str().into())),
                    Some(reason) => {
                        self.task_mistake(
                            task,
                            Mistake::NotJson {
                                field: format!("arguments[{i}]"),
                                reason,
                            },
                        );
                    }
                },
                Argument::Output(name) => match by_name.get(name.as_str()) {
                    Some(&up) => {
                        upstream.push(up);
                        arguments.push(Input::Output(up));
                    }
                    None => self.task_mistake(task, Mistake::UnknownUpstream(name.clone())),
                },
            }
        }
        upstream.sort_unstable();
        upstream.dedup();
        if self.errors.len() > before {
            return None;
        }
        Some(Task {
            id: id?,
            pool: pool?,
            arguments,
            upstream,
            downstream: Vec::new(),
            priority: 0,
        })
    }
}

fn not_json(text: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .err()
        .map(|e| e.to_string())
}

/// The positions in topological order, or the positions of one cycle, its first repeated at its end.
fn order(tasks: &[Task]) -> Result<Vec<usize>, Vec<usize>> {
    let mut waiting: Vec<usize> = tasks.iter().map(|t| t.upstream.len()).collect();
    let mut sorted: Vec<usize> = (0..tasks.len())
        .filter(|&i| waiting.get(i) == Some(&0))
        .collect();
    let mut next = 0;
    while let Some(&i) = sorted.get(next) {
        next += 1;
        for down in tasks
            .get(i)
            .map(|t| t.downstream.as_slice())
            .unwrap_or_default()
        {
            if let Some(left) = waiting.get_mut(down.get()) {
                *left -= 1;
                if *left == 0 {
                    sorted.push(down.get());
                }
            }
        }
    }
    if sorted.len() == tasks.len() {
        return Ok(sorted);
    }
    // Every task left over has an upstream that is left over too: walking up must come back to itself.
    let stuck = |i: &usize| waiting.get(*i).is_some_and(|&left| left > 0);
    let mut path: Vec<usize> = (0..tasks.len()).find(|i| stuck(i)).into_iter().collect();
    while let Some(&at) = path.last() {
        let up = tasks
            .get(at)
            .and_then(|t| t.upstream.iter().map(|u| u.get()).find(|u| stuck(u)));
        let Some(up) = up else { break };
        if let Some(first) = path.iter().position(|&seen| seen == up) {
            path.push(up);
            path.drain(..first);
            path.reverse();
            return Err(path);
        }
        path.push(up);
    }
    Err(path)
}

#[cfg(test)]
pub(crate) mod tests;
