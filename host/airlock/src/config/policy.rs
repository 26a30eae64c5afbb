//! `[team.bundle.policy]`: what an operator demands of a bundle's DAGs.

use std::time::Duration;

use airlock_scheduler::policy::{DagPolicy, IdPattern};

use super::{
    document::{Node, Value},
    section::section,
    value::{Bases, Setting, quoted, wrong_value},
};

section! {
    /// What every DAG of the bundle has to keep; a DAG that breaks a rule is an import error that names the rule,
    /// and the bundle's other DAGs are live. What is unset allows everything.
    Policy in "[team.bundle.policy]" {
        /// What a `dag_id` must match, as a whole.
        dag_id_regex: Option<IdPattern> = None;
        /// Tags that every DAG must have, all of them.
        required_tags: Vec<String> = Vec::new();
        /// Owners of whom every DAG must have at least one.
        required_owners: Vec<String> = Vec::new();
        /// Whether every DAG must have a description.
        description_required: bool = false;
        /// Tasks of one DAG.
        max_tasks: Option<u32> = None, in Some(1)..=Some(20_000);
        /// Runs of one DAG at once. A DAG that does not say gets at most as many.
        max_active_runs: Option<u32> = None, in Some(1)..=Some(100_000);
        /// Tasks at once in one run. A DAG that does not say gets at most as many.
        max_active_tasks: Option<u32> = None, in Some(1)..=Some(100_000);
        /// The longest `dagrun_timeout`; every DAG must have one.
        max_dagrun_timeout: Option<Duration> = None;
        /// The longest `execution_timeout`; every task must have one.
        max_execution_timeout: Option<Duration> = None;
        /// Tries of a task after the first.
        max_retries: Option<u32> = None;
        /// The pools that tasks may name. A task that names none is in `default_pool`.
        allowed_pools: Option<Vec<String>> = None;
        /// Whether a DAG with `catchup` is refused.
        catchup_forbidden: bool = false;
    }
}

impl Policy {
    /// As the importer takes it.
    pub(crate) fn rules(&self, dag_id_prefix: Option<&str>) -> DagPolicy {
        DagPolicy {
            dag_id_prefix: dag_id_prefix.map(str::to_owned),
            dag_id_regex: self.dag_id_regex.clone(),
            required_tags: self.required_tags.clone(),
            required_owners: self.required_owners.clone(),
            description_required: self.description_required,
            max_tasks: self.max_tasks,
            max_active_runs: self.max_active_runs,
            max_active_tasks: self.max_active_tasks,
            max_dagrun_timeout: self.max_dagrun_timeout,
            max_execution_timeout: self.max_execution_timeout,
            max_retries: self.max_retries,
            allowed_pools: self.allowed_pools.clone(),
            catchup_forbidden: self.catchup_forbidden,
        }
    }
}

impl Setting for IdPattern {
    const KIND: &'static str = "regular expression";
    fn read(node: &Node, _: &Bases) -> Result<Self, String> {
        let wanted = "a regular expression without look-around and back-references, such as \"payments_[a-z_]+\"";
        match &node.value {
            Value::Text(text) => Self::new(text).map_err(|_| wrong_value(node, wanted)),
            _ => Err(wrong_value(node, wanted)),
        }
    }
    fn show(&self) -> String {
        quoted(self.as_str())
    }
}
