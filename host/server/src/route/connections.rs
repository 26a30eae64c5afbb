//! Connections. Their password and `extra` are never sent, not even masked: only whether they are set.
//!
//! `?team=` names whose; without it, the global ones are meant.

use airlock_model::{
    audit::AuditAction,
    connection::Connection as Model,
    id::{ConnectionId, Scope, TeamName},
    mask::Sensitive,
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    list_query,
    scope::{scope, team_name},
    variables::TeamQuery,
};
use crate::{
    audit::Change,
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::{ApiState, Kept},
};

/// A connection, without its secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Connection {
    connection_id: String,
    conn_type: String,
    description: Option<String>,
    host: Option<String>,
    login: Option<String>,
    schema: Option<String>,
    port: Option<u16>,
    /// Whether it has a password, which is never sent.
    has_password: bool,
    /// Whether it has an `extra`, which is never sent.
    has_extra: bool,
    team_name: Option<String>,
    /// It stands in airlock.toml, or in the folder of secrets, and can only be changed there.
    is_configured: bool,
}

/// Connections.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionCollection {
    connections: Vec<Connection>,
    total_entries: u64,
}

/// A connection to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionBody {
    #[schema(value_type = String)]
    connection_id: ConnectionId,
    conn_type: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    login: Option<String>,
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    password: Option<String>,
    /// A JSON object, or the text of one.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    extra: Option<serde_json::Value>,
}

/// What of a connection is to change; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(crate) struct ConnectionPatch {
    conn_type: Option<String>,
    description: Option<String>,
    host: Option<String>,
    login: Option<String>,
    schema: Option<String>,
    port: Option<u16>,
    password: Option<String>,
    /// A JSON object, or the text of one.
    #[schema(value_type = Option<Object>)]
    extra: Option<serde_json::Value>,
}

list_query! {
    /// Which connections.
    ConnectionsQuery {
        /// Whose; without it, the global ones.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
    }
}

fn wire(scope: &Scope, kept: Kept<Model>) -> Connection {
    let Kept { value, configured } = kept;
    Connection {
        connection_id: value.id.to_string(),
        conn_type: value.conn_type,
        description: value.description,
        host: value.host,
        login: value.login,
        schema: value.schema,
        port: value.port,
        has_password: value.password.is_some(),
        has_extra: value.extra.is_some(),
        team_name: team_name(scope),
        is_configured: configured,
    }
}

/// `extra` as it is kept: the text of a JSON object.
fn extra(value: serde_json::Value) -> Result<Sensitive, ApiError> {
    let object = match value {
        serde_json::Value::String(text) => serde_json::from_str(&text).ok(),
        other => Some(other),
    };
    match object {
        Some(object @ serde_json::Value::Object(_)) => Ok(Sensitive::new(object.to_string())),
        _ => Err(ApiError::Invalid(
            "`extra` must be a JSON object, or the text of one".to_owned(),
        )),
    }
}

async fn kept(state: &ApiState, scope: &Scope, id: &ConnectionId) -> Result<Kept<Model>, ApiError> {
    let kept = state.settings.connection(scope, id).await?;
    kept.ok_or_else(|| ApiError::not_found("connection", id))
}

/// The connection, where it may be changed.
async fn changeable(state: &ApiState, scope: &Scope, id: &ConnectionId) -> Result<Model, ApiError> {
    let kept = kept(state, scope, id).await?;
    if kept.configured {
        return Err(ApiError::Configured {
            what: "connection",
            name: id.to_string(),
        });
    }
    Ok(kept.value)
}

/// Writes the connection and gives what is to be answered.
async fn set(
    operator: Operator,
    state: &ApiState,
    scope: &Scope,
    connection: Model,
    created: bool,
) -> Result<Json<Connection>, ApiError> {
    state.settings.set_connection(scope, &connection).await?;
    // Where it leads is no secret, and how to log in there is none of the audit's.
    let detail = json!({
        "created": created,
        "conn_type": connection.conn_type,
        "host": connection.host,
        "port": connection.port,
    });
    Change::new(
        AuditAction::ConnectionSet,
        format!("connection {}", connection.id),
    )
    .of(scope)
    .with(detail)
    .by(operator, state)
    .await?;
    let kept = Kept {
        value: connection,
        configured: false,
    };
    Ok(Json(wire(scope, kept)))
}

