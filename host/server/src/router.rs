//! All addresses together, with what stands around them.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state, map_response},
    response::Response,
    routing::get,
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    audit,
    auth::{Reader, require_token},
    guard::{self, Hosts},
    metrics,
    problem::ApiError,
    route::{
        asset_events, assets, audit as audit_route, backfills, bundles, callbacks, connections,
        dags, deadlines, explanation, grants, import_errors, logs, monitor, next_runs, ownership,
        pools, queued_events, repairs, runs, shares, task_instances, teams, triggers, variables,
        xcoms,
    },
    state::ApiState,
};

/// What stands around the addresses.
#[derive(Debug, Clone)]
pub struct Guards {
    /// Host names under which the API may be addressed, besides addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
    /// Whether `/metrics` answers without the token.
    pub public_metrics: bool,
    /// The largest body, in bytes.
    pub body_limit: usize,
    /// From a request's headers to the beginning of its answer.
    pub request_timeout: Duration,
}

/// What the API is, for programs.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Airlock",
        description = "The shape of Airflow's REST API v2, for what Airlock has. Errors are `{\"detail\": …, \"code\": \"AL-nnnn\"}`.",
        license(name = "Apache-2.0")
    ),
    modifiers(&BearerToken),
    security(("token" = []))
)]
struct Description;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", scheme);
    }
}

/// The addresses that need no token.
fn open() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(monitor::live))
        .routes(routes!(monitor::ready))
        .routes(routes!(monitor::health))
        .routes(routes!(monitor::version))
}

/// The addresses that need the token.
fn closed() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(dags::list))
        .routes(routes!(dags::get, dags::patch, dags::delete))
        .routes(routes!(dags::details))
        .routes(routes!(dags::tasks))
        .routes(routes!(ownership::transfer))
        .routes(routes!(next_runs::list))
        .routes(routes!(runs::list, runs::trigger))
        .routes(routes!(runs::get, repairs::patch_run, repairs::delete_run))
        .routes(routes!(repairs::clear::clear_run))
        .routes(routes!(repairs::clear::clear))
        .routes(routes!(task_instances::list))
        .routes(routes!(task_instances::get, repairs::mark::mark))
        .routes(routes!(repairs::mark::mark_dry_run))
        .routes(routes!(
            task_instances::get_mapped,
            repairs::mark::mark_mapped
        ))
        .routes(routes!(repairs::mark::mark_mapped_dry_run))
        .routes(routes!(task_instances::list_mapped))
        .routes(routes!(task_instances::dependencies))
        .routes(routes!(task_instances::mapped_dependencies))
        .routes(routes!(backfills::list, backfills::create))
        .routes(routes!(backfills::dry_run))
        .routes(routes!(backfills::get))
        .routes(routes!(backfills::runs))
        .routes(routes!(backfills::pause))
        .routes(routes!(backfills::unpause))
        .routes(routes!(backfills::cancel))
        .routes(routes!(assets::list))
        .routes(routes!(assets::get))
        .routes(routes!(assets::materialize))
        .routes(routes!(asset_events::list, asset_events::create))
        .routes(routes!(asset_events::upstream))
        .routes(routes!(queued_events::list, queued_events::delete))
        .routes(routes!(queued_events::get, queued_events::delete_one))
        .routes(routes!(triggers::list))
        .routes(routes!(triggers::get))
        .routes(routes!(callbacks::list))
        .routes(routes!(callbacks::get))
        .routes(routes!(callbacks::retry))
        .routes(routes!(deadlines::list))
        .routes(routes!(logs::read))
        .routes(routes!(xcoms::list))
        .routes(routes!(xcoms::get))
        .routes(routes!(variables::list, variables::post))
        .routes(routes!(variables::get, variables::patch, variables::delete))
        .routes(routes!(connections::list, connections::post))
        .routes(routes!(
            connections::get,
            connections::patch,
            connections::delete
        ))
        .routes(routes!(pools::list, pools::post))
        .routes(routes!(pools::get, pools::patch, pools::delete))
        .routes(routes!(audit_route::list))
        .routes(routes!(import_errors::list))
        .routes(routes!(teams::list))
        .routes(routes!(bundles::list))
        .routes(routes!(bundles::versions))
        .routes(routes!(bundles::review))
        .routes(routes!(explanation::explain))
        .routes(routes!(grants::list))
        .routes(routes!(shares::list))
        .routes(routes!(grants::in_force, grants::revoke))
        .routes(routes!(grants::propose))
        .routes(routes!(grants::get, grants::decide))
}

fn with_metrics() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(monitor::metrics))
}

/// The description of the API, as `/openapi.json` gives it.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(open())
        .merge(closed())
        .merge(with_metrics())
        .into_openapi()
}

/// The whole API.
pub fn router(state: ApiState, guards: &Guards) -> Router {
    let description = openapi();
    let (closed, _) = closed().split_for_parts();
    let (open, _) = open().split_for_parts();
    let (metrics, _) = with_metrics().split_for_parts();
    let mut closed = closed.route(
        "/openapi.json",
        get(move |_: Reader| async move { Json(description) }),
    );
    let mut open = open;
    if guards.public_metrics {
        open = open.route("/metrics", get(monitor::public_metrics));
    } else {
        closed = closed.merge(metrics);
    }
    let token = from_fn_with_state(state.keys.clone(), require_token);
    let requests = from_fn_with_state(state.requests.clone(), metrics::count);
    let hosts = Hosts::new(&guards.allowed_hosts);
    closed
        .route_layer(from_fn(audit::to_the_end))
        .route_layer(token)
        .merge(open)
        .fallback(async || ApiError::NoSuchRoute)
        .method_not_allowed_fallback(async || ApiError::WrongMethod)
        .with_state(state)
        .layer(DefaultBodyLimit::max(guards.body_limit))
        .layer(from_fn_with_state(
            guards.request_timeout,
            guard::limit_time,
        ))
        .layer(from_fn_with_state(hosts, guard::check_host))
        .layer(requests)
        .layer(map_response(harden))
}

/// Answers are data for programs: no browser is to guess another type, keep them, or frame them.
async fn harden(mut response: Response) -> Response {
    use axum::http::{HeaderValue, header};
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    response
}
