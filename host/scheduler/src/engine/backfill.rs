//! Backfills: runs for a past that was not run, or is to be run again (Airflow's semantics, 3.13).
//!
//! All runs of a backfill are made when it begins, in its own order; they start as its own limit allows, and
//! their tasks stand in line behind those of all other runs of their team.

use std::collections::VecDeque;

use airlock_model::{
    id::{BackfillId, DagId, RunId, RunKey},
    port::{
        Backfill, BackfillChange, BackfillOrder, BackfillRun, Batch, ControlError, NewBackfill,
        RunRow,
    },
    state::{Reprocess, RunState, RunType},
    time::Timestamp,
    timetable::Answer,
};

use super::{AfterCommit, Engine, Loaded, event::Reply};

/// The most runs that one backfill may make.
const MAX_RUNS: usize = 20_000;

/// A backfill that is not completed.
#[derive(Debug)]
pub(super) struct BackfillState {
    pub(super) row: Backfill,
    /// Runs of it that have started and not ended.
    pub(super) running: u32,
    /// Runs of it that wait for their turn, the next first.
    pub(super) waiting: VecDeque<RunKey>,
    /// The first of its runs, which waits for no past (Airflow's semantics, 3.4).
    pub(super) first: Option<RunKey>,
    /// All its runs are made: it is completed when none of them is left to run.
    whole: bool,
}

/// A backfill that somebody wants, with the runs that are there already.
#[derive(Debug)]
pub struct BackfillRequest {
    /// What they want.
    pub new: NewBackfill,
    /// Runs of the DAG that stand for times from the first to the last.
    pub existing: Vec<RunRow>,
    /// Those of them that may have to be run again, with their task instances.
    pub loaded: Vec<Loaded>,
}

/// What somebody hears of their backfill.
pub type Told = (Backfill, Vec<BackfillRun>);

impl Engine {
    /// Backfills that were not completed when the host stopped, and the id that the next one gets. To be told
    /// before the runs are restored.
    pub fn restore_backfills(&mut self, backfills: Vec<Backfill>, next: BackfillId) {
        self.next_backfill = next;
        for row in backfills {
            let state = BackfillState {
                row,
                running: 0,
                waiting: VecDeque::new(),
                first: None,
                whole: true,
            };
            self.backfills.insert(state.row.id, state);
        }
    }

