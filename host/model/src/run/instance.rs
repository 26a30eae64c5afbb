//! The task instances of one task, and what they know of the tasks before them.
//!
//! What is the same for all instances of a task is counted once (`shared`); only in a mapped group, where an
//! instance follows those of its own map index, does each have counts of its own.

use crate::{
    dag::{Dag, Role},
    id::{InstanceIndex, MapIndex, TaskIndex},
    port::TaskFields,
    state::TaskState,
    trigger_rule::Upstream,
};

/// How far a task instance is with the run before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Past {
    /// Nobody has asked.
    #[default]
    Unasked,
    /// It waits for an answer, or for the run before.
    Asked,
    /// It may go on.
    Passed,
}

/// A task instance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Instance {
    pub(super) fields: TaskFields,
    pub(super) past: Past,
    /// It has ended, and those after it have not heard of it yet.
    pub(super) untold: bool,
    pub(super) own: Option<Box<Counts>>,
}

impl Instance {
    pub(super) const fn new(fields: TaskFields) -> Self {
        Self {
            fields,
            past: Past::Unasked,
            untold: false,
            own: None,
        }
    }

    /// Where it stands as far as those after it have heard.
    pub(super) fn told(&self) -> Option<TaskState> {
        self.fields.state.filter(|_| !self.untold)
    }

    /// Whether it will move by itself or because somebody works on it.
    pub(super) fn is_moving(&self) -> bool {
        match self.fields.state {
            None => self.past == Past::Asked,
            Some(state) => !state.is_terminal(),
        }
    }
}

/// What is counted of the tasks before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Direct upstream instances.
    pub(super) upstream: Upstream,
    /// Instances of setups that are needed without being directly upstream.
    pub(super) setups: Upstream,
    /// Instances for whose end a teardown waits, and those that have ended.
    pub(super) scope: u32,
    pub(super) scope_done: u32,
}

/// In which way one task comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Directly; true: as a setup.
    Upstream(bool),
    /// As an indirect setup.
    Setup,
    /// In the scope of a teardown.
    Scope,
}

impl Counts {
    pub(super) fn add(&mut self, how: Before, state: Option<TaskState>) {
        match how {
            Before::Upstream(setup) => {
                self.upstream.total += 1;
                self.upstream.setups += u32::from(setup);
            }
            Before::Setup => self.setups.total += 1,
            Before::Scope => self.scope += 1,
        }
        self.ended(how, state);
    }

    pub(super) fn ended(&mut self, how: Before, state: Option<TaskState>) {
        match how {
            Before::Upstream(setup) => {
                self.upstream.ended(state);
                self.upstream.setups_success +=
                    u32::from(setup && state == Some(TaskState::Success));
                self.upstream.setups_skipped +=
                    u32::from(setup && state == Some(TaskState::Skipped));
            }
            Before::Setup => self.setups.ended(state),
            Before::Scope => {
                self.scope_done += u32::from(state.is_some_and(TaskState::is_terminal))
            }
        }
    }

    pub(super) fn plus(self, own: Option<&Self>) -> Self {
        own.map_or(self, |own| Self {
            upstream: self.upstream.plus(&own.upstream),
            setups: self.setups.plus(&own.setups),
            scope: self.scope + own.scope,
            scope_done: self.scope_done + own.scope_done,
        })
    }
}

/// All instances of a task.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Instances {
    pub(super) shared: Counts,
    /// Those that have not ended, or of whose end those after them have not heard.
    pub(super) open: u32,
    pub(super) of: Expansion,
}

/// One instance, or one for each map index.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expansion {
    One(Instance),
    Many(Vec<Instance>),
}

impl Instances {
    pub(super) fn get(&self, map_index: MapIndex) -> Option<&Instance> {
        match &self.of {
            Expansion::One(instance) => (map_index == MapIndex::UNMAPPED).then_some(instance),
            Expansion::Many(instances) => instances.get(map_index.get()?),
        }
    }

    pub(super) fn get_mut(&mut self, map_index: MapIndex) -> Option<&mut Instance> {
        match &mut self.of {
            Expansion::One(instance) => (map_index == MapIndex::UNMAPPED).then_some(instance),
            Expansion::Many(instances) => instances.get_mut(map_index.get()?),
        }
    }

    /// The one instance, if the task has not become many.
    pub(super) const fn one(&self) -> Option<&Instance> {
        match &self.of {
            Expansion::One(instance) => Some(instance),
            Expansion::Many(_) => None,
        }
    }

    pub(super) fn all(&self) -> &[Instance] {
        match &self.of {
            Expansion::One(instance) => std::slice::from_ref(instance),
            Expansion::Many(instances) => instances,
        }
    }

    pub(super) fn all_mut(&mut self) -> &mut [Instance] {
        match &mut self.of {
            Expansion::One(instance) => std::slice::from_mut(instance),
            Expansion::Many(instances) => instances,
        }
    }

    /// Counts anew how many are open, as if all ends had been heard of.
    pub(super) fn recount_open(&mut self) {
        let mut open = 0;
        for instance in self.all_mut() {
            instance.untold = false;
            open += u32::from(!instance.fields.state.is_some_and(TaskState::is_terminal));
        }
        self.open = open;
    }

    /// The places of all instances.
    pub(super) fn indexes(&self, task: TaskIndex) -> impl Iterator<Item = InstanceIndex> + use<> {
        let range = match &self.of {
            Expansion::One(_) => -1..0,
            Expansion::Many(instances) => 0..i32::try_from(instances.len()).unwrap_or(i32::MAX),
        };
        range.map(move |i| InstanceIndex {
            task,
            map_index: MapIndex(i),
        })
    }
}

/// Whether two tasks stand in one mapped group, so that each instance follows its own map index only.
pub(super) fn together(dag: &Dag, a: TaskIndex, b: TaskIndex) -> bool {
    let group = |task: TaskIndex| dag.tasks().get(task.get()).and_then(|t| t.group);
    group(a).is_some_and(|own| group(b) == Some(own))
}

/// The tasks that come before one, and in which way.
pub(super) fn before(dag: &Dag, task: TaskIndex) -> Vec<(TaskIndex, Before)> {
    let Some((valid, _)) = dag.task(task) else {
        return Vec::new();
    };
    let setup = |up: TaskIndex| {
        dag.task(up)
            .is_some_and(|(_, spec)| spec.role == Role::Setup)
    };
    let direct = valid
        .upstream
        .iter()
        .map(|&up| (up, Before::Upstream(setup(up))));
    let setups = valid.setups.iter().map(|&up| (up, Before::Setup));
    let scope = valid.scope.iter().map(|&up| (up, Before::Scope));
    direct.chain(setups).chain(scope).collect()
}

/// The tasks that come after one, and in which way it comes before them.
pub(super) fn after(dag: &Dag, task: TaskIndex) -> impl Iterator<Item = (TaskIndex, Before)> {
    dag.task(task).into_iter().flat_map(|(valid, spec)| {
        let setup = spec.role == Role::Setup;
        let direct = valid
            .downstream
            .iter()
            .map(move |&down| (down, Before::Upstream(setup)));
        let guards = valid.guards.iter().map(|&down| (down, Before::Setup));
        let closes = valid.closes.iter().map(|&down| (down, Before::Scope));
        direct.chain(guards).chain(closes)
    })
}
