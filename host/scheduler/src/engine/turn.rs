//! Which runs start when: those of a DAG up to its `max_active_runs`, and each backfill's up to its own
//! (Airflow's semantics, 3.6).

use airlock_model::{
    id::{BackfillId, DagId, RunKey},
    port::ControlError,
    state::RunState,
    time::Timestamp,
};

use super::{Engine, event::Reply};

impl Engine {
    /// A queued run waits behind those that wait already.
    pub(super) fn wait_for_turn(&mut self, run: RunKey) {
        let Some(row) = self.runs.get(&run).map(|active| &active.row) else {
            return;
        };
        let backfill = row.backfill.and_then(|id| self.backfills.get_mut(&id));
        match (backfill, self.dags.get_mut(&row.dag_id)) {
            (Some(backfill), _) => backfill.waiting.push_back(run),
            (None, Some(state)) => state.waiting.push_back(run),
            (None, None) => {}
        }
    }

    /// A queued run no longer waits.
    pub(super) fn leave_queue(&mut self, run: RunKey) {
        let Some(row) = self.runs.get(&run).map(|active| &active.row) else {
            return;
        };
        if let Some(backfill) = row.backfill.and_then(|id| self.backfills.get_mut(&id)) {
            backfill.waiting.retain(|&key| key != run);
        }
        if let Some(state) = self.dags.get_mut(&row.dag_id) {
            state.waiting.retain(|&key| key != run);
        }
    }

    /// Counts the runs of a DAG that are in memory, as after a restart.
    pub(super) fn count_runs(&mut self, dag: &DagId) {
        let mut runs: Vec<(Timestamp, RunKey)> = self
            .runs
            .values()
            .filter(|active| active.row.dag_id == *dag)
            .map(|active| {
                let at = active.row.logical_date.unwrap_or(active.row.run_after);
                (at, active.row.key)
            })
            .collect();
        runs.sort_unstable();
        for (_, run) in runs {
            self.count_run(dag, run);
        }
    }

    /// Counts a run that is in memory where it has or waits for its turn.
    pub(super) fn count_run(&mut self, dag: &DagId, run: RunKey) {
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let state = active.run.state();
        let backfill = active.row.backfill;
        let open = backfill.filter(|id| self.backfills.contains_key(id));
        (active.has_turn, active.turn_of) = (state == RunState::Running, open);
        let backfill = open.and_then(|id| self.backfills.get_mut(&id));
        match (state, backfill, self.dags.get_mut(dag)) {
            (RunState::Running, Some(backfill), _) => backfill.running += 1,
            (RunState::Running, None, Some(state)) => state.running += 1,
            (RunState::Queued, Some(backfill), _) if backfill.row.reverse => {
                backfill.waiting.push_front(run);
            }
            (RunState::Queued, Some(backfill), _) => backfill.waiting.push_back(run),
            (RunState::Queued, None, Some(state)) => state.waiting.push_back(run),
            _ => {}
        }
    }

    /// Starts the oldest runs that wait, as far as their DAG and their backfill allow.
    pub(super) fn start_waiting(&mut self, dag: &DagId, now: Timestamp) {
        while let Some(run) = self.next_of_dag(dag, now) {
            self.start_run(run, now);
        }
        for backfill in self.backfills_of(dag) {
            while let Some(run) = self.next_of_backfill(dag, backfill) {
                self.start_run(run, now);
            }
            // As when the host died between the end of its last run and its own.
            self.complete(backfill, now);
        }
    }

    fn next_of_dag(&mut self, dag: &DagId, now: Timestamp) -> Option<RunKey> {
        let state = self.dags.get_mut(dag)?;
        let full = state.running >= state.live.dag.max_active_runs();
        if state.live.paused || full || self.draining {
            return None;
        }
        let due = |key: &RunKey| self.runs.get(key).is_some_and(|a| a.row.run_after <= now);
        let at = state.waiting.iter().position(due)?;
        let run = state.waiting.remove(at)?;
        state.running += 1;
        self.take_turn(run, None)
    }

    fn take_turn(&mut self, run: RunKey, of: Option<BackfillId>) -> Option<RunKey> {
        let active = self.runs.get_mut(&run)?;
        (active.has_turn, active.turn_of) = (true, of);
        Some(run)
    }

    fn next_of_backfill(&mut self, dag: &DagId, id: BackfillId) -> Option<RunKey> {
        let paused = self.dags.get(dag)?.live.paused;
        let backfill = self.backfills.get_mut(&id)?;
        let full = backfill.running >= backfill.row.max_active_runs;
        // Of one that was cancelled only what somebody cleared since waits, and nobody can unpause that one.
        let held = backfill.row.is_paused && backfill.row.completed_at.is_none();
        if paused || held || full || self.draining {
            return None;
        }
        let run = backfill.waiting.pop_front()?;
        backfill.running += 1;
        self.take_turn(run, Some(id))
    }

    /// A run has ended or was evicted: its place is free for the next.
    pub(super) fn run_left(&mut self, dag: &DagId, run: RunKey, now: Timestamp) {
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let backfill = active.row.backfill;
        if std::mem::take(&mut active.has_turn) {
            // Its backfill may have been refused meanwhile, and then there is nothing to give back.
            match active.turn_of {
                Some(id) => {
                    if let Some(backfill) = self.backfills.get_mut(&id) {
                        backfill.running = backfill.running.saturating_sub(1);
                    }
                }
                None => {
                    if let Some(state) = self.dags.get_mut(dag) {
                        state.running = state.running.saturating_sub(1);
                    }
                }
            }
        } else {
            self.leave_queue(run);
        }
        if let Some(id) = backfill {
            self.complete(id, now);
        }
        self.start_waiting(dag, now);
        self.plan(dag, now);
    }

    /// Forgets a DAG that is about to be deleted.
    pub(super) fn forget_dag(&mut self, dag: &DagId, reply: Reply<()>, now: Timestamp) {
        let answer = self.idle(dag, "delete it");
        if answer.is_ok() {
            self.dags.remove(dag);
            self.progress.remove(dag);
            self.assets.forget(dag);
            self.forget_deadlines_of(dag);
            self.reconcile_watchers(None, now);
        }
        // Nobody may be waiting any more, which is their right.
        drop(reply.send(answer));
    }

    /// A DAG makes no more runs until a bundle brings it again; then it goes on after the last one.
    pub(super) fn release_dag(&mut self, dag: &DagId, reply: Reply<()>, now: Timestamp) {
        let answer = self.idle(dag, "transfer it");
        if answer.is_ok() {
            self.dags.remove(dag);
            self.assets.forget(dag);
            self.forget_deadlines_of(dag);
            self.reconcile_watchers(None, now);
        }
        // Nobody may be waiting any more, which is their right.
        drop(reply.send(answer));
    }

    fn idle(&self, dag: &DagId, then: &str) -> Result<(), ControlError> {
        let unfinished = self.runs.values();
        let unfinished = unfinished.filter(|active| active.row.dag_id == *dag);
        match unfinished.count() {
            0 => Ok(()),
            count => Err(ControlError::Refused(format!(
                "DAG `{dag}` has {count} runs that have not ended; wait for them or mark them failed, then {then}"
            ))),
        }
    }
}
