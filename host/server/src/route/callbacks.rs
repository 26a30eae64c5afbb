//! Callbacks: code of bundles that hears of what became of tasks and runs. A request stays from the commit that
//! caused it until its run is deleted.

use airlock_model::{
    audit::AuditAction,
    callback::{CallbackId, CallbackState},
    id::{DagId, TeamName},
    port::{CallbackFilter, CallbackRow},
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{list_query, scope::Whose, text, triggers::json_or_text};
use crate::{
    audit::Change,
    auth::Operator,
    extract::{Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// A request for a callback.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Callback {
    /// The code is given it too, and can tell a second execution by it.
    id: String,
    /// Of what it tells: `task_execute`, `task_success`, `task_failure`, `task_retry`, `task_skipped`,
    /// `dag_success`, `dag_failure` or `deadline`.
    kind: String,
    /// `pending`, `running`, `success`, or `failed` after its last try.
    state: String,
    /// What happened.
    message: String,
    team_name: String,
    bundle_name: String,
    /// The version whose code it is: the BLAKE3 of the component.
    bundle_hash: String,
    dag_id: String,
    dag_run_id: String,
    /// The task that it tells of; null where it tells of a run.
    task_id: Option<String>,
    /// -1 for a task that is not mapped; null where it tells of a run.
    map_index: Option<i32>,
    /// Which try it tells of; null where it tells of a run.
    try_number: Option<u32>,
    /// The deadline that was missed, where it tells of one.
    deadline_name: Option<String>,
    /// When that was.
    deadline_time: Option<String>,
    /// Higher goes first.
    priority_weight: i64,
    created_at: String,
    /// How often it was tried.
    tries: u32,
    /// Not before; null unless it is pending.
    next_try_at: Option<String>,
    /// When its last try ended.
    ended_at: Option<String>,
    /// Why the last try failed. May hold the bundle's text.
    note: Option<String>,
}

/// A request for a callback with all that it holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallbackDetails {
    #[serde(flatten)]
    callback: Callback,
    /// Which code of the bundle.
    entry: String,
    /// What that is made with.
    #[schema(value_type = Object)]
    arguments: serde_json::Value,
}

/// Requests for callbacks, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallbackCollection {
    callbacks: Vec<Callback>,
    total_entries: u64,
}

list_query! {
    /// Which callbacks.
    CallbacksQuery {
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
        /// Of this DAG only.
        #[param(value_type = Option<String>)]
        dag_id: Option<DagId>,
        /// In one of these states; may stand several times.
        state: Vec<String>,
    }
}

impl From<CallbackRow> for Callback {
    fn from(row: CallbackRow) -> Self {
        let subject = row.subject;
        let attempt = subject.attempt.as_ref();
        let (deadline_name, deadline_time) = subject.deadline.unzip();
        let is_pending = row.state == CallbackState::Pending;
        Self {
            id: row.id.to_string(),
            kind: row.kind.to_string(),
            state: row.state.to_string(),
            message: row.message.as_ref().to_owned(),
            team_name: row.team.to_string(),
            bundle_name: row.bundle.to_string(),
            bundle_hash: row.hash.to_string(),
            dag_id: subject.dag_id.to_string(),
            dag_run_id: subject.run_id.to_string(),
            task_id: attempt.map(|attempt| attempt.task_id.to_string()),
            map_index: attempt.map(|attempt| attempt.map_index.0),
            try_number: attempt.map(|attempt| attempt.try_number),
            deadline_name,
            deadline_time: text(deadline_time),
            priority_weight: row.priority_weight,
            created_at: row.created_at.to_string(),
            tries: row.tries,
            next_try_at: is_pending.then(|| row.next_try_at.to_string()),
            ended_at: text(row.ended_at),
            note: row.note.map(|note| note.as_ref().to_owned()),
        }
    }
}

/// The request, if it is there for whoever asks.
async fn found(state: &ApiState, id: CallbackId, whose: &Whose) -> Result<CallbackRow, ApiError> {
    let row = state.callbacks.callback(id).await?;
    row.filter(|row| whose.sees(&row.team))
        .ok_or_else(|| ApiError::not_found("callback", id))
}

/// List callbacks, the newest first.
#[utoipa::path(get, operation_id = "list_callbacks", path = "/api/v2/callbacks", tag = "Callback", params(CallbacksQuery),
    responses((status = 200, body = CallbackCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Query(query): Query<CallbacksQuery>,
) -> Result<Json<CallbackCollection>, ApiError> {
    let page = query.page().page();
    let states: Result<Vec<CallbackState>, _> = query.state.iter().map(|s| s.parse()).collect();
    let filter = CallbackFilter {
        team: query.team,
        dag_id: query.dag_id,
        states: states.map_err(ApiError::invalid)?,
    };
    let found = state.callbacks.callbacks(&filter, page).await?;
    Ok(Json(CallbackCollection {
        callbacks: found.items.into_iter().map(Callback::from).collect(),
        total_entries: found.total,
    }))
}

/// Get a callback, with what its code is made with.
#[utoipa::path(get, operation_id = "get_callback", path = "/api/v2/callbacks/{callback_id}", tag = "Callback",
    params(("callback_id" = String, Path), Whose),
    responses((status = 200, body = CallbackDetails), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path(id): Path<CallbackId>,
    Query(whose): Query<Whose>,
) -> Result<Json<CallbackDetails>, ApiError> {
    let row = found(&state, id, &whose).await?;
    Ok(Json(CallbackDetails {
        entry: row.entry.as_ref().to_owned(),
        arguments: json_or_text(&row.arguments),
        callback: row.into(),
    }))
}

/// Try a callback again, at once, that has failed for good.
#[utoipa::path(post, operation_id = "retry_callback", path = "/api/v2/callbacks/{callback_id}/retry", tag = "Callback",
    params(("callback_id" = String, Path), Whose),
    responses((status = 200, body = Callback), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn retry(
    operator: Operator,
    State(state): State<ApiState>,
    Path(id): Path<CallbackId>,
    Query(whose): Query<Whose>,
) -> Result<Json<Callback>, ApiError> {
    found(&state, id, &whose).await?;
    let row = state.control.retry_callback(id).await?;
    let subject = format!("callback {id} of DAG {}", row.subject.dag_id);
    let change = Change::new(AuditAction::CallbackRetry, subject);
    change.of_team(&row.team).by(operator, &state).await?;
    Ok(Json(row.into()))
}
