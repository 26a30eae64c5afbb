//! Where the audit is kept. Rows are only ever added, and nothing removes them.

use async_trait::async_trait;

use super::{Page, Paged, StoreError};
use crate::{
    audit::{AuditAction, AuditEntry, AuditHead, AuditRow, Denied},
    id::{BundleName, TeamName},
    time::Timestamp,
};

/// Which rows.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this team.
    pub team: Option<TeamName>,
    /// Of this bundle.
    pub bundle: Option<BundleName>,
    /// Of this kind.
    pub action: Option<AuditAction>,
    /// Of this time or later.
    pub since: Option<Timestamp>,
}

/// What was done, by whom, in the order in which it was written.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Writes entries behind those that are there, durable when it answers: all of them or none.
    ///
    /// # Errors
    /// When the database cannot be written.
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<Vec<AuditRow>, StoreError>;

    /// Rows, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    async fn audit(&self, filter: &AuditFilter, page: Page) -> Result<Paged<AuditRow>, StoreError>;

    /// At most `limit` rows from the place `sequence` on, in their order: for export and verification.
    ///
    /// # Errors
    /// When the database cannot be read, or a row holds what no program wrote.
    async fn audit_from(&self, sequence: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError>;

    /// Where the audit ends, as it was noted with the last row.
    ///
    /// # Errors
    /// When the database cannot be read.
    async fn audit_head(&self) -> Result<AuditHead, StoreError>;
}

/// Hears of what was denied. It is told in the middle of a guest's call, so it never waits and never fails.
pub trait DenialLog: Send + Sync {
    /// This was denied.
    fn denied(&self, denied: Denied);
}
