//! What has changed since the last batch was made.

mod batch;

use std::collections::{BTreeSet, HashMap, HashSet};

use airlock_model::{
    id::{
        AssetEventId, BackfillId, DagId, InstanceIndex, RunKey, TaskIndex, TaskInstanceKey,
        TriggerId,
    },
    port::{
        AssetEvent, Backfill, BackfillChange, BackfillRun, CallbackRow, DagProgress, DeadlineRow,
        Lease, QueueChange, Repin, SeenKey, TriggerOwner, TriggerProgress, TriggerRow, WatcherMove,
        XcomWrite,
    },
    run::Moves,
    time::Timestamp,
};

pub use self::batch::{AfterCommit, Answer, Claim};
use super::{AverageQuestion, StateQuestion, backfill::Told, event::Reply};

#[derive(Debug, Default)]
pub(super) struct Pending {
    new_runs: Vec<RunKey>,
    progress: HashMap<DagId, DagProgress>,
    forget: Vec<TaskInstanceKey>,
    tasks: HashSet<(RunKey, InstanceIndex)>,
    expanded: HashMap<(RunKey, TaskIndex), u32>,
    xcoms: Vec<XcomWrite>,
    runs: HashSet<RunKey>,
    ended: Vec<RunKey>,
    failed: Vec<DagId>,
    repinned: Vec<Repin>,
    /// Each with whoever wanted it.
    new_backfills: Vec<(Told, Reply<Told>)>,
    backfills: HashMap<BackfillId, BackfillChange>,
    asset_events: Vec<AssetEvent>,
    asset_queue: Vec<QueueChange>,
    consumed: Vec<(RunKey, Vec<AssetEventId>)>,
    answers: Vec<Answer>,
    new_triggers: Vec<TriggerRow>,
    gone_triggers: BTreeSet<TriggerId>,
    moved_watchers: Vec<WatcherMove>,
    watched: Vec<(TriggerId, Lease, TriggerProgress)>,
    seen_keys: Vec<SeenKey>,
    callbacks: Vec<CallbackRow>,
    deadlines: Vec<DeadlineRow>,
    gone_deadlines: Vec<RunKey>,
    woken: BTreeSet<TriggerId>,
    states: Vec<StateQuestion>,
    averages: Vec<AverageQuestion>,
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

    pub(super) fn task_started(&mut self, run: RunKey, index: InstanceIndex, at: Timestamp) {
        self.tasks.insert((run, index));
        self.lazy_since.get_or_insert(at);
    }

    /// Notes what a method of the run's state machine has moved.
    pub(super) fn moved(&mut self, run: RunKey, moves: &Moves) {
        self.tasks.extend(moves.changed.iter().map(|&at| (run, at)));
        for expanded in &moves.expanded {
            let from = self
                .expanded
                .entry((run, expanded.task))
                .or_insert(u32::MAX);
            *from = expanded.from.min(*from);
            self.urgent = true;
        }
        self.urgent |= !moves.changed.is_empty();
        if moves.ended.is_some() {
            self.run(run);
            self.ended.push(run);
        }
    }

    /// The runs of which something is yet to be written.
    fn concerned(&self) -> HashSet<RunKey> {
        let tasks = self.tasks.iter().map(|(run, _)| *run);
        self.runs.iter().copied().chain(tasks).collect()
    }

    /// A run that had ended is as it is to stay, unless something of it begins again.
    pub(super) fn left(&mut self, run: RunKey) {
        self.ended.push(run);
    }

    pub(super) fn repinned(&mut self, repin: Repin) {
        self.repinned.retain(|known| known.run != repin.run);
        self.repinned.push(repin);
        self.urgent = true;
    }

    /// A run's tasks stand elsewhere: what is noted of them goes with them.
    pub(super) fn placed(&mut self, run: RunKey, place: impl Fn(InstanceIndex) -> InstanceIndex) {
        let tasks = std::mem::take(&mut self.tasks).into_iter();
        self.tasks = tasks
            .map(|(key, at)| (key, if key == run { place(at) } else { at }))
            .collect();
        let to = |key: &mut TaskInstanceKey| {
            if key.run == run {
                let at = InstanceIndex {
                    task: key.task,
                    map_index: key.map_index,
                };
                key.task = place(at).task;
            }
        };
        self.forget.iter_mut().for_each(to);
        self.xcoms.iter_mut().for_each(|xcom| to(&mut xcom.key));
        let expanded = std::mem::take(&mut self.expanded).into_iter();
        self.expanded = expanded
            .map(|((key, task), from)| {
                let moved = place(InstanceIndex::unmapped(task)).task;
                ((key, if key == run { moved } else { task }), from)
            })
            .collect();
    }

    /// Rows of a run that are to be written.
    pub(super) fn task_rows(&mut self, run: RunKey, which: Vec<InstanceIndex>) {
        self.urgent |= !which.is_empty();
        self.tasks.extend(which.into_iter().map(|at| (run, at)));
    }

