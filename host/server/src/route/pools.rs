//! Pools: how many tasks run at once that name them. Each team has its own of a name, and there may be a
//! global one besides.
//!
//! `?team=` names whose; without it, the global ones are meant. A list without it holds all of all scopes.

use std::collections::{BTreeMap, BTreeSet};

use airlock_model::{
    audit::AuditAction,
    connection::Pool as Model,
    id::{PoolName, Scope, TeamName},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    list_query,
    scope::{known_team, scope, team_name},
    variables::TeamQuery,
};
use crate::{
    audit::Change,
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
    /// It stands in airlock.toml and can only be changed there.
    is_configured: bool,
    /// Slots of tasks that run.
    running_slots: u64,
    /// Slots of tasks that wait for a trigger; they take none unless the pool includes them.
    deferred_slots: u64,
    /// Slots of tasks that are on their way.
    queued_slots: u64,
    /// Slots that tasks wait for; they take none yet.
    scheduled_slots: u64,
    /// Slots that are taken: running, queued, and deferred where the pool includes those.
    occupied_slots: u64,
    /// Slots that are left; -1 means without bound.
    open_slots: i64,
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

/// What answers about pools need besides them.
struct Shown<'a> {
    state: &'a ApiState,
    /// By the pool that serves it: a team's own, else the global one of that name.
    loads: BTreeMap<(Scope, PoolName), [u64; 4]>,
}

impl<'a> Shown<'a> {
    async fn new(state: &'a ApiState, pools: &[Model]) -> Result<Self, ApiError> {
        let own: BTreeSet<_> = pools.iter().map(|pool| (&pool.scope, &pool.name)).collect();
        let mut loads: BTreeMap<_, [u64; 4]> = BTreeMap::new();
        for load in state.pool_loads.pool_loads().await? {
            let scope = Scope::Team(load.team);
            let scope = match own.contains(&(&scope, &load.pool)) {
                true => scope,
                false => Scope::Global,
            };
            let [running, queued, scheduled, deferred] =
                loads.entry((scope, load.pool)).or_default();
            *running += load.running;
            *queued += load.queued;
            *scheduled += load.scheduled;
            *deferred += load.deferred;
        }
        Ok(Self { state, loads })
    }

    fn wire(&self, pool: Model) -> Pool {
        let key = (pool.scope, pool.name);
        let [running_slots, queued_slots, scheduled_slots, deferred_slots] =
            self.loads.get(&key).copied().unwrap_or_default();
        let kept = if pool.include_deferred {
            deferred_slots
        } else {
            0
        };
        let occupied_slots = running_slots + queued_slots + kept;
        let left = |slots: u32| {
            i64::from(slots)
                .saturating_sub_unsigned(occupied_slots)
                .max(0)
        };
        Pool {
            slots: pool.slots,
            description: pool.description,
            include_deferred: pool.include_deferred,
            team_name: team_name(&key.0),
            is_configured: self.state.configured_pools.contains(&key),
            running_slots,
            queued_slots,
            scheduled_slots,
            deferred_slots,
            occupied_slots,
            open_slots: u32::try_from(pool.slots).map_or(-1, left),
            name: key.1.to_string(),
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

/// The pool, where it may be changed.
async fn changeable(state: &ApiState, scope: &Scope, name: &PoolName) -> Result<Model, ApiError> {
    let pool = look_up(state, scope, name).await?;
    let pool = pool.ok_or_else(|| ApiError::not_found("pool", name))?;
    let key = (pool.scope.clone(), pool.name.clone());
    match state.configured_pools.contains(&key) {
        true => Err(ApiError::Configured {
            what: "pool",
            name: name.to_string(),
        }),
        false => Ok(pool),
    }
}

/// What is to be answered about one pool.
async fn shown(state: &ApiState, scope: &Scope, name: &PoolName) -> Result<Json<Pool>, ApiError> {
    let pools = state.pools.pools().await?;
    let shown = Shown::new(state, &pools).await?;
    let pool = (pools.into_iter()).find(|pool| pool.scope == *scope && pool.name == *name);
    let pool = pool.ok_or_else(|| ApiError::not_found("pool", name))?;
    Ok(Json(shown.wire(pool)))
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
    let shown = Shown::new(&state, &pools).await?;
    if let Some(team) = team {
        pools.retain(|pool| pool.scope == Scope::Team(team.clone()));
    }
    pools.sort_by(|a, b| (&a.scope, &a.name).cmp(&(&b.scope, &b.name)));
    let (pools, total_entries) = page.cut(pools);
    Ok(Json(PoolCollection {
        pools: pools.into_iter().map(|pool| shown.wire(pool)).collect(),
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
    shown(&state, &scope, &name).await
}

/// Tells the audit that it was set.
async fn note(
    operator: Operator,
    state: &ApiState,
    pool: &Model,
    created: bool,
) -> Result<(), ApiError> {
    Change::new(AuditAction::PoolSet, format!("pool {}", pool.name))
        .of(&pool.scope)
        .with(json!({"created": created, "slots": pool.slots}))
        .by(operator, state)
        .await
}

/// Create a pool.
#[utoipa::path(post, operation_id = "create_pool", path = "/api/v2/pools", tag = "Pool",
    params(TeamQuery), request_body = PoolBody,
    responses((status = 201, body = Pool), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn post(
    operator: Operator,
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
    note(operator, &state, &pool, true).await?;
    let pool = shown(&state, &pool.scope, &pool.name).await?;
    Ok((StatusCode::CREATED, pool))
}

/// Change a pool.
#[utoipa::path(patch, operation_id = "patch_pool", path = "/api/v2/pools/{pool_name}", tag = "Pool",
    params(("pool_name" = String, Path), TeamQuery), request_body = PoolPatch,
    responses((status = 200, body = Pool), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn patch(
    operator: Operator,
    State(state): State<ApiState>,
    Path(name): Path<PoolName>,
    Query(query): Query<TeamQuery>,
    extract::Json(patch): extract::Json<PoolPatch>,
) -> Result<Json<Pool>, ApiError> {
    let scope = scope(&state, query.team)?;
    let mut pool = changeable(&state, &scope, &name).await?;
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
    note(operator, &state, &pool, false).await?;
    shown(&state, &scope, &name).await
}

/// Delete a pool.
#[utoipa::path(delete, operation_id = "delete_pool", path = "/api/v2/pools/{pool_name}", tag = "Pool",
    params(("pool_name" = String, Path), TeamQuery),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete(
    operator: Operator,
    State(state): State<ApiState>,
    Path(name): Path<PoolName>,
    Query(query): Query<TeamQuery>,
) -> Result<StatusCode, ApiError> {
    let scope = scope(&state, query.team)?;
    changeable(&state, &scope, &name).await?;
    state.pools.delete_pool(&scope, &name).await?;
    let change = Change::new(AuditAction::PoolDelete, format!("pool {name}"));
    change.of(&scope).by(operator, &state).await?;
    Ok(StatusCode::NO_CONTENT)
}
