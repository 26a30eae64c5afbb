//! Backfills: runs for a past that was not run, or is to be run again (Airflow 3.3.2,
//! `airflow/models/backfill.py`).
//!
//! A backfill is written with all that it asks for, in the transaction that creates its runs, so that a
//! restart finds the whole of it. A DAG has at most one that is not completed.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Page, Paged, StoreError};
use crate::{
    id::{BackfillId, DagId, RunKey, TeamName},
    state::Reprocess,
    time::Timestamp,
};

/// A backfill as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Backfill {
    /// Its id.
    pub id: BackfillId,
    /// The DAG.
    pub dag_id: DagId,
    /// Whose.
    pub team: TeamName,
    /// The first logical date.
    pub from: Timestamp,
    /// The last logical date.
    pub to: Timestamp,
    /// What becomes of runs that are there already.
    pub reprocess: Reprocess,
    /// The latest logical date comes first.
    pub reverse: bool,
    /// Of its runs at once.
    pub max_active_runs: u32,
    /// What its runs are triggered with: a JSON object.
    pub conf: Arc<str>,
    /// None of its runs starts.
    pub is_paused: bool,
    /// When somebody asked for it.
    pub created_at: Timestamp,
    /// When its last run ended, or somebody cancelled it.
    pub completed_at: Option<Timestamp>,
}

/// What a backfill does about one logical date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillRun {
    /// The backfill.
    pub backfill: BackfillId,
    /// Its place in the backfill's order, from one.
    pub ordinal: u32,
    /// The time that the run stands for.
    pub logical_date: Timestamp,
    /// The interval that it covers.
    pub interval: (Timestamp, Timestamp),
    /// The run that it made or took over; none, when it was skipped, or deleted since.
    pub run: Option<RunKey>,
    /// Why it made none, for people.
    pub skipped: Option<String>,
}

/// A backfill that moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillChange {
    /// Which.
    pub id: BackfillId,
    /// Whether it is paused now.
    pub is_paused: bool,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
}

/// Which backfills to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackfillFilter {
    /// Of this DAG only.
    pub dag_id: Option<DagId>,
    /// Of this team only.
    pub team: Option<TeamName>,
    /// Only those that are not completed.
    pub active: bool,
}

/// Reads backfills. They are written as part of a [`super::Batch`] only.
#[async_trait]
pub trait BackfillStore: Send + Sync {
    /// One backfill.
    async fn backfill(&self, id: BackfillId) -> Result<Option<Backfill>, StoreError>;
    /// Backfills, the newest first.
    async fn backfills(
        &self,
        filter: &BackfillFilter,
        page: Page,
    ) -> Result<Paged<Backfill>, StoreError>;
    /// What a backfill does, in its order.
    async fn backfill_runs(&self, id: BackfillId) -> Result<Vec<BackfillRun>, StoreError>;
    /// An id greater than those of all backfills that there are.
    async fn next_backfill_id(&self) -> Result<BackfillId, StoreError>;
}
