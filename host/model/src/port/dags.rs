//! Which DAGs there are, whose they are, and what could not be imported.

use async_trait::async_trait;

use super::{Page, Paged, StoreError};
use crate::{
    dag::DagSpec,
    id::{BundleHash, BundleName, DagId, DefinitionHash, TeamName},
    time::Timestamp,
};

/// A DAG as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDag {
    /// Its id.
    pub dag_id: DagId,
    /// Whose it is.
    pub team: TeamName,
    /// The bundle that owns the id.
    pub bundle: BundleName,
    /// The version that new runs use.
    pub hash: BundleHash,
    /// Its definition.
    pub spec: DagSpec,
    /// No new runs, no new tries.
    pub is_paused: bool,
    /// Gone from its bundle; its history stays.
    pub is_stale: bool,
    /// When its definition was last parsed.
    pub last_parsed: Timestamp,
}

/// Why a bundle or one of its DAGs is not live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportError {
    /// Whose.
    pub team: TeamName,
    /// The bundle.
    pub bundle: BundleName,
    /// Its content, where it could be read at all.
    pub hash: Option<BundleHash>,
    /// The DAG, where it is one DAG's mistake.
    pub dag_id: Option<String>,
    /// The stable code, `AL-nnnn`.
    pub code: String,
    /// For people: what is wrong and what to do. May hold a guest's text, unescaped.
    pub message: String,
    /// When it was found.
    pub at: Timestamp,
}

/// Which DAGs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DagFilter {
    /// Of this team only.
    pub team: Option<TeamName>,
    /// Of this bundle only.
    pub bundle: Option<BundleName>,
    /// With this tag only.
    pub tag: Option<String>,
    /// Also those that are gone from their bundle.
    pub include_stale: bool,
}

/// DAGs and import errors.
#[async_trait]
pub trait DagStore: Send + Sync {
    /// Replaces what a bundle contributes, in one transaction: these DAGs are live, its others become
    /// stale, these are its import errors, and its DAGs declare and use the assets of their definitions. A
    /// DAG's paused flag survives; a new DAG gets the one of
    /// the given `StoredDag`.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when another bundle owns one of the ids; nothing is changed then.
    async fn replace(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        dags: &[StoredDag],
        errors: &[ImportError],
    ) -> Result<(), StoreError>;
    /// Which bundle owns an id, stale or not.
    async fn owner(&self, dag_id: &DagId) -> Result<Option<BundleName>, StoreError>;
    /// One DAG.
    async fn dag(&self, dag_id: &DagId) -> Result<Option<StoredDag>, StoreError>;
    /// DAGs by id.
    async fn dags(&self, filter: &DagFilter, page: Page) -> Result<Paged<StoredDag>, StoreError>;
    /// A definition that some import gave, which stays as long as runs are pinned to it.
    async fn definition(&self, hash: &DefinitionHash) -> Result<Option<DagSpec>, StoreError>;
    /// Pauses or unpauses.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such DAG.
    async fn set_paused(&self, dag_id: &DagId, paused: bool) -> Result<(), StoreError>;
    /// Deletes a DAG with its runs and all that is known of it, for good, but for what other things remember:
    /// the events of assets that it changed. If its bundle still has it, the next import makes it anew.
    ///
    /// # Errors
    /// [`StoreError::Refused`] while it has unfinished runs, [`StoreError::NotFound`] when there is no such
    /// DAG.
    async fn delete(&self, dag_id: &DagId) -> Result<(), StoreError>;
    /// Gives a DAG to another bundle, and with it to another team. It is stale until that bundle is imported
    /// with it. Its past runs stay with the team that ran them: what they left behind was never the new
    /// one's to read.
    ///
    /// # Errors
    /// [`StoreError::Refused`] while it has unfinished runs, [`StoreError::NotFound`] when there is no such
    /// DAG.
    async fn transfer(
        &self,
        dag_id: &DagId,
        bundle: &BundleName,
        team: &TeamName,
    ) -> Result<(), StoreError>;
    /// Import errors, newest first; of one team, or of all.
    async fn import_errors(&self, team: Option<&TeamName>) -> Result<Vec<ImportError>, StoreError>;
}
