//! Assets: what DAGs declare and use, how it changed, and what waits for it (Airflow 3.3.2,
//! `airflow/assets/manager.py`).
//!
//! What DAGs declare comes with their import ([`super::DagStore::replace`]), events come with the commit of
//! the success that caused them ([`super::Batch`]). A name is a team's own: two teams' assets of one name have
//! nothing to do with each other.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Page, Paged, StoreError};
use crate::{
    dag::AssetRef,
    id::{AssetEventId, DagId, MapIndex, RunId, RunKey, TaskId, TeamName},
    time::Timestamp,
};

/// An asset of a team.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetKey {
    /// Whose.
    pub team: TeamName,
    /// Its name; a guest's text.
    pub name: Arc<str>,
}

/// What a DAG or a task of it has to do with an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssetRole {
    /// The DAG declares it.
    Declared,
    /// Its events make runs of the DAG.
    Schedule,
    /// The task wants to see its latest events.
    Inlet,
    /// The task's success changes it.
    Outlet,
}

/// A DAG's use of an asset or alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetUse {
    /// The DAG; one that is live.
    pub dag_id: DagId,
    /// Whose it is.
    pub team: TeamName,
    /// The task; none where it is the DAG's own use.
    pub task_id: Option<TaskId>,
    /// How it is used.
    pub role: AssetRole,
    /// As the DAG names it.
    pub asset: AssetRef,
    /// Since when the bundle's imports have had it without a break.
    pub since: Timestamp,
}

/// An asset as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAsset {
    /// Its name.
    pub key: AssetKey,
    /// What it stands for.
    pub uri: Option<String>,
    /// For people.
    pub group: Option<String>,
    /// A JSON object, for people and programs.
    pub extra: Option<String>,
    /// Aliases that were resolved to it.
    pub aliases: Vec<String>,
    /// Uses of it, by name, URI or one of its aliases. None: no live DAG knows it any more.
    pub uses: Vec<AssetUse>,
    /// When it changed last.
    pub last_event: Option<Timestamp>,
}

/// Who changed an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSource {
    /// A task that succeeded.
    Task {
        /// Its DAG.
        dag_id: DagId,
        /// The run.
        run_id: RunId,
        /// The task.
        task_id: TaskId,
        /// Which instance of it.
        map_index: MapIndex,
    },
    /// Somebody who said so.
    Api {
        /// Who.
        by: String,
    },
    /// Anything else, for people.
    Other(String),
}

/// A change of an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetEvent {
    /// Its id.
    pub id: AssetEventId,
    /// What changed.
    pub asset: AssetKey,
    /// When.
    pub at: Timestamp,
    /// A JSON object.
    pub extra: Arc<str>,
    /// Who changed it.
    pub source: EventSource,
    /// The aliases through which it was reached; each is resolved to this asset from now on.
    pub aliases: Vec<String>,
}

/// A DAG that waits for assets has an event of this one, or no longer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueChange {
    /// The DAG.
    pub dag_id: DagId,
    /// The asset.
    pub asset: AssetKey,
    /// When it changed; none: a run has taken it.
    pub queued_at: Option<Timestamp>,
}

/// An asset that has changed and that a DAG has not answered with a run yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// The DAG.
    pub dag_id: DagId,
    /// The asset.
    pub asset: AssetKey,
    /// When it changed.
    pub queued_at: Timestamp,
}

/// Which assets to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssetFilter {
    /// Of this team only.
    pub team: Option<TeamName>,
    /// Of this name only.
    pub name: Option<Arc<str>>,
    /// Only those that this DAG uses in some way.
    pub dag_id: Option<DagId>,
    /// Of this URI only.
    pub uri: Option<String>,
    /// Also those that no live DAG uses.
    pub include_unused: bool,
}

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this team's assets only.
    pub team: Option<TeamName>,
    /// Of the assets of this name only.
    pub asset: Option<Arc<str>>,
    /// Caused by this DAG only.
    pub dag_id: Option<DagId>,
    /// Caused by runs of this name only.
    pub run_id: Option<RunId>,
    /// Caused by tasks of this name only.
    pub task_id: Option<TaskId>,
    /// Caused by instances of this map index only; -1 is that of tasks that are not mapped.
    pub map_index: Option<MapIndex>,
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// At this time or earlier.
    pub to: Option<Timestamp>,
    /// Newest first.
    pub newest_first: bool,
}

/// Assets, their events, and what waits for them.
#[async_trait]
pub trait AssetStore: Send + Sync {
    /// Assets, by team and name.
    async fn assets(
        &self,
        filter: &AssetFilter,
        page: Page,
    ) -> Result<Paged<StoredAsset>, StoreError>;
    /// One asset, used or not.
    async fn asset(&self, key: &AssetKey) -> Result<Option<StoredAsset>, StoreError>;
    /// The uses of all live DAGs that make runs of them: what a restart needs to know.
    async fn consumers(&self) -> Result<Vec<AssetUse>, StoreError>;
    /// Which aliases were resolved to which assets of their teams.
    async fn alias_assets(&self) -> Result<Vec<(String, AssetKey)>, StoreError>;
    /// Which of these keys of watchers' events are known of an asset.
    async fn seen_keys(&self, asset: &AssetKey, keys: &[String])
    -> Result<Vec<String>, StoreError>;
    /// Forgets the keys of events that were told of before this time; tells how many. A watcher that sees such a
    /// change again tells of it anew.
    async fn forget_seen_keys(&self, before: Timestamp) -> Result<u64, StoreError>;
    /// Events, oldest first unless asked otherwise.
    async fn events(
        &self,
        filter: &EventFilter,
        page: Page,
    ) -> Result<Paged<AssetEvent>, StoreError>;
    /// The events that the next runs of DAGs would consume, for a restart: of each asset that a live DAG waits
    /// for, those since it does and since the last run that assets made of it, less those that a run of it has
    /// consumed. By DAG, the oldest first.
    async fn unconsumed(&self) -> Result<Vec<(DagId, AssetKey, AssetEventId)>, StoreError>;
    /// The events that made a run, oldest first.
    async fn consumed_by(&self, run: RunKey) -> Result<Vec<AssetEvent>, StoreError>;
    /// Which DAGs have an event of which asset: all of it, for a restart.
    async fn queue(&self) -> Result<Vec<QueueRow>, StoreError>;
    /// The same of one DAG.
    async fn queued(&self, dag_id: &DagId) -> Result<Vec<QueueRow>, StoreError>;
    /// Forgets that a DAG has an event of this asset, or of any; says of how many.
    async fn delete_queued(
        &self,
        dag_id: &DagId,
        asset: Option<&AssetKey>,
    ) -> Result<u64, StoreError>;
}
