//! Where grants are kept that people propose and approve.
//!
//! Each change is written together with its row of the audit, or not at all: no grant is in force of which the
//! audit does not say who approved it.

use async_trait::async_trait;

use super::{Page, Paged, StoreError};
use crate::{
    audit::Actor,
    grant::{Decision, GrantRow, GrantState, NewGrant},
    id::{BundleName, TeamName},
    time::Timestamp,
};

/// Which revisions.
#[derive(Debug, Clone, Default)]
pub struct GrantFilter {
    /// Of this team.
    pub team: Option<TeamName>,
    /// Of this bundle.
    pub bundle: Option<BundleName>,
    /// In this state.
    pub state: Option<GrantState>,
}

/// A decision on a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is in force from now on; what was is replaced, and older proposals lapse.
    Approve {
        /// For the bytes of the version alone that was read; otherwise for each version that asks for no more.
        only: bool,
    },
    /// It is refused.
    Deny,
}

/// Grants, with their history.
#[async_trait]
pub trait GrantStore: Send + Sync {
    /// Keeps a proposal as the bundle's next revision. What the host itself proposed before for the same bundle
    /// lapses when it is the host that proposes.
    ///
    /// # Errors
    /// When the database cannot be written.
    async fn propose_grant(
        &self,
        new: &NewGrant,
        by: &Actor,
        at: Timestamp,
    ) -> Result<GrantRow, StoreError>;

    /// Decides a proposal.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such revision, [`StoreError::Refused`] when it is no proposal
    /// any more, and when the database cannot be written.
    async fn decide_grant(
        &self,
        of: (&TeamName, &BundleName),
        revision: u32,
        verdict: Verdict,
        decision: &Decision,
    ) -> Result<GrantRow, StoreError>;

    /// Takes back a revision that was approved, or all of a bundle's. When it is the one in force, then none is:
    /// an earlier one does not come back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such revision or none that was approved,
    /// [`StoreError::Refused`] when it was not approved, and when the database cannot be written.
    async fn revoke_grant(
        &self,
        of: (&TeamName, &BundleName),
        revision: Option<u32>,
        decision: &Decision,
    ) -> Result<Vec<GrantRow>, StoreError>;

    /// Revisions, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    async fn grants(&self, filter: &GrantFilter, page: Page)
    -> Result<Paged<GrantRow>, StoreError>;

    /// All that [cover](GrantState::covers) versions, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    async fn approved_grants(&self) -> Result<Vec<GrantRow>, StoreError>;
}
