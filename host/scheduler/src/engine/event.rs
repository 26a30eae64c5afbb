//! What the engine is told.

use std::time::Duration;

use airlock_model::{
    connection::Pool,
    id::{BackfillId, BundleHash, BundleName, DagId, RunKey, TaskInstanceKey, Token, TriggerId},
    outcome::Report,
    port::{
        AssetEvent, AssetKey, Backfill, BackfillOrder, BackfillRun, ControlError, FailedDep,
        FileWaiter, FoundFile, NewAssetEvent, Repaired, RunRow, TimetableFailure, TriggerRun,
    },
    time::Timestamp,
    timetable::{Interval, NextRun},
    trigger::HostEvent,
};
use tokio::sync::oneshot;

use super::{
    AverageQuestion, CoverQuestion, LiveDag, Loaded, Past, PastQuestion, RepairOrder, Sighting,
    StateFound, StateQuestion, TimetableQuestion, TriggerEnd, Waiter, backfill::BackfillRequest,
};

/// Where the answer to a question goes. Nobody may be waiting for it any more.
pub type Reply<T> = oneshot::Sender<Result<T, ControlError>>;

/// The end of a try.
#[derive(Debug)]
pub struct Ending {
    /// Which task instance.
    pub key: TaskInstanceKey,
    /// Under which claim.
    pub token: Token,
    /// When.
    pub at: Timestamp,
    /// How.
    pub report: Report,
    /// XComs, by their position in the report, that stand in the content store already.
    pub spilled: Vec<(usize, BundleHash)>,
}

/// Something has come to pass, or somebody wants something.
#[derive(Debug)]
pub enum Event {
    /// An instance has begun to run a try.
    Started {
        /// Which task instance.
        key: TaskInstanceKey,
        /// Under which claim.
        token: Token,
        /// When.
        at: Timestamp,
    },
    /// A try has ended.
    Ended(Box<Ending>),
    /// These are the DAGs of a bundle now; its others are stale.
    Imported {
        /// The bundle.
        bundle: BundleName,
        /// Its DAGs.
        dags: Vec<LiveDag>,
    },
    /// Somebody wants a run.
    Trigger(Box<TriggerRun>, Reply<RunRow>),
    /// Somebody has paused or unpaused a DAG; the database knows already.
    Paused(DagId, bool),
    /// These are the pools now.
    Pools(Vec<Pool>),
    /// Somebody clears or marks task instances.
    Repair(RepairOrder, Reply<Vec<Repaired>>),
    /// Somebody ends a run, as succeeded or as failed.
    MarkRun(Box<Loaded>, bool, Reply<RunRow>),
    /// Somebody wants a backfill.
    Backfill(Box<BackfillRequest>, Reply<(Backfill, Vec<BackfillRun>)>),
    /// Somebody pauses, unpauses or cancels a backfill.
    OrderBackfill(BackfillId, BackfillOrder, Reply<Backfill>),
    /// Somebody wants to know why a task instance does not run.
    Why(TaskInstanceKey, Reply<Vec<FailedDep>>),
    /// Somebody tells of a change of an asset.
    AssetChanged(NewAssetEvent, Reply<AssetEvent>),
    /// Somebody forgets what a DAG has queued of an asset, or of all.
    Unqueue(DagId, Option<AssetKey>, Reply<u32>),
    /// Somebody gives a DAG to another bundle; the one it has drops it, if it has no runs that have not ended.
    Release(DagId, Reply<()>),
    /// Somebody deletes a DAG; it is forgotten, if it has no runs that have not ended.
    Forget(DagId, Reply<()>),
    /// A bundle's timetable has answered, or could not.
    TimetableAnswered(
        Box<TimetableQuestion>,
        Result<Option<NextRun>, TimetableFailure>,
    ),
    /// A bundle's timetable has said what a run covers that somebody wants, or could not.
    Covered(Box<CoverQuestion>, Result<Interval, TimetableFailure>),
    /// A bundle's own trigger has answered for the last time.
    TriggerEnded(Box<TriggerEnd>),
    /// A bundle's own trigger goes on, and wants to be polled when one of these happens; what happened since it
    /// was polled counts.
    Listens(TriggerId, Box<FileWaiter>, Vec<HostEvent>, Timestamp),
    /// A watcher has seen changes of which nobody was told.
    Sighted(Box<Sighting>),
    /// The database has said where a run or task instance stands for which somebody waits.
    StateKnown(Box<(StateQuestion, Option<StateFound>)>),
    /// Files are there for which somebody waits. True: they were there when the wait began, and only those that
    /// change from then on count.
    FilesFound(Waiter, Vec<FoundFile>, bool),
    /// Nobody may look at the files for which somebody waits, or at least not so.
    FilesRefused(Waiter, String),
    /// The database has said how long the last successful runs of a DAG took.
    AverageKnown(Box<AverageQuestion>, Vec<Duration>),
    /// Somebody has deleted a run.
    RunDeleted(RunKey),
    /// The database has said what the run before is.
    PastKnown(Box<(PastQuestion, Past)>),
}
