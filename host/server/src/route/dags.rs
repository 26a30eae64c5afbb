//! DAGs.

use std::collections::{BTreeMap, HashMap};

use airlock_model::{
    audit::AuditAction,
    dag::DagSpec,
    id::{BundleName, DagId, TeamName},
    port::{DagFilter, DagProgress, StoredDag},
    time::Timestamp,
    timetable::{NextRun, Timetable},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{list_query, scope::Whose, text};
use crate::{
    audit::Change,
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::{ApiState, DagDefaults},
};

/// A tag of a DAG.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tag {
    name: String,
    dag_id: String,
    dag_display_name: String,
}

/// A DAG.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Dag {
    dag_id: String,
    dag_display_name: String,
    /// Whose it is.
    team_name: String,
    is_paused: bool,
    /// Gone from its bundle; its history stays.
    is_stale: bool,
    last_parsed_time: String,
    bundle_name: String,
    /// The BLAKE3 of the bundle's component.
    bundle_version: String,
    /// Where the author defined it.
    fileloc: Option<String>,
    relative_fileloc: Option<String>,
    description: Option<String>,
    timetable_summary: Option<String>,
    timetable_description: Option<String>,
    tags: Vec<Tag>,
    /// Tasks at once in one run.
    max_active_tasks: u32,
    /// Runs at once.
    max_active_runs: u32,
    /// After that many failed runs in a row the DAG is paused; 0: never.
    max_consecutive_failed_dag_runs: u32,
    has_task_concurrency_limits: bool,
    has_import_errors: bool,
    next_dagrun_logical_date: Option<String>,
    next_dagrun_data_interval_start: Option<String>,
    next_dagrun_data_interval_end: Option<String>,
    next_dagrun_run_after: Option<String>,
    owners: Vec<String>,
}

/// DAGs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DagCollection {
    dags: Vec<Dag>,
    total_entries: u64,
}

/// A param of a DAG.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Param {
    /// Its default; null where it has to be given.
    value: serde_json::Value,
    /// Whether it has to be given with each run.
    required: bool,
}

/// A DAG in full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DagDetails {
    #[serde(flatten)]
    dag: Dag,
    catchup: bool,
    start_date: Option<String>,
    end_date: Option<String>,
    timezone: String,
    /// In seconds.
    dag_run_timeout: Option<f64>,
    params: BTreeMap<String, Param>,
    /// How many tasks it has.
    task_count: u64,
}

/// What of a DAG can be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DagPatch {
    /// Paused: no new runs and no new tries; running tries finish.
    is_paused: bool,
}

/// A task of a DAG.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Task {
    task_id: String,
    task_display_name: String,
    trigger_rule: String,
    retries: u32,
    /// In seconds.
    retry_delay: f64,
    retry_exponential_backoff: f64,
    /// In seconds, of one try.
    execution_timeout: Option<f64>,
    pool: String,
    pool_slots: u32,
    priority_weight: i32,
    depends_on_past: bool,
    wait_for_downstream: bool,
    /// It becomes many, by itself or with the group around it.
    is_mapped: bool,
    /// The group that it stands in.
    task_group_id: Option<String>,
    doc_md: Option<String>,
    upstream_task_ids: Vec<String>,
    downstream_task_ids: Vec<String>,
    /// Where the author wrote it.
    fileloc: Option<String>,
}

/// Tasks of a DAG, in the order of its definition.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskCollection {
    tasks: Vec<Task>,
    total_entries: u64,
}

list_query! {
    /// Which DAGs.
    DagsQuery {
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
        /// Of this bundle only.
        #[param(value_type = Option<String>)]
        bundle_name: Option<BundleName>,
        /// With this tag only.
        tags: Option<String>,
        /// With false, also those that are gone from their bundle.
        exclude_stale: Option<bool>,
    }
}

