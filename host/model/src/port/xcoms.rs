//! XComs and the content store behind the large ones.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::{
    id::{DagId, MapIndex, RunId, RunKey, TaskId, TaskIndex, TeamName},
    time::Timestamp,
};

/// The key under which a task's return value stands (Airflow 3.3.2, `XCOM_RETURN_KEY`).
pub const RETURN_VALUE: &str = "return_value";

/// Which XCom, by the names that people and guests use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XcomAddress {
    /// The DAG.
    pub dag_id: DagId,
    /// The run.
    pub run_id: RunId,
    /// The task.
    pub task_id: TaskId,
    /// Which instance of it.
    pub map_index: MapIndex,
    /// At most 512 bytes.
    pub key: String,
}

/// An XCom as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XcomRow {
    /// The task.
    pub task_id: TaskId,
    /// Which instance of it.
    pub map_index: MapIndex,
    /// Its key.
    pub key: String,
    /// JSON text, fetched from the content store where it was spilled.
    pub value: Arc<str>,
    /// When its try ended.
    pub at: Timestamp,
}

/// Reads XComs. They are written as part of a [`super::Batch`] only.
#[async_trait]
pub trait XcomStore: Send + Sync {
    /// One XCom, of this team's DAGs only.
    async fn xcom(
        &self,
        team: &TeamName,
        address: &XcomAddress,
    ) -> Result<Option<Arc<str>>, StoreError>;
    /// One XCom of a run that the caller already holds.
    async fn xcom_of(
        &self,
        run: RunKey,
        task: TaskIndex,
        map_index: MapIndex,
        key: &str,
    ) -> Result<Option<Arc<str>>, StoreError>;
    /// All XComs of a task instance.
    async fn xcoms(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        task_id: &TaskId,
        map_index: MapIndex,
    ) -> Result<Vec<XcomRow>, StoreError>;
}

/// What a guest may ask of XComs: those of its own team.
#[async_trait]
pub trait Xcoms: Send + Sync {
    /// The value, or none; another team's is none.
    async fn pull(
        &self,
        team: &TeamName,
        address: &XcomAddress,
    ) -> Result<Option<Arc<str>>, StoreError>;
}

#[async_trait]
impl<T: XcomStore + ?Sized> Xcoms for T {
    async fn pull(
        &self,
        team: &TeamName,
        address: &XcomAddress,
    ) -> Result<Option<Arc<str>>, StoreError> {
        self.xcom(team, address).await
    }
}

/// The content store: immutable bytes by their BLAKE3.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores bytes durably and gives their hash.
    async fn put(&self, bytes: &[u8]) -> Result<crate::id::BundleHash, StoreError>;
    /// The bytes, checked against the hash.
    async fn get(&self, hash: &crate::id::BundleHash) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keeps the signature of a content beside it, durably, in place of the one before.
    async fn put_signature(
        &self,
        of: &crate::id::BundleHash,
        signature: &[u8],
    ) -> Result<(), StoreError>;
    /// The signature that is kept of a content. Nothing is known of it: it is checked by whoever relies on it.
    async fn signature(&self, of: &crate::id::BundleHash) -> Result<Option<Vec<u8>>, StoreError>;
}
