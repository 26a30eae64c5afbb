//! What survives a crash: a store in memory that takes batches as a real one does, all or nothing, and is
//! appalled where a batch says what cannot be.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use airlock_model::{
    callback::CallbackKind,
    dag::{AssetCondition, AssetRef, Dag},
    id::{
        AssetEventId, BackfillId, DagId, InstanceIndex, RunId, RunKey, TaskInstanceKey, TeamName,
        Token,
    },
    port::{
        AssetEvent, AssetKey, Backfill, Batch, CallbackRow, CommitError, DagProgress, QueueRow,
        RunRow, StoredRun, TaskRow,
    },
    state::{RunState, RunType, TaskState},
    time::Timestamp,
    trigger::{HostEvent, RunRef},
};
use airlock_scheduler::engine::{Past, PastQuestion, StateFound, StateQuestion};

use crate::waiting::Waiting;

/// A run with its task instances.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) run: RunRow,
    pub(crate) tasks: BTreeMap<InstanceIndex, TaskRow>,
}

#[derive(Debug, Default)]
pub(crate) struct Database {
    pub(crate) runs: BTreeMap<RunKey, Kept>,
    /// Those that have not ended.
    pub(crate) active: BTreeSet<RunKey>,
    names: HashMap<(DagId, RunId), RunKey>,
    pub(crate) dates: BTreeMap<(DagId, Timestamp), RunKey>,
    pub(crate) progress: HashMap<DagId, DagProgress>,
    returned: HashMap<TaskInstanceKey, u32>,
    pub(crate) backfills: BTreeMap<BackfillId, Backfill>,
    pub(crate) events: Vec<AssetEvent>,
    pub(crate) queue: BTreeMap<(DagId, AssetKey), Timestamp>,
    /// Which run of a DAG took which event.
    pub(crate) consumed: HashMap<(DagId, AssetEventId), RunKey>,
    /// Runs that people have changed, of which what has ended may move.
    pub(crate) repaired: HashSet<RunKey>,
    /// Runs that people have deleted.
    deleted: HashSet<RunKey>,
    /// How many runs were made.
    pub(crate) made: usize,
    pub(crate) waiting: Waiting,
    /// How long successful runs took, by DAG.
    took: HashMap<DagId, Vec<Duration>>,
}

impl Database {
    fn task(&mut self, key: TaskInstanceKey) -> Option<&mut TaskRow> {
        self.runs.get_mut(&key.run)?.tasks.get_mut(&key.index())
    }

    fn token(&self, run: RunKey, at: InstanceIndex) -> Option<Token> {
        let row = self.runs.get(&run)?.tasks.get(&at)?;
        Some(row.fields.token)
    }

