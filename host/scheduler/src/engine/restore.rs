//! A restart: runs that have not ended come back as they were written.

use std::{collections::HashMap, sync::Arc};

use airlock_model::{
    dag::Dag,
    id::{BundleName, InstanceIndex, Token},
    port::{RunRow, StoredRun, TaskFields},
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
        let (row, run, tokens) = rebuilt(stored, dag);
        let key = row.key;
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
        active.run.adopt(now, &mut moves);
        self.after_moves(key, &moves, now);
    }
}

/// A run as it was written, and the tokens that the database holds of it.
pub(super) fn rebuilt(
    stored: StoredRun,
    dag: Arc<Dag>,
) -> (RunRow, Run, HashMap<InstanceIndex, Token>) {
    let StoredRun {
        run: row,
        tasks,
        returned,
    } = stored;
    let fields: Vec<(InstanceIndex, TaskFields)> = tasks
        .into_iter()
        .map(|row| (row.index(), row.fields))
        .collect();
    let claimed = fields.iter().filter(|(_, fields)| fields.token.get() > 0);
    let tokens = claimed.map(|(at, fields)| (*at, fields.token)).collect();
    let returned = returned.into_iter().collect();
    let run = Run::restore(dag, row.key, row.logical_date, row.state, fields, returned);
    (row, run, tokens)
}
