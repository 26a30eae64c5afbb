//! Clearing: task instances run again.
//!
//! A request that only asks what would happen (`dry_run`) is the default, as in Airflow.

use airlock_model::{
    audit::AuditAction,
    id::{DagId, MapIndex, RunId, TaskId},
    port::{Repair, Selection},
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    super::{
        runs::{DagRun, found},
        scope::Whose,
        task_instances::TaskInstanceCollection,
        time,
    },
    now, shown, subject, told, whole,
};
use crate::{
    audit::Change,
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// How to clear a run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClearRunBody {
    /// Only say which task instances would be cleared; that is so where nothing is said.
    dry_run: bool,
    /// Only those that failed or could not run.
    only_failed: bool,
    /// The run moves to the newest version of the DAG.
    run_on_latest_version: bool,
}

impl Default for ClearRunBody {
    fn default() -> Self {
        Self {
            dry_run: true,
            only_failed: false,
            run_on_latest_version: false,
        }
    }
}

/// What came of clearing a run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ClearedRun {
    /// What would be cleared.
    Preview(TaskInstanceCollection),
    /// The run, queued again.
    Run(Box<DagRun>),
}

/// Which task instances to clear.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClearBody {
    /// Only say which would be cleared; that is so where nothing is said.
    dry_run: bool,
    /// Of this run; otherwise of all between `start_date` and `end_date`.
    #[schema(value_type = Option<String>)]
    dag_run_id: Option<RunId>,
    /// The first logical date.
    start_date: Option<String>,
    /// The last logical date.
    end_date: Option<String>,
    /// These tasks: each a task_id, or a pair of a task_id and a map index. Null: all tasks.
    #[schema(value_type = Option<Vec<Object>>)]
    task_ids: Option<Vec<serde_json::Value>>,
    /// Also what comes before them.
    include_upstream: bool,
    /// Also what comes after them.
    include_downstream: bool,
    /// Also the same tasks in earlier runs.
    include_past: bool,
    /// Also the same tasks in later runs.
    include_future: bool,
    /// Only those that failed or could not run; that is so where nothing is said.
    only_failed: bool,
    /// Only those that are queued, running or waiting.
    only_running: bool,
    /// Their runs move to the newest version of the DAG.
    run_on_latest_version: bool,
}

impl Default for ClearBody {
    fn default() -> Self {
        Self {
            dry_run: true,
            dag_run_id: None,
            start_date: None,
            end_date: None,
            task_ids: None,
            include_upstream: false,
            include_downstream: false,
            include_past: false,
            include_future: false,
            only_failed: true,
            only_running: false,
            run_on_latest_version: false,
        }
    }
}

/// Tasks, and instances of tasks.
fn pairs(task_ids: &[serde_json::Value]) -> Result<Vec<(TaskId, Option<MapIndex>)>, ApiError> {
    let wrong = || {
        ApiError::Invalid(
            "`task_ids` holds task ids, and pairs such as [\"observe\", 3] of a task id and a map index; leave it out for all tasks".to_owned(),
        )
    };
    if task_ids.is_empty() {
        return Err(wrong());
    }
    let pair = |one: &serde_json::Value| {
        let parts = one.as_array().map(Vec::as_slice);
        let (task, index) = match (one.as_str(), parts) {
            (Some(task), _) => (task, None),
            (None, Some([task, index])) => {
                let index = index.as_i64().and_then(|index| i32::try_from(index).ok());
                let task = task.as_str().ok_or_else(wrong)?;
                (task, Some(MapIndex(index.ok_or_else(wrong)?)))
            }
            _ => return Err(wrong()),
        };
        let task = TaskId::new(task).map_err(ApiError::invalid)?;
        Ok((task, index))
    };
    task_ids.iter().map(pair).collect()
}

impl ClearBody {
    /// What it asks for, as one: all of it is done, or nothing.
    fn selection(&self) -> Result<Selection, ApiError> {
        let from = time(self.start_date.as_deref())?;
        let to = time(self.end_date.as_deref())?;
        if self.dag_run_id.is_some() && (from.is_some() || to.is_some()) {
            return Err(ApiError::Invalid(
                "give `dag_run_id`, or `start_date` and `end_date`, not both".to_owned(),
            ));
        }
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(ApiError::Invalid(
                "`start_date` is later than `end_date`".to_owned(),
            ));
        }
        let tasks = self.task_ids.as_deref().map(pairs).transpose()?;
        Ok(Selection {
            run_ids: self.dag_run_id.clone().into_iter().collect(),
            from,
            to,
            tasks: tasks.unwrap_or_default(),
            upstream: self.include_upstream,
            downstream: self.include_downstream,
            past: self.include_past,
            future: self.include_future,
            only_failed: self.only_failed,
            only_running: self.only_running,
        })
    }
}

/// Clear a run: its task instances run again, and the run is queued again.
#[utoipa::path(post, operation_id = "clear_dag_run", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/clear", tag = "DagRun",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), Whose), request_body = ClearRunBody,
    responses((status = 200, body = ClearedRun), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn clear_run(
    operator: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(DagId, RunId)>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<ClearRunBody>,
) -> Result<Json<ClearedRun>, ApiError> {
    let dag = whose.dag(&state, &dag_id).await?;
    found(&state, &dag_id, &run_id).await?;
    let selection = whole(run_id.clone(), body.only_failed);
    let how = Repair::Clear {
        latest_version: body.run_on_latest_version,
    };
    let repaired = state
        .control
        .repair(&dag_id, selection, how, body.dry_run)
        .await?;
    Ok(Json(if body.dry_run {
        ClearedRun::Preview(shown(&state, &dag_id, &repaired).await?)
    } else {
        Change::new(AuditAction::RunClear, subject(&dag_id, &run_id))
            .of_dag(&dag)
            .with(json!({"task_instances": repaired.len()}))
            .by(operator, &state)
            .await?;
        ClearedRun::Run(now(&state, &dag_id, &run_id).await?)
    }))
}

/// Clear task instances, of one run or of many.
#[utoipa::path(post, operation_id = "clear_task_instances", path = "/api/v2/dags/{dag_id}/clearTaskInstances", tag = "Task Instance",
    params(("dag_id" = String, Path), Whose), request_body = ClearBody,
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn clear(
    operator: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<ClearBody>,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    let selection = body.selection()?;
    let dag = whose.dag(&state, &dag_id).await?;
    if let Some(run_id) = &body.dag_run_id {
        found(&state, &dag_id, run_id).await?;
    }
    let how = Repair::Clear {
        latest_version: body.run_on_latest_version,
    };
    let repaired = state
        .control
        .repair(&dag_id, selection, how, body.dry_run)
        .await?;
    if !body.dry_run {
        Change::new(AuditAction::TaskClear, format!("DAG {dag_id}"))
            .of_dag(&dag)
            .with(told(&repaired))
            .by(operator, &state)
            .await?;
    }
    Ok(Json(shown(&state, &dag_id, &repaired).await?))
}
