//! Task instances.

use airlock_model::{
    id::{DagId, MapIndex, RunId, TaskId},
    port::{RunRow, TaskRow},
    state::TaskState,
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{list_query, runs::found, seconds, text};
use crate::{
    auth::Operator,
    extract::{Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// A task instance: a task in a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskInstance {
    /// Unique: run, position in the DAG, map index.
    id: String,
    task_id: String,
    task_display_name: String,
    dag_id: String,
    dag_display_name: String,
    dag_run_id: String,
    /// -1 for a task that is not mapped.
    map_index: i32,
    logical_date: Option<String>,
    run_after: String,
    queued_when: Option<String>,
    start_date: Option<String>,
    end_date: Option<String>,
    /// Of the last try, in seconds.
    duration: Option<f64>,
    /// Null: nobody has looked at it yet.
    state: Option<String>,
    /// The current try; 0 before the first.
    try_number: u32,
    max_tries: u32,
    pool: String,
    pool_slots: u32,
    priority_weight: i64,
    /// Why the last try did not succeed. May hold the bundle's text.
    note: Option<String>,
    /// The fencing token of the current try.
    token: u64,
}

/// Task instances, in the order of the DAG.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskInstanceCollection {
    task_instances: Vec<TaskInstance>,
    total_entries: u64,
}

list_query! {
    /// Which task instances.
    TaskInstancesQuery {
        /// In one of these states; may stand several times.
        state: Vec<String>,
    }
}

impl TaskInstance {
    fn new(run: &RunRow, task: TaskRow) -> Self {
        let fields = task.fields;
        Self {
            id: format!("{}/{}/{}", run.key.0, task.task.0, task.map_index.0),
            task_display_name: task.task_id.to_string(),
            task_id: task.task_id.to_string(),
            dag_id: run.dag_id.to_string(),
            dag_display_name: run.dag_id.to_string(),
            dag_run_id: run.run_id.to_string(),
            map_index: task.map_index.0,
            logical_date: text(run.logical_date),
            run_after: run.run_after.to_string(),
            queued_when: text(fields.queued_at),
            start_date: text(fields.started_at),
            end_date: text(fields.ended_at),
            duration: seconds(fields.started_at, fields.ended_at),
            state: fields.state.map(|state| state.to_string()),
            try_number: fields.try_number,
            max_tries: fields.max_tries,
            pool: task.pool.to_string(),
            pool_slots: task.pool_slots,
            priority_weight: task.priority,
            note: fields.note.map(|note| note.as_ref().to_owned()),
            token: fields.token.get(),
        }
    }
}

/// One task instance of a run that is there.
pub(crate) async fn instance(
    state: &ApiState,
    run: &RunRow,
    task_id: &TaskId,
    map_index: MapIndex,
) -> Result<TaskRow, ApiError> {
    let tasks = state.runs.task_instances(run.key).await?;
    tasks
        .into_iter()
        .find(|task| task.task_id == *task_id && task.map_index == map_index)
        .ok_or_else(|| {
            let name = format!("{}/{}/{task_id}", run.dag_id, run.run_id);
            ApiError::not_found("task instance", name)
        })
}

/// List the task instances of a run.
#[utoipa::path(get, operation_id = "list_task_instances", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances", tag = "Task Instance",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), TaskInstancesQuery),
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(DagId, RunId)>,
    Query(query): Query<TaskInstancesQuery>,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    let states: Result<Vec<TaskState>, _> = query.state.iter().map(|s| s.parse()).collect();
    let states = states.map_err(ApiError::invalid)?;
    let run = found(&state, &dag_id, &run_id).await?;
    let tasks = state.runs.task_instances(run.key).await?;
    let wanted = |task: &TaskRow| {
        states.is_empty()
            || task
                .fields
                .state
                .is_some_and(|state| states.contains(&state))
    };
    let tasks = tasks.into_iter().filter(wanted).collect();
    let (tasks, total_entries) = query.page().cut(tasks);
    Ok(Json(TaskInstanceCollection {
        task_instances: tasks
            .into_iter()
            .map(|task| TaskInstance::new(&run, task))
            .collect(),
        total_entries,
    }))
}

/// Get the task instance of a task that is not mapped.
#[utoipa::path(get, operation_id = "get_task_instance", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}", tag = "Task Instance",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path)),
    responses((status = 200, body = TaskInstance), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(DagId, RunId, TaskId)>,
) -> Result<Json<TaskInstance>, ApiError> {
    let run = found(&state, &dag_id, &run_id).await?;
    let task = instance(&state, &run, &task_id, MapIndex::UNMAPPED).await?;
    Ok(Json(TaskInstance::new(&run, task)))
}
