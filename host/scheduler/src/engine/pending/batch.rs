//! The making of a batch from what is pending, and what follows when it is durable or was refused.

use std::{collections::HashSet, time::Duration};

use airlock_model::{
    id::{DagId, InstanceIndex, RunKey, TaskIndex, Token, TriggerId},
    port::{
        AssetKey, Batch, ControlError, ExpandedRows, NewRun, RunChange, RunRow, TaskChange, TaskRow,
    },
    time::Timestamp,
};

use super::is_of;
use crate::engine::{Active, AverageQuestion, Engine, StateQuestion, backfill::Told, event::Reply};

/// How long a change that nothing is built on (a try has started) may wait for company.
const LAZY: Duration = Duration::from_millis(500);

/// A claim whose try is dispatched when the claim is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The run.
    pub run: RunKey,
    /// The task instance.
    pub at: InstanceIndex,
    /// The claim's token.
    pub token: Token,
}

/// What somebody is to hear when a batch is durable.
pub struct Answer(pub(super) Box<dyn FnOnce() + Send>);

impl Answer {
    /// Tells it.
    pub fn tell(self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

/// What is to be done when a batch is durable.
#[derive(Debug, Default)]
pub struct AfterCommit {
    /// Tries to dispatch.
    pub claims: Vec<Claim>,
    /// Runs that have ended.
    pub ended: Vec<RunKey>,
    /// DAGs of which a run has failed.
    pub failed: Vec<DagId>,
    /// What people are to hear.
    pub answers: Vec<Answer>,
    /// Triggers that begin to be polled, or are polled again because a batch has changed them.
    pub triggers: bool,
    /// Triggers that have heard something for which they wait.
    pub woken: Vec<TriggerId>,
    /// Callbacks are asked for.
    pub callbacks: bool,
    /// Changes that watchers have seen, of which the database knows now.
    pub told: Vec<(AssetKey, String)>,
    /// What the database has to be asked about others, because somebody waits for them.
    pub states: Vec<StateQuestion>,
    /// What the database has to be asked of how long runs took.
    pub averages: Vec<AverageQuestion>,
    /// People who wait for their backfill.
    pub backfills: Vec<(Told, Reply<Told>)>,
    /// People who wait for their run.
    pub replies: Vec<(RunKey, RunRow, Reply<RunRow>)>,
}

impl Engine {
    /// When a batch should be made: at once, later, or not at all.
    #[must_use]
    pub fn batch_due(&self) -> Option<Timestamp> {
        if self.pending.urgent {
            Some(Timestamp::EPOCH)
        } else {
            self.pending.lazy_since.map(|at| at.after(LAZY))
        }
    }

    /// Makes one batch of all that is pending. Batches must be written in the order of their making; until
    /// one is, its claims must not be dispatched.
    pub fn take_batch(&mut self) -> (Batch, AfterCommit) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.begin_backfills_as_they_are();
        let mut batch = Batch {
            progress: pending.progress.into_values().collect(),
            forget_xcoms: pending.forget,
            xcoms: pending.xcoms,
            repinned: pending.repinned,
            new_backfills: pending
                .new_backfills
                .iter()
                .map(|(told, _)| told.clone())
                .collect(),
            asset_events: pending.asset_events,
            asset_queue: pending.asset_queue,
            consumed: pending.consumed,
            backfills: pending.backfills.into_values().collect(),
            new_triggers: pending.new_triggers,
            gone_triggers: pending.gone_triggers.into_iter().collect(),
            moved_watchers: pending.moved_watchers,
            watched: pending.watched,
            seen_keys: pending.seen_keys,
            callbacks: pending.callbacks,
            deadlines: pending.deadlines,
            gone_deadlines: pending.gone_deadlines,
            ..Batch::default()
        };
        let new: HashSet<RunKey> = pending.new_runs.iter().copied().collect();
        for key in &pending.new_runs {
            if let Some(active) = self.runs.get_mut(key) {
                batch.new_runs.push(active.new_run());
            }
        }
        // What is written whole for the first time needs no change besides.
        let whole = |run: RunKey, at: InstanceIndex| {
            let from = pending.expanded.get(&(run, at.task));
            from.is_some_and(|&from| at.map_index.get().is_some_and(|i| i as u64 >= from.into()))
        };
        let changed: Vec<(RunKey, InstanceIndex)> = pending
            .tasks
            .iter()
            .copied()
            .filter(|&(run, at)| !whole(run, at))
            .collect();
        for ((run, task), from) in pending.expanded {
            if let Some(active) = self.runs.get_mut(&run).filter(|_| !new.contains(&run)) {
                batch.expanded.push(active.expanded(task, from));
            }
        }
        for (run, at) in changed {
            if new.contains(&run) {
                continue;
            }
            if let Some(active) = self.runs.get_mut(&run) {
                batch.tasks.extend(active.change(at));
            }
        }
        // One order for all writers, so that two hosts cannot wait for each other's rows.
        batch.tasks.sort_unstable_by_key(|change| change.key);
        for key in pending.runs {
            if new.contains(&key) {
                continue;
            }
            if let Some(active) = self.runs.get(&key) {
                let (state, row) = (active.run.state(), &active.row);
                batch.runs.push(RunChange {
                    key,
                    state,
                    queued_at: Some(row.queued_at),
                    started_at: row.started_at,
                    ended_at: row.ended_at,
                    ends_as: active.run.ends_as(),
                    clear_number: row.clear_number,
                    backfill: row.backfill,
                    run_type: row.run_type,
                });
            }
        }
        batch.runs.sort_unstable_by_key(|change| change.key);
        // What has gone before it was written need not be.
        let gone: HashSet<TriggerId> = batch.gone_triggers.iter().copied().collect();
        batch.new_triggers.retain(|row| !gone.contains(&row.id));
        let told = batch.seen_keys.iter();
        let mut after = AfterCommit {
            claims: pending.claims,
            triggers: !batch.new_triggers.is_empty() || !batch.watched.is_empty(),
            woken: pending.woken.into_iter().collect(),
            callbacks: !batch.callbacks.is_empty(),
            told: told
                .map(|seen| (seen.asset.clone(), seen.key.clone()))
                .collect(),
            states: pending.states,
            averages: pending.averages,
            ..AfterCommit::default()
        };
        for (run, reply) in pending.replies {
            if let Some(active) = self.runs.get(&run) {
                after.replies.push((run, active.row.clone(), reply));
            }
        }
        after.ended = pending.ended;
        after.failed = pending.failed;
        after.answers = pending.answers;
        after.backfills = pending.new_backfills;
        (batch, after)
    }

    /// A batch is durable. Runs that have ended leave the memory; not before, so that whoever asks for them
    /// meanwhile finds them as they are.
    pub fn committed(&mut self, after: &AfterCommit) {
        self.commits += 1;
        self.told_of(&after.told);
        let ended = &after.ended;
        if ended.is_empty() {
            return;
        }
        let concerned = self.pending.concerned();
        for run in ended {
            let over = |active: &Active| active.run.state().is_terminal();
            if self.runs.get(run).is_some_and(over) && !concerned.contains(run) {
                self.runs.remove(run);
            }
        }
    }

    /// The store refused these runs: they exist already, or somebody else has moved them. They leave the
    /// memory, what is pending, and the refused batch, whose rest can then be written. The tries that
    /// they had in flight are told.
    pub fn evict(
        &mut self,
        runs: &HashSet<RunKey>,
        batch: &mut Batch,
        after: &mut AfterCommit,
        now: Timestamp,
    ) -> Vec<Claim> {
        batch.new_runs.retain(|new| !runs.contains(&new.run.key));
        batch.forget_xcoms.retain(|key| !runs.contains(&key.run));
        batch.tasks.retain(|change| !runs.contains(&change.key.run));
        batch.consumed.retain(|(run, _)| !runs.contains(run));
        batch.repinned.retain(|repin| !runs.contains(&repin.run));
        batch
            .expanded
            .retain(|expanded| !runs.contains(&expanded.run));
        batch.xcoms.retain(|xcom| !runs.contains(&xcom.key.run));
        batch.runs.retain(|change| !runs.contains(&change.key));
        batch
            .callbacks
            .retain(|row| !runs.contains(&row.subject.run));
        batch.deadlines.retain(|row| !runs.contains(&row.run));
        batch.gone_deadlines.retain(|key| !runs.contains(key));
        batch
            .new_triggers
            .retain(|row| !is_of(row, |key| runs.contains(&key)));
        after.claims.retain(|claim| !runs.contains(&claim.run));
        let (refused, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut after.replies)
            .into_iter()
            .partition(|(run, ..)| runs.contains(run));
        after.replies = kept;
        for (_, row, reply) in refused {
            // Nobody may be waiting any more, which is their right.
            let _ = reply.send(Err(ControlError::RunExists {
                dag_id: row.dag_id,
                run_id: row.run_id,
            }));
        }
        let mut told = Vec::new();
        for &run in runs {
            self.pending.forget_run(run);
            self.forget_waits(run);
            self.forget_deadlines(run);
            self.leave_all_gates(run, now);
            if let Some(dag) = self.runs.get(&run).map(|active| active.row.dag_id.clone()) {
                self.run_left(&dag, run, now);
            }
            if let Some(active) = self.runs.remove(&run) {
                for (&at, in_flight) in &active.in_flight {
                    self.admission.release(active.team, in_flight.admitted);
                    told.push(Claim {
                        run,
                        at,
                        token: in_flight.token,
                    });
                }
                self.admission.remove_run(run);
            }
        }
        told
    }
}

impl Active {
    pub(in crate::engine) fn new_run(&mut self) -> NewRun {
        let all = self.run.instances();
        let tasks = self.rows(&all);
        (self.row.state, self.row.ends_as) = (self.run.state(), self.run.ends_as());
        NewRun {
            run: self.row.clone(),
            tasks,
        }
    }

