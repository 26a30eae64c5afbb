//! Who turns a component into DAG definitions.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    dag::{DagSpec, Location},
    id::{BundleHash, BundleName, TeamName},
    outcome::Limit,
};

/// A DAG that the guest could not build, or that the host could not take from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecError {
    /// Which, where the guest knows.
    pub dag_id: Option<String>,
    /// The guest's word, unescaped; or the host's, which begins with its code.
    pub message: String,
    /// Whether it is the host's.
    #[serde(default)]
    pub of_host: bool,
    /// Where.
    pub location: Option<Location>,
}

/// What the parse phase gave, unchecked.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedBundle {
    /// DAGs.
    pub dags: Vec<DagSpec>,
    /// DAGs that could not be built.
    pub errors: Vec<SpecError>,
}

/// Why a parse gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The component cannot be loaded: not a component, an import that is not granted, no `dags` export.
    /// Final for these bytes and this grant.
    #[error("{0}")]
    Load(String),
    /// It trapped. Final for these bytes.
    #[error("AL-0520: the bundle trapped while it was parsed: {0}")]
    Trap(String),
    /// It ran into a limit: retried, never kept.
    #[error("{message}")]
    Limit {
        /// Which.
        limit: Limit,
        /// With its code, the value and the option that sets it.
        message: String,
    },
    /// The host could not try now: retried, never kept.
    #[error("AL-0521: the bundle could not be parsed now: {0}")]
    Unavailable(String),
}

/// Runs the parse phase.
#[async_trait]
pub trait Parser: Send + Sync {
    /// Parses a bundle version in its team's pool, with the variables of its grant.
    async fn parse(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<ParsedBundle, ParseError>;
}
