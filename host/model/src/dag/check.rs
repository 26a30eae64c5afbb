//! The way from a definition to a valid DAG: every check, and all mistakes at once.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    Argument, DagSpec, DefinitionError, Input, MAX_TASKS, Mistake, Schedule, Task, TaskSpec, index,
    order::order,
};
use crate::{
    id::{DagId, DefinitionHash, PoolName, TaskId, TaskIndex},
    timetable::Timetable,
};

/// The checks of one spec, collecting mistakes.
pub(super) struct Check<'a> {
    spec: &'a DagSpec,
    errors: Vec<DefinitionError>,
}

/// What the checks make of a spec.
pub(super) struct Valid {
    pub(super) id: DagId,
    pub(super) definition: DefinitionHash,
    pub(super) timetable: Timetable,
    pub(super) tasks: Vec<Task>,
}

impl<'a> Check<'a> {
    pub(super) const fn new(spec: &'a DagSpec) -> Self {
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

    pub(super) fn run(mut self) -> Result<Valid, Vec<DefinitionError>> {
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
        let text = spec.text().map_err(|error| {
            self.dag_mistake(Mistake::NotJson {
                field: "the definition".into(),
                reason: error.to_string(),
            });
        });
        match (id, timetable, text) {
            (Some(id), Some(timetable), Ok(text)) if self.errors.is_empty() => Ok(Valid {
                id,
                definition: DefinitionHash::of(&text),
                timetable,
                tasks,
            }),
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
                Argument::Mapped(name) => arguments.push(Input::Mapped(name.as_str().into())),
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
