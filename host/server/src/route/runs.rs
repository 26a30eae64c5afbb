//! DAG runs.

use airlock_model::{
    audit::AuditAction,
    id::{DagId, RunId, TeamName},
    port::{RunFilter, RunOrder, RunRow, TriggerRun},
    state::{RunState, RunType},
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{dags::stored, list_query, scope::Whose, seconds, text, time};
use crate::{
    audit::Change,
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
    /// How many times it was cleared.
    clear_number: u32,
    /// The backfill that made it or took it over.
    backfill_id: Option<i64>,
    /// What somebody noted of it.
    note: Option<String>,
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
    /// What the run covers, from; null with `data_interval_end` for what the DAG's timetable says of the logical
    /// date.
    data_interval_start: Option<String>,
    /// What the run covers, until before.
    data_interval_end: Option<String>,
    /// Not before this time; null for now.
    run_after: Option<String>,
    /// Overrides the DAG's params.
    #[schema(value_type = Option<Object>)]
    conf: Option<serde_json::Map<String, serde_json::Value>>,
    /// For people; at most 1,000 characters.
    note: Option<String>,
}

/// The longest note, in characters (Airflow 3.3.2, `TriggerDAGRunPostBody`).
const NOTE_CHARS: usize = 1000;

/// A note that is not too long.
pub(crate) fn checked_note(note: Option<String>) -> Result<Option<String>, ApiError> {
    match note {
        Some(note) if note.chars().count() > NOTE_CHARS => Err(ApiError::Invalid(format!(
            "`note` is longer than {NOTE_CHARS} characters"
        ))),
        note => Ok(note),
    }
}

impl TriggerBody {
    /// What is asked of the scheduler.
    pub(crate) fn wanted(self, dag_id: DagId) -> Result<TriggerRun, ApiError> {
        let at = |text: &Option<String>| time(text.as_deref());
        let interval = (at(&self.data_interval_start)?, at(&self.data_interval_end)?);
        let data_interval = match interval {
            (Some(start), Some(end)) if start <= end => Some((start, end)),
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(ApiError::Invalid(
                    "`data_interval_start` is later than `data_interval_end`".to_owned(),
                ));
            }
            _ => {
                return Err(ApiError::Invalid(
                    "give `data_interval_start` and `data_interval_end`, or neither".to_owned(),
                ));
            }
        };
        Ok(TriggerRun {
            run_id: self.dag_run_id,
            logical_date: at(&self.logical_date)?,
            data_interval,
            run_after: at(&self.run_after)?,
            conf: self.conf.unwrap_or_default(),
            note: checked_note(self.note)?.map(Into::into),
            ..TriggerRun::now(dag_id)
        })
    }
}

list_query! {
    /// Which runs.
    RunsQuery {
        /// In one of these states; may stand several times.
        state: Vec<String>,
        /// For one of these reasons; may stand several times.
        run_type: Vec<String>,
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
        /// Standing for this time or a later one.
        logical_date_gte: Option<String>,
        /// Standing for this time or an earlier one.
        logical_date_lte: Option<String>,
        /// Able to start at this time or later.
        run_after_gte: Option<String>,
        /// Able to start at this time or earlier.
        run_after_lte: Option<String>,
        /// `run_after` or `logical_date`, with `-` before it for the newest first.
        order_by: Option<String>,
    }
}

impl DagRun {
    pub(crate) fn new(run: RunRow) -> Self {
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
            clear_number: run.clear_number,
            backfill_id: run.backfill.map(|id| id.0),
            note: run.note.as_deref().map(str::to_owned),
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
    let (order, newest_first) = match query.order_by.as_deref() {
        None | Some("run_after") => (RunOrder::Created, false),
        Some("-run_after") => (RunOrder::Created, true),
        Some("logical_date") => (RunOrder::LogicalDate, false),
        Some("-logical_date") => (RunOrder::LogicalDate, true),
        Some(other) => {
            return Err(ApiError::Invalid(format!(
                "runs cannot be ordered by `{}`: write `run_after` or `logical_date`, with `-` before it for the newest first",
                other.escape_debug()
            )));
        }
    };
    let states: Result<Vec<RunState>, _> = query.state.iter().map(|s| s.parse()).collect();
    let types: Result<Vec<RunType>, _> = query.run_type.iter().map(|t| t.parse()).collect();
    let filter = RunFilter {
        dag_id,
        team: query.team.clone(),
        states: states.map_err(ApiError::invalid)?,
        run_types: types.map_err(ApiError::invalid)?,
        backfill: None,
        logical_from: time(query.logical_date_gte.as_deref())?,
        logical_to: time(query.logical_date_lte.as_deref())?,
        run_after_from: time(query.run_after_gte.as_deref())?,
        run_after_to: time(query.run_after_lte.as_deref())?,
        order,
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
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), Whose),
    responses((status = 200, body = DagRun), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(DagId, RunId)>,
    Query(whose): Query<Whose>,
) -> Result<Json<DagRun>, ApiError> {
    let run = whose.run(&state, &dag_id, &run_id).await?;
    Ok(Json(DagRun::new(run)))
}

/// Trigger a run. It is durable when this answers.
#[utoipa::path(post, operation_id = "trigger_dag_run", path = "/api/v2/dags/{dag_id}/dagRuns", tag = "DagRun",
    params(("dag_id" = String, Path), Whose), request_body = TriggerBody,
    responses((status = 200, body = DagRun), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn trigger(
    operator: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<TriggerBody>,
) -> Result<Json<DagRun>, ApiError> {
    let run = body.wanted(dag_id)?;
    let dag = whose.dag(&state, &run.dag_id).await?;
    let run = state.control.trigger(run).await?;
    let subject = format!("run {} of DAG {}", run.run_id, run.dag_id);
    let change = Change::new(AuditAction::RunTrigger, subject).of_dag(&dag);
    change.by(operator, &state).await?;
    Ok(Json(DagRun::new(run)))
}
