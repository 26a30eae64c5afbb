//! Bundles: their versions, and what each may reach.

use airlock_model::{
    id::{BundleName, TeamName},
    port::BundleVersion,
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    list_query,
    scope::{Whose, known_team},
};
use crate::{
    auth::Reader,
    extract::{Path, Query},
    problem::{ApiError, ErrorBody},
    review::Review,
    state::ApiState,
};

/// A version of a bundle.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Bundle {
    name: String,
    team_name: String,
    /// The version that its `bundle.toml` claims.
    version: String,
    /// The BLAKE3 of the component.
    hash: String,
    /// When the host first saw it.
    created_at: String,
    /// Whether new runs use it.
    is_active: bool,
}

/// Bundles.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BundleCollection {
    bundles: Vec<Bundle>,
    total_entries: u64,
}

list_query! {
    /// Which bundles.
    BundlesQuery {
        /// Of this team only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
    }
}

impl From<BundleVersion> for Bundle {
    fn from(version: BundleVersion) -> Self {
        Self {
            name: version.bundle.to_string(),
            team_name: version.team.to_string(),
            version: version.version,
            hash: version.hash.to_string(),
            created_at: version.created_at.to_string(),
            is_active: version.active,
        }
    }
}

/// List the active versions of all bundles.
#[utoipa::path(get, operation_id = "list_bundles", path = "/api/v2/bundles", tag = "Bundle", params(BundlesQuery),
    responses((status = 200, body = BundleCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Reader,
    State(state): State<ApiState>,
    Query(query): Query<BundlesQuery>,
) -> Result<Json<BundleCollection>, ApiError> {
    let page = query.page();
    let team = query
        .team
        .map(|team| known_team(&state, team))
        .transpose()?;
    let mut active = state.bundles.active().await?;
    active.retain(|version| team.as_ref().is_none_or(|team| version.team == *team));
    active.sort_by(|a, b| a.bundle.cmp(&b.bundle));
    let (bundles, total_entries) = page.cut(active);
    Ok(Json(BundleCollection {
        bundles: bundles.into_iter().map(Bundle::from).collect(),
        total_entries,
    }))
}

/// The versions of a bundle, newest first, if it is there for whoever asks.
pub(crate) async fn known(
    state: &ApiState,
    name: &BundleName,
    whose: &Whose,
) -> Result<Vec<BundleVersion>, ApiError> {
    let versions = state.bundles.versions(name).await?;
    match versions.first() {
        Some(newest) if whose.sees(&newest.team) => Ok(versions),
        _ => Err(ApiError::not_found("bundle", name)),
    }
}

/// List the versions of a bundle, newest first.
#[utoipa::path(get, operation_id = "list_bundle_versions", path = "/api/v2/bundles/{bundle_name}/versions", tag = "Bundle",
    params(("bundle_name" = String, Path), Whose),
    responses((status = 200, body = BundleCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn versions(
    _: Reader,
    State(state): State<ApiState>,
    Path(name): Path<BundleName>,
    Query(whose): Query<Whose>,
) -> Result<Json<BundleCollection>, ApiError> {
    let versions = known(&state, &name, &whose).await?;
    Ok(Json(BundleCollection {
        total_entries: versions.len() as u64,
        bundles: versions.into_iter().map(Bundle::from).collect(),
    }))
}

/// Get the review of a bundle's active version: what it imports, asks for and is granted.
#[utoipa::path(get, operation_id = "get_bundle_review", path = "/api/v2/bundles/{bundle_name}/review", tag = "Bundle",
    params(("bundle_name" = String, Path), Whose),
    responses((status = 200, body = Review), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn review(
    _: Reader,
    State(state): State<ApiState>,
    Path(name): Path<BundleName>,
    Query(whose): Query<Whose>,
) -> Result<Json<Review>, ApiError> {
    known(&state, &name, &whose).await?;
    let review = state.reviews.review(&name).await?;
    review
        .map(Json)
        .ok_or_else(|| ApiError::not_found("bundle", name))
}
