//! Triggers and callbacks in memory, claimed as in a database, and who polls and runs them as a test says.

use std::{collections::HashSet, time::Duration};

use airlock_model::{
    callback::{CallbackId, CallbackState},
    id::{HostId, TeamName, TriggerId},
    outcome::Failure,
    port::{
        Batch, CallbackEnd, CallbackFilter, CallbackRow, CallbackRunner, CallbackStore,
        CallbackWork, DeadlineFilter, DeadlineRow, DeadlineStore, FileFailure, FileWaiter, Files,
        FoundFile, Lease, Page, Paged, Poll, PollReport, Polled, Poller, StoreError, TriggerFilter,
        TriggerProgress, TriggerRow, TriggerStore,
    },
    time::Timestamp,
    trigger::FileEvent,
};
use async_trait::async_trait;

use crate::memory::Memory;

/// What there is of triggers and callbacks.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) triggers: Vec<(TriggerRow, Option<Lease>)>,
    pub(crate) callbacks: Vec<(CallbackRow, Option<Lease>)>,
    pub(crate) deadlines: Vec<DeadlineRow>,
    pub(crate) keys: HashSet<String>,
    pub(crate) events: Vec<String>,
}

impl Rows {
    /// Whoever held these triggers does so no more.
    pub(crate) fn free(&mut self, ids: &[TriggerId]) {
        let held = self.triggers.iter_mut();
        held.filter(|(row, _)| ids.contains(&row.id))
            .for_each(|(_, lease)| *lease = None);
    }

    pub(crate) fn apply(&mut self, batch: &Batch) {
        self.triggers
            .extend(batch.new_triggers.iter().map(|row| (row.clone(), None)));
        self.triggers
            .retain(|(row, _)| !batch.gone_triggers.contains(&row.id));
        for (id, _, progress) in &batch.watched {
            for (row, lease) in self.triggers.iter_mut().filter(|(row, _)| row.id == *id) {
                (row.progress, *lease) = (progress.clone(), None);
            }
        }
        self.callbacks
            .extend(batch.callbacks.iter().map(|row| (row.clone(), None)));
        self.deadlines
            .retain(|row| row.missed_at.is_some() || !batch.gone_deadlines.contains(&row.run));
        for new in &batch.deadlines {
            self.deadlines
                .retain(|row| (row.run, &row.name) != (new.run, &new.name));
            self.deadlines.push(new.clone());
        }
        self.keys
            .extend(batch.seen_keys.iter().map(|seen| seen.key.clone()));
        self.events.extend(
            batch
                .asset_events
                .iter()
                .map(|event| event.extra.to_string()),
        );
    }
}

fn lease((host, until): (HostId, Timestamp)) -> Lease {
    Lease {
        host,
        token: airlock_model::id::Token::stored(1),
        until,
    }
}

#[async_trait]
impl TriggerStore for Memory {
    async fn claim_triggers(
        &self,
        by: (HostId, Timestamp),
        now: Timestamp,
        _: u32,
        most: u32,
    ) -> Result<Vec<(TriggerRow, Lease)>, StoreError> {
        let mut rows = self.waiting.lock().unwrap();
        let due = |(row, held): &&mut (TriggerRow, Option<Lease>)| {
            held.is_none() && row.progress.next_poll_at.is_some_and(|at| at <= now)
        };
        let due = rows.triggers.iter_mut().filter(due).take(most as usize);
        let claimed = due.map(|(row, held)| (row.clone(), *held.insert(lease(by))));
        Ok(claimed.collect())
    }
    async fn polled(
        &self,
        polls: &[(TriggerId, Lease, TriggerProgress)],
    ) -> Result<Vec<TriggerId>, StoreError> {
        let mut rows = self.waiting.lock().unwrap();
        for (id, _, progress) in polls {
            for (row, held) in rows.triggers.iter_mut().filter(|(row, _)| row.id == *id) {
                (row.progress, *held) = (progress.clone(), None);
            }
        }
        Ok(vec![])
    }
    async fn renew_triggers(&self, _: HostId, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
    async fn next_trigger_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.waiting.lock().unwrap();
        let free = rows.triggers.iter().filter(|(_, held)| held.is_none());
        Ok(free.filter_map(|(row, _)| row.progress.next_poll_at).min())
    }
    async fn wake_triggers(&self, ids: &[TriggerId], now: Timestamp) -> Result<(), StoreError> {
        let mut rows = self.waiting.lock().unwrap();
        let woken = rows
            .triggers
            .iter_mut()
            .filter(|(row, _)| ids.contains(&row.id));
        woken.for_each(|(row, _)| row.progress.next_poll_at = Some(now));
        Ok(())
    }
    async fn trigger(&self, _: TriggerId) -> Result<Option<TriggerRow>, StoreError> {
        Ok(None)
    }
    async fn triggers(&self, _: &TriggerFilter, _: Page) -> Result<Paged<TriggerRow>, StoreError> {
        Ok(Paged {
            items: vec![],
            total: 0,
        })
    }
}