/// List connections by id.
#[utoipa::path(get, operation_id = "list_connections", path = "/api/v2/connections", tag = "Connection", params(ConnectionsQuery),
    responses((status = 200, body = ConnectionCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Query(query): Query<ConnectionsQuery>,
) -> Result<Json<ConnectionCollection>, ApiError> {
    let page = query.page();
    let scope = scope(&state, query.team)?;
    let (kept, total_entries) = page.cut(state.settings.connections(&scope).await?);
    Ok(Json(ConnectionCollection {
        connections: kept.into_iter().map(|kept| wire(&scope, kept)).collect(),
        total_entries,
    }))
}

/// Get a connection.
#[utoipa::path(get, operation_id = "get_connection", path = "/api/v2/connections/{connection_id}", tag = "Connection",
    params(("connection_id" = String, Path), TeamQuery),
    responses((status = 200, body = Connection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path(id): Path<ConnectionId>,
    Query(query): Query<TeamQuery>,
) -> Result<Json<Connection>, ApiError> {
    let scope = scope(&state, query.team)?;
    Ok(Json(wire(&scope, kept(&state, &scope, &id).await?)))
}

/// Create a connection.
#[utoipa::path(post, operation_id = "create_connection", path = "/api/v2/connections", tag = "Connection", params(TeamQuery), request_body = ConnectionBody,
    responses((status = 201, body = Connection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn post(
    operator: Operator,
    State(state): State<ApiState>,
    Query(query): Query<TeamQuery>,
    extract::Json(body): extract::Json<ConnectionBody>,
) -> Result<(StatusCode, Json<Connection>), ApiError> {
    let scope = scope(&state, query.team)?;
    let there = state.settings.connection(&scope, &body.connection_id);
    if there.await?.is_some() {
        return Err(ApiError::Exists {
            what: "connection",
            name: body.connection_id.to_string(),
        });
    }
    let connection = Model {
        id: body.connection_id,
        conn_type: body.conn_type,
        description: body.description,
        host: body.host,
        port: body.port,
        login: body.login,
        password: body.password.map(Sensitive::new),
        schema: body.schema,
        extra: body.extra.map(extra).transpose()?,
    };
    Ok((
        StatusCode::CREATED,
        set(operator, &state, &scope, connection, true).await?,
    ))
}

/// Change a connection.
#[utoipa::path(patch, operation_id = "patch_connection", path = "/api/v2/connections/{connection_id}", tag = "Connection",
    params(("connection_id" = String, Path), TeamQuery), request_body = ConnectionPatch,
    responses((status = 200, body = Connection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn patch(
    operator: Operator,
    State(state): State<ApiState>,
    Path(id): Path<ConnectionId>,
    Query(query): Query<TeamQuery>,
    extract::Json(patch): extract::Json<ConnectionPatch>,
) -> Result<Json<Connection>, ApiError> {
    let scope = scope(&state, query.team)?;
    let old = changeable(&state, &scope, &id).await?;
    let connection = Model {
        id,
        conn_type: patch.conn_type.unwrap_or(old.conn_type),
        description: patch.description.or(old.description),
        host: patch.host.or(old.host),
        port: patch.port.or(old.port),
        login: patch.login.or(old.login),
        password: patch.password.map(Sensitive::new).or(old.password),
        schema: patch.schema.or(old.schema),
        extra: patch.extra.map(extra).transpose()?.or(old.extra),
    };
    set(operator, &state, &scope, connection, false).await
}

/// Delete a connection.
#[utoipa::path(delete, operation_id = "delete_connection", path = "/api/v2/connections/{connection_id}", tag = "Connection",
    params(("connection_id" = String, Path), TeamQuery),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete(
    operator: Operator,
    State(state): State<ApiState>,
    Path(id): Path<ConnectionId>,
    Query(query): Query<TeamQuery>,
) -> Result<StatusCode, ApiError> {
    let scope = scope(&state, query.team)?;
    changeable(&state, &scope, &id).await?;
    state.settings.delete_connection(&scope, &id).await?;
    let change = Change::new(AuditAction::ConnectionDelete, format!("connection {id}"));
    change.of(&scope).by(operator, &state).await?;
    Ok(StatusCode::NO_CONTENT)
}