    pub(super) fn begin_backfill(
        &mut self,
        request: BackfillRequest,
        reply: Reply<Told>,
        now: Timestamp,
    ) {
        match self.backfilled(request, now) {
            Ok((told, true)) => drop(reply.send(Ok(told))),
            Ok(((row, told), false)) => self.pending.new_backfill(row, told, reply),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Begins a backfill, or (true) only says what it would do.
    fn backfilled(
        &mut self,
        request: BackfillRequest,
        now: Timestamp,
    ) -> Result<(Told, bool), ControlError> {
        let BackfillRequest {
            new,
            existing,
            loaded,
        } = request;
        let dry_run = new.dry_run;
        let row = self.check_backfill(&new, now)?;
        let state = self
            .dags
            .get(&new.dag_id)
            .ok_or(ControlError::NoSuchDag(new.dag_id.clone()))?;
        let Answer::Known(runs) = state.live.dag.timetable().between(new.from, new.to) else {
            return Err(refused("a custom timetable cannot be backfilled"));
        };
        let mut due: Vec<_> = runs.take(MAX_RUNS + 1).collect();
        if due.len() > MAX_RUNS {
            let text = format!("it would make more than {MAX_RUNS} runs; choose a shorter range");
            return Err(refused(&text));
        }
        if new.reverse {
            due.reverse();
        }
        let mut told = Vec::with_capacity(due.len());
        let mut first = None;
        if !dry_run {
            self.next_backfill = BackfillId(row.id.0 + 1);
            let state = BackfillState {
                row: row.clone(),
                running: 0,
                waiting: VecDeque::new(),
                first: None,
                whole: false,
            };
            self.backfills.insert(row.id, state);
        }
        let mut again: std::collections::HashMap<RunKey, Loaded> = loaded
            .into_iter()
            .map(|loaded| (loaded.stored.run.key, loaded))
            .collect();
        for (ordinal, due) in (1_u32..).zip(due) {
            let known = existing
                .iter()
                .find(|run| run.logical_date == Some(due.interval.0))
                .map(|run| self.newest(run));
            let mut line = BackfillRun {
                backfill: row.id,
                ordinal,
                logical_date: due.interval.0,
                interval: due.interval,
                run: known.as_ref().map(|run| run.key),
                skipped: known.as_ref().and_then(|run| skipped(run, new.reprocess)),
            };
            if line.skipped.is_some() {
                line.run = None;
            } else if !dry_run {
                line.run = match known.map(|run| (run.key, again.remove(&run.key))) {
                    Some((key, loaded)) => Some(self.run_again(key, loaded, row.id, now)),
                    None => self.backfill_run(&row, due.interval, due.run_after, now),
                };
                first = first.or(line.run);
            }
            told.push(line);
        }
        if !dry_run {
            if let Some(state) = self.backfills.get_mut(&row.id) {
                state.first = first;
                state.whole = true;
            }
            self.complete(row.id, now);
            self.start_waiting(&new.dag_id, now);
        }
        Ok(((row, told), dry_run))
    }

    fn check_backfill(&self, new: &NewBackfill, now: Timestamp) -> Result<Backfill, ControlError> {
        let state = self.dags.get(&new.dag_id);
        let live = &state
            .ok_or_else(|| ControlError::NoSuchDag(new.dag_id.clone()))?
            .live;
        if self.draining {
            return Err(ControlError::ShuttingDown);
        }
        let id = &new.dag_id;
        let fail = |text: String| Err(refused(&text));
        if !live.dag.timetable().is_periodic() {
            return fail(format!(
                "the schedule of DAG `{id}` is {}, which has no past to run; trigger runs of it instead",
                live.dag.timetable().describe()
            ));
        }
        if new.from > new.to {
            return fail(format!(
                "it would begin at {} and end before, at {}",
                new.from, new.to
            ));
        }
        if new.from > now {
            return fail(format!("it lies in the future: it begins at {}", new.from));
        }
        if new.max_active_runs == 0 {
            return fail("max_active_runs is 0; it must be at least 1".into());
        }
        if let Some(active) = self.backfills.values().find(|b| b.row.dag_id == *id) {
            return Err(one_at_a_time(id, Some(active.row.id)));
        }
        let past = live
            .dag
            .spec()
            .tasks
            .iter()
            .find(|t| t.depends_on_past || t.wait_for_downstream);
        if let Some(task) = past {
            let task = &task.task_id;
            if new.reverse {
                return fail(format!(
                    "task `{task}` depends on the past, so the runs cannot be made in reverse"
                ));
            }
            if new.reprocess == Reprocess::None {
                return fail(format!(
                    "task `{task}` depends on the past, so runs that are there have to be run again: choose a reprocess behaviour of failed or completed"
                ));
            }
        }
        let conf = super::dags::conf(&live.dag, new.conf.clone())?;
        Ok(Backfill {
            id: self.next_backfill,
            dag_id: id.clone(),
            team: live.team.clone(),
            from: new.from,
            to: new.to,
            reprocess: new.reprocess,
            reverse: new.reverse,
            max_active_runs: new.max_active_runs,
            conf,
            is_paused: false,
            created_at: now,
            completed_at: None,
        })
    }

    fn backfill_run(
        &mut self,
        backfill: &Backfill,
        interval: (Timestamp, Timestamp),
        run_after: Timestamp,
        now: Timestamp,
    ) -> Option<RunKey> {
        let run_id = RunId::new(format!("{}__{}", RunType::Backfill, interval.0)).ok()?;
        let run = super::runs::Wanted {
            run_id,
            run_type: RunType::Backfill,
            interval: Some(interval),
            run_after: run_after.min(now),
            conf: std::sync::Arc::clone(&backfill.conf),
            backfill: Some(backfill.id),
            note: None,
        };
        Some(self.create_run(&backfill.dag_id, run, now))
    }

    /// A run as it stands now: what is in memory counts instead of what was read, as that may have been cleared
    /// or have ended since.
    fn newest(&self, read: &RunRow) -> RunRow {
        match self.runs.get(&read.key) {
            Some(active) => RunRow {
                state: active.run.state(),
                ..active.row.clone()
            },
            None => read.clone(),
        }
    }

    /// A run that has ended belongs to the backfill now, and runs again.
    fn run_again(
        &mut self,
        key: RunKey,
        loaded: Option<Loaded>,
        backfill: BackfillId,
        now: Timestamp,
    ) -> RunKey {
        if let (false, Some(loaded)) = (self.runs.contains_key(&key), loaded) {
            self.take_back(loaded);
        }
        if let Some(active) = self.runs.get_mut(&key) {
            active.row.backfill = Some(backfill);
            active.row.run_type = RunType::Backfill;
            let all = active.run.instances();
            self.clear(key, &all, now);
        }
        key
    }

    /// Pauses, unpauses or cancels.
    pub(super) fn order_backfill(
        &mut self,
        id: BackfillId,
        order: BackfillOrder,
        reply: Reply<Backfill>,
        now: Timestamp,
    ) {
        let Some(state) = self.backfills.get_mut(&id) else {
            let text = format!(
                "backfill {} is not active; `airlock backfill list` shows what there is",
                id.0
            );
            drop(reply.send(Err(refused(&text))));
            return;
        };
        let dag_id = state.row.dag_id.clone();
        match order {
            BackfillOrder::Pause => state.row.is_paused = true,
            BackfillOrder::Unpause => state.row.is_paused = false,
            BackfillOrder::Cancel => {
                state.row.completed_at = Some(now);
                for run in std::mem::take(&mut state.waiting) {
                    self.end_by_hand(run, false, now);
                }
            }
        }
        let Some(state) = self.backfills.get(&id) else {
            return;
        };
        let row = state.row.clone();
        self.pending.backfill(BackfillChange {
            id,
            is_paused: row.is_paused,
            completed_at: row.completed_at,
        });
        if row.completed_at.is_some() && state.running == 0 {
            self.backfills.remove(&id);
        }
        self.start_waiting(&dag_id, now);
        self.pending.answer(reply, row);
    }

    /// Completes a backfill of which nothing is left to run.
    pub(super) fn complete(&mut self, id: BackfillId, now: Timestamp) {
        let Some(state) = self.backfills.get_mut(&id) else {
            return;
        };
        if state.running > 0 || !state.waiting.is_empty() || !state.whole {
            return;
        }
        let (is_paused, completed_at) = (state.row.is_paused, state.row.completed_at.or(Some(now)));
        self.backfills.remove(&id);
        self.pending.backfill(BackfillChange {
            id,
            is_paused,
            completed_at,
        });
    }

    /// The store refused these backfills, since others of their DAGs are there. They leave the memory, what is
    /// pending and the refused batch, and whoever wanted them hears of it. Their runs, which are to be
    /// [evicted](Engine::evict), go with them.
    pub fn refuse_backfills(
        &mut self,
        ids: &[BackfillId],
        batch: &mut Batch,
        after: &mut AfterCommit,
    ) -> Vec<RunKey> {
        for id in ids {
            self.backfills.remove(id);
        }
        let (gone, kept) = std::mem::take(&mut after.backfills)
            .into_iter()
            .partition(|((new, _), _)| ids.contains(&new.id));
        after.backfills = kept;
        let gone: Vec<(Told, Reply<Told>)> = gone;
        for ((new, _), reply) in gone {
            // Nobody may be waiting any more, which is their right.
            drop(reply.send(Err(one_at_a_time(&new.dag_id, None))));
        }
        batch
            .new_backfills
            .retain(|(new, _)| !ids.contains(&new.id));
        batch.backfills.retain(|change| !ids.contains(&change.id));
        self.pending.forget_backfills(ids);
        let of = |run: &&super::Active| run.row.backfill.is_some_and(|id| ids.contains(&id));
        self.runs
            .values()
            .filter(of)
            .map(|active| active.row.key)
            .collect()
    }

    /// Whether a run is the first of its backfill.
    pub(super) fn is_first_of_backfill(&self, run: RunKey) -> bool {
        self.backfills
            .values()
            .any(|state| state.first == Some(run))
    }

    /// The active backfill of a DAG.
    pub(super) fn backfills_of(&self, dag: &DagId) -> Vec<BackfillId> {
        let of = self
            .backfills
            .values()
            .filter(|state| state.row.dag_id == *dag);
        of.map(|state| state.row.id).collect()
    }
}

/// Why a run that is there already is left as it is.
fn skipped(run: &RunRow, reprocess: Reprocess) -> Option<String> {
    let name = &run.run_id;
    match (run.state, reprocess) {
        (RunState::Queued | RunState::Running, _) => {
            Some(format!("the run `{name}` of that time has not ended"))
        }
        (RunState::Failed, Reprocess::Failed | Reprocess::Completed)
        | (RunState::Success, Reprocess::Completed) => None,
        (state, _) => Some(format!(
            "there is a run `{name}` of that time, in state {state}"
        )),
    }
}

fn one_at_a_time(dag: &DagId, known: Option<BackfillId>) -> ControlError {
    let known = known.map_or_else(|| "a backfill".into(), |id| format!("backfill {}", id.0));
    refused(&format!(
        "DAG `{dag}` has {known} already, and one at a time is allowed; wait for it, or cancel it"
    ))
}

fn refused(text: &str) -> ControlError {
    ControlError::Refused(text.to_owned())
}
