//! Why a bundle's task may reach something, or may not: the decision that a call of it would meet.

use airlock_grant::{Access, AssetAccess, Caller, Explanation as Decided, HttpTarget, Item, Phase};
use airlock_model::id::{BundleName, DagId, TaskId, TeamName};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{bundles::known, scope::Whose};
use crate::{
    auth::Reader,
    extract::{Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// Who would reach what. Exactly one of `variable`, `connection`, `directory`, `url`, `consume` and
/// `produce` is to be given.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// On behalf of this team: what is another team's is not found.
    #[param(value_type = Option<String>)]
    team: Option<TeamName>,
    /// `parse`, `task`, `trigger` or `callback`; where nothing is said, `task`.
    #[param(value_type = Option<String>)]
    phase: Option<Phase>,
    /// For this DAG.
    #[param(value_type = Option<String>)]
    dag_id: Option<DagId>,
    /// For this task.
    #[param(value_type = Option<String>)]
    task_id: Option<TaskId>,
    /// The variable with this key.
    variable: Option<String>,
    /// The connection with this id.
    connection: Option<String>,
    /// `use` it, or `read` it, its password included; where nothing is said, `use`.
    #[param(value_type = Option<String>)]
    access: Access,
    /// The directory that the guest sees here.
    directory: Option<String>,
    /// This URL.
    url: Option<String>,
    /// With this method; where nothing is said, `GET`.
    method: Option<String>,
    /// To follow the asset of this name or URI, or those behind the alias of this name.
    consume: Option<String>,
    /// To change it.
    produce: Option<String>,
}

/// The decision, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explanation {
    /// Whether it may.
    allowed: bool,
    bundle_name: String,
    team_name: String,
    /// The active version, of which this is said: the BLAKE3 of the component.
    bundle_hash: String,
    /// What of the bundle's request asks for it; empty where it may not.
    asks_for: Vec<String>,
    /// What of the grant holds it; empty where it may not.
    granted: Vec<String>,
    /// Why it may not: the text that the call would meet, with what would allow it.
    denial: Option<String>,
}

impl ExplainQuery {
    fn caller(&self) -> Caller {
        let phase = self.phase.unwrap_or(Phase::Task);
        match phase {
            Phase::Parse => Caller::parse(),
            phase => Caller {
                phase,
                dag_id: self.dag_id.clone(),
                task_id: self.task_id.clone(),
            },
        }
    }

    fn item(&self) -> Result<Item, ApiError> {
        let method = self.method.as_deref().unwrap_or("GET");
        let url = self.url.as_ref();
        let url = url.map(|url| HttpTarget::parse(method, url).map(Item::Http));
        let asset = |name: &String, access| Item::Asset(name.clone(), access);
        let named = [
            self.variable.clone().map(Item::Variable),
            (self.connection.clone()).map(|id| Item::Connection(id, self.access)),
            self.directory.clone().map(Item::Directory),
            url.transpose().map_err(ApiError::invalid)?,
            (self.consume.as_ref()).map(|name| asset(name, AssetAccess::Consume)),
            (self.produce.as_ref()).map(|name| asset(name, AssetAccess::Produce)),
        ];
        let mut named = named.into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(item), None) => Ok(item),
            _ => Err(ApiError::invalid(
                "say what is to be reached: exactly one of `variable`, `connection`, `directory`, `url`, `consume` and `produce`",
            )),
        }
    }
}

/// Explain whether a bundle's active version may reach something. It is the decision itself that is asked, so that
/// the answer is what a call would get; nothing is reached, and nobody learns whether the thing exists.
#[utoipa::path(get, operation_id = "explain_grant", path = "/api/v2/bundles/{bundle_name}/explain", tag = "Bundle",
    params(("bundle_name" = String, Path), ExplainQuery),
    responses((status = 200, body = Explanation), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn explain(
    _: Reader,
    State(state): State<ApiState>,
    Path(name): Path<BundleName>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<Explanation>, ApiError> {
    let (caller, item) = (query.caller(), query.item()?);
    known(&state, &name, &Whose::of(query.team)).await?;
    let effective = state.reviews.effective(&name).await?;
    let effective = effective.ok_or_else(|| ApiError::not_found("bundle", name))?;
    let (asks_for, granted, denial) = match effective.explain(&caller, &item) {
        Decided::Allowed { asks, grants } => (asks, grants, None),
        Decided::Denied(denial) => (Vec::new(), Vec::new(), Some(denial.to_string())),
    };
    Ok(Json(Explanation {
        allowed: denial.is_none(),
        bundle_name: effective.bundle().name.to_string(),
        team_name: effective.team().to_string(),
        bundle_hash: effective.bundle().hash.to_string(),
        asks_for,
        granted,
        denial,
    }))
}
