//! Why a task instance does not run (Airflow's `tasks failed-deps`).

use airlock_model::{
    id::{InstanceIndex, PoolName, Scope, TaskInstanceKey},
    port::FailedDep,
    state::{RunState, TaskState},
    time::Timestamp,
};

use super::{Active, Engine};

fn dep(dependency: &'static str, reason: String) -> FailedDep {
    FailedDep { dependency, reason }
}

impl Engine {
    /// Everything that keeps a task instance from running now, of a run that has not ended.
    pub(super) fn why(&self, key: TaskInstanceKey, now: Timestamp) -> Vec<FailedDep> {
        let Some(active) = self.runs.get(&key.run) else {
            let text = "the run has ended; clear the task to run it again";
            return vec![dep("Dagrun Running", text.into())];
        };
        let at = key.index();
        let mut deps = self.run_deps(active, now);
        deps.extend(active.instance_deps(at, now));
        let scheduled = active.run.fields(at).and_then(|f| f.state) == Some(TaskState::Scheduled);
        if scheduled {
            deps.extend(self.slot_deps(active, at));
        }
        deps
    }

    fn run_deps(&self, active: &Active, now: Timestamp) -> Vec<FailedDep> {
        let mut deps = Vec::new();
        let row = &active.row;
        let state = self.dags.get(&row.dag_id);
        if state.is_some_and(|state| state.live.paused) {
            let text = format!("the DAG `{}` is paused", row.dag_id);
            deps.push(dep("Dag Not Paused", text));
            return deps;
        }
        if active.run.state() != RunState::Queued {
            return deps;
        }
        let backfill = row.backfill.and_then(|id| self.backfills.get(&id));
        let text = match (backfill, state) {
            _ if row.run_after > now => format!("the run waits until {}", row.run_after),
            (Some(backfill), _) if backfill.row.is_paused => {
                format!("the run waits: backfill {} is paused", backfill.row.id.0)
            }
            (Some(backfill), _) => format!(
                "the run waits: {} of the {} runs that backfill {} may have at once are running",
                backfill.running, backfill.row.max_active_runs, backfill.row.id.0
            ),
            (None, Some(state)) => format!(
                "the run waits: {} of the {} runs that max_active_runs allows are running",
                state.running,
                state.live.dag.max_active_runs()
            ),
            (None, None) => "the run waits: its DAG is gone from its bundle".into(),
        };
        deps.push(dep("Dagrun Running", text));
        deps
    }

    /// What a task instance that is ready waits for.
    fn slot_deps(&self, active: &Active, at: InstanceIndex) -> Vec<FailedDep> {
        let Some((task, spec)) = active.run.dag().task(at.task) else {
            return Vec::new();
        };
        let mut deps = Vec::new();
        if active.is_outside(at) {
            let limits = [
                ("max_active_tis_per_dagrun", spec.max_active_tis_per_dagrun),
                ("max_active_tis_per_dag", spec.max_active_tis_per_dag),
            ];
            let limits = limits
                .iter()
                .filter_map(|(n, l)| Some(format!("{n} of {}", (*l)?)));
            let limits = limits.collect::<Vec<_>>().join(" or ");
            let text = format!("as many instances of it are on their way as its {limits} allows");
            deps.push(dep("Task Concurrency", text));
        }
        let in_run = active.in_flight.len();
        let most = active.run.dag().max_active_tasks();
        if in_run >= most as usize {
            let text = format!(
                "{in_run} tasks of the run are on their way, as many as max_active_tasks allows"
            );
            deps.push(dep("Max Active Tasks", text));
        }
        if let Some((slots, used, name)) = self.pool_of(active, &task.pool)
            && slots.is_some_and(|slots| used + spec.pool_slots > slots)
        {
            let text = format!(
                "it wants {} slots of pool `{name}`, of whose {} slots {used} are taken",
                spec.pool_slots,
                slots.unwrap_or_default()
            );
            deps.push(dep("Pool Slots Available", text));
        }
        let (running, ready) = self.admission.load(active.team);
        if deps.is_empty() {
            let text = format!(
                "it is ready and waits for a slot behind others: {running} tries of its team are on their way, {ready} task instances wait, and all teams share {} slots",
                self.options.parallelism
            );
            deps.push(dep("Executor Slots", text));
        }
        deps
    }

    fn pool_of<'a>(
        &self,
        active: &Active,
        name: &'a PoolName,
    ) -> Option<(Option<u32>, u32, &'a PoolName)> {
        let own = (Scope::Team(active.row.team.clone()), name.clone());
        let index = self
            .pools
            .get(&own)
            .or_else(|| self.pools.get(&(Scope::Global, name.clone())))?;
        Some((
            self.admission.slots(*index),
            self.admission.used(*index),
            name,
        ))
    }
}

impl Active {
    /// What the rules say about an instance that is not ready.
    fn instance_deps(&self, at: InstanceIndex, now: Timestamp) -> Vec<FailedDep> {
        let Some(fields) = self.run.fields(at) else {
            return vec![dep(
                "Task Instance Exists",
                "there is no such task instance in the run".into(),
            )];
        };
        match fields.state {
            None => self
                .run
                .unmet(at)
                .into_iter()
                .map(|(name, why)| dep(name, why))
                .collect(),
            Some(TaskState::Scheduled) => Vec::new(),
            Some(TaskState::UpForRetry) => {
                let due = fields.next_try_at.filter(|due| *due > now);
                due.map(|due| dep("Not In Retry Period", format!("it is tried again at {due}")))
                    .into_iter()
                    .collect()
            }
            Some(TaskState::UpForReschedule) => {
                let due = fields.next_try_at.filter(|due| *due > now);
                due.map(|due| dep("Ready To Reschedule", format!("it looks again at {due}")))
                    .into_iter()
                    .collect()
            }
            Some(TaskState::Deferred) => {
                let deferred = fields.deferred.as_deref();
                let text = deferred.map(|deferred| format!("it waits for {deferred}"));
                text.map(|text| dep("Trigger Fired", text))
                    .into_iter()
                    .collect()
            }
            Some(state) => vec![dep(
                "Task Instance State",
                format!("it is in state {state} already"),
            )],
        }
    }
}
