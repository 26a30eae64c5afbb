//! Runs and task instances: one batch of changes is one transaction.
//!
//! The scheduler decides in memory and writes what it decided as a [`Batch`]: the end of a try, the states
//! and claims that follow from it, the XComs, the run's end. All of it becomes durable together or not at
//! all, and nothing is built on it before. Reading is for people and for a restart.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Page, Paged, StoreError};
use crate::{
    id::{
        BundleHash, DagId, DefinitionHash, MapIndex, PoolName, RunId, RunKey, TaskId, TaskIndex,
        TaskInstanceKey, TeamName, Token,
    },
    outcome::{Downstream, FailureKind},
    state::{RunState, RunType, TaskState},
    time::Timestamp,
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
    /// When it was created.
    pub queued_at: Timestamp,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it was triggered with: a JSON object, the params with it applied.
    pub conf: Arc<str>,
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

/// A run to create, with all its task instances.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// The run.
    pub run: RunRow,
    /// Its task instances.
    pub tasks: Vec<TaskRow>,
}

/// A run that moves.
#[derive(Debug, Clone, PartialEq)]
pub struct RunChange {
    /// Which.
    pub key: RunKey,
    /// To where.
    pub state: RunState,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A task instance that moves.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskChange {
    /// Which.
    pub key: TaskInstanceKey,
    /// The token that the database holds, as far as the writer knows. If it holds another, somebody else
    /// has moved the task instance, and the whole batch is refused.
    pub expected: Token,
    /// To where.
    pub fields: TaskFields,
}

/// An XCom to write; it replaces one of the same key.
#[derive(Debug, Clone, PartialEq)]
pub struct XcomWrite {
    /// Whose.
    pub key: TaskInstanceKey,
    /// At most 512 bytes.
    pub name: String,
    /// JSON text, or none when it was spilled.
    pub value: Option<Arc<str>>,
    /// Where it was spilled to.
    pub spilled: Option<BundleHash>,
    /// When.
    pub at: Timestamp,
}

/// How far a DAG's timetable has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DagProgress {
    /// The DAG.
    pub dag_id: DagId,
    /// The data interval of the last run that its timetable made.
    pub last_interval: (Timestamp, Timestamp),
    /// When that run could start.
    pub last_run_after: Timestamp,
}

/// What is written in one transaction. Parts are applied in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Runs to create.
    pub new_runs: Vec<NewRun>,
    /// How far timetables have come.
    pub progress: Vec<DagProgress>,
    /// Task instances whose XComs are dropped, because a new try of theirs begins.
    pub forget_xcoms: Vec<TaskInstanceKey>,
    /// Task instances that move; each at most once.
    pub tasks: Vec<TaskChange>,
    /// XComs.
    pub xcoms: Vec<XcomWrite>,
    /// Runs that move; each at most once.
    pub runs: Vec<RunChange>,
}

impl Batch {
    /// Nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a batch was not written. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// These task instances hold another token than expected.
    #[error("AL-0610: {} task instances were moved by somebody else", .0.len())]
    Fenced(Vec<TaskInstanceKey>),
    /// These new runs collide with a run of the same `run_id` or logical date.
    #[error("AL-0611: {} runs exist already", .0.len())]
    RunExists(Vec<RunKey>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An unfinished run with its task instances.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// The run.
    pub run: RunRow,
    /// Its task instances, by position and map index.
    pub tasks: Vec<TaskRow>,
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
    /// The task instances of a run, by position and map index.
    async fn task_instances(&self, run: RunKey) -> Result<Vec<TaskRow>, StoreError>;
    /// How many runs are in each state, per DAG.
    async fn run_counts(&self) -> Result<Vec<(DagId, RunState, u64)>, StoreError>;
}
