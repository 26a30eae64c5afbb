//! Task instances.

use airlock_model::{
    id::{DagId, MapIndex, RunId, TaskId, TeamName},
    port::{FailedDep, RunRow, TaskRow},
    state::TaskState,
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{list_query, scope::Whose, seconds, text, waits::Deferral};
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
    /// What it waits for, from the moment at which it gives its slot back to the end of the call that goes on; null
    /// outside.
    deferred: Option<Deferral>,
    /// The fencing token of the current try.
    token: u64,
}

/// Task instances, in the order of the DAG.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskInstanceCollection {
    task_instances: Vec<TaskInstance>,
    total_entries: u64,
}

impl TaskInstanceCollection {
    /// All that there is to say.
    pub(crate) fn whole(task_instances: Vec<TaskInstance>) -> Self {
        Self {
            total_entries: task_instances.len() as u64,
            task_instances,
        }
    }
}

/// Why a task instance does not run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Dependency {
    /// What it waits for.
    name: String,
    /// What exactly is missing. May hold the bundle's text.
    reason: String,
}

/// Why a task instance does not run; empty: nothing keeps it from running.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DependencyCollection {
    dependencies: Vec<Dependency>,
    total_entries: u64,
}

list_query! {
    /// Which task instances.
    TaskInstancesQuery {
        /// In one of these states; may stand several times.
        state: Vec<String>,
        /// On behalf of this team: what is another team's is not found.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
    }
}

impl TaskInstance {
    pub(crate) fn new(run: &RunRow, task: TaskRow) -> Self {
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
            deferred: fields.deferred.as_deref().map(Deferral::from),
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

/// The task instances of a run that a query asks for, of those that `wanted` lets through.
async fn some(
    state: &ApiState,
    (dag_id, run_id): (&DagId, &RunId),
    query: TaskInstancesQuery,
    wanted: impl Fn(&TaskRow) -> bool,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    let part = query.page();
    let states: Result<Vec<TaskState>, _> = query.state.iter().map(|s| s.parse()).collect();
    let states = states.map_err(ApiError::invalid)?;
    let run = Whose::of(query.team).run(state, dag_id, run_id).await?;
    let mut tasks = state.runs.task_instances(run.key).await?;
    let in_state = |state: TaskState| states.contains(&state);
    tasks.retain(|task| {
        wanted(task) && (states.is_empty() || task.fields.state.is_some_and(in_state))
    });
    let (tasks, total_entries) = part.cut(tasks);
    let wire = |task| TaskInstance::new(&run, task);
    Ok(Json(TaskInstanceCollection {
        task_instances: tasks.into_iter().map(wire).collect(),
        total_entries,
    }))
}

/// List the task instances of a run, by position in the DAG and map index.
#[utoipa::path(get, operation_id = "list_task_instances", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances", tag = "Task Instance",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), TaskInstancesQuery),
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(DagId, RunId)>,
    Query(query): Query<TaskInstancesQuery>,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    some(&state, (&dag_id, &run_id), query, |_| true).await
}

/// List the instances of a mapped task, by map index.
#[utoipa::path(get, operation_id = "list_mapped_task_instances", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/listMapped",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), TaskInstancesQuery),
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list_mapped(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(DagId, RunId, TaskId)>,
    Query(query): Query<TaskInstancesQuery>,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    let of_task = |task: &TaskRow| task.task_id == task_id && task.map_index.get().is_some();
    some(&state, (&dag_id, &run_id), query, of_task).await
}

/// Get the task instance of a task that is not mapped.
#[utoipa::path(get, operation_id = "get_task_instance", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}", tag = "Task Instance",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), Whose),
    responses((status = 200, body = TaskInstance), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(DagId, RunId, TaskId)>,
    Query(whose): Query<Whose>,
) -> Result<Json<TaskInstance>, ApiError> {
    let run = whose.run(&state, &dag_id, &run_id).await?;
    let task = instance(&state, &run, &task_id, MapIndex::UNMAPPED).await?;
    Ok(Json(TaskInstance::new(&run, task)))
}

/// Get one instance of a mapped task.
#[utoipa::path(get, operation_id = "get_mapped_task_instance", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path),
        ("map_index" = i32, Path, description = "-1 for a task that is not mapped"), Whose),
    responses((status = 200, body = TaskInstance), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get_mapped(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map_index)): Path<(DagId, RunId, TaskId, i32)>,
    Query(whose): Query<Whose>,
) -> Result<Json<TaskInstance>, ApiError> {
    let run = whose.run(&state, &dag_id, &run_id).await?;
    let task = instance(&state, &run, &task_id, MapIndex(map_index)).await?;
    Ok(Json(TaskInstance::new(&run, task)))
}

async fn failed_deps(
    state: &ApiState,
    whose: &Whose,
    (dag_id, run_id, task_id): (DagId, RunId, TaskId),
    map_index: MapIndex,
) -> Result<Json<DependencyCollection>, ApiError> {
    let run = whose.run(state, &dag_id, &run_id).await?;
    let task = instance(state, &run, &task_id, map_index).await?;
    let failed = state
        .control
        .failed_deps(&dag_id, &run_id, &task_id, task.map_index)
        .await?;
    let wire = |dep: FailedDep| Dependency {
        name: dep.dependency.to_owned(),
        reason: dep.reason,
    };
    Ok(Json(DependencyCollection {
        total_entries: failed.len() as u64,
        dependencies: failed.into_iter().map(wire).collect(),
    }))
}

/// Tell why the task instance of a task that is not mapped does not run.
#[utoipa::path(get, operation_id = "get_task_instance_dependencies", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/dependencies",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), Whose),
    responses((status = 200, body = DependencyCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn dependencies(
    _: Operator,
    State(state): State<ApiState>,
    Path(names): Path<(DagId, RunId, TaskId)>,
    Query(whose): Query<Whose>,
) -> Result<Json<DependencyCollection>, ApiError> {
    failed_deps(&state, &whose, names, MapIndex::UNMAPPED).await
}

/// Tell why an instance of a mapped task does not run.
#[utoipa::path(get, operation_id = "get_mapped_task_instance_dependencies", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/dependencies",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path),
        ("map_index" = i32, Path), Whose),
    responses((status = 200, body = DependencyCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn mapped_dependencies(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map_index)): Path<(DagId, RunId, TaskId, i32)>,
    Query(whose): Query<Whose>,
) -> Result<Json<DependencyCollection>, ApiError> {
    let names = (dag_id, run_id, task_id);
    failed_deps(&state, &whose, names, MapIndex(map_index)).await
}
