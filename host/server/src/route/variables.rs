//! Variables. Their values are treated as secrets: a list masks them, only asking for one shows it.
//!
//! `?team=` names whose; without it, the global ones are meant.

use airlock_model::{
    audit::AuditAction,
    connection::Variable as Model,
    id::{Scope, TeamName, VariableKey},
    mask::Sensitive,
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{
    list_query,
    scope::{scope, team_name},
};
use crate::{
    audit::Change,
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::{ApiState, Kept},
};

/// A variable.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Variable {
    key: String,
    /// `***` in a list.
    value: String,
    description: Option<String>,
    /// Always true: every value is sealed.
    is_encrypted: bool,
    team_name: Option<String>,
    /// It stands in airlock.toml, or in the folder of secrets, and can only be changed there.
    is_configured: bool,
}

/// Variables.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VariableCollection {
    variables: Vec<Variable>,
    total_entries: u64,
}

/// A variable to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariableBody {
    #[schema(value_type = String)]
    key: VariableKey,
    /// A text, or any other JSON, which is kept as its text.
    #[schema(value_type = Object)]
    value: serde_json::Value,
    #[serde(default)]
    description: Option<String>,
}

/// What of a variable is to change; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariablePatch {
    /// A text, or any other JSON, which is kept as its text.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    value: Option<serde_json::Value>,
    #[serde(default)]
    description: Option<String>,
}

list_query! {
    /// Which variables.
    VariablesQuery {
        /// Whose; without it, the global ones.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
    }
}

/// Whose.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TeamQuery {
    /// Whose; without it, the global one.
    #[param(value_type = Option<String>)]
    pub(crate) team: Option<TeamName>,
}

fn as_text(value: serde_json::Value) -> Sensitive {
    Sensitive::new(match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}

fn wire(scope: &Scope, kept: Kept<Model>, reveal: bool) -> Variable {
    let Kept { value, configured } = kept;
    Variable {
        key: value.key.to_string(),
        value: if reveal {
            value.value.reveal().to_owned()
        } else {
            "***".to_owned()
        },
        description: value.description,
        is_encrypted: true,
        team_name: team_name(scope),
        is_configured: configured,
    }
}

async fn kept(state: &ApiState, scope: &Scope, key: &VariableKey) -> Result<Kept<Model>, ApiError> {
    let kept = state.settings.variable(scope, key).await?;
    kept.ok_or_else(|| ApiError::not_found("variable", key))
}

/// The variable, where it may be changed.
async fn changeable(state: &ApiState, scope: &Scope, key: &VariableKey) -> Result<Model, ApiError> {
    let kept = kept(state, scope, key).await?;
    if kept.configured {
        return Err(ApiError::Configured {
            what: "variable",
            name: key.to_string(),
        });
    }
    Ok(kept.value)
}

/// Tells the audit that it was set, and never to what.
async fn note(
    operator: Operator,
    state: &ApiState,
    scope: &Scope,
    key: &VariableKey,
    created: bool,
) -> Result<(), ApiError> {
    Change::new(AuditAction::VariableSet, format!("variable {key}"))
        .of(scope)
        .with(json!({"created": created}))
        .by(operator, state)
        .await
}

/// List variables by key, with their values masked.
#[utoipa::path(get, operation_id = "list_variables", path = "/api/v2/variables", tag = "Variable", params(VariablesQuery),
    responses((status = 200, body = VariableCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Query(query): Query<VariablesQuery>,
) -> Result<Json<VariableCollection>, ApiError> {
    let page = query.page();
    let scope = scope(&state, query.team)?;
    let (kept, total_entries) = page.cut(state.settings.variables(&scope).await?);
    Ok(Json(VariableCollection {
        variables: kept
            .into_iter()
            .map(|kept| wire(&scope, kept, false))
            .collect(),
        total_entries,
    }))
}

/// Get a variable, value included.
#[utoipa::path(get, operation_id = "get_variable", path = "/api/v2/variables/{variable_key}", tag = "Variable",
    params(("variable_key" = String, Path), TeamQuery),
    responses((status = 200, body = Variable), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    _: Operator,
    State(state): State<ApiState>,
    Path(key): Path<VariableKey>,
    Query(query): Query<TeamQuery>,
) -> Result<Json<Variable>, ApiError> {
    let scope = scope(&state, query.team)?;
    Ok(Json(wire(&scope, kept(&state, &scope, &key).await?, true)))
}

/// Create a variable.
#[utoipa::path(post, operation_id = "create_variable", path = "/api/v2/variables", tag = "Variable", params(TeamQuery), request_body = VariableBody,
    responses((status = 201, body = Variable), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn post(
    operator: Operator,
    State(state): State<ApiState>,
    Query(query): Query<TeamQuery>,
    extract::Json(body): extract::Json<VariableBody>,
) -> Result<(StatusCode, Json<Variable>), ApiError> {
    let scope = scope(&state, query.team)?;
    if state.settings.variable(&scope, &body.key).await?.is_some() {
        return Err(ApiError::Exists {
            what: "variable",
            name: body.key.to_string(),
        });
    }
    let variable = Model {
        key: body.key,
        value: as_text(body.value),
        description: body.description,
    };
    state.settings.set_variable(&scope, &variable).await?;
    note(operator, &state, &scope, &variable.key, true).await?;
    let kept = Kept {
        value: variable,
        configured: false,
    };
    Ok((StatusCode::CREATED, Json(wire(&scope, kept, false))))
}

/// Change a variable.
#[utoipa::path(patch, operation_id = "patch_variable", path = "/api/v2/variables/{variable_key}", tag = "Variable",
    params(("variable_key" = String, Path), TeamQuery), request_body = VariablePatch,
    responses((status = 200, body = Variable), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn patch(
    operator: Operator,
    State(state): State<ApiState>,
    Path(key): Path<VariableKey>,
    Query(query): Query<TeamQuery>,
    extract::Json(patch): extract::Json<VariablePatch>,
) -> Result<Json<Variable>, ApiError> {
    let scope = scope(&state, query.team)?;
    let mut variable = changeable(&state, &scope, &key).await?;
    if let Some(value) = patch.value {
        variable.value = as_text(value);
    }
    if patch.description.is_some() {
        variable.description = patch.description;
    }
    state.settings.set_variable(&scope, &variable).await?;
    note(operator, &state, &scope, &variable.key, false).await?;
    let kept = Kept {
        value: variable,
        configured: false,
    };
    Ok(Json(wire(&scope, kept, false)))
}

/// Delete a variable.
#[utoipa::path(delete, operation_id = "delete_variable", path = "/api/v2/variables/{variable_key}", tag = "Variable",
    params(("variable_key" = String, Path), TeamQuery),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete(
    operator: Operator,
    State(state): State<ApiState>,
    Path(key): Path<VariableKey>,
    Query(query): Query<TeamQuery>,
) -> Result<StatusCode, ApiError> {
    let scope = scope(&state, query.team)?;
    changeable(&state, &scope, &key).await?;
    state.settings.delete_variable(&scope, &key).await?;
    let change = Change::new(AuditAction::VariableDelete, format!("variable {key}"));
    change.of(&scope).by(operator, &state).await?;
    Ok(StatusCode::NO_CONTENT)
}
