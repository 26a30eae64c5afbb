//! How the server is: for people, for balancers and for Prometheus.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    auth::Operator,
    metrics,
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";

/// How the database is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatabaseHealth {
    /// `healthy` or `unhealthy`.
    status: &'static str,
}

/// How the scheduler is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SchedulerStatus {
    /// `healthy` or `unhealthy`.
    status: &'static str,
    latest_scheduler_heartbeat: String,
}

/// How everything is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    metadatabase: DatabaseHealth,
    scheduler: SchedulerStatus,
}

/// What this is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    version: &'static str,
    git_version: Option<String>,
}

impl Health {
    fn of(state: &ApiState) -> Self {
        let health = state.control.health();
        let silence = state.clock.now().since(health.last_heartbeat);
        let status = |well| if well { HEALTHY } else { UNHEALTHY };
        Self {
            metadatabase: DatabaseHealth {
                status: status(health.store_ok),
            },
            scheduler: SchedulerStatus {
                status: status(silence <= state.heartbeat_limit),
                latest_scheduler_heartbeat: health.last_heartbeat.to_string(),
            },
        }
    }

    fn is_well(&self) -> bool {
        self.metadatabase.status == HEALTHY && self.scheduler.status == HEALTHY
    }
}

/// Tell how database and scheduler are. Needs no token.
#[utoipa::path(get, operation_id = "get_health", path = "/api/v2/monitor/health", tag = "Monitor",
    security(()), responses((status = 200, body = Health)))]
pub(crate) async fn health(State(state): State<ApiState>) -> Json<Health> {
    Json(Health::of(&state))
}

/// Tell the version. Needs no token.
#[utoipa::path(get, operation_id = "get_version", path = "/api/v2/version", tag = "Version",
    security(()), responses((status = 200, body = Version)))]
pub(crate) async fn version() -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION"),
        git_version: None,
    })
}

/// Tell that the process answers. Needs no token.
#[utoipa::path(get, operation_id = "livez", path = "/livez", tag = "Monitor",
    security(()), responses((status = 200, body = String)))]
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Tell whether work can be done: 200, or 503 with the reason. Needs no token.
#[utoipa::path(get, operation_id = "readyz", path = "/readyz", tag = "Monitor",
    security(()), responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<Health>) {
    let health = Health::of(&state);
    let status = if health.is_well() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(health))
}

/// Figures in the format of Prometheus (OpenMetrics text).
#[utoipa::path(get, operation_id = "metrics", path = "/metrics", tag = "Monitor",
    responses((status = 200, body = String), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn metrics(
    _: Operator,
    State(state): State<ApiState>,
) -> Result<Response, ApiError> {
    scrape(&state).await
}

/// The same for everybody, where the configuration says so.
pub(crate) async fn public_metrics(State(state): State<ApiState>) -> Result<Response, ApiError> {
    scrape(&state).await
}

async fn scrape(state: &ApiState) -> Result<Response, ApiError> {
    let text = metrics::scrape(state).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
