//! Which versions of which bundles there are, and what their parse gave.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::{
    dag::DagSpec,
    id::{BundleHash, BundleName, TeamName},
    port::SpecError,
    time::Timestamp,
};

/// One version of a bundle: a component file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleVersion {
    /// Its name.
    pub bundle: BundleName,
    /// Whose it is.
    pub team: TeamName,
    /// Its content.
    pub hash: BundleHash,
    /// The version that its `bundle.toml` claims.
    pub version: String,
    /// When the host first saw it.
    pub created_at: Timestamp,
    /// Whether new runs use it.
    pub active: bool,
}

/// What a parse depends on, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParseKey {
    /// The component.
    pub hash: BundleHash,
    /// BLAKE3 over the variables granted to the parse phase, and the version of the border.
    pub inputs: BundleHash,
}

/// What a parse gave, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParseResult {
    /// The DAGs, unchecked.
    pub dags: Vec<DagSpec>,
    /// DAGs that the guest itself could not build.
    pub errors: Vec<SpecError>,
}

/// Bundle versions and parse results.
#[async_trait]
pub trait BundleStore: Send + Sync {
    /// Records a version and makes it the active one of its bundle. Recording the active one again
    /// changes nothing.
    async fn activate(&self, version: &BundleVersion) -> Result<(), StoreError>;
    /// The active versions of all bundles.
    async fn active(&self) -> Result<Vec<BundleVersion>, StoreError>;
    /// All versions of a bundle, newest first.
    async fn versions(&self, bundle: &BundleName) -> Result<Vec<BundleVersion>, StoreError>;
    /// The version with this content.
    async fn version(&self, hash: &BundleHash) -> Result<Option<BundleVersion>, StoreError>;
    /// Whether it is known what this parse gives.
    async fn is_parsed(&self, key: &ParseKey) -> Result<bool, StoreError>;
    /// What this parse gave before.
    async fn parse_result(&self, key: &ParseKey) -> Result<Option<ParseResult>, StoreError>;
    /// Keeps what a parse gave. Failures for want of pool, time or memory are never handed here.
    async fn keep_parse_result(
        &self,
        key: &ParseKey,
        result: &ParseResult,
    ) -> Result<(), StoreError>;
}