    /// Writes a batch, or refuses it for what another host or a person has done meanwhile.
    pub(crate) fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let taken = batch.new_backfills.iter().filter(|(new, _)| {
            let completes = |b: &Backfill| {
                let of = batch.backfills.iter().filter(|change| change.id == b.id);
                of.into_iter().any(|change| change.completed_at.is_some())
            };
            let open =
                |b: &Backfill| b.dag_id == new.dag_id && b.completed_at.is_none() && !completes(b);
            self.backfills.values().any(open) || self.backfills.contains_key(&new.id)
        });
        let taken: Vec<BackfillId> = taken.map(|(new, _)| new.id).collect();
        if !taken.is_empty() {
            return Err(CommitError::BackfillExists(taken));
        }
        let (mut names, mut dates) = (HashSet::new(), HashSet::new());
        let twice = batch.new_runs.iter().filter(|new| {
            let run = &new.run;
            let name = (run.dag_id.clone(), run.run_id.clone());
            let date = run.logical_date.map(|at| (run.dag_id.clone(), at));
            self.names.contains_key(&name)
                || date
                    .as_ref()
                    .is_some_and(|date| self.dates.contains_key(date))
                || !names.insert(name)
                || date.is_some_and(|date| !dates.insert(date))
        });
        let twice: Vec<RunKey> = twice.map(|new| new.run.key).collect();
        if !twice.is_empty() {
            return Err(CommitError::RunExists(twice));
        }
        let mut fenced = vec![];
        for change in &batch.tasks {
            if self.token(change.key.run, change.key.index()) != Some(change.expected) {
                fenced.push(change.key);
            }
        }
        for expanded in &batch.expanded {
            let at = InstanceIndex::unmapped(expanded.task);
            if expanded.dropped.is_some() && self.token(expanded.run, at) != expanded.dropped {
                let (run, task, map_index) = (expanded.run, at.task, at.map_index);
                fenced.push(TaskInstanceKey {
                    run,
                    task,
                    map_index,
                });
            }
        }
        if !fenced.is_empty() {
            let strange = fenced.iter().find(|key| !self.deleted.contains(&key.run));
            assert!(
                strange.is_none(),
                "a batch was fenced though nobody else writes: {strange:?}"
            );
            return Err(CommitError::Fenced(fenced));
        }
        self.apply(batch);
        Ok(())
    }

    fn apply(&mut self, batch: &Batch) {
        for (backfill, _) in &batch.new_backfills {
            self.backfills.insert(backfill.id, backfill.clone());
        }
        for new in &batch.new_runs {
            let (run, key) = (&new.run, new.run.key);
            self.names
                .insert((run.dag_id.clone(), run.run_id.clone()), key);
            if let Some(at) = run.logical_date {
                self.dates.insert((run.dag_id.clone(), at), key);
            }
            if !run.state.is_terminal() {
                self.active.insert(key);
            }
            let tasks = new.tasks.iter().map(|row| (row.index(), row.clone()));
            let (run, tasks) = (run.clone(), tasks.collect());
            self.runs.insert(key, Kept { run, tasks });
            self.made += 1;
        }
        for progress in &batch.progress {
            self.progress
                .insert(progress.dag_id.clone(), progress.clone());
        }
        for key in &batch.forget_xcoms {
            self.returned.remove(key);
        }
        for expanded in &batch.expanded {
            let rows = &mut self.runs.get_mut(&expanded.run).unwrap().tasks;
            if expanded.dropped.is_some() {
                rows.retain(|at, _| at.task != expanded.task);
            }
            for row in &expanded.rows {
                assert!(
                    rows.insert(row.index(), row.clone()).is_none(),
                    "an instance is made twice"
                );
            }
        }
        self.check_callbacks(batch);
        for change in &batch.tasks {
            let repaired = self.repaired.contains(&change.key.run);
            let row = self.task(change.key).unwrap();
            let ended = row.fields.state.is_some_and(TaskState::is_terminal);
            let moves = row.fields.state != change.fields.state;
            assert!(
                !ended || !moves || repaired,
                "an ended task instance moved: {row:?}"
            );
            row.fields = change.fields.clone();
        }
        for xcom in &batch.xcoms {
            if let Some(length) = xcom.length {
                self.returned.insert(xcom.key, length);
            }
        }
        for change in &batch.runs {
            let Some(kept) = self.runs.get_mut(&change.key) else {
                assert!(self.deleted.contains(&change.key), "an unknown run moves");
                continue;
            };
            let run = &mut kept.run;
            let over = run.state.is_terminal() && run.state != change.state;
            assert!(
                !over || self.repaired.contains(&change.key),
                "an ended run moved: {run:?}"
            );
            (run.state, run.backfill, run.clear_number) =
                (change.state, change.backfill, change.clear_number);
            (run.started_at, run.ended_at) = (change.started_at, change.ended_at);
            if let (RunState::Success, Some(at)) = (run.state, run.ended_at) {
                let took = self.took.entry(run.dag_id.clone()).or_default();
                took.push(at.since(run.queued_at));
            }
            match change.state.is_terminal() {
                true => self.active.remove(&change.key),
                false => self.active.insert(change.key),
            };
        }
        for change in &batch.backfills {
            if let Some(backfill) = self.backfills.get_mut(&change.id) {
                backfill.is_paused = change.is_paused;
                backfill.completed_at = change.completed_at;
            }
        }
        let is_there = |run| self.runs.contains_key(&run);
        self.waiting.apply(batch, is_there);
        let runs = &self.runs;
        self.waiting.check(|key| {
            let row = runs.get(&key.run)?.tasks.get(&key.index())?;
            Some(row.fields.clone())
        });
        self.events.extend(batch.asset_events.iter().cloned());
        for change in &batch.asset_queue {
            let key = (change.dag_id.clone(), change.asset.clone());
            match change.queued_at {
                Some(at) => self.queue.insert(key, at),
                None => self.queue.remove(&key),
            };
        }
        for (run, events) in &batch.consumed {
            let dag = &self.runs[run].run.dag_id;
            for event in events {
                let before = self.consumed.insert((dag.clone(), *event), *run);
                assert!(before.is_none(), "an asset event made two runs of {dag}");
            }
        }
    }

    /// Whoever worked on something and is over is told of, once for each try.
    fn check_callbacks(&self, batch: &Batch) {
        for change in &batch.tasks {
            let row = &self.runs[&change.key.run].tasks[&change.key.index()];
            let worked = row
                .fields
                .state
                .is_some_and(|state| state.holds_slot() || state == TaskState::Deferred);
            let kind = match change.fields.state {
                Some(TaskState::Success) => CallbackKind::TaskSuccess,
                Some(TaskState::Failed) => CallbackKind::TaskFailure,
                Some(TaskState::UpForRetry) => CallbackKind::TaskRetry,
                _ => continue,
            };
            let told = batch.callbacks.iter().filter(|call| {
                let attempt = call.subject.attempt.as_ref();
                let same = attempt.is_some_and(|attempt| {
                    let instance = (&attempt.task_id, attempt.map_index);
                    instance == (&row.task_id, row.map_index)
                        && attempt.try_number == change.fields.try_number
                });
                call.subject.run == change.key.run && call.kind == kind && same
            });
            let told = told.count();
            // What somebody marks by hand in the same moment was told of as it was before.
            let repaired = self.repaired.contains(&change.key.run);
            assert!(
                !worked || told == 1 || repaired,
                "{kind} of a try was told of {told} times: {row:?} becomes {:?}",
                change.fields
            );
        }
        for change in &batch.runs {
            let Some(kept) = self.runs.get(&change.key) else {
                continue;
            };
            let kinds = [CallbackKind::DagSuccess, CallbackKind::DagFailure];
            let of_run =
                |call: &&CallbackRow| call.subject.run == change.key && kinds.contains(&call.kind);
            let told = batch.callbacks.iter().filter(of_run).count();
            let ended = change.state.is_terminal() && !kept.run.state.is_terminal();
            let repaired = self.repaired.contains(&change.key);
            assert!(
                repaired || told == usize::from(ended),
                "the end of a run was told of {told} times: {:?}",
                kept.run
            );
        }
    }

    /// Where a run stands for which somebody waits.
    pub(crate) fn state(&self, question: &StateQuestion) -> Option<StateFound> {
        let HostEvent::DagRun {
            dag_id,
            run: RunRef::LogicalDate(at),
            ..
        } = &question.event
        else {
            return None;
        };
        let key = self.dates.get(&(dag_id.clone(), *at))?;
        let run = self.runs[key].run.clone();
        Some(StateFound { run, task: None })
    }

    /// How long the last successful runs of a DAG took.
    pub(crate) fn durations(&self, dag: &DagId, most: u32) -> Vec<Duration> {
        let took = self.took.get(dag).into_iter().flatten().rev();
        took.take(most as usize).copied().collect()
    }

    /// A run as a restart or a person reads it.
    pub(crate) fn stored(&self, key: RunKey) -> Option<StoredRun> {
        let kept = self.runs.get(&key)?;
        let returned = kept.tasks.keys().filter_map(|&at| {
            let (task, map_index) = (at.task, at.map_index);
            let length = self.returned.get(&TaskInstanceKey {
                run: key,
                task,
                map_index,
            })?;
            Some((at, *length))
        });
        Some(StoredRun {
            run: kept.run.clone(),
            tasks: kept.tasks.values().cloned().collect(),
            returned: returned.collect(),
        })
    }

    /// The answer to a question about the run before.
    pub(crate) fn past(&self, question: &PastQuestion) -> Past {
        let first = (question.dag_id.clone(), Timestamp::EPOCH);
        let earlier = self
            .dates
            .range(first..(question.dag_id.clone(), question.before));
        let counts = |run: &RunRow| {
            let clock = matches!(run.run_type, RunType::Scheduled | RunType::Backfill);
            clock || !question.scheduled_only
        };
        let mut runs = earlier.rev().map(|(_, key)| &self.runs[key]);
        let had_task = runs.clone().next().is_some();
        let previous = runs.find(|kept| counts(&kept.run));
        let tasks = |kept: &Kept| kept.tasks.values().cloned().collect();
        Past {
            previous: previous.map(|kept| (kept.run.clone(), tasks(kept))),
            had_task,
        }
    }

    /// Somebody deletes a run that has ended.
    pub(crate) fn delete(&mut self, key: RunKey) {
        if let Some(kept) = self.runs.remove(&key) {
            assert!(kept.run.state.is_terminal());
            let run = kept.run;
            self.waiting.forget(key);
            self.names.remove(&(run.dag_id.clone(), run.run_id));
            if let Some(at) = run.logical_date {
                self.dates.remove(&(run.dag_id, at));
            }
            self.deleted.insert(key);
        }
    }

    /// Somebody deletes a DAG with its history.
    pub(crate) fn delete_dag(&mut self, dag: &DagId) {
        let of = self.runs.values().filter(|kept| kept.run.dag_id == *dag);
        let keys: Vec<RunKey> = of.map(|kept| kept.run.key).collect();
        keys.into_iter().for_each(|key| self.delete(key));
        self.progress.remove(dag);
        self.queue.retain(|(of, _), _| of != dag);
        self.backfills.retain(|_, backfill| backfill.dag_id != *dag);
    }

    pub(crate) fn queue_rows(&self) -> Vec<QueueRow> {
        let row = |((dag_id, asset), at): (&(DagId, AssetKey), &Timestamp)| QueueRow {
            dag_id: dag_id.clone(),
            asset: asset.clone(),
            queued_at: *at,
        };
        self.queue.iter().map(row).collect()
    }

    /// The events that the next run of a DAG consumes, oldest first.
    pub(crate) fn unconsumed(
        &self,
        dag: &Dag,
        team: &TeamName,
    ) -> Vec<(DagId, AssetKey, AssetEventId)> {
        let mut names = vec![];
        if let Some(condition) = &dag.spec().asset_condition {
            names_in(condition, &mut names);
        }
        let of = |event: &&AssetEvent| {
            let key = &event.asset;
            key.team == *team && names.iter().any(|name| **name == *key.name)
        };
        let new = |event: &&AssetEvent| !self.consumed.contains_key(&(dag.id().clone(), event.id));
        let newest_first = self.events.iter().rev().filter(of).take_while(new);
        let mut found: Vec<_> = newest_first
            .map(|event| (dag.id().clone(), event.asset.clone(), event.id))
            .collect();
        found.reverse();
        found
    }
}

fn names_in<'a>(condition: &'a AssetCondition, names: &mut Vec<&'a str>) {
    match condition {
        AssetCondition::Of(AssetRef::Name(name)) => names.push(name),
        AssetCondition::Of(_) => {}
        AssetCondition::All(parts) | AssetCondition::Any(parts) => {
            parts.iter().for_each(|part| names_in(part, names));
        }
    }
}
