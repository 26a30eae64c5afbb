//! The way from a definition to a valid DAG: every check, and all mistakes at once.

pub(super) mod asset;
mod group;
mod param;
mod task;
mod waiting;

use super::{
    DagSpec, DefinitionError, MAX_TASKS, MappedGroup, Mistake, Schedule, Task, TaskSpec,
    order::order, relations::relate,
};
use crate::{
    id::{DagId, DefinitionHash},
    params::Params,
    priority,
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
    pub(super) params: Params,
    pub(super) tasks: Vec<Task>,
    pub(super) groups: Vec<MappedGroup>,
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
        let params = self.params();
        self.assets();
        self.dag_callbacks();
        self.deadlines();
        let (mut tasks, groups) = self.tasks();
        if self.errors.is_empty() {
            match order(&tasks) {
                Ok(sorted) => {
                    priority::weigh(&mut tasks, spec, &sorted);
                    relate(&mut tasks, spec, &sorted);
                }
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
                params,
                tasks,
                groups,
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
    }

    fn out_of_range(
        &mut self,
        task: &TaskSpec,
        field: &'static str,
        value: &str,
        allowed: &'static str,
    ) {
        let value = value.to_owned();
        self.task_mistake(
            task,
            Mistake::OutOfRange {
                field,
                value,
                allowed,
            },
        );
    }
}

fn not_json(text: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .err()
        .map(|e| e.to_string())
}
