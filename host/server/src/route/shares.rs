//! What teams share with bundles of others, as both sides see it.

use airlock_grant::{Share, Shared};
use airlock_model::id::TeamName;
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

/// Something that a team shares with a bundle of another.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharedThing {
    /// Whose it is.
    team_name: String,
    /// `connection` or `variable`.
    kind: String,
    /// Its id or key.
    name: String,
    /// With this bundle.
    bundle_name: String,
    /// Of this team.
    borrower_team_name: String,
    /// For these DAGs of it only; null for all.
    dag_ids: Option<Vec<String>>,
    /// Whether the bundle's grant borrows it, so that it counts.
    is_borrowed: bool,
}

/// What is shared.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShareCollection {
    shares: Vec<SharedThing>,
    total_entries: u64,
}

list_query! {
    /// Which shares.
    SharesQuery {
        /// Where this team lends or borrows only.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
    }
}

async fn shown(state: &ApiState, share: &Share) -> Result<Option<SharedThing>, ApiError> {
    let Some(standing) = state.granting.standing(&share.bundle).await? else {
        return Ok(None);
    };
    let (kind, name) = match &share.what {
        Shared::Connection(id) => ("connection", id.to_string()),
        Shared::Variable(key) => ("variable", key.to_string()),
    };
    let dags = share.dags.as_ref();
    Ok(Some(SharedThing {
        team_name: share.lender.to_string(),
        kind: kind.to_owned(),
        name,
        bundle_name: share.bundle.to_string(),
        borrower_team_name: standing.team.to_string(),
        dag_ids: dags.map(|dags| dags.iter().map(ToString::to_string).collect()),
        is_borrowed: standing.grant.borrows(share),
    }))
}

/// List what teams share with bundles of others. A team sees what it lends and what is lent to it.
#[utoipa::path(get, operation_id = "list_shares", path = "/api/v2/shares", tag = "Grant", params(SharesQuery),
    responses((status = 200, body = ShareCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Reader,
    State(state): State<ApiState>,
    Query(query): Query<SharesQuery>,
) -> Result<Json<ShareCollection>, ApiError> {
    let page = query.page();
    let team = query
        .team
        .map(|team| known_team(&state, team))
        .transpose()?;
    let mut shares = Vec::new();
    for share in &*state.shares {
        shares.extend(shown(&state, share).await?);
    }
    if let Some(team) = team {
        let sees = |name: &String| name == team.as_str();
        shares.retain(|share| sees(&share.team_name) || sees(&share.borrower_team_name));
    }
    let (shares, total_entries) = page.cut(shares);
    Ok(Json(ShareCollection {
        shares,
        total_entries,
    }))
}
