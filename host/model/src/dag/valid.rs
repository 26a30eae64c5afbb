//! A DAG that is known to be right, with its references resolved to positions.

use std::{collections::HashMap, sync::Arc};

use super::{
    DEFAULT_MAX_ACTIVE_RUNS, DEFAULT_MAX_ACTIVE_TASKS, DagSpec, DefinitionError, Mapped, TaskSpec,
    check::{Check, Valid},
    index,
};
use crate::{
    id::{DagId, DefinitionHash, PoolName, TaskId, TaskIndex},
    params::Params,
    timetable::Timetable,
    trigger_rule::TriggerRule,
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
    /// Own weight and what its rule adds.
    pub priority: i64,
    /// When it may start.
    pub rule: TriggerRule,
    /// Over what it is mapped by itself.
    pub mapping: Option<Mapped>,
    /// The mapped group around it, if any.
    pub group: Option<GroupIndex>,
    /// Something is mapped over what it returns, so that has to be an array or an object.
    pub is_source: bool,
    /// Setups that it needs without being directly downstream of them.
    pub setups: Vec<TaskIndex>,
    /// Of a setup: the tasks among whose `setups` it is.
    pub guards: Vec<TaskIndex>,
    /// Of a teardown: tasks that it waits for without being directly downstream of them.
    pub scope: Vec<TaskIndex>,
    /// The teardowns in whose `scope` it is.
    pub closes: Vec<TaskIndex>,
    /// Its end decides the end of the run.
    pub is_leaf: bool,
}

/// The position of a mapped group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIndex(pub(crate) usize);

/// A mapped group of a valid DAG.
#[derive(Debug, Clone)]
pub struct MappedGroup {
    /// Its id.
    pub id: String,
    /// Over what it is mapped.
    pub mapping: Mapped,
    /// All tasks in it, ascending.
    pub tasks: Vec<TaskIndex>,
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
    params: Params,
    tasks: Vec<Task>,
    groups: Vec<MappedGroup>,
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
                params,
                tasks,
                groups,
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
                params,
                tasks,
                groups,
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

    /// What a run of it may be given.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// Its tasks, by index.
    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Its mapped groups.
    pub fn groups(&self) -> impl Iterator<Item = (GroupIndex, &MappedGroup)> {
        self.groups
            .iter()
            .enumerate()
            .map(|(i, group)| (GroupIndex(i), group))
    }

    /// A mapped group.
    #[must_use]
    pub fn group(&self, at: GroupIndex) -> Option<&MappedGroup> {
        self.groups.get(at.0)
    }

    /// A task's id and those of the groups that it stands in, from the inside to the outside.
    pub fn names_of(&self, at: TaskIndex) -> impl Iterator<Item = &str> {
        let spec = self.spec.tasks.get(at.get());
        let mut group = spec.and_then(|task| task.group.as_deref());
        let groups = std::iter::from_fn(move || {
            let own = group?;
            let spec = self.spec.groups.iter().find(|g| g.group_id == own);
            group = spec.and_then(|g| g.parent.as_deref());
            Some(own)
        });
        spec.map(|task| task.task_id.as_str())
            .into_iter()
            .chain(groups)
    }

    /// Over what a task is mapped, by itself or by its group.
    #[must_use]
    pub fn mapping(&self, at: TaskIndex) -> Option<&Mapped> {
        let task = self.tasks.get(at.get())?;
        let group = || Some(&self.group(task.group?)?.mapping);
        task.mapping.as_ref().or_else(group)
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
