//! What people do to runs: task instances cleared or marked, runs ended, runs moved to a newer version.
//!
//! A run that has ended is read back first; from then on it is like any other, and leaves the memory when it
//! has ended again.

use std::{collections::HashMap, sync::Arc};

use airlock_model::{
    dag::Dag,
    id::{BundleName, InstanceIndex, MapIndex, RunKey, TaskIndex},
    port::{
        ControlError, Repair, Repaired, Repin, RunRow, Selection, StoredRun, TaskFields, TaskRow,
    },
    run::{Mark, Moves, Run},
    state::{RunState, TaskState},
    time::Timestamp,
};

use super::{Engine, event::Reply};

/// The tasks on one side of a task.
type Near = fn(&airlock_model::dag::Task) -> &Vec<TaskIndex>;

/// A run as it was read back, with the definition that it is pinned to.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The run and its task instances.
    pub stored: StoredRun,
    /// Its definition.
    pub dag: Arc<Dag>,
    /// Its bundle.
    pub bundle: BundleName,
    /// Whether its DAG is paused.
    pub paused: bool,
}

/// A repair with the runs that it concerns.
#[derive(Debug)]
pub struct RepairOrder {
    /// The runs, as the database knows them; what is in memory counts instead.
    pub runs: Vec<Loaded>,
    /// Which of their task instances.
    pub selection: Selection,
    /// What is to become of them.
    pub repair: Repair,
    /// Change nothing, only tell.
    pub dry_run: bool,
}

impl Engine {
    /// Clears or marks; whoever asked hears of it when it is durable.
    pub(super) fn repair(
        &mut self,
        order: RepairOrder,
        reply: Reply<Vec<Repaired>>,
        now: Timestamp,
    ) {
        let mut told = Vec::new();
        for loaded in order.runs {
            let key = loaded.stored.run.key;
            let fresh = !self.runs.contains_key(&key);
            if fresh {
                self.take_back(loaded);
            }
            let which = self.select(key, &order.selection);
            if which.is_empty() || order.dry_run {
                told.extend(self.repaired(key, &which));
                if fresh {
                    self.let_go(key);
                }
                continue;
            }
            told.extend(self.repaired(key, &which));
            match order.repair {
                Repair::Clear { latest_version } => {
                    let which = match latest_version {
                        true => self.repin(key, which),
                        false => which,
                    };
                    self.clear(key, &which, now);
                }
                Repair::Mark(mark) => self.mark(key, &which, mark, now),
            }
        }
        self.pending.answer(reply, told);
    }

    /// Takes a run that has ended into memory, as it was.
    pub(super) fn take_back(&mut self, loaded: Loaded) {
        let Loaded {
            stored,
            dag,
            bundle,
            paused,
        } = loaded;
        let (row, run, tokens) = super::restore::rebuilt(stored, dag);
        self.hold_run(row, run, bundle, tokens, paused);
    }

    /// Forgets a run of which nothing was changed.
    fn let_go(&mut self, run: RunKey) {
        self.runs.remove(&run);
        self.admission.remove_run(run);
    }

    /// The task instances of a run that a selection means.
    fn select(&self, run: RunKey, selection: &Selection) -> Vec<InstanceIndex> {
        let Some(active) = self.runs.get(&run) else {
            return Vec::new();
        };
        let dag = active.run.dag();
        let mut wanted: Vec<bool> = dag
            .tasks()
            .iter()
            .map(|task| selection.task_ids.is_empty() || selection.task_ids.contains(&task.id))
            .collect();
        let named = wanted.clone();
        let around: [(bool, Near); 2] = [
            (selection.upstream, |task| &task.upstream),
            (selection.downstream, |task| &task.downstream),
        ];
        for (also, next) in around {
            let mut reach: Vec<usize> = match also {
                true => (0..named.len())
                    .filter(|&i| named.get(i) == Some(&true))
                    .collect(),
                false => Vec::new(),
            };
            let mut seen = vec![false; named.len()];
            while let Some(i) = reach.pop() {
                for near in dag
                    .tasks()
                    .get(i)
                    .map(|t| next(t).as_slice())
                    .unwrap_or_default()
                {
                    let near = near.get();
                    if seen
                        .get_mut(near)
                        .is_some_and(|seen| !std::mem::replace(seen, true))
                    {
                        if let Some(slot) = wanted.get_mut(near) {
                            *slot = true;
                        }
                        reach.push(near);
                    }
                }
            }
        }
        let fits = |at: &InstanceIndex| {
            let state = active.run.fields(*at).and_then(|fields| fields.state);
            let own = named.get(at.task.get()) == Some(&true);
            let indexed = !own
                || selection.map_indexes.is_empty()
                || selection.map_indexes.contains(&at.map_index);
            let failed = matches!(state, Some(TaskState::Failed | TaskState::UpstreamFailed));
            let running = state.is_some_and(|state| !state.is_terminal());
            wanted.get(at.task.get()) == Some(&true)
                && indexed
                && (!selection.only_failed || failed)
                && (!selection.only_running || running)
        };
        active.run.instances().into_iter().filter(fits).collect()
    }

