//! The runs that a DAG's timetable will make.

use airlock_model::{
    id::DagId,
    timetable::{Answer, NextRun, Restriction, Timetable},
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{dags::stored, list_query};
use crate::{
    auth::Operator,
    extract::{Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// A run to come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComingRun {
    /// The time that it stands for.
    logical_date: String,
    data_interval_start: String,
    data_interval_end: String,
    /// It does not start earlier.
    run_after: String,
}

impl From<NextRun> for ComingRun {
    fn from(run: NextRun) -> Self {
        let (start, end) = run.interval;
        Self {
            logical_date: run.logical_date().to_string(),
            data_interval_start: start.to_string(),
            data_interval_end: end.to_string(),
            run_after: run.run_after.to_string(),
        }
    }
}

/// Runs to come, the next first. How many there are altogether nobody can tell.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComingRuns {
    dag_id: String,
    next_runs: Vec<ComingRun>,
}

list_query! {
    /// How many.
    NextRunsQuery {}
}

/// List the runs that a DAG's timetable makes next.
#[utoipa::path(get, operation_id = "list_next_runs", path = "/api/v2/dags/{dag_id}/nextRuns", tag = "DAG",
    params(("dag_id" = String, Path), NextRunsQuery),
    responses((status = 200, body = ComingRuns), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(query): Query<NextRunsQuery>,
) -> Result<Json<ComingRuns>, ApiError> {
    let dag = stored(&state, &dag_id).await?;
    let unreadable = |error| {
        ApiError::Internal(format!(
            "the schedule of DAG `{dag_id}` is not one: {error}"
        ))
    };
    let timetable = Timetable::new(&dag.spec).map_err(unreadable)?;
    let progress = state.runs.progress().await?;
    let last = progress.iter().find(|progress| progress.dag_id == dag_id);
    let last = last.map(|progress| progress.last_interval);
    let page = query.page().page();
    let size = |count| usize::try_from(count).unwrap_or(usize::MAX);
    let runs = match timetable.next_runs(last, Restriction::from(&dag.spec), state.clock.now()) {
        Answer::Known(runs) if !dag.is_stale => runs,
        Answer::Known(_) => {
            return Ok(Json(ComingRuns {
                dag_id: dag_id.to_string(),
                next_runs: Vec::new(),
            }));
        }
        Answer::Ask(_) => {
            return Err(ApiError::Invalid(format!(
                "the timetable of DAG `{dag_id}` is its bundle's own code, which tells one run at a time; the DAG's own next_dagrun_run_after has the next"
            )));
        }
    };
    let runs = runs.skip(size(page.offset)).take(size(page.limit));
    Ok(Json(ComingRuns {
        dag_id: dag_id.to_string(),
        next_runs: runs.map(ComingRun::from).collect(),
    }))
}
