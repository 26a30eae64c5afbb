//! What keeps a task instance from starting, in words (Airflow's `tasks failed-deps`).

use super::{Run, instance::Past};
use crate::{id::InstanceIndex, state::TaskState, trigger_rule::Verdict};

impl Run {
    /// What a task instance without a state waits for: the name of the dependency as Airflow has it, and a
    /// sentence with names and numbers.
    #[must_use]
    pub fn unmet(&self, at: InstanceIndex) -> Vec<(&'static str, String)> {
        let (Some((task, _)), Some(instances)) =
            (self.dag.task(at.task), self.tasks.get(at.task.get()))
        else {
            return Vec::new();
        };
        let Some(instance) = instances.get(at.map_index) else {
            return Vec::new();
        };
        let mut unmet = Vec::new();
        let counts = instances.shared.plus(instance.own.as_deref());
        let rule = task.rule;
        if rule.verdict(&counts.upstream) != Verdict::Run {
            let up = counts.upstream;
            let missing = self.unfinished_of(&task.upstream);
            let mut text = format!(
                "the rule {rule} is not met: of {} upstream task instances {} succeeded, {} failed, {} could not run, {} were skipped, {} are gone",
                up.total, up.success, up.failed, up.upstream_failed, up.skipped, up.removed
            );
            if !missing.is_empty() {
                text.push_str(&format!("; not ended: {}", missing.join(", ")));
            }
            unmet.push(("Trigger Rule", text));
        }
        if counts.setups.success + counts.setups.removed < counts.setups.total {
            let missing = self.unfinished_of(&task.setups);
            unmet.push((
                "Setup",
                format!(
                    "it needs setups that have not succeeded: {}",
                    missing.join(", ")
                ),
            ));
        }
        if counts.scope_done < counts.scope {
            let missing = self.unfinished_of(&task.scope);
            let text = format!(
                "the teardown waits for what lies between its setups and itself: {}",
                missing.join(", ")
            );
            unmet.push(("Teardown", text));
        }
        if let Some(mapping) = self
            .dag
            .mapping(at.task)
            .filter(|_| at.map_index.get().is_none())
        {
            let missing = self.unfinished_of(&mapping.sources());
            if !missing.is_empty() {
                unmet.push((
                    "Task Mapped",
                    format!(
                        "it is mapped over what has not been returned: {}",
                        missing.join(", ")
                    ),
                ));
            }
        }
        if instance.past == Past::Asked {
            let text = "the task's instance in the run before has not succeeded, or that run has not come so far";
            unmet.push(("Previous Dagrun State", text.into()));
        }
        unmet
    }

    /// Tasks of these that have instances without an end, by name.
    fn unfinished_of(&self, tasks: &[crate::id::TaskIndex]) -> Vec<String> {
        let name = |task: &crate::id::TaskIndex| {
            let instances = self.tasks.get(task.get())?;
            let open = |state: Option<TaskState>| !state.is_some_and(TaskState::is_terminal);
            let states: Vec<_> = instances
                .all()
                .iter()
                .map(|i| i.fields.state)
                .filter(|&s| open(s))
                .collect();
            let state = states
                .first()?
                .map_or_else(|| "no state".into(), |s| s.to_string());
            Some(format!("`{}` ({state})", self.dag.task(*task)?.0.id))
        };
        tasks.iter().filter_map(name).collect()
    }
}
