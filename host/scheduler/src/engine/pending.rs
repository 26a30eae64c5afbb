//! What has changed since the last batch was made, and the making of the next.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use airlock_model::{
    id::{DagId, RunKey, TaskIndex, TaskInstanceKey, Token},
    port::{Batch, ControlError, DagProgress, NewRun, RunChange, TaskChange, TaskRow, XcomWrite},
    run::Moves,
    time::Timestamp,
};

use super::{Active, Engine, event::Reply};

/// How long a change that nothing is built on (a try has started) may wait for company.
const LAZY: Duration = Duration::from_millis(500);

/// A claim whose try is dispatched when the claim is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The run.
    pub run: RunKey,
    /// The task.
    pub task: TaskIndex,
    /// The claim's token.
    pub token: Token,
}

/// What is to be done when a batch is durable.
#[derive(Debug, Default)]
pub struct AfterCommit {
    /// Tries to dispatch.
    pub claims: Vec<Claim>,
    /// People who wait for their run.
    pub replies: Vec<(
        RunKey,
        airlock_model::port::RunRow,
        Reply<airlock_model::port::RunRow>,
    )>,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    new_runs: Vec<RunKey>,
    progress: HashMap<DagId, DagProgress>,
    forget: Vec<TaskInstanceKey>,
    tasks: HashSet<(RunKey, TaskIndex)>,
    xcoms: Vec<XcomWrite>,
    runs: HashSet<RunKey>,
    ended: Vec<RunKey>,
    pub(super) claims: Vec<Claim>,
    pub(super) replies: Vec<(RunKey, Reply<airlock_model::port::RunRow>)>,
    /// Something is to be built on what is pending.
    urgent: bool,
    /// Since when something else waits.
    lazy_since: Option<Timestamp>,
}

impl Pending {
    pub(super) fn new_run(&mut self, run: RunKey) {
        self.new_runs.push(run);
        self.urgent = true;
    }

    pub(super) fn progress(&mut self, progress: DagProgress) {
        self.progress.insert(progress.dag_id.clone(), progress);
        self.urgent = true;
    }

    pub(super) fn forget_xcoms(&mut self, key: TaskInstanceKey) {
        self.forget.push(key);
    }

    pub(super) fn xcom(&mut self, xcom: XcomWrite) {
        self.xcoms.push(xcom);
    }

    pub(super) fn run(&mut self, run: RunKey) {
        self.runs.insert(run);
        self.urgent = true;
    }

    pub(super) fn task_started(&mut self, run: RunKey, task: TaskIndex, at: Timestamp) {
        self.tasks.insert((run, task));
        self.lazy_since.get_or_insert(at);
    }

    /// Notes what a method of the run's state machine has moved.
    pub(super) fn moved(&mut self, run: RunKey, moves: &Moves) {
        self.tasks
            .extend(moves.changed.iter().map(|&task| (run, task)));
        self.urgent |= !moves.changed.is_empty();
        if moves.ended.is_some() {
            self.run(run);
            self.ended.push(run);
        }
    }

    fn forget_run(&mut self, run: RunKey) {
        self.new_runs.retain(|&key| key != run);
        self.forget.retain(|key| key.run != run);
        self.tasks.retain(|&(key, _)| key != run);
        self.xcoms.retain(|xcom| xcom.key.run != run);
        self.runs.remove(&run);
        self.ended.retain(|&key| key != run);
        self.claims.retain(|claim| claim.run != run);
    }
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
        let pending = std::mem::take(&mut self.pending);
        let mut batch = Batch {
            progress: pending.progress.into_values().collect(),
            forget_xcoms: pending.forget,
            xcoms: pending.xcoms,
            ..Batch::default()
        };
        let new: HashSet<RunKey> = pending.new_runs.iter().copied().collect();
        for key in &pending.new_runs {
            if let Some(active) = self.runs.get_mut(key) {
                batch.new_runs.push(active.new_run());
            }
        }
        for (run, task) in pending.tasks {
            if new.contains(&run) {
                continue;
            }
            let Some(active) = self.runs.get_mut(&run) else {
                continue;
            };
            let Some(fields) = active.run.fields(task) else {
                continue;
            };
            let (key, fields) = (active.run.instance_key(task), fields.clone());
            let Some(stored) = active.stored.get_mut(task.get()) else {
                continue;
            };
            let expected = std::mem::replace(stored, fields.token);
            batch.tasks.push(TaskChange {
                key,
                expected,
                fields,
            });
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
                    started_at: row.started_at,
                    ended_at: row.ended_at,
                });
            }
        }
        batch.runs.sort_unstable_by_key(|change| change.key);
        let mut after = AfterCommit {
            claims: pending.claims,
            replies: Vec::new(),
        };
        for (run, reply) in pending.replies {
            if let Some(active) = self.runs.get(&run) {
                after.replies.push((run, active.row.clone(), reply));
            }
        }
        for run in pending.ended {
            self.runs.remove(&run);
        }
        (batch, after)
    }

    /// A batch is durable.
    pub const fn committed(&mut self) {
        self.commits += 1;
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
        batch.xcoms.retain(|xcom| !runs.contains(&xcom.key.run));
        batch.runs.retain(|change| !runs.contains(&change.key));
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
            if let Some(active) = self.runs.remove(&run) {
                for (&task, in_flight) in &active.in_flight {
                    self.admission.release(active.team, in_flight.admitted);
                    told.push(Claim {
                        run,
                        task,
                        token: in_flight.token,
                    });
                }
                self.admission.remove_run(run);
                self.run_left(&active.row.dag_id, run, active.run.state(), now);
            }
        }
        told
    }
}

impl Active {
    fn new_run(&mut self) -> NewRun {
        let tasks = self
            .run
            .tasks()
            .zip(self.run.dag().tasks())
            .filter_map(|(index, task)| {
                let (_, spec) = self.run.dag().task(index)?;
                let fields = self.run.fields(index)?.clone();
                Some(TaskRow {
                    run: self.row.key,
                    task: index,
                    task_id: task.id.clone(),
                    map_index: airlock_model::id::MapIndex::UNMAPPED,
                    pool: task.pool.clone(),
                    pool_slots: spec.pool_slots,
                    priority: task.priority,
                    fields,
                })
            });
        let tasks: Vec<_> = tasks.collect();
        self.stored = tasks.iter().map(|task| task.fields.token).collect();
        self.row.state = self.run.state();
        NewRun {
            run: self.row.clone(),
            tasks,
        }
    }
}
