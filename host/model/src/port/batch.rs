//! What the scheduler decides is written as one [`Batch`], and one batch is one transaction.
//!
//! It decides in memory: the end of a try, the states and claims that follow from it, the XComs, the events
//! of assets, the run's end. All of it becomes durable together or not at all, and nothing is built on it
//! before.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    AssetEvent, AssetKey, Backfill, BackfillChange, BackfillRun, CallbackRow, DeadlineRow, Lease,
    QueueChange, RunRow, StoreError, TaskFields, TaskRow, TriggerProgress, TriggerRow,
};
use crate::{
    dag::AssetSpec,
    id::{
        AssetEventId, BackfillId, BundleHash, BundleName, DagId, DefinitionHash, RunKey, TaskIndex,
        TaskInstanceKey, TeamName, Token, TriggerId,
    },
    state::{RunState, RunType},
    time::Timestamp,
};

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
    /// When it was queued again; none: that stays as it is.
    pub queued_at: Option<Timestamp>,
    /// As what it ends when its teardowns have, because somebody said so.
    pub ends_as: Option<RunState>,
    /// How many times it was cleared.
    pub clear_number: u32,
    /// The backfill that it belongs to now.
    pub backfill: Option<BackfillId>,
    /// Why it exists: a run that a backfill takes over is one of a backfill from then on.
    pub run_type: RunType,
}

/// A mapped task that becomes many, or more than it was.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpandedRows {
    /// The run.
    pub run: RunKey,
    /// The task.
    pub task: TaskIndex,
    /// Its unexpanded instance goes, which has to hold this token; none: there is none any more.
    pub dropped: Option<Token>,
    /// The instances that are new, as they are at the batch's end: they do not stand in [`Batch::tasks`].
    pub rows: Vec<TaskRow>,
}

/// A run that is moved to another version of its DAG.
#[derive(Debug, Clone, PartialEq)]
pub struct Repin {
    /// Which.
    pub run: RunKey,
    /// The bundle version.
    pub hash: BundleHash,
    /// The definition.
    pub definition: DefinitionHash,
    /// From which position to which; no two to one, and none to the position of a task that stays where it
    /// is. Tasks that are gone go to positions beyond those of the new definition.
    pub moved: Vec<(TaskIndex, TaskIndex)>,
    /// Instances of tasks that are new, at their new positions.
    pub added: Vec<TaskRow>,
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
    /// How many elements it has, where something is mapped over it.
    pub length: Option<u32>,
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
    /// Runs that are moved to another version; their keys in the other parts are those after it. Each at
    /// most once.
    pub repinned: Vec<Repin>,
    /// Backfills that begin, each with all that it asks for. Their runs stand in `new_runs` or `runs`.
    pub new_backfills: Vec<(Backfill, Vec<BackfillRun>)>,
    /// Runs to create.
    pub new_runs: Vec<NewRun>,
    /// How far timetables have come.
    pub progress: Vec<DagProgress>,
    /// Task instances whose XComs are dropped, because a new try of theirs begins.
    pub forget_xcoms: Vec<TaskInstanceKey>,
    /// Mapped tasks that become many; each at most once.
    pub expanded: Vec<ExpandedRows>,
    /// Task instances that move; each at most once.
    pub tasks: Vec<TaskChange>,
    /// XComs.
    pub xcoms: Vec<XcomWrite>,
    /// Runs that move; each at most once.
    pub runs: Vec<RunChange>,
    /// Backfills that move; each at most once.
    pub backfills: Vec<BackfillChange>,
    /// Assets that tasks have made up through an alias; what is known of an asset stays as it is.
    pub new_assets: Vec<(TeamName, AssetSpec)>,
    /// Changes of assets, with the resolutions of aliases that they imply. An asset that nobody declared is
    /// known from its first event on.
    pub asset_events: Vec<AssetEvent>,
    /// What DAGs that wait for assets have of it. Of changes of the same entry the last one counts.
    pub asset_queue: Vec<QueueChange>,
    /// Which events made which runs.
    pub consumed: Vec<(RunKey, Vec<AssetEventId>)>,
    /// Triggers that nobody waits for any more: they have fired, or were given up. Of one that is not there
    /// nothing is said; one that is new in the same batch is not made.
    pub gone_triggers: Vec<TriggerId>,
    /// Triggers that begin to be polled. A watcher that its asset has already, because another host was earlier,
    /// is not made again.
    pub new_triggers: Vec<TriggerRow>,
    /// Watchers that are another version's code. Whoever holds one goes on holding it, and the poll after that is
    /// the new version's; of one that is not there nothing is said.
    pub moved_watchers: Vec<WatcherMove>,
    /// Watchers that have seen something, with what is new of them. If the lease was lost, the whole batch is
    /// refused.
    pub watched: Vec<(TriggerId, Lease, TriggerProgress)>,
    /// The keys of asset events that watchers saw. One that is known already is no reason to refuse the batch:
    /// whoever writes asks [`AssetStore::seen_keys`](super::AssetStore::seen_keys) before.
    pub seen_keys: Vec<SeenKey>,
    /// Requests for callbacks.
    pub callbacks: Vec<CallbackRow>,
    /// Runs whose deadlines are met, or have become void; those that were missed stay.
    pub gone_deadlines: Vec<RunKey>,
    /// Deadlines of runs; one of the same run and name is replaced.
    pub deadlines: Vec<DeadlineRow>,
}

/// A watcher's event that has been told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenKey {
    /// The asset.
    pub asset: AssetKey,
    /// The event's key, as the watcher gave it.
    pub key: String,
    /// When.
    pub at: Timestamp,
}

/// A watcher that from now on is the code of another version, or stands in another DAG. It goes on with what it
/// has kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherMove {
    /// Which.
    pub id: TriggerId,
    /// The DAG that declares it.
    pub dag_id: DagId,
    /// The bundle whose code it is.
    pub bundle: BundleName,
    /// In this version.
    pub hash: BundleHash,
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
    /// The DAGs of these new backfills have one that is not completed, or their ids are taken.
    #[error("AL-0612: {} backfills cannot begin: at most one at a time runs for a DAG", .0.len())]
    BackfillExists(Vec<BackfillId>),
    /// Somebody else polls these watchers by now.
    #[error("AL-0613: {} watchers were taken over by somebody else", .0.len())]
    LeaseLost(Vec<TriggerId>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
