//! Who owns which DAG: its bundle, until an operator gives it to another.

use airlock_model::id::{BundleName, DagId};
use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    dags::{self, Dag},
    scope::Whose,
};
use crate::{
    auth::Operator,
    extract::{self, Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// To whom a DAG is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransferBody {
    /// The bundle that owns it from now on; it may be another team's.
    #[schema(value_type = String)]
    bundle_name: BundleName,
}

/// Nothing: it concerns two teams, so it cannot be asked for on behalf of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnBehalfOfNone {}

/// Give a DAG to another bundle, and with it to that bundle's team. Its past runs stay with the team that ran
/// them. It is stale where that bundle does not have it.
#[utoipa::path(post, operation_id = "transfer_dag", path = "/api/v2/dags/{dag_id}/transfer", tag = "DAG",
    params(("dag_id" = String, Path)), request_body = TransferBody,
    responses((status = 200, body = Dag), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn transfer(
    operator: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(OnBehalfOfNone {}): Query<OnBehalfOfNone>,
    extract::Json(body): extract::Json<TransferBody>,
) -> Result<Json<Dag>, ApiError> {
    state.ownership.transfer(&dag_id, &body.bundle_name).await?;
    dags::get(
        operator,
        State(state),
        Path(dag_id),
        Query(Whose::default()),
    )
    .await
}
