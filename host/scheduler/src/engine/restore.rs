//! A restart: runs that have not ended come back as they were written.

use std::sync::Arc;

use airlock_model::{
    dag::Dag,
    id::BundleName,
    port::{StoredRun, TaskFields},
    run::{Moves, Run},
    state::RunState,
    time::Timestamp,
};

use super::{Engine, Timer};

impl Engine {
    /// Takes back a run that has not ended, with the DAG of the version that it is pinned to. Tries that were in
    /// flight are adopted: they run again as the same try, under a new token. To be called before the
    /// DAGs are imported, which count the runs that they find. `paused` is the DAG's own flag.
    pub fn restore(
        &mut self,
        stored: StoredRun,
        dag: Arc<Dag>,
        bundle: BundleName,
        paused: bool,
        now: Timestamp,
    ) {
        let StoredRun { run: row, tasks } = stored;
        let mut fields: Vec<Option<TaskFields>> = vec![None; dag.tasks().len()];
        for task in tasks {
            if let Some(slot) = fields.get_mut(task.task.get()) {
                *slot = Some(task.fields);
            }
        }
        let fields: Vec<TaskFields> = fields
            .into_iter()
            .map(|f| f.unwrap_or_else(TaskFields::untouched))
            .collect();
        let tokens = fields.iter().map(|f| f.token).collect();
        let key = row.key;
        let run = Run::restore(dag, key, row.logical_date, row.state, fields);
        let started = row.started_at;
        self.hold_run(row, run, bundle, tokens, paused);
        let Some(active) = self.runs.get_mut(&key) else {
            return;
        };
        if let (Some(timeout), Some(started), RunState::Running) = (
            active.run.dag().spec().dagrun_timeout,
            started,
            active.run.state(),
        ) {
            self.timers.push(std::cmp::Reverse((
                started.after(timeout),
                Timer::RunTimeout(key),
            )));
        }
        let mut moves = Moves::default();
        active.run.adopt(&mut moves);
        self.after_moves(key, &moves, now);
    }
}
