//! Backfills: runs for a past that was not run, or is to be run again.

use std::collections::HashMap;

use airlock_model::{
    audit::AuditAction,
    id::{BackfillId, DagId, TeamName},
    port::{
        Backfill as Model, BackfillFilter, BackfillOrder, BackfillRun as Step, NewBackfill, Page,
        RunFilter, RunRow,
    },
    state::Reprocess,
    time::Timestamp,
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{list_query, scope::Whose, text};
use crate::{
    audit::Change,
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// Runs at once of a backfill that does not say how many (Airflow 3.3.2, `BackfillPostBody`).
const DEFAULT_ACTIVE_RUNS: u32 = 10;

/// A backfill.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Backfill {
    id: i64,
    dag_id: String,
    dag_display_name: String,
    team_name: String,
    /// The first logical date.
    from_date: String,
    /// The last logical date.
    to_date: String,
    #[schema(value_type = Object)]
    dag_run_conf: serde_json::Value,
    /// None of its runs starts.
    is_paused: bool,
    /// What it does about runs that are there already: `none`, `failed` or `completed`.
    reprocess_behavior: String,
    /// The latest logical date comes first.
    run_backwards: bool,
    /// Of its runs at once.
    max_active_runs: u32,
    created_at: String,
    /// When its last run ended, or somebody cancelled it.
    completed_at: Option<String>,
    /// When it was completed; until then, when it was made.
    updated_at: String,
}

/// Backfills, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackfillCollection {
    backfills: Vec<Backfill>,
    total_entries: u64,
}

/// A backfill to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackfillBody {
    #[schema(value_type = String)]
    dag_id: DagId,
    /// The first logical date, as `2012-01-15` or `2012-01-15T06:00:00Z`.
    from_date: String,
    /// The last logical date.
    to_date: String,
    /// The latest logical date comes first.
    #[serde(default)]
    run_backwards: bool,
    /// Overrides the DAG's params.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    dag_run_conf: Option<serde_json::Map<String, serde_json::Value>>,
    /// What it does about runs that are there already: `none` leaves them, `failed` runs those again that
    /// failed, `completed` all that ended.
    #[serde(default = "leave")]
    #[schema(value_type = Option<String>)]
    reprocess_behavior: Reprocess,
    /// Of its runs at once; 10 where nothing is said.
    #[serde(default = "ten")]
    #[schema(minimum = 1)]
    max_active_runs: u32,
}

const fn leave() -> Reprocess {
    Reprocess::None
}

const fn ten() -> u32 {
    DEFAULT_ACTIVE_RUNS
}

/// A run that a backfill would make or run again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlannedRun {
    logical_date: String,
    data_interval_start: String,
    data_interval_end: String,
}

/// A logical date for which a backfill makes no run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SkippedRun {
    logical_date: String,
    /// Why not, for people.
    reason: String,
}

/// What a backfill would do, in its order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackfillPlan {
    backfills: Vec<PlannedRun>,
    total_entries: u64,
    skipped: Vec<SkippedRun>,
}

/// What a backfill does about one logical date.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackfillRun {
    /// Its place in the backfill's order, from 1.
    sort_ordinal: u32,
    logical_date: String,
    data_interval_start: String,
    data_interval_end: String,
    /// The run that it made or took over; null where there is none.
    dag_run_id: Option<String>,
    /// Where that run stands.
    state: Option<String>,
    /// Why there is none, for people.
    exception_reason: Option<String>,
}

/// What a backfill does, in its order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackfillRunCollection {
    backfill_runs: Vec<BackfillRun>,
    total_entries: u64,
}

list_query! {
    /// Which backfills.
    BackfillsQuery {
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
        /// Of this DAG only.
        #[param(value_type = Option<String>)]
        dag_id: Option<DagId>,
        /// Only those that are not completed.
        active: Option<bool>,
    }
}

list_query! {
    /// Which part of a backfill.
    BackfillRunsQuery {
        /// On behalf of this team: another team's backfill is not found.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
    }
}

impl From<Model> for Backfill {
    fn from(backfill: Model) -> Self {
        let created_at = backfill.created_at.to_string();
        let completed_at = text(backfill.completed_at);
        Self {
            id: backfill.id.0,
            dag_display_name: backfill.dag_id.to_string(),
            dag_id: backfill.dag_id.to_string(),
            team_name: backfill.team.to_string(),
            from_date: backfill.from.to_string(),
            to_date: backfill.to.to_string(),
            dag_run_conf: serde_json::from_str(&backfill.conf).unwrap_or_default(),
            is_paused: backfill.is_paused,
            reprocess_behavior: backfill.reprocess.to_string(),
            run_backwards: backfill.reverse,
            max_active_runs: backfill.max_active_runs,
            updated_at: completed_at.clone().unwrap_or_else(|| created_at.clone()),
            created_at,
            completed_at,
        }
    }
}

