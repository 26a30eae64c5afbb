//! Who owns which DAG: its bundle, until an operator gives it to another.

use airlock_model::{
    audit::AuditAction,
    id::{BundleName, DagId},
};
use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    dags::{self, Dag},
    scope::Whose,
};
use crate::{
    audit::Change,
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
    let before = state.dags.dag(&dag_id).await?;
    state.ownership.transfer(&dag_id, &body.bundle_name).await?;
    // Told of the team and bundle that had it; the one that has it now is in the details.
    let change = Change::new(AuditAction::DagTransfer, format!("DAG {dag_id}"))
        .with(json!({"to_bundle": body.bundle_name}));
    let change = before.iter().fold(change, Change::of_dag);
    change.by(operator, &state).await?;
    dags::get(
        operator,
        State(state),
        Path(dag_id),
        Query(Whose::default()),
    )
    .await
}
