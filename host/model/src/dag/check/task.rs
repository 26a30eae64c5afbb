//! The checks of one task: its id, numbers, upstream tasks, arguments and mapping.

use std::{collections::HashMap, time::Duration};

use super::{Check, group::Groups, not_json};
use crate::{
    dag::{
        Argument, Input, MAX_INSTANCES, Mapped, MappedGroup, MappedParameter, Mapping, Mistake,
        Role, Source, Task, TaskSpec, Values, index, mapping,
    },
    id::{PoolName, TaskId, TaskIndex},
    trigger_rule::TriggerRule,
};

type Names<'a> = HashMap<&'a str, TaskIndex>;

impl Check<'_> {
    pub(super) fn tasks(&mut self) -> (Vec<Task>, Vec<MappedGroup>) {
        let spec = self.spec;
        let mut names: Names<'_> = HashMap::with_capacity(spec.tasks.len());
        for (i, task) in spec.tasks.iter().enumerate() {
            if names.insert(&task.task_id, index(i)).is_some() {
                self.task_mistake(task, Mistake::DuplicateTask);
            }
        }
        let mut groups = self.groups(&names);
        let mut tasks: Vec<Task> = Vec::with_capacity(spec.tasks.len());
        for (i, task) in spec.tasks.iter().enumerate() {
            if let Some(checked) = self.task(index(i), task, &names, &mut groups) {
                tasks.push(checked);
            }
        }
        if tasks.len() == spec.tasks.len() {
            link(&mut tasks, &groups.mapped);
        }
        (tasks, groups.mapped)
    }

    fn task(
        &mut self,
        at: TaskIndex,
        task: &TaskSpec,
        names: &Names<'_>,
        groups: &mut Groups<'_>,
    ) -> Option<Task> {
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
        self.numbers(task);
        self.task_callbacks(task);
        let rule = self.rule(task);
        let mut upstream = Vec::with_capacity(task.upstream.len());
        for name in &task.upstream {
            match names.get(name.as_str()) {
                Some(&up) => upstream.push(up),
                None => self.task_mistake(task, Mistake::UnknownUpstream(name.clone())),
            }
        }
        let group = match groups.around(task.group.as_deref()) {
            Ok(group) => group,
            Err(unknown) => {
                self.task_mistake(task, Mistake::UnknownGroup(unknown));
                None
            }
        };
        let mapping = task.mapping.as_ref().and_then(|mapping| {
            if group.is_some() {
                self.task_mistake(task, Mistake::MappedInMapped);
            }
            let told = |check: &mut Self, mistake| check.task_mistake(task, mistake);
            self.mapping(mapping, names, told)
        });
        let around = group.and_then(|group| groups.mapped.get(group.0));
        let sources = mapping.iter().chain(around.map(|group| &group.mapping));
        sources.for_each(|mapping| upstream.extend(mapping.sources()));
        let over = mapping.as_ref().or(around.map(|group| &group.mapping));
        let arguments = self.arguments(task, names, over, &mut upstream);
        upstream.sort_unstable();
        upstream.dedup();
        if self.errors.len() > before {
            return None;
        }
        if let Some(group) = group.and_then(|group| groups.mapped.get_mut(group.0)) {
            group.tasks.push(at);
        }
        Some(Task {
            id: id?,
            pool: pool?,
            arguments,
            upstream,
            downstream: Vec::new(),
            priority: 0,
            rule,
            mapping,
            group,
            is_source: false,
            setups: Vec::new(),
            guards: Vec::new(),
            scope: Vec::new(),
            closes: Vec::new(),
            is_leaf: false,
        })
    }

    fn numbers(&mut self, task: &TaskSpec) {
        if task.pool_slots == 0 {
            self.out_of_range(task, "pool_slots", "0", "at least 1");
        }
        for (field, value) in [
            ("max_active_tis_per_dag", task.max_active_tis_per_dag),
            ("max_active_tis_per_dagrun", task.max_active_tis_per_dagrun),
        ] {
            if value == Some(0) {
                self.out_of_range(task, field, "0", "at least 1");
            }
        }
        let backoff = task.retry_exponential_backoff;
        if !(backoff.is_finite() && backoff >= 0.0) {
            let allowed = "a finite number, zero or more";
            self.out_of_range(
                task,
                "retry_exponential_backoff",
                &backoff.to_string(),
                allowed,
            );
        }
        if task.execution_timeout == Some(Duration::ZERO) {
            self.out_of_range(task, "execution_timeout", "0", "longer");
        }
    }

    /// A teardown has a rule of its own; a DAG that fails fast allows only the usual one besides
    /// (Airflow 3.3.2, `airflow/sdk/exceptions.py`, `FailFastDagInvalidTriggerRule`).
    fn rule(&mut self, task: &TaskSpec) -> TriggerRule {
        let rule = match (task.role, task.trigger_rule) {
            (Role::Teardown { .. }, TriggerRule::AllSuccess) => TriggerRule::AllDoneSetupSuccess,
            (_, rule) => rule,
        };
        let usual = matches!(
            rule,
            TriggerRule::AllSuccess | TriggerRule::AllDoneSetupSuccess
        );
        if self.spec.fail_fast && !usual {
            self.task_mistake(task, Mistake::FailFastRule(rule));
        }
        rule
    }

    fn arguments(
        &mut self,
        task: &TaskSpec,
        names: &Names<'_>,
        mapping: Option<&Mapped>,
        upstream: &mut Vec<TaskIndex>,
    ) -> Vec<Input> {
        let mut arguments = Vec::with_capacity(task.arguments.len());
        for (i, argument) in task.arguments.iter().enumerate() {
            match argument {
                Argument::Literal(json) => match not_json(json) {
                    None => arguments.push(Input::Literal(json.as_str().into())),
                    Some(reason) => {
                        let field = format!("arguments[{i}]");
                        self.task_mistake(task, Mistake::NotJson { field, reason });
                    }
                },
                Argument::Output(name) => match names.get(name.as_str()) {
                    Some(&up) => {
                        upstream.push(up);
                        arguments.push(Input::Output(up));
                    }
                    None => self.task_mistake(task, Mistake::UnknownUpstream(name.clone())),
                },
                Argument::Mapped(name) if mapping.is_some_and(|mapping| mapping.gives(name)) => {
                    arguments.push(Input::Mapped(name.as_str().into()));
                }
                Argument::Mapped(name) => {
                    self.task_mistake(task, Mistake::UnknownParameter(name.clone()));
                }
            }
        }
        arguments
    }

    pub(super) fn mapping(
        &mut self,
        mapping: &Mapping,
        names: &Names<'_>,
        told: impl Fn(&mut Self, Mistake),
    ) -> Option<Mapped> {
        let before = self.errors.len();
        let mapped = match mapping {
            Mapping::Product(parameters) => self.product(parameters, names, &told),
            Mapping::Keywords(source) => self
                .values(source, "expand_kwargs", names, &told)
                .map(Mapped::Keywords),
        };
        let most = u64::from(MAX_INSTANCES);
        let length = mapped.as_ref().and_then(|mapped| mapped.length(|_| None));
        if let Some(length) = length.filter(|&length| length > most) {
            told(self, Mistake::TooManyInstances(length));
        }
        mapped.filter(|_| self.errors.len() == before)
    }

    pub(super) fn product(
        &mut self,
        parameters: &[MappedParameter],
        names: &Names<'_>,
        told: &impl Fn(&mut Self, Mistake),
    ) -> Option<Mapped> {
        if parameters.is_empty() {
            told(self, Mistake::MappedOverNothing);
        }
        let mut values = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            let found = self.values(&parameter.source, &parameter.name, names, told);
            values.push((parameter.name.as_str().into(), found?));
        }
        Some(Mapped::Product(values))
    }

    fn values(
        &mut self,
        source: &Source,
        field: &str,
        names: &Names<'_>,
        told: &impl Fn(&mut Self, Mistake),
    ) -> Option<Values> {
        match source {
            Source::Literal(json) => match mapping::elements(json) {
                Some(elements) => Some(Values::Literal(elements.into())),
                None => {
                    told(self, Mistake::NotMappable(field.to_owned()));
                    None
                }
            },
            Source::Output(name) => match names.get(name.as_str()) {
                Some(&task) => Some(Values::Output(task)),
                None => {
                    told(self, Mistake::UnknownUpstream(name.clone()));
                    None
                }
            },
            Source::Zip { sources, fill } => {
                let flat = !sources.iter().any(|s| matches!(s, Source::Zip { .. }));
                if sources.is_empty()
                    || !flat
                    || fill.as_deref().is_some_and(|f| not_json(f).is_some())
                {
                    told(self, Mistake::NotMappable(field.to_owned()));
                    return None;
                }
                let sources: Option<Vec<Values>> = sources
                    .iter()
                    .map(|s| self.values(s, field, names, told))
                    .collect();
                Some(Values::Zip {
                    sources: sources?,
                    fill: fill.as_deref().map(Into::into),
                })
            }
        }
    }
}

/// Downstream tasks, and who is mapped over whom.
fn link(tasks: &mut [Task], groups: &[MappedGroup]) {
    for i in 0..tasks.len() {
        let task = tasks.get(i);
        let upstream = task.map(|t| t.upstream.clone()).unwrap_or_default();
        for up in upstream {
            if let Some(up) = tasks.get_mut(up.get()) {
                up.downstream.push(index(i));
            }
        }
    }
    let over = tasks.iter().filter_map(|t| t.mapping.as_ref());
    let over = over.chain(groups.iter().map(|group| &group.mapping));
    let sources: Vec<TaskIndex> = over.flat_map(Mapped::sources).collect();
    for source in sources {
        if let Some(task) = tasks.get_mut(source.get()) {
            task.is_source = true;
        }
    }
}