    /// A task's new instances, and the unexpanded one that they stand for.
    fn expanded(&mut self, task: TaskIndex, from: u32) -> ExpandedRows {
        let fresh = |at: &InstanceIndex| {
            at.map_index
                .get()
                .is_some_and(|i| i as u64 >= u64::from(from))
        };
        let all: Vec<InstanceIndex> = self
            .run
            .instances_of(task)
            .into_iter()
            .filter(fresh)
            .collect();
        let unexpanded = InstanceIndex::unmapped(task);
        let dropped = self.stored.remove(&unexpanded).unwrap_or_default();
        ExpandedRows {
            run: self.row.key,
            task,
            dropped: (from == 0).then_some(dropped),
            rows: self.rows(&all),
        }
    }

    /// These instances as they are to be written for the first time.
    fn rows(&mut self, all: &[InstanceIndex]) -> Vec<TaskRow> {
        let mut rows = Vec::with_capacity(all.len());
        for &at in all {
            let (Some((task, spec)), Some(fields)) =
                (self.run.dag().task(at.task), self.run.fields(at))
            else {
                continue;
            };
            if fields.token.get() > 0 {
                self.stored.insert(at, fields.token);
            }
            rows.push(TaskRow {
                run: self.row.key,
                task: at.task,
                task_id: task.id.clone(),
                map_index: at.map_index,
                pool: task.pool.clone(),
                pool_slots: spec.pool_slots,
                priority: task.priority,
                fields: fields.clone(),
            });
        }
        rows
    }

    /// What has become of an instance since it was written.
    fn change(&mut self, at: InstanceIndex) -> Option<TaskChange> {
        let gone = || self.gone.get(&at).map(|gone| &gone.fields);
        let fields = self.run.fields(at).or_else(gone)?.clone();
        let expected = match fields.token.get() {
            0 => None,
            _ => self.stored.insert(at, fields.token),
        };
        Some(TaskChange {
            key: self.run.instance_key(at),
            expected: expected.unwrap_or_default(),
            fields,
        })
    }
}
