//! Clearing and marking: what people do about runs and task instances that did not go as they should.
//!
//! A request that only asks what would happen (`dry_run`) is the default where it is Airflow's.

use std::collections::{BTreeMap, BTreeSet};

use airlock_model::{
    id::{DagId, MapIndex, RunId, TaskId},
    port::{Repair, Repaired, RunRow, Selection},
    run::Mark,
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{
    runs::{DagRun, checked_note, found},
    scope::Whose,
    task_instances::{TaskInstance, TaskInstanceCollection},
    time,
};
use crate::{
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

/// Which instances of which tasks: one selection for each set of map indexes, since a selection holds all its
/// map indexes for all its tasks.
fn by_map_indexes(
    task_ids: &[serde_json::Value],
) -> Result<BTreeMap<BTreeSet<MapIndex>, Vec<TaskId>>, ApiError> {
    let wrong = || {
        ApiError::Invalid(
            "`task_ids` holds task ids, and pairs such as [\"observe\", 3] of a task id and a map index; leave it out for all tasks".to_owned(),
        )
    };
    if task_ids.is_empty() {
        return Err(wrong());
    }
    // None: all instances.
    let mut wanted: BTreeMap<TaskId, Option<BTreeSet<MapIndex>>> = BTreeMap::new();
    for one in task_ids {
        let pair = one.as_array().map(Vec::as_slice);
        let (task, index) = match (one.as_str(), pair) {
            (Some(task), _) => (task, None),
            (None, Some([task, index])) => {
                let index = index.as_i64().and_then(|index| i32::try_from(index).ok());
                let task = task.as_str().ok_or_else(wrong)?;
                (task, Some(MapIndex(index.ok_or_else(wrong)?)))
            }
            _ => return Err(wrong()),
        };
        let task = TaskId::new(task).map_err(ApiError::invalid)?;
        let indexes = wanted.entry(task).or_insert_with(|| Some(BTreeSet::new()));
        match index {
            None => *indexes = None,
            Some(index) => {
                if let Some(indexes) = indexes {
                    indexes.insert(index);
                }
            }
        }
    }
    let mut grouped: BTreeMap<_, Vec<TaskId>> = BTreeMap::new();
    for (task, indexes) in wanted {
        grouped
            .entry(indexes.unwrap_or_default())
            .or_default()
            .push(task);
    }
    Ok(grouped)
}

impl ClearBody {
    /// What it asks for, in parts that the scheduler takes one by one.
    fn selections(&self) -> Result<Vec<Selection>, ApiError> {
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
        let base = Selection {
            run_ids: self.dag_run_id.clone().into_iter().collect(),
            from,
            to,
            task_ids: Vec::new(),
            map_indexes: Vec::new(),
            upstream: self.include_upstream,
            downstream: self.include_downstream,
            past: self.include_past,
            future: self.include_future,
            only_failed: self.only_failed,
            only_running: self.only_running,
        };
        let Some(task_ids) = &self.task_ids else {
            return Ok(vec![base]);
        };
        let parts = by_map_indexes(task_ids)?.into_iter();
        Ok(parts
            .map(|(indexes, task_ids)| Selection {
                task_ids,
                map_indexes: indexes.into_iter().collect(),
                ..base.clone()
            })
            .collect())
    }
}

/// Does a repair that may have several parts. All of them are asked about before the first is done, so that
/// one that is refused leaves nothing half done.
async fn repair(
    state: &ApiState,
    dag_id: &DagId,
    selections: Vec<Selection>,
    repair: Repair,
    dry_run: bool,
) -> Result<Vec<Repaired>, ApiError> {
    if !dry_run && selections.len() > 1 {
        for selection in &selections {
            let asked = state
                .control
                .repair(dag_id, selection.clone(), repair, true);
            asked.await?;
        }
    }
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for selection in selections {
        let part = state.control.repair(dag_id, selection, repair, dry_run);
        let new = part
            .await?
            .into_iter()
            .filter(|one| seen.insert((one.run_id.clone(), one.task_id.clone(), one.map_index)));
        all.extend(new);
    }
    Ok(all)
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

/// Clear a run: its task instances run again, and the run is queued again.
#[utoipa::path(post, operation_id = "clear_dag_run", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/clear", tag = "DagRun",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), Whose), request_body = ClearRunBody,
    responses((status = 200, body = ClearedRun), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn clear_run(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(DagId, RunId)>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<ClearRunBody>,
) -> Result<Json<ClearedRun>, ApiError> {
    whose.dag(&state, &dag_id).await?;
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
        ClearedRun::Run(now(&state, &dag_id, &run_id).await?)
    }))
}

/// End a run by hand, or clear it; note something of it.
#[utoipa::path(patch, operation_id = "patch_dag_run", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}", tag = "DagRun",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), Whose), request_body = DagRunPatch,
    responses((status = 200, body = DagRun), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn patch_run(
    _: Operator,
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
    whose.dag(&state, &dag_id).await?;
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
    if let Some(note) = note {
        state.runs.set_note(run.key, note.as_deref()).await?;
    }
    Ok(Json(*now(&state, &dag_id, &run_id).await?))
}

/// Delete a run that has ended, with its history.
#[utoipa::path(delete, operation_id = "delete_dag_run", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}", tag = "DagRun",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), Whose),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete_run(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(DagId, RunId)>,
    Query(whose): Query<Whose>,
) -> Result<StatusCode, ApiError> {
    whose.dag(&state, &dag_id).await?;
    found(&state, &dag_id, &run_id).await?;
    state.control.delete_run(&dag_id, &run_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Clear task instances, of one run or of many.
#[utoipa::path(post, operation_id = "clear_task_instances", path = "/api/v2/dags/{dag_id}/clearTaskInstances", tag = "Task Instance",
    params(("dag_id" = String, Path), Whose), request_body = ClearBody,
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn clear(
    _: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<ClearBody>,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    let selections = body.selections()?;
    whose.dag(&state, &dag_id).await?;
    if let Some(run_id) = &body.dag_run_id {
        found(&state, &dag_id, run_id).await?;
    }
    let how = Repair::Clear {
        latest_version: body.run_on_latest_version,
    };
    let repaired = repair(&state, &dag_id, selections, how, body.dry_run).await?;
    Ok(Json(shown(&state, &dag_id, &repaired).await?))
}

/// What a request to mark asks for, beside its body.
struct Marked {
    dag_id: DagId,
    run_id: RunId,
    task_id: TaskId,
    /// None: all instances.
    map_index: Option<MapIndex>,
    dry_run: bool,
}

impl Marked {
    async fn done(
        self,
        state: &ApiState,
        whose: &Whose,
        body: &MarkBody,
    ) -> Result<Json<TaskInstanceCollection>, ApiError> {
        whose.dag(state, &self.dag_id).await?;
        let run = found(state, &self.dag_id, &self.run_id).await?;
        self.is_there(state, &run).await?;
        let selection = Selection {
            run_ids: vec![self.run_id],
            task_ids: vec![self.task_id],
            map_indexes: self.map_index.into_iter().collect(),
            upstream: body.include_upstream,
            downstream: body.include_downstream,
            past: body.include_past,
            future: body.include_future,
            ..Selection::default()
        };
        let how = Repair::Mark(body.new_state.into());
        let repaired = state
            .control
            .repair(&self.dag_id, selection, how, self.dry_run)
            .await?;
        Ok(Json(shown(state, &self.dag_id, &repaired).await?))
    }

    async fn is_there(&self, state: &ApiState, run: &RunRow) -> Result<(), ApiError> {
        let tasks = state.runs.task_instances(run.key).await?;
        let this = |index| self.map_index.is_none_or(|wanted| wanted == index);
        if tasks
            .iter()
            .any(|task| task.task_id == self.task_id && this(task.map_index))
        {
            return Ok(());
        }
        let name = format!("{}/{}/{}", self.dag_id, self.run_id, self.task_id);
        Err(ApiError::not_found("task instance", name))
    }
}

/// Mark all instances of a task in a run as succeeded, failed or skipped.
#[utoipa::path(patch, operation_id = "patch_task_instance", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), Whose), request_body = MarkBody,
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn mark(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(DagId, RunId, TaskId)>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<MarkBody>,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    let marked = Marked {
        dag_id,
        run_id,
        task_id,
        map_index: None,
        dry_run: false,
    };
    marked.done(&state, &whose, &body).await
}

/// Tell which task instances marking would concern.
#[utoipa::path(patch, operation_id = "patch_task_instance_dry_run", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/dry_run",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), Whose), request_body = MarkBody,
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn mark_dry_run(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(DagId, RunId, TaskId)>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<MarkBody>,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    let marked = Marked {
        dag_id,
        run_id,
        task_id,
        map_index: None,
        dry_run: true,
    };
    marked.done(&state, &whose, &body).await
}

/// Mark one instance of a mapped task.
#[utoipa::path(patch, operation_id = "patch_mapped_task_instance", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), ("map_index" = i32, Path), Whose), request_body = MarkBody,
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn mark_mapped(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map_index)): Path<(DagId, RunId, TaskId, i32)>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<MarkBody>,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    let marked = Marked {
        dag_id,
        run_id,
        task_id,
        map_index: Some(MapIndex(map_index)),
        dry_run: false,
    };
    marked.done(&state, &whose, &body).await
}

/// Tell which task instances marking one instance of a mapped task would concern.
#[utoipa::path(patch, operation_id = "patch_mapped_task_instance_dry_run", tag = "Task Instance",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/dry_run",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path), ("map_index" = i32, Path), Whose), request_body = MarkBody,
    responses((status = 200, body = TaskInstanceCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn mark_mapped_dry_run(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, map_index)): Path<(DagId, RunId, TaskId, i32)>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<MarkBody>,
) -> Result<Json<TaskInstanceCollection>, ApiError> {
    let marked = Marked {
        dag_id,
        run_id,
        task_id,
        map_index: Some(MapIndex(map_index)),
        dry_run: true,
    };
    marked.done(&state, &whose, &body).await
}
