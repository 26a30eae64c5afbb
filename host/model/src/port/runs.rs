//! Runs and task instances as they are kept.
//!
//! They are written by a [`Batch`] only. Reading is for people, for a restart, and for the rules that look
//! beyond one run.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Batch, CommitError, DagProgress, Page, Paged, StoreError};
use crate::{
    id::{
        BackfillId, BundleHash, DagId, DefinitionHash, InstanceIndex, MapIndex, PoolName, RunId,
        RunKey, TaskId, TaskIndex, TeamName, Token,
    },
    outcome::{Downstream, FailureKind},
    state::{RunState, RunType, TaskState},
    time::Timestamp,
    trigger::Deferred,
};

/// A DAG run as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its key.
    pub key: RunKey,
    /// The DAG.
    pub dag_id: DagId,
    /// Unique in the DAG.
    pub run_id: RunId,
    /// Whose.
    pub team: TeamName,
    /// Why it exists.
    pub run_type: RunType,
    /// Where it stands.
    pub state: RunState,
    /// The bundle version that it is pinned to.
    pub hash: BundleHash,
    /// The definition of its DAG that it is pinned to.
    pub definition: DefinitionHash,
    /// The time that it stands for; unique in the DAG where it is there.
    pub logical_date: Option<Timestamp>,
    /// The interval that it covers.
    pub data_interval: Option<(Timestamp, Timestamp)>,
    /// Not before.
    pub run_after: Timestamp,
    /// When it was created, or cleared and so queued again.
    pub queued_at: Timestamp,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it was triggered with: a JSON object, the params with it applied.
    pub conf: Arc<str>,
    /// As what it ends when its teardowns have, because somebody said so.
    pub ends_as: Option<RunState>,
    /// How many times it was cleared.
    pub clear_number: u32,
    /// The backfill that made it or took it over.
    pub backfill: Option<BackfillId>,
    /// What somebody noted of it, for people.
    pub note: Option<Arc<str>>,
}

/// What changes of a task instance as it moves.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFields {
    /// Where it stands; none: nobody has looked at it.
    pub state: Option<TaskState>,
    /// The current try; zero before the first.
    pub try_number: u32,
    /// The last try's number.
    pub max_tries: u32,
    /// The newest claim.
    pub token: Token,
    /// When the current try was claimed.
    pub queued_at: Option<Timestamp>,
    /// When the current try started.
    pub started_at: Option<Timestamp>,
    /// When the current try started first, for one that has been rescheduled.
    pub first_started_at: Option<Timestamp>,
    /// When the last try ended.
    pub ended_at: Option<Timestamp>,
    /// Not before this time, for one that waits for a retry.
    pub next_try_at: Option<Timestamp>,
    /// Why the last try did not succeed, for people.
    pub note: Option<Arc<str>>,
    /// What ended the last try, where it failed.
    pub failure: Option<FailureKind>,
    /// What it decided about the tasks after it, where it did.
    pub downstream: Option<Arc<Downstream>>,
    /// What it waits for, or what it is to go on with.
    pub deferred: Option<Arc<Deferred>>,
}

impl TaskFields {
    /// Nobody has looked at it.
    #[must_use]
    pub const fn untouched() -> Self {
        Self {
            state: None,
            try_number: 0,
            max_tries: 0,
            token: Token::stored(0),
            queued_at: None,
            started_at: None,
            first_started_at: None,
            ended_at: None,
            next_try_at: None,
            note: None,
            failure: None,
            downstream: None,
            deferred: None,
        }
    }
}

/// A task instance as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// The run.
    pub run: RunKey,
    /// The task's position in the run's version of the DAG.
    pub task: TaskIndex,
    /// Its name.
    pub task_id: TaskId,
    /// Which instance of it.
    pub map_index: MapIndex,
    /// Its pool.
    pub pool: PoolName,
    /// How many slots of it.
    pub pool_slots: u32,
    /// Who goes first.
    pub priority: i64,
    /// Where it stands.
    pub fields: TaskFields,
}

impl TaskRow {
    /// Its place in its run.
    #[must_use]
    pub const fn index(&self) -> InstanceIndex {
        InstanceIndex {
            task: self.task,
            map_index: self.map_index,
        }
    }
}