impl BackfillRun {
    fn new(step: Step, run: Option<&RunRow>) -> Self {
        Self {
            sort_ordinal: step.ordinal,
            logical_date: step.logical_date.to_string(),
            data_interval_start: step.interval.0.to_string(),
            data_interval_end: step.interval.1.to_string(),
            dag_run_id: run.map(|run| run.run_id.to_string()),
            state: run.map(|run| run.state.to_string()),
            exception_reason: step.skipped,
        }
    }
}

impl BackfillPlan {
    fn new(steps: Vec<Step>) -> Self {
        let (mut backfills, mut skipped) = (Vec::new(), Vec::new());
        for step in steps {
            let logical_date = step.logical_date.to_string();
            match step.skipped {
                Some(reason) => skipped.push(SkippedRun {
                    logical_date,
                    reason,
                }),
                None => backfills.push(PlannedRun {
                    logical_date,
                    data_interval_start: step.interval.0.to_string(),
                    data_interval_end: step.interval.1.to_string(),
                }),
            }
        }
        Self {
            total_entries: backfills.len() as u64,
            backfills,
            skipped,
        }
    }
}

impl BackfillBody {
    fn wanted(self, dry_run: bool) -> Result<NewBackfill, ApiError> {
        if self.max_active_runs == 0 {
            return Err(ApiError::Invalid(
                "`max_active_runs` must be 1 or more".to_owned(),
            ));
        }
        let time = |text: &str| text.parse::<Timestamp>().map_err(ApiError::invalid);
        let (from, to) = (time(&self.from_date)?, time(&self.to_date)?);
        if from > to {
            return Err(ApiError::Invalid(
                "`from_date` is later than `to_date`".to_owned(),
            ));
        }
        Ok(NewBackfill {
            dag_id: self.dag_id,
            from,
            to,
            reprocess: self.reprocess_behavior,
            reverse: self.run_backwards,
            max_active_runs: self.max_active_runs,
            conf: self.dag_run_conf.unwrap_or_default(),
            dry_run,
        })
    }
}

/// The backfill, if it is there for whoever asks.
async fn found(state: &ApiState, id: BackfillId, whose: &Whose) -> Result<Model, ApiError> {
    let backfill = state.backfills.backfill(id).await?;
    backfill
        .filter(|backfill| whose.sees(&backfill.team))
        .ok_or_else(|| ApiError::not_found("backfill", id.0))
}

