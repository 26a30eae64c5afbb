//! Deadlines: by when runs have to have succeeded. One that is met goes; one that was missed stays until its run is
//! deleted.

use airlock_model::{
    id::{DagId, TeamName},
    port::{DeadlineFilter, DeadlineRow},
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{list_query, text};
use crate::{
    auth::Operator,
    extract::Query,
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// A deadline of a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deadline {
    dag_id: String,
    dag_run_id: String,
    team_name: String,
    /// Which of its DAG's deadlines.
    name: String,
    /// By when the run has to have succeeded.
    deadline_time: String,
    /// It has not.
    missed: bool,
    /// When that was found, and told of.
    missed_at: Option<String>,
    /// The callback that tells of it; null unless it was missed.
    callback_id: Option<String>,
}

/// Deadlines, the earliest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadlineCollection {
    deadlines: Vec<Deadline>,
    total_entries: u64,
}

list_query! {
    /// Which deadlines.
    DeadlinesQuery {
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
        /// Of this DAG only.
        #[param(value_type = Option<String>)]
        dag_id: Option<DagId>,
        /// Only those that were missed, or only those that are ahead.
        missed: Option<bool>,
    }
}

impl From<DeadlineRow> for Deadline {
    fn from(row: DeadlineRow) -> Self {
        let missed = row.missed_at.is_some();
        Self {
            dag_id: row.request.subject.dag_id.to_string(),
            dag_run_id: row.request.subject.run_id.to_string(),
            team_name: row.request.team.to_string(),
            name: row.name,
            deadline_time: row.at.to_string(),
            missed,
            missed_at: text(row.missed_at),
            callback_id: missed.then(|| row.request.id.to_string()),
        }
    }
}

/// List deadlines, the earliest first.
#[utoipa::path(get, operation_id = "list_deadlines", path = "/api/v2/deadlines", tag = "Deadline", params(DeadlinesQuery),
    responses((status = 200, body = DeadlineCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Query(query): Query<DeadlinesQuery>,
) -> Result<Json<DeadlineCollection>, ApiError> {
    let page = query.page().page();
    let filter = DeadlineFilter {
        team: query.team,
        dag_id: query.dag_id,
        missed: query.missed,
    };
    let found = state.deadlines.deadlines(&filter, page).await?;
    Ok(Json(DeadlineCollection {
        deadlines: found.items.into_iter().map(Deadline::from).collect(),
        total_entries: found.total,
    }))
}