/// An unfinished run with its task instances.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// The run.
    pub run: RunRow,
    /// Its task instances, by position and map index.
    pub tasks: Vec<TaskRow>,
    /// How many elements its instances returned, of those over which others are mapped.
    pub returned: Vec<(InstanceIndex, u32)>,
}

/// What runs are listed by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunOrder {
    /// When they were created.
    #[default]
    Created,
    /// The time that they stand for, or where they stand for none, the time from which they could start.
    LogicalDate,
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this DAG only.
    pub dag_id: Option<DagId>,
    /// Of this team only.
    pub team: Option<TeamName>,
    /// In one of these states; empty: in any.
    pub states: Vec<RunState>,
    /// For one of these reasons; empty: for any.
    pub run_types: Vec<RunType>,
    /// Of this backfill only.
    pub backfill: Option<BackfillId>,
    /// Standing for this time or a later one.
    pub logical_from: Option<Timestamp>,
    /// Standing for this time or an earlier one.
    pub logical_to: Option<Timestamp>,
    /// Able to start at this time or later.
    pub run_after_from: Option<Timestamp>,
    /// Able to start at this time or earlier.
    pub run_after_to: Option<Timestamp>,
    /// In which order.
    pub order: RunOrder,
    /// Newest first.
    pub newest_first: bool,
}

/// Runs and task instances.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Writes a batch, durably, in one transaction.
    ///
    /// # Errors
    /// A [`CommitError`]; nothing of the batch is written then.
    async fn commit(&self, batch: &Batch) -> Result<(), CommitError>;
    /// All runs that have not ended, oldest first, for a restart.
    async fn unfinished(&self) -> Result<Vec<StoredRun>, StoreError>;
    /// How long the last successful runs of a DAG took from their queueing to their end, at most so many.
    async fn durations(&self, dag_id: &DagId, most: u32) -> Result<Vec<Duration>, StoreError>;
    /// One unfinished or finished run with its task instances.
    async fn stored_run(&self, key: RunKey) -> Result<Option<StoredRun>, StoreError>;
    /// How far all timetables have come.
    async fn progress(&self) -> Result<Vec<DagProgress>, StoreError>;
    /// One run by its names.
    async fn run(&self, dag_id: &DagId, run_id: &RunId) -> Result<Option<RunRow>, StoreError>;
    /// The run that stands for this time.
    async fn run_at(
        &self,
        dag_id: &DagId,
        logical_date: Timestamp,
    ) -> Result<Option<RunRow>, StoreError>;
    /// Runs.
    async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Paged<RunRow>, StoreError>;
    /// The run of the latest logical date before this one; of those only that somebody's clock or backfill
    /// asked for, where `scheduled_only`: neither manual nor asset-triggered ones.
    async fn previous(
        &self,
        dag_id: &DagId,
        before: Timestamp,
        scheduled_only: bool,
    ) -> Result<Option<RunRow>, StoreError>;
    /// The run of the earliest logical date after this one.
    async fn next_after(
        &self,
        dag_id: &DagId,
        logical_date: Timestamp,
    ) -> Result<Option<RunRow>, StoreError>;
    /// How the last runs ended, the newest first by [`RunOrder::LogicalDate`]; what backfills made or took
    /// over is left out.
    async fn last_states(&self, dag_id: &DagId, limit: u32) -> Result<Vec<RunState>, StoreError>;
    /// Whether any run that stands for an earlier time was pinned to a definition with this task, also one
    /// that was deleted since.
    async fn had_task(
        &self,
        dag_id: &DagId,
        task_id: &TaskId,
        before: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Notes something of a run, for people; none: nothing any more. A [`Batch`] leaves it as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such run.
    async fn set_note(&self, key: RunKey, note: Option<&str>) -> Result<(), StoreError>;
    /// Deletes an ended run with its task instances, tries and XComs, for good.
    ///
    /// # Errors
    /// [`StoreError::Refused`] unless it has ended, [`StoreError::NotFound`] when there is no such run.
    async fn delete_run(&self, key: RunKey) -> Result<(), StoreError>;
    /// The task instances of a run, by position and map index.
    async fn task_instances(&self, run: RunKey) -> Result<Vec<TaskRow>, StoreError>;
    /// How many runs are in each state, per DAG.
    async fn run_counts(&self) -> Result<Vec<(DagId, RunState, u64)>, StoreError>;
}