/// List backfills, the newest first.
#[utoipa::path(get, operation_id = "list_backfills", path = "/api/v2/backfills", tag = "Backfill", params(BackfillsQuery),
    responses((status = 200, body = BackfillCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Query(query): Query<BackfillsQuery>,
) -> Result<Json<BackfillCollection>, ApiError> {
    let page = query.page().page();
    let filter = BackfillFilter {
        dag_id: query.dag_id,
        team: query.team,
        active: query.active == Some(true),
    };
    let found = state.backfills.backfills(&filter, page).await?;
    Ok(Json(BackfillCollection {
        backfills: found.items.into_iter().map(Backfill::from).collect(),
        total_entries: found.total,
    }))
}

/// Get a backfill.
#[utoipa::path(get, operation_id = "get_backfill", path = "/api/v2/backfills/{backfill_id}", tag = "Backfill",
    params(("backfill_id" = i64, Path), Whose),
    responses((status = 200, body = Backfill), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path(id): Path<i64>,
    Query(whose): Query<Whose>,
) -> Result<Json<Backfill>, ApiError> {
    let backfill = found(&state, BackfillId(id), &whose).await?;
    Ok(Json(Backfill::from(backfill)))
}

/// List what a backfill does, in its order: which runs it made or took over, and why it made none.
#[utoipa::path(get, operation_id = "list_backfill_runs", path = "/api/v2/backfills/{backfill_id}/runs", tag = "Backfill",
    params(("backfill_id" = i64, Path), BackfillRunsQuery),
    responses((status = 200, body = BackfillRunCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn runs(
    _: Operator,
    State(state): State<ApiState>,
    Path(id): Path<i64>,
    Query(query): Query<BackfillRunsQuery>,
) -> Result<Json<BackfillRunCollection>, ApiError> {
    let part = query.page();
    let whose = Whose::of(query.team);
    let backfill = found(&state, BackfillId(id), &whose).await?;
    let steps = state.backfills.backfill_runs(backfill.id).await?;
    let (steps, total_entries) = part.cut(steps);
    let filter = RunFilter {
        backfill: Some(backfill.id),
        ..RunFilter::default()
    };
    let runs = state.runs.runs(&filter, Page::ALL).await?.items;
    let runs: HashMap<_, _> = runs.iter().map(|run| (run.key, run)).collect();
    let wire = |step: Step| {
        let run = step.run.and_then(|key| runs.get(&key).copied());
        BackfillRun::new(step, run)
    };
    Ok(Json(BackfillRunCollection {
        backfill_runs: steps.into_iter().map(wire).collect(),
        total_entries,
    }))
}

/// Begin a backfill. Its runs are durable when this answers.
#[utoipa::path(post, operation_id = "create_backfill", path = "/api/v2/backfills", tag = "Backfill",
    params(Whose), request_body = BackfillBody,
    responses((status = 200, body = Backfill), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn create(
    operator: Operator,
    State(state): State<ApiState>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<BackfillBody>,
) -> Result<Json<Backfill>, ApiError> {
    let wanted = body.wanted(false)?;
    let dag = whose.dag(&state, &wanted.dag_id).await?;
    let (backfill, _) = state.control.backfill(wanted).await?;
    Change::new(AuditAction::BackfillCreate, subject(&backfill))
        .of_dag(&dag)
        .with(json!({"from": backfill.from.to_string(), "to": backfill.to.to_string()}))
        .by(operator, &state)
        .await?;
    Ok(Json(Backfill::from(backfill)))
}

/// Tell what a backfill would do.
#[utoipa::path(post, operation_id = "create_backfill_dry_run", path = "/api/v2/backfills/dry_run", tag = "Backfill",
    params(Whose), request_body = BackfillBody,
    responses((status = 200, body = BackfillPlan), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn dry_run(
    _: Operator,
    State(state): State<ApiState>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<BackfillBody>,
) -> Result<Json<BackfillPlan>, ApiError> {
    let wanted = body.wanted(true)?;
    whose.dag(&state, &wanted.dag_id).await?;
    let (_, steps) = state.control.backfill(wanted).await?;
    Ok(Json(BackfillPlan::new(steps)))
}

/// A backfill, for the audit.
fn subject(backfill: &Model) -> String {
    format!("backfill {} of DAG {}", backfill.id.0, backfill.dag_id)
}

async fn order(
    operator: Operator,
    state: &ApiState,
    id: i64,
    whose: &Whose,
    order: BackfillOrder,
) -> Result<Json<Backfill>, ApiError> {
    let backfill = found(state, BackfillId(id), whose).await?;
    let backfill = state.control.order_backfill(backfill.id, order).await?;
    let action = match order {
        BackfillOrder::Pause => AuditAction::BackfillPause,
        BackfillOrder::Unpause => AuditAction::BackfillUnpause,
        BackfillOrder::Cancel => AuditAction::BackfillCancel,
    };
    let change = Change::new(action, subject(&backfill)).of_team(&backfill.team);
    change.by(operator, state).await?;
    Ok(Json(Backfill::from(backfill)))
}

/// Pause a backfill: none of its runs starts any more; what runs goes on.
#[utoipa::path(put, operation_id = "pause_backfill", path = "/api/v2/backfills/{backfill_id}/pause", tag = "Backfill",
    params(("backfill_id" = i64, Path), Whose),
    responses((status = 200, body = Backfill), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn pause(
    operator: Operator,
    State(state): State<ApiState>,
    Path(id): Path<i64>,
    Query(whose): Query<Whose>,
) -> Result<Json<Backfill>, ApiError> {
    order(operator, &state, id, &whose, BackfillOrder::Pause).await
}

/// Unpause a backfill.
#[utoipa::path(put, operation_id = "unpause_backfill", path = "/api/v2/backfills/{backfill_id}/unpause", tag = "Backfill",
    params(("backfill_id" = i64, Path), Whose),
    responses((status = 200, body = Backfill), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn unpause(
    operator: Operator,
    State(state): State<ApiState>,
    Path(id): Path<i64>,
    Query(whose): Query<Whose>,
) -> Result<Json<Backfill>, ApiError> {
    order(operator, &state, id, &whose, BackfillOrder::Unpause).await
}

/// Cancel a backfill: what of it has not begun is not to begin; what runs goes on.
#[utoipa::path(put, operation_id = "cancel_backfill", path = "/api/v2/backfills/{backfill_id}/cancel", tag = "Backfill",
    params(("backfill_id" = i64, Path), Whose),
    responses((status = 200, body = Backfill), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn cancel(
    operator: Operator,
    State(state): State<ApiState>,
    Path(id): Path<i64>,
    Query(whose): Query<Whose>,
) -> Result<Json<Backfill>, ApiError> {
    order(operator, &state, id, &whose, BackfillOrder::Cancel).await
}
