//! What people do about runs and task instances that did not go as they should: clearing ([`clear`]), marking
//! ([`mark`]), ending, deleting.

pub(crate) mod clear;
pub(crate) mod mark;

use std::collections::{BTreeMap, BTreeSet};

use airlock_model::{
    audit::AuditAction,
    id::{DagId, MapIndex, RunId, TaskId},
    port::{Repair, Repaired, Selection},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    runs::{DagRun, checked_note, found},
    scope::Whose,
    task_instances::{TaskInstance, TaskInstanceCollection},
};
use crate::{
    audit::Change,
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// How to change a run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DagRunPatch {
    /// `success` and `failed` end the run and what of it has not ended; `queued` clears it. Left out or null: it
    /// stays.
    #[serde(default)]
    state: Option<RunPatchState>,
    /// For people; at most 1,000 characters. Null takes the note away; left out, it stays.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    note: Option<Option<String>>,
}

/// What is given, even if it is null.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// What a run can be changed to.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunPatchState {
    Success,
    Failed,
    Queued,
}

/// The task instances that a repair concerned, as they stand now, in the scheduler's order. An instance of a
/// mapped task that is to be mapped anew is no longer there.
async fn shown(
    state: &ApiState,
    dag_id: &DagId,
    repaired: &[Repaired],
) -> Result<TaskInstanceCollection, ApiError> {
    let run_ids: BTreeSet<&RunId> = repaired.iter().map(|one| &one.run_id).collect();
    let mut there: BTreeMap<(RunId, TaskId, MapIndex), TaskInstance> = BTreeMap::new();
    for run_id in run_ids {
        let Some(run) = state.runs.run(dag_id, run_id).await? else {
            continue;
        };
        for task in state.runs.task_instances(run.key).await? {
            let key = (run_id.clone(), task.task_id.clone(), task.map_index);
            there.insert(key, TaskInstance::new(&run, task));
        }
    }
    let instances = repaired
        .iter()
        .filter_map(|one| there.remove(&(one.run_id.clone(), one.task_id.clone(), one.map_index)));
    Ok(TaskInstanceCollection::whole(instances.collect()))
}

/// Which task instances a repair concerned, for the audit: how many, and the first of them.
fn told(repaired: &[Repaired]) -> Value {
    let first = repaired.iter().take(20);
    let named: Vec<_> = first
        .map(|one| json!([one.run_id, one.task_id, one.map_index]))
        .collect();
    json!({"task_instances": repaired.len(), "first": named})
}

/// All of a run.
fn whole(run_id: RunId, only_failed: bool) -> Selection {
    Selection {
        run_ids: vec![run_id],
        only_failed,
        ..Selection::default()
    }
}

/// The run as it stands.
async fn now(state: &ApiState, dag_id: &DagId, run_id: &RunId) -> Result<Box<DagRun>, ApiError> {
    Ok(Box::new(DagRun::new(found(state, dag_id, run_id).await?)))
}

/// A run, for the audit.
fn subject(dag_id: &DagId, run_id: &RunId) -> String {
    format!("run {run_id} of DAG {dag_id}")
}

/// End a run by hand, or clear it; note something of it.
#[utoipa::path(patch, operation_id = "patch_dag_run", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}", tag = "DagRun",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), Whose), request_body = DagRunPatch,
    responses((status = 200, body = DagRun), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn patch_run(
    operator: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(DagId, RunId)>,
    Query(whose): Query<Whose>,
    extract::Json(patch): extract::Json<DagRunPatch>,
) -> Result<Json<DagRun>, ApiError> {
    let note = patch.note.map(checked_note).transpose()?;
    if patch.state.is_none() && note.is_none() {
        return Err(ApiError::Invalid(
            "give `state`, `note`, or both".to_owned(),
        ));
    }
    let dag = whose.dag(&state, &dag_id).await?;
    let run = found(&state, &dag_id, &run_id).await?;
    let end = |success| state.control.mark_run(&dag_id, &run_id, success);
    match patch.state {
        None => {}
        Some(RunPatchState::Success) => drop(end(true).await?),
        Some(RunPatchState::Failed) => drop(end(false).await?),
        Some(RunPatchState::Queued) => {
            let selection = whole(run_id.clone(), false);
            let how = Repair::Clear {
                latest_version: false,
            };
            state.control.repair(&dag_id, selection, how, false).await?;
        }
    }
    if let Some(note) = &note {
        state.runs.set_note(run.key, note.as_deref()).await?;
    }
    let (action, to) = match patch.state {
        Some(RunPatchState::Queued) => (AuditAction::RunClear, Some("queued")),
        Some(RunPatchState::Success) => (AuditAction::RunMark, Some("success")),
        Some(RunPatchState::Failed) => (AuditAction::RunMark, Some("failed")),
        None => (AuditAction::RunMark, None),
    };
    Change::new(action, subject(&dag_id, &run_id))
        .of_dag(&dag)
        .with(json!({"state": to, "noted": note.is_some()}))
        .by(operator, &state)
        .await?;
    Ok(Json(*now(&state, &dag_id, &run_id).await?))
}

/// Delete a run that has ended, with its history.
#[utoipa::path(delete, operation_id = "delete_dag_run", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}", tag = "DagRun",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), Whose),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete_run(
    operator: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(DagId, RunId)>,
    Query(whose): Query<Whose>,
) -> Result<StatusCode, ApiError> {
    let dag = whose.dag(&state, &dag_id).await?;
    found(&state, &dag_id, &run_id).await?;
    state.control.delete_run(&dag_id, &run_id).await?;
    let change = Change::new(AuditAction::RunDelete, subject(&dag_id, &run_id)).of_dag(&dag);
    change.by(operator, &state).await?;
    Ok(StatusCode::NO_CONTENT)
}
