//! Deferred task instances: their slot is free, and when what they wait for has come to an end they go on as the
//! same try (Airflow's semantics, 3.10).
//!
//! What one waits for stands with it, so a restart finds it there. A time is a timer; what the host sees by
//! itself is [listened to](super::waits); a bundle's own trigger is a row that others poll.

use std::collections::{BTreeMap, HashMap};

use airlock_model::{
    admission::PoolIndex,
    id::{InstanceIndex, RunKey, TaskIndex, TaskInstanceKey, Token, TriggerId},
    port::{FileWaiter, TriggerOwner, TriggerProgress, TriggerRow},
    run::Moves,
    state::TaskState,
    time::Timestamp,
    trigger::{Deferred, OwnTrigger, Trigger, TriggerEvent},
};

use super::{Engine, waits::Waiter};

/// A wait, besides what stands with its task instance.
#[derive(Debug)]
struct Wait {
    token: Token,
    /// The row of the bundle's own trigger.
    trigger: Option<TriggerId>,
    /// Slots of a pool that counts deferred task instances.
    slots: Option<(PoolIndex, u32)>,
}

/// All waits of task instances.
#[derive(Debug, Default)]
pub(super) struct Deferrals {
    waits: BTreeMap<(RunKey, InstanceIndex), Wait>,
    /// Rows of triggers that the database has, of task instances that are not in memory yet.
    stored: HashMap<(RunKey, InstanceIndex), (Token, TriggerId)>,
}

/// How the wait of a task instance ended that a bundle's own trigger has answered.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerEnd {
    /// The trigger.
    pub id: TriggerId,
    /// Who waited.
    pub key: TaskInstanceKey,
    /// Under which claim.
    pub token: Token,
    /// How it ended.
    pub event: TriggerEvent,
}

impl Engine {
    /// What the database has of triggers at a start. To be called before the runs are restored.
    pub fn restore_triggers(&mut self, rows: Vec<TriggerRow>) {
        for row in rows {
            // What happened while nobody listened is unknown; one that is polled too often waits on.
            if !row.progress.on.is_empty() {
                self.pending.woken(row.id);
            }
            match &row.owner {
                TriggerOwner::Task { key, token, .. } => {
                    let at = (key.run, key.index());
                    self.deferrals.stored.insert(at, (*token, row.id));
                }
                TriggerOwner::Watcher { .. } => self.restore_watcher(&row),
            }
        }
    }

    /// All unfinished runs have come back: triggers for which nobody waits are not needed.
    pub fn drop_stray_triggers(&mut self) {
        for (_, id) in std::mem::take(&mut self.deferrals.stored).into_values() {
            self.pending.gone_trigger(id);
        }
    }

    /// Task instances wait from now on, or go on waiting after a restart.
    pub(super) fn begin_waits(&mut self, run: RunKey, which: &[InstanceIndex], now: Timestamp) {
        for &at in which {
            self.begin_wait(run, at, now);
        }
    }

    fn begin_wait(&mut self, run: RunKey, at: InstanceIndex, now: Timestamp) -> Option<()> {
        let active = self.runs.get(&run)?;
        let (task, spec) = active.run.dag().task(at.task)?;
        let fields = active.run.fields(at)?;
        let deferred = fields.deferred.clone()?;
        let token = fields.token;
        let row = &active.row;
        let behalf = FileWaiter {
            team: row.team.clone(),
            bundle: active.bundle.clone(),
            hash: row.hash,
            dag_id: row.dag_id.clone(),
            task_id: Some(task.id.clone()),
        };
        let slots = self
            .pool(&row.team, &task.pool)
            .filter(|pool| self.counting_deferred.contains(pool))
            .map(|pool| (pool, spec.pool_slots));
        let owner = TriggerOwner::Task {
            key: active.run.instance_key(at),
            token,
            run_id: row.run_id.clone(),
            task_id: task.id.clone(),
            map_index: at.map_index,
        };
        let trigger = match &deferred.trigger {
            Trigger::Own(own) => Some(self.own_trigger(owner, &behalf, own, &deferred, now)),
            _ => None,
        };
        let team = behalf.team.clone();
        if let Trigger::Host(event) = &deferred.trigger {
            let waiter = Waiter::Task(run, at, token);
            self.listen(waiter, behalf, vec![event.clone()], deferred.since);
        }
        if let Some((pool, slots)) = slots {
            self.admission.take(pool, slots);
        }
        if let Some(team) = self.teams.get_mut(&team) {
            team.deferred += 1;
        }
        let wait = Wait {
            token,
            trigger,
            slots,
        };
        self.deferrals.waits.insert((run, at), wait);
        Some(())
    }