impl Dag {
    fn new(
        stored: &StoredDag,
        next: Option<NextRun>,
        has_import_errors: bool,
        defaults: DagDefaults,
    ) -> Self {
        let spec = &stored.spec;
        let id = stored.dag_id.to_string();
        let file = spec.location.as_ref().map(ToString::to_string);
        let timetable = Timetable::new(spec).ok();
        let tag = |name: &String| Tag {
            name: name.clone(),
            dag_id: id.clone(),
            dag_display_name: id.clone(),
        };
        Self {
            tags: spec.tags.iter().map(tag).collect(),
            dag_display_name: id.clone(),
            team_name: stored.team.to_string(),
            is_paused: stored.is_paused,
            is_stale: stored.is_stale,
            last_parsed_time: stored.last_parsed.to_string(),
            bundle_name: stored.bundle.to_string(),
            bundle_version: stored.hash.to_string(),
            fileloc: file.clone(),
            relative_fileloc: file,
            description: spec.description.clone(),
            timetable_description: timetable.as_ref().map(Timetable::describe),
            timetable_summary: timetable.as_ref().map(Timetable::summary),
            max_active_tasks: spec.max_active_tasks.unwrap_or(defaults.max_active_tasks),
            max_active_runs: spec.max_active_runs.unwrap_or(defaults.max_active_runs),
            max_consecutive_failed_dag_runs: spec.max_consecutive_failed_dag_runs,
            has_task_concurrency_limits: spec.tasks.iter().any(|task| {
                task.max_active_tis_per_dag.is_some() || task.max_active_tis_per_dagrun.is_some()
            }),
            has_import_errors,
            next_dagrun_logical_date: text(next.map(|next| next.interval.0)),
            next_dagrun_data_interval_start: text(next.map(|next| next.interval.0)),
            next_dagrun_data_interval_end: text(next.map(|next| next.interval.1)),
            next_dagrun_run_after: text(next.map(|next| next.run_after)),
            owners: spec.owners.clone(),
            dag_id: id,
        }
    }
}

/// The run that a DAG's timetable makes next.
fn next_run(spec: &DagSpec, progress: Option<&DagProgress>, now: Timestamp) -> Option<NextRun> {
    let last = progress.map(|progress| progress.last_interval);
    let timetable = Timetable::new(spec).ok()?;
    // What a bundle's own timetable will say is not known here.
    timetable.next_run(last, spec.into(), now).known()?
}

/// What the answer about some DAGs needs besides them.
struct Surroundings {
    progress: HashMap<DagId, DagProgress>,
    broken: Vec<String>,
    now: Timestamp,
    defaults: DagDefaults,
}

impl Surroundings {
    async fn of(state: &ApiState) -> Result<Self, ApiError> {
        let progress = state.runs.progress().await?;
        let errors = state.dags.import_errors(None).await?;
        Ok(Self {
            progress: progress
                .into_iter()
                .map(|progress| (progress.dag_id.clone(), progress))
                .collect(),
            broken: errors
                .into_iter()
                .filter_map(|error| error.dag_id)
                .collect(),
            now: state.clock.now(),
            defaults: state.defaults,
        })
    }

    fn dag(&self, stored: &StoredDag) -> Dag {
        let progress = self.progress.get(&stored.dag_id);
        let next = (!stored.is_stale)
            .then(|| next_run(&stored.spec, progress, self.now))
            .flatten();
        let broken = self.broken.iter().any(|id| id == stored.dag_id.as_str());
        Dag::new(stored, next, broken, self.defaults)
    }
}

/// One DAG that is there.
pub(crate) async fn stored(state: &ApiState, dag_id: &DagId) -> Result<StoredDag, ApiError> {
    let dag = state.dags.dag(dag_id).await?;
    dag.ok_or_else(|| ApiError::not_found("DAG", dag_id))
}

