//! Pools: how many tasks run at once that name them. Each team has its own of a name, and there may be a
//! global one besides.
//!
//! `?team=` names whose; without it, the global ones are meant. A list without it holds all of all scopes.

use airlock_model::{
    connection::Pool as Model,
    id::{PoolName, Scope, TeamName},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    list_query,
    scope::{known_team, scope, team_name},
    variables::TeamQuery,
};
use crate::{
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// A pool.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pool {
    name: String,
    /// -1 means without bound.
    slots: i32,
    description: Option<String>,
    /// Whether deferred tasks keep their slots.
    include_deferred: bool,
    team_name: Option<String>,
}

/// Pools.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoolCollection {
    pools: Vec<Pool>,
    total_entries: u64,
}

/// A pool to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolBody {
    #[schema(value_type = String)]
    name: PoolName,
    /// 0 or more, or -1 for no bound.
    slots: i32,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    include_deferred: bool,
}

/// What of a pool is to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolPatch {
    /// 0 or more, or -1 for no bound.
    #[serde(default)]
    slots: Option<i32>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    include_deferred: Option<bool>,
}

list_query! {
    /// Which pools.
    PoolsQuery {
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
    }
}

impl From<Model> for Pool {
    fn from(pool: Model) -> Self {
        Self {
            name: pool.name.to_string(),
            slots: pool.slots,
            description: pool.description,
            include_deferred: pool.include_deferred,
            team_name: team_name(&pool.scope),
        }
    }
}

fn checked(slots: i32) -> Result<i32, ApiError> {
    if slots >= -1 {
        Ok(slots)
    } else {
        Err(ApiError::Invalid(
            "`slots` must be 0 or more, or -1 for no bound".to_owned(),
        ))
    }
}

async fn look_up(
    state: &ApiState,
    scope: &Scope,
    name: &PoolName,
) -> Result<Option<Model>, ApiError> {
    let pools = state.pools.pools().await?;
    Ok(pools
        .into_iter()
        .find(|pool| pool.scope == *scope && pool.name == *name))
}

async fn found(state: &ApiState, scope: &Scope, name: &PoolName) -> Result<Model, ApiError> {
    let pool = look_up(state, scope, name).await?;
    pool.ok_or_else(|| ApiError::not_found("pool", name))
}

/// List pools.
#[utoipa::path(get, operation_id = "list_pools", path = "/api/v2/pools", tag = "Pool", params(PoolsQuery),
    responses((status = 200, body = PoolCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Query(query): Query<PoolsQuery>,
) -> Result<Json<PoolCollection>, ApiError> {
    let page = query.page();
    let team = query
        .team
        .map(|team| known_team(&state, team))
        .transpose()?;
    let mut pools = state.pools.pools().await?;
    if let Some(team) = team {
        pools.retain(|pool| pool.scope == Scope::Team(team.clone()));
    }
    pools.sort_by(|a, b| (&a.scope, &a.name).cmp(&(&b.scope, &b.name)));
    let (pools, total_entries) = page.cut(pools);
    Ok(Json(PoolCollection {
        pools: pools.into_iter().map(Pool::from).collect(),
        total_entries,
    }))
}

/// Get a pool.
#[utoipa::path(get, operation_id = "get_pool", path = "/api/v2/pools/{pool_name}", tag = "Pool",
    params(("pool_name" = String, Path), TeamQuery),
    responses((status = 200, body = Pool), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path(name): Path<PoolName>,
    Query(query): Query<TeamQuery>,
) -> Result<Json<Pool>, ApiError> {
    let scope = scope(&state, query.team)?;
    Ok(Json(found(&state, &scope, &name).await?.into()))
}

/// Create a pool.
#[utoipa::path(post, operation_id = "create_pool", path = "/api/v2/pools", tag = "Pool",
    params(TeamQuery), request_body = PoolBody,
    responses((status = 201, body = Pool), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn post(
    _: Operator,
    State(state): State<ApiState>,
    Query(query): Query<TeamQuery>,
    extract::Json(body): extract::Json<PoolBody>,
) -> Result<(StatusCode, Json<Pool>), ApiError> {
    let scope = scope(&state, query.team)?;
    if look_up(&state, &scope, &body.name).await?.is_some() {
        return Err(ApiError::Exists {
            what: "pool",
            name: body.name.to_string(),
        });
    }
    let pool = Model {
        scope,
        name: body.name,
        slots: checked(body.slots)?,
        description: body.description,
        include_deferred: body.include_deferred,
    };
    state.pools.set_pool(&pool).await?;
    Ok((StatusCode::CREATED, Json(pool.into())))
}

/// Change a pool.
#[utoipa::path(patch, operation_id = "patch_pool", path = "/api/v2/pools/{pool_name}", tag = "Pool",
    params(("pool_name" = String, Path), TeamQuery), request_body = PoolPatch,
    responses((status = 200, body = Pool), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn patch(
    _: Operator,
    State(state): State<ApiState>,
    Path(name): Path<PoolName>,
    Query(query): Query<TeamQuery>,
    extract::Json(patch): extract::Json<PoolPatch>,
) -> Result<Json<Pool>, ApiError> {
    let scope = scope(&state, query.team)?;
    let mut pool = found(&state, &scope, &name).await?;
    if let Some(slots) = patch.slots {
        pool.slots = checked(slots)?;
    }
    if patch.description.is_some() {
        pool.description = patch.description;
    }
    if let Some(include_deferred) = patch.include_deferred {
        pool.include_deferred = include_deferred;
    }
    state.pools.set_pool(&pool).await?;
    Ok(Json(pool.into()))
}

/// Delete a pool.
#[utoipa::path(delete, operation_id = "delete_pool", path = "/api/v2/pools/{pool_name}", tag = "Pool",
    params(("pool_name" = String, Path), TeamQuery),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete(
    _: Operator,
    State(state): State<ApiState>,
    Path(name): Path<PoolName>,
    Query(query): Query<TeamQuery>,
) -> Result<StatusCode, ApiError> {
    let scope = scope(&state, query.team)?;
    found(&state, &scope, &name).await?;
    state.pools.delete_pool(&scope, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
