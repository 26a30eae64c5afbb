//! What the engine is told.

use airlock_model::{
    connection::Pool,
    id::{BundleHash, BundleName, DagId, TaskInstanceKey, Token},
    outcome::Report,
    port::{ControlError, RunRow, TriggerRun},
    time::Timestamp,
};
use tokio::sync::oneshot;

use super::LiveDag;

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
}