/// List DAGs by id.
#[utoipa::path(get, operation_id = "list_dags", path = "/api/v2/dags", tag = "DAG", params(DagsQuery),
    responses((status = 200, body = DagCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Query(query): Query<DagsQuery>,
) -> Result<Json<DagCollection>, ApiError> {
    let page = query.page().page();
    let filter = DagFilter {
        team: query.team,
        bundle: query.bundle_name,
        tag: query.tags,
        include_stale: query.exclude_stale == Some(false),
    };
    let found = state.dags.dags(&filter, page).await?;
    let surroundings = Surroundings::of(&state).await?;
    Ok(Json(DagCollection {
        dags: found
            .items
            .iter()
            .map(|dag| surroundings.dag(dag))
            .collect(),
        total_entries: found.total,
    }))
}

/// Get a DAG.
#[utoipa::path(get, operation_id = "get_dag", path = "/api/v2/dags/{dag_id}", tag = "DAG",
    params(("dag_id" = String, Path), Whose),
    responses((status = 200, body = Dag), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(whose): Query<Whose>,
) -> Result<Json<Dag>, ApiError> {
    let dag = whose.dag(&state, &dag_id).await?;
    Ok(Json(Surroundings::of(&state).await?.dag(&dag)))
}

/// Get a DAG in full.
#[utoipa::path(get, operation_id = "get_dag_details", path = "/api/v2/dags/{dag_id}/details", tag = "DAG",
    params(("dag_id" = String, Path), Whose),
    responses((status = 200, body = DagDetails), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn details(
    _: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(whose): Query<Whose>,
) -> Result<Json<DagDetails>, ApiError> {
    let dag = whose.dag(&state, &dag_id).await?;
    let spec = &dag.spec;
    let timezone = spec.schedule.timezone().unwrap_or("UTC").to_owned();
    let params = spec.params.iter().map(|param| {
        let value = param.default.as_deref().map(serde_json::from_str);
        let value = Param {
            required: value.is_none(),
            value: value.and_then(Result::ok).unwrap_or_default(),
        };
        (param.name.clone(), value)
    });
    Ok(Json(DagDetails {
        catchup: spec.catchup,
        start_date: text(spec.start_date),
        end_date: text(spec.end_date),
        timezone,
        dag_run_timeout: spec.dagrun_timeout.map(|timeout| timeout.as_secs_f64()),
        params: params.collect(),
        task_count: spec.tasks.len() as u64,
        dag: Surroundings::of(&state).await?.dag(&dag),
    }))
}

/// List the tasks of a DAG.
#[utoipa::path(get, operation_id = "list_tasks", path = "/api/v2/dags/{dag_id}/tasks", tag = "DAG",
    params(("dag_id" = String, Path), Whose),
    responses((status = 200, body = TaskCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn tasks(
    _: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(whose): Query<Whose>,
) -> Result<Json<TaskCollection>, ApiError> {
    let stored = whose.dag(&state, &dag_id).await?;
    let dag = airlock_model::dag::Dag::new(stored.spec).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        ApiError::Internal(format!(
            "DAG `{dag_id}` is kept in a form that this version cannot read: {}",
            errors.join("; ")
        ))
    })?;
    let ids = |indices: &[airlock_model::id::TaskIndex]| {
        let of = |index: &airlock_model::id::TaskIndex| Some(dag.task(*index)?.0.id.to_string());
        indices.iter().filter_map(of).collect()
    };
    let tasks: Vec<Task> = dag
        .tasks()
        .iter()
        .zip(&dag.spec().tasks)
        .map(|(task, spec)| Task {
            task_id: task.id.to_string(),
            task_display_name: task.id.to_string(),
            trigger_rule: spec.trigger_rule.to_string(),
            retries: spec.retries,
            retry_delay: spec.retry_delay.as_secs_f64(),
            retry_exponential_backoff: spec.retry_exponential_backoff,
            execution_timeout: spec.execution_timeout.map(|time| time.as_secs_f64()),
            pool: task.pool.to_string(),
            pool_slots: spec.pool_slots,
            priority_weight: spec.priority_weight,
            depends_on_past: spec.depends_on_past,
            wait_for_downstream: spec.wait_for_downstream,
            is_mapped: task.mapping.is_some() || task.group.is_some(),
            task_group_id: spec.group.clone(),
            doc_md: spec.doc.clone(),
            upstream_task_ids: ids(&task.upstream),
            downstream_task_ids: ids(&task.downstream),
            fileloc: spec.location.as_ref().map(ToString::to_string),
        })
        .collect();
    Ok(Json(TaskCollection {
        total_entries: tasks.len() as u64,
        tasks,
    }))
}

/// Pause or unpause a DAG.
#[utoipa::path(patch, operation_id = "patch_dag", path = "/api/v2/dags/{dag_id}", tag = "DAG",
    params(("dag_id" = String, Path), Whose), request_body = DagPatch,
    responses((status = 200, body = Dag), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn patch(
    operator: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(whose): Query<Whose>,
    extract::Json(patch): extract::Json<DagPatch>,
) -> Result<Json<Dag>, ApiError> {
    let dag = whose.dag(&state, &dag_id).await?;
    state.control.set_paused(&dag_id, patch.is_paused).await?;
    let action = match patch.is_paused {
        true => AuditAction::DagPause,
        false => AuditAction::DagUnpause,
    };
    let change = Change::new(action, format!("DAG {dag_id}")).of_dag(&dag);
    change.by(operator, &state).await?;
    let dag = whose.dag(&state, &dag_id).await?;
    Ok(Json(Surroundings::of(&state).await?.dag(&dag)))
}

/// Delete a DAG with its runs and its history. Its bundle brings it back with its next version.
#[utoipa::path(delete, operation_id = "delete_dag", path = "/api/v2/dags/{dag_id}", tag = "DAG",
    params(("dag_id" = String, Path), Whose),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete(
    operator: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(whose): Query<Whose>,
) -> Result<StatusCode, ApiError> {
    let dag = whose.dag(&state, &dag_id).await?;
    state.control.delete_dag(&dag_id).await?;
    let change = Change::new(AuditAction::DagDelete, format!("DAG {dag_id}")).of_dag(&dag);
    change.by(operator, &state).await?;
    Ok(StatusCode::NO_CONTENT)
}
