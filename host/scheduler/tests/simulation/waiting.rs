//! What a database has of triggers, callbacks and deadlines, and what must be true of them after each commit.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use airlock_model::{
    callback::CallbackId,
    id::{RunKey, TaskInstanceKey, TriggerId},
    port::{Batch, CallbackRow, DeadlineRow, TaskFields, TriggerOwner, TriggerRow},
    state::TaskState,
    time::Timestamp,
};
use airlock_scheduler::engine::TriggerEnd;

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) triggers: BTreeMap<TriggerId, TriggerRow>,
    pub(crate) callbacks: Vec<CallbackRow>,
    ids: HashSet<CallbackId>,
    pub(crate) deadlines: BTreeMap<(RunKey, String), DeadlineRow>,
    /// Triggers that have answered: whoever polled them may say so again.
    pub(crate) ended: Vec<TriggerEnd>,
}

impl Waiting {
    /// What a batch says; of runs that somebody has deleted meanwhile, nothing.
    pub(crate) fn apply(&mut self, batch: &Batch, is_there: impl Fn(RunKey) -> bool) {
        for row in &batch.new_triggers {
            let before = self.triggers.insert(row.id, row.clone());
            assert!(before.is_none(), "a trigger is made twice");
        }
        for id in &batch.gone_triggers {
            self.triggers.remove(id);
        }
        let told = batch.callbacks.iter();
        for row in told.filter(|row| is_there(row.subject.run)) {
            assert!(self.ids.insert(row.id), "two callbacks have one id");
            self.callbacks.push(row.clone());
        }
        for run in &batch.gone_deadlines {
            let of_run = self.deadlines.range((*run, String::new())..);
            let of_run = of_run.take_while(|((key, _), _)| key == run);
            let met = of_run.filter(|(_, row)| row.missed_at.is_none());
            let met: Vec<_> = met.map(|(key, _)| key.clone()).collect();
            for key in met {
                self.deadlines.remove(&key);
            }
        }
        for row in batch.deadlines.iter().filter(|row| is_there(row.run)) {
            self.deadlines
                .insert((row.run, row.name.clone()), row.clone());
        }
    }

    /// There is a trigger for each task instance that waits for one, and none else.
    pub(crate) fn check(&self, fields: impl Fn(TaskInstanceKey) -> Option<TaskFields>) {
        let mut owners = BTreeSet::new();
        for row in self.triggers.values() {
            let TriggerOwner::Task { key, token, .. } = row.owner else {
                continue;
            };
            assert!(
                owners.insert(key),
                "two triggers of one task instance: {row:?}"
            );
            let Some(fields) = fields(key) else {
                continue;
            };
            let waits = fields.state == Some(TaskState::Deferred) && fields.token == token;
            assert!(waits, "nobody waits for a trigger: {row:?}, {fields:?}");
        }
    }

    /// What hangs on a run goes with it.
    pub(crate) fn forget(&mut self, run: RunKey) {
        let of_run = |row: &TriggerRow| matches!(row.owner, TriggerOwner::Task { key, .. } if key.run == run);
        self.triggers.retain(|_, row| !of_run(row));
        self.callbacks.retain(|row| row.subject.run != run);
        self.deadlines.retain(|(key, _), _| *key != run);
    }

    /// Deadlines that are ahead, of all runs or of one.
    pub(crate) fn ahead(&self, of: Option<RunKey>) -> Vec<DeadlineRow> {
        let rows = self.deadlines.values();
        let ahead = rows.filter(|row| row.missed_at.is_none());
        ahead
            .filter(|row| of.is_none_or(|run| row.run == run))
            .cloned()
            .collect()
    }

    /// Deadlines that should have been found missed by now.
    pub(crate) fn overdue(&self, now: Timestamp) -> Vec<&DeadlineRow> {
        let rows = self.deadlines.values();
        rows.filter(|row| row.missed_at.is_none() && row.at <= now)
            .collect()
    }
}
