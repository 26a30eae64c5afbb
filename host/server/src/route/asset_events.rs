//! Events of assets: that one changed, when, and who changed it.

use std::{collections::BTreeMap, sync::Arc};

use airlock_model::{
    audit::AuditAction,
    id::{DagId, MapIndex, RunId, TaskId, TeamName},
    port::{AssetEvent as Model, AssetKey, EventFilter, EventSource, NewAssetEvent, StoredAsset},
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    assets::{AssetId, asset_id, found},
    list_query,
    runs::found as run_found,
    scope::Whose,
    time,
};
use crate::{
    audit::Change,
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// Who tells of an event that comes over the API: whoever holds the token.
const TELLER: &str = "operator";

/// An event of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetEvent {
    /// A UUID; ids of later events sort behind it.
    id: String,
    /// `TEAM:NAME`.
    asset_id: String,
    name: String,
    team_name: String,
    /// What the asset stands for; its name, where it stands for nothing outside.
    uri: String,
    group: Option<String>,
    /// What whoever changed it had to say. May hold a bundle's text.
    #[schema(value_type = Object)]
    extra: serde_json::Value,
    /// The task that changed it; null where no task did.
    source_task_id: Option<String>,
    source_dag_id: Option<String>,
    source_run_id: Option<String>,
    /// -1 for a task that is not mapped.
    source_map_index: i32,
    /// Who told of it, where no task did.
    source_other: Option<String>,
    timestamp: String,
    /// The aliases through which it was reached.
    aliases: Vec<String>,
}

/// Events of assets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetEventCollection {
    asset_events: Vec<AssetEvent>,
    total_entries: u64,
}

/// An event to tell of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetEventBody {
    /// `TEAM:NAME`.
    #[schema(value_type = String)]
    asset_id: AssetId,
    /// For whoever sees the event.
    #[serde(default)]
    #[schema(value_type = Object)]
    extra: serde_json::Map<String, serde_json::Value>,
}

list_query! {
    /// Which events.
    AssetEventsQuery {
        /// Of this team's assets only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
        /// Of this asset only: `TEAM:NAME`.
        #[param(value_type = Option<String>)]
        asset_id: Option<AssetId>,
        /// Caused by this DAG only.
        #[param(value_type = Option<String>)]
        source_dag_id: Option<DagId>,
        /// Caused by runs of this name only.
        #[param(value_type = Option<String>)]
        source_run_id: Option<RunId>,
        /// Caused by tasks of this name only.
        #[param(value_type = Option<String>)]
        source_task_id: Option<TaskId>,
        /// Caused by instances of this map index only; -1 for tasks that are not mapped.
        source_map_index: Option<i32>,
        /// At this time or later.
        timestamp_gte: Option<String>,
        /// At this time or earlier.
        timestamp_lte: Option<String>,
        /// `timestamp`, or `-timestamp` for the newest first.
        order_by: Option<String>,
    }
}

impl AssetEvent {
    fn new(event: Model, asset: Option<&StoredAsset>) -> Self {
        let mut wire = Self {
            id: event.id.0.to_string(),
            asset_id: asset_id(&event.asset),
            name: event.asset.name.as_ref().to_owned(),
            team_name: event.asset.team.to_string(),
            uri: asset
                .and_then(|asset| asset.uri.clone())
                .unwrap_or_else(|| event.asset.name.as_ref().to_owned()),
            group: asset.and_then(|asset| asset.group.clone()),
            extra: serde_json::from_str(&event.extra).unwrap_or_default(),
            source_task_id: None,
            source_dag_id: None,
            source_run_id: None,
            source_map_index: -1,
            source_other: None,
            timestamp: event.at.to_string(),
            aliases: event.aliases,
        };
        match event.source {
            EventSource::Task {
                dag_id,
                run_id,
                task_id,
                map_index,
            } => {
                wire.source_dag_id = Some(dag_id.to_string());
                wire.source_run_id = Some(run_id.to_string());
                wire.source_task_id = Some(task_id.to_string());
                wire.source_map_index = map_index.0;
            }
            EventSource::Api { by } => wire.source_other = Some(by),
            EventSource::Other(text) => wire.source_other = Some(text),
        }
        wire
    }
}

