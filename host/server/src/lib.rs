//! The API: Airflow's REST API in version 2 for what Airlock has, and ours beside it.
//!
//! The handlers know ports alone ([`ApiState`]). What is sent are wire types of this crate, described at
//! `/openapi.json` and in `docs/openapi.json`. One token opens everything ([`auth`]); [`serve()`] puts the
//! bounds around it that keep a hostile client from holding the server: header and request time, body size,
//! connections.

mod audit;
pub mod auth;
mod extract;
pub mod granting;
mod guard;
mod metrics;
mod problem;
pub mod review;
mod route;
mod router;
mod serve;
mod state;

pub use metrics::RequestFigures;
pub use problem::{ApiError, ErrorBody};
pub use route::audit::AuditLine;
pub use router::{Guards, openapi, router};
pub use serve::serve;
pub use state::{
    ApiState, DagDefaults, InstancePools, Kept, Ownership, PoolFigures, Reviews, SettingsKeeper,
    Team,
};

#[cfg(test)]
mod tests;
