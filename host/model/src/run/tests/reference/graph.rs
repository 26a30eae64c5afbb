//! What comes before what, worked out from the definition as its author wrote it.

use std::collections::BTreeSet;

use super::{slow::Slow, *};
use crate::dag::{Argument, GroupSpec, Mapping, Role, Source};

fn outputs(source: &Source) -> Vec<&str> {
    match source {
        Source::Literal(_) => vec![],
        Source::Output(task) => vec![task],
        Source::Zip { sources, .. } => sources.iter().flat_map(outputs).collect(),
    }
}

impl Slow {
    pub(super) fn named(&self, name: &str) -> usize {
        self.spec
            .tasks
            .iter()
            .position(|t| t.task_id == name)
            .unwrap()
    }

    /// The nearest group around a task that is mapped.
    pub(super) fn mapped_group(&self, task: usize) -> Option<&GroupSpec> {
        let mut id = self.spec.tasks[task].group.as_ref();
        while let Some(group) =
            id.map(|id| self.spec.groups.iter().find(|g| g.group_id == *id).unwrap())
        {
            if !group.mapping.is_empty() {
                return Some(group);
            }
            id = group.parent.as_ref();
        }
        None
    }

    pub(super) fn together(&self, a: usize, b: usize) -> bool {
        let group = self.mapped_group(a).map(|g| &g.group_id);
        group.is_some() && group == self.mapped_group(b).map(|g| &g.group_id)
    }

    /// Over what a task is mapped, or the group around it.
    pub(super) fn mapping(&self, task: usize) -> Option<Mapping> {
        let group = || Some(Mapping::Product(self.mapped_group(task)?.mapping.clone()));
        self.spec.tasks[task].mapping.clone().or_else(group)
    }

    pub(super) fn sources(&self, task: usize) -> Vec<usize> {
        match self.mapping(task) {
            None => vec![],
            Some(Mapping::Keywords(source)) => outputs(&source)
                .into_iter()
                .map(|n| self.named(n))
                .collect(),
            Some(Mapping::Product(parameters)) => {
                let all = parameters.iter().flat_map(|p| outputs(&p.source));
                all.map(|n| self.named(n)).collect()
            }
        }
    }

    pub(super) fn directly_before(&self, task: usize) -> BTreeSet<usize> {
        let spec = &self.spec.tasks[task];
        let taken = spec.arguments.iter().filter_map(|argument| match argument {
            Argument::Output(name) => Some(name),
            _ => None,
        });
        let named = spec
            .upstream
            .iter()
            .chain(taken)
            .map(|name| self.named(name));
        named.chain(self.sources(task)).collect()
    }

    pub(super) fn all_before(&self, task: usize) -> BTreeSet<usize> {
        let direct = &self.upstream[task];
        let further = direct.iter().flat_map(|&up| self.all_before(up));
        direct.iter().copied().chain(further).collect()
    }

    pub(super) fn role(&self, task: usize) -> Role {
        self.spec.tasks[task].role
    }

    pub(super) fn is_teardown(&self, task: usize) -> bool {
        matches!(self.role(task), Role::Teardown { .. })
    }

    pub(super) fn downstream(&self, task: usize) -> Vec<usize> {
        let all = 0..self.spec.tasks.len();
        all.filter(|&t| self.upstream[t].contains(&task)).collect()
    }

    pub(super) fn rule(&self, task: usize) -> TriggerRule {
        match self.spec.tasks[task].trigger_rule {
            TriggerRule::AllSuccess if self.is_teardown(task) => TriggerRule::AllDoneSetupSuccess,
            rule => rule,
        }
    }

    /// Setups somewhere before a task that it needs: those without a teardown, and those one of whose
    /// teardowns comes after the task.
    pub(super) fn indirect_setups(&self, task: usize) -> Vec<usize> {
        let setups = self.ancestors[task]
            .iter()
            .copied()
            .filter(|&t| self.role(t) == Role::Setup);
        let needed = |&setup: &usize| {
            let ends: Vec<usize> = self
                .downstream(setup)
                .into_iter()
                .filter(|&t| self.is_teardown(t))
                .collect();
            ends.is_empty() || ends.iter().any(|&end| self.ancestors[end].contains(&task))
        };
        setups
            .filter(needed)
            .filter(|s| !self.upstream[task].contains(s))
            .collect()
    }

    /// What lies between a teardown's setups and itself; of what comes directly before it, its rule speaks.
    pub(super) fn scope(&self, teardown: usize) -> BTreeSet<usize> {
        let setups = self.upstream[teardown]
            .iter()
            .filter(|&&t| self.role(t) == Role::Setup);
        let between = |&setup: &usize| {
            let before = self.ancestors[teardown].iter().copied();
            before.filter(move |&t| self.ancestors[t].contains(&setup))
        };
        &setups.flat_map(between).collect::<BTreeSet<_>>() - &self.upstream[teardown]
    }
}