    fn repaired(&self, run: RunKey, which: &[InstanceIndex]) -> Vec<Repaired> {
        let Some(active) = self.runs.get(&run) else {
            return Vec::new();
        };
        let told = |at: &InstanceIndex| {
            let (task, _) = active.run.dag().task(at.task)?;
            Some(Repaired {
                run_id: active.row.run_id.clone(),
                task_id: task.id.clone(),
                map_index: at.map_index,
                was: active.run.fields(*at)?.state,
            })
        };
        which.iter().filter_map(told).collect()
    }

    /// Clears task instances. A run that has ended is queued again.
    pub(super) fn clear(&mut self, run: RunKey, which: &[InstanceIndex], now: Timestamp) {
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let had_ended = active.run.state().is_terminal();
        for at in which {
            active.outputs.remove(at);
            active.elements.remove(at);
            self.pending.forget_xcoms(active.run.instance_key(*at));
        }
        active.run.clear(which, now, &mut moves);
        if had_ended {
            self.queue_again(run, now);
        }
        self.after_moves(run, &moves, now);
        if had_ended && let Some(dag) = self.runs.get(&run).map(|active| active.row.dag_id.clone())
        {
            self.start_waiting(&dag, now);
        }
    }

    /// A run that had ended waits for its turn once more.
    fn queue_again(&mut self, run: RunKey, now: Timestamp) {
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let row = &mut active.row;
        row.state = RunState::Queued;
        row.clear_number += 1;
        row.queued_at = now;
        (row.started_at, row.ended_at) = (None, None);
        active.has_turn = false;
        let paused = self
            .dags
            .get(&row.dag_id)
            .is_some_and(|state| state.live.paused);
        let (key, rank) = (row.key, active.run_rank());
        self.admission.add_run(key, rank, paused);
        self.pending.run(run);
        self.wait_for_turn(run);
    }

    fn mark(&mut self, run: RunKey, which: &[InstanceIndex], mark: Mark, now: Timestamp) {
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let had_ended = active.run.state().is_terminal();
        active.run.mark(which, mark, now, &mut moves);
        let ended = moves.ended.take();
        if !had_ended {
            moves.ended = ended;
            self.after_moves(run, &moves, now);
            return;
        }
        // What could not run because of what is good now gets its chance (Airflow 3.3.2, `DAG.set_task_instance_state`).
        active.row.state = active.run.state();
        self.pending.run(run);
        self.pending.left(run);
        self.pending.moved(run, &moves);
        let below: Vec<InstanceIndex> = match mark {
            Mark::Failed => Vec::new(),
            Mark::Success | Mark::Skipped => self.broken_below(run, which),
        };
        if !below.is_empty() {
            self.clear(run, &below, now);
        }
    }

    /// What comes after these and failed or could not run.
    fn broken_below(&self, run: RunKey, which: &[InstanceIndex]) -> Vec<InstanceIndex> {
        let names = which
            .iter()
            .filter_map(|at| Some(self.runs.get(&run)?.run.dag().task(at.task)?.0.id.clone()));
        let selection = Selection {
            task_ids: names.collect(),
            downstream: true,
            only_failed: true,
            ..Selection::default()
        };
        let found = self.select(run, &selection);
        found.into_iter().filter(|at| !which.contains(at)).collect()
    }

