//! What people and programs ask of the scheduler.

use async_trait::async_trait;

use super::{RunRow, StoreError};
use crate::{
    id::{DagId, RunId, TeamName},
    time::Timestamp,
};

/// A run that somebody wants.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerRun {
    /// Of which DAG.
    pub dag_id: DagId,
    /// None: formed from the type and the time, as Airflow does.
    pub run_id: Option<RunId>,
    /// The time that the run is to stand for, if any.
    pub logical_date: Option<Timestamp>,
    /// Not before; none: now.
    pub run_after: Option<Timestamp>,
    /// Overrides the DAG's params: a JSON object.
    pub conf: serde_json::Map<String, serde_json::Value>,
}

/// Why the scheduler did not do what was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such DAG, or it is stale.
    #[error(
        "AL-0701: there is no DAG `{0}`; `airlock dags list` shows what there is, `airlock dags list-import-errors` what could not be imported"
    )]
    NoSuchDag(DagId),
    /// The run exists.
    #[error("AL-0702: DAG `{dag_id}` has a run `{run_id}` already")]
    RunExists {
        /// The DAG.
        dag_id: DagId,
        /// The run.
        run_id: RunId,
    },
    /// A param is missing or unknown.
    #[error("AL-0703: {0}")]
    Params(String),
    /// The scheduler is shutting down.
    #[error("AL-0704: the scheduler is shutting down; try again when it is back")]
    ShuttingDown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How busy a team is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamLoad {
    /// The team.
    pub team: TeamName,
    /// Tries on their way or running.
    pub running: u64,
    /// Task instances that wait for a slot.
    pub scheduled: u64,
    /// Tries that ended since the start: with success, with failure.
    pub succeeded: u64,
    /// Failed tries, those that are retried included.
    pub failed: u64,
    /// Results of superseded tries that were refused.
    pub fenced: u64,
}

/// How the scheduler is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerHealth {
    /// When its loop last came round.
    pub last_heartbeat: Timestamp,
    /// Whether its last write to the store succeeded.
    pub store_ok: bool,
    /// Runs that have not ended.
    pub active_runs: u64,
    /// Batches written since the start.
    pub commits: u64,
    /// Per team.
    pub teams: Vec<TeamLoad>,
}

/// The scheduler as others see it.
#[async_trait]
pub trait Control: Send + Sync {
    /// Creates a run; it is durable when this returns.
    async fn trigger(&self, run: TriggerRun) -> Result<RunRow, ControlError>;
    /// Pauses or unpauses a DAG: a paused one gets no new runs and no new tries; running tries finish.
    async fn set_paused(&self, dag_id: &DagId, paused: bool) -> Result<(), ControlError>;
    /// How it is.
    fn health(&self) -> SchedulerHealth;
}