    /// The row of a bundle's own trigger: the one that is there, or a new one.
    fn own_trigger(
        &mut self,
        owner: TriggerOwner,
        behalf: &FileWaiter,
        own: &OwnTrigger,
        deferred: &Deferred,
        now: Timestamp,
    ) -> TriggerId {
        if let TriggerOwner::Task { key, token, .. } = &owner
            && let Some((stored, id)) = self.deferrals.stored.remove(&(key.run, key.index()))
        {
            if stored == *token {
                return id;
            }
            self.pending.gone_trigger(id);
        }
        let id = TriggerId(self.keys.next(now).0);
        self.pending.new_trigger(TriggerRow {
            id,
            owner,
            team: behalf.team.clone(),
            dag_id: behalf.dag_id.clone(),
            bundle: behalf.bundle.clone(),
            hash: behalf.hash,
            own: own.clone(),
            created_at: deferred.since,
            progress: TriggerProgress::unpolled(now),
        });
        id
    }

    /// Task instances that have moved no longer wait, whatever the reason.
    pub(super) fn leave_waits(&mut self, run: RunKey, changed: &[InstanceIndex]) {
        for &at in changed {
            if !self.deferrals.waits.contains_key(&(run, at)) {
                continue;
            }
            let fields = self.runs.get(&run).and_then(|active| active.run.fields(at));
            let state = fields.and_then(|fields| fields.state);
            if state == Some(TaskState::Deferred) {
                continue;
            }
            // One that was cleared goes on with nothing.
            let deferred = fields.and_then(|fields| fields.deferred.as_deref());
            let resumed = deferred.is_some_and(|deferred| deferred.event.is_some());
            let left = self.leave_wait(run, at, resumed);
            if let Some(id) = left {
                self.pending.gone_trigger(id);
            }
        }
    }

    /// Forgets a wait, and gives the row of its trigger.
    fn leave_wait(&mut self, run: RunKey, at: InstanceIndex, resumed: bool) -> Option<TriggerId> {
        let wait = self.deferrals.waits.remove(&(run, at))?;
        if let Some((pool, slots)) = wait.slots {
            self.admission.give_back(pool, slots);
        }
        self.waits.forget(&Waiter::Task(run, at, wait.token));
        let team = self.runs.get(&run).map(|active| &active.row.team);
        if let Some(team) = team.and_then(|team| self.teams.get_mut(team)) {
            team.deferred = team.deferred.saturating_sub(1);
            team.tally.resumed += u64::from(resumed);
        }
        wait.trigger
    }

    /// A run leaves the memory although it has not ended: its triggers stay where they are, should it come back.
    pub(super) fn forget_waits(&mut self, run: RunKey) {
        let all = self
            .deferrals
            .waits
            .range((run, InstanceIndex::unmapped(TaskIndex(0)))..);
        let all: Vec<_> = all
            .take_while(|((key, _), _)| *key == run)
            .map(|((_, at), wait)| (*at, wait.token))
            .collect();
        for (at, token) in all {
            if let Some(id) = self.leave_wait(run, at, false) {
                self.deferrals.stored.insert((run, at), (token, id));
            }
        }
    }

    /// Whether pools count what waits in them has changed.
    pub(super) fn count_deferred_anew(&mut self) {
        let mut counted = Vec::new();
        for (&(run, at), wait) in &self.deferrals.waits {
            let slots = self.runs.get(&run).and_then(|active| {
                let (task, spec) = active.run.dag().task(at.task)?;
                let pool = self.pool(&active.row.team, &task.pool)?;
                let counts = self.counting_deferred.contains(&pool);
                counts.then_some((pool, spec.pool_slots))
            });
            if slots != wait.slots {
                counted.push(((run, at), slots));
            }
        }
        for (key, slots) in counted {
            let Some(wait) = self.deferrals.waits.get_mut(&key) else {
                continue;
            };
            if let Some((pool, slots)) = std::mem::replace(&mut wait.slots, slots) {
                self.admission.give_back(pool, slots);
            }
            if let Some((pool, slots)) = slots {
                self.admission.take(pool, slots);
            }
        }
    }

    /// What a task instance waits for has come to an end; one that does not wait any more is left alone.
    pub(super) fn resume(
        &mut self,
        run: RunKey,
        at: InstanceIndex,
        token: Token,
        event: TriggerEvent,
        now: Timestamp,
    ) {
        let mut moves = Moves::default();
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        if active.run.resume(at, token, event, &mut moves).is_ok() {
            self.after_moves(run, &moves, now);
        }
    }

    /// A bundle's own trigger has answered for the last time.
    pub(super) fn trigger_ended(&mut self, end: TriggerEnd, now: Timestamp) {
        let TriggerEnd {
            id,
            key,
            token,
            event,
        } = end;
        self.waits.forget(&Waiter::Trigger(id));
        self.pending.gone_trigger(id);
        self.resume(key.run, key.index(), token, event, now);
    }
}