    /// Ends a run by hand.
    pub(super) fn mark_run(
        &mut self,
        loaded: Loaded,
        success: bool,
        reply: Reply<RunRow>,
        now: Timestamp,
    ) {
        let key = loaded.stored.run.key;
        if !self.runs.contains_key(&key) {
            self.take_back(loaded);
        }
        self.end_by_hand(key, success, now);
        match self.runs.get(&key).map(|active| active.row.clone()) {
            Some(row) => self.pending.answer(reply, row),
            None => drop(reply.send(Err(ControlError::ShuttingDown))),
        }
    }

    pub(super) fn end_by_hand(&mut self, run: RunKey, success: bool, now: Timestamp) {
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let was = active.run.state();
        active.run.mark_run(success, now, &mut moves);
        active.row.started_at.get_or_insert(now);
        if was.is_terminal() {
            active.row.state = active.run.state();
            self.pending.run(run);
            self.pending.left(run);
            moves.ended = None;
        }
        self.after_moves(run, &moves, now);
    }

    /// Moves a run to the newest version of its DAG, and gives the places there of what was selected. Tasks
    /// that are gone keep their history, as removed; new ones have yet to run (Airflow's semantics, 3.13).
    fn repin(&mut self, run: RunKey, which: Vec<InstanceIndex>) -> Vec<InstanceIndex> {
        let live = self
            .runs
            .get(&run)
            .and_then(|active| self.dags.get(&active.row.dag_id));
        let Some(live) = live.map(|state| state.live.clone()) else {
            return which;
        };
        let Some(active) = self.runs.get_mut(&run) else {
            return which;
        };
        if active.row.definition == live.dag.definition() && active.row.hash == live.hash {
            return which;
        }
        let old = Arc::clone(active.run.dag());
        let mut beyond = live.dag.tasks().len();
        let mut places: HashMap<TaskIndex, TaskIndex> = HashMap::new();
        for (i, task) in (0_u32..).zip(old.tasks()) {
            let to = live.dag.index_of(&task.id).unwrap_or_else(|| {
                beyond += 1;
                TaskIndex(u32::try_from(beyond - 1).unwrap_or(u32::MAX))
            });
            places.insert(TaskIndex(i), to);
        }
        let place = |at: InstanceIndex| InstanceIndex {
            task: places.get(&at.task).copied().unwrap_or(at.task),
            map_index: at.map_index,
        };
        let all = active.run.instances();
        let kept: Vec<(InstanceIndex, TaskFields)> = all
            .iter()
            .filter_map(|&at| Some((place(at), active.run.fields(at)?.clone())))
            .collect();
        let state = active.run.state();
        let returned = active
            .run
            .returned_lengths()
            .map(|(at, n)| (place(at), n))
            .collect();
        let logical_date = active.row.logical_date;
        active.run = Run::restore(
            Arc::clone(&live.dag),
            run,
            logical_date,
            state,
            kept,
            returned,
        );
        active.stored = std::mem::take(&mut active.stored)
            .into_iter()
            .map(|(at, t)| (place(at), t))
            .collect();
        active.outputs = std::mem::take(&mut active.outputs)
            .into_iter()
            .map(|(at, v)| (place(at), v))
            .collect();
        active.elements.clear();
        let (row, fresh) = (&mut active.row, live.dag.tasks());
        (row.hash, row.definition) = (live.hash, live.dag.definition());
        let added = (0_u32..)
            .zip(fresh)
            .filter(|(_, task)| old.index_of(&task.id).is_none());
        let added = added.map(|(i, task)| TaskRow {
            run,
            task: TaskIndex(i),
            task_id: task.id.clone(),
            map_index: MapIndex::UNMAPPED,
            pool: task.pool.clone(),
            pool_slots: live
                .dag
                .task(TaskIndex(i))
                .map_or(1, |(_, spec)| spec.pool_slots),
            priority: task.priority,
            fields: TaskFields::untouched(),
        });
        self.pending.repinned(Repin {
            run,
            hash: live.hash,
            definition: live.dag.definition(),
            moved: places
                .iter()
                .map(|(&from, &to)| (from, to))
                .filter(|(a, b)| a != b)
                .collect(),
            added: added.collect(),
        });
        let within = |at: &InstanceIndex| at.task.get() < live.dag.tasks().len();
        which.into_iter().map(place).filter(within).collect()
    }
}
