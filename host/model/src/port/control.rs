//! What people and programs ask of the scheduler.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    AssetEvent, AssetKey, Backfill, BackfillRun, CallbackRow, RunRow, StoreError, TimetableFailure,
};
use crate::{
    callback::CallbackId,
    id::{BackfillId, DagId, MapIndex, RunId, TaskId, TeamName},
    run::Mark,
    state::{Reprocess, RunType, TaskState},
    time::Timestamp,
    timetable::Interval,
};

/// A run that somebody wants.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerRun {
    /// Of which DAG.
    pub dag_id: DagId,
    /// None: formed from the type and the time, as Airflow does.
    pub run_id: Option<RunId>,
    /// It is wanted for the asset that it makes, and its type says so.
    pub materializes: bool,
    /// The time that the run is to stand for, if any.
    pub logical_date: Option<Timestamp>,
    /// What it covers. None: what the timetable says of the logical date; nothing, where there is none.
    pub data_interval: Option<Interval>,
    /// Not before; none: now.
    pub run_after: Option<Timestamp>,
    /// Overrides the DAG's params: a JSON object.
    pub conf: serde_json::Map<String, serde_json::Value>,
    /// For people.
    pub note: Option<Arc<str>>,
}

impl TriggerRun {
    /// A run that starts now, stands for no time, and has the DAG's own params.
    #[must_use]
    pub fn now(dag_id: DagId) -> Self {
        Self {
            dag_id,
            run_id: None,
            materializes: false,
            logical_date: None,
            data_interval: None,
            run_after: None,
            conf: serde_json::Map::new(),
            note: None,
        }
    }

    /// The type of the run (Airflow 3.3.2, `DagRunType`).
    #[must_use]
    pub const fn run_type(&self) -> RunType {
        if self.materializes {
            RunType::AssetMaterialization
        } else {
            RunType::Manual
        }
    }
}

/// Which task instances somebody means: of some runs of a DAG, some tasks, and what lies around both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of these runs; empty: of those whose logical date lies between `from` and `to`.
    pub run_ids: Vec<RunId>,
    /// The first logical date.
    pub from: Option<Timestamp>,
    /// The last logical date.
    pub to: Option<Timestamp>,
    /// These tasks, each with one of its instances, or (none) with all; empty: all of all tasks.
    pub tasks: Vec<(TaskId, Option<MapIndex>)>,
    /// Also what they come after, all instances of it.
    pub upstream: bool,
    /// Also what comes after them, all instances of it.
    pub downstream: bool,
    /// Also the same tasks in all earlier runs.
    pub past: bool,
    /// Also the same tasks in all later runs.
    pub future: bool,
    /// Of all these, only those that failed or could not run.
    pub only_failed: bool,
    /// Of all these, only those that are queued, running or waiting.
    pub only_running: bool,
}

/// What is to become of task instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// As if nobody had looked at them.
    Clear {
        /// Their runs move to the newest version of the DAG first.
        latest_version: bool,
    },
    /// In this state.
    Mark(Mark),
}

/// A task instance that a repair concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Its run.
    pub run_id: RunId,
    /// Its task.
    pub task_id: TaskId,
    /// Which instance of it.
    pub map_index: MapIndex,
    /// Where it stood.
    pub was: Option<TaskState>,
}

/// A backfill that somebody wants (Airflow's semantics, 3.13).
#[derive(Debug, Clone, PartialEq)]
pub struct NewBackfill {
    /// Of which DAG.
    pub dag_id: DagId,
    /// The first logical date.
    pub from: Timestamp,
    /// The last logical date.
    pub to: Timestamp,
    /// What becomes of runs that are there already.
    pub reprocess: Reprocess,
    /// The latest logical date comes first.
    pub reverse: bool,
    /// Of its runs at once; at least 1.
    pub max_active_runs: u32,
    /// Overrides the DAG's params: a JSON object.
    pub conf: serde_json::Map<String, serde_json::Value>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What somebody wants of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillOrder {
    /// None of its runs starts any more; what runs goes on.
    Pause,
    /// It goes on.
    Unpause,
    /// What of it has not begun is not to begin; what runs goes on.
    Cancel,
}

/// Why a task instance does not run (Airflow's `tasks failed-deps`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDep {
    /// What it waits for: the name of a rule, such as `Trigger Rule` or `Pool Slots Available`.
    pub dependency: &'static str,
    /// For people: exactly what is missing, with names and numbers.
    pub reason: String,
}

