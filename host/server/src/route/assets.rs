//! Assets: what DAGs make and wait for.
//!
//! An asset has no number. Its id in this API is `TEAM:NAME`: a team's name holds no colon, so the first one
//! ends it, and everything after it is the asset's name. In a path it is one segment: write `%2F` for `/`.

use std::collections::BTreeSet;

use airlock_model::{
    audit::AuditAction,
    dag::AssetRef,
    id::{DagId, TeamName},
    port::{AssetFilter, AssetKey, AssetRole, AssetUse, StoredAsset, TriggerRun},
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    list_query,
    runs::{DagRun, TriggerBody},
    scope::Whose,
    text,
};
use crate::{
    audit::Change,
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// An asset's id as the API writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct AssetId(pub(crate) AssetKey);

impl TryFrom<String> for AssetId {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{}` is not an asset's id: write TEAM:NAME, as `GET /api/v2/assets` does",
                id.escape_debug()
            )
        };
        let (team, name) = id.split_once(':').ok_or_else(wrong)?;
        let team = TeamName::new(team).map_err(|error| error.to_string())?;
        match name {
            "" => Err(wrong()),
            name => Ok(Self(AssetKey {
                team,
                name: name.into(),
            })),
        }
    }
}

/// An asset's id as the API writes it.
pub(crate) fn asset_id(key: &AssetKey) -> String {
    format!("{}:{}", key.team, key.name)
}

/// A DAG that has to do with an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DagReference {
    dag_id: String,
    /// Since when the bundle's imports have had it without a break.
    created_at: String,
}

/// A task that has to do with an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskReference {
    dag_id: String,
    task_id: String,
    /// Since when the bundle's imports have had it without a break.
    created_at: String,
}

/// An alias that was resolved to an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AliasReference {
    name: String,
}

/// When an asset changed last.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastEvent {
    timestamp: String,
}

/// An asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Asset {
    /// `TEAM:NAME`.
    id: String,
    name: String,
    team_name: String,
    /// What it stands for; its name, where it stands for nothing outside.
    uri: String,
    group: Option<String>,
    #[schema(value_type = Object)]
    extra: serde_json::Value,
    /// DAGs that its events make runs of.
    scheduled_dags: Vec<DagReference>,
    /// Tasks whose success changes it.
    producing_tasks: Vec<TaskReference>,
    /// Tasks that see its latest events.
    consuming_tasks: Vec<TaskReference>,
    aliases: Vec<AliasReference>,
    /// Null: it has not changed yet.
    last_asset_event: Option<LastEvent>,
}

/// Assets, by team and name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetCollection {
    assets: Vec<Asset>,
    total_entries: u64,
}

list_query! {
    /// Which assets.
    AssetsQuery {
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
        /// Only those that this DAG uses in some way.
        #[param(value_type = Option<String>)]
        dag_id: Option<DagId>,
        /// Of this name only; each team may have one.
        name: Option<String>,
        /// Of this URI only.
        uri: Option<String>,
        /// With false, also those that no live DAG uses.
        only_active: Option<bool>,
    }
}

impl From<StoredAsset> for Asset {
    fn from(asset: StoredAsset) -> Self {
        let of = |role: AssetRole| asset.uses.iter().filter(move |one| one.role == role);
        let tasks = |role| {
            let task = |one: &AssetUse| {
                Some(TaskReference {
                    dag_id: one.dag_id.to_string(),
                    task_id: one.task_id.as_ref()?.to_string(),
                    created_at: one.since.to_string(),
                })
            };
            of(role).filter_map(task).collect()
        };
        let dag = |one: &AssetUse| DagReference {
            dag_id: one.dag_id.to_string(),
            created_at: one.since.to_string(),
        };
        let extra = asset.extra.as_deref().map(serde_json::from_str);
        Self {
            id: asset_id(&asset.key),
            scheduled_dags: of(AssetRole::Schedule).map(dag).collect(),
            producing_tasks: tasks(AssetRole::Outlet),
            consuming_tasks: tasks(AssetRole::Inlet),
            aliases: (asset.aliases.into_iter())
                .map(|name| AliasReference { name })
                .collect(),
            last_asset_event: text(asset.last_event).map(|timestamp| LastEvent { timestamp }),
            uri: asset
                .uri
                .unwrap_or_else(|| asset.key.name.as_ref().to_owned()),
            group: asset.group,
            extra: extra
                .and_then(Result::ok)
                .unwrap_or_else(|| serde_json::json!({})),
            name: asset.key.name.as_ref().to_owned(),
            team_name: asset.key.team.to_string(),
        }
    }
}

/// The asset, if it is there for whoever asks.
pub(crate) async fn found(
    state: &ApiState,
    AssetId(key): &AssetId,
    whose: &Whose,
) -> Result<StoredAsset, ApiError> {
    let none = || ApiError::not_found("asset", asset_id(key));
    if !whose.sees(&key.team) {
        return Err(none());
    }
    state.assets.asset(key).await?.ok_or_else(none)
}

/// List assets by team and name.
#[utoipa::path(get, operation_id = "list_assets", path = "/api/v2/assets", tag = "Asset", params(AssetsQuery),
    responses((status = 200, body = AssetCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Query(query): Query<AssetsQuery>,
) -> Result<Json<AssetCollection>, ApiError> {
    let page = query.page().page();
    let filter = AssetFilter {
        team: query.team,
        dag_id: query.dag_id,
        name: query.name.map(Into::into),
        uri: query.uri,
        include_unused: query.only_active == Some(false),
    };
    let found = state.assets.assets(&filter, page).await?;
    Ok(Json(AssetCollection {
        assets: found.items.into_iter().map(Asset::from).collect(),
        total_entries: found.total,
    }))
}

/// Get an asset.
#[utoipa::path(get, operation_id = "get_asset", path = "/api/v2/assets/{asset_id}", tag = "Asset",
    params(("asset_id" = String, Path, description = "`TEAM:NAME`"), Whose),
    responses((status = 200, body = Asset), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path(id): Path<AssetId>,
    Query(whose): Query<Whose>,
) -> Result<Json<Asset>, ApiError> {
    Ok(Json(Asset::from(found(&state, &id, &whose).await?)))
}

/// The one DAG that makes an asset; an outlet by an alias may be another asset with each run.
fn maker(asset: &StoredAsset) -> Result<&AssetUse, ApiError> {
    let mut makers = (asset.uses.iter())
        .filter(|one| one.role == AssetRole::Outlet)
        .filter(|one| !matches!(one.asset, AssetRef::Alias(_)));
    let name = || asset_id(&asset.key);
    let first = makers.next().ok_or_else(|| ApiError::NoMaker(name()))?;
    let dags: BTreeSet<_> = makers
        .map(|one| &one.dag_id)
        .chain([&first.dag_id])
        .collect();
    match dags.len() {
        1 => Ok(first),
        _ => {
            let dags: Vec<String> = dags.iter().map(|dag| format!("`{dag}`")).collect();
            Err(ApiError::ManyMakers {
                asset: name(),
                dags: dags.join(", "),
            })
        }
    }
}

/// Run the DAG that has an asset as an outlet.
#[utoipa::path(post, operation_id = "materialize_asset", path = "/api/v2/assets/{asset_id}/materialize", tag = "Asset",
    params(("asset_id" = String, Path, description = "`TEAM:NAME`"), Whose),
    request_body(content = Option<TriggerBody>, description = "May be left out"),
    responses((status = 200, body = DagRun), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn materialize(
    operator: Operator,
    State(state): State<ApiState>,
    Path(id): Path<AssetId>,
    Query(whose): Query<Whose>,
    body: Option<extract::Json<TriggerBody>>,
) -> Result<Json<DagRun>, ApiError> {
    let body = body.map(|extract::Json(body)| body).unwrap_or_default();
    let asset = found(&state, &id, &whose).await?;
    let run = TriggerRun {
        materializes: true,
        ..body.wanted(maker(&asset)?.dag_id.clone())?
    };
    let run = state.control.trigger(run).await?;
    Change::new(
        AuditAction::AssetMaterialize,
        format!("asset {}", asset_id(&asset.key)),
    )
    .of_team(&asset.key.team)
    .with(json!({"dag_id": run.dag_id, "dag_run_id": run.run_id}))
    .by(operator, &state)
    .await?;
    Ok(Json(DagRun::new(run)))
}
