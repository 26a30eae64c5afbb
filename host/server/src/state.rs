//! What the API works with: ports alone, so that it can be held against simple fakes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use airlock_grant::{Effective, Share};
use airlock_model::{
    connection::{Connection, Variable},
    id::{BundleName, ConnectionId, DagId, PoolName, Scope, TeamName, VariableKey},
    port::{
        AssetStore, AuditStore, BackfillStore, BundleStore, CallbackStore, Clock, Control,
        ControlError, DagStore, DeadlineStore, GrantStore, PoolLoads, PoolStore, RunStore,
        StoreError, TaskLogs, Timetables, TriggerStore, XcomStore,
    },
};
use async_trait::async_trait;
use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;

use crate::{auth::Keys, granting::Granting, metrics::RequestFigures, review::Review};

/// Something that is kept, and whether it stands in the configuration, where only an editor changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<T> {
    /// What is kept.
    pub value: T,
    /// It stands in the configuration.
    pub configured: bool,
}

/// Variables and connections of exactly one scope, opened, as people look at them and change them. Unlike
/// look-up by a bundle, nothing falls back to the global scope here.
#[async_trait]
pub trait SettingsKeeper: Send + Sync {
    /// All variables of a scope, by key.
    async fn variables(&self, scope: &Scope) -> Result<Vec<Kept<Variable>>, StoreError>;
    /// One variable.
    async fn variable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<Option<Kept<Variable>>, StoreError>;
    /// Creates or replaces a variable in the database. The caller has seen that it is not configured.
    async fn set_variable(&self, scope: &Scope, variable: &Variable) -> Result<(), StoreError>;
    /// Removes a variable from the database.
    async fn delete_variable(&self, scope: &Scope, key: &VariableKey) -> Result<(), StoreError>;
    /// All connections of a scope, by id.
    async fn connections(&self, scope: &Scope) -> Result<Vec<Kept<Connection>>, StoreError>;
    /// One connection.
    async fn connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<Option<Kept<Connection>>, StoreError>;
    /// Creates or replaces a connection in the database. The caller has seen that it is not configured.
    async fn set_connection(
        &self,
        scope: &Scope,
        connection: &Connection,
    ) -> Result<(), StoreError>;
    /// Removes a connection from the database.
    async fn delete_connection(&self, scope: &Scope, id: &ConnectionId) -> Result<(), StoreError>;
}

/// Who owns which DAG.
#[async_trait]
pub trait Ownership: Send + Sync {
    /// Gives a DAG to another bundle, and with it to that bundle's team. When this returns, it is live again if
    /// that bundle has it and may have it, and stale otherwise.
    ///
    /// # Errors
    /// When there is no such DAG or bundle, or the DAG has runs that have not ended.
    async fn transfer(&self, dag_id: &DagId, bundle: &BundleName) -> Result<(), ControlError>;
}

/// What bundles ask for and what they are granted.
#[async_trait]
pub trait Reviews: Send + Sync {
    /// The review of a bundle's active version; none when there is no such bundle.
    async fn review(&self, bundle: &BundleName) -> Result<Option<Review>, StoreError>;
    /// What a bundle's active version may reach; none when there is no such bundle.
    async fn effective(&self, bundle: &BundleName) -> Result<Option<Arc<Effective>>, StoreError>;
}

/// How busy a team's instance pool is, and what has happened in it since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolFigures {
    /// Whose.
    pub team: TeamName,
    /// Instances that are there now.
    pub instances: u64,
    /// How many there may be.
    pub instances_limit: u64,
    /// Calls that wait for an instance.
    pub waiting: u64,
    /// Bytes of linear memory of all instances now.
    pub memory: u64,
    /// How many there may be.
    pub memory_limit: u64,
    /// CPU time of its instances, in microseconds.
    pub cpu_micros: u64,
    /// Calls of a bundle that its grant did not allow, by what they wanted.
    pub denials: Vec<(&'static str, u64)>,
    /// How calls ended, and how often.
    pub ends: Vec<(&'static str, u64)>,
}

/// The instance pools, for the metrics.
pub trait InstancePools: Send + Sync {
    /// One entry per team.
    fn figures(&self) -> Vec<PoolFigures>;
}

/// A team as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Its name.
    pub name: TeamName,
    /// Its share against the other teams'.
    pub weight: u32,
}

/// What stands for a DAG that does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DagDefaults {
    /// Runs at once.
    pub max_active_runs: u32,
    /// Tasks at once in one run.
    pub max_active_tasks: u32,
}

/// Everything that the handlers need.
#[derive(Clone)]
pub struct ApiState {
    /// DAGs and import errors.
    pub dags: Arc<dyn DagStore>,
    /// Runs and task instances.
    pub runs: Arc<dyn RunStore>,
    /// Backfills.
    pub backfills: Arc<dyn BackfillStore>,
    /// Assets and their events.
    pub assets: Arc<dyn AssetStore>,
    /// Triggers that are bundles' own code.
    pub triggers: Arc<dyn TriggerStore>,
    /// Requests for callbacks.
    pub callbacks: Arc<dyn CallbackStore>,
    /// Deadlines of runs.
    pub deadlines: Arc<dyn DeadlineStore>,
    /// Timetables that are bundles' own code.
    pub timetables: Arc<dyn Timetables>,
    /// XComs.
    pub xcoms: Arc<dyn XcomStore>,
    /// Bundle versions.
    pub bundles: Arc<dyn BundleStore>,
    /// Logs of tries.
    pub logs: Arc<dyn TaskLogs>,
    /// Pools. Whoever needs to know of a change wraps the store.
    pub pools: Arc<dyn PoolStore>,
    /// How full they are.
    pub pool_loads: Arc<dyn PoolLoads>,
    /// Those that stand in the configuration.
    pub configured_pools: Arc<BTreeSet<(Scope, PoolName)>>,
    /// Variables and connections.
    pub settings: Arc<dyn SettingsKeeper>,
    /// Requests and grants of bundles.
    pub reviews: Arc<dyn Reviews>,
    /// Grants, with their history.
    pub grants: Arc<dyn GrantStore>,
    /// Grants, decided.
    pub granting: Arc<dyn Granting>,
    /// What teams share with bundles of others.
    pub shares: Arc<[Share]>,
    /// Who owns which DAG.
    pub ownership: Arc<dyn Ownership>,
    /// The scheduler.
    pub control: Arc<dyn Control>,
    /// Who did what.
    pub audit: Arc<dyn AuditStore>,
    /// The instance pools.
    pub instances: Arc<dyn InstancePools>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The teams there are.
    pub teams: Arc<[Team]>,
    /// For DAGs that do not say.
    pub defaults: DagDefaults,
    /// The scheduler is ill when its loop last came round longer ago.
    pub heartbeat_limit: Duration,
    /// What opens the API.
    pub keys: Keys,
    /// Ends what would last: requests that follow a log.
    pub shutdown: CancellationToken,
    /// Requests, counted.
    pub requests: RequestFigures,
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").finish_non_exhaustive()
    }
}

impl FromRef<ApiState> for Keys {
    fn from_ref(state: &ApiState) -> Self {
        state.keys.clone()
    }
}
