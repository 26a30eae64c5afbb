//! Callbacks: the rows that ask for them, and who runs them.
//!
//! A request is written with the [`Batch`](super::Batch) that caused it, and claimed by lease before it is run, so
//! that several hosts on one database share them and a dead host's come free: at least once, and with the same
//! id each time.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Lease, Page, Paged, StoreError};
use crate::{
    callback::{CallbackId, CallbackKind, CallbackState},
    id::{BundleHash, BundleName, DagId, HostId, MapIndex, RunId, RunKey, TaskId, TeamName, Token},
    outcome::Failure,
    state::RunType,
    time::Timestamp,
};

/// A request for a callback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallbackRow {
    /// Its key, by which the code can tell a second execution.
    pub id: CallbackId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Higher goes first: the priority of the task, or the highest of a run's tasks.
    pub priority_weight: i64,
    /// Of what it tells.
    pub kind: CallbackKind,
    /// For people: what happened.
    pub message: Arc<str>,
    /// Whose it is.
    pub team: TeamName,
    /// The bundle whose code it is.
    pub bundle: BundleName,
    /// In the version that the run is pinned to.
    pub hash: BundleHash,
    /// Which code; opaque.
    pub entry: Arc<str>,
    /// What it is made with: JSON text, opaque.
    pub arguments: Arc<str>,
    /// Of what it tells, for programs.
    pub subject: CallbackSubject,
    /// Where it stands.
    pub state: CallbackState,
    /// How often it was tried.
    pub tries: u32,
    /// Not before.
    pub next_try_at: Timestamp,
    /// When its last try ended.
    pub ended_at: Option<Timestamp>,
    /// Why the last try failed, for people.
    pub note: Option<Arc<str>>,
}

/// What a callback tells of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallbackSubject {
    /// The run.
    pub run: RunKey,
    /// Its DAG.
    pub dag_id: DagId,
    /// Its name.
    pub run_id: RunId,
    /// Why it exists.
    pub run_type: RunType,
    /// The time that it stands for.
    pub logical_date: Option<Timestamp>,
    /// The try, where it tells of one.
    pub attempt: Option<CallbackTry>,
    /// The deadline, where it tells of one: its name and its time.
    pub deadline: Option<(String, Timestamp)>,
}

/// The try that a callback tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackTry {
    /// The task.
    pub task_id: TaskId,
    /// Which instance of it.
    pub map_index: MapIndex,
    /// Counted from one.
    pub try_number: u32,
    /// The last try has this number.
    pub max_tries: u32,
}

/// Which callbacks to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallbackFilter {
    /// Of this team only.
    pub team: Option<TeamName>,
    /// Of this DAG only.
    pub dag_id: Option<DagId>,
    /// In one of these states; empty: in any.
    pub states: Vec<CallbackState>,
}

/// How a callback's try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallbackEnd {
    /// It was executed.
    Done,
    /// It failed and is tried again then.
    Again {
        /// Not before.
        at: Timestamp,
        /// Why, for people.
        note: String,
    },
    /// It failed for the last time.
    Failed {
        /// Why, for people.
        note: String,
    },
}

/// Requests for callbacks.
#[async_trait]
pub trait CallbackStore: Send + Sync {
    /// Claims requests whose time has come and that nobody holds: the highest priority first, then the oldest,
    /// at most `per_team` of each team and `most` in all. A claim counts as a try.
    async fn claim_callbacks(
        &self,
        lease: (HostId, Timestamp),
        now: Timestamp,
        per_team: u32,
        most: u32,
    ) -> Result<Vec<(CallbackRow, Lease)>, StoreError>;
    /// Writes how tries ended; tells those whose lease was lost, of which nothing was written.
    async fn callbacks_ended(
        &self,
        ends: &[(CallbackId, Lease, Timestamp, CallbackEnd)],
    ) -> Result<Vec<CallbackId>, StoreError>;
    /// Holds on to all that a host has claimed.
    async fn renew_callbacks(&self, host: HostId, until: Timestamp) -> Result<(), StoreError>;
    /// When the next request is due that nobody holds, or whose lease ends.
    async fn next_callback_due(&self) -> Result<Option<Timestamp>, StoreError>;
    /// Tries one again that has failed; false when there is none that has.
    async fn retry_callback(&self, id: CallbackId, now: Timestamp) -> Result<bool, StoreError>;
    /// One.
    async fn callback(&self, id: CallbackId) -> Result<Option<CallbackRow>, StoreError>;
    /// How many of each team are in each of the states that they do not stay in for good: pending, running and
    /// failed.
    async fn callback_counts(&self) -> Result<Vec<(TeamName, CallbackState, u64)>, StoreError>;
    /// For people, newest first.
    async fn callbacks(
        &self,
        filter: &CallbackFilter,
        page: Page,
    ) -> Result<Paged<CallbackRow>, StoreError>;
}

/// A callback to run.
#[derive(Debug, Clone, PartialEq)]
pub struct CallbackWork {
    /// The request.
    pub row: CallbackRow,
    /// Under which claim.
    pub token: Token,
}

/// Runs callbacks, each in an instance of its own bundle.
#[async_trait]
pub trait CallbackRunner: Send + Sync {
    /// Runs one. Waits for an instance of the team's pool as long as it takes.
    async fn call(&self, work: CallbackWork) -> Result<(), Failure>;
}
