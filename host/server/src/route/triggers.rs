//! Triggers that are bundles' own code: what deferred tasks and the watchers of assets have polled. Waits that the
//! host answers by itself have no trigger; they stand in their task instance alone.

use airlock_model::{
    id::{DagId, TeamName, TriggerId},
    port::{AssetKey, TriggerFilter, TriggerOwner, TriggerRow},
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{assets::asset_id, list_query, scope::Whose, text, waits::Wait};
use crate::{
    auth::Operator,
    extract::{Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// A trigger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trigger {
    id: String,
    team_name: String,
    /// The DAG of the task that waits, or the one that declares the watcher.
    dag_id: String,
    /// The run of the task that waits; null for a watcher.
    dag_run_id: Option<String>,
    /// The task that waits; null for a watcher.
    task_id: Option<String>,
    /// -1 for a task that is not mapped; null for a watcher.
    map_index: Option<i32>,
    /// `TEAM:NAME` of the asset that is watched; null for a task's trigger.
    asset_id: Option<String>,
    /// The watcher's name; null for a task's trigger.
    watcher_name: Option<String>,
    bundle_name: String,
    /// The version whose code it is: the BLAKE3 of the component.
    bundle_hash: String,
    /// Which code of the bundle.
    kind: String,
    created_at: String,
    /// How often it was polled.
    polls: u64,
    last_poll_at: Option<String>,
    /// When it is polled next. Null: when something of `wakes_on` happens.
    next_poll_at: Option<String>,
    /// What also wakes it.
    wakes_on: Vec<Wait>,
    /// What all its polls took of a processor.
    cpu_seconds: f64,
    /// Polls that failed since the last that went well.
    failures: u32,
    /// Why the last poll failed. May hold the bundle's text.
    note: Option<String>,
}

/// A trigger with all that it holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TriggerDetails {
    #[serde(flatten)]
    trigger: Trigger,
    /// What its code is made with.
    #[schema(value_type = Object)]
    arguments: serde_json::Value,
    /// What it has kept; null before its first poll.
    #[schema(value_type = Option<Object>)]
    state: serde_json::Value,
}

/// Triggers, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TriggerCollection {
    triggers: Vec<Trigger>,
    total_entries: u64,
}

list_query! {
    /// Which triggers.
    TriggersQuery {
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
        /// Of this DAG only.
        #[param(value_type = Option<String>)]
        dag_id: Option<DagId>,
        /// Only those of assets' watchers, or only those of tasks.
        watchers: Option<bool>,
        /// Only those whose last poll failed.
        failing: Option<bool>,
    }
}

impl From<TriggerRow> for Trigger {
    fn from(row: TriggerRow) -> Self {
        let (mut dag_run_id, mut task_id, mut map_index) = (None, None, None);
        let (mut watched, mut watcher_name) = (None, None);
        match row.owner {
            TriggerOwner::Task {
                run_id,
                task_id: task,
                map_index: index,
                ..
            } => {
                dag_run_id = Some(run_id.to_string());
                task_id = Some(task.to_string());
                map_index = Some(index.0);
            }
            TriggerOwner::Watcher { asset, name } => {
                watched = Some(asset_id(&AssetKey {
                    team: row.team.clone(),
                    name: asset.into(),
                }));
                watcher_name = Some(name);
            }
        }
        let progress = row.progress;
        Self {
            id: row.id.0.to_string(),
            team_name: row.team.to_string(),
            dag_id: row.dag_id.to_string(),
            dag_run_id,
            task_id,
            map_index,
            asset_id: watched,
            watcher_name,
            bundle_name: row.bundle.to_string(),
            bundle_hash: row.hash.to_string(),
            kind: row.own.kind,
            created_at: row.created_at.to_string(),
            polls: progress.polls,
            last_poll_at: text(progress.last_poll_at),
            next_poll_at: text(progress.next_poll_at),
            wakes_on: progress.on.iter().map(Wait::from).collect(),
            cpu_seconds: progress.cpu.as_secs_f64(),
            failures: progress.failures,
            note: progress.note,
        }
    }
}

/// List triggers, the oldest first.
#[utoipa::path(get, operation_id = "list_triggers", path = "/api/v2/triggers", tag = "Trigger", params(TriggersQuery),
    responses((status = 200, body = TriggerCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Query(query): Query<TriggersQuery>,
) -> Result<Json<TriggerCollection>, ApiError> {
    let page = query.page().page();
    let filter = TriggerFilter {
        team: query.team,
        dag_id: query.dag_id,
        watchers: query.watchers,
        failing: query.failing == Some(true),
    };
    let found = state.triggers.triggers(&filter, page).await?;
    Ok(Json(TriggerCollection {
        triggers: found.items.into_iter().map(Trigger::from).collect(),
        total_entries: found.total,
    }))
}

/// Get a trigger, with what its code is made with and what it has kept.
#[utoipa::path(get, operation_id = "get_trigger", path = "/api/v2/triggers/{trigger_id}", tag = "Trigger",
    params(("trigger_id" = String, Path), Whose),
    responses((status = 200, body = TriggerDetails), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path(id): Path<TriggerId>,
    Query(whose): Query<Whose>,
) -> Result<Json<TriggerDetails>, ApiError> {
    let row = state.triggers.trigger(id).await?;
    let row = row
        .filter(|row| whose.sees(&row.team))
        .ok_or_else(|| ApiError::not_found("trigger", id.0))?;
    let arguments = json_or_text(&row.own.arguments);
    let kept = row.progress.state.as_deref().map(json_or_text);
    Ok(Json(TriggerDetails {
        trigger: row.into(),
        arguments,
        state: kept.unwrap_or_default(),
    }))
}

/// A bundle's JSON text as a value; as a text where it is none.
pub(crate) fn json_or_text(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
