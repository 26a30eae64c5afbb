//! Whose: the `team` that a request names, or no team.
//!
//! One token opens everything, so what the token's holder may do knows no teams. A request that names a team
//! is answered as if there were no other: a proxy that knows its users adds `?team=` and needs to know nothing
//! of who owns which DAG.

use airlock_model::{
    id::{DagId, RunId, Scope, TeamName},
    port::{RunRow, StoredDag},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{dags::stored, runs::found};
use crate::{problem::ApiError, state::ApiState};

/// On whose behalf.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Whose {
    /// On behalf of this team: what is another team's is not found.
    #[param(value_type = Option<String>)]
    team: Option<TeamName>,
}

impl Whose {
    /// On behalf of this team, or of all.
    pub(crate) const fn of(team: Option<TeamName>) -> Self {
        Self { team }
    }

    /// The DAG, if it is there for that team.
    pub(crate) async fn dag(
        &self,
        state: &ApiState,
        dag_id: &DagId,
    ) -> Result<StoredDag, ApiError> {
        let dag = stored(state, dag_id).await?;
        if self.sees(&dag.team) {
            Ok(dag)
        } else {
            Err(ApiError::not_found("DAG", dag_id))
        }
    }

    /// The run, if it is there for that team: a run stays with the team that it was made for.
    pub(crate) async fn run(
        &self,
        state: &ApiState,
        dag_id: &DagId,
        run_id: &RunId,
    ) -> Result<RunRow, ApiError> {
        let run = found(state, dag_id, run_id).await?;
        if self.sees(&run.team) {
            Ok(run)
        } else {
            Err(ApiError::not_found("DAG run", format!("{dag_id}/{run_id}")))
        }
    }

    /// Whether what belongs to this team is there for the one that was named.
    pub(crate) fn sees(&self, owner: &TeamName) -> bool {
        self.team.as_ref().is_none_or(|team| team == owner)
    }
}

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
