//! DAG runs.

use airlock_model::{
    id::{DagId, RunId},
    port::{RunFilter, RunRow, TriggerRun},
    state::RunState,
    time::Timestamp,
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{dags::stored, list_query, seconds, text};
use crate::{
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// In place of a dag_id: of all DAGs (Airflow 3.3.2).
const ALL: &str = "~";

/// A DAG run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DagRun {
    dag_run_id: String,
    dag_id: String,
    dag_display_name: String,
    team_name: String,
    logical_date: Option<String>,
    data_interval_start: Option<String>,
    data_interval_end: Option<String>,
    run_after: String,
    queued_at: String,
    start_date: Option<String>,
    end_date: Option<String>,
    /// In seconds.
    duration: Option<f64>,
    run_type: String,
    /// `queued`, `running`, `success` or `failed`.
    state: String,
    /// The DAG's params with what the run was triggered with.
    #[schema(value_type = Object)]
    conf: serde_json::Value,
    /// The BLAKE3 of the bundle's component that the run is pinned to.
    bundle_version: String,
}

/// DAG runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DagRunCollection {
    dag_runs: Vec<DagRun>,
    total_entries: u64,
}

/// A run to create.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TriggerBody {
    /// Formed from the type and the time where nothing is said.
    #[schema(value_type = Option<String>)]
    dag_run_id: Option<RunId>,
    /// The time that the run stands for, as `2012-01-15T00:00:00Z`; null for a run that stands for none.
    logical_date: Option<String>,
    /// Not before this time; null for now.
    run_after: Option<String>,
    /// Overrides the DAG's params.
    #[schema(value_type = Option<Object>)]
    conf: Option<serde_json::Map<String, serde_json::Value>>,
}

list_query! {
    /// Which runs.
    RunsQuery {
        /// In one of these states; may stand several times.
        state: Vec<String>,
        /// `run_after`, or `-run_after` for the newest first.
        order_by: Option<String>,
    }
}

impl DagRun {
    fn new(run: RunRow) -> Self {
        Self {
            dag_run_id: run.run_id.to_string(),
            dag_display_name: run.dag_id.to_string(),
            dag_id: run.dag_id.to_string(),
            team_name: run.team.to_string(),
            logical_date: text(run.logical_date),
            data_interval_start: text(run.data_interval.map(|(start, _)| start)),
            data_interval_end: text(run.data_interval.map(|(_, end)| end)),
            run_after: run.run_after.to_string(),
            queued_at: run.queued_at.to_string(),
            start_date: text(run.started_at),
            end_date: text(run.ended_at),
            duration: seconds(run.started_at, run.ended_at),
            run_type: run.run_type.to_string(),
            state: run.state.to_string(),
            conf: serde_json::from_str(&run.conf).unwrap_or_default(),
            bundle_version: run.hash.to_string(),
        }
    }
}

/// One run that is there.
pub(crate) async fn found(
    state: &ApiState,
    dag_id: &DagId,
    run_id: &RunId,
) -> Result<RunRow, ApiError> {
    let run = state.runs.run(dag_id, run_id).await?;
    run.ok_or_else(|| ApiError::not_found("DAG run", format!("{dag_id}/{run_id}")))
}

/// List the runs of a DAG, or of all (`~`).
#[utoipa::path(get, operation_id = "list_dag_runs", path = "/api/v2/dags/{dag_id}/dagRuns", tag = "DagRun",
    params(("dag_id" = String, Path, description = "A DAG, or `~` for all"), RunsQuery),
    responses((status = 200, body = DagRunCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<String>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<DagRunCollection>, ApiError> {
    let dag_id = match dag_id.as_str() {
        ALL => None,
        id => {
            let id = DagId::new(id).map_err(ApiError::invalid)?;
            Some(stored(&state, &id).await?.dag_id)
        }
    };
    let newest_first = match query.order_by.as_deref() {
        None | Some("run_after") => false,
        Some("-run_after") => true,
        Some(other) => {
            return Err(ApiError::Invalid(format!(
                "runs cannot be ordered by `{}`: write `run_after` or `-run_after`",
                other.escape_debug()
            )));
        }
    };
    let states: Result<Vec<RunState>, _> = query.state.iter().map(|s| s.parse()).collect();
    let filter = RunFilter {
        dag_id,
        team: None,
        states: states.map_err(ApiError::invalid)?,
        newest_first,
    };
    let found = state.runs.runs(&filter, query.page().page()).await?;
    Ok(Json(DagRunCollection {
        dag_runs: found.items.into_iter().map(DagRun::new).collect(),
        total_entries: found.total,
    }))
}

/// Get a run.
#[utoipa::path(get, operation_id = "get_dag_run", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}", tag = "DagRun",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path)),
    responses((status = 200, body = DagRun), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(DagId, RunId)>,
) -> Result<Json<DagRun>, ApiError> {
    Ok(Json(DagRun::new(found(&state, &dag_id, &run_id).await?)))
}

/// Trigger a run. It is durable when this answers.
#[utoipa::path(post, operation_id = "trigger_dag_run", path = "/api/v2/dags/{dag_id}/dagRuns", tag = "DagRun",
    params(("dag_id" = String, Path)), request_body = TriggerBody,
    responses((status = 200, body = DagRun), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn trigger(
    _: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    extract::Json(body): extract::Json<TriggerBody>,
) -> Result<Json<DagRun>, ApiError> {
    let time = |text: Option<String>| text.map(|text| text.parse::<Timestamp>()).transpose();
    let run = TriggerRun {
        dag_id,
        run_id: body.dag_run_id,
        logical_date: time(body.logical_date).map_err(ApiError::invalid)?,
        run_after: time(body.run_after).map_err(ApiError::invalid)?,
        conf: body.conf.unwrap_or_default(),
    };
    Ok(Json(DagRun::new(state.control.trigger(run).await?)))
}
