//! Marking: task instances are taken to have ended so.

use airlock_model::{
    audit::AuditAction,
    id::{DagId, MapIndex, RunId, TaskId},
    port::{Repair, RunRow, Selection},
    run::Mark,
};
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Request, State},
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    super::{runs::found, scope::Whose, task_instances::TaskInstanceCollection},
    shown, told,
};
use crate::{
    audit::Change,
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// How to mark task instances.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkBody {
    new_state: NewState,
    /// Also what comes before it.
    #[serde(default)]
    include_upstream: bool,
    /// Also what comes after it.
    #[serde(default)]
    include_downstream: bool,
    /// Also the same task in earlier runs.
    #[serde(default)]
    include_past: bool,
    /// Also the same task in later runs.
    #[serde(default)]
    include_future: bool,
}

/// What a task instance can be marked as.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NewState {
    Success,
    Failed,
    Skipped,
}

impl From<NewState> for Mark {
    fn from(state: NewState) -> Self {
        match state {
            NewState::Success => Self::Success,
            NewState::Failed => Self::Failed,
            NewState::Skipped => Self::Skipped,
        }
    }
}

/// What a path names.
#[derive(Debug, Deserialize)]
struct Target {
    dag_id: DagId,
    dag_run_id: RunId,
    task_id: TaskId,
    /// None: all instances.
    map_index: Option<i32>,
}

/// A request to mark, which is the same at four addresses: with and without a map index, done or only asked
/// about.
pub(crate) struct Wanted {
    target: Target,
    whose: Whose,
    body: MarkBody,
}

impl FromRequest<ApiState> for Wanted {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let Path(target) = Path::from_request_parts(&mut parts, state).await?;
        let Query(whose) = Query::from_request_parts(&mut parts, state).await?;
        let request = Request::from_parts(parts, body);
        let body = <extract::Json<_> as FromRequest<_>>::from_request(request, state).await?;
        Ok(Self {
            target,
            whose,
            body: body.0,
        })
    }
}

impl Wanted {
    /// Done by somebody; only asked about by nobody.
    async fn done(
        self,
        state: &ApiState,
        by: Option<Operator>,
    ) -> Result<Json<TaskInstanceCollection>, ApiError> {
        let Self {
            target,
            whose,
            body,
        } = self;
        let dag = whose.dag(state, &target.dag_id).await?;
        let run = found(state, &target.dag_id, &target.dag_run_id).await?;
        target.is_there(state, &run).await?;
        let subject = format!(
            "task {} of run {} of DAG {}",
            target.task_id, target.dag_run_id, target.dag_id
        );
        let selection = Selection {
            run_ids: vec![target.dag_run_id],
            tasks: vec![(target.task_id, target.map_index.map(MapIndex))],
            upstream: body.include_upstream,
            downstream: body.include_downstream,
            past: body.include_past,
            future: body.include_future,
            ..Selection::default()
        };
        let to = Mark::from(body.new_state);
        let how = Repair::Mark(to);
        let repaired = state
            .control
            .repair(&target.dag_id, selection, how, by.is_none())
            .await?;
        if let Some(operator) = by {
            let mut detail = told(&repaired);
            if let Some(detail) = detail.as_object_mut() {
                detail.insert("state".to_owned(), json!(to.state().to_string()));
            }
            Change::new(AuditAction::TaskMark, subject)
                .of_dag(&dag)
                .with(detail)
                .by(operator, state)
                .await?;
        }
        Ok(Json(shown(state, &target.dag_id, &repaired).await?))
    }
}

impl Target {
    async fn is_there(&self, state: &ApiState, run: &RunRow) -> Result<(), ApiError> {
        let tasks = state.runs.task_instances(run.key).await?;
        let this = |index: MapIndex| self.map_index.is_none_or(|wanted| wanted == index.0);
        if tasks
            .iter()
            .any(|task| task.task_id == self.task_id && this(task.map_index))
        {
            return Ok(());
        }
        let name = format!("{}/{}/{}", self.dag_id, self.dag_run_id, self.task_id);
        Err(ApiError::not_found("task instance", name))
    }
}

/// Mark all instances of a task in a run as succeeded, failed or skipped.
#[utoipa::path(patch, operation_id = "patch_task_instance", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), Whose), request_body = MarkBody,
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn mark(
    operator: Operator,
    State(state): State<ApiState>,
    wanted: Wanted,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    wanted.done(&state, Some(operator)).await
}

/// Tell which task instances marking would concern.
#[utoipa::path(patch, operation_id = "patch_task_instance_dry_run", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/dry_run",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), Whose), request_body = MarkBody,
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn mark_dry_run(
    _: Operator,
    State(state): State<ApiState>,
    wanted: Wanted,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    wanted.done(&state, None).await
}

/// Mark one instance of a mapped task.
#[utoipa::path(patch, operation_id = "patch_mapped_task_instance", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), ("map_index" = i32, Path), Whose), request_body = MarkBody,
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn mark_mapped(
    operator: Operator,
    State(state): State<ApiState>,
    wanted: Wanted,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    wanted.done(&state, Some(operator)).await
}

/// Tell which task instances marking one instance of a mapped task would concern.
#[utoipa::path(patch, operation_id = "patch_mapped_task_instance_dry_run", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/dry_run",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), ("map_index" = i32, Path), Whose), request_body = MarkBody,
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn mark_mapped_dry_run(
    _: Operator,
    State(state): State<ApiState>,
    wanted: Wanted,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    wanted.done(&state, None).await
}
