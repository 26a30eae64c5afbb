//! A run is moved to the newest version of its DAG (Airflow's semantics, 3.13).
//!
//! A task's position in the definition is its place in the run, so tasks move with the version. Those that are
//! gone keep their rows, as removed, beyond the places of the new definition; one that comes back finds its
//! place, and has yet to run, like one that is new.

use std::{collections::HashMap, sync::Arc};

use airlock_model::{
    id::{InstanceIndex, MapIndex, RunId, RunKey, TaskId, TaskIndex},
    port::{Repin, TaskFields, TaskRow},
    run::Run,
    state::{RunState, TaskState},
};

use super::{Active, Engine, LiveDag, Loaded};

/// An instance of a task that its run's version does not have.
#[derive(Debug, Clone)]
pub(super) struct Gone {
    pub(super) task_id: TaskId,
    pub(super) fields: TaskFields,
}

/// Where the tasks of a run, with those that are gone, stand in another version.
fn places(active: &Active, live: &LiveDag) -> HashMap<TaskIndex, TaskIndex> {
    let there = (0_u32..)
        .zip(active.run.dag().tasks())
        .map(|(i, task)| (TaskIndex(i), &task.id));
    let gone = active
        .gone
        .iter()
        .map(|(at, gone)| (at.task, &gone.task_id));
    let mut all: Vec<(TaskIndex, &TaskId)> = there.chain(gone).collect();
    all.sort_unstable();
    all.dedup();
    let beyond = u32::try_from(live.dag.tasks().len()).unwrap_or(u32::MAX);
    let mut beyond = (beyond..u32::MAX).map(TaskIndex);
    all.into_iter()
        .filter_map(|(from, id)| Some((from, live.dag.index_of(id).or_else(|| beyond.next())?)))
        .collect()
}

impl Engine {
    /// The version to which a run would be moved.
    fn newer(&self, active: &Active) -> Option<&LiveDag> {
        let live = &self.dags.get(&active.row.dag_id)?.live;
        let same = active.row.definition == live.dag.definition() && active.row.hash == live.hash;
        (!same).then_some(live)
    }

    /// The name of a run whose tasks are on their way under places that would be another task's.
    pub(super) fn unmovable(&self, loaded: &Loaded) -> Option<RunId> {
        let active = self.runs.get(&loaded.stored.run.key)?;
        let known = active.run.dag().tasks().len();
        let moves = |live: &LiveDag| {
            let goes = |to: &TaskIndex| to.get() >= live.dag.tasks().len();
            places(active, live)
                .iter()
                .any(|(from, to)| from != to || from.get() < known && goes(to))
        };
        let running = active.run.state() == RunState::Running;
        (running && self.newer(active).is_some_and(moves)).then(|| active.row.run_id.clone())
    }

    /// Moves a run to the newest version of its DAG, and gives the places there of what was selected.
    pub(super) fn repin(&mut self, run: RunKey, which: Vec<InstanceIndex>) -> Vec<InstanceIndex> {
        let live = self
            .runs
            .get(&run)
            .and_then(|active| self.newer(active).cloned());
        let (Some(live), Some(active)) = (live, self.runs.get_mut(&run)) else {
            return which;
        };
        let places = places(active, &live);
        let place = |at: InstanceIndex| InstanceIndex {
            task: places.get(&at.task).copied().unwrap_or(at.task),
            map_index: at.map_index,
        };
        let within = |at: &InstanceIndex| at.task.get() < live.dag.tasks().len();
        let old = Arc::clone(active.run.dag());
        let mut changed = Vec::new();
        let mut kept = Vec::new();
        let mut gone = HashMap::new();
        for at in active.run.instances() {
            let (Some((task, _)), Some(fields)) = (old.task(at.task), active.run.fields(at)) else {
                continue;
            };
            let (to, mut fields) = (place(at), fields.clone());
            if within(&to) {
                kept.push((to, fields));
                continue;
            }
            fields.state = Some(TaskState::Removed);
            let task_id = task.id.clone();
            gone.insert(to, Gone { task_id, fields });
            changed.push(to);
        }
        let mut back: Vec<TaskId> = Vec::new();
        for (at, one) in std::mem::take(&mut active.gone) {
            let to = place(at);
            match live.dag.task(to.task) {
                Some((_, spec)) => {
                    let number = one.fields.try_number;
                    let fields = TaskFields {
                        try_number: number,
                        max_tries: number + spec.retries,
                        token: one.fields.token,
                        ..TaskFields::untouched()
                    };
                    kept.push((to, fields));
                    back.push(one.task_id);
                    changed.push(to);
                }
                None => drop(gone.insert(to, one)),
            }
        }
        active.gone = gone;
        let state = active.run.state();
        let returned = active
            .run
            .returned_lengths()
            .map(|(at, n)| (place(at), n))
            .collect();
        let (logical_date, ends_as) = (active.row.logical_date, active.run.ends_as());
        active.run = Run::restore(
            Arc::clone(&live.dag),
            run,
            logical_date,
            state,
            kept,
            returned,
        );
        active.run.end_as(ends_as);
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
            .filter(|(_, task)| old.index_of(&task.id).is_none() && !back.contains(&task.id));
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
        let added = added.collect();
        self.pending.placed(run, place);
        self.pending.repinned(Repin {
            run,
            hash: live.hash,
            definition: live.dag.definition(),
            moved: places
                .iter()
                .map(|(&from, &to)| (from, to))
                .filter(|(a, b)| a != b)
                .collect(),
            added,
        });
        self.pending.task_rows(run, changed);
        which.into_iter().map(place).filter(within).collect()
    }
}
