//! Teams.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::list_query;
use crate::{
    auth::Reader,
    extract::Query,
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// A team, and how busy it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Team {
    name: String,
    /// Its share against the other teams'.
    weight: u32,
    /// Its bundles that are live.
    bundles: Vec<String>,
    /// Tries on their way or running.
    running: u64,
    /// Task instances that wait for a slot.
    scheduled: u64,
    /// Task instances that wait for a trigger.
    deferred: u64,
    /// Tries that ended well since the start.
    succeeded: u64,
    /// Tries that failed since the start, those that were retried included.
    failed: u64,
}

/// Teams.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeamCollection {
    teams: Vec<Team>,
    total_entries: u64,
}

list_query! {
    /// Which part of the list.
    TeamsQuery {}
}

/// List teams by name.
#[utoipa::path(get, operation_id = "list_teams", path = "/api/v2/teams", tag = "Team", params(TeamsQuery),
    responses((status = 200, body = TeamCollection), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Reader,
    State(state): State<ApiState>,
    Query(query): Query<TeamsQuery>,
) -> Result<Json<TeamCollection>, ApiError> {
    let health = state.control.health();
    let active = state.bundles.active().await?;
    let team = |team: &crate::state::Team| {
        let load = health.teams.iter().find(|load| load.team == team.name);
        let bundles = active.iter().filter(|version| version.team == team.name);
        Team {
            name: team.name.to_string(),
            weight: team.weight,
            bundles: bundles.map(|version| version.bundle.to_string()).collect(),
            running: load.map_or(0, |load| load.running),
            scheduled: load.map_or(0, |load| load.scheduled),
            deferred: load.map_or(0, |load| load.deferred),
            succeeded: load.map_or(0, |load| load.tally.succeeded),
            failed: load.map_or(0, |load| load.tally.failed),
        }
    };
    let mut teams: Vec<Team> = state.teams.iter().map(team).collect();
    teams.sort_by(|a, b| a.name.cmp(&b.name));
    let (teams, total_entries) = query.page().cut(teams);
    Ok(Json(TeamCollection {
        teams,
        total_entries,
    }))
}
