//! Triggers that are a bundle's own code: their rows, and who polls them.
//!
//! A row is claimed by lease before its trigger is polled, so that several hosts on one database share them and
//! a dead host's come free. A trigger may be polled twice for the same moment; what comes of it is written once,
//! under the claim.

use std::time::Duration;

use async_trait::async_trait;

use super::{Page, Paged, StoreError};
use crate::{
    id::{
        BundleHash, BundleName, DagId, HostId, MapIndex, RunId, TaskId, TaskInstanceKey, TeamName,
        Token, TriggerId,
    },
    outcome::Failure,
    time::Timestamp,
    trigger::{HostEvent, OwnTrigger},
};

/// Who waits for a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerOwner {
    /// A deferred task instance.
    Task {
        /// Which.
        key: TaskInstanceKey,
        /// The claim under which it deferred: it waits for this trigger as long as it holds this token.
        token: Token,
        /// Its run, for people.
        run_id: RunId,
        /// Its task, for people.
        task_id: TaskId,
        /// Which instance of it, for people.
        map_index: MapIndex,
    },
    /// An asset's watcher.
    Watcher {
        /// The asset's name.
        asset: String,
        /// The watcher's name.
        name: String,
    },
}

/// A trigger as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerRow {
    /// Its key.
    pub id: TriggerId,
    /// Who waits for it.
    pub owner: TriggerOwner,
    /// Whose it is.
    pub team: TeamName,
    /// The DAG of the task, or the one that declares the watcher.
    pub dag_id: DagId,
    /// The bundle whose code it is.
    pub bundle: BundleName,
    /// In the version that the run is pinned to; for a watcher, the one that is live.
    pub hash: BundleHash,
    /// The code, and what it is made with.
    pub own: OwnTrigger,
    /// When it was made.
    pub created_at: Timestamp,
    /// How far it is.
    pub progress: TriggerProgress,
}

/// What a poll changes of a trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerProgress {
    /// What it has kept, as JSON text; none before the first poll.
    pub state: Option<String>,
    /// When it is polled next; none: only when something of `on` happens.
    pub next_poll_at: Option<Timestamp>,
    /// What also wakes it.
    pub on: Vec<HostEvent>,
    /// How often it was polled.
    pub polls: u64,
    /// When it was polled last.
    pub last_poll_at: Option<Timestamp>,
    /// What all its polls took of a processor.
    pub cpu: Duration,
    /// Polls since the last that went well.
    pub failures: u32,
    /// Why the last poll did not go well, for people.
    pub note: Option<String>,
}

impl TriggerProgress {
    /// Of one that is to be polled now for the first time.
    #[must_use]
    pub const fn unpolled(now: Timestamp) -> Self {
        Self {
            state: None,
            next_poll_at: Some(now),
            on: Vec::new(),
            polls: 0,
            last_poll_at: None,
            cpu: Duration::ZERO,
            failures: 0,
            note: None,
        }
    }
}

/// A claim on a row: whoever holds the newest may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Who.
    pub host: HostId,
    /// Grows with every claim of the row.
    pub token: Token,
    /// Until when nobody else may claim it.
    pub until: Timestamp,
}

/// Which triggers to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TriggerFilter {
    /// Of this team only.
    pub team: Option<TeamName>,
    /// Of this DAG only.
    pub dag_id: Option<DagId>,
    /// Only those of watchers, or only those of tasks.
    pub watchers: Option<bool>,
    /// Only those whose last poll did not go well.
    pub failing: bool,
}

/// Triggers. New ones and those that have fired are written with the [`Batch`](super::Batch) that their owner
/// moves in.
#[async_trait]
pub trait TriggerStore: Send + Sync {
    /// Claims triggers that are due and that nobody holds, those that have been due longest first, at most
    /// `per_team` of each team and `most` in all.
    async fn claim_triggers(
        &self,
        lease: (HostId, Timestamp),
        now: Timestamp,
        per_team: u32,
        most: u32,
    ) -> Result<Vec<(TriggerRow, Lease)>, StoreError>;
    /// Writes what polls have changed and gives the rows free; tells those whose lease was lost, of which
    /// nothing was written.
    async fn polled(
        &self,
        polls: &[(TriggerId, Lease, TriggerProgress)],
    ) -> Result<Vec<TriggerId>, StoreError>;
    /// Holds on to all that a host has claimed.
    async fn renew_triggers(&self, host: HostId, until: Timestamp) -> Result<(), StoreError>;
    /// When the next trigger is due that nobody holds, or whose lease ends.
    async fn next_trigger_due(&self) -> Result<Option<Timestamp>, StoreError>;
    /// Makes triggers due that wait for something that has happened.
    async fn wake_triggers(&self, ids: &[TriggerId], now: Timestamp) -> Result<(), StoreError>;
    /// One.
    async fn trigger(&self, id: TriggerId) -> Result<Option<TriggerRow>, StoreError>;
    /// For people, oldest first.
    async fn triggers(
        &self,
        filter: &TriggerFilter,
        page: Page,
    ) -> Result<Paged<TriggerRow>, StoreError>;
}

/// What a poll gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Polled {
    /// It has fired, with this JSON text. Of a watcher: an event, and it begins anew.
    Fired(String),
    /// It goes on waiting.
    Waiting(Pause),
    /// A watcher has seen changes, and goes on.
    Seen(Vec<WatchedEvent>, Pause),
}

/// What a trigger that goes on waiting keeps and wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Pause {
    /// JSON text.
    pub state: String,
    /// Not before; none: only when something of `on` happens.
    pub until: Option<Timestamp>,
    /// What also wakes it.
    pub on: Vec<HostEvent>,
}

/// A change that a watcher has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedEvent {
    /// The same for the same change, however often it is seen: of events of one asset with one key, one counts.
    pub key: String,
    /// A JSON object.
    pub extra: String,
}

/// A poll to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Poll {
    /// The trigger, with its state.
    pub trigger: TriggerRow,
    /// Under which claim.
    pub token: Token,
}

/// How a poll ended.
#[derive(Debug, Clone, PartialEq)]
pub struct PollReport {
    /// What it gave, or why it did not.
    pub answer: Result<Polled, Failure>,
    /// What it took of a processor.
    pub cpu: Duration,
}

/// Polls triggers, each in an instance of its own.
#[async_trait]
pub trait Poller: Send + Sync {
    /// Polls one. Waits for an instance of the team's pool as long as it takes.
    async fn poll(&self, poll: Poll) -> PollReport;
}