/// An event of an asset that somebody tells of, or a run of the task that changes it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAssetEvent {
    /// Which asset.
    pub asset: AssetKey,
    /// For people and programs: a JSON object.
    pub extra: serde_json::Map<String, serde_json::Value>,
    /// Who tells.
    pub by: String,
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
    /// There is no such run.
    #[error(
        "AL-0705: DAG `{dag_id}` has no run `{run_id}`; `airlock dags list-runs {dag_id}` shows what there is"
    )]
    NoSuchRun {
        /// The DAG.
        dag_id: DagId,
        /// The run.
        run_id: RunId,
    },
    /// There is no such callback.
    #[error("AL-0708: there is no callback `{0}`; `airlock callbacks list` shows what there is")]
    NoSuchCallback(CallbackId),
    /// There is no such task, backfill or asset; or what is asked for makes no sense.
    #[error("AL-0706: {0}")]
    Refused(String),
    /// The DAG's own timetable did not say what the run covers.
    #[error(
        "AL-0707: no run was made, because the timetable of DAG `{dag_id}` did not say what it covers: {failure}"
    )]
    Timetable {
        /// The DAG.
        dag_id: DagId,
        /// Why not.
        #[source]
        failure: TimetableFailure,
    },
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
    /// Task instances that wait for a trigger.
    pub deferred: u64,
    /// What has come to pass since the start.
    pub tally: TeamTally,
}

/// What has come to pass of a team's since the host's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TeamTally {
    /// Tries that ended with success.
    pub succeeded: u64,
    /// Failed tries, those that are retried included.
    pub failed: u64,
    /// Results of superseded tries that were refused.
    pub fenced: u64,
    /// Waits that ended: their trigger fired or failed, or they timed out.
    pub resumed: u64,
    /// Polls of triggers and watchers.
    pub polls: u64,
    /// Of those, the ones that did not go well.
    pub failed_polls: u64,
    /// Asset events that watchers saw.
    pub watched: u64,
    /// Callbacks that were executed.
    pub callbacks: u64,
    /// Tries of callbacks that failed.
    pub failed_callback_tries: u64,
    /// Callbacks whose last try failed.
    pub failed_callbacks: u64,
    /// Deadlines that were missed.
    pub missed_deadlines: u64,
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
    /// Clears or marks task instances; tells which. With `dry_run` nothing is changed.
    async fn repair(
        &self,
        dag_id: &DagId,
        selection: Selection,
        repair: Repair,
        dry_run: bool,
    ) -> Result<Vec<Repaired>, ControlError>;
    /// Ends a run by hand, as succeeded or as failed.
    async fn mark_run(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        success: bool,
    ) -> Result<RunRow, ControlError>;
    /// Begins a backfill, or says what it would do.
    async fn backfill(
        &self,
        backfill: NewBackfill,
    ) -> Result<(Backfill, Vec<BackfillRun>), ControlError>;
    /// Pauses, unpauses or cancels a backfill.
    async fn order_backfill(
        &self,
        id: BackfillId,
        order: BackfillOrder,
    ) -> Result<Backfill, ControlError>;
    /// Why a task instance does not run; empty: nothing keeps it from running.
    async fn failed_deps(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        task_id: &TaskId,
        map_index: MapIndex,
    ) -> Result<Vec<FailedDep>, ControlError>;
    /// Deletes a DAG with its runs and its history; refused while it has runs that have not ended.
    async fn delete_dag(&self, dag_id: &DagId) -> Result<(), ControlError>;
    /// Deletes a run with its history; refused unless it has ended.
    async fn delete_run(&self, dag_id: &DagId, run_id: &RunId) -> Result<(), ControlError>;
    /// Tells of a change of an asset; the runs that it makes are made when this returns.
    async fn asset_event(&self, event: NewAssetEvent) -> Result<AssetEvent, ControlError>;
    /// Takes what a DAG has queued of assets out of its queue; of one asset, or of all.
    async fn clear_queued_assets(
        &self,
        dag_id: &DagId,
        asset: Option<AssetKey>,
    ) -> Result<u32, ControlError>;
    /// Tries a callback again that has failed for good; it is durable when this returns.
    ///
    /// # Errors
    /// [`ControlError::NoSuchCallback`], and [`ControlError::Refused`] when it has not failed.
    async fn retry_callback(&self, id: CallbackId) -> Result<CallbackRow, ControlError>;
    /// How it is.
    fn health(&self) -> SchedulerHealth;
}
