//! Grants that people propose, approve, refuse and take back, as the API meets them.

use std::{collections::BTreeMap, path::PathBuf};

use airlock_grant::{Grant, GrantError, GuestPath, Request, Source, Uncovered};
use airlock_model::{
    audit::Actor,
    grant::GrantRow,
    id::{BundleHash, BundleName, TeamName},
    port::{StoreError, Verdict},
    time::Timestamp,
};
use async_trait::async_trait;

/// Where a bundle's grant stands.
#[derive(Debug, Clone)]
pub struct GrantStanding {
    /// Whose bundle.
    pub team: TeamName,
    /// By whose word it is granted anything.
    pub source: Source,
    /// The version that serves, as it calls itself, and its hash; none where none was ever approved.
    pub serves: Option<(String, BundleHash)>,
    /// What is granted now. Of an [automatic](Source::Automatic) grant nothing is said: it is what is asked for.
    pub grant: Grant,
    /// The revision that is in force, where people decide.
    pub revision: Option<u32>,
    /// What the version asks for that it was approved for.
    pub approved: Option<Request>,
    /// A version that waits for approval.
    pub waiting: Option<WaitingVersion>,
}

/// A version that waits for approval.
#[derive(Debug, Clone)]
pub struct WaitingVersion {
    /// As it calls itself.
    pub version: String,
    /// Which one.
    pub hash: BundleHash,
    /// Why it waits.
    pub uncovered: Uncovered,
    /// What it needs: what is in force, and what it asks for beyond what was approved.
    pub needs: Grant,
    /// Directories that it needs besides, whose place on this host a person has to name.
    pub unplaced: Vec<GuestPath>,
    /// Since when this host has seen it wait.
    pub since: Timestamp,
}

/// A grant that somebody proposes.
#[derive(Debug, Clone, Default)]
pub struct Proposal {
    /// What is to be granted; where nothing is said, what is in force and what the version asks for beyond it.
    pub grant: Option<Grant>,
    /// Where directories lie on the host, for what the version asks for.
    pub places: BTreeMap<GuestPath, PathBuf>,
    /// For which version: where nothing is said, the one that waits, else the one that serves.
    pub hash: Option<BundleHash>,
    /// For that version's bytes alone.
    pub only: bool,
    /// Why.
    pub note: Option<String>,
}

/// Why a grant was not proposed or decided. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum GrantingError {
    /// There is no such bundle.
    #[error("AL-0442: bundle `{0}` was not found")]
    Unknown(BundleName),
    /// Its grant stands in the configuration.
    #[error(
        "AL-0443: the grant of `{0}` stands in airlock.toml and can only be changed there; take its `grant` tables out to decide it here"
    )]
    Configured(BundleName),
    /// It needs nobody's word.
    #[error(
        "AL-0444: `{0}` is granted what it asks for, since no team is declared; name it in a [[team.bundle]] of a [[team]] to decide what it may reach"
    )]
    Automatic(BundleName),
    /// No such version is known.
    #[error(
        "AL-0445: bundle `{bundle}` has no version {hash:?} here; `airlock grants show {bundle}` names what serves and what waits"
    )]
    Version {
        /// Of this bundle.
        bundle: BundleName,
        /// This one.
        hash: BundleHash,
    },
    /// Nothing was said, and nothing is asked for beyond what is granted.
    #[error(
        "AL-0446: `{0}` asks for nothing beyond what it is granted; say what is to be granted instead (`--file`)"
    )]
    NothingMore(BundleName),
    /// Only a person knows where these directories lie.
    #[error(
        "AL-0447: it asks for the directory {}, whose place on this host has to be named: `--directory {}=/path/on/this/host` for each",
        .0.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", "), .0.first().map_or("", GuestPath::as_str)
    )]
    Unplaced(Vec<GuestPath>),
    /// A grant that nobody could mean.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A directory that must not be granted, or cannot be opened.
    #[error("{0}")]
    Directory(String),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who decides, and why.
#[derive(Debug, Clone)]
pub struct Word {
    /// Who.
    pub by: Actor,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// Grants, decided. When a call returns, what it decided is in force.
#[async_trait]
pub trait Granting: Send + Sync {
    /// Where a bundle's grant stands; none where there is no such bundle.
    async fn standing(&self, bundle: &BundleName) -> Result<Option<GrantStanding>, StoreError>;

    /// Keeps a proposal.
    async fn propose(
        &self,
        bundle: &BundleName,
        proposal: Proposal,
        by: Actor,
    ) -> Result<GrantRow, GrantingError>;

    /// Decides a proposal. A version that waited for it and is covered now serves when its import is done.
    async fn decide(
        &self,
        bundle: &BundleName,
        revision: u32,
        verdict: Verdict,
        word: Word,
    ) -> Result<GrantRow, GrantingError>;

    /// Takes back a revision, or all that was approved. Calls that run lose what they had by it.
    async fn revoke(
        &self,
        bundle: &BundleName,
        revision: Option<u32>,
        word: Word,
    ) -> Result<Vec<GrantRow>, GrantingError>;
}