    /// A backfill begins; whoever wanted it hears of it when that is durable.
    pub(super) fn new_backfill(
        &mut self,
        backfill: Backfill,
        runs: Vec<BackfillRun>,
        reply: Reply<Told>,
    ) {
        self.new_backfills.push(((backfill, runs), reply));
        self.urgent = true;
    }

    /// What has become of new backfills meanwhile is part of their beginning.
    fn begin_backfills_as_they_are(&mut self) {
        for ((new, _), _) in &mut self.new_backfills {
            if let Some(change) = self.backfills.remove(&new.id) {
                (new.is_paused, new.completed_at) = (change.is_paused, change.completed_at);
            }
        }
    }

    pub(super) fn backfill(&mut self, change: BackfillChange) {
        self.backfills.insert(change.id, change);
        self.urgent = true;
    }

    pub(super) fn asset_event(&mut self, event: AssetEvent) {
        self.asset_events.push(event);
        self.urgent = true;
    }

    pub(super) fn queue(&mut self, change: QueueChange) {
        self.asset_queue.push(change);
        self.urgent = true;
    }

    pub(super) fn consumed(&mut self, run: RunKey, events: Vec<AssetEventId>) {
        self.consumed.push((run, events));
    }

    pub(super) fn new_trigger(&mut self, row: TriggerRow) {
        self.new_triggers.push(row);
        self.urgent = true;
    }

    pub(super) fn gone_trigger(&mut self, id: TriggerId) {
        self.gone_triggers.insert(id);
        self.urgent = true;
    }

    pub(super) fn moved_watcher(&mut self, moved: WatcherMove) {
        self.moved_watchers.retain(|known| known.id != moved.id);
        self.moved_watchers.push(moved);
        self.urgent = true;
    }

    pub(super) fn watched(&mut self, row: (TriggerId, Lease, TriggerProgress)) {
        self.watched.push(row);
        self.urgent = true;
    }

    pub(super) fn seen_key(&mut self, key: SeenKey) {
        self.seen_keys.push(key);
        self.urgent = true;
    }

    pub(super) fn callback(&mut self, row: CallbackRow) {
        self.callbacks.push(row);
        self.urgent = true;
    }

    /// A deadline; one of the same run and name that is not written yet is replaced.
    pub(super) fn deadline(&mut self, row: DeadlineRow) {
        let same = |known: &DeadlineRow| (known.run, &known.name) == (row.run, &row.name);
        self.deadlines.retain(|known| !same(known));
        self.deadlines.push(row);
        self.urgent = true;
    }

    pub(super) fn gone_deadlines(&mut self, run: RunKey) {
        self.deadlines
            .retain(|known| known.run != run || known.missed_at.is_some());
        self.gone_deadlines.push(run);
        self.urgent = true;
    }

    /// A trigger is to be polled when all that is pending is durable.
    pub(super) fn woken(&mut self, id: TriggerId) {
        self.woken.insert(id);
        self.urgent = true;
    }

    /// To be asked when all that is pending is durable.
    pub(super) fn state_question(&mut self, question: StateQuestion) {
        self.states.push(question);
        self.urgent = true;
    }

    /// To be asked when all that is pending is durable.
    pub(super) fn average_question(&mut self, question: AverageQuestion) {
        self.averages.push(question);
        self.urgent = true;
    }

    /// What somebody is to hear when all that is pending is durable.
    pub(super) fn answer<T: Send + 'static>(&mut self, reply: Reply<T>, value: T) {
        // Nobody may be waiting any more, which is their right.
        self.answers
            .push(Answer(Box::new(move || drop(reply.send(Ok(value))))));
        self.urgent = true;
    }

    /// A run of this DAG has failed, of which it may be one too many.
    pub(super) fn failed_run(&mut self, dag: DagId) {
        self.failed.push(dag);
    }

    pub(super) fn forget_backfills(&mut self, ids: &[BackfillId]) {
        self.backfills.retain(|id, _| !ids.contains(id));
    }

    fn forget_run(&mut self, run: RunKey) {
        self.new_runs.retain(|&key| key != run);
        self.forget.retain(|key| key.run != run);
        self.tasks.retain(|&(key, _)| key != run);
        self.expanded.retain(|&(key, _), _| key != run);
        self.xcoms.retain(|xcom| xcom.key.run != run);
        self.runs.remove(&run);
        self.ended.retain(|&key| key != run);
        self.repinned.retain(|repin| repin.run != run);
        self.consumed.retain(|(key, _)| *key != run);
        self.claims.retain(|claim| claim.run != run);
        self.callbacks.retain(|row| row.subject.run != run);
        self.deadlines.retain(|row| row.run != run);
        self.gone_deadlines.retain(|key| *key != run);
        self.averages.retain(|question| question.run != run);
        self.new_triggers
            .retain(|row| !is_of(row, |key| key == run));
    }
}

/// Whether a trigger is that of a task instance of such a run.
fn is_of(row: &TriggerRow, meant: impl Fn(RunKey) -> bool) -> bool {
    matches!(&row.owner, TriggerOwner::Task { key, .. } if meant(key.run))
}
