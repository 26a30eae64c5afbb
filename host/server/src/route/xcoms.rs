//! XComs of task instances.

use airlock_model::{
    id::{DagId, MapIndex, RunId, TaskId, TeamName},
    port::{RunRow, XcomRow},
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{list_query, scope::Whose, task_instances::instance, text};
use crate::{
    auth::Operator,
    extract::{Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// An XCom, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Xcom {
    key: String,
    timestamp: String,
    logical_date: Option<String>,
    map_index: i32,
    task_id: String,
    dag_id: String,
    run_id: String,
    dag_display_name: String,
    task_display_name: String,
}

/// An XCom with its value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct XcomWithValue {
    #[serde(flatten)]
    xcom: Xcom,
    /// What the task pushed.
    value: serde_json::Value,
}

/// XComs of a task instance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct XcomCollection {
    xcom_entries: Vec<Xcom>,
    total_entries: u64,
}

list_query! {
    /// Which XComs.
    XcomsQuery {
        /// Which instance of a mapped task; -1 where nothing is said.
        map_index: Option<i32>,
        /// On behalf of this team: what is another team's is not found.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
    }
}

/// Which instance.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct XcomQuery {
    /// Which instance of a mapped task; -1 where nothing is said.
    map_index: Option<i32>,
    /// On behalf of this team: what is another team's is not found.
    #[param(value_type = Option<String>)]
    team: Option<TeamName>,
}

fn wire(run: &RunRow, row: &XcomRow) -> Xcom {
    Xcom {
        key: row.key.clone(),
        timestamp: row.at.to_string(),
        logical_date: text(run.logical_date),
        map_index: row.map_index.0,
        task_id: row.task_id.to_string(),
        dag_id: run.dag_id.to_string(),
        run_id: run.run_id.to_string(),
        dag_display_name: run.dag_id.to_string(),
        task_display_name: row.task_id.to_string(),
    }
}

/// The run and all XComs of one of its task instances.
async fn rows(
    state: &ApiState,
    (dag_id, run_id, task_id): (&DagId, &RunId, &TaskId),
    map_index: Option<i32>,
    whose: &Whose,
) -> Result<(RunRow, Vec<XcomRow>), ApiError> {
    let run = whose.run(state, dag_id, run_id).await?;
    let map_index = map_index.map_or(MapIndex::UNMAPPED, MapIndex);
    let task = instance(state, &run, task_id, map_index).await?;
    let rows = state.xcoms.xcoms(dag_id, run_id, task_id, task.map_index);
    let rows = rows.await?;
    Ok((run, rows))
}

/// List the XComs of a task instance.
#[utoipa::path(get, path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries", tag = "XCom",
    operation_id = "list_xcoms",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), XcomsQuery),
    responses((status = 200, body = XcomCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(DagId, RunId, TaskId)>,
    Query(query): Query<XcomsQuery>,
) -> Result<Json<XcomCollection>, ApiError> {
    let (page, whose) = (query.page(), Whose::of(query.team));
    let task = (&dag_id, &run_id, &task_id);
    let (run, rows) = rows(&state, task, query.map_index, &whose).await?;
    let (rows, total_entries) = page.cut(rows);
    Ok(Json(XcomCollection {
        xcom_entries: rows.iter().map(|row| wire(&run, row)).collect(),
        total_entries,
    }))
}

/// Get an XCom with its value.
#[utoipa::path(get, path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries/{xcom_key}", tag = "XCom",
    operation_id = "get_xcom",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path),
        ("xcom_key" = String, Path), XcomQuery),
    responses((status = 200, body = XcomWithValue), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, key)): Path<(DagId, RunId, TaskId, String)>,
    Query(query): Query<XcomQuery>,
) -> Result<Json<XcomWithValue>, ApiError> {
    let (task, whose) = ((&dag_id, &run_id, &task_id), Whose::of(query.team));
    let (run, rows) = rows(&state, task, query.map_index, &whose).await?;
    let row = rows.into_iter().find(|row| row.key == key);
    let row = row.ok_or_else(|| ApiError::not_found("XCom", key))?;
    Ok(Json(XcomWithValue {
        xcom: wire(&run, &row),
        value: serde_json::from_str(&row.value).unwrap_or_default(),
    }))
}
