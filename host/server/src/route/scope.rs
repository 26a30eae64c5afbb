//! Whose: the `team` that a request names, or no team.

use airlock_model::id::{Scope, TeamName};

use crate::{problem::ApiError, state::ApiState};

/// The team of this name, if there is one.
pub(crate) fn known_team(state: &ApiState, team: TeamName) -> Result<TeamName, ApiError> {
    if state.teams.iter().any(|known| known.name == team) {
        Ok(team)
    } else {
        Err(ApiError::not_found("team", team))
    }
}

/// The scope that `?team=` means; absent, the global one.
pub(crate) fn scope(state: &ApiState, team: Option<TeamName>) -> Result<Scope, ApiError> {
    Ok(match team {
        Some(team) => Scope::Team(known_team(state, team)?),
        None => Scope::Global,
    })
}

/// The team of a scope, as Airflow's answers name it.
pub(crate) fn team_name(scope: &Scope) -> Option<String> {
    match scope {
        Scope::Global => None,
        Scope::Team(team) => Some(team.to_string()),
    }
}
