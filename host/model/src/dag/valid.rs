//! A DAG that is known to be right, with its references resolved to positions.

use std::{collections::HashMap, sync::Arc};

use super::{
    DEFAULT_MAX_ACTIVE_RUNS, DEFAULT_MAX_ACTIVE_TASKS, DagSpec, DefinitionError, TaskSpec,
    check::{Check, Valid},
    index,
};
use crate::{
    id::{DagId, DefinitionHash, PoolName, TaskId, TaskIndex},
    timetable::Timetable,
};

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
    Literal(Arc<str>),
    /// What this task returned.
    Output(TaskIndex),
    /// This instance's part of a mapping, by the parameter's name.
    Mapped(Arc<str>),
}

/// A valid DAG.
#[derive(Debug, Clone)]
pub struct Dag {
    id: DagId,
    spec: DagSpec,
    definition: DefinitionHash,
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
        Check::new(&spec).run().map(|valid| {
            let Valid {
                id,
                definition,
                timetable,
                tasks,
            } = valid;
            let index = tasks
                .iter()
                .enumerate()
                .map(|(i, task)| (task.id.clone(), index(i)))
                .collect();
            Self {
                id,
                spec,
                definition,
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

    /// The name of its definition.
    #[must_use]
    pub const fn definition(&self) -> DefinitionHash {
        self.definition
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
