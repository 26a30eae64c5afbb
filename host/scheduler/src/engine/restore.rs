//! A restart: runs that have not ended come back as they were written.

use std::{collections::HashMap, sync::Arc};

use airlock_model::{
    dag::Dag,
    id::{BundleName, InstanceIndex, Token},
    port::{RunRow, StoredRun, TaskFields, TaskRow},
    run::{Moves, Run},
    state::RunState,
    time::Timestamp,
};

use super::{Engine, Timer, repin::Gone};

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
        let rebuilt = rebuilt(stored, dag);
        let (key, started) = (rebuilt.row.key, rebuilt.row.started_at);
        self.hold_rebuilt(rebuilt, bundle, paused);
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
        let dag_id = active.row.dag_id.clone();
        // One that comes back while its DAG is there has its place counted again.
        if self.dags.contains_key(&dag_id) {
            self.count_run(&dag_id, key);
        }
        let Some(active) = self.runs.get_mut(&key) else {
            return;
        };
        let mut moves = Moves::default();
        active.run.adopt(now, &mut moves);
        self.ask_averages_again(key);
        self.after_moves(key, &moves, now);
    }

    pub(super) fn hold_rebuilt(&mut self, rebuilt: Rebuilt, bundle: BundleName, paused: bool) {
        let Rebuilt {
            row,
            run,
            tokens,
            gone,
        } = rebuilt;
        let key = row.key;
        self.hold_run(row, run, bundle, tokens, paused);
        if let Some(active) = self.runs.get_mut(&key) {
            active.gone = gone;
        }
    }
}

/// A run as it was written.
pub(super) struct Rebuilt {
    row: RunRow,
    run: Run,
    /// The tokens that the database holds of it.
    tokens: HashMap<InstanceIndex, Token>,
    /// What it has of tasks that its version does not have.
    gone: HashMap<InstanceIndex, Gone>,
}

pub(super) fn rebuilt(stored: StoredRun, dag: Arc<Dag>) -> Rebuilt {
    let StoredRun {
        run: row,
        tasks,
        returned,
    } = stored;
    let beyond = |row: &&TaskRow| row.task.get() >= dag.tasks().len();
    let one = |row: &TaskRow| {
        let (task_id, fields) = (row.task_id.clone(), row.fields.clone());
        (row.index(), Gone { task_id, fields })
    };
    let gone = tasks.iter().filter(beyond).map(one).collect();
    let fields: Vec<(InstanceIndex, TaskFields)> = tasks
        .into_iter()
        .map(|row| (row.index(), row.fields))
        .collect();
    let claimed = fields.iter().filter(|(_, fields)| fields.token.get() > 0);
    let tokens = claimed.map(|(at, fields)| (*at, fields.token)).collect();
    let returned = returned.into_iter().collect();
    let mut run = Run::restore(dag, row.key, row.logical_date, row.state, fields, returned);
    run.end_as(row.ends_as);
    Rebuilt {
        row,
        run,
        tokens,
        gone,
    }
}
