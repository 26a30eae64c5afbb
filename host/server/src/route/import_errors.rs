//! Import errors: why a bundle or one of its DAGs is not live.

use airlock_model::{
    id::{BundleName, TeamName},
    port::ImportError as Model,
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{list_query, scope::known_team};
use crate::{
    auth::Reader,
    extract::Query,
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// An import error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportError {
    /// The same for the same mistake of the same bundle version.
    import_error_id: u32,
    timestamp: String,
    /// The bundle, and the DAG where it is one DAG's mistake.
    filename: String,
    bundle_name: String,
    /// The BLAKE3 of the component, where it could be read at all.
    bundle_version: Option<String>,
    team_name: String,
    dag_id: Option<String>,
    /// Stable: `AL-nnnn`.
    code: String,
    /// What is wrong and what to do. May hold the bundle's text: escape it where it is shown.
    stack_trace: String,
}

/// Import errors, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportErrorCollection {
    import_errors: Vec<ImportError>,
    total_entries: u64,
}

list_query! {
    /// Which import errors.
    ImportErrorsQuery {
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
        /// Of this bundle only.
        #[param(value_type = Option<String>)]
        bundle_name: Option<BundleName>,
    }
}

impl From<Model> for ImportError {
    fn from(error: Model) -> Self {
        let hash = error.hash.map(|hash| hash.to_string());
        let dag = error.dag_id.as_deref();
        Self {
            import_error_id: id(&error, hash.as_deref()),
            timestamp: error.at.to_string(),
            filename: match dag {
                Some(dag) => format!("{}/{dag}", error.bundle),
                None => error.bundle.to_string(),
            },
            bundle_name: error.bundle.to_string(),
            bundle_version: hash,
            team_name: error.team.to_string(),
            dag_id: error.dag_id,
            code: error.code,
            stack_trace: error.message,
        }
    }
}

/// A number for clients that want one: of the content, since import errors are replaced as a whole.
fn id(error: &Model, hash: Option<&str>) -> u32 {
    let mut hasher = blake3::Hasher::new();
    let parts = [
        error.bundle.as_str(),
        hash.unwrap_or_default(),
        error.dag_id.as_deref().unwrap_or_default(),
        &error.code,
        &error.message,
    ];
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
    // Positive also for clients that read it as a signed number.
    u32::from_le_bytes([a, b, c, d]) >> 1
}

/// List import errors, newest first.
#[utoipa::path(get, operation_id = "list_import_errors", path = "/api/v2/importErrors", tag = "Import Error",
    params(ImportErrorsQuery),
    responses((status = 200, body = ImportErrorCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Reader,
    State(state): State<ApiState>,
    Query(query): Query<ImportErrorsQuery>,
) -> Result<Json<ImportErrorCollection>, ApiError> {
    let page = query.page();
    let team = query
        .team
        .map(|team| known_team(&state, team))
        .transpose()?;
    let mut errors = state.dags.import_errors(team.as_ref()).await?;
    if let Some(bundle) = query.bundle_name {
        errors.retain(|error| error.bundle == bundle);
    }
    let (errors, total_entries) = page.cut(errors);
    Ok(Json(ImportErrorCollection {
        import_errors: errors.into_iter().map(ImportError::from).collect(),
        total_entries,
    }))
}