/// Events with what is known of their assets.
async fn wire(state: &ApiState, events: Vec<Model>) -> Result<Vec<AssetEvent>, ApiError> {
    let mut assets: BTreeMap<AssetKey, Option<StoredAsset>> = BTreeMap::new();
    for event in &events {
        if !assets.contains_key(&event.asset) {
            let asset = state.assets.asset(&event.asset).await?;
            assets.insert(event.asset.clone(), asset);
        }
    }
    let one = |event: Model| {
        let asset = assets.get(&event.asset).and_then(Option::as_ref);
        AssetEvent::new(event, asset)
    };
    Ok(events.into_iter().map(one).collect())
}

/// List events of assets, the oldest first.
#[utoipa::path(get, operation_id = "list_asset_events", path = "/api/v2/assets/events", tag = "Asset", params(AssetEventsQuery),
    responses((status = 200, body = AssetEventCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Query(query): Query<AssetEventsQuery>,
) -> Result<Json<AssetEventCollection>, ApiError> {
    let page = query.page().page();
    let newest_first = match query.order_by.as_deref() {
        None | Some("timestamp") => false,
        Some("-timestamp") => true,
        Some(other) => {
            return Err(ApiError::Invalid(format!(
                "events cannot be ordered by `{}`: write `timestamp` or `-timestamp`",
                other.escape_debug()
            )));
        }
    };
    let mut filter = EventFilter {
        team: query.team,
        asset: None,
        dag_id: query.source_dag_id,
        run_id: query.source_run_id,
        task_id: query.source_task_id,
        map_index: query.source_map_index.map(MapIndex),
        from: time(query.timestamp_gte.as_deref())?,
        to: time(query.timestamp_lte.as_deref())?,
        newest_first,
    };
    if let Some(AssetId(key)) = query.asset_id {
        if filter.team.as_ref().is_some_and(|team| *team != key.team) {
            return Err(ApiError::not_found("asset", asset_id(&key)));
        }
        filter.team = Some(key.team);
        filter.asset = Some(Arc::clone(&key.name));
    }
    let found = state.assets.events(&filter, page).await?;
    Ok(Json(AssetEventCollection {
        asset_events: wire(&state, found.items).await?,
        total_entries: found.total,
    }))
}

/// Tell of a change of an asset. The runs that it makes are made when this answers.
#[utoipa::path(post, operation_id = "create_asset_event", path = "/api/v2/assets/events", tag = "Asset",
    params(Whose), request_body = AssetEventBody,
    responses((status = 200, body = AssetEvent), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn create(
    operator: Operator,
    State(state): State<ApiState>,
    Query(whose): Query<Whose>,
    extract::Json(body): extract::Json<AssetEventBody>,
) -> Result<Json<AssetEvent>, ApiError> {
    let asset = found(&state, &body.asset_id, &whose).await?;
    let event = NewAssetEvent {
        asset: asset.key.clone(),
        extra: body.extra,
        by: TELLER.to_owned(),
    };
    let event = state.control.asset_event(event).await?;
    Change::new(
        AuditAction::AssetEventCreate,
        format!("asset {}", asset_id(&asset.key)),
    )
    .of_team(&asset.key.team)
    .by(operator, &state)
    .await?;
    Ok(Json(AssetEvent::new(event, Some(&asset))))
}

/// List the asset events that made a run, the oldest first.
#[utoipa::path(get, operation_id = "list_upstream_asset_events", tag = "DagRun",
    path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/upstreamAssetEvents",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), Whose),
    responses((status = 200, body = AssetEventCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn upstream(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id)): Path<(DagId, RunId)>,
    Query(whose): Query<Whose>,
) -> Result<Json<AssetEventCollection>, ApiError> {
    whose.dag(&state, &dag_id).await?;
    let run = run_found(&state, &dag_id, &run_id).await?;
    let events = state.assets.consumed_by(run.key).await?;
    let asset_events = wire(&state, events).await?;
    Ok(Json(AssetEventCollection {
        total_entries: asset_events.len() as u64,
        asset_events,
    }))
}
