//! What a DAG has queued: assets that have changed and that it has not answered with a run yet, because it
//! waits for others as well.

use airlock_model::{
    audit::AuditAction,
    id::DagId,
    port::{AssetKey, QueueRow},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    assets::{AssetId, asset_id},
    scope::Whose,
};
use crate::{
    audit::Change,
    auth::Operator,
    extract::{Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// An asset that has changed and that a DAG has not answered yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueuedEvent {
    dag_id: String,
    dag_display_name: String,
    /// `TEAM:NAME`.
    asset_id: String,
    /// When the asset changed.
    created_at: String,
}

/// What a DAG has queued.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueuedEventCollection {
    queued_events: Vec<QueuedEvent>,
    total_entries: u64,
}

impl From<QueueRow> for QueuedEvent {
    fn from(row: QueueRow) -> Self {
        Self {
            dag_id: row.dag_id.to_string(),
            dag_display_name: row.dag_id.to_string(),
            asset_id: asset_id(&row.asset),
            created_at: row.queued_at.to_string(),
        }
    }
}

async fn queued(
    state: &ApiState,
    whose: &Whose,
    dag_id: &DagId,
    asset: Option<AssetKey>,
) -> Result<Json<QueuedEventCollection>, ApiError> {
    whose.dag(state, dag_id).await?;
    let mut rows = state.assets.queued(dag_id).await?;
    if let Some(asset) = asset {
        rows.retain(|row| row.asset == asset);
        if rows.is_empty() {
            return Err(nothing(dag_id));
        }
    }
    Ok(Json(QueuedEventCollection {
        total_entries: rows.len() as u64,
        queued_events: rows.into_iter().map(QueuedEvent::from).collect(),
    }))
}

fn nothing(dag_id: &DagId) -> ApiError {
    ApiError::not_found("queued asset event of DAG", dag_id)
}

async fn forget(
    operator: Operator,
    state: &ApiState,
    whose: &Whose,
    dag_id: &DagId,
    asset: Option<AssetKey>,
) -> Result<StatusCode, ApiError> {
    let dag = whose.dag(state, dag_id).await?;
    let subject = match &asset {
        Some(asset) => format!("DAG {dag_id}, asset {}", asset_id(asset)),
        None => format!("DAG {dag_id}"),
    };
    let cleared = state.control.clear_queued_assets(dag_id, asset).await?;
    if cleared == 0 {
        return Err(nothing(dag_id));
    }
    Change::new(AuditAction::AssetQueueDelete, subject)
        .of_dag(&dag)
        .by(operator, state)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List what a DAG has queued.
#[utoipa::path(get, operation_id = "list_queued_asset_events", path = "/api/v2/dags/{dag_id}/assets/queuedEvents", tag = "Asset",
    params(("dag_id" = String, Path), Whose),
    responses((status = 200, body = QueuedEventCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(whose): Query<Whose>,
) -> Result<Json<QueuedEventCollection>, ApiError> {
    queued(&state, &whose, &dag_id, None).await
}

/// Take all that a DAG has queued out of its queue.
#[utoipa::path(delete, operation_id = "delete_queued_asset_events", path = "/api/v2/dags/{dag_id}/assets/queuedEvents", tag = "Asset",
    params(("dag_id" = String, Path), Whose),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete(
    operator: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(whose): Query<Whose>,
) -> Result<StatusCode, ApiError> {
    forget(operator, &state, &whose, &dag_id, None).await
}

/// Get what a DAG has queued of one asset.
#[utoipa::path(get, operation_id = "get_queued_asset_event", path = "/api/v2/dags/{dag_id}/assets/{asset_id}/queuedEvents", tag = "Asset",
    params(("dag_id" = String, Path), ("asset_id" = String, Path, description = "`TEAM:NAME`"), Whose),
    responses((status = 200, body = QueuedEventCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, AssetId(asset))): Path<(DagId, AssetId)>,
    Query(whose): Query<Whose>,
) -> Result<Json<QueuedEventCollection>, ApiError> {
    queued(&state, &whose, &dag_id, Some(asset)).await
}

/// Take one asset out of a DAG's queue.
#[utoipa::path(delete, operation_id = "delete_queued_asset_event", path = "/api/v2/dags/{dag_id}/assets/{asset_id}/queuedEvents", tag = "Asset",
    params(("dag_id" = String, Path), ("asset_id" = String, Path, description = "`TEAM:NAME`"), Whose),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete_one(
    operator: Operator,
    State(state): State<ApiState>,
    Path((dag_id, AssetId(asset))): Path<(DagId, AssetId)>,
    Query(whose): Query<Whose>,
) -> Result<StatusCode, ApiError> {
    forget(operator, &state, &whose, &dag_id, Some(asset)).await
}
