//! What the scheduler needs of others.

use std::sync::Arc;

use airlock_model::port::{
    AssetStore, Blobs, CallbackRunner, CallbackStore, Clock, DagStore, DeadlineStore, Executor,
    Files, Poller, RunStore, Timetables, TriggerStore, XcomStore,
};

/// What the scheduler needs of others.
#[derive(Clone)]
pub struct Ports {
    /// Runs.
    pub runs: Arc<dyn RunStore>,
    /// DAGs.
    pub dags: Arc<dyn DagStore>,
    /// XComs.
    pub xcoms: Arc<dyn XcomStore>,
    /// Where large XComs go.
    pub blobs: Arc<dyn Blobs>,
    /// Events of assets.
    pub assets: Arc<dyn AssetStore>,
    /// Timetables that are bundles' own code.
    pub timetables: Arc<dyn Timetables>,
    /// Triggers that are bundles' own code.
    pub triggers: Arc<dyn TriggerStore>,
    /// Who polls them.
    pub poller: Arc<dyn Poller>,
    /// Requests for callbacks.
    pub callbacks: Arc<dyn CallbackStore>,
    /// Who runs them.
    pub callback_runner: Arc<dyn CallbackRunner>,
    /// Deadlines of runs.
    pub deadlines: Arc<dyn DeadlineStore>,
    /// Files for which somebody waits.
    pub files: Arc<dyn Files>,
    /// Who runs tries.
    pub executor: Arc<dyn Executor>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}