#[async_trait]
impl CallbackStore for Memory {
    async fn claim_callbacks(
        &self,
        by: (HostId, Timestamp),
        now: Timestamp,
        _: u32,
        most: u32,
    ) -> Result<Vec<(CallbackRow, Lease)>, StoreError> {
        let mut rows = self.waiting.lock().unwrap();
        let due = |(row, held): &&mut (CallbackRow, Option<Lease>)| {
            row.state == CallbackState::Pending && held.is_none() && row.next_try_at <= now
        };
        let due = rows.callbacks.iter_mut().filter(due).take(most as usize);
        let claimed = due.map(|(row, held)| {
            row.tries += 1;
            (row.clone(), *held.insert(lease(by)))
        });
        Ok(claimed.collect())
    }
    async fn callbacks_ended(
        &self,
        ends: &[(CallbackId, Lease, Timestamp, CallbackEnd)],
    ) -> Result<Vec<CallbackId>, StoreError> {
        let mut rows = self.waiting.lock().unwrap();
        for (id, _, _, end) in ends {
            for (row, held) in rows.callbacks.iter_mut().filter(|(row, _)| row.id == *id) {
                *held = None;
                row.state = match end {
                    CallbackEnd::Done => CallbackState::Success,
                    CallbackEnd::Failed { .. } => CallbackState::Failed,
                    CallbackEnd::Again { at, .. } => {
                        row.next_try_at = *at;
                        CallbackState::Pending
                    }
                };
            }
        }
        Ok(vec![])
    }
    async fn renew_callbacks(&self, _: HostId, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
    async fn next_callback_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.waiting.lock().unwrap();
        let free = |(row, held): &&(CallbackRow, Option<Lease>)| {
            row.state == CallbackState::Pending && held.is_none()
        };
        let due = rows.callbacks.iter().filter(free);
        Ok(due.map(|(row, _)| row.next_try_at).min())
    }
    async fn retry_callback(&self, id: CallbackId, now: Timestamp) -> Result<bool, StoreError> {
        let mut rows = self.waiting.lock().unwrap();
        let failed = |(row, _): &&mut (CallbackRow, Option<Lease>)| {
            row.id == id && row.state == CallbackState::Failed
        };
        let Some((row, _)) = rows.callbacks.iter_mut().find(failed) else {
            return Ok(false);
        };
        (row.state, row.next_try_at) = (CallbackState::Pending, now);
        Ok(true)
    }
    async fn callback(&self, id: CallbackId) -> Result<Option<CallbackRow>, StoreError> {
        let rows = self.waiting.lock().unwrap();
        let mut rows = rows.callbacks.iter().map(|(row, _)| row);
        Ok(rows.find(|row| row.id == id).cloned())
    }
    async fn callback_counts(&self) -> Result<Vec<(TeamName, CallbackState, u64)>, StoreError> {
        Ok(vec![])
    }
    async fn callbacks(
        &self,
        _: &CallbackFilter,
        _: Page,
    ) -> Result<Paged<CallbackRow>, StoreError> {
        Ok(Paged {
            items: vec![],
            total: 0,
        })
    }
}

#[async_trait]
impl DeadlineStore for Memory {
    async fn deadlines_ahead(&self) -> Result<Vec<DeadlineRow>, StoreError> {
        Ok(vec![])
    }
    async fn deadlines(
        &self,
        _: &DeadlineFilter,
        _: Page,
    ) -> Result<Paged<DeadlineRow>, StoreError> {
        Ok(Paged {
            items: vec![],
            total: 0,
        })
    }
}

type PollAnswer = Box<dyn Fn(&Poll) -> Result<Polled, Failure> + Send + Sync>;
type CallAnswer = Box<dyn Fn(&CallbackWork) -> Result<(), Failure> + Send + Sync>;

type LookAnswer = Box<dyn Fn(&FileEvent) -> Option<Vec<FoundFile>> + Send + Sync>;

/// Polls, runs callbacks and looks at files as a test says.
pub(crate) struct Answers {
    /// None: the disk hangs.
    pub(crate) look: LookAnswer,
    pub(crate) poll: PollAnswer,
    pub(crate) call: CallAnswer,
}

impl Answers {
    /// Nobody waits, and nobody hears of anything.
    pub(crate) fn none() -> Self {
        Self {
            look: Box::new(|_| panic!("no file is to be looked at")),
            poll: Box::new(|_| panic!("nothing is to be polled")),
            call: Box::new(|_| panic!("nobody is to be called")),
        }
    }
}

#[async_trait]
impl Poller for Answers {
    async fn poll(&self, poll: Poll) -> PollReport {
        PollReport {
            answer: (self.poll)(&poll),
            cpu: Duration::from_micros(50),
        }
    }
}

#[async_trait]
impl CallbackRunner for Answers {
    async fn call(&self, work: CallbackWork) -> Result<(), Failure> {
        (self.call)(&work)
    }
}

#[async_trait]
impl Files for Answers {
    async fn look(&self, _: &FileWaiter, event: &FileEvent) -> Result<Vec<FoundFile>, FileFailure> {
        match (self.look)(event) {
            Some(files) => Ok(files),
            None => std::future::pending().await,
        }
    }
}
