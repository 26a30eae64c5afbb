//! Deadlines: by when runs have to have succeeded.
//!
//! They are written with the [`Batch`](super::Batch) in which their run is queued, starts or succeeds; the
//! scheduler has a timer for each.

use std::sync::Arc;

use async_trait::async_trait;

use super::{CallbackRow, Page, Paged, StoreError};
use crate::{
    id::{DagId, RunKey, TeamName},
    time::Timestamp,
};

/// A deadline of a run that has not succeeded yet.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadlineRow {
    /// The run.
    pub run: RunKey,
    /// Which of its DAG's deadlines.
    pub name: String,
    /// By when the run has to have succeeded.
    pub at: Timestamp,
    /// When it was found missed, and told of.
    pub missed_at: Option<Timestamp>,
    /// How it is told of; of one that was missed, the request that tells of it.
    pub request: Arc<CallbackRow>,
}

/// Which deadlines to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadlineFilter {
    /// Of this team only.
    pub team: Option<TeamName>,
    /// Of this DAG only.
    pub dag_id: Option<DagId>,
    /// Only those that were missed, or only those that were not.
    pub missed: Option<bool>,
}

/// Deadlines of runs.
#[async_trait]
pub trait DeadlineStore: Send + Sync {
    /// Those that are ahead, for a restart.
    async fn deadlines_ahead(&self) -> Result<Vec<DeadlineRow>, StoreError>;
    /// For people, the earliest first.
    async fn deadlines(
        &self,
        filter: &DeadlineFilter,
        page: Page,
    ) -> Result<Paged<DeadlineRow>, StoreError>;
}
