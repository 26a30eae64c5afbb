//! What people do to runs: task instances cleared or marked, runs ended, runs moved to a newer version.
//!
//! A run that has ended is read back first; from then on it is like any other, and leaves the memory when it
//! has ended again.

use std::{collections::HashSet, sync::Arc};

use airlock_model::{
    dag::Dag,
    id::{BundleName, InstanceIndex, MapIndex, RunKey, TaskIndex},
    port::{ControlError, Repair, Repaired, RunRow, Selection, StoredRun},
    run::{Mark, Moves},
    state::{RunState, TaskState},
    time::Timestamp,
};

use super::{Engine, deadlines::Moment, event::Reply};

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

/// Which instances of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    None,
    Some(HashSet<MapIndex>),
    All,
}

impl Part {
    fn also(&mut self, instance: Option<MapIndex>) {
        match (&mut *self, instance) {
            (Self::All, _) => {}
            (_, None) => *self = Self::All,
            (Self::None, Some(one)) => *self = Self::Some(HashSet::from([one])),
            (Self::Some(some), Some(one)) => drop(some.insert(one)),
        }
    }

    fn has(&self, instance: MapIndex) -> bool {
        match self {
            Self::None => false,
            Self::Some(some) => some.contains(&instance),
            Self::All => true,
        }
    }
}

impl Engine {
    /// Clears or marks; whoever asked hears of it when it is durable.
    pub(super) fn repair(
        &mut self,
        order: RepairOrder,
        reply: Reply<Vec<Repaired>>,
        now: Timestamp,
    ) {
        if let Repair::Clear {
            latest_version: true,
        } = order.repair
            && let Some(run) = order.runs.iter().find_map(|loaded| self.unmovable(loaded))
        {
            drop(reply.send(Err(ControlError::Refused(format!(
                "the run `{run}` is running, and the newest version of its DAG has its tasks in other places; wait until it has ended or mark it as failed, and clear it then"
            )))));
            return;
        }
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
        let rebuilt = super::restore::rebuilt(stored, dag);
        self.hold_rebuilt(rebuilt, bundle, paused);
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
        let mut named: Vec<Part> = vec![Part::None; dag.tasks().len()];
        for (task, instance) in &selection.tasks {
            if let Some(part) = dag
                .index_of(task)
                .and_then(|place| named.get_mut(place.get()))
            {
                part.also(*instance);
            }
        }
        if selection.tasks.is_empty() {
            named.fill(Part::All);
        }
        let mut reached = vec![false; named.len()];
        let around: [(bool, Near); 2] = [
            (selection.upstream, |task| &task.upstream),
            (selection.downstream, |task| &task.downstream),
        ];
        for (also, next) in around {
            let mut reach: Vec<usize> = match also {
                true => (0..named.len())
                    .filter(|&i| named.get(i) != Some(&Part::None))
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
                        if let Some(slot) = reached.get_mut(near) {
                            *slot = true;
                        }
                        reach.push(near);
                    }
                }
            }
        }
        let fits = |at: &InstanceIndex| {
            let state = active.run.fields(*at).and_then(|fields| fields.state);
            let place = at.task.get();
            let meant = reached.get(place) == Some(&true)
                || named.get(place).is_some_and(|part| part.has(at.map_index));
            let failed = matches!(state, Some(TaskState::Failed | TaskState::UpstreamFailed));
            let running = state.is_some_and(|state| !state.is_terminal());
            meant && (!selection.only_failed || failed) && (!selection.only_running || running)
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
        self.count_deadlines(run, Moment::QueuedAgain, now);
        self.tell_of_run(run);
        self.wait_for_turn(run);
    }

    pub(super) fn mark(
        &mut self,
        run: RunKey,
        which: &[InstanceIndex],
        mark: Mark,
        now: Timestamp,
    ) {
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
        let tasks: HashSet<TaskIndex> = which.iter().map(|at| at.task).collect();
        let names = tasks
            .iter()
            .filter_map(|&task| Some(self.runs.get(&run)?.run.dag().task(task)?.0.id.clone()));
        let selection = Selection {
            tasks: names.map(|name| (name, None)).collect(),
            downstream: true,
            only_failed: true,
            ..Selection::default()
        };
        let found = self.select(run, &selection);
        found
            .into_iter()
            .filter(|at| !tasks.contains(&at.task))
            .collect()
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
        self.pending.run(run);
        if was.is_terminal() {
            active.row.state = active.run.state();
            self.pending.left(run);
            moves.ended = None;
        }
        self.after_moves(run, &moves, now);
    }
}
